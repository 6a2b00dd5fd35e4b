"""Messages that a run owes: written in the transaction of what they tell, delivered by a duty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from runyard.core.changes import Changes
from runyard.core.errors import invalid
from runyard.core.graph import Plan
from runyard.core.model import JobSpec, Notification, Run, TaskRun
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
            _owe(ledger, run, one, f"run.{point}", {})
        if point == "start" and "duration" in one.on and spec.warn_after:
            _owe(ledger, run, one, "run.duration", {"limit_seconds": spec.warn_after}, spec.warn_after)


def _about_task(ledger: Ledger, run: Run, plan: Plan, slot: TaskRun, point: str, changes: Changes) -> None:
    task = plan.tasks[slot.task_key]
    told = {"task_run": _facts(slot)}
    for one in task.notifications:
        if point in one.on and (one.every_attempt or not _repeated(slot, point, changes)):
            _owe(ledger, run, one, f"task.{point}", told)
        if point == "start" and "duration" in one.on and task.warn_after:
            _owe(ledger, run, one, "task.duration", {**told, "limit_seconds": task.warn_after}, task.warn_after)


def _repeated(slot: TaskRun, point: str, changes: Changes) -> bool:
    """Whether it starts an attempt that is not the first, or ended one that is not the last."""
    if point == "start":
        return slot.attempt > 0
    following = (slot.task_key, slot.iteration, slot.attempt + 1)
    return any((one.task_key, one.iteration, one.attempt) == following for one in changes.added.values())


def _owe(ledger: Ledger, run: Run, one: Notification, event: str, told: dict[str, Any], seconds: float = 0.0) -> None:
    body = msgspec.json.encode({"event": event, "run": _about(run), **told}).decode()
    due = ledger.now() + round(seconds * 1000)
    for url in [one.url] if one.url else [f"{MAILTO}{address}" for address in one.email]:
        ledger.session.put(Delivery(ledger.draw(), run.id, url, event, body, 0, due))


def _about(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "job_id": run.job_id,
        "state": run.state.value,
        "reason": run.reason,
        "detail": run.detail,
        "round": run.round,
        "trigger": run.trigger,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def _facts(slot: TaskRun) -> dict[str, Any]:
    return {
        "id": slot.id,
        "key": slot.task_key,
        "attempt": slot.attempt,
        "state": slot.state.value,
        "reason": slot.reason,
        "detail": slot.detail,
        "started_at": slot.started_at,
        "ended_at": slot.ended_at,
    }
