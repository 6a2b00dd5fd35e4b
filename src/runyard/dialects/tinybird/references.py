"""Which tables a SQL text names, and where: told from its words alone, since the server has no SQL parser. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORDS = re.compile(
    r"(?P<skip>\s+|--[^\n]*|#[ !][^\n]*|/\*.*?(?:\*/|$))"
    r"|(?P<string>'(?:[^'\\]|\\.|'')*')"
    r"|(?P<quoted>\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`\\]|\\.|``)*`)"
    r"|(?P<name>[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)"
    r"|(?P<number>\d[\w.]*)|(?P<mark>.)",
    re.DOTALL,
)
_OPENS = {"from", "join"}
_CLOSES = {
    "select", "where", "prewhere", "group", "order", "having", "limit", "union", "except", "intersect", "qualify",
    "window", "settings", "format", "offset", "with",
}  # fmt: skip
_NO_ALIAS = _CLOSES | _OPENS | {
    "on", "using", "inner", "left", "right", "full", "cross", "any", "all", "asof", "semi", "anti", "array", "global",
    "final", "sample", "natural", "positional", "tablesample", "and", "or", "then", "else", "end", "as", "outer",
}  # fmt: skip


class Word(NamedTuple):
    """One word; `name` is lower-case and without quotes for names, else empty."""

    kind: str
    text: str
    name: str
    start: int
    end: int


class Reference(NamedTuple):
    """A name in the place of a table. `end` is behind FINAL; `aliased` says whether a name of its own follows."""

    name: str
    exact: str
    """The name as it is written; names of resources are told apart by the case of their letters."""
    schema: str
    start: int
    end: int
    final: bool
    aliased: bool
    certain: bool
    """False after IN, where a column may stand too."""


def words(text: str) -> list[Word]:
    """The words of a text, without comments and white space."""
    found = []
    for match in _WORDS.finditer(text):
        kind, piece = str(match.lastgroup), match.group()
        if kind != "skip":
            name = piece.lower() if kind == "name" else _unquoted(piece) if kind == "quoted" else ""
            found.append(Word(kind, piece, name, match.start(), match.end()))
    return found


def _unquoted(piece: str) -> str:
    return _exact(piece).lower()


def _exact(piece: str) -> str:
    mark = piece[0]
    if mark not in '`"':
        return piece
    return re.sub(r"\\(.)", r"\1", piece[1:-1].replace(mark * 2, mark))


def references(text: str) -> list[Reference]:
    """The tables that a text names, in order."""
    found: list[Reference] = []
    all_words = words(text)
    inside = [False]  # of each open bracket: whether commas divide tables
    expects, certain, at = False, True, 0
    while at < len(all_words):
        word = all_words[at]
        if word.text == "(":
            inside.append(expects)
            expects = expects and certain
        elif word.text == ")":
            if len(inside) > 1:
                inside.pop()
            expects = False
        elif word.kind in ("name", "quoted") and expects and not (word.kind == "name" and word.name in _CLOSES):
            reference, at = _reference(all_words, at, certain)
            if reference is not None:
                found.append(reference)
            expects = False
        elif word.kind == "name" and word.name in _OPENS and not _is_part(all_words, at):
            inside[-1], expects, certain = True, True, True
        elif word.kind == "name" and word.name == "in":
            expects, certain = True, False
        elif word.text == "," and inside[-1]:
            expects, certain = True, True
        else:
            if word.kind == "name" and word.name in _CLOSES:
                inside[-1] = False
            expects = False
        at += 1
    return found


def _is_part(all_words: list[Word], at: int) -> bool:
    """FROM inside a call: `extract(day FROM x)`, `trim(BOTH FROM x)`, `substring(x FROM 2)`; or a column's name."""
    before = all_words[at - 1] if at else None
    return before is not None and before.text == "."


def _reference(all_words: list[Word], at: int, certain: bool) -> tuple[Reference | None, int]:
    """The name that begins here, and the place of its last word; none for a call."""
    first, schema, last = all_words[at], "", at
    name, exact = first.name, _exact(first.text)
    if _text(all_words, at + 1) == "." and at + 2 < len(all_words):
        schema, name, last = name, all_words[at + 2].name or all_words[at + 2].text, at + 2
        exact = _exact(all_words[last].text)
    if _text(all_words, last + 1) == "(":
        return None, last
    final = _name(all_words, last + 1) == "final"
    alias_first = not final and _name(all_words, last + 1) == "as" and _name(all_words, last + 3) == "final"
    end = all_words[last + 1].end if final else all_words[last].end
    stop = last + 1 if final else last
    after = stop + 1
    follows = all_words[after] if after < len(all_words) else None
    aliased = follows is not None and (
        follows.name == "as" or (follows.kind in ("name", "quoted") and follows.name not in _NO_ALIAS)
    )
    return Reference(name, exact, schema, first.start, end, final or alias_first, aliased, certain), stop


def _text(all_words: list[Word], at: int) -> str:
    return all_words[at].text if at < len(all_words) else ""


def _name(all_words: list[Word], at: int) -> str:
    return all_words[at].name if at < len(all_words) and all_words[at].kind == "name" else ""


def with_tables(ctes: dict[str, str], text: str) -> str:
    """A query with named queries before it."""
    if not ctes:
        return text
    listed = ", ".join(f"{name} AS (\n{sql}\n)" for name, sql in ctes.items())
    found = words(text)
    if found and found[0].name == "with" and found[0].kind == "name":
        start = found[1].end if len(found) > 1 and found[1].name == "recursive" else found[0].end
        head = "WITH RECURSIVE " if start != found[0].end else "WITH "
        return f"{head}{listed}, {text[start:].lstrip()}"
    return f"WITH {listed}\n{text}"
