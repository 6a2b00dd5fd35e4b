"""Our error codes as Glue's exceptions, in one table."""

from __future__ import annotations

import uuid
from xml.sax.saxutils import escape

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.http.answers import Whole
from runyard.http.request import Request

MEDIA = "application/x-amz-json-1.1"

EXCEPTIONS: dict[Code, tuple[str, int]] = {
    Code.INVALID: ("InvalidInputException", 400),
    Code.TOO_LARGE: ("InvalidInputException", 400),
    Code.NOT_FOUND: ("EntityNotFoundException", 400),
    Code.ALREADY_EXISTS: ("AlreadyExistsException", 400),
    Code.CONFLICT: ("ConcurrentModificationException", 400),
    Code.LIMIT: ("ConcurrentRunsExceededException", 400),
    Code.UNAUTHENTICATED: ("UnrecognizedClientException", 400),
    Code.DENIED: ("AccessDeniedException", 400),
    Code.STORAGE_FULL: ("InternalServiceException", 500),
    Code.UNAVAILABLE: ("OperationTimeoutException", 400),
    Code.INTERNAL: ("InternalServiceException", 500),
}
"""The exception of each code, unless the refusal names another one in `exception`."""

CREDENTIALS = {
    "missing": "MissingAuthenticationTokenException",
    "incomplete": "IncompleteSignatureException",
    "unknown": "UnrecognizedClientException",
    "expired": "ExpiredTokenException",
    "signature": "InvalidSignatureException",
}
TOO_LARGE = "Request size limit exceeded"


def fault(exception: str, message: str, code: Code = Code.INVALID) -> RunyardError:
    """A refusal with this exception of Glue's."""
    return RunyardError(code, message, exception=exception)


def missing(message: str) -> RunyardError:
    """EntityNotFoundException with Glue's own text."""
    return RunyardError(Code.NOT_FOUND, message)


def exception_of(error: RunyardError) -> tuple[str, int]:
    """The exception's name and the status."""
    name, status = EXCEPTIONS[error.code]
    if error.code is Code.UNAUTHENTICATED:
        name = CREDENTIALS.get(str(error.details.get("auth")), name)
    return str(error.details.get("exception", name)), status


def refuse(request: Request, error: RunyardError) -> Whole:
    """The answer that a refusal gets: JSON, or XML for the services that speak the query protocol."""
    name, status = exception_of(error)
    message = f"{TOO_LARGE}: {error.message}" if error.code is Code.TOO_LARGE else error.message
    identifier = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": identifier, "x-amzn-ErrorType": name}
    if is_query(request):
        return Whole(_xml(name, message, identifier), "text/xml", status, headers)
    return Whole(msgspec.json.encode({"__type": name, "Message": message}), MEDIA, status, headers)


def is_query(request: Request) -> bool:
    """Whether the caller speaks the form-encoded protocol (STS, IAM)."""
    return (request.header(b"content-type") or "").startswith("application/x-www-form-urlencoded")


def _xml(name: str, message: str, identifier: str) -> bytes:
    inner = f"<Error><Type>Sender</Type><Code>{name}</Code><Message>{escape(message)}</Message></Error>"
    return f"<ErrorResponse>{inner}<RequestId>{identifier}</RequestId></ErrorResponse>".encode()
