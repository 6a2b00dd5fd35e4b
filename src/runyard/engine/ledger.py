"""The ledger: live runs in memory, moved by the core and written to the store in the open transaction.

Everything here happens inside one transaction of the writer. The snapshots are a cache of what the store
holds; whoever undoes a transaction tells the ledger to forget the runs that it touched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from runyard.core import lifecycle
from runyard.core.actions import ENGINE
from runyard.core.changes import Changes, ChildRun, StopWork
from runyard.core.errors import Code, RunyardError, not_found
from runyard.core.graph import Plan, Snapshot, merge_parameters
from runyard.core.ids import IdSource
from runyard.core.model import Job, JobSpec, OnLimit, Run, TaskRun
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL, Reason, State
from runyard.core.triggers import Trigger
from runyard.engine import notices
from runyard.engine.clock import Clock
from runyard.engine.counts import Counts
from runyard.store.base import Session

K = TypeVar("K")
V = TypeVar("V")
MAX_SNAPSHOTS = 20_000
MAX_PLANS = 2_000
MAX_SPAWNED = 100
"""How many runs of one attempt may live at once."""
_HELD = (State.STARTING, State.RUNNING)
LIVE = [state for state in State if state not in TERMINAL]


class Effects:
    """What one command wants done after the commit."""

    __slots__ = ("deleted", "ended", "look", "ready", "stops", "touched", "undos")

    def __init__(self) -> None:
        self.ended: list[Run] = []
        """Runs of jobs that ended, and whose followers were not looked at yet."""
        self.deleted: list[int] = []
        """Runs that are gone, and their logs should be."""
        self.touched: set[int] = set()
        self.stops: list[StopWork] = []
        self.ready: list[TaskRun] = []
        """Task runs that became queued."""
        self.look = False
        """Whether task runs that were queued before may be claimable now: a queue's settings changed."""
        self.undos: list[Callable[[], object]] = []
        """What puts memory back as it was, should the transaction not happen."""

    def absorb(self, other: Effects) -> None:
        """Adds what another command of the same batch wants."""
        self.touched |= other.touched
        self.stops += other.stops
        self.deleted += other.deleted
        self.undos += other.undos
        self.ready += other.ready
        self.look |= other.look


