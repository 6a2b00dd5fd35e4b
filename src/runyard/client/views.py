"""What a server answers, as values: the bodies of the native API with their times as datetimes.

Fields that a server does not send keep their defaults, and fields that this version does not know are left
aside, so that an older client can talk to a newer server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from runyard.core.model import JobSpec
from runyard.core.schedule import Schedule as ScheduleSpec
from runyard.core.states import TERMINAL, State
from runyard.core.triggers import TriggerSpec


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A body as it was answered at one moment."""


class TaskRun(View, frozen=True, kw_only=True):
    """One attempt of one task."""

    id: int
    run_id: int
    task_key: str
    state: State
    reason: str = ""
    detail: str = ""
    kind: str = ""
    needs: list[Any] = []
    waiting: str | None = None
    """Why it has not started yet, in one sentence."""
    executor: str = ""
    queue: str = ""
    priority: int = 0
    iteration: int = -1
    round: int = 0
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    created_at: datetime | None = None
    queued_at: datetime | None = None
    due_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_at: datetime | None = None
    worker: str | None = None
    exit_code: int | None = None
    child_run_id: int | None = None
    progress: dict[str, Any] | None = None
    """How far it is: `fraction` (0 to 1), `message`, `rows`, `bytes` ..., as the work says."""
    input: Any = None
    values: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    error: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in TERMINAL


class Run(View, frozen=True, kw_only=True):
    """One execution of a job. `tasks` is filled when the run was asked for by its id."""

    id: int
    state: State
    name: str = ""
    reason: str = ""
    detail: str = ""
    waiting: str | None = None
    """Why it has not started yet, in one sentence."""
    job_id: int | None = None
    job_version: int | None = None
    workspace: str = "default"
    origin: str = "native"
    submitted_by: str = ""
    trigger: str = "manual"
    queue: str = "default"
    priority: int = 0
    parameters: dict[str, Any] = {}
    tags: dict[str, str] = {}
    round: int = 0
    """How many times it was repaired."""
    seq: int = 0
    depth: int = 0
    scheduled_at: datetime | None = None
    """The tick of its job's schedule that it runs for."""
    created_at: datetime | None = None
    admitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_at: datetime | None = None
    parent_task_run_id: int | None = None
    rerun_of: int | None = None
    extras: dict[str, Any] = {}
    tasks: list[TaskRun] = []
    spec: JobSpec | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in TERMINAL

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self.state is State.SUCCEEDED

    def task(self, key: str) -> TaskRun:
        """The newest attempt of a task; raises KeyError when the run has no such task."""
        found = [task for task in self.tasks if task.task_key == key and task.iteration < 0]
        if not found:
            raise KeyError(f"run {self.id} has no task {key!r}; it has {', '.join(t.task_key for t in self.tasks)}")
        return found[-1]


class Tick(View, frozen=True, kw_only=True):
    """What became of one moment of a schedule: its run, or why it got none."""

    at: datetime
    run_id: int | None = None
    detail: str = ""


class Schedule(View, frozen=True, kw_only=True):
    """A job's schedule as it stands; `next` are its next ticks, none while it is paused."""

    schedule: ScheduleSpec
    paused: bool = False
    next: list[datetime] = []
    last_at: datetime | None = None
    ticks: list[Tick] = []


class Backfill(View, frozen=True, kw_only=True):
    """The ticks that got runs and those runs, in step; `next` is where the next backfill goes on."""

    times: list[datetime]
    ids: list[int] = []
    next: datetime | None = None


class Job(View, frozen=True, kw_only=True):
    """A kept job and its newest definition."""

    id: int
    version: int
    name: str
    spec: JobSpec
    workspace: str = "default"
    origin: str = "native"
    key: str | None = None
    owner: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    schedule: Schedule | None = None
    """Filled when the job was asked for by its id."""


class Trigger(View, frozen=True, kw_only=True):
    """A trigger: its definition, and where it stands."""

    id: int
    kind: str
    spec: TriggerSpec
    version: int = 1
    active: bool = True
    key: str | None = None
    job_id: int | None = None
    """The job whose definition holds it."""
    scope: str = ""
    detail: str = ""
    workspace: str = "default"
    origin: str = "native"
    owner: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    next_at: datetime | None = None
    last_at: datetime | None = None
    fired: int = 0
    extras: dict[str, Any] = {}


