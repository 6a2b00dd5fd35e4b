"""The bodies of the native API as structs: what is sent, and what is taken."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runyard.core.actions import Leaf, SqlDialect
from runyard.core.model import Dependency, JobSpec
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import TriggerSpec
from runyard.engine import spawned


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A body that we send: optional fields that are empty are left out."""


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that we take: unknown fields are refused."""


class TaskRunBody(Body, frozen=True, kw_only=True):
    """One attempt of one task."""

    id: int
    run_id: int
    task_key: str
    kind: str = ""
    needs: list[Dependency] = []
    state: State
    reason: str
    detail: str
    waiting: str | None = None
    progress: dict[str, Any] | None = None
    """The last that a live attempt reported: `fraction` (0 to 1), `message`, `rows`, `bytes` ..."""
    executor: str
    queue: str
    priority: int
    iteration: int = -1
    round: int
    attempt: int
    failures: int = 0
    losses: int = 0
    created_at: str
    queued_at: str | None = None
    due_at: str | None = None
    claimed_at: str | None = None
    started_at: str | None
    ended_at: str | None
    deadline_at: str | None = None
    worker: str | None = None
    exit_code: int | None = None
    child_run_id: int | None = None
    input: Any = None
    values: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    error: dict[str, Any] | None = None


class RunBody(Body, frozen=True, kw_only=True):
    """One execution of a job, or of a one-time submission."""

    id: int
    job_id: int | None
    job_version: int | None = None
    name: str
    workspace: str
    origin: str
    state: State
    reason: str
    detail: str
    waiting: str | None = None
    created_at: str
    submitted_by: str
    queue: str
    priority: int
    trigger: str
    scheduled_at: str | None = None
    """The tick of its job's schedule that it runs for."""
    parameters: dict[str, Any] = {}
    tags: dict[str, str] = {}
    admitted_at: str | None = None
    started_at: str | None
    ended_at: str | None
    deadline_at: str | None = None
    round: int
    seq: int
    depth: int = 0
    parent_task_run_id: int | None = None
    rerun_of: int | None = None
    extras: dict[str, Any] = {}
    tasks: list[TaskRunBody] | None = None
    spec: JobSpec | None = None


class TickBody(Body, frozen=True, kw_only=True):
    """What became of one moment of a schedule: its run, or why it got none."""

    at: str
    run_id: int | None = None
    detail: str = ""


class ScheduleBody(Body, frozen=True, kw_only=True):
    """A job's schedule as it stands; `next` are its next ticks, none while it is paused."""

    schedule: Schedule
    paused: bool
    next: list[str]
    last_at: str | None = None
    """The newest tick that got a run."""
    ticks: list[TickBody] = []
    """What became of the newest ticks."""


class JobBody(Body, frozen=True, kw_only=True):
    """A kept job with its newest definition."""

    id: int
    version: int
    name: str
    spec: JobSpec
    workspace: str
    origin: str
    key: str | None
    owner: str
    created_at: str
    updated_at: str
    schedule: ScheduleBody | None = None
    """Left out in lists."""


class JobVersionBody(Body, frozen=True, kw_only=True):
    """One version of a job's definition."""

    job_id: int
    version: int
    spec: JobSpec
    created_at: str
    created_by: str


class TriggerBody(Body, frozen=True, kw_only=True):
    """A trigger: its definition, and where it stands."""

    id: int
    key: str | None
    kind: str
    workspace: str
    origin: str
    job_id: int | None = None
    """The job whose definition holds it."""
    scope: str = ""
    spec: TriggerSpec
    version: int
    active: bool
    detail: str
    """Why it was paused without being asked."""
    owner: str
    created_at: str
    updated_at: str
    started_at: str | None = None
    next_at: str | None = None
    """When it is looked at next: its next tick, the end of a wait."""
    last_at: str | None = None
    """Its newest firing."""
    fired: int
    """How many firings it had."""
    extras: dict[str, Any] = {}


class FiringBody(Body, frozen=True, kw_only=True):
    """One firing of a trigger, with the runs that it started."""

    id: int
    trigger_id: int
    number: int
    name: str | None
    kind: str
    chain: int
    """The firing (or run) that its chain began with."""
    scope: str = ""
    at: str
    by: str
    after: list[int] = []
    """The runs whose ends satisfied it."""
    runs: list[int]
    detail: str
    """Why it started fewer runs than it has actions."""
    data: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    closed_at: str | None = None


