"""Back-offs that are over, attempts and runs whose time is over."""

from __future__ import annotations

from runyard.core import lifecycle
from runyard.core.errors import Code, RunyardError
from runyard.engine.ledger import Ledger


def run_due(ledger: Ledger) -> None:
    """Advances everything whose moment has come."""
    due = ledger.session.due(ledger.now())
    for task_run_id, run_id in due.retries:
        _advance(ledger, run_id, lifecycle.Due(task_run_id))
    for task_run_id, run_id in due.expired_tasks:
        _advance(ledger, run_id, lifecycle.ExpireTask(task_run_id))
    for run_id in due.expired_runs:
        _advance(ledger, run_id, lifecycle.ExpireRun())


def _advance(ledger: Ledger, run_id: int, event: lifecycle.Input) -> None:
    try:
        ledger.advance(run_id, event)
    except RunyardError as error:
        if error.code is not Code.NOT_FOUND:  # deleted since it was found due
            raise
