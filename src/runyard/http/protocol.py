"""HTTP/1.1 on uvicorn's parser and its rules, with a short way for what nearly all requests are.

Most bodies are there when the handler looks, and most answers are one piece of bytes. For these a request and its
answer are two calls instead of ASGI messages, and the answer is one write. Whatever else comes (a body that is still
under way, a stream, a client that reads slowly) goes uvicorn's own way.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_PLAIN = re.compile(rb"/(?!/)[!\"$&-/0->@-~]*")
"""A path that needs no parsing: nothing encoded in it, no query, no fragment, no host before it."""
_BAD = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Exchange(RequestResponseCycle):
    """One request and its answer; handlers find it in the scope's extensions as `runyard`."""

    def __init__(self, owner: Protocol, *, keep_alive: bool) -> None:
        # What uvicorn's own sets, without what only its log of accesses needs.
        self.owner = owner
        self.scope = owner.scope
        self.transport = owner.transport
        self.flow = owner.flow
        self.logger = owner.logger
        self.access_log = False
        self.default_headers = owner.server_state.default_headers
        self.on_response = owner.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = owner.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.task: asyncio.Task[None] | None = None
        self._news = False
        """Whether something came that nobody was told of; the event says so once there is one."""

    @cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]  # nobody sets it anew
        """Set when there is something to receive; made only when somebody waits."""
        event = asyncio.Event()
        if self._news:
            event.set()
        return event

    async def run_asgi(self, app: Any) -> None:
        """As in uvicorn; then the server need not wait for this request any more."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:
            self.logger.exception("A request could not be answered.")
            await self._break_off()
        else:
            if not (self.response_complete or self.disconnected):
                self.logger.error("A request got no whole answer.")
                await self._break_off()
        finally:
            self.on_response = _nothing
            self.owner.tasks.discard(self.task)

    async def _break_off(self) -> None:
        if self.response_started:
            self.transport.close()
        elif not self.disconnected:
            await self.send_500_response()

    def wake(self) -> None:
        """Something came."""
        self._news = True
        if "message_event" in self.__dict__:
            self.message_event.set()

    def taken(self) -> bytes | None:
        """The whole body, once; None while some of it is under way, and for a client that has left."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body, self.body = bytes(self.body), bytearray()
        self._news = False
        if "message_event" in self.__dict__:
            self.message_event.clear()
        return body

    def answer(self, status: int, head: bytes, more: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Sends a whole answer, `head` being its lines for type and length; False when it must go as messages.

        Raises ValueError for a header with a line break in it.
        """
        if self.flow.write_paused or self.disconnected or self.response_started or self.transport.is_closing():
            return False
        pieces = [STATUS_LINE[status], self.owner.default_head(), head]
        for name, value in more:
            if _BAD.search(value) or _BAD.search(name):
                raise ValueError(f"The header {name!r} cannot have the value {value!r}.")
            pieces += [name, b": ", value, b"\r\n"]
        pieces.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        if self.scope["method"] != "HEAD":
            pieces.append(body)
        self.response_started = self.response_complete = True
        self.transport.write(b"".join(pieces))
        self.wake()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def _nothing() -> None:
    """What follows an answer that is over."""


class Protocol(HttpToolsProtocol):
    """One connection. When it is idle, the server's sweep closes it: a timer for each request would cost more."""

    idle_since: float | None = None
    """When its last answer was complete and no request followed so far, by the loop's clock."""
    _defaults: tuple[object, bytes] = (None, b"")

    def default_head(self) -> bytes:
        """The lines that every answer has; they change once a second."""
        now = self.server_state.default_headers
        if self._defaults[0] is not now:
            self._defaults = now, b"".join(b"%b: %b\r\n" % one for one in now)
        return self._defaults[1]

    def on_message_begin(self) -> None:
        """A request begins."""
        self.idle_since = None
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """As in uvicorn; what needs its care is left to it."""
        parser, url = self.parser, self.url
        if parser.should_upgrade() or not _PLAIN.fullmatch(url.partition(b"?")[0]) or b"#" in url:
            self.scope = self._scope()
            return super().on_headers_complete()
        path, _, query = url.partition(b"?")
        version = parser.get_http_version()
        self.scope = scope = self._scope()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = path.decode("ascii")
        scope["raw_path"] = path
        scope["query_string"] = query
        before = self.cycle
        self.cycle = exchange = Exchange(self, keep_alive=version != "1.0" and parser.should_keep_alive())
        scope["extensions"] = {"runyard": exchange}
        if before is None or before.response_complete:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        return None

    def _start(self, exchange: Exchange) -> None:
        exchange.task = task = self.loop.create_task(exchange.run_asgi(self.app))
        self.tasks.add(task)

    def _scope(self) -> Any:
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "state": {},
        }

    def on_body(self, body: bytes) -> None:
        """As in uvicorn."""
        cycle = self.cycle
        if not isinstance(cycle, Exchange):
            return super().on_body(body)
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.wake()
        return None

    def on_message_complete(self) -> None:
        """As in uvicorn."""
        cycle = self.cycle
        if not isinstance(cycle, Exchange):
            return super().on_message_complete()
        cycle.more_body = False
        cycle.wake()
        return None

    def on_response_complete(self) -> None:
        """As in uvicorn, but for the timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start(cycle) if isinstance(cycle, Exchange) else self._start_asgi_task(cycle, app)
        else:
            self.idle_since = self.loop.time()

    def close_if_idle(self, now: float) -> None:
        """Ends a connection on which no request came for too long."""
        if self.idle_since is not None and now - self.idle_since > self.timeout_keep_alive:
            self.timeout_keep_alive_handler()