class Ledger:
    """Moves runs inside the open transaction."""

    def __init__(self, session: Session, clock: Clock, ids: IdSource) -> None:
        self.session = session
        self.clock = clock
        self.now = clock.now
        """The time in milliseconds."""
        self.ids = ids
        self.effects = Effects()
        self.lent: dict[int, int] = {}
        """Attempts that wait for runs which they started, and how many: meanwhile others may use their places."""
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._plans: OrderedDict[tuple[int, int], Plan] = OrderedDict()
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._counts = Counts(session)
        self.on_end: Callable[[Ledger, Run], None] | None = None
        """What is told of each run of a job that has ended, once the command that ended it is through."""

    def draw(self) -> int:
        """A new id."""
        return self.ids.draw(self.now())

    def lock(self, kind: str, key: object) -> None:
        """Nobody else changes this until the transaction ends. Where one server writes, that is so anyway."""

    def locked(self, trigger: Trigger) -> Trigger:
        """The trigger as it stands, which nobody else changes until the transaction ends."""
        return trigger

    # --- the cache ---

    def snapshot(self, run_id: int) -> Snapshot:
        """The run as it stands; raises not_found. Kept in memory while the run is live: of the past are many."""
        found = self._snapshots.get(run_id)
        if found is not None:
            self._snapshots.move_to_end(run_id)
            return found
        run = self.session.run(run_id)
        if run is None:
            raise not_found("run", run_id)
        snapshot = Snapshot(run, self._plan_of(run), self.session.task_runs(run_id))
        if run.ended_at is None:
            self._remember(snapshot)
        return snapshot

    def _remember(self, snapshot: Snapshot) -> None:
        self._snapshots[snapshot.run.id] = snapshot
        if len(self._snapshots) > MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def forget(self, run_ids: Iterable[int]) -> None:
        """Drops what is in memory of these runs: their transaction did not happen, or they are over."""
        for run_id in run_ids:
            self._snapshots.pop(run_id, None)

    def forget_job(self, job_id: int) -> None:
        """Drops a job whose newest version changes in this transaction."""
        self._jobs.pop(job_id, None)
        self.effects.undos.append(lambda: self._forget_versions(job_id))

    def _forget_versions(self, job_id: int) -> None:
        """A version that was not kept must not be found under its number, which another one will get."""
        self._jobs.pop(job_id, None)
        for key in [key for key in self._plans if key[0] == job_id]:
            del self._plans[key]

    def hold(self, held: dict[K, V], key: K, value: V | None) -> None:
        """Changes what is held in memory of the store (None removes it), as long as the transaction happens."""
        before = held.get(key)
        self.effects.undos.append(lambda: _set(held, key, before))
        _set(held, key, value)

    def undo(self, effects: Effects) -> None:
        """What had these effects did not happen."""
        self.forget(effects.touched)
        for undo in reversed(effects.undos):
            undo()

    def _plan_of(self, run: Run) -> Plan:
        if run.job_id is None or run.job_version is None:
            return Plan(_present(self.session.run_spec(run.id)))
        key = (run.job_id, run.job_version)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(_present(self.session.run_spec(run.id)))
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        return plan

    def job(self, job_id: int) -> tuple[Job, Plan]:
        """A job that is not deleted, with its newest version's plan; raises not_found."""
        job = self._jobs.get(job_id)
        if job is None:
            job = self.session.job(job_id)
            if job is None or job.deleted_at is not None:
                raise not_found("job", job_id)
            self._jobs[job_id] = job
            if len(self._jobs) > MAX_PLANS:
                self._jobs.popitem(last=False)
        key = (job_id, job.version)
        if key not in self._plans:
            self._plans[key] = Plan(job.spec)
        return job, self._plans[key]

    def kept_job(self, job_id: int) -> Job | None:
        """A job, deleted or not."""
        return self._jobs.get(job_id) or self.session.job(job_id)

    # --- moving runs ---

    def create(
        self,
        run: Run,
        plan: Plan,
        spec: JobSpec | None,
        only: set[str] | None = None,
        on_limit: OnLimit | None = None,
    ) -> Run:
        """Stores a new run; its job's limit may queue, refuse or skip it. `spec` for one with its own definition."""
        run = self._within_limit(run, on_limit, spec)
        snapshot, changes = lifecycle.create(run, plan, self.now(), self.ids, only=only)
        self._remember(snapshot)
        self._keep(snapshot, changes, spec, None)
        if run.ended_at is not None and run.job_id is not None:  # skipped by its job's limit
            self.effects.ended.append(run)
        return snapshot.run

    def advance(self, run_id: int, event: lifecycle.Input) -> Changes:
        """Moves a run by one event and stores what changed; raises what `decide` raises."""
        snapshot = self.snapshot(run_id)
        before = snapshot.run
        try:
            changes = lifecycle.decide(snapshot, event, self.now(), self.ids)
        except RunyardError:  # a refusal, made before anything was changed
            raise
        except BaseException:  # a defect: the snapshot may be half changed
            self.forget([run_id])
            raise
        if changes:
            if before.ended_at is not None and snapshot.run.ended_at is None:  # a repair: it lives again
                self._remember(snapshot)
            self._keep(snapshot, changes, None, before)
        return changes

    def _keep(self, snapshot: Snapshot, changes: Changes, spec: JobSpec | None, before: Run | None) -> None:
        run = changes.run
        self.effects.touched.add(run.id)
        self._counts.moved(before, run, self.effects.undos)
        self.session.apply(changes, spec)
        self.effects.stops += changes.stops
        if changes.ready:
            self.effects.ready += changes.queued()
        if snapshot.plan.notifies:
            notices.owe(self, run, snapshot.plan, changes)
        for child in changes.children:
            self._start_child(run, child)
        for child_run_id in changes.cancel_children:
            self._cancel_child(child_run_id, run.detail)
        for one in changes.updated.values():
            if one.child_run_id is not None and one.executor != ENGINE and one.state not in _HELD:
                self._cancel_spawned(one.id, run.detail)
        if changes.ended:
            self._ended(run, snapshot.plan.spec)

    def follow_up(self) -> None:
        """Tells of the runs that ended; one after the other, since what they start may end at once."""
        ended = self.effects.ended
        while ended:
            run = ended.pop(0)
            if self.on_end is not None:
                self.on_end(self, run)

    def _ended(self, run: Run, spec: JobSpec) -> None:
        self._snapshots.pop(run.id, None)
        if run.job_id is not None:
            self.effects.ended.append(run)
        if run.job_id is not None and (spec.max_concurrent_runs, self._limit(run.job_id)) != (None, None):
            self.admit_waiting(run.job_id)
        if run.parent_task_run_id is not None:
            self.lend(run.parent_task_run_id, -1)
            parent = self.session.task_run(run.parent_task_run_id)
            if parent is not None:
                self.advance(parent.run_id, lifecycle.ChildEnded(parent.id, run))

    def delete(self, run_id: int) -> None:
        """Removes a run that is over, with all that is kept of it."""
        self.session.delete(self.snapshot(run_id).run)
        self.forget([run_id])
        self.effects.deleted.append(run_id)

    # --- a job's limit ---

    def _within_limit(self, run: Run, asked: OnLimit | None, own: JobSpec | None) -> Run:
        if run.job_id is None or not self.at_limit(run.job_id):
            return run
        _, plan = self.job(run.job_id)
        spec = plan.spec
        said = f"The job's limit of {spec.max_concurrent_runs} concurrent runs is reached."
        on_limit = asked or _on_limit(run, own or spec)
        if on_limit is OnLimit.REFUSE:
            raise RunyardError(
                Code.LIMIT, f"{said} Wait for one to end, cancel one, or raise max_concurrent_runs.", job_id=run.job_id
            )
        if on_limit is OnLimit.SKIP:
            now = self.now()
            moved: dict[str, Any] = {"state": State.SKIPPED, "ended_at": now}
        else:
            moved = {}
        return replace(run, admitted_at=None, reason=Reason.JOB_LIMIT, detail=said, **moved)

    def _limit(self, job_id: int) -> int | None:
        """How many runs the job may have at once: as its newest version says, whichever the runs follow."""
        try:
            _, plan = self.job(job_id)
        except RunyardError:  # deleted meanwhile: what it had queued still runs
            return None
        return plan.spec.max_concurrent_runs

    def at_limit(self, job_id: int) -> bool:
        """Whether the job has as many runs as it may have at once."""
        limit = self._limit(job_id)
        return limit is not None and self.standing(job_id)[0] >= limit

    def standing(self, job_id: int) -> tuple[int, int]:
        """How many runs of a job are let in and not over, and how many wait for its limit."""
        return self._counts.of_job(job_id, self.effects.undos)

    def live(self) -> int:
        """How many runs are not over."""
        return self._counts.of_all(self.effects.undos)

    def admit_waiting(self, job_id: int) -> None:
        """Lets in as many waiting runs as the job's limit allows, by priority, then age."""
        limit = self._limit(job_id)
        admitted, waiting = self.standing(job_id)
        free = 1000 if limit is None else limit - admitted
        if free > 0 and waiting > 0:
            for run_id in self.session.awaiting_admission(job_id, free):
                self.advance(run_id, lifecycle.Admit())

    # --- runs that tasks start ---

    def _start_child(self, parent: Run, child: ChildRun) -> None:
        try:
            run_id = self._create_child(parent, child)
        except RunyardError as error:
            self.advance(parent.id, lifecycle.ChildRefused(child.task_run_id, error.message))
            return
        self.advance(parent.id, lifecycle.ChildStarted(child.task_run_id, run_id))
        started = self.session.run(run_id)
        if started is not None and started.ended_at is not None:  # skipped at once by its job's limit
            self.advance(parent.id, lifecycle.ChildEnded(child.task_run_id, started))

    def _create_child(self, parent: Run, child: ChildRun) -> int:
        job, plan = self.job(child.job_id)
        parameters = merge_parameters(plan.spec, child.parameters)
        run = new_run(
            self,
            plan.spec,
            job=job,
            by=parent.submitted_by,
            parameters=parameters,
            trigger="run_job",
            workspace=job.workspace,
            origin=job.origin,
            depth=parent.depth + 1,
            parent_task_run_id=child.task_run_id,
        )
        return self.create(run, plan, None).id

    def _cancel_spawned(self, task_run_id: int, detail: str) -> None:
        """Ends all that an attempt started and that still lives."""
        where = RunFilter(parent_task_run_id=task_run_id, states=LIVE)
        for child in self.session.runs(where, MAX_SPAWNED, None):
            self._cancel_child(child.id, detail)

    def lend(self, task_run_id: int, more: int) -> None:
        """An attempt waits for one run more, or less."""
        if more > 0 or task_run_id in self.lent:
            self.hold(self.lent, task_run_id, max(0, self.lent.get(task_run_id, 0) + more) or None)

    def _cancel_child(self, run_id: int, detail: str) -> None:
        run = self.session.run(run_id)
        if run is not None and run.ended_at is None:
            why = detail or "The task that started it was cancelled."
            self.advance(run_id, lifecycle.CancelRun("its parent run", Reason.PARENT_CANCELLED, why))