class PlannedBody(Body, frozen=True, kw_only=True):
    """One run that a firing would start, or why it would not."""

    job_id: int | None
    name: str
    parameters: dict[str, Any]
    refused: str = ""


class PreviewBody(Body, frozen=True, kw_only=True):
    """What a trigger would do now."""

    fires: bool
    why: str
    starts: list[PlannedBody]
    next: list[str] = []
    after: list[int] = []


class EventBody(Body, frozen=True, kw_only=True):
    """One line of a run's history."""

    run_id: int
    seq: int
    at: str
    kind: str
    task_run_id: int | None = None
    state: State | None = None
    reason: str = ""
    detail: str = ""
    by: str = ""
    data: dict[str, Any] | None = None


class BookmarkBody(Body, frozen=True, kw_only=True):
    """What a job has already processed."""

    job_key: str
    version: int
    run_id: int
    attempt: int
    state: dict[str, Any]
    created_at: str


class PrincipalBody(Body, frozen=True, kw_only=True):
    """Who may do what."""

    id: int
    name: str
    scopes: list[str]
    version: int
    created_at: str
    expires_at: str | None
    disabled: bool


class QueueBody(Body, frozen=True, kw_only=True):
    """Where task runs wait for a slot; `slots` null means as many as workers take."""

    name: str
    slots: int | None
    priority: int
    paused: bool
    active: int
    """How many of its task runs hold a slot."""
    waiting: int


class SubmitGiven(Given, frozen=True, kw_only=True):
    """Exactly one of `job` (the id of a kept job) and `spec` (a definition for this run only)."""

    job: int | None = None
    spec: JobSpec | None = None
    parameters: dict[str, Any] = {}
    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    tags: dict[str, str] = {}
    only: list[str] | None = None


class BatchGiven(Given, frozen=True, kw_only=True):
    """Several submissions: all of them are taken, or none."""

    runs: list[SubmitGiven]


class CancelGiven(Given, frozen=True, kw_only=True):
    """Why, for people, and which task run; without one the whole run."""

    detail: str = ""
    task_run: int | None = None


class CancelTaskRunGiven(Given, frozen=True, kw_only=True):
    """Why, for people."""

    detail: str = ""


class RepairGiven(Given, frozen=True, kw_only=True):
    """Which parts of a finished run to run again."""

    tasks: list[str] | None = None
    """Task keys; null: every task that did not succeed."""
    dependents: bool = True
    parameters: dict[str, Any] = {}
    after_round: int | None = None
    """Refuse if the run has been repaired since this round."""


class RerunGiven(Given, frozen=True, kw_only=True):
    """Parameters laid over those of the earlier run."""

    parameters: dict[str, Any] = {}


class BackfillGiven(Given, frozen=True, kw_only=True):
    """The stretch of time whose ticks get the runs that they lack; times as in every filter."""

    from_: str = msgspec.field(name="from")
    to: str | None = None
    """Not included; null: now."""
    limit: int = 100
    dry_run: bool = False
    """Only say which ticks these are."""


class FireGiven(Given, frozen=True, kw_only=True):
    """Parameters laid over those of the trigger's actions."""

    parameters: dict[str, Any] = {}


class QueueGiven(Given, frozen=True, kw_only=True):
    """What to change of a queue; fields left out stay as they are, in a new queue as by default."""

    slots: int | msgspec.UnsetType | None = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


class BookmarkGiven(Given, frozen=True, kw_only=True):
    """The new state."""

    state: dict[str, Any]


class ResetGiven(Given, frozen=True, kw_only=True):
    """The run whose bookmark is taken up again; null: from the beginning."""

    run_id: int | None = None


class PrincipalGiven(Given, frozen=True, kw_only=True):
    """A new principal; `expires_at` is a time as in every filter, null for never."""

    name: str
    scopes: list[str]
    expires_at: str | None = None


class QueryGiven(Given, frozen=True, kw_only=True):
    """One SQL query with values bound to `$name`; `limit` is in rows, `dialect` the language it is written in."""

    sql: str
    parameters: dict[str, Any] = {}
    limit: int = 1000
    workspace: str = "default"
    dialect: SqlDialect = "duckdb"


class ViewGiven(Given, frozen=True, kw_only=True):
    """A materialized view: `statement` runs over each block that is appended to `source`, and fills `target`."""

    name: str
    source: str
    statement: str
    target: str
    schema: str = "main"
    workspace: str = "default"
    dialect: SqlDialect = "duckdb"


