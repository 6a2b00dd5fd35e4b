"""What a dialect is to the server: one `Card`. A new platform is one folder here and one line in app.py.

Its folder gives a function that takes the engine's facades and returns the card: the routes (each with
the scope that it needs), the readers that find a token of ours in that platform's credential, and the one
table that spells our error codes as the platform's status and body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from runyard.core.errors import invalid
from runyard.http.card import Answer, Card, Handler, Operation, Reader, Refuse, Route
from runyard.http.gate import bearer, query_token
from runyard.http.policy import OPEN, SIGNED_IN

__all__ = [
    "OPEN",
    "SIGNED_IN",
    "Answer",
    "Card",
    "Handler",
    "Operation",
    "Reader",
    "Refuse",
    "Route",
    "bearer",
    "query_token",
    "read_options",
]

T = TypeVar("T")


def read_options(given: Mapping[str, str], type_: type[T]) -> T:
    """A dialect's options from the setting `options`: texts by name, as its struct. Raises `invalid`."""
    try:
        return msgspec.convert(dict(given), type_, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"The setting options is wrong: {error}.", field="options") from None
