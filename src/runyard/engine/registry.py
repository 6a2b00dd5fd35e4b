"""The facade for what is kept beside runs: jobs and their versions, queues, bookmarks, principals."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import ForEach, RunJob
from runyard.core.control import MAX_DEPTH
from runyard.core.errors import Code, RunyardError, conflict, invalid, not_found
from runyard.core.graph import Plan
from runyard.core.model import Bookmark, Job, JobSpec, JobVersion, Principal, Queue
from runyard.core.query import JobFilter, Page, check_limit, cursor_of, parse_cursor
from runyard.engine import bookmarks, notices, standing, timetables
from runyard.engine.clock import Clock, SystemClock
from runyard.engine.folders import Folders
from runyard.engine.ledger import Ledger
from runyard.engine.worker import Worker
from runyard.engine.writer import Reply, Writer
from runyard.store.base import Store


class QueueStatus(msgspec.Struct, frozen=True):
    """A queue and how full it is."""

    queue: Queue
    active: int
    waiting: int


class Registry:
    """What faces call for definitions and settings."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        worker: Worker,
        clock: Clock | None = None,
        *,
        mail: bool = False,
        folders: Folders | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._mail = mail
        self._folders = folders or Folders()
        self._store = store
        self._writer = writer
        self._worker = worker
        self._principals: dict[int, Principal] = {}

    def open(self) -> None:
        """Reads what is kept in memory."""
        with self._store.reading() as reads:
            self._worker.queues = {queue.name: queue for queue in reads.queues()}
            self._principals = {one.id: one for one in reads.principals()}

    # --- jobs ---

    def create_job(
        self,
        spec: JobSpec,
        *,
        by: str,
        workspace: str = "default",
        origin: str = "native",
        key: str | None = None,
        extras: dict[str, Any] | None = None,
    ) -> Reply[Job]:
        """Keeps a definition; raises invalid for one that can never run, already_exists for a key in use."""
        plan = self._checked(spec)

        def run(ledger: Ledger) -> Job:
            _check_children(ledger, plan, None)
            if key is not None and ledger.session.job_by_key(workspace, origin, key) is not None:
                raise RunyardError(Code.ALREADY_EXISTS, f"There is a job with the key {key!r} already.", key=key)
            now, job_id = ledger.now(), ledger.draw()
            job = Job(
                id=job_id,
                version=1,
                spec=spec,
                workspace=workspace,
                origin=origin,
                key=key,
                owner=by,
                created_at=now,
                updated_at=now,
                extras=extras or {},
            )
            _keep(ledger, job, by)
            timetables.keep(ledger, job, None)
            standing.keep_own(ledger, job, None)
            return job

        return self._writer.execute(run)

    def _checked(self, spec: JobSpec) -> Plan:
        plan = timetables.checked(spec, self._clock.now())
        notices.check_mail(spec, mail=self._mail)
        for index, one in enumerate(spec.triggers):
            standing.check_source(one.source, self._clock.now(), self._folders, f"triggers[{index}].source")
        return plan

    def update_job(
        self,
        job_id: int,
        spec: JobSpec,
        *,
        by: str,
        expect_version: int | None = None,
        extras: dict[str, Any] | None = None,
    ) -> Reply[Job]:
        """Keeps a new version; running runs go on with theirs. conflict if the version is not the expected one."""
        plan = self._checked(spec)

        def run(ledger: Ledger) -> Job:
            ledger.lock("job", job_id)
            job, _ = ledger.job(job_id)
            if expect_version is not None and expect_version != job.version:
                raise conflict(f"Job {job_id} is at version {job.version}, not {expect_version}.", version=job.version)
            _check_children(ledger, plan, job_id)
            changed = msgspec.structs.replace(
                job,
                spec=spec,
                version=job.version + 1,
                updated_at=ledger.now(),
                extras=job.extras if extras is None else extras,
            )
            _keep(ledger, changed, by)
            timetables.keep(ledger, changed, job)
            standing.keep_own(ledger, changed, job)
            ledger.admit_waiting(job_id)
            return changed

        return self._writer.execute(run)

    def delete_job(self, job_id: int, by: str) -> Reply[None]:
        """Removes a job from the lists; its runs and versions stay, and those under way go on."""

        def run(ledger: Ledger) -> None:
            ledger.lock("job", job_id)
            job, _ = ledger.job(job_id)
            ledger.session.put(msgspec.structs.replace(job, deleted_at=ledger.now()))
            timetables.drop(ledger, job_id)
            standing.drop_own(ledger, job)
            ledger.forget_job(job_id)
            ledger.admit_waiting(job_id)

        return self._writer.execute(run)

    def job(self, job_id: int, *, deleted_too: bool = False) -> Job:
        """One job; raises not_found."""
        with self._store.reading() as reads:
            job = reads.job(job_id)
        if job is None or (job.deleted_at is not None and not deleted_too):
            raise not_found("job", job_id)
        return job

    def job_by_key(self, workspace: str, origin: str, key: str) -> Job:
        """The job with this key in a workspace and origin; raises not_found."""
        with self._store.reading() as reads:
            job = reads.job_by_key(workspace, origin, key)
        if job is None:
            raise not_found("job", key)
        return job

    def jobs(self, where: JobFilter, limit: int = 25, cursor: str | None = None) -> Page[Job]:
        """A page of jobs, newest first."""
        check_limit(limit)
        with self._store.reading() as reads:
            found = reads.jobs(where, limit + 1, parse_cursor(cursor))
        more = len(found) > limit
        return Page(found[:limit], cursor_of(found[limit - 1].id) if more else None)

    def versions(self, job_id: int) -> list[JobVersion]:
        """All versions of a job, newest first."""
        with self._store.reading() as reads:
            found = reads.job_versions(job_id, None)
        if not found:
            raise not_found("job", job_id)
        return found

    def version(self, job_id: int, number: int) -> JobVersion:
        """One version of a job."""
        with self._store.reading() as reads:
            found = reads.job_versions(job_id, number)
        if not found:
            raise not_found("version of the job", f"{job_id}/{number}")
        return found[0]

    # --- queues ---

    def queues(self) -> list[QueueStatus]:
        """Every queue that has settings or work."""
        with self._store.reading() as reads:
            kept = {queue.name: queue for queue in reads.queues()}
            active, waiting = reads.queue_active(), reads.queue_depth()
        names = sorted({"default", *kept, *active, *waiting})
        return [QueueStatus(kept.get(n, Queue(name=n)), active.get(n, 0), waiting.get(n, 0)) for n in names]

    def put_queue(self, queue: Queue, by: str) -> Reply[Queue]:
        """Sets a queue's slots, priority and pause; work that is under way goes on."""
        if queue.slots is not None and queue.slots < 0:
            raise invalid("slots must be 0 or more, or null for no limit.", field="slots")

        def run(ledger: Ledger) -> Queue:
            ledger.session.put(queue)
            ledger.hold(self._worker.queues, queue.name, queue)
            ledger.effects.look = True
            return queue

        return self._writer.execute(run)

    def delete_queue(self, name: str, by: str) -> Reply[None]:
        """Removes a queue's settings; work in it then has no limit."""

        def run(ledger: Ledger) -> None:
            if name not in self._worker.queues:
                raise not_found("queue", name)
            ledger.session.delete(Queue(name=name))
            ledger.hold(self._worker.queues, name, None)
            ledger.effects.look = True

        return self._writer.execute(run)

    # --- bookmarks ---

    def bookmark(self, key: str, run_id: int | None = None) -> Bookmark:
        """The newest bookmark, or what it was after a run; raises not_found."""
        with self._store.reading() as reads:
            found = reads.bookmark(key, run_id)
        if found is None:
            raise not_found("bookmark", key)
        return found

    def set_bookmark(
        self, key: str, state: dict[str, Any], by: str, *, run_id: int = 0, attempt: int = 0, expect: int | None = None
    ) -> Reply[Bookmark]:
        """Keeps a new version of a bookmark; conflict if the present version is not `expect`."""
        return self._writer.execute(lambda ledger: bookmarks.put(ledger, key, state, run_id, attempt, expect))

    def reset_bookmark(self, key: str, run_id: int | None, by: str) -> Reply[Bookmark]:
        """Back to the beginning, or to what it was after a run: as a new version, so that nothing is lost."""

        def run(ledger: Ledger) -> Bookmark:
            if ledger.session.bookmark(key, None) is None:
                raise not_found("bookmark", key)
            earlier = ledger.session.bookmark(key, run_id) if run_id is not None else None
            if run_id is not None and earlier is None:
                raise not_found("bookmark of run", run_id)
            return bookmarks.put(ledger, key, earlier.state if earlier else {}, run_id or 0, 0)

        return self._writer.execute(run)

    # --- principals ---

    def principals(self) -> list[Principal]:
        """Everybody who may call, by id."""
        return sorted(self._principals.values(), key=lambda one: one.id)

    def principal(self, principal_id: int) -> Principal | None:
        """One principal from memory, or None."""
        return self._principals.get(principal_id)

    def create_principal(self, name: str, scopes: list[str], expires_at: int | None, by: str) -> Reply[Principal]:
        """A new principal; names are unique."""

        def run(ledger: Ledger) -> Principal:
            if any(one.name == name for one in self._principals.values()):
                raise RunyardError(Code.ALREADY_EXISTS, f"There is a principal named {name!r} already.")
            now = ledger.now()
            one = Principal(id=ledger.draw(), name=name, scopes=scopes, created_at=now, expires_at=expires_at)
            return self._keep_principal(ledger, one)

        return self._writer.execute(run)

    def revoke(self, principal_id: int, by: str) -> Reply[Principal]:
        """Makes all tokens of a principal void; new ones can be derived."""

        def run(ledger: Ledger) -> Principal:
            one = self._need_principal(principal_id)
            return self._keep_principal(ledger, msgspec.structs.replace(one, version=one.version + 1))

        return self._writer.execute(run)

    def delete_principal(self, principal_id: int, by: str) -> Reply[None]:
        """Removes a principal; its tokens are void."""

        def run(ledger: Ledger) -> None:
            ledger.session.delete(self._need_principal(principal_id))
            ledger.hold(self._principals, principal_id, None)

        return self._writer.execute(run)

    def _need_principal(self, principal_id: int) -> Principal:
        one = self._principals.get(principal_id)
        if one is None:
            raise not_found("principal", principal_id)
        return one

    def _keep_principal(self, ledger: Ledger, one: Principal) -> Principal:
        ledger.session.put(one)
        ledger.hold(self._principals, one.id, one)
        return one


