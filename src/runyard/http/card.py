"""The card that a face hands to the composition root: its routes, credential readers and error shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from runyard.core.errors import RunyardError
from runyard.http.policy import OPEN, SCOPES, SIGNED_IN
from runyard.http.request import Request


class Answer(Protocol):
    """What a handler returns: any ASGI response. Starlette's responses are answers, and so is `EventStream`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


Handler = Callable[[Request], Awaitable[Answer]]


class Proof(Protocol):
    """A credential that shows knowledge of a token without sending it: a signature."""

    @property
    def key_id(self) -> str:
        """Which token it is about: the token without its last part."""

    def check(self, secret: str, body: bytes, now: float) -> None:
        """Raises `unauthenticated` unless it was made with this token, for this body, about now (in seconds)."""


Reader = Callable[[Request], str | Proof | None]
"""Finds a token of ours, or a proof of one, in a request; None when it carries none of the reader's form."""

Refuse = Callable[[Request, RunyardError], Answer]
"""Spells a refusal in the face's own status and body."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What a route takes and gives, as types: the API document is generated from it."""

    summary: str
    query: type | None = None
    body: Any = None
    answer: Any = None
    status: int = 200
    media: str = "application/json"
    headers: dict[str, str] = {}
    """Request headers that it reads, with what they are for."""


class Route(msgspec.Struct, frozen=True):
    """One method of one path. `scope` has no default: what nobody declared, nobody may call.

    `path` may hold `{name}` (one segment) and end in `{name:path}` (the rest). `header` makes the route
    answer only when this request header has this value, for platforms that put the verb there.
    """

    method: str
    path: str
    scope: str
    handler: Handler
    operation: Operation | None = None
    header: tuple[str, str] | None = None
    large: bool = False
    """Whether its bodies are uploads, which the handler streams: capped by `upload_cap`, not by `body_cap`."""

    def __post_init__(self) -> None:
        if self.scope not in SCOPES and self.scope not in (OPEN, SIGNED_IN):
            known = ", ".join(sorted(SCOPES | {OPEN, SIGNED_IN}))
            raise ValueError(f"{self.method} {self.path} declares the scope {self.scope!r}; it must be one of {known}.")
        if not self.path.startswith("/") or self.method != self.method.upper():
            raise ValueError(f"{self.method} {self.path}: a method is in capitals and a path starts with /.")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A face, complete. Adding one to the server is one such value."""

    name: str
    prefixes: tuple[str, ...]
    """Unknown paths below these are refused in this face's shape; the longest prefix wins."""
    routes: tuple[Route, ...]
    readers: tuple[Reader, ...]
    """Tried in order; the first one that finds something decides."""
    refuse: Refuse
    connect: dict[str, str] = {}
    """The environment that points this platform's clients here; {url}, {host} (with its port), {port}, {token} and
    {key_id} (the access key of clients that sign; their secret is the token) are filled in."""
