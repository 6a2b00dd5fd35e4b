"""A transport that sends what is written in one turn of the loop with one system call.

An answer is written in two pieces, its head and its body. On a kept connection each piece would be a system call
and a packet of its own, and together they cost more than anything else that HTTP does here.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST_BYTES = 64 * 1024
"""More than this does not wait, so that the transport's own flow control sees it."""


class Gathered(asyncio.Transport):
    """Passes everything on to the transport below; writes go at the end of the turn."""

    def __init__(self, below: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._below = below
        self._loop = loop
        self._pieces: list[Any] = []

    def write(self, data: Any) -> None:
        """Keeps the piece until the end of this turn."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)
        if len(data) > MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._below.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """Sends what waits, then closes."""
        self._flush()
        self._below.close()

    def abort(self) -> None:
        """Closes at once."""
        self._pieces.clear()
        self._below.abort()

    def is_closing(self) -> bool:
        """As below."""
        return self._below.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As below."""
        return self._below.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """As below."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """As below."""
        self._below.resume_reading()
