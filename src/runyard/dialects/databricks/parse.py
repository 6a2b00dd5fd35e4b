"""From what a client sent to values of the published types. Pure.

Clients are loose: numbers and truth values come as text, empty texts and nulls mean nothing, fields that nobody
knows come along. All that is accepted; a value of another shape is refused, with the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from runyard.core.errors import RunyardError, invalid
from runyard.dialects.databricks.schema import ENUMS, REQUESTS, TYPES

_decode = msgspec.json.Decoder().decode
_NAMES = {dict: "OBJECT", list: "LIST", str: "STRING", bool: "BOOLEAN", int: "NUMBER", float: "NUMBER"}
MAX_INT = 2**63 - 1


def malformed(message: str) -> RunyardError:
    """A request that cannot be read at all."""
    return invalid(message, error_code="MALFORMED_REQUEST")


def parameter(message: str) -> RunyardError:
    """A request that can be read and is wrong."""
    return invalid(message)


def body(data: bytes) -> dict[str, Any]:
    """A JSON object, whatever the content type said; nothing is an empty one."""
    if not data.strip():
        return {}
    try:
        value = _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"Could not parse request object: the body is no JSON ({error}).") from None
    if not isinstance(value, dict):
        raise malformed(f"Could not parse request object: Expected object, found {_found(value)}")
    return value


def query(raw: bytes) -> dict[str, Any]:
    """The parameters of a URL; empty ones mean nothing."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=False, errors="strict", max_num_fields=100)
    except ValueError:
        raise malformed("The query string must be percent-encoded UTF-8 with at most 100 parameters.") from None
    return dict(pairs)


def request(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The known fields of a request, each of its type; unknown ones are left out, as the service does."""
    return _struct(REQUESTS[name], given, "")


def structure(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The same for one of the structures."""
    return _struct(TYPES[name], given, "")


def need(given: dict[str, Any], name: str) -> Any:
    """A field that must be there."""
    if name not in given:
        raise parameter(f"Missing required field: {name}")
    return given[name]


def _struct(fields: dict[str, str], given: dict[str, Any], place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, type_ in fields.items():
        value = given.get(name)
        if value is not None:
            found[name] = _value(type_, value, f"{place}.{name}" if place else name)
    return found


def _value(type_: str, value: Any, place: str) -> Any:
    if type_.startswith("["):
        if not isinstance(value, list):
            raise _wrong("list", place, value)
        return [_value(type_[1:-1], one, f"{place}[{at}]") for at, one in enumerate(value) if one is not None]
    if type_.startswith("{"):
        if not isinstance(value, dict):
            raise _wrong("object", place, value)
        return {str(key): _value(type_[1:-1], one, f"{place}.{key}") for key, one in value.items() if one is not None}
    if type_ in ENUMS:
        return _word(type_, value, place)
    if type_ in TYPES:
        if not isinstance(value, dict):
            raise _wrong("object", place, value)
        return _struct(TYPES[type_], value, place)
    return _SCALARS[type_](value, place)


def _word(type_: str, value: Any, place: str) -> str:
    words = ENUMS[type_]
    if not isinstance(value, str):
        raise _wrong("string", place, value)
    for word in words:
        if word.lower() == value.lower():
            return word
    raise parameter(f"Invalid value {value!r} for {place}: it must be one of {', '.join(words)}.")


def _integer(value: Any, place: str) -> int:
    if isinstance(value, str) and value.strip().removeprefix("-").isascii():
        text = value.strip()
        if text.removeprefix("-").isdigit() and len(text) < 20:
            value = int(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INT:
        raise _wrong("number", place, value)
    return value


def _boolean(value: Any, place: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    if not isinstance(value, bool):
        raise _wrong("boolean", place, value)
    return value


def _text(value: Any, place: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise _wrong("string", place, value)
    return value


def _number(value: Any, place: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _wrong("number", place, value) from None


_SCALARS: dict[str, Callable[[Any, str], Any]] = {
    "int": _integer,
    "bool": _boolean,
    "str": _text,
    "float": _number,
    "any": lambda value, place: value,
}


def _wrong(expected: str, place: str, value: Any) -> RunyardError:
    return malformed(f"Could not parse request object: Expected {expected} for field {place}, found {_found(value)}")


def _found(value: Any) -> str:
    return "NULL" if value is None else _NAMES.get(type(value), "UNKNOWN")