class Firing(View, frozen=True, kw_only=True):
    """One firing of a trigger, with the runs that it started."""

    id: int
    trigger_id: int
    number: int
    at: datetime
    chain: int
    name: str | None = None
    kind: str = ""
    scope: str = ""
    by: str = ""
    after: list[int] = []
    """The runs whose ends satisfied it."""
    runs: list[int] = []
    detail: str = ""
    data: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    closed_at: datetime | None = None


class Planned(View, frozen=True, kw_only=True):
    """One run that a firing would start, or why it would not."""

    job_id: int | None = None
    name: str = ""
    parameters: dict[str, Any] = {}
    refused: str = ""


class Preview(View, frozen=True, kw_only=True):
    """What a trigger would do now."""

    fires: bool
    why: str
    starts: list[Planned] = []
    next: list[datetime] = []
    after: list[int] = []


class JobVersion(View, frozen=True, kw_only=True):
    """One version of a job's definition."""

    job_id: int
    version: int
    spec: JobSpec
    created_at: datetime | None = None
    created_by: str = ""


class Event(View, frozen=True, kw_only=True):
    """One line of a run's history."""

    seq: int
    kind: str
    run_id: int = 0
    at: datetime | None = None
    task_run_id: int | None = None
    state: State | None = None
    reason: str = ""
    detail: str = ""
    by: str = ""
    data: dict[str, Any] | None = None


class Queue(View, frozen=True, kw_only=True):
    """A queue and how busy it is."""

    name: str
    slots: int | None = None
    priority: int = 0
    paused: bool = False
    active: int = 0
    waiting: int = 0


class Column(View, frozen=True, kw_only=True):
    """One column of a table or result."""

    name: str
    type: str = ""


class Result(View, frozen=True, kw_only=True):
    """Rows that a query or an sql task gave."""

    columns: list[Column]
    rows: list[list[Any]] = []
    row_count: int | None = None
    more: bool = False
    """Whether a query would give rows beyond these: over its limit, or over the bytes that one answer holds."""

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class Write(View, frozen=True, kw_only=True):
    """What one task did with tables: which it read and wrote, as schema.table."""

    run_id: int
    run_name: str | None = None
    """What the run is called, its job's name; None when it is not kept any more."""
    task_key: str
    at: datetime | None = None
    task_run_id: int | None = None
    reads: list[str] | None = None
    writes: list[str] | None = None


class MaterializedView(View, frozen=True, kw_only=True):
    """A table that follows another: its query runs over each block that is appended to the source."""

    name: str
    source: str
    statement: str
    target: str
    schema: str = "main"
    created_at: datetime | None = None


class Table(View, frozen=True, kw_only=True):
    """A warehouse table; sizes in bytes."""

    name: str
    schema: str = "main"
    kind: str = "table"
    rows: int | None = None
    bytes: int | None = None
    columns: list[Column] = []
    partition_by: str = ""
    """The table's partition key: SQL expressions, which commas divide; none."""
    last_write: Write | None = None
    quarantine_rows: int | None = None
    """This and what follows is told of one table, not in lists."""
    written_by: list[Write] = []
    read_by: list[Write] = []
    views: list[MaterializedView] = []


class Partition(View, frozen=True, kw_only=True):
    """The rows of a table for which its key's expressions have these values."""

    values: list[Any]
    rows: int
    estimated_bytes: int = 0
    """The table's bytes, divided as its rows are."""


class Partitions(View, frozen=True, kw_only=True):
    """Some of a table's partitions; `next` is the offset of what follows."""

    partition_by: str
    columns: list[Column] = []
    items: list[Partition] = []
    next: int | None = None


class Upload(View, frozen=True, kw_only=True):
    """A body that the server keeps for a load, which names its `source`."""

    id: str
    source: str
    bytes: int


def plain(value: Any) -> Any:
    """A view as JSON values; times are RFC 3339 in UTC with milliseconds, as the server writes them."""
    return _format_times(msgspec.to_builtins(value, builtin_types=(datetime,)))


def _format_times(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {key: _format_times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_format_times(item) for item in value]
    return value
