"""A template as a whole: text, `{{ }}`, `{% %}`, `{# #}`, parsed into a tree and rendered."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from runyard.dialects.tinybird.template.expressions import Expression
from runyard.dialects.tinybird.template.expressions import parse as expression
from runyard.dialects.tinybird.template.scope import Scope
from runyard.dialects.tinybird.template.values import Missing, Parameter, TemplateError, literal

Part = Callable[[Scope, list[str]], None]
_PIECE = re.compile(r"\{#.*?#\}|\{\{(.*?)\}\}(?!\})|\{%(.*?)%\}", re.DOTALL)
_FOR = re.compile(r"for\s+([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s+in\s+(.+)", re.DOTALL)
_SET = re.compile(r"set\s+([A-Za-z_]\w*)\s*=\s*(.+)", re.DOTALL)
_DEPTH = 40


class Template:
    """A parsed template; `parameters` are those that it reads by type, in order."""

    def __init__(self, parts: list[Part], parameters: list[Parameter]) -> None:
        self._parts = parts
        self.parameters = parameters

    def render(self, given: dict[str, Any]) -> str:
        """The SQL for these parameters; raises `TemplateError`."""
        scope, out = Scope(given), list[str]()
        _run(self._parts, scope, out)
        return "".join(out)


@lru_cache(maxsize=1024)
def parse(text: str) -> Template:
    """The template of a text. Without a leading `%` it is plain SQL. Raises `TemplateError`."""
    stripped = text.lstrip()
    if not stripped.startswith("%"):
        return Template([_text(text)], [])
    found = _Reader(stripped[1:].lstrip(" \t\r\n"))
    return Template(found.document(), found.seen)


def _run(parts: list[Part], scope: Scope, out: list[str]) -> None:
    for part in parts:
        scope.step()
        part(scope, out)


class _Reader:
    """Reads the pieces of one template in order."""

    def __init__(self, text: str) -> None:
        self.seen: list[Parameter] = []
        self._pieces = list(_pieces(text))
        self._at = 0
        self._deep = 0

    def document(self) -> list[Part]:
        """All of it; raises for a block end without a block."""
        parts, stop = self._block()
        if stop is not None:
            raise TemplateError(f"The template has {{% {stop} %}} without a block before it.")
        return parts

    def _block(self) -> tuple[list[Part], str | None]:
        """Parts up to an `end`, `else` or `elif`, and that statement."""
        parts: list[Part] = []
        while self._at < len(self._pieces):
            kind, text = self._pieces[self._at]
            self._at += 1
            if kind == "text":
                parts.append(_text(text))
            elif kind == "print":
                parts.append(_printed(expression(text, self.seen)))
            elif text.split(None, 1)[0] in ("end", "else", "elif", "endif", "endfor"):
                return parts, text
            else:
                parts.append(self._statement(text))
        return parts, None

    def _statement(self, text: str) -> Part:
        word = text.split(None, 1)[0]
        self._deep += 1
        if self._deep > _DEPTH:
            raise TemplateError("The template's blocks are nested too deeply.")
        try:
            if word in ("if", "for"):
                return self._if(text) if word == "if" else self._for(text)
            if word == "set" and (found := _SET.fullmatch(text)):
                return _set(found.group(1), expression(found.group(2), self.seen))
            if word == "comment":
                return lambda scope, out: None
        finally:
            self._deep -= 1
        raise TemplateError(f"The template statement {{% {text} %}} is not known; use if, elif, else, for, set, end.")

    def _if(self, text: str) -> Part:
        branches: list[tuple[Expression, list[Part]]] = []
        condition, otherwise = expression(text[2:], self.seen), list[Part]()
        while True:
            parts, stop = self._block()
            branches.append((condition, parts))
            if stop is None:
                raise TemplateError(f"{{% {text} %}} has no {{% end %}}.")
            if stop.startswith("elif"):
                condition = expression(stop[4:], self.seen)
                continue
            if stop == "else":
                otherwise, stop = self._block()
                if stop not in ("end", "endif"):
                    raise TemplateError(f"{{% {text} %}} has no {{% end %}} after its {{% else %}}.")
            return _branches(branches, otherwise)

    def _for(self, text: str) -> Part:
        found = _FOR.fullmatch(text)
        if found is None:
            raise TemplateError(f"{{% {text} %}} must be: for NAME in LIST.")
        names = [name.strip() for name in found.group(1).split(",")]
        items = expression(found.group(2), self.seen)
        parts, stop = self._block()
        if stop not in ("end", "endfor"):
            raise TemplateError(f"{{% {text} %}} has no {{% end %}}.")
        return _loop(names, items, parts)


def _pieces(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    for match in _PIECE.finditer(text):
        if match.start() > at:
            found.append(("text", _plain(text[at : match.start()])))
        if match.group(1) is not None:
            found.append(("print", match.group(1)))
        elif match.group(2) is not None:
            if not match.group(2).strip():
                raise TemplateError("The template has an empty {% %}.")
            found.append(("statement", match.group(2).strip()))
        at = match.end()
    if at < len(text):
        found.append(("text", _plain(text[at:])))
    return found


def _plain(text: str) -> str:
    for mark in ("{%", "{{"):
        if mark in text:
            raise TemplateError(f"The template has a {mark} that is not closed: {text[text.index(mark) :][:40]!r}.")
    return text


def _text(text: str) -> Part:
    return lambda scope, out: out.append(scope.wrote(text))


def _printed(value: Expression) -> Part:
    return lambda scope, out: out.append(scope.wrote(literal(value(scope))))


def _set(name: str, value: Expression) -> Part:
    def put(scope: Scope, out: list[str]) -> None:
        scope.variables[name] = value(scope)

    return put


def _branches(branches: list[tuple[Expression, list[Part]]], otherwise: list[Part]) -> Part:
    def choose(scope: Scope, out: list[str]) -> None:
        for condition, parts in branches:
            if condition(scope):
                return _run(parts, scope, out)
        return _run(otherwise, scope, out)

    return choose


def _loop(names: list[str], items: Expression, parts: list[Part]) -> Part:
    def repeat(scope: Scope, out: list[str]) -> None:
        found = items(scope)
        if isinstance(found, Missing):
            raise TemplateError(f"The parameter {found.name!r} has no value to loop over.")
        if not isinstance(found, list | tuple | str | dict):
            raise TemplateError(f"A loop needs a list; it got {type(found).__name__}.")
        for item in found:
            scope.step()
            values = [item] if len(names) == 1 else list(item)
            if len(values) != len(names):
                raise TemplateError(f"A loop over {', '.join(names)} got {len(values)} values.")
            scope.variables |= dict(zip(names, values, strict=True))
            _run(parts, scope, out)

    return repeat
