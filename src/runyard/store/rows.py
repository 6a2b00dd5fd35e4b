"""Values of the core as rows of a database, and back. Column orders follow the migrations.

States go in as they are: each is a text, and asking an enum for its value costs more than the rest of its row.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.model import (
    Bookmark,
    Document,
    Event,
    Job,
    JobSpec,
    JobVersion,
    Principal,
    Queue,
    Run,
    TaskRun,
    Tick,
    Timetable,
)
from runyard.core.states import State
from runyard.core.triggers import Firing, Trigger, TriggerSpec

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_spec = msgspec.json.Decoder(JobSpec).decode
_decode_trigger = msgspec.json.Decoder(TriggerSpec).decode
_STATES = {state.value: state for state in State}


def to_json(value: Any) -> str | None:
    """JSON text of a container; None when it is empty, which needs no bytes."""
    return _encode(value).decode() if value else None


def _json(value: Any) -> str:
    return _encode(value).decode()


def from_json(text: str | None, empty: Any = None) -> Any:
    """The value of JSON text."""
    return _decode(text) if text is not None else empty


def spec_json(spec: JobSpec) -> str:
    """A definition as it is kept."""
    return _encode(spec).decode()


def spec_of(text: str | bytes) -> JobSpec:
    """A kept definition."""
    return _decode_spec(text)


def run_insert(run: Run, spec: str | None) -> Row:
    """All columns of a new run."""
    return (
        run.id,
        run.job_id,
        run.job_version,
        run.name,
        run.workspace,
        run.origin,
        run.state,
        run.reason,
        run.detail,
        run.queue,
        run.priority,
        _json(run.parameters) if run.parameters else None,
        run.trigger,
        _json(run.tags) if run.tags else None,
        run.submitted_by,
        run.created_at,
        run.admitted_at,
        run.started_at,
        run.ended_at,
        run.deadline_at,
        run.round,
        run.seq,
        run.depth,
        run.parent_task_run_id,
        run.rerun_of,
        _json(run.extras) if run.extras else None,
        spec,
    )


def run_update(run: Run) -> Row:
    """The columns of a run that change, then its id."""
    return (
        run.state,
        run.reason,
        run.detail,
        to_json(run.parameters),
        run.admitted_at,
        run.started_at,
        run.ended_at,
        run.deadline_at,
        run.round,
        run.seq,
        run.id,
    )


RUN_WIDTH = 26
"""How many columns `run_of` takes."""


def run_of(row: Row) -> Run:
    """A run from its row."""
    return Run(
        id=row[0],
        job_id=row[1],
        job_version=row[2],
        name=row[3],
        workspace=row[4],
        origin=row[5],
        state=_STATES[row[6]],
        reason=row[7],
        detail=row[8],
        queue=row[9],
        priority=row[10],
        parameters=from_json(row[11], {}),
        trigger=row[12],
        tags=from_json(row[13], {}),
        submitted_by=row[14],
        created_at=row[15],
        admitted_at=row[16],
        started_at=row[17],
        ended_at=row[18],
        deadline_at=row[19],
        round=row[20],
        seq=row[21],
        depth=row[22],
        parent_task_run_id=row[23],
        rerun_of=row[24],
        extras=from_json(row[25], {}),
    )


def task_run_insert(one: TaskRun, output: str | None) -> Row:
    """All columns of a new task run."""
    return (
        one.id,
        one.run_id,
        one.task_key,
        one.iteration,
        one.round,
        one.attempt,
        one.failures,
        one.losses,
        one.state,
        one.reason,
        one.detail,
        one.executor,
        one.queue,
        one.priority,
        one.created_at,
        *_changing(one),
        output,
    )


def _changing(one: TaskRun) -> Row:
    return (
        one.queued_at,
        one.due_at,
        one.claimed_at,
        one.started_at,
        one.ended_at,
        one.deadline_at,
        one.worker,
        one.token,
        one.exit_code,
        one.child_run_id,
        None if one.input is None else _encode(one.input).decode(),
        _json(one.values) if one.values else None,
        _json(one.metrics) if one.metrics else None,
        _json(one.error) if one.error else None,
    )


def task_run_update(one: TaskRun, output: str | None) -> Row:
    """The columns of a task run that change, its output (None: as it is), then its id."""
    return (one.state, one.reason, one.detail, *_changing(one), output, one.id)


def task_run_of(row: Row) -> TaskRun:
    """A task run from its row."""
    return TaskRun(
        id=row[0],
        run_id=row[1],
        task_key=row[2],
        iteration=row[3],
        round=row[4],
        attempt=row[5],
        failures=row[6],
        losses=row[7],
        state=_STATES[row[8]],
        reason=row[9],
        detail=row[10],
        executor=row[11],
        queue=row[12],
        priority=row[13],
        created_at=row[14],
        queued_at=row[15],
        due_at=row[16],
        claimed_at=row[17],
        started_at=row[18],
        ended_at=row[19],
        deadline_at=row[20],
        worker=row[21],
        token=row[22],
        exit_code=row[23],
        child_run_id=row[24],
        input=from_json(row[25]),
        values=from_json(row[26], {}),
        metrics=from_json(row[27], {}),
        error=from_json(row[28]),
    )


def event_row(event: Event) -> Row:
    """All columns of an event; empty text is kept as NULL, which costs a byte."""
    return (
        event.run_id,
        event.seq,
        event.at,
        event.kind,
        event.task_run_id,
        event.state,
        event.reason or None,
        event.detail or None,
        event.by or None,
        _json(event.data) if event.data else None,
    )


def event_of(row: Row) -> Event:
    """An event from its row."""
    return Event(
        run_id=row[0],
        seq=row[1],
        at=row[2],
        kind=row[3],
        task_run_id=row[4],
        state=_STATES[row[5]] if row[5] else None,
        reason=row[6] or "",
        detail=row[7] or "",
        by=row[8] or "",
        data=from_json(row[9]),
    )


def job_row(job: Job) -> Row:
    """All columns of a job; its definition stands in its version."""
    return (
        job.id,
        job.version,
        job.spec.name,
        job.workspace,
        job.origin,
        job.key,
        job.owner,
        job.created_at,
        job.updated_at,
        job.deleted_at,
        to_json(job.extras),
    )


def job_of(row: Row) -> Job:
    """A job from its row joined with its newest version."""
    return Job(
        id=row[0],
        version=row[1],
        spec=spec_of(row[2]),
        workspace=row[3],
        origin=row[4],
        key=row[5],
        owner=row[6],
        created_at=row[7],
        updated_at=row[8],
        deleted_at=row[9],
        extras=from_json(row[10], {}),
    )


def job_version_of(row: Row) -> JobVersion:
    """One version of a job from its row."""
    return JobVersion(job_id=row[0], version=row[1], spec=spec_of(row[2]), created_at=row[3], created_by=row[4])


def queue_of(row: Row) -> Queue:
    """A queue from its row."""
    return Queue(name=row[0], slots=row[1], priority=row[2], paused=bool(row[3]))


def principal_of(row: Row) -> Principal:
    """A principal from its row."""
    return Principal(
        id=row[0],
        name=row[1],
        scopes=_decode(row[2]),
        created_at=row[3],
        version=row[4],
        expires_at=row[5],
        disabled=bool(row[6]),
    )


def principal_row(one: Principal) -> Row:
    """All columns of a principal."""
    scopes = _encode(one.scopes).decode()
    return (one.id, one.name, scopes, one.created_at, one.version, one.expires_at, int(one.disabled))


def bookmark_of(row: Row) -> Bookmark:
    """A bookmark from its row."""
    state = _decode(row[4])
    return Bookmark(job_key=row[0], version=row[1], run_id=row[2], attempt=row[3], state=state, created_at=row[5])


def bookmark_row(one: Bookmark) -> Row:
    """All columns of a bookmark."""
    return (one.job_key, one.version, one.run_id, one.attempt, _encode(one.state).decode(), one.created_at)


def timetable_row(one: Timetable) -> Row:
    """All columns of a schedule's state."""
    return (one.job_id, one.anchor_at, int(one.paused), one.next_at, one.last_at)


