"""Our error codes as statuses and problem documents (RFC 9457), in one table."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.http.answers import Whole
from runyard.http.errors import HttpRefusal
from runyard.http.request import Request

STATUS: dict[Code, int] = {
    Code.INVALID: 400,
    Code.TOO_LARGE: 413,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.CONFLICT: 409,
    Code.LIMIT: 429,
    Code.UNAUTHENTICATED: 401,
    Code.DENIED: 403,
    Code.STORAGE_FULL: 507,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}

HEADERS: dict[Code, dict[str, str]] = {
    Code.UNAUTHENTICATED: {"WWW-Authenticate": "Bearer"},
    Code.UNAVAILABLE: {"Retry-After": "1"},
    Code.LIMIT: {"Retry-After": "1"},
}

MEDIA = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused. Further members hold what the refusal can tell a program."""

    title: str
    status: int
    code: Code
    detail: str
    field: str | None = None
    """The place in the request, such as `tasks[1].needs[0]`."""
    type: str = "about:blank"


def body_of(error: RunyardError) -> dict[str, Any]:
    """The problem document of a refusal."""
    status = error.status if isinstance(error, HttpRefusal) else STATUS[error.code]
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code.value,
        "detail": error.message,
    }
    if error.field is not None:
        problem["field"] = error.field
    return problem | {key: value for key, value in error.details.items() if key not in problem}


def refuse(request: Request, error: RunyardError) -> Whole:
    """The answer that a refusal gets."""
    body = body_of(error)
    headers = error.headers if isinstance(error, HttpRefusal) else HEADERS.get(error.code)
    return Whole(msgspec.json.encode(body), MEDIA, body["status"], headers)
