"""References in a task's strings: `{{ parameters.day }}`, `{{ tasks.load.values.rows }}`, `{{ input.id }}`.

They are names, not expressions. A text that is one reference and nothing else takes the value as it is
(a number stays a number, a list a list); inside other text the value is written out, JSON for what is not
text. A `{{ ... }}` whose first word is no namespace of ours is left as literal text; an unknown key in a
known namespace is refused when the job is saved, or fails the task when only the run can tell.
`{{ literal.open }}` stands for two opening braces, so that any text can be written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

NAMESPACES = ("parameters", "tasks", "run", "job", "task", "input", "literal")

_REFERENCE = re.compile(r"\{\{\s*([A-Za-z_][^{}]*?)\s*\}\}")
_SEGMENT = re.compile(r"`([^`]+)`|([^.`]+)")

Lookup = Callable[[list[str]], Any]
"""Takes the path of a reference, gives its value; raises `Unresolved` with a sentence."""


class Unresolved(Exception):
    """A reference whose value does not exist; the text says which and why."""


def path_of(text: str) -> list[str]:
    """The dotted path inside the braces; backticks keep a dot in a name: ``tasks.`a.b`.values.x``."""
    return [quoted or plain.strip() for quoted, plain in _SEGMENT.findall(text)]


def find(value: Any) -> Iterator[list[str]]:
    """Every reference path in the strings of a value (struct, list, dict, text) whose namespace is ours."""
    if isinstance(value, str):
        if "{{" in value:
            paths = (path_of(match.group(1)) for match in _REFERENCE.finditer(value))
            yield from (path for path in paths if path[0] in NAMESPACES)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find(key)
            yield from find(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from find(item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from find(getattr(value, name))


def resolve(value: Any, lookup: Lookup) -> Any:
    """The same value with every reference replaced; what holds none is returned as it is."""
    if isinstance(value, str):
        return _resolve_text(value, lookup) if "{{" in value else value
    if isinstance(value, dict):
        return {as_text(resolve(key, lookup)): resolve(item, lookup) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in value]
    if isinstance(value, msgspec.Struct):
        return _resolve_struct(value, lookup)
    return value


def _resolve_text(text: str, lookup: Lookup) -> Any:
    whole = _REFERENCE.fullmatch(text.strip())
    if whole is not None:
        path = path_of(whole.group(1))
        return lookup(path) if path[0] in NAMESPACES else text

    def put(match: re.Match[str]) -> str:
        path = path_of(match.group(1))
        return as_text(lookup(path)) if path[0] in NAMESPACES else match.group(0)

    return _REFERENCE.sub(put, text)


def _resolve_struct(value: msgspec.Struct, lookup: Lookup) -> Any:
    fields = {name: resolve(getattr(value, name), lookup) for name in value.__struct_fields__}
    for name, annotation in type(value).__annotations__.items():
        # A field that is text by its type stays text: `{{ parameters.n }}` in a statement is "5", not 5.
        if str(annotation).startswith("str") and isinstance(getattr(value, name), str):
            fields[name] = as_text(fields[name])
        elif str(annotation) in ("list[str]", "str | list[str]"):
            fields[name] = [as_text(item) for item in fields[name]]
        elif str(annotation) == "dict[str, str]":
            fields[name] = {key: as_text(item) for key, item in fields[name].items()}
    return type(value)(**fields)


def as_text(value: Any) -> str:
    """How a value stands inside other text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
