"""The tokens of an expression: names, numbers, texts, operators."""

from __future__ import annotations

import re
from typing import NamedTuple

from runyard.dialects.tinybird.template.values import TemplateError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<mark>==|!=|<>|<=|>=|//|\*\*|[-+*/%<>()\[\]{},.:=]))",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\\0"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Token(NamedTuple):
    """`kind` is name, number, text, mark or end; a text's `value` is without quotes and escapes."""

    kind: str
    value: str


def tokens(text: str) -> list[Token]:
    """The tokens of a text, an end token last; raises `TemplateError`."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise TemplateError(f"Cannot read {text[at : at + 30].strip()!r} in the expression {text.strip()!r}.")
        kind = str(match.lastgroup)
        value = match.group(kind)
        if kind == "text":
            value = _ESCAPE.sub(lambda found: _ESCAPES.get(found.group(1), found.group(1)), value[1:-1])
        found.append(Token(kind, value))
        at = match.end()
    return [*found, Token("end", "")]
