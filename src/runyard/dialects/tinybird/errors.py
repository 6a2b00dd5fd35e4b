"""Our error codes as this platform's statuses. Every body is JSON with `error`: its clients crash on anything else."""

from __future__ import annotations

from typing import Any

from runyard.core.errors import Code, RunyardError
from runyard.dialects.base import Answer
from runyard.http.answers import answer
from runyard.http.errors import HttpRefusal
from runyard.http.request import Request

STATUS: dict[Code, int] = {
    Code.INVALID: 400,
    Code.TOO_LARGE: 413,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.CONFLICT: 400,
    Code.LIMIT: 429,
    Code.UNAUTHENTICATED: 403,
    Code.DENIED: 403,
    Code.STORAGE_FULL: 507,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
"""403 is what the clients know as "wrong token"; a job that cannot be cancelled (our conflict) is 400."""

DOCUMENTATION = "https://www.tinybird.co/docs/api-reference"


class Refusal(HttpRefusal):
    """A refusal with a status of its own, such as 409 for a Data Source that something still needs."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, message, headers or {})
        self.more = more


def status_of(error: RunyardError) -> int:
    """The status of a refusal: its own, or its code's."""
    if isinstance(error, HttpRefusal):
        return error.status
    return int(error.details.get("status", STATUS[error.code]))


def refuse(request: Request, error: RunyardError) -> Answer:
    """The answer to a refused request."""
    body: dict[str, Any] = {"error": error.message}
    status, headers = status_of(error), None
    if isinstance(custom := error.details.get("body"), dict):
        body |= custom
    if isinstance(error, HttpRefusal):
        headers = error.headers
    if isinstance(error, Refusal):
        body |= error.more
    return answer({**body, "documentation": DOCUMENTATION}, status, headers)
