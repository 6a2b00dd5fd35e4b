"""Where in a text something stands, for error messages."""

from __future__ import annotations

from typing import Any


class Unsayable(Exception):
    """A construct that has no counterpart in DuckDB; `offset` is where it stands in the text, if that is known."""

    def __init__(self, sentence: str, node: Any = None) -> None:
        super().__init__(sentence)
        self.offset: int | None = offset_of(node)


def offset_of(node: Any) -> int | None:
    """The first character of the first part whose place is known: of the node, else of what it stands in."""
    while node is not None:
        starts: list[int] = [part.meta["start"] for part in node.walk() if part._meta and "start" in part._meta]
        if starts:
            return min(starts)
        node = node.parent
    return None


def place(text: str, offset: int) -> str:
    """`line 2, column 5`, both counted from 1."""
    before = text[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - (before.rfind(chr(10)) + 1) + 1}"
