"""The request as handlers see it: a capped body, checked parameters and the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import ParamSpec, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from runyard.core.errors import not_found
from runyard.core.ids import LIMIT
from runyard.core.model import Principal
from runyard.http.errors import too_large

P = ParamSpec("P")
T = TypeVar("T")

NOBODY = Principal(id=-1, name="nobody", scopes=[], created_at=0)
"""Who calls an open route without a credential."""


class Exchange(Protocol):
    """A server's short way for what is whole, beside ASGI's messages. Not every server has one."""

    def taken(self) -> bytes | None:
        """The whole body, once; None when it must be received."""

    def answer(self, status: int, head: bytes, more: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Sends a whole answer, `head` being its lines for type and length; False when it must go as messages."""


def exchange(scope: Scope) -> Exchange | None:
    """The short way of this request, where its server has one."""
    extensions = scope.get("extensions")
    return extensions.get("runyard") if extensions else None


class Request:
    """One request. However a handler reads its body, reading ends with `too_large` at the cap."""

    __slots__ = ("_source", "_taken", "_whole", "cap", "principal", "scope")

    def __init__(self, scope: Scope, receive: Receive, cap: int) -> None:
        self.scope = scope
        self.principal = NOBODY
        self.cap = cap
        self._source = receive
        self._taken = 0
        self._whole: bytes | None = None

    @property
    def method(self) -> str:
        """In capitals."""
        return str(self.scope["method"])

    async def receive(self) -> Message:
        """The next message of ASGI; raises `too_large`."""
        message = await self._source()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self.cap:
                raise too_large(self.cap, f"more than {self.cap}")
        return message

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises `ClientDisconnect` when the client left before its end."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def whole(self) -> bytes:
        """The body, as often as it is asked for; raises `ClientDisconnect` when the client left before its end."""
        if self._whole is None:
            short = exchange(self.scope) if not self._taken else None
            body = short.taken() if short is not None else None
            if body is None:
                body = b"".join([piece async for piece in self.stream()])
            elif len(body) > self.cap:
                raise too_large(self.cap, f"more than {self.cap}")
            self._whole = body
        return self._whole

    def header(self, name: bytes) -> str | None:
        """The first header of this (lower-case) name, without building a mapping of them all."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    def check_length(self) -> None:
        """Refuses a body by its declared length, before any of it is read."""
        declared = self.header(b"content-length")
        if declared is not None and int(declared) > self.cap:
            raise too_large(self.cap, declared)

    def text(self, name: str) -> str:
        """A segment of the path, decoded."""
        return str(self.scope["path_params"][name])

    def id(self, what: str, name: str = "id") -> int:
        """A segment of the path as an id; what cannot be one is `not_found`."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit() and len(text) < 17 and 0 < int(text) < LIMIT):
            raise not_found(what, text)
        return int(text)


async def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking read on the loop's thread pool, whose size is the setting `reader_threads`."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, lambda: call(*args, **kwargs))
