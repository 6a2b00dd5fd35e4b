"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def rows(head: tuple[str, ...], found: Iterable[tuple[str, ...]]) -> str:
    """A table of any width."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in found)]) + "\n"


def pairs(left: str, right: str, found: dict[str, str]) -> list[str]:
    """The lines of a table of names and what is said of each."""
    return rows((left, right), found.items()).splitlines()
