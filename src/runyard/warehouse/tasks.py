"""One attempt in the warehouse process: what it holds, and how it is stopped."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import duckdb

from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.checker import Plan
from runyard.warehouse.locks import Ticket
from runyard.warehouse.protocol import Why, result_of


class Stopped(Exception):
    """The attempt was asked to end."""


class Task:
    """An attempt that is held. Its lock guards the cursor: only a task's own query is ever interrupted."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.plan: Plan | None = None
        self.ticket: Ticket | None = None
        self.after: Task | None = None
        self.why: Why | None = None
        self.started_at = 0
        self.told_at = 0.0
        self.tells_itself = False
        """Whether the work reports its progress, so that DuckDB's is not told."""
        self.measure: Callable[[], float | None] = lambda: None
        """How much of the work is done, where that is better known than by DuckDB."""
        self.ender: Callable[[], None] | None = None
        """Ends what is not a query: a download."""
        self._lock = threading.Lock()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._done: threading.Event | None = None
        self._over = False

    def begin(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """From now on a stop interrupts this cursor; raises `Stopped` when it came before."""
        with self._lock:
            self._cursor = cursor
        self.check()
        self.started_at = now()
        self.told_at = time.monotonic()

    def check(self) -> None:
        """Raises `Stopped` when the attempt was asked to end."""
        if self.why is not None:
            raise Stopped

    def stop(self, why: Why) -> None:
        """Asks for the end; safe to repeat, since an interrupt between two statements is lost."""
        with self._lock:
            self.why = self.why or why
            if self.ticket is not None:
                self.ticket.ready.set()
            if self.ender is not None:
                self.ender()
            if self._cursor is not None:
                self._cursor.interrupt()

    @contextlib.contextmanager
    def ended_by(self, ender: Callable[[], None]) -> Iterator[None]:
        """Meanwhile a stop also calls this; at once when the stop came before."""
        with self._lock:
            self.ender = ender
            if self.why is not None:
                ender()
        try:
            yield
        finally:
            with self._lock:
                self.ender = None

    def fraction(self) -> float | None:
        """How much of the present query is done, 0 to 1, if it can be told."""
        if (measured := self.measure()) is not None:
            return measured
        with self._lock:
            done = self._cursor.query_progress() if self._cursor is not None else -1.0
        return min(done / 100, 1.0) if done >= 0 else None

    def leave(self) -> None:
        """The cursor is not this attempt's any more."""
        with self._lock:
            self._cursor = None

    def end(self) -> None:
        """Nothing of the attempt is left."""
        with self._lock:
            self._over = True
            if self._done is not None:
                self._done.set()

    def join(self) -> None:
        """Waits until nothing of the attempt is left."""
        with self._lock:
            if self._over:
                return
            self._done = self._done or threading.Event()
        self._done.wait()

    def stopped(self) -> Outcome:
        """How an attempt ends that was asked to."""
        ended = now()
        return Outcome(result=result_of(self.why or "cancel"), started_at=self.started_at or ended, ended_at=ended)


def now() -> int:
    """This machine's clock, in milliseconds."""
    return time.time_ns() // 1_000_000
