"""Messages that a run owes: written in the transaction of what they tell, delivered by a duty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from runyard.core.changes import Changes
from runyard.core.errors import invalid
from runyard.core.graph import Plan
from runyard.core.model import JobSpec, Notification, Run, TaskRun
from runyard.core.notices import filled, message
from runyard.core.states import State
from runyard.store.base import Delivery

if TYPE_CHECKING:
    from runyard.engine.ledger import Ledger

MAILTO = "mailto:"
"""Before the address of a message that goes by e-mail."""
_POINT = {
    State.RUNNING: "start",
    State.SUCCEEDED: "success",
    State.FAILED: "failure",
    State.TIMED_OUT: "failure",
    State.LOST: "failure",
    State.CANCELLED: "cancelled",
    State.SKIPPED: "skipped",
}


def check_mail(spec: JobSpec, *, mail: bool) -> None:
    """Refuses e-mail where no mail server is set: nobody would ever be told."""
    for place, notifications in _everywhere(spec):
        for index, one in enumerate(notifications):
            if one.email and not mail:
                said = "This server sends no e-mail. Set smtp_url and mail_from, or give a webhook (url)."
                raise invalid(said, field=f"{place}[{index}].email")


def _everywhere(spec: JobSpec) -> Iterator[tuple[str, list[Notification]]]:
    yield "notifications", spec.notifications
    for index, task in enumerate(spec.tasks):
        yield f"tasks[{index}].notifications", task.notifications


def owe(ledger: Ledger, run: Run, plan: Plan, changes: Changes) -> None:
    """Queues a message for each notification of the job and its tasks that this change concerns."""
    if changes.new_run and run.state is State.SKIPPED:  # over its job's limit: it was never anything else
        _about_run(ledger, run, plan.spec, "skipped")
    for event in changes.events:
        point = _POINT.get(event.state) if event.kind == "state" and event.state else None
        if point is None:
            continue
        if event.task_run_id is None:
            _about_run(ledger, run, plan.spec, point)
        else:
            slot = changes.updated.get(event.task_run_id) or changes.added.get(event.task_run_id)
            if slot is not None and slot.iteration < 0:
                _about_task(ledger, run, plan, slot, point, changes)


def _about_run(ledger: Ledger, run: Run, spec: JobSpec, point: str) -> None:
    for one in spec.notifications:
        if point in one.on:
            _owe(ledger, one, run, None, point)
        if point == "start" and "duration" in one.on and spec.warn_after:
            _owe(ledger, one, run, None, "duration", spec.warn_after)


def _about_task(ledger: Ledger, run: Run, plan: Plan, slot: TaskRun, point: str, changes: Changes) -> None:
    task = plan.tasks[slot.task_key]
    for one in task.notifications:
        if point in one.on and (one.every_attempt or not _repeated(slot, point, changes)):
            _owe(ledger, one, run, slot, point)
        if point == "start" and "duration" in one.on and task.warn_after:
            _owe(ledger, one, run, slot, "duration", task.warn_after)


def _repeated(slot: TaskRun, point: str, changes: Changes) -> bool:
    """Whether it starts an attempt that is not the first, or ended one that is not the last."""
    if point == "start":
        return slot.attempt > 0
    following = (slot.task_key, slot.iteration, slot.attempt + 1)
    return any((one.task_key, one.iteration, one.attempt) == following for one in changes.added.values())


def _owe(
    ledger: Ledger, one: Notification, run: Run, slot: TaskRun | None, point: str, seconds: float | None = None
) -> None:
    event = f"{'task' if slot else 'run'}.{point}"
    told = message(event, run, slot, seconds)
    if one.body is not None:
        told["send"] = filled(one.body, told)
    body = msgspec.json.encode(told).decode()
    due = ledger.now() + round((seconds or 0) * 1000)
    for url in [one.url] if one.url else [f"{MAILTO}{address}" for address in one.email]:
        ledger.session.put(Delivery(ledger.draw(), run.id, url, event, body, 0, due))