class PartitionsGiven(Given, frozen=True, kw_only=True):
    """A table's partition key from now on."""

    partition_by: str
    """Expressions over the table's columns, which commas divide; empty: none."""
    dialect: SqlDialect = "duckdb"
    """The language of the key."""


class Partition(Body, frozen=True, kw_only=True):
    """The rows for which the key's expressions have these values."""

    values: list[Any]
    rows: int
    estimated_bytes: int
    """The table's bytes, divided as its rows are."""


class Partitions(Body, frozen=True, kw_only=True):
    """Some of a table's partitions, in the order of their values, NULL last."""

    partition_by: str
    columns: list[dict[str, str]]
    """The expressions of the key, and the types of their values."""
    items: list[Partition]
    next: int | None = None
    """The offset of what follows; None when these were the last ones."""


class Partitioned(Body, frozen=True, kw_only=True):
    """A table and its partition key, in the warehouse's own SQL."""

    table: str
    partition_by: str


class Dropped(Body, frozen=True, kw_only=True):
    """A table that is gone, and the views that went with it."""

    table: str
    views: list[str]


class WebhookKey(Body, frozen=True, kw_only=True):
    """What messages to a URL are signed with: HMAC-SHA256 with this text as the key."""

    url: str
    key: str


class Issued(Body, frozen=True, kw_only=True):
    """A principal and its token, which is shown here only."""

    principal: PrincipalBody
    token: str


class Cancelled(Body, frozen=True, kw_only=True):
    """How many runs were asked to end."""

    cancelled: int


class Backfilled(Body, frozen=True, kw_only=True):
    """The ticks and their new runs, in step; `next` is where the next backfill goes on, if there is more."""

    times: list[str]
    ids: list[int]
    next: str | None = None


class Ids(Body, frozen=True, kw_only=True):
    """The ids of new runs, in the order in which they were asked for."""

    ids: list[int]


class Runs(Body, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    items: list[RunBody]
    next: str | None = None


class Jobs(Body, frozen=True, kw_only=True):
    """A page of jobs, newest first."""

    items: list[JobBody]
    next: str | None = None


class Triggers(Body, frozen=True, kw_only=True):
    """A page of triggers, newest first."""

    items: list[TriggerBody]
    next: str | None = None


class Firings(Body, frozen=True, kw_only=True):
    """A page of a trigger's firings, newest first."""

    items: list[FiringBody]
    next: str | None = None


class JobVersions(Body, frozen=True, kw_only=True):
    """All versions of a job."""

    items: list[JobVersionBody]


class Events(Body, frozen=True, kw_only=True):
    """Part of a run's history, oldest first."""

    items: list[EventBody]


class Queues(Body, frozen=True, kw_only=True):
    """All queues."""

    items: list[QueueBody]


class Principals(Body, frozen=True, kw_only=True):
    """All principals."""

    items: list[PrincipalBody]


class Tables(Body, frozen=True, kw_only=True):
    """The tables of a workspace."""

    items: list[dict[str, Any]]


class Uploaded(Body, frozen=True, kw_only=True):
    """A body that was kept for a load; `source` is what the load names."""

    id: str
    source: str
    bytes: int


class Rows(Body, frozen=True, kw_only=True):
    """The result of a query."""

    columns: list[dict[str, str]]
    rows: list[list[Any]]
    row_count: int
    more: bool
    """Whether there are rows beyond these: over the limit, or over the bytes that one answer holds."""


class RowsPage(Body, frozen=True, kw_only=True):
    """Rows of a result. `next` is the offset of what follows, also of rows that are still being written."""

    columns: list[dict[str, str]]
    rows: list[list[Any]]
    rows_ready: int
    """How many rows there are so far."""
    whole: bool
    """Whether no more will come."""
    next: int | None = None


class Whoami(Body, frozen=True, kw_only=True):
    """Who the caller is."""

    name: str
    scopes: list[str]


class Health(Body, frozen=True, kw_only=True):
    """The server answers."""

    status: Literal["ok", "ready"]


class SpawnGiven(Given, frozen=True, kw_only=True):
    """What a live attempt wants run: one piece of work, as a run of its own."""

    claim: int
    key: str
    """The same key again answers with the same run."""
    name: str
    action: Leaf
    timeout: float | None = None
    queue: str = spawned.QUEUE
