"""The seam between the engine and a database: what must be kept, found and changed together.

A `Store` has one writing `Session`, used by one thread at a time inside a transaction, and a pool of reading
sessions that see committed data only. SQL stays inside the store; values of the core go in and out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from runyard.core.attempts import Held
from runyard.core.changes import Changes
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
from runyard.core.query import JobFilter, RunFilter
from runyard.core.triggers import Firing, Trigger, TriggerFilter


class Submission(msgspec.Struct, frozen=True):
    """An idempotency key that was used, what it asked for (a digest), and the run that it gave."""

    scope: str
    key: str
    digest: bytes
    run_id: int
    created_at: int


class Delivery(msgspec.Struct, frozen=True):
    """A webhook message that is owed; `due_at` is None once it was delivered or given up."""

    id: int
    run_id: int
    url: str
    event: str
    body: str
    attempts: int
    due_at: int | None
    error: str = ""


class DueWork(msgspec.Struct, frozen=True):
    """What the timers have to do now: (task run id, run id) pairs and run ids."""

    retries: list[tuple[int, int]]
    expired_tasks: list[tuple[int, int]]
    expired_runs: list[int]


class Queued(msgspec.Struct, frozen=True):
    """A task run that waits for a worker."""

    task_run_id: int
    run_id: int
    queue: str
    priority: int


class HeldClaim(msgspec.Struct, frozen=True):
    """A claim that an executor may still hold."""

    held: Held
    executor: str


Record = (
    Job
    | JobVersion
    | Queue
    | Bookmark
    | Document
    | Principal
    | Submission
    | Delivery
    | Timetable
    | Tick
    | Trigger
    | Firing
)
Removable = Queue | Principal | Run | Timetable | Tick | Document | Trigger


class Reads(Protocol):
    """What can be asked of one session. Nothing here changes anything."""

    def run(self, run_id: int) -> Run | None: ...
    def run_spec(self, run_id: int) -> JobSpec | None: ...
    def runs(self, where: RunFilter, limit: int, after: int | None) -> list[Run]:
        """Newest first; `after` is the id of the last run of the page before."""

    def task_runs(self, run_id: int) -> list[TaskRun]: ...
    def task_run(self, task_run_id: int) -> TaskRun | None: ...
    def job_task_runs(self, job_id: int, limit: int, after: tuple[int, int] | None) -> list[tuple[Run, TaskRun | None]]:
        """Every attempt of a job's runs with its run, newest run first, newest attempt first; a run without any once.

        `after` is the (run id, task run id) of the last one of the page before; 0 where there was no task run.
        """

    def output(self, task_run_id: int) -> bytes | None: ...
    def events(self, run_id: int, after: int, limit: int) -> list[Event]: ...
    def job(self, job_id: int) -> Job | None: ...
    def job_by_key(self, workspace: str, origin: str, key: str) -> Job | None: ...
    def jobs(self, where: JobFilter, limit: int, after: int | None) -> list[Job]: ...
    def job_versions(self, job_id: int, version: int | None) -> list[JobVersion]: ...
    def live_runs(self, job_id: int) -> list[int]: ...
    def admitted_count(self, job_id: int) -> int: ...
    def awaiting_admission(self, job_id: int, limit: int) -> list[int]: ...
    def queued(self, executor: str, limit: int, closed: set[str]) -> list[Queued]:
        """The next queued task runs of each queue that is not in `closed`, at most `limit` a queue."""

    def queue_active(self) -> dict[str, int]:
        """Task runs that take a slot, by queue name: at most as many as all executors hold."""

    def queue_depth(self) -> dict[str, int]:
        """Queued task runs by queue name. It counts them all: not for the path of a claim."""

    def ahead(self, task_run: TaskRun) -> int:
        """How many queued task runs of the same queue and executor go first (counted up to 1001)."""

    def held(self) -> list[HeldClaim]: ...
    def due(self, now: int) -> DueWork: ...
    def next_due(self) -> int | None: ...
    def submission(self, scope: str, key: str) -> Submission | None: ...
    def bookmark(self, job_key: str, up_to_run: int | None) -> Bookmark | None: ...
    def document(self, workspace: str, dialect: str, kind: str, key: str) -> Document | None: ...
    def documents(
        self, workspace: str, dialect: str, kind: str, prefix: str, after: str | None, limit: int
    ) -> list[Document]:
        """Those whose keys begin with `prefix`, in the order of their keys; `after` is the last key before."""

    def queues(self) -> list[Queue]: ...
    def principals(self) -> list[Principal]: ...
    def deliveries(self, now: int) -> list[Delivery]: ...
    def timetable(self, job_id: int) -> Timetable | None: ...
    def due_timetables(self, now: int, limit: int) -> list[int]:
        """The jobs whose next tick has come, the longest due first."""

    def ticks(self, job_id: int, start: int, end: int, limit: int) -> list[Tick]:
        """What became of the ticks from `start` on and before `end`, newest first."""

    def trigger(self, trigger_id: int) -> Trigger | None: ...
    def trigger_by_key(self, workspace: str, origin: str, key: str, job_id: int | None) -> Trigger | None:
        """One of its own (job_id None), or one of that job's definition."""

    def triggers(self, where: TriggerFilter, limit: int, after: int | None) -> list[Trigger]:
        """Newest first; `after` is the id of the last one of the page before."""

    def triggers_on(self, topics: list[str]) -> list[Trigger]:
        """The active ones that want to be told of any of these, by id."""

    def due_triggers(self, now: int, limit: int) -> list[int]:
        """Those that are to be looked at, the longest due first."""

    def firing(self, firing_id: int) -> Firing | None: ...
    def firings(self, trigger_id: int, limit: int, after: int | None) -> list[Firing]:
        """What a trigger did, newest first."""

    def chain(self, chain: int) -> list[Firing]:
        """All firings of a chain, oldest first."""

    def live_by_state(self) -> dict[str, int]: ...
    def ended_before(self, moment: int, limit: int) -> list[int]: ...


class Session(Reads, Protocol):
    """The writing session: `begin`, then commands each between `mark` and `keep` or `undo`, then `commit`."""

    def begin(self) -> None: ...
    def mark(self) -> None: ...
    def keep(self) -> None: ...
    def undo(self) -> None: ...
    def flush(self) -> None:
        """Executes what `apply` left to be executed with others, so that `commit` only waits for the disk."""

    def commit(self) -> None:
        """Returns once the changes are on disk; raises `RunyardError` (storage_full, unavailable) if they are not."""

    def rollback(self) -> None: ...
    def apply(self, changes: Changes, spec: JobSpec | None = None) -> None:
        """Stores one decision; `spec` is the definition of a new one-time run. Reads of this session see it.

        It may be executed later with others: a failure then is that of the read, the `flush` or the `commit`
        that brought it about, and the transaction as a whole is refused from there on.
        """

    def put(self, record: Record) -> None:
        """Keeps a record; already_exists for a second tick of a job and moment, a second firing in a chain."""

    def delete(self, record: Removable) -> None:
        """Removes a record; a run goes with all that is its own, except its idempotency key.

        A tick goes only if it got no run.
        """


class Store(Protocol):
    """A database, opened and migrated."""

    name: str
    last_id: int
    """The largest id in use when the store was opened."""

    @property
    def writer(self) -> Session: ...

    def reading(self) -> AbstractContextManager[Reads]:
        """A reading session from the pool; its statements are stopped after the store's deadline."""

    def close(self) -> None: ...
