"""The closed set of error codes that the inside of Runyard speaks; each face spells them its own way."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Code(enum.StrEnum):
    """Why a request was refused. A face maps each code to one status and one body, in one table."""

    INVALID = "invalid"
    """The request itself is wrong, whatever the state of the server."""
    TOO_LARGE = "too_large"
    """A body, a value or a list is over a stated limit."""
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    """The request is right in itself but the state of its target forbids it."""
    LIMIT = "limit"
    """A limit on concurrent work refuses it for now."""
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    STORAGE_FULL = "storage_full"
    UNAVAILABLE = "unavailable"
    """Something we need is down or too slow; the same request may succeed later."""
    INTERNAL = "internal"


class RunyardError(Exception):
    """A refusal: nothing was changed. `message` says what was asked, what was found and what to do.

    `field` names the place in the request (`tasks[2].needs`), `details` holds machine-readable extras.
    A failure of the *user's* work is never one of these: it is data on its task run.
    """

    def __init__(self, code: Code, message: str, *, field: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.details = details

    def __repr__(self) -> str:
        return f"RunyardError({self.code.value}, {self.message!r}, field={self.field!r})"


def invalid(message: str, *, field: str | None = None, **details: Any) -> RunyardError:
    """A request that can never succeed as it stands."""
    return RunyardError(Code.INVALID, message, field=field, **details)


def not_found(what: str, key: object) -> RunyardError:
    """Nothing with this key is visible to the caller."""
    return RunyardError(Code.NOT_FOUND, f"There is no {what} {key}. List what exists, or check the id.", what=what)


def conflict(message: str, **details: Any) -> RunyardError:
    """The target's present state forbids the request."""
    return RunyardError(Code.CONFLICT, message, **details)


def if_found(find: Callable[P, T], *key: P.args, **more: P.kwargs) -> T | None:
    """What `find` gives, or None where it raises `not_found`; every other refusal is raised."""
    try:
        return find(*key, **more)
    except RunyardError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None
