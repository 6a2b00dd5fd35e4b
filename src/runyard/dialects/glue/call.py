"""What every operation shares: the caller's region and account, and how a handler becomes a route."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Principal
from runyard.dialects.glue import errors, shapes
from runyard.http.answers import Whole
from runyard.http.body import decode
from runyard.http.card import Answer, Handler, Route
from runyard.http.request import NOBODY, Request
from runyard.http.signatures import scope_of

DEFAULT_REGION = "us-east-1"
_BODY = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode
Json = dict[str, Any]


class Caller(NamedTuple):
    """Who asks, and in which region and account."""

    by: str
    region: str
    account: str
    principal: Principal = NOBODY

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a job, trigger or workflow."""
        return f"arn:aws:glue:{self.region}:{self.account}:{kind}/{name}"


class Op(NamedTuple):
    """One operation: the scope that it needs, and what does it."""

    name: str
    scope: str
    run: Callable[[Json, Caller], Awaitable[Json]]


def caller(request: Request, account: str) -> Caller:
    """The region comes from the signature, the account from the settings."""
    scope = scope_of(request)
    return Caller(request.principal.name, (scope.region if scope else "") or DEFAULT_REGION, account, request.principal)


def route(service: str, op: Op, shape: shapes.Group, account: str) -> Route:
    """`POST /` with this operation in X-Amz-Target: read, check, do, answer."""

    async def handler(request: Request) -> Answer:
        body = await request.whole()
        try:
            given = decode(body or b"{}", _BODY)
        except RunyardError as error:
            raise RunyardError(Code.INVALID, error.message, exception="SerializationException") from None
        answer = await op.run(shapes.check(shape, given), caller(request, account))
        return reply(answer)

    return Route("POST", "/", op.scope, handler, header=("X-Amz-Target", f"{service}.{op.name}"))


def reply(body: Json) -> Whole:
    """An answer in JSON 1.1 with a request id; absent members are left out."""
    shown = {key: value for key, value in body.items() if value is not None}
    return Whole(_encode(shown), errors.MEDIA, 200, {"x-amzn-RequestId": str(uuid.uuid4())})


def unknown(account: str) -> Handler:
    """What answers an operation that nobody declared."""

    async def handler(request: Request) -> Answer:
        target = request.header(b"x-amz-target")
        said = f"The operation {target} is not known here." if target else "The request names no operation."
        raise errors.fault("UnknownOperationException", said)

    return handler