def look(ledger: Ledger) -> None:
    """An empty command: its transaction lets the worker claim."""
    ledger.effects.look = True


def new_run(ledger: Ledger, spec: JobSpec, *, job: Job | None, by: str, **fields: Any) -> Run:
    """A queued run with a fresh id, by its definition; `fields` are the rest of `Run`, None means by default.

    It counts as let in: `create` sees to its job's limit.
    """
    now = ledger.now()
    for name in ("name", "queue", "priority", "tags"):
        if fields.get(name) is None:
            fields[name] = getattr(spec, name)
    return Run(
        id=ledger.ids.draw(now),
        job_id=job.id if job else None,
        job_version=job.version if job else None,
        state=State.QUEUED,
        created_at=now,
        admitted_at=now,
        submitted_by=by,
        **fields,
    )


def _on_limit(run: Run, spec: JobSpec) -> OnLimit:
    """Nobody is there to be refused a triggered run: it is kept as skipped. What is run later may as well wait."""
    if run.trigger == "backfill":
        return OnLimit.QUEUE
    triggered = run.trigger == "schedule" or "trigger" in run.extras
    return OnLimit.SKIP if triggered and spec.on_limit is OnLimit.REFUSE else spec.on_limit


def _set(held: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def _present(spec: JobSpec | None) -> JobSpec:
    if spec is None:
        raise RunyardError(Code.INTERNAL, "The definition of a kept run is missing from the store.")
    return spec
