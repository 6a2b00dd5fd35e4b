"""SQL as text: what can be told without a parser."""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"""(?P<skip>--[^\n]*|/\*.*?\*/|\s+)"""
    r"""|(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*)|(?P<other>.)""",
    re.DOTALL,
)


def split_format(sql: str) -> tuple[str, str | None]:
    """A statement without its last clause `FORMAT Name`, and the name; None when there is no such clause.

    `SETTINGS ...` may follow and stays. A FORMAT inside a string, comment or parentheses is no clause. Source:
    ClickHouse documentation, 'FORMAT clause'.
    """
    depth, words = 0, list[tuple[str, int, int]]()
    for match in _PIECES.finditer(sql):
        kind, text = match.lastgroup, match.group()
        if kind == "other" and text in "([{":
            depth += 1
        elif kind == "other" and text in ")]}":
            depth -= 1
        if kind != "skip" and depth <= 0:
            words.append((text if kind == "word" else "", match.start(), match.end()))
    for place in range(len(words) - 2, 0, -1):
        (first, start, _), (name, _, end) = words[place], words[place + 1]
        if first.upper() != "FORMAT" or not name or words[place - 1][0].upper() == "AS":
            continue
        rest = sql[end:].strip().rstrip(";").strip()
        if rest and not rest.upper().startswith("SETTINGS"):
            return sql, None
        return (sql[:start].rstrip() + (f" {rest}" if rest else "")), name
    return sql, None
