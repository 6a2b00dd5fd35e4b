"""Runs the ASGI application on uvicorn: says when it answers, and stops in the right order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from runyard.http.protocol import Protocol

DRAIN_SECONDS = 10
"""How long requests under way may take after a stop was asked for."""


class _Server(uvicorn.Server):
    """uvicorn, with two moments of ours: the port answers, and the end begins."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stopping: Callable[[], None],
        asked: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping
        self._asked = asked

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As in uvicorn; then says that it answers."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """As in uvicorn, ten times a second; then closes idle connections, once a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("Protocol", connection).close_if_idle(now)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The loop's own handlers. uvicorn's would raise the signal again at the end, and the exit code be its."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if self._asked():
            self._stop()
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self._stopping()
        self.should_exit = True


async def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    stopping: Callable[[], None],
    asked: Callable[[], bool] = lambda: False,
) -> None:
    """Serves on the listening socket until SIGTERM or SIGINT; returns when all requests are answered.

    `ready` is called once the port answers; `stopping` at the signal, and must end what would never end by
    itself (streams): requests under way are waited for. `asked` says whether a signal came before it was called.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    await _Server(config, ready, stopping, asked).serve(sockets=[listener])
