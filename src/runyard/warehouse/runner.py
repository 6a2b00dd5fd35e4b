"""Holds the attempts of a warehouse process: takes them in order, runs them on a pool of threads, stops them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, EffectKey, Finished, Outcome, Progress, Started
from runyard.core.states import Reason
from runyard.warehouse import sql
from runyard.warehouse.database import Database
from runyard.warehouse.effects import Effects
from runyard.warehouse.failures import LoadFailed, is_full
from runyard.warehouse.kinds import Kind
from runyard.warehouse.locks import WriterLocks
from runyard.warehouse.outbox import Outbox
from runyard.warehouse.planned import planned
from runyard.warehouse.protocol import Stop
from runyard.warehouse.reads import Reads
from runyard.warehouse.refused import Refused
from runyard.warehouse.seat import Seat
from runyard.warehouse.tasks import Stopped, Task, now

_FULL = "The disk is full: nothing was changed. Make room where the warehouse keeps its data, and try again."
_TICK_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5
_WAIT_TOLD_SECONDS = 0.2


class Runner:
    """The attempts of one database. `accept` and `stop` are called by one thread, in the server's order."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        kinds: Mapping[type, Kind],
        effects: Effects,
        reads: Reads,
        locks: WriterLocks,
        *,
        threads: int,
        attempts: Path,
    ) -> None:
        self._database, self._outbox, self._attempts = database, outbox, attempts
        self._kinds, self._once, self._reads, self._locks = kinds, effects, reads, locks
        self._lock = threading.Lock()
        self._held: dict[tuple[int, int], Task] = {}
        self._effects: dict[EffectKey, Task] = {}
        self._running: set[Task] = set()
        self._waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"work-{number}", daemon=True).start()
        threading.Thread(target=self._tick, name="ticker", daemon=True).start()

    def accept(self, assignments: Sequence[Assignment]) -> None:
        """Takes attempts in their order: the places of writers in the line are given here."""
        for assignment in assignments:
            task = Task(assignment)
            self._hold(task)
            if self._prepare(task):
                self._waiting.put(task)

    def stop(self, asked: Stop) -> None:
        """Ends an attempt: at once when it has not begun, else by an interrupt that is repeated until it ends."""
        task = self._held.get((asked.task_run_id, asked.token))
        if task is not None:
            self._stop(task, asked)

    def _stop(self, task: Task, asked: Stop) -> None:
        task.stop(asked.why)
        if task not in self._running:
            self._finish(task, task.stopped())

    def _hold(self, task: Task) -> None:
        """A newer token of the same effect ends the older attempt first."""
        key = task.assignment
        with self._lock:
            self._held[key.task_run_id, key.token] = task
            older = self._effects.get(key.effect)
            self._effects[key.effect] = task
        if older is not None:
            task.after = older
            self._stop(older, Stop(older.assignment.task_run_id, older.assignment.token, "cancel"))

    def _prepare(self, task: Task) -> bool:
        """Checks the text and gives a writer its place; an attempt that cannot run ends here."""
        try:
            tables = self._tables(task)
        except (Refused, duckdb.Error) as error:
            self._finish(task, _failed(task, error, self._reason(task)))
            return False
        except Exception as error:  # no text may end the thread that all attempts come through
            refused = Refused(f"The statement cannot be analysed ({error}).")
            self._finish(task, _failed(task, refused, self._reason(task)))
            return False
        if tables is None or tables:
            task.ticket = self._locks.take(tables)
        return True

    def _tables(self, task: Task) -> frozenset[str] | None:
        """The tables that an attempt writes: none when it only reads, None when that cannot be told."""
        action = task.assignment.action
        if (kind := self._kinds.get(type(action))) is not None:
            return kind.tables(action)
        if not isinstance(action, Sql):
            raise Refused(f"The warehouse does not run {type(action).__name__} tasks.")
        task.plan = planned(action.statement, action.dialect)
        return task.plan.tables if task.plan.writes else frozenset()

    def _reason(self, task: Task) -> Reason:
        kind = self._kinds.get(type(task.assignment.action))
        return Reason.SQL_ERROR if kind is None else kind.reason

    def _work(self) -> None:
        seat = Seat(self._database)
        while True:
            self._run(self._waiting.get(), seat)
            seat.ready()

    def _begun(self, task: Task) -> bool:
        """Whether the attempt may run: it is still held, and from now on ends by itself."""
        key = (task.assignment.task_run_id, task.assignment.token)
        with self._lock:
            held = self._held.get(key) is task
            if held:
                self._running.add(task)
            return held

    def _run(self, task: Task, seat: Seat) -> None:
        if not self._begun(task):
            return
        try:
            self._wait(task)
            outcome = self._attempt(task, seat)
        except Stopped:
            outcome = task.stopped()
        self._finish(task, outcome)

    def _wait(self, task: Task) -> None:
        """Waits for the older attempt of the same effect, and for the writers before this one."""
        if task.after is not None:
            task.after.join()
            task.after = None
        if task.ticket is not None and not task.ticket.ready.wait(_WAIT_TOLD_SECONDS):
            self._tell(task, {"message": "Waits for earlier writers of the same tables."})
            task.ticket.ready.wait()
        task.check()

    def _attempt(self, task: Task, seat: Seat) -> Outcome:
        reason, whole = self._reason(task), False
        try:
            cursor = seat.take(getattr(task.assignment.action, "schema", "main"))
            task.begin(cursor)
            self._started(task)
            outcome = self._do(task, cursor)
            whole = True
            return outcome
        except (Refused, LoadFailed, duckdb.Error, OSError, ValueError, ArithmeticError) as error:
            return task.stopped() if task.why else _failed(task, error, reason)
        except Exception as error:
            if isinstance(error, Stopped) or task.why:
                return task.stopped()
            return _failed(task, error, Reason.INTERNAL)
        finally:
            task.leave()  # before the question: no interrupt comes after this
            seat.leave(clean=whole and task.ticket is None and task.why is None)

    def _do(self, task: Task, cursor: duckdb.DuckDBPyConnection) -> Outcome:
        if task.plan is not None:
            return sql.run(task, task.plan, cursor, self._attempts, self._once, self._reads)
        return self._kinds[type(task.assignment.action)].run(task, cursor, self._tell)

    def _started(self, task: Task) -> None:
        key = task.assignment
        self._outbox.add(Started(key.task_run_id, key.token, task.started_at))

    def _tell(self, task: Task, data: dict[str, object]) -> None:
        key = task.assignment
        self._outbox.add(Progress(key.task_run_id, key.token, now(), data))

    def _finish(self, task: Task, outcome: Outcome) -> None:
        """Ends an attempt; the second of two calls does nothing."""
        key = task.assignment
        with self._lock:
            if self._held.get((key.task_run_id, key.token)) is not task:
                return
            del self._held[key.task_run_id, key.token]
            self._running.discard(task)
            if self._effects.get(key.effect) is task:
                del self._effects[key.effect]
        if task.ticket is not None:
            self._locks.give_back(task.ticket)
        task.end()
        report = Finished(key.task_run_id, key.token, now(), outcome)
        self._outbox.add(report, flush=self._waiting.empty())

    def _tick(self) -> None:
        """Repeats interrupts that came between two statements, and tells how far long work is."""
        while True:
            time.sleep(_TICK_SECONDS)
            with self._lock:
                running = list(self._running)
            for task in running:
                self._look_at(task)

    def _look_at(self, task: Task) -> None:
        if task.why is not None:
            task.stop(task.why)
        elif task.started_at and not task.tells_itself and time.monotonic() - task.told_at >= _PROGRESS_SECONDS:
            task.told_at = time.monotonic()
            if (fraction := task.fraction()) is not None:
                self._tell(task, {"fraction": round(fraction, 4)})


def _failed(task: Task, error: Exception, reason: Reason) -> Outcome:
    """A failure as data: the first line for people, the whole message beside it."""
    message = _FULL if is_full(error) else str(error).strip() or type(error).__name__
    ended = now()
    return Outcome(
        result="failed",
        reason=reason,
        detail=message.splitlines()[0][:1000],
        error={"type": type(error).__name__, "message": message[:10_000]},
        started_at=task.started_at or ended,
        ended_at=ended,
        retry=not isinstance(error, Refused | duckdb.ParserException) and getattr(error, "retry", True),
    )
