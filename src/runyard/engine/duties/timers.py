"""Back-offs that are over, attempts and runs whose time is over."""

from __future__ import annotations

from typing import NamedTuple

from runyard.core import lifecycle
from runyard.core.errors import Code, RunyardError
from runyard.core.graph import Snapshot
from runyard.engine.ledger import Ledger
from runyard.store.base import Reads


class Timer(NamedTuple):
    """A moment that has come for a run, or for one task run of it."""

    run_id: int
    task_run_id: int | None = None
    expires: bool = True
    """False: a back-off is over."""


def find(reads: Reads, now: int, _: int) -> list[Timer]:
    """Everything whose moment has come."""
    first = reads.next_due()
    if first is None or first > now:
        return []
    due = reads.due(now)
    found = [Timer(run_id, task_run_id, expires=False) for task_run_id, run_id in due.retries]
    found += [Timer(run_id, task_run_id) for task_run_id, run_id in due.expired_tasks]
    return [*found, *(Timer(run_id) for run_id in due.expired_runs)]


def handle(ledger: Ledger, timer: Timer) -> None:
    """Advances the run, if the moment still stands: it may have moved since it was read."""
    try:
        event = _event(ledger.snapshot(timer.run_id), timer, ledger.now())
        if event is not None:
            ledger.advance(timer.run_id, event)
    except RunyardError as error:
        if error.code is not Code.NOT_FOUND:  # deleted since it was found due
            raise


def _event(snapshot: Snapshot, timer: Timer, now: int) -> lifecycle.Input | None:
    if timer.task_run_id is None:
        deadline = snapshot.run.deadline_at
        return lifecycle.ExpireRun() if deadline is not None and deadline <= now else None
    slot = snapshot.find(timer.task_run_id)
    moment = None if slot is None else slot.deadline_at if timer.expires else slot.due_at
    if moment is None or moment > now:
        return None
    return lifecycle.ExpireTask(timer.task_run_id) if timer.expires else lifecycle.Due(timer.task_run_id)
