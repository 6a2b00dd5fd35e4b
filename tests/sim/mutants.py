"""Broken engines, by name: each leaves out one thing that the design promises, and the checks must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from runyard.core import changes, control, lifecycle, schedule
from runyard.core.attempts import Progress
from runyard.core.model import Tick, Timetable
from runyard.core.retry import may_retry
from runyard.core.states import ACTIVE, TERMINAL, Move, Reason, State, advance
from runyard.engine import arrivals, firings, runs, timetables, worker, writer
from runyard.engine.duties import firer, scheduler, timers
from runyard.engine.engine import Engine
from runyard.engine.ledger import Ledger
from runyard.engine.worker import Worker
from runyard.store.base import DueWork, Submission
from runyard.store.sqlite import SqliteSession

from .store import WatchedSession

Patch = tuple[object, str, Any]
MUTANTS: dict[str, Callable[[], list[Patch]]] = {}


def mutant(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Registers one under its function's name."""
    MUTANTS[make.__name__] = make
    return make


@contextmanager
def broken(name: str | None) -> Iterator[None]:
    """The engine with this mutation, or as it is."""
    with ExitStack() as stack:
        for owner, attribute, value in MUTANTS[name]() if name else []:
            stack.enter_context(patch.object(owner, attribute, value))
        yield


@mutant
def no_token_check() -> list[Patch]:
    """A report counts whichever claim it comes from."""

    def held(d: Any, task_run_id: int, token: int) -> Any:
        slot = d.find(task_run_id)
        return slot if slot is not None and slot.state in ACTIVE else None

    return [(lifecycle, "_held", held), (Worker, "recorder", _record_all)]


def _record_all(self: Worker, reports: Any) -> Callable[[Ledger], None]:
    """Records reports whether or not this server holds their claims."""

    def record(book: Ledger) -> None:
        for one in reports:
            row = book.session.task_run(one.task_run_id)
            if row is not None:
                self._record_one(book, row.run_id, one)

    return record


@mutant
def no_cancel_check_at_retry() -> list[Patch]:
    """A failed attempt is tried again although the run is being cancelled."""

    def failed(d: Any, slot: Any, out: Any) -> None:
        slot = d.move(slot, Move.FAIL, reason=out.reason, detail=out.detail, **lifecycle._facts(d, out))
        policy = d.snapshot.task_of(slot).retries
        if may_retry(policy, slot.failures, timed_out=False) and slot.executor != "engine":
            d.add(lifecycle._next_attempt(d, slot, State.QUEUED, failures=slot.failures + 1))
            d.changes.ready = True
        else:
            d.ended.append(slot)

    return [(lifecycle, "_ENDINGS", {**lifecycle._ENDINGS, "failed": failed})]


@mutant
def terminal_states_may_change() -> list[Patch]:
    """A later report overwrites how an attempt ended."""
    ends = {Move.SUCCEED: State.SUCCEEDED, Move.FAIL: State.FAILED, Move.LOSE: State.LOST}

    def held(d: Any, task_run_id: int, token: int) -> Any:
        slot = d.find(task_run_id)
        return slot if slot is not None and slot.token == token else None

    def any_advance(table: Any, state: State, move: Move) -> State:
        return ends[move] if state in TERMINAL and move in ends else advance(table, state, move)

    return [(lifecycle, "_held", held), (changes, "advance", any_advance), (Worker, "recorder", _record_all)]


@mutant
def slots_not_counted() -> list[Patch]:
    """Work is handed out however few slots its queue has."""
    return [(Worker, "_room", lambda self, book: (set(), {}))]


@mutant
def limit_not_checked_at_repair() -> list[Patch]:
    """A repaired run begins although its job has as many runs as it may."""
    repair = runs._repair

    def unlimited(book: Any, command: Any, by: str) -> Any:
        with patch.object(Ledger, "at_limit", lambda *_: False):
            return repair(book, command, by)

    return [(runs, "_repair", unlimited)]


@mutant
def idempotency_ignored() -> list[Patch]:
    """A submission that is sent again makes another run."""
    return [(runs, "_earlier", lambda *_: None), (runs, "Submission", _another_key)]


def _another_key(scope: str, key: str, digest: bytes, run_id: int, created_at: int) -> object:
    return Submission(f"{scope}/{run_id}", key, digest, run_id, created_at)


@mutant
def lost_attempts_not_added_again() -> list[Patch]:
    """A task whose worker vanished is given up at once."""
    return [(lifecycle, "LOSS_BUDGET", 0)]


@mutant
def waiting_runs_not_let_in() -> list[Patch]:
    """The end of a run does not let another one in."""
    return [(Ledger, "admit_waiting", lambda *_: None)]


@mutant
def snapshot_not_forgotten_after_undo() -> list[Patch]:
    """What a transaction changed in memory stays although it did not happen."""
    return [(Ledger, "undo", lambda *_: None)]


@mutant
def retry_claimed_before_it_is_due() -> list[Patch]:
    """A back-off ends at the first look."""
    due = SqliteSession.due

    def early(self: Any, now: int) -> DueWork:
        right = due(self, now)
        return DueWork(due(self, now + 10_000).retries, right.expired_tasks, right.expired_runs)

    event = timers._event
    hasty = (timers, "_event", lambda snapshot, timer, now: event(snapshot, timer, now + 10_000))
    return [(SqliteSession, "due", early), (SqliteSession, "next_due", lambda self: 0), hasty]


