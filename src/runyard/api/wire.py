"""Pure translations between the bodies of the native API and the core's values."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from runyard.api.bodies import (
    Backfilled,
    BatchGiven,
    Body,
    BookmarkBody,
    EventBody,
    FiringBody,
    JobBody,
    JobVersionBody,
    PlannedBody,
    PreviewBody,
    PrincipalBody,
    QueueBody,
    QueueGiven,
    RunBody,
    ScheduleBody,
    SubmitGiven,
    TaskRunBody,
    TickBody,
    TriggerBody,
)
from runyard.api.times import say, say_or_none
from runyard.core.actions import kind_of
from runyard.core.commands import Submit
from runyard.core.errors import invalid
from runyard.core.model import (
    Bookmark,
    Event,
    Job,
    JobSpec,
    JobVersion,
    Principal,
    Queue,
    Run,
    Task,
    TaskRun,
)
from runyard.core.triggers import Firing, Trigger
from runyard.engine.schedules import Backfill, Outlook
from runyard.engine.triggers import Preview

B = TypeVar("B", bound=Body)

MAX_BATCH = 1000


def submit(given: SubmitGiven, idempotency_key: str | None = None, place: str = "") -> Submit:
    """The command of a submission; `place` is where in the body it stands. Raises `invalid`."""
    if (given.job is None) is (given.spec is None):
        raise invalid("Give exactly one of job (an id) and spec (a definition).", field=f"{place}job")
    return Submit(
        job_id=given.job,
        spec=given.spec,
        parameters=given.parameters,
        name=given.name,
        queue=given.queue,
        priority=given.priority,
        tags=given.tags,
        only=given.only,
        idempotency_key=idempotency_key,
    )


def submissions(given: BatchGiven) -> list[Submit]:
    """The commands of a batch; raises `invalid` with the element's place."""
    if not 1 <= len(given.runs) <= MAX_BATCH:
        raise invalid(f"runs must hold 1 to {MAX_BATCH} submissions; it holds {len(given.runs)}.", field="runs")
    return [submit(one, place=f"runs[{index}].") for index, one in enumerate(given.runs)]


def run_body(
    run: Run, waiting: str | None = None, tasks: list[TaskRunBody] | None = None, spec: JobSpec | None = None
) -> RunBody:
    """A run as the API says it."""
    return RunBody(
        id=run.id,
        job_id=run.job_id,
        job_version=run.job_version,
        name=run.name,
        workspace=run.workspace,
        origin=run.origin,
        state=run.state,
        reason=run.reason,
        detail=run.detail,
        waiting=waiting,
        created_at=say(run.created_at),
        submitted_by=run.submitted_by,
        queue=run.queue,
        priority=run.priority,
        trigger=run.trigger,
        scheduled_at=_scheduled(run) if run.extras else None,
        parameters=run.parameters,
        tags=run.tags,
        admitted_at=None if run.admitted_at is None else say(run.admitted_at),
        started_at=None if run.started_at is None else say(run.started_at),
        ended_at=None if run.ended_at is None else say(run.ended_at),
        deadline_at=None if run.deadline_at is None else say(run.deadline_at),
        round=run.round,
        seq=run.seq,
        depth=run.depth,
        parent_task_run_id=run.parent_task_run_id,
        rerun_of=run.rerun_of,
        extras=run.extras,
        tasks=tasks,
        spec=spec,
    )


def _said(value: msgspec.Struct, body: type[B], **more: Any) -> B:
    """The body whose fields are the value's own by name, times as text; `more` holds what the value lacks."""
    for name in body.__struct_fields__:
        if name not in more:
            own = getattr(value, name)
            more[name] = say_or_none(own) if name == "at" or name.endswith("_at") else own
    return body(**more)


def task_run_body(
    task_run: TaskRun, task: Task | None, waiting: str | None, progress: dict[str, Any] | None
) -> TaskRunBody:
    """A task run as the API says it; `task` is its definition."""
    kind, needs = (kind_of(task.action), task.needs) if task else ("", [])
    return _said(task_run, TaskRunBody, kind=kind, needs=needs, waiting=waiting, progress=progress)


def in_order(task_runs: list[TaskRun], spec: JobSpec) -> list[tuple[TaskRun, Task | None]]:
    """Task runs with their definitions, in the order of these, then by iteration, then by age."""
    order = {task.key: (place, task) for place, task in enumerate(spec.tasks)}
    last = (len(order), None)
    ordered = sorted(task_runs, key=lambda one: (order.get(one.task_key, last)[0], one.iteration, one.id))
    return [(one, order.get(one.task_key, last)[1]) for one in ordered]


def _scheduled(run: Run) -> str | None:
    kept = run.extras.get("schedule")
    return say_or_none(kept.get("at")) if isinstance(kept, dict) else None


def job_body(job: Job, outlook: Outlook | None = None) -> JobBody:
    """A job as the API says it, with its schedule if that was asked for."""
    return _said(job, JobBody, name=job.spec.name, schedule=schedule_body(outlook) if outlook else None)


def schedule_body(outlook: Outlook) -> ScheduleBody:
    """A schedule as the API says it."""
    return ScheduleBody(
        schedule=outlook.schedule,
        paused=outlook.timetable.paused,
        next=[say(at) for at in outlook.next],
        last_at=say_or_none(outlook.timetable.last_at),
        ticks=[TickBody(at=say(one.at), run_id=one.run_id, detail=one.detail) for one in outlook.ticks],
    )


def backfilled(found: Backfill) -> Backfilled:
    """What a backfill did, as the API says it."""
    ids = [run.id for run in found.runs]
    return Backfilled(times=[say(at) for at in found.times], ids=ids, next=say_or_none(found.next))


def trigger_body(trigger: Trigger) -> TriggerBody:
    """A trigger as the API says it."""
    return _said(trigger, TriggerBody)


def firing_body(firing: Firing) -> FiringBody:
    """A firing as the API says it."""
    return _said(firing, FiringBody)


def preview_body(preview: Preview) -> PreviewBody:
    """What a trigger would do, as the API says it."""
    starts = [_said(one, PlannedBody) for one in preview.starts]
    return _said(preview, PreviewBody, starts=starts, next=[say(at) for at in preview.next])


def version_body(version: JobVersion) -> JobVersionBody:
    """A job's version as the API says it."""
    return _said(version, JobVersionBody)


def event_body(event: Event) -> EventBody:
    """An event as the API says it."""
    return _said(event, EventBody)


def bookmark_body(bookmark: Bookmark) -> BookmarkBody:
    """A bookmark as the API says it."""
    return _said(bookmark, BookmarkBody)


def principal_body(principal: Principal) -> PrincipalBody:
    """A principal as the API says it; nothing of it is secret."""
    return _said(principal, PrincipalBody)


def queue_body(queue: Queue, active: int, waiting: int) -> QueueBody:
    """A queue as the API says it."""
    return _said(queue, QueueBody, active=active, waiting=waiting)


def queue(name: str, given: QueueGiven, present: Queue) -> Queue:
    """The queue with what was given laid over what it is."""
    changes = {field: getattr(given, field) for field in given.__struct_fields__}
    changes = {field: value for field, value in changes.items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(present, name=name, **changes)
