"""What is written in one turn of the loop leaves with one system call, in order, and all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from runyard.http.gathered import MOST_BYTES, Gathered


class Wire(asyncio.Transport):
    """Remembers what it was given, and when it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.ended = ""

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


def on_a_loop(body: Callable[[Gathered, Wire], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        wire = Wire()
        await body(Gathered(wire, asyncio.get_running_loop()), wire)

    asyncio.run(run())


def test_pieces_of_one_turn_are_sent_together() -> None:
    async def body(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"head ")
        gathered.write(b"body")
        assert wire.sent == []
        await asyncio.sleep(0)
        gathered.write(b"next")
        await asyncio.sleep(0)
        assert wire.sent == [b"head body", b"next"]

    on_a_loop(body)


def test_a_large_piece_takes_what_waits_with_it_at_once() -> None:
    async def body(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"head ")
        gathered.write(b"x" * (MOST_BYTES + 1))
        assert wire.sent == [b"head " + b"x" * (MOST_BYTES + 1)]
        await asyncio.sleep(0)
        assert len(wire.sent) == 1

    on_a_loop(body)


def test_closing_sends_what_waits_and_aborting_does_not() -> None:
    async def closing(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"last words")
        gathered.close()
        assert (wire.sent, wire.ended) == ([b"last words"], "closed")

    async def aborting(gathered: Gathered, wire: Wire) -> None:
        gathered.write(b"last words")
        gathered.abort()
        await asyncio.sleep(0)
        assert (wire.sent, wire.ended) == ([], "aborted")

    on_a_loop(closing)
    on_a_loop(aborting)
