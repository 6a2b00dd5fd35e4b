"""Answers whose body is complete: what nearly every route gives, in two messages and without a header mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

_encode = msgspec.json.Encoder().encode


class Whole:
    """Bytes of one media type; an ASGI application, as every answer is."""

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, body: bytes, media: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.body = body
        self.headers = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(body))]
        if headers:
            self.headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class Nothing:
    """204, without a body."""

    status_code = 204

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Whole:
    """A JSON answer."""
    return Whole(_encode(body), "application/json", status, headers)


def nothing() -> Nothing:
    """The answer to what is done and has nothing to show."""
    return Nothing()
