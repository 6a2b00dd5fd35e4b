"""What is followed live: a run's events, woken by commits, and an attempt's log, read as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from runyard.api.wire import event_body
from runyard.core.model import Event, Run
from runyard.core.states import TERMINAL
from runyard.engine.runs import Runs
from runyard.http.request import offload
from runyard.http.streams import KEEP_ALIVE, KEEP_ALIVE_SECONDS, message, woken

PAGE = 500
"""Events read at once."""
PIECE = 64 * 1024
"""Bytes of a log read at once."""
POLL_SECONDS = 0.2
"""How often a log is looked at. Its writer is another process, whose writes wake nobody here."""

_encode = msgspec.json.Encoder().encode


async def follow_events(runs: Runs, run_id: int, after: int) -> AsyncGenerator[bytes, None]:
    """A run's events from after this number on, until the run is over and all of them were said."""
    wake = asyncio.Event()
    forget = runs.watch(run_id, wake.set)
    try:
        while True:
            wake.clear()
            # The run is read before its events: so `seq` cannot be ahead of an event that was not read yet.
            run, events = await offload(_news, runs, run_id, after)
            for event in events:
                yield message(event.kind, _encode(event_body(event)), event.seq)
                after = event.seq
            if run.state in TERMINAL and after >= run.seq:
                yield message("end", _encode({"state": run.state}))
                return
            if after < run.seq:
                continue
            if not await woken(wake, KEEP_ALIVE_SECONDS):
                yield KEEP_ALIVE
    finally:
        forget()


def _news(runs: Runs, run_id: int, after: int) -> tuple[Run, list[Event]]:
    return runs.get(run_id), runs.events(run_id, after, PAGE)


async def follow_log(runs: Runs, task_run_id: int, at: int) -> AsyncGenerator[bytes, None]:
    """A log from this byte on, until its attempt is over and all of it was said."""
    quiet = 0.0
    while True:
        # The state is read before the bytes: after a terminal state nothing more is written.
        over, piece = await offload(_piece, runs, task_run_id, at)
        text = piece if over else whole_characters(piece)
        if text:
            at += len(text)
            yield message("log", _encode({"offset": at - len(text), "text": text.decode(errors="replace")}), at)
            quiet = 0.0
        elif over:
            yield message("end", _encode({"offset": at}), at)
            return
        else:
            await asyncio.sleep(POLL_SECONDS)
            quiet += POLL_SECONDS
            if quiet >= KEEP_ALIVE_SECONDS:
                yield KEEP_ALIVE
                quiet = 0.0


def _piece(runs: Runs, task_run_id: int, at: int) -> tuple[bool, bytes]:
    """Whether the attempt is over, and what stands in its log from `at` on."""
    over = runs.task_run(task_run_id).state in TERMINAL
    data, size = runs.log(task_run_id, at, at + PIECE)
    return over and at + len(data) >= size, data


def whole_characters(data: bytes) -> bytes:
    """The bytes without a UTF-8 character that is cut off at their end; its rest comes with the next piece."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        return data[:-back] if length > back else data
    return data
