"""Server-sent events: one task a client and no thread; every stream ends first when the server stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from runyard.core.errors import invalid
from runyard.http.request import Request, offload

KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]

_log = logging.getLogger("runyard.http")


class Source(Protocol):
    """Bytes in pieces. `close` may be called by another thread while one of the others waits."""

    def begin(self) -> None: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Streams:
    """The streams that are open, so that shutdown can end them before it waits for requests."""

    def __init__(self) -> None:
        self._pumps: set[asyncio.Task[None]] = set()
        self.closing = False

    def __len__(self) -> int:
        return len(self._pumps)

    def add(self, pump: asyncio.Task[None]) -> None:
        """Keeps the task until it is done; one that comes after `close` is ended at once."""
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        if self.closing:
            pump.cancel()

    def close(self) -> None:
        """Ends every stream cleanly: clients see the end and resume elsewhere by their last id."""
        self.closing = True
        for pump in list(self._pumps):
            pump.cancel()


class EventStream:
    """An answer that sends a source's pieces until the source ends, the client leaves or the server stops."""

    status_code = 200

    def __init__(self, source: AsyncGenerator[bytes, None], streams: Streams) -> None:
        self._source = source
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams; returns when it is over, however it ended."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        pump = asyncio.create_task(self._pump(send))
        left = asyncio.create_task(_client_left(receive))
        self._streams.add(pump)
        try:
            await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone = left.done()
            pump.cancel()
            left.cancel()
            await asyncio.gather(pump, left, return_exceptions=True)
        if not gone:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        try:
            async with aclosing(self._source) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception:
            _log.exception("An event stream failed")


class ByteStream:
    """An answer of bytes that come bit by bit from a blocking source, which is closed however the answer ends.

    A source that raises breaks the connection off: the client must not take what it has for the whole.
    """

    status_code = 200

    def __init__(self, source: Source, media: str) -> None:
        self._source = source
        self._headers = [(b"content-type", media.encode()), (b"x-content-type-options", b"nosniff")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the source ends or the client leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        pump = asyncio.create_task(self._pump(send))
        left = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._source.close()
            pump.cancel()
            left.cancel()
            ended, _ = await asyncio.gather(pump, left, return_exceptions=True)
        if isinstance(ended, Exception) and not isinstance(ended, ConnectionError):
            raise ended
        if ended is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        pieces = iter(self._source)
        while (piece := await offload(next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def begun(request: Request, source: Source) -> None:
    """Begins a source whose request has been read; closes it when that fails or the client leaves meanwhile.

    Raises what `begin` raises, and `ClientDisconnect`.
    """
    begin = asyncio.ensure_future(offload(source.begin))
    left = asyncio.create_task(_client_left(request.receive))
    try:
        await asyncio.wait({begin, left}, return_when=asyncio.FIRST_COMPLETED)
        if not begin.done():
            raise ClientDisconnect
        begin.result()
    except BaseException:
        source.close()
        raise
    finally:
        left.cancel()
        await asyncio.gather(begin, left, return_exceptions=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def woken(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event, at most this long; says whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def message(event: str, data: bytes, identifier: int | None = None) -> bytes:
    """One server-sent event; `data` is JSON, which holds no line break."""
    head = b"" if identifier is None else b"id: %d\n" % identifier
    return b"%sevent: %s\ndata: %s\n\n" % (head, event.encode(), data)


def wants_stream(request: Request) -> bool:
    """Whether the client asks to follow."""
    return request.method == "GET" and "text/event-stream" in (request.header(b"accept") or "")


def last_event_id(request: Request) -> int | None:
    """The id that a returning client saw last; raises `invalid` for one that we did not give."""
    text = request.header(b"last-event-id")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise invalid(f"Last-Event-ID must be an id that this stream gave; it is {text!r}.", field="Last-Event-ID")
    return int(text)
