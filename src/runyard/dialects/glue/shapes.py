"""The vocabulary in which `tables` writes down what a request may hold, and the check of a request against it.

Source of the texts: AWS's general form of constraint violations ("Member must ...").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError


class Text(msgspec.Struct, frozen=True):
    """A string. Lengths in characters."""

    max: int | None = None
    min: int = 0
    pattern: str = ""
    enum: tuple[str, ...] = ()


class Int(msgspec.Struct, frozen=True):
    """A whole number."""

    min: int | None = None
    max: int | None = None


class Real(msgspec.Struct, frozen=True):
    """Any number, or one from `min` on."""

    min: float | None = None


class Flag(msgspec.Struct, frozen=True):
    """true or false."""


class Blob(msgspec.Struct, frozen=True):
    """An object that means nothing to us: kept and given back as it came."""


class Many(msgspec.Struct, frozen=True):
    """A list."""

    item: Any
    max: int | None = None
    min: int = 0


class Map(msgspec.Struct, frozen=True):
    """An object from one kind of text to another."""

    key: Text = Text()
    value: Any = Text()
    max: int | None = None


class Group(msgspec.Struct, frozen=True):
    """An object with these members; all others are refused."""

    members: dict[str, Any]
    required: tuple[str, ...] = ()


def check(shape: Group, body: Any) -> dict[str, Any]:
    """The request without nulls; raises `invalid` with every violation, `SerializationException` for a wrong type."""
    if not isinstance(body, dict):
        raise _serialization("the request", "an object", body)
    if _fits(shape, body):
        return body
    found: dict[str, Any] = _without_nulls(body)
    violations = list(_group(shape, found, ""))
    if violations:
        count = len(violations)
        head = f"{count} validation error{'s' if count > 1 else ''} detected: "
        raise RunyardError(Code.INVALID, head + "; ".join(violations))
    return found


def _fits(shape: Any, value: Any) -> bool:
    """Whether a value is right beyond doubt; what is not goes the longer way, which tells what is wrong with it."""
    kind, found = type(shape), type(value)
    if kind is Text:
        return found is str and _text_fits(shape, value)
    if kind is Group:
        members = shape.members
        return (
            found is dict
            and all(name in members and _fits(members[name], item) for name, item in value.items())
            and all(name in value for name in shape.required)
        )
    if kind is Map:
        key, inner = shape.key, shape.value
        return (
            found is dict
            and (shape.max is None or len(value) <= shape.max)
            and all(_fits(key, name) and _fits(inner, item) for name, item in value.items())
        )
    if kind is Int:
        return found is int and -(2**31) <= value <= 2**31 and (shape.min or -(2**31)) <= value <= (shape.max or 2**31)
    return kind is Flag and found is bool


def _text_fits(shape: Text, value: str) -> bool:
    if shape.enum and value not in shape.enum:
        return False
    if len(value) < shape.min or (shape.max is not None and len(value) > shape.max):
        return False
    return not shape.pattern or _pattern(shape.pattern)(value) is not None


@cache
def _pattern(text: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(text).fullmatch


def _without_nulls(value: Any) -> Any:
    """A null is an absent member (botocore's own parser reads them so too)."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    yield from _CHECKS[type(shape)](shape, value, path)


def _group(shape: Group, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _serialization(path, "an object", value)
    for name in shape.required:
        if name not in value:
            yield f"Value at '{_below(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(shape.members)
            yield f"Value at '{_below(path, name)}' failed to satisfy constraint: Member must be one of [{known}]"
        else:
            yield from _violations(shape.members[name], item, _below(path, name))


def _text(shape: Text, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        raise _serialization(path, "a string", value)
    if shape.enum and value not in shape.enum:
        yield _said(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        return
    if shape.max is not None and len(value) > shape.max:
        yield _said(value[:300], path, f"Member must have length less than or equal to {shape.max}")
    if len(value) < shape.min:
        yield _said(value, path, f"Member must have length greater than or equal to {shape.min}")
    if shape.pattern and not _pattern(shape.pattern)(value):
        yield _said(value[:300], path, f"Member must satisfy regular expression pattern: {shape.pattern}")


def _int(shape: Int, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
        raise _serialization(path, "a whole number of 32 bits", value)
    if shape.max is not None and value > shape.max:
        yield _said(value, path, f"Member must have value less than or equal to {shape.max}")
    if shape.min is not None and value < shape.min:
        yield _said(value, path, f"Member must have value greater than or equal to {shape.min}")


def _real(shape: Real, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _serialization(path, "a number", value)
    if shape.min is not None and value < shape.min:
        yield _said(value, path, f"Member must have value greater than or equal to {shape.min:g}")


def _flag(_: Flag, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        raise _serialization(path, "true or false", value)
    yield from ()


def _blob(_: Blob, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _serialization(path, "an object", value)
    yield from ()


def _many(shape: Many, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        raise _serialization(path, "a list", value)
    yield from _size(shape.min, shape.max, value, path)
    for number, item in enumerate(value, 1):
        yield from _violations(shape.item, item, f"{path}.{number}.member")


def _map(shape: Map, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _serialization(path, "an object", value)
    yield from _size(0, shape.max, value, path)
    for key, item in value.items():
        yield from _violations(shape.key, key, f"{path}.key")
        yield from _violations(shape.value, item, f"{path}.{key}.member")


def _size(least: int, most: int | None, value: Any, path: str) -> Iterator[str]:
    if most is not None and len(value) > most:
        yield _said(f"{len(value)} members", path, f"Member must have length less than or equal to {most}")
    if len(value) < least:
        yield _said(value, path, f"Member must have length greater than or equal to {least}")


_CHECKS: dict[type, Any] = {
    Group: _group, Text: _text, Int: _int, Real: _real, Flag: _flag, Blob: _blob, Many: _many, Map: _map,
}  # fmt: skip


def _below(path: str, name: str) -> str:
    """Paths are said in lower camel case: `jobUpdate.workerType`."""
    word = name[:1].lower() + name[1:]
    return f"{path}.{word}" if path else word


def _said(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _serialization(path: str, wanted: str, found: Any) -> RunyardError:
    said = f"{path} must be {wanted}; {type(found).__name__} was sent."
    return RunyardError(Code.INVALID, said, exception="SerializationException")
