"""Reading what a caller sent: JSON bodies and query strings into structs, with errors that name the place."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from runyard.core.errors import RunyardError, invalid
from runyard.http.known import fields_at, values_at
from runyard.http.request import Request

T = TypeVar("T")

_PLACE = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_LONG_NUMBER = re.compile(rb"\d{19}")
MAX_INT = 2**63 - 1
"""The largest whole number in a body: what the store can keep."""


async def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as the decoder's type; an empty body is read as `{}`. Raises `invalid` and `too_large`."""
    return decode(await request.whole() or b"{}", decoder)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """JSON as the decoder's type; raises `invalid` with the place in `field`."""
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refusal(error, decoder.type) from None
    except UnicodeDecodeError as error:
        raise invalid(f"The body must be UTF-8; it is not: {error.reason}. Send it encoded as UTF-8.") from None
    except msgspec.DecodeError as error:
        raise invalid(f"The body must be JSON; it is not: {error}.") from None
    except RecursionError:
        raise invalid("The body is nested too deeply to be read. Flatten it.") from None
    if _LONG_NUMBER.search(body):
        _check_numbers(msgspec.to_builtins(value, str_keys=True), "")
    return value


def refusal(error: msgspec.ValidationError, type_: Any) -> RunyardError:
    """msgspec's error as ours: `$.tasks[1].key` at its end becomes the field `tasks[1].key`."""
    place = _PLACE.search(str(error))
    field = place.group(1).lstrip(".") if place else ""
    what = _PLACE.sub("", str(error))
    unknown = _UNKNOWN.match(what)
    if unknown:
        name = unknown.group(1)
        advice = _one_of("It knows", fields_at(type_, field))
        return invalid(f"{field or 'The body'} has no field {name!r}.{advice}", field=f"{field}.{name}".lstrip("."))
    advice = _one_of("Use one of", values_at(type_, field)) if what.startswith("Invalid") else ""
    return invalid(f"{field or 'The body'}: {what}.{advice}", field=field or None)


def _one_of(lead: str, words: list[str]) -> str:
    return f" {lead} {', '.join(words)}." if words else ""


def _check_numbers(value: Any, place: str) -> None:
    """Refuses whole numbers that the store cannot keep."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_numbers(item, f"{place}[{index}]")
    elif isinstance(value, int) and abs(value) > MAX_INT:
        raise invalid(f"{place}: whole numbers go to {MAX_INT}; this one is larger. Send it as text.", field=place)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query parameters that a route knows; `token` is the credential, and known everywhere."""


Q = TypeVar("Q", bound=Query)


def query(request: Request, type_: type[Q]) -> Q:
    """The query string as a struct. Lists may be repeated or comma-divided; unknown names are `invalid`."""
    raw: bytes = request.scope["query_string"]
    if not raw:
        return type_()
    hints = _hints(type_)
    given: dict[str, Any] = {}
    for name, text in _pairs(raw):
        if name != "token":
            _put(given, name, text, hints)
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(error, type_) from None


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise invalid("The query string must be percent-encoded UTF-8 with at most 100 parameters.") from None


def _put(given: dict[str, Any], name: str, text: str, hints: dict[str, Any]) -> None:
    if name not in hints:
        known = ", ".join(sorted(hints)) or "none"
        raise invalid(f"There is no query parameter {name!r} here. Known ones: {known}.", field=name)
    if _is_list(hints[name]):
        given.setdefault(name, []).extend(part for part in text.split(",") if part)
    elif name in given:
        raise invalid(f"The query parameter {name} was given more than once. Give it once.", field=name)
    else:
        given[name] = {"True": "true", "False": "false"}.get(text, text)


def _is_list(hint: Any) -> bool:
    return get_origin(hint) in (list, tuple)


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(type_: type) -> dict[str, Any]:
    if type_ not in _HINTS:
        _HINTS[type_] = get_type_hints(type_)
    return _HINTS[type_]
