"""The one exception of the client library."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError


class Error(RunyardError):
    """A call that was refused or did not reach a server.

    `code` is one of the closed set, `message` says what was asked, found and what to do, `field` names the
    place in the request, `status` is the HTTP status, or None when no server answered.
    """

    def __init__(
        self, code: Code, message: str, *, field: str | None = None, status: int | None = None, **details: Any
    ) -> None:
        super().__init__(code, message, field=field, **details)
        self.status = status


def unreachable(url: str, why: str) -> Error:
    """No server answered at this address."""
    return Error(Code.UNAVAILABLE, f"No Runyard server answers at {url} ({why}). Start one with `runyard up`.")


def from_response(status: int, body: bytes) -> Error:
    """The refusal that a problem+json body tells; any other body is quoted."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    text = problem.pop("detail", None) or body[:200].decode("utf-8", "replace") or f"The server answered {status}."
    code = _code(problem.pop("code", None), status)
    field = problem.pop("field", None)
    details = {str(k): v for k, v in problem.items() if k not in {"type", "title", "status", "message", "self"}}
    return Error(code, str(text), field=field, status=status, **details)


_BY_STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.DENIED,
    404: Code.NOT_FOUND,
    409: Code.CONFLICT,
    413: Code.TOO_LARGE,
    429: Code.LIMIT,
    503: Code.UNAVAILABLE,
    507: Code.STORAGE_FULL,
}


def _code(given: object, status: int) -> Code:
    if given in set(Code):
        return Code(str(given))
    return _BY_STATUS.get(status, Code.INVALID if status < 500 else Code.INTERNAL)
