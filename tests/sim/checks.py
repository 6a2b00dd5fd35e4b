"""What must hold after every step, looked at from outside: only the store, the replies and the field are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from runyard.core.attempts import Assignment
from runyard.core.model import OnLimit, Queue, Run, TaskRun
from runyard.core.retry import LOSS_BUDGET
from runyard.core.states import ACTIVE, TERMINAL, State

from .field import Attempt, Claim, Field
from .store import SimStore


class Violation(AssertionError):
    """A promise that was not kept."""


def require(holds: bool, promise: str, *facts: Any) -> None:
    """Ends the story if it does not hold."""
    if not holds:
        raise Violation(f"{promise}: {' '.join(str(fact) for fact in facts)}")


class Checks:
    """Remembers what was seen, and compares."""

    def __init__(self, store: SimStore, field: Field, kept_ms: int | None) -> None:
        """`kept_ms`: how long runs are kept after their end; None for ever."""
        self.store = store
        self.field = field
        self._kept_ms = kept_ms
        self._latest = 0
        self.runs: dict[int, Run] = {}
        self.seen: dict[int, dict[int, TaskRun]] = {}
        self.active: dict[str, int] = {}
        self.slots: dict[str, int | None] = {}
        self.admitted: dict[int, int] = {}
        self.limits: dict[int, tuple[int | None, OnLimit]] = {}
        self.claims: set[Claim] = set()
        self.asked_to_delete: set[int] = set()
        self.on_change: Callable[[Run, Run | None], None] = lambda run, before: None

    # --- after a step ---

    def step(self, queues: dict[str, Queue]) -> None:
        """Looks at what changed, once it is committed."""
        changed, known = self.store.writer.changed, len(self.runs)
        self._latest = max(self._latest, self.field.wall())
        concerned = self._jobs(changed)
        for run_id in sorted(changed):
            self._run(run_id)
        self._counts(queues, concerned | self._jobs(changed))
        if len(self.runs) != known:
            self._submissions()
        changed.clear()

    def _jobs(self, run_ids: Iterable[int]) -> set[int | None]:
        return {self.runs[run_id].job_id for run_id in run_ids if run_id in self.runs}

    def _run(self, run_id: int) -> None:
        reads = self.store.writer
        run = reads.run(run_id)
        if run is None:
            gone = self.runs.get(run_id)
            may = gone is None or run_id in self.asked_to_delete or self._is_old(gone)
            require(may, "no run vanishes before its time", gone)
            require(not reads.task_runs(run_id), "nothing is kept of a deleted run", run_id)
            self.runs.pop(run_id, None)
            self.seen.pop(run_id, None)
            return
        before = self.runs.get(run_id)
        events = reads.events(run_id, before.seq if before else 0, 100_000)
        first = before.seq + 1 if before else 1
        numbers = [event.seq for event in events]
        require(numbers == list(range(first, run.seq + 1)), "events have no gap", run_id, numbers, run.seq)
        if before is not None and before.state in TERMINAL and run != before:
            require(run.round > before.round, "only a repair changes a run that is over", before, run)
        if run.parent_task_run_id is not None and run.state not in TERMINAL and not run.round:
            parent = reads.task_run(run.parent_task_run_id)
            require(parent is not None and parent.state in ACTIVE, "no child outlives its task", run, parent)
        attempts = reads.task_runs(run_id)
        self._attempts(run, attempts)
        self.on_change(run, before)
        self.runs[run_id] = run
        self.seen[run_id] = {one.id: one for one in attempts}

    def _is_old(self, run: Run) -> bool:
        """Whether the pruner may have taken it."""
        return self._kept_ms is not None and run.ended_at is not None and run.ended_at < self._latest - self._kept_ms

    def _attempts(self, run: Run, attempts: list[TaskRun]) -> None:
        known = self.seen.get(run.id, {})
        live: dict[tuple[str, int], int] = {}
        newest: dict[tuple[str, int], TaskRun] = {}
        for one in attempts:
            before = known.get(one.id)
            if before is not None:
                self._change(before, one)
            self._facts(one)
            key = (one.task_key, one.iteration)
            newest[key] = one
            if one.state not in TERMINAL:
                require(key not in live, "a task has one live attempt at most", run.id, key)
                live[key] = one.id
        for key, task_run_id in live.items():
            require(newest[key].id == task_run_id, "the live attempt is the newest", run.id, key)
        require(len(attempts) >= len(known), "no attempt vanishes", run.id)
        alive = any(newest[key].state not in TERMINAL for key in newest if key[1] < 0)
        require(alive == (run.state not in TERMINAL), "a run is over when nothing of it is live", run, attempts)
        if run.state in TERMINAL:
            require(not live, "nothing works for a run that is over", run.id, live)
            lost = [one for one in newest.values() if one.state is State.LOST and one.losses < LOSS_BUDGET]
            require(not lost, "a lost attempt is tried again", lost)

    def _change(self, before: TaskRun, now: TaskRun) -> None:
        if before.state in TERMINAL:
            require(now == before, "an attempt that is over never changes", before, now)
        if before.state is State.WAITING and now.state in (State.QUEUED, State.STARTING, State.RUNNING):
            due = before.due_at or 0
            moment = max(self.field.wall(), now.queued_at or 0)  # the clock may have been set back just now
            require(moment >= due, "no retry comes before its back-off is over", before, now)
        if now.state is State.STARTING and before.token != now.token:
            require(now.token > before.token, "tokens grow", before, now)

    def _facts(self, one: TaskRun) -> None:
        """Everything that a worker told must have come from the claim that holds."""
        if one.executor == "engine":
            return
        claim = (one.id, one.token)
        if one.started_at is not None:
            require(self.field.started.get(claim) == one.started_at, "a start is told by its own claim", one)
        if "token" in one.values:
            require(one.values["token"] == one.token, "an outcome is told by its own claim", one)
            attempt = self.field.attempts.get(claim)
            require(attempt is not None and not _works(attempt), "work that is over has ended", one)
        else:
            require(one.state is not State.SUCCEEDED, "a success is told by a worker", one)

    def _counts(self, queues: dict[str, Queue], jobs: set[int | None]) -> None:
        active = self.store.writer.queue_active()
        for name, queue in queues.items():
            now, before = active.get(name, 0), self.active.get(name, 0)
            allowed, earlier = _slots(queue), self.slots.get(name)
            self.slots[name] = allowed
            if (
                allowed is not None and earlier is not None
            ):  # a claim may be committed with a new limit, or the first one
                require(now <= max(allowed, earlier, before), "slots are never exceeded", queue, earlier, before, now)
        self.active = active
        for job_id, (limit, _) in self.limits.items():
            if job_id not in jobs:
                continue
            now, before = self.store.writer.admitted_count(job_id), self.admitted.get(job_id, 0)
            require(limit is None or now <= max(limit, before), "a job's limit holds", job_id, limit, before, now)
            self.admitted[job_id] = now

    def _submissions(self) -> None:
        keys = self.store.number("SELECT count(*) FROM submission_key")
        runs = self.store.number("SELECT count(*) FROM run WHERE trigger IN ('manual', 'rerun')")
        gone = self.store.number("SELECT count(*) FROM submission_key WHERE run_id NOT IN (SELECT id FROM run)")
        require(runs == keys - gone, "each submission is one run", runs, keys, gone)

    # --- at certain moments ---

    def start(self, name: str, capacity: int, one: Assignment) -> None:
        """Work begins: it must be committed, current, and alone."""
        require(not self.store.writer.connection.in_transaction, "no work starts before its commit", one)
        row, run = self.store.writer.task_run(one.task_run_id), self.store.writer.run(one.run_id)
        require(row is not None and run is not None, "work is recorded before it starts", one)
        assert row is not None
        assert run is not None
        require((row.state, row.token) == (State.STARTING, one.token), "work starts as it is recorded", row, one)
        require(run.state is State.RUNNING, "no work starts for a run that is to end", run)
        claim = (one.task_run_id, one.token)
        require(claim not in self.claims, "no claim is handed out twice", one)
        self.claims.add(claim)
        others = self.field.living(name)
        require(len(others) < capacity, "an executor's places are never exceeded", name, capacity)
        require(not any(_same_task(other, one) for other in others), "attempts of a task never overlap", one)

    def timers(self, latest_ms: int) -> None:
        """Nothing that was due so long ago is left, nor told and not kept."""
        moment = self.field.wall() - latest_ms
        for table, column in (("task_run", "due_at"), ("task_run", "deadline_at"), ("run", "deadline_at")):
            left = self.store.number(f"SELECT count(*) FROM {table} WHERE {column} <= {moment}")
            require(not left, "what is due is done", table, column, left)
        for attempts in self.seen.values():
            for one in attempts.values():
                told = one.state is State.STARTING and self.field.told_start((one.id, one.token), moment)
                require(not told, "work that told its start is running", one)

    def cancelled(self, run: Run) -> None:
        """A cancel was acknowledged."""
        require(run.state is State.CANCELLING or run.state in TERMINAL, "an acknowledged cancel holds", run)

    def the_end(self) -> None:
        """The faults stopped, time went by: everything must be over."""
        for run in self.runs.values():
            require(run.state in TERMINAL, "every run ends", run, self.seen[run.id].values())
        active, queued = self.store.writer.queue_active(), self.store.writer.queue_depth()
        require(not active and not queued, "nothing works or waits in the end", active, queued)


def _works(attempt: Attempt) -> bool:
    return attempt.alive and not attempt.given_up


def _slots(queue: Queue) -> int | None:
    return 0 if queue.paused else queue.slots


def _same_task(other: Attempt, one: Assignment) -> bool:
    mine = other.one
    return (mine.run_id, mine.task_key, mine.iteration) == (one.run_id, one.task_key, one.iteration)


def is_held(one: TaskRun) -> bool:
    """Whether an executor may hold it."""
    return one.state in ACTIVE and one.executor != "engine"
