"""Answers whose body is complete: what nearly every route gives, in one write and without a header mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from runyard.http.request import exchange

_encode = msgspec.json.Encoder().encode
_JSON = b"application/json"


class Whole:
    """Bytes of one media type; an ASGI application, as every answer is."""

    __slots__ = ("_media", "_more", "body", "status_code")

    def __init__(self, body: bytes, media: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.body = body
        self._media = _JSON if media == "application/json" else media.encode()
        self._more = (
            [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()] if headers else ()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        short, length = exchange(scope), len(self.body)
        head = b"content-type: %b\r\ncontent-length: %d\r\n" % (self._media, length)
        if short is not None and short.answer(self.status_code, head, self._more, self.body):
            return
        headers = [(b"content-type", self._media), (b"content-length", b"%d" % length), *self._more]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Nothing:
    """204, without a body."""

    status_code = 204

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        short = exchange(scope)
        if short is not None and short.answer(204, b"", (), b""):
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Whole:
    """A JSON answer."""
    return Whole(_encode(body), "application/json", status, headers)


def nothing() -> Nothing:
    """The answer to what is done and has nothing to show."""
    return Nothing()