def _keep(ledger: Ledger, job: Job, by: str) -> None:
    ledger.session.put(job)
    version = JobVersion(job_id=job.id, version=job.version, spec=job.spec, created_at=job.updated_at, created_by=by)
    ledger.session.put(version)
    ledger.forget_job(job.id)


def _children(plan: Plan) -> list[tuple[str, int]]:
    found = []
    for task in plan.spec.tasks:
        action = task.action.action if isinstance(task.action, ForEach) else task.action
        if isinstance(action, RunJob):
            found.append((task.key, action.job))
    return found


def _check_children(
    ledger: Ledger, plan: Plan, job_id: int | None, depth: int = 1, seen: set[tuple[int, int]] | None = None
) -> None:
    """Refuses run_job tasks whose jobs do not exist, nest too deep, or come back to this one."""
    seen = set() if seen is None else seen
    for key, child in _children(plan):
        if (child, depth) in seen:
            continue
        seen.add((child, depth))
        if child == job_id:
            raise invalid(f"Task {key!r} would run its own job again, without end.", field="tasks")
        if depth > MAX_DEPTH:
            raise invalid(f"run_job tasks may nest {MAX_DEPTH} deep; task {key!r} goes deeper.", field="tasks")
        _, below = ledger.job(child)
        _check_children(ledger, below, job_id, depth + 1, seen)
