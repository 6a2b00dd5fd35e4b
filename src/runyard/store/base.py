"""The seam between the engine and a database: what must be kept, found and changed together.

A `Store` has one writing `Session`, used by one thread at a time inside a transaction, and a pool of reading
sessions that see committed data only. SQL stays inside the store; values of the core go in and out.
"""

from __future__ import annotations

from collections.abc import Container
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


class Contended(Exception):
    """Another server has what a command needs: the command is undone, and tried again in a moment."""


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
    worker: str = ""
    """The node that claimed it."""


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
Removable = Queue | Principal | Run | Timetable | Tick | Document | Trigger | Firing


class Reads(Protocol):
    """What can be asked of one session. Nothing here changes anything."""

    def run(self, run_id: int) -> Run | None: ...
    def run_spec(self, run_id: int) -> JobSpec | None: ...
    def runs(self, where: RunFilter, limit: int, after: int | None, *, newer: bool = False) -> list[Run]:
        """Newest first; `after` is the id of the last run of the page before.

        With `newer` those that were made after it, oldest first.
        """

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
    def queued(self, executor: str, limit: int, closed: Container[str]) -> list[Queued]:
        """The next queued task runs of each queue that is not in `closed`, at most `limit` a queue."""

    def queue_active(self) -> dict[str, int]:
        """Task runs that take a slot, by queue name: at most as many as all executors hold."""

    def queue_depth(self) -> dict[str, int]:
        """Queued task runs by queue name. It counts them all: not for the path of a claim."""

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

    def firings_before(self, firing_id: int, limit: int) -> list[Firing]:
        """The oldest ones, all with smaller ids than this."""

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


class SharedReads(Reads, Protocol):
    """What can be asked of a store that several servers use."""

    def claims_of(self, name: str) -> list[HeldClaim]:
        """The claims that a node holds."""

    def nodes(self) -> list[tuple[str, int, int, int]]:
        """Name, number, life and end of the lease of every node."""

    def log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """Bytes `[start, end)` of a log that was brought to the store, and how much of it was."""


class SharedSession(Session, Protocol):
    """The writing session of a store that several servers use.

    Locks hold until the transaction ends. They are tried, never waited for: `Contended` is raised instead.
    """

    lease: tuple[str, int] | None
    """The node in whose name it writes, and its life: a transaction holds both, so that nobody ends it meanwhile."""
    notice: str | None
    """What the other servers are told if the transaction is committed."""
    passed_over: bool
    """Whether `queued` left out what another server is at, in this transaction."""

    def lock_run(self, run_id: int) -> int | None:
        """The run's sequence number, under its lock; None if there is no such run."""

    def lock(self, kind: str, key: object) -> None:
        """A job, by id, or anything else by a name that may not be in use yet."""

    def job_version_now(self, job_id: int) -> int | None:
        """The newest version of a job that is not deleted."""

    def lock_queues(self) -> tuple[dict[str, Queue], set[str]]:
        """All queues as they are now, and the names of those whose slots another server gives away just now."""

    def end_lease(self, name: str, life: int) -> list[HeldClaim] | None:
        """Ends a node whose lease has expired and answers the claims that it held; None if it lives after all."""

    def claims_of(self, name: str) -> list[HeldClaim]:
        """The claims that a node holds."""

    def leads(self, name: str, life: int, term: int) -> bool:
        """Whether this node leads; it does until the transaction ends."""


class Membership(Protocol):
    """One process among those that use the same store, and the lease that it holds there."""

    name: str
    number: int
    """0 to 63, of no other node: part of every id that it draws."""
    life: int
    """Which process has the name; an older one writes nothing any more."""
    last_id: int
    """The largest id in use when it joined; nobody with its number draws another one."""

    def renew(self) -> bool:
        """Holds the lease for its full time from now; False if it was taken away. Raises unavailable, as all here."""

    def lead(self) -> int | None:
        """The term in which this node leads, also when it begins to; None while another one does."""

    def expired(self) -> list[tuple[str, int]]:
        """The nodes, with their lives, that let their lease expire."""

    def wait(self, seconds: float) -> list[str]:
        """The notices of other servers, as soon as there are any."""

    def leave(self) -> None:
        """Gives the lease back, and ends."""


class SharedStore(Store, Protocol):
    """A store that several servers use."""

    @property
    def writer(self) -> SharedSession: ...

    def reading(self) -> AbstractContextManager[SharedReads]: ...

    def join(self, name: str, seconds: float) -> Membership:
        """Makes this process a node of that name, with a lease of so many seconds.

        From now on older processes of that name write nothing. Raises unavailable when there are too many nodes.
        """

    def keep_log(self, run_id: int, task_run_id: int, start: int, data: bytes) -> None:
        """Keeps a piece of a log, from any thread."""

    def home(self, workspace: str, name: str) -> str:
        """The node that has the tables of a workspace: this one, if none had them before."""
