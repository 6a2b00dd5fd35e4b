"""What Runyard keeps: jobs, runs, task runs, events, bookmarks, queues. Frozen values, times in milliseconds.

A *job* is a versioned definition. A *run* is one execution of it. A *task run* is one attempt of one task
(and iteration, and repair round) of a run: a retry or a repair adds a task run, nothing is overwritten.
"""

from __future__ import annotations

import enum
from typing import Any, Literal

import msgspec

from runyard.core.actions import Action
from runyard.core.limits import Limits as Limits
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import JobTrigger


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A kept value: immutable, compared by content."""


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Part of a job's definition as a caller writes it: unknown fields are refused, defaults are not stored."""


class RunIf(enum.StrEnum):
    """When a task runs, judged once all its dependencies are settled."""

    ALL_SUCCESS = "all_success"
    AT_LEAST_ONE_SUCCESS = "at_least_one_success"
    NONE_FAILED = "none_failed"
    ALL_DONE = "all_done"
    AT_LEAST_ONE_FAILED = "at_least_one_failed"
    ALL_FAILED = "all_failed"


class Dependency(Definition, frozen=True, kw_only=True):
    """One edge of the graph; `outcome` also asks that the condition task ended with this word."""

    task: str
    outcome: Literal["true", "false"] | None = None


class Retries(Definition, frozen=True, kw_only=True):
    """How often and when a failed attempt is tried again. Times in seconds."""

    max: int = 0
    """Further attempts after the first; -1 means without limit."""
    delay: float = 0.0
    backoff: float = 1.0
    """Each delay is the one before it times this."""
    max_delay: float = 3600.0
    on_timeout: bool = False
    measure: Literal["end", "start"] = "end"
    """Whether the delay counts from the end or the start of the failed attempt."""


class Notification(Definition, frozen=True, kw_only=True):
    """Who is told, by a webhook or by e-mail, when a run (or a task of it) comes to one of these points."""

    url: str = ""
    """A webhook."""
    email: list[str] = []
    """Addresses; needs a mail server in the settings."""
    on: list[Literal["start", "success", "failure", "cancelled", "skipped", "duration"]] = msgspec.field(
        default_factory=lambda: ["failure"]
    )
    """`failure` includes timeouts; `duration` tells that it is still running after `warn_after`."""
    every_attempt: bool = True
    """Of a task: whether retries are told too, or only the first start and the last end."""
    body: dict[str, Any] | None = None
    """For a webhook: JSON that is sent in place of ours; `{{ run.id }}`, `{{ job.name }}` ... are filled in."""


class Task(Definition, frozen=True, kw_only=True):
    """One node of a job's graph."""

    key: str
    action: Action
    needs: list[Dependency] = []
    run_if: RunIf = RunIf.ALL_SUCCESS
    retries: Retries = Retries()
    timeout: float | None = None
    """Seconds for one attempt, from its start; None: no limit."""
    warn_after: float | None = None
    """Seconds from an attempt's start, after which `duration` is told."""
    notifications: list[Notification] = []
    queue: str | None = None
    priority: int | None = None
    limits: Limits = Limits()
    disabled: bool = False
    description: str = ""


class OnLimit(enum.StrEnum):
    """What happens to a run over its job's max_concurrent_runs."""

    QUEUE = "queue"
    REFUSE = "refuse"
    SKIP = "skip"


class JobSpec(Definition, frozen=True, kw_only=True):
    """A job as its author defines it: a directed acyclic graph of tasks, with parameters and limits."""

    name: str
    tasks: list[Task]
    parameters: dict[str, Any] = {}
    """Parameter names and their defaults; a default of null means that a run must give it."""
    description: str = ""
    queue: str = "default"
    priority: int = 0
    timeout: float | None = None
    """Seconds for the whole run, from its start; None: no limit."""
    warn_after: float | None = None
    """Seconds from the run's start, after which `duration` is told."""
    max_concurrent_runs: int | None = None
    on_limit: OnLimit = OnLimit.QUEUE
    notifications: list[Notification] = []
    schedule: Schedule | None = None
    triggers: list[JobTrigger] = []
    """What else starts runs of this job."""
    tags: dict[str, str] = {}
    extras: dict[str, Any] = {}
    """A face's own form of the definition, kept with each version and given back as it came."""


class Job(Value, frozen=True, kw_only=True):
    """A kept job: its identity, and its newest version's definition."""

    id: int
    version: int
    spec: JobSpec
    workspace: str
    origin: str
    key: str | None
    """An optional name that is unique within (workspace, origin), for faces whose jobs are known by name."""
    owner: str
    created_at: int
    updated_at: int
    deleted_at: int | None = None
    extras: dict[str, Any] = {}


class JobVersion(Value, frozen=True, kw_only=True):
    """One version of a job's definition; a run pins the version that it ran."""

    job_id: int
    version: int
    spec: JobSpec
    created_at: int
    created_by: str