@mutant
def work_started_before_the_commit() -> list[Patch]:
    """Claimed work is handed to its executor before its claim is on disk."""
    execute = writer.Transactions.execute

    def eager(self: Any, commands: Any) -> Any:
        batch = execute(self, commands)
        self.committed(batch)
        batch.claims = None
        return batch

    return [(writer.Transactions, "execute", eager)]


@mutant
def places_not_given_back() -> list[Patch]:
    """The places of claims that did not happen stay taken."""
    return [(Worker, "give_back", lambda *_: None)]


@mutant
def cancels_forgotten_by_a_restart() -> list[Patch]:
    """A cancel that was recorded but not yet told to the executor is never told."""
    return [(Worker, "_stop_again", lambda *_: None)]


@mutant
def failed_reports_dropped() -> list[Patch]:
    """A report whose commit fails is not stored later."""
    execute = writer.LoopWriter.post

    def post(self: Any, command: Any, on_error: Any = None) -> None:
        dropped = (lambda error: None) if getattr(on_error, "__name__", "") == "again" else on_error
        execute(self, command, dropped)

    return [(writer.LoopWriter, "post", post)]


@mutant
def repeated_claim() -> list[Patch]:
    """A task that is queued no longer is claimed all the same."""
    room = worker.Worker._claim_one

    def claim_one(self: Any, book: Any, one: Any, claims: Any) -> Any:
        first = room(self, book, one, claims)
        if first is not None and first.attempt == 0 and first.task_run_id % 2:
            claims.add(self.executors[next(iter(self.executors))].name, msgspec.structs.replace(first))
        return first

    return [(worker.Worker, "_claim_one", claim_one)]


@mutant
def children_outlive_their_parents() -> list[Patch]:
    """A cancelled task lets the run that it started go on, and ends without it."""

    def stop(d: Any, slot: Any, move: Any, reason: Reason, detail: str) -> None:
        if slot.executor == "engine" and slot.child_run_id is not None:
            slot = d.move(slot, move, reason=reason, detail=detail, deadline_at=None)
            d.ended.append(d.move(slot, Move.STOP, reason=reason, detail=detail, ended_at=d.now))
        else:
            real(d, slot, move, reason, detail)

    real = control.stop
    return [(control, "stop", stop)]


@mutant
def ticks_forgotten() -> list[Patch]:
    """A schedule moves on without the run of its tick."""
    return [(timetables, "run_tick", lambda *_, **__: None)]


@mutant
def schedule_not_moved_on() -> list[Patch]:
    """The run of a tick is kept, and neither its line nor that the schedule moved on."""
    put = WatchedSession.put

    def forgetful(self: Any, record: Any) -> None:
        if not isinstance(record, Tick) and not (isinstance(record, Timetable) and record.last_at is not None):
            put(self, record)

    return [(WatchedSession, "put", forgetful)]


@mutant
def fires_again_in_a_chain() -> list[Patch]:
    """A trigger after runs fires at each end, also a second time in one chain."""
    return [(firings, "satisfied", _always)]


def _always(ledger: Ledger, trigger: Any, source: Any, run: Any) -> Any:
    if not any(firings._counts(ledger, trigger, watched, run) for watched in source.watch):
        return None
    chain, _ = firings.chain_of(ledger, run, by_hand=True)
    return firings.Seen(chain=chain, after=[run.id])


@mutant
def ends_not_told() -> list[Patch]:
    """Nothing is told of the ends of runs."""
    return [(firings, "satisfied", lambda *_: None), (arrivals, "rest", lambda *_: None)]


@mutant
def late_ticks_given_runs() -> list[Patch]:
    """Ticks that were missed get their runs although nobody wants them so late."""

    def generous(rule: Any, wanted: Any, *moments: int) -> Any:
        return due(rule, msgspec.structs.replace(wanted, misfire="catch_up", catch_up_limit=3), *moments)

    due = schedule.due
    return [(scheduler, "due", generous), (firer, "due", generous)]


@mutant
def starts_dropped() -> list[Patch]:
    """A start that comes together with progress is not kept."""
    record = Engine._record

    def dropping(self: Any, reports: Any) -> None:
        together = any(isinstance(one, Progress) for one in reports)
        record(self, [one for one in reports if isinstance(one, Progress)] if together else reports)

    return [(Engine, "_record", dropping)]


@mutant
def only_the_first_of_many_reports() -> list[Patch]:
    """Of what was reported while the server stood still, only the first is kept."""

    def record_all(self: Any) -> None:
        self._told = False
        if self._reported:
            self._record(self._reported.popleft())
            self._reported.clear()

    return [(Engine, "_record_all", record_all)]


@mutant
def live_runs_pruned() -> list[Patch]:
    """The pruner takes runs that are old enough, whether or not they are over."""

    def begun_before(self: Any, moment: int, limit: int) -> list[int]:
        rows = self.connection.execute("SELECT id FROM run WHERE created_at < ? LIMIT ?", (moment, limit))
        return [run_id for (run_id,) in rows]

    return [(SqliteSession, "ended_before", begun_before)]
