"""SQL text cut at its semicolons, and `:name` made `$name`: what quotes and comments hold is left alone."""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|/\*.*?\*/|--[^\n]*|::)"""
    r"""|(?P<end>;)|:(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL,
)
_COMMENT = re.compile(r"\s+|--[^\n]*|/\*.*?\*/", re.DOTALL)


def split(text: str) -> list[str]:
    """The statements, without comments before them; those that are empty are left out."""
    cuts = [found.start() for found in _PIECES.finditer(text) if found.group("end")]
    parts = [text[a:b] for a, b in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(text)], strict=True)]
    return [bare for part in parts if (bare := _begin(part))]


def _begin(statement: str) -> str:
    at = 0
    while found := _COMMENT.match(statement, at):
        at = found.end()
    return statement[at:].rstrip()


def bound(statement: str) -> tuple[str, list[str]]:
    """The statement with `$name` for each `:name`, and the names."""
    names: list[str] = []

    def put(found: re.Match[str]) -> str:
        if found.group("name") is None:
            return found.group()
        names.append(found.group("name"))
        return f"${found.group('name')}"

    return _PIECES.sub(put, statement), list(dict.fromkeys(names))
