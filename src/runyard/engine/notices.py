"""Webhook messages that a run owes: written in the transaction of what they tell, delivered by a duty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runyard.core.changes import Changes
from runyard.core.model import JobSpec, Run
from runyard.core.states import State
from runyard.store.base import Delivery

if TYPE_CHECKING:
    from runyard.engine.ledger import Ledger

_POINT = {State.RUNNING: "start", State.SUCCEEDED: "success", State.FAILED: "failure", State.TIMED_OUT: "failure"}


def owe(ledger: Ledger, run: Run, spec: JobSpec, changes: Changes) -> None:
    """Queues a message for each notification of the job that this change concerns."""
    points = {
        _POINT[event.state]
        for event in changes.events
        if event.kind == "state" and event.task_run_id is None and event.state in _POINT
    }
    for notification in spec.notifications:
        for point in sorted(points & set(notification.on)):
            now = ledger.now()
            delivery = Delivery(ledger.draw(), run.id, notification.url, point, _body(run, point), 0, now)
            ledger.session.put(delivery)


def _body(run: Run, point: str) -> str:
    told: dict[str, Any] = {
        "event": f"run.{point}",
        "run": {
            "id": run.id,
            "name": run.name,
            "job_id": run.job_id,
            "state": run.state.value,
            "reason": run.reason,
            "detail": run.detail,
            "started_at": run.started_at,
            "ended_at": run.ended_at,
        },
    }
    return msgspec.json.encode(told).decode()
