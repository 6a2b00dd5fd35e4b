"""Our error codes as this service's status and body, in one table.

Source: databricks-sdk 0.156.0, `errors/`: clients choose their exception by `error_code` first, then by status;
429 and 503 are tried again for minutes, so nothing permanent answers them.
"""

from __future__ import annotations

from runyard.core.errors import Code, RunyardError
from runyard.http.answers import Whole, answer
from runyard.http.errors import HttpRefusal
from runyard.http.request import Request

TABLE: dict[Code, tuple[int, str]] = {
    Code.INVALID: (400, "INVALID_PARAMETER_VALUE"),
    Code.TOO_LARGE: (413, "MAX_BLOCK_SIZE_EXCEEDED"),
    Code.NOT_FOUND: (404, "RESOURCE_DOES_NOT_EXIST"),
    Code.ALREADY_EXISTS: (400, "RESOURCE_ALREADY_EXISTS"),
    Code.CONFLICT: (400, "INVALID_STATE"),
    Code.LIMIT: (429, "REQUEST_LIMIT_EXCEEDED"),
    Code.UNAUTHENTICATED: (401, "UNAUTHENTICATED"),
    Code.DENIED: (403, "PERMISSION_DENIED"),
    Code.STORAGE_FULL: (500, "INTERNAL_ERROR"),
    Code.UNAVAILABLE: (503, "TEMPORARILY_UNAVAILABLE"),
    Code.INTERNAL: (500, "INTERNAL_ERROR"),
}
"""A refusal may name another `error_code` (and `status`) in its details."""


def body_of(request: Request, error: RunyardError) -> tuple[int, dict[str, object]]:
    """Status and body of a refusal."""
    status, code = TABLE[error.code]
    unknown_path = error.code is Code.NOT_FOUND and "what" not in error.details and "error_code" not in error.details
    if unknown_path or isinstance(error, HttpRefusal):
        path = request.scope["path"]
        message = f"No API found for '{request.method} {path}'"
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": message, "details": []}
    status = int(error.details.get("status", status))
    code = str(error.details.get("error_code", code))
    return status, {"error_code": code, "message": error.message, "details": []}


def refuse(request: Request, error: RunyardError) -> Whole:
    """The answer that a refusal gets."""
    status, body = body_of(request, error)
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return answer(body, status, headers)
