"""The words of a SQL text as DuckDB's own tokenizer sees them, with quotes taken off names."""

from __future__ import annotations

import re
from typing import Literal

import duckdb
import msgspec

_PIECES = re.compile(r"[A-Za-z_0-9$\u0080-\U0010ffff]+|\S")


class Word(msgspec.Struct, frozen=True):
    """One token; `name` is lower-case and without quotes, `text` as it was written."""

    kind: Literal["name", "string", "number", "operator"]
    name: str
    text: str = ""
    quoted: bool = False


def words(text: str) -> list[Word]:
    """The tokens of a text in order, without comments."""
    found: list[Word] = []
    for kind, piece in _pieces(text):
        found += _split(kind, piece.strip())
    return found


def with_values(text: str, values: dict[str, str]) -> str:
    """The text with each `$name` among the values replaced; what DuckDB takes for a string or a name stays."""
    pieces = _pieces(text)
    for place, (kind, piece) in enumerate(pieces[:-1]):
        follows, name = pieces[place + 1]
        if kind == "operator" and piece.endswith("$") and follows != "string_const" and name.strip() in values:
            pieces[place] = (kind, piece[:-1])
            pieces[place + 1] = ("replaced", f" {values[name.strip()]} ")
    return "".join(piece for _, piece in pieces)


def _pieces(text: str) -> list[tuple[str, str]]:
    """The kinds and texts of DuckDB's tokens; together they are the whole text."""
    encoded = text.encode()
    marks = duckdb.tokenize(text)
    ends = [offset for offset, _ in marks[1:]] + [len(encoded)]
    return [
        (kind.name, encoded[start:end].decode("utf-8", "replace"))
        for (start, kind), end in zip(marks, ends if marks else [], strict=True)
    ]


def _split(kind: str, piece: str) -> list[Word]:
    if kind == "comment" or not piece:
        return []
    if kind == "string_const":
        return [Word("string", piece.strip("'"), piece, True)]
    if kind in {"identifier", "keyword"}:
        return [_name(piece)]
    # The tokenizer calls a dot between names a number, and may join neighbouring operators.
    return [Word("number" if part.isdigit() else "operator", part.lower(), part) for part in _PIECES.findall(piece)]


def _name(piece: str) -> Word:
    if piece.startswith('"'):
        return Word("name", piece[1:].removesuffix('"').replace('""', '"').lower(), piece, True)
    return Word("name", piece.lower(), piece)