def timetable_of(row: Row) -> Timetable:
    """A schedule's state from its row."""
    return Timetable(job_id=row[0], anchor_at=row[1], paused=bool(row[2]), next_at=row[3], last_at=row[4])


def tick_of(row: Row) -> Tick:
    """What became of a tick, from its row."""
    return Tick(job_id=row[0], at=row[1], run_id=row[2], detail=row[3] or "")


def document_row(document: Document) -> Row:
    """All columns of a document."""
    return (
        document.workspace,
        document.dialect,
        document.kind,
        document.key,
        document.version,
        _encode(document.body).decode(),
        document.created_at,
        document.updated_at,
        document.updated_by,
    )


def document_of(row: Row) -> Document:
    """A document from its row."""
    return Document(
        workspace=row[0],
        dialect=row[1],
        kind=row[2],
        key=row[3],
        version=row[4],
        body=from_json(row[5]),
        created_at=row[6],
        updated_at=row[7],
        updated_by=row[8],
    )


def trigger_row(one: Trigger) -> Row:
    """All columns of a trigger."""
    return (
        one.id,
        one.workspace,
        one.origin,
        one.key,
        one.job_id,
        one.scope,
        one.kind,
        _encode(one.spec).decode(),
        one.version,
        int(one.active),
        one.detail or None,
        one.owner,
        one.created_at,
        one.updated_at,
        one.started_at,
        one.anchor_at,
        one.next_at,
        one.last_at,
        one.fired,
        to_json(one.memory),
        to_json(one.extras),
    )


def trigger_of(row: Row) -> Trigger:
    """A trigger from its row."""
    return Trigger(
        id=row[0],
        workspace=row[1],
        origin=row[2],
        key=row[3],
        job_id=row[4],
        scope=row[5],
        spec=_decode_trigger(row[7]),
        version=row[8],
        active=bool(row[9]),
        detail=row[10] or "",
        owner=row[11],
        created_at=row[12],
        updated_at=row[13],
        started_at=row[14],
        anchor_at=row[15],
        next_at=row[16],
        last_at=row[17],
        fired=row[18],
        memory=from_json(row[19], {}),
        extras=from_json(row[20], {}),
    )


def firing_row(one: Firing) -> Row:
    """All columns of a firing."""
    return (
        one.id,
        one.trigger_id,
        one.number,
        one.name,
        one.kind,
        one.chain,
        one.scope,
        one.at,
        one.by,
        to_json(one.after),
        to_json(one.runs),
        one.detail or None,
        to_json(one.data),
        to_json(one.extras),
        one.closed_at,
    )


def firing_of(row: Row) -> Firing:
    """A firing from its row."""
    return Firing(
        id=row[0],
        trigger_id=row[1],
        number=row[2],
        name=row[3],
        kind=row[4],
        chain=row[5],
        scope=row[6],
        at=row[7],
        by=row[8],
        after=from_json(row[9], []),
        runs=from_json(row[10], []),
        detail=row[11] or "",
        data=from_json(row[12], {}),
        extras=from_json(row[13], {}),
        closed_at=row[14],
    )
