"""A run as it goes: its states, its events and its tasks' logs, until it has ended."""

from __future__ import annotations

import codecs
import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from runyard.client.client import Client
from runyard.client.errors import Error
from runyard.client.transport import persist
from runyard.client.views import Event, Run, TaskRun
from runyard.core.states import TERMINAL, State

TICK = 0.5
"""Seconds between looks at progress and logs while no event comes."""
GATHER = 0.03
"""Seconds for which events are gathered, so that a burst costs one look."""
PIECE = 256 * 1024
"""Bytes of one log that are read in one step."""


class Line(NamedTuple):
    """One line of an attempt's log, without its end."""

    task: TaskRun
    text: str


class Update(NamedTuple):
    """What is new: the run as it is now, and what came since the update before."""

    run: Run
    events: list[Event]
    lines: list[Line]


def follow(client: Client, run_id: int, *, after: int = 0, logs: bool = True) -> Iterator[Update]:
    """Updates until the run has ended; the last one holds its end. `after` is the last event already seen.

    Survives a restart of the server. Raises `Error` when the run cannot be read any more.
    """
    feed = _Feed(client, run_id, after)
    tails = _Tails(client) if logs else None
    while True:
        events, over = feed.gather()
        run = persist(lambda: client.get(run_id))
        if run.finished and not over:
            events += feed.rest(run.seq)
        yield Update(run, events, tails.read(run, events) if tails else [])
        if run.finished:
            return


class _Feed:
    """The events of a run, read in a thread of their own so that progress can be looked at meanwhile."""

    def __init__(self, client: Client, run_id: int, after: int) -> None:
        self._client = client
        self._run_id = run_id
        self._seen = after
        self._queue: queue.SimpleQueue[Event | Error | None] = queue.SimpleQueue()
        threading.Thread(target=self._pump, name="runyard-events", daemon=True).start()

    def _pump(self) -> None:
        try:
            for event in self._client.events(self._run_id, after=self._seen, follow=True):
                self._queue.put(event)
            self._queue.put(None)
        except Error as error:
            self._queue.put(error)
        except RuntimeError:
            self._queue.put(None)  # the client was closed under the stream: whoever followed has gone

    def gather(self, wait: float = TICK) -> tuple[list[Event], bool]:
        """The events that came within the wait, and whether the stream is over."""
        events: list[Event] = []
        while True:
            try:
                event = self._queue.get(timeout=wait)
            except queue.Empty:
                return events, False
            if event is None:
                return events, True
            if isinstance(event, Error):
                raise event
            self._seen = event.seq
            events.append(event)
            wait = GATHER

    def rest(self, last: int) -> list[Event]:
        """The events up to a sequence number that the stream has not brought yet."""
        return [event for event in self._client.events(self._run_id, after=self._seen) if event.seq <= last]


class _Tails:
    """The logs of a run's attempts, read from where each was left."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tails: dict[int, _Tail] = {}
        self._done: set[int] = set()

    def read(self, run: Run, events: list[Event]) -> list[Line]:
        """The lines that were written since the last call, attempt by attempt."""
        known = {task.id: task for task in run.tasks}
        ended = {event.task_run_id for event in events if event.state in TERMINAL}
        ended |= {task.id for task in run.tasks if task.finished}
        for task_run_id in self._begun(run, events):
            task = known.get(task_run_id) or persist(partial(self._client.task_run, task_run_id))
            self._tails[task_run_id] = _Tail(task)
        lines: list[Line] = []
        for task_run_id, tail in list(self._tails.items()):
            is_last = run.finished or task_run_id in ended
            lines += tail.read(self._client, last=is_last)
            if is_last:
                self._done.add(task_run_id)
                del self._tails[task_run_id]
        return lines

    def _begun(self, run: Run, events: list[Event]) -> list[int]:
        begun = [event.task_run_id for event in events if event.task_run_id and event.state is State.RUNNING]
        begun += [task.id for task in run.tasks if task.started_at and (not task.finished or task.id in begun)]
        return [one for one in dict.fromkeys(begun) if one not in self._done and one not in self._tails]


class _Tail:
    """One attempt's log."""

    def __init__(self, task: TaskRun) -> None:
        self.task = task
        self._offset = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, client: Client, *, last: bool) -> list[Line]:
        """New whole lines; with `last` everything that is left."""
        if self.task.executor not in {"process", ""}:
            return []
        lines: list[str] = []
        while piece := persist(lambda: client.log(self.task.id, self._offset, self._offset + PIECE)):
            self._offset += len(piece)
            *whole, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
            lines += whole
            if not last and len(piece) < PIECE:
                break
        if last and self._rest:
            lines.append(self._rest)
            self._rest = ""
        return [Line(self.task, line.rstrip("\r")) for line in lines]