class Run(Value, frozen=True, kw_only=True):
    """One execution of a job (`job_id` set) or of a one-time submission (`job_id` null)."""

    id: int
    job_id: int | None
    job_version: int | None
    """Null where the run follows a definition of its own."""
    name: str
    workspace: str
    origin: str
    """The face through which it was asked: `native`, or a dialect's name."""
    state: State
    created_at: int
    submitted_by: str
    reason: str = ""
    detail: str = ""
    queue: str = "default"
    priority: int = 0
    parameters: dict[str, Any] = {}
    trigger: str = "manual"
    tags: dict[str, str] = {}
    admitted_at: int | None = None
    """When the job's limit let it in; null while it waits for that."""
    started_at: int | None = None
    ended_at: int | None = None
    deadline_at: int | None = None
    round: int = 0
    """How many times it was repaired."""
    seq: int = 0
    """The number of its newest event; grows with every change, so it also tells whether a copy is current."""
    depth: int = 0
    """How many run-job tasks stand above it."""
    parent_task_run_id: int | None = None
    rerun_of: int | None = None
    extras: dict[str, Any] = {}
    """A dialect's own input that means nothing to us, given back as it came."""


class TaskRun(Value, frozen=True, kw_only=True):
    """One attempt of one task of a run; its terminal states are final."""

    id: int
    run_id: int
    task_key: str
    state: State
    executor: str
    queue: str
    priority: int
    created_at: int
    iteration: int = -1
    """The element of a for-each task, from 0; -1 for a task itself."""
    round: int = 0
    attempt: int = 0
    """From 0, counted over all attempts of the same task, iteration and round."""
    failures: int = 0
    """Attempts before this one that used up a retry."""
    losses: int = 0
    """Attempts before this one whose worker vanished; they have a budget of their own."""
    reason: str = ""
    detail: str = ""
    queued_at: int | None = None
    due_at: int | None = None
    """When the back-off ends, while it waits to be retried."""
    claimed_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    deadline_at: int | None = None
    worker: str | None = None
    token: int = 0
    """The fence: each claim draws a new one, and every later write must carry it."""
    exit_code: int | None = None
    child_run_id: int | None = None
    input: Any = None
    """A for-each task's list of inputs; an iteration's own element."""
    values: dict[str, Any] = {}
    """What the attempt published for later tasks."""
    metrics: dict[str, Any] = {}
    """Counts that the work reported: rows, bytes, quarantined rows ..."""
    error: dict[str, Any] | None = None
    """On failure: `type`, `message` and, where there is one, `trace`."""


class Event(Value, frozen=True, kw_only=True):
    """One line of a run's append-only history, keyed (run_id, seq)."""

    run_id: int
    seq: int
    at: int
    kind: str
    """submitted, admitted, state, cancel, repair, released."""
    task_run_id: int | None = None
    state: State | None = None
    reason: str = ""
    detail: str = ""
    by: str = ""
    data: dict[str, Any] | None = None


class Queue(Value, frozen=True, kw_only=True):
    """Where task runs wait for a slot. Task runs of higher priority go first, then older ones."""

    name: str
    slots: int | None = None
    """How many of its task runs may be active at once; None: as many as workers take."""
    priority: int = 0
    paused: bool = False


class Timetable(Value, frozen=True, kw_only=True):
    """Where the schedule of a job stands; the schedule itself is part of the job's definition."""

    job_id: int
    anchor_at: int
    """Since when it fires at these times; intervals count from here."""
    paused: bool = False
    next_at: int | None = None
    """The next tick; None while it is paused and when there is none any more."""
    last_at: int | None = None
    """The newest tick that was handled."""


class Tick(Value, frozen=True, kw_only=True):
    """What became of one moment of a schedule; there is one at most for each job and moment."""

    job_id: int
    at: int
    run_id: int | None = None
    detail: str = ""
    """Why it got no run."""


class Bookmark(Value, frozen=True, kw_only=True):
    """What a job has already processed, one version for each commit; `run_id` lets it be rewound."""

    job_key: str
    version: int
    run_id: int
    attempt: int
    state: dict[str, Any]
    created_at: int


class Document(Value, frozen=True, kw_only=True):
    """A face's own definition that the core need not understand: JSON under (workspace, dialect, kind, key)."""

    workspace: str
    dialect: str
    kind: str
    key: str
    version: int
    """From 1; grows with each change, so that a change made elsewhere meanwhile is noticed."""
    body: dict[str, Any]
    created_at: int
    updated_at: int
    updated_by: str


class Principal(Value, frozen=True, kw_only=True):
    """Who may do what. Tokens and keys are derived from it, so nothing secret is stored."""

    id: int
    name: str
    scopes: list[str]
    created_at: int
    version: int = 1
    """Grows when its tokens are revoked: a token of an older version is refused."""
    expires_at: int | None = None
    disabled: bool = False
