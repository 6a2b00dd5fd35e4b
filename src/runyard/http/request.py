"""The request as handlers see it: Starlette's, with a capped body, checked parameters and the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.types import Message, Receive, Scope

from runyard.core.errors import not_found
from runyard.core.ids import LIMIT
from runyard.core.model import Principal
from runyard.http.errors import too_large

P = ParamSpec("P")
T = TypeVar("T")

NOBODY = Principal(id=-1, name="nobody", scopes=[], created_at=0)
"""Who calls an open route without a credential."""


class Request(StarletteRequest):
    """One request. However a handler reads its body, reading ends with `too_large` at the cap."""

    def __init__(self, scope: Scope, receive: Receive, cap: int) -> None:
        super().__init__(scope, receive=self._capped)
        self.principal = NOBODY
        self.cap = cap
        self._source = receive
        self._taken = 0
        self._whole: bytes | None = None

    async def _capped(self) -> Message:
        message = await self._source()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self.cap:
                raise too_large(self.cap, f"more than {self.cap}")
        return message

    async def whole(self) -> bytes:
        """The body, as often as it is asked for; raises `ClientDisconnect` when the client left before its end."""
        if self._whole is None:
            self._whole = await self._read_whole()
        return self._whole

    async def _read_whole(self) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await self._capped()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

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
