"""An engine on the test's bench: virtual clock, executors moved by hand, a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from runyard.core.actions import Action, ForEach, RunJob, Shell, Sql
from runyard.core.attempts import Assignment, Outcome
from runyard.core.commands import Cancel, Repair, Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Dependency, Event, Job, JobSpec, Queue, Run, Task, TaskRun
from runyard.engine.engine import Engine
from runyard.store.base import Store
from runyard.store.sql import load
from runyard.store.sqlite import SqliteStore

from .fakes import HandExecutor

T0 = 1_800_000_000_000


class VirtualClock:
    """Stands still until the test moves it; may be moved back."""

    def __init__(self, now: int = T0) -> None:
        self.at = now

    def now(self) -> int:
        return self.at


def task(key: str, *needs: str, action: Action | None = None, **fields: Any) -> Task:
    """A shell task unless told otherwise."""
    edges = [Dependency(task=need) for need in needs]
    return Task(key=key, action=action or Shell(command="work"), needs=edges, **fields)


def sql(key: str, *needs: str, **fields: Any) -> Task:
    """A task for the warehouse."""
    return task(key, *needs, action=Sql(statement="SELECT 1"), **fields)


def run_job(key: str, job: Job, *needs: str, **fields: Any) -> Task:
    """A task that runs another job."""
    return task(key, *needs, action=RunJob(job=job.id), **fields)


def for_each(key: str, inputs: list[Any] | str, *needs: str, concurrency: int = 1, **fields: Any) -> Task:
    """A for-each task over a shell command."""
    action = ForEach(inputs=inputs, concurrency=concurrency, action=Shell(command=["work", "{{ input }}"]))
    return task(key, *needs, action=action, **fields)


def spec(*tasks: Task, name: str = "job", **fields: Any) -> JobSpec:
    """A definition; one shell task `a` if none is given."""
    return JobSpec(name=name, tasks=list(tasks) or [task("a")], **fields)


def reopen(store: SqliteStore) -> None:
    """What opening a database file does beyond connecting; a store in memory cannot be closed and opened."""
    store.writer.rollback()
    row = store.writer.connection.execute(load("sqlite.sql")["last_id"]).fetchone()
    store.last_id = row[0] or 0 if row else 0


class Bench:
    """The engine and what a test does with it."""

    def __init__(self, store: SqliteStore | None = None, *hands: HandExecutor, at: int = T0, **options: Any) -> None:
        self.clock = VirtualClock(at)
        self.store = store or SqliteStore(":memory:")
        self.hands = {hand.name: hand for hand in hands or (HandExecutor("process"), HandExecutor("warehouse"))}
        self.engine = Engine(cast("Store", self.store), list(self.hands.values()), clock=self.clock, **options)
        self.runs, self.registry = self.engine.runs, self.engine.registry
        self.engine.start()

    @property
    def hand(self) -> HandExecutor:
        """The executor of processes."""
        return self.hands["process"]

    def restart(self, *hands: HandExecutor, **options: Any) -> Bench:
        """A new engine on the same store, as after a crash."""
        reopen(self.store)
        return Bench(self.store, *hands, at=self.clock.at, **options)

    # --- jobs and runs ---

    def job(self, *tasks: Task, **fields: Any) -> Job:
        """A kept job."""
        return self.registry.create_job(spec(*tasks, **fields), by="ann").result()

    def submit(self, what: Job | JobSpec | None = None, **fields: Any) -> Run:
        """A run of a job, or of a definition."""
        command = Submit(job_id=what.id, **fields) if isinstance(what, Job) else Submit(spec=what or spec(), **fields)
        return self.runs.submit(command, "ann").result().run

    def run(self, run: Run | int) -> Run:
        """The run as it stands now."""
        return self.runs.get(run if isinstance(run, int) else run.id)

    def one(self, run: Run, key: str = "a", iteration: int = -1) -> TaskRun:
        """The newest attempt of a task."""
        found = {(one.task_key, one.iteration): one for one in self.runs.task_runs(run.id)}
        return found[key, iteration]

    def states(self, run: Run) -> dict[str, str]:
        """The states of the run's tasks."""
        return {one.task_key: one.state.value for one in self.runs.task_runs(run.id) if one.iteration < 0}

    def history(self, run: Run) -> list[Event]:
        """All events of the run."""
        return self.runs.events(run.id)

    def cancel(self, run: Run, one: TaskRun | None = None) -> Run:
        """Asks for an end."""
        return self.runs.cancel(Cancel(run_id=run.id, task_run_id=one.id if one else None), "ann").result()

    def repair(self, run: Run, **fields: Any) -> Run:
        """A new round."""
        return self.runs.repair(Repair(run_id=run.id, **fields), "bob").result()

    def queue(self, name: str, **fields: Any) -> Queue:
        """Settings of a queue."""
        return self.registry.put_queue(Queue(name=name, **fields), "ann").result()

    # --- work ---

    def held(self, run: Run, key: str = "a", iteration: int = -1) -> Assignment:
        """What an executor holds of a task."""
        held = (one for hand in self.hands.values() for one in hand.held.values())
        return next(one for one in held if (one.run_id, one.task_key, one.iteration) == (run.id, key, iteration))

    def executor_of(self, one: Assignment) -> HandExecutor:
        """The executor that holds it."""
        return next(hand for hand in self.hands.values() if one.task_run_id in hand.held)

    def begin(self, run: Run, key: str = "a", iteration: int = -1) -> Assignment:
        """The work starts."""
        one = self.held(run, key, iteration)
        self.executor_of(one).begin(one, self.clock.at)
        return one

    def finish(self, run: Run, key: str = "a", result: Any = "succeeded", iteration: int = -1, **facts: Any) -> None:
        """The work ends."""
        one = self.held(run, key, iteration)
        self.executor_of(one).end(one, Outcome(result=result, **facts), self.clock.at)

    def working(self, name: str = "process") -> list[str]:
        """The tasks that an executor holds, in the order of their starts."""
        return [one.task_key for one in self.hands[name].held.values()]

    def holders(self) -> list[int]:
        """The runs that executors hold work of, in the order of their starts."""
        return [one.run_id for hand in self.hands.values() for one in hand.held.values()]

    def later(self, seconds: float) -> None:
        """Time passes, and the duties look at it."""
        self.clock.at += round(seconds * 1000)
        self.engine.tick()


def refused(call: Any, code: Code, *said: str) -> RunyardError:
    """The refusal that a reply holds, or that the call raises."""
    with pytest.raises(RunyardError) as caught:
        call().result()
    assert caught.value.code is code, caught.value
    for words in said:
        assert words in caught.value.message, caught.value.message
    return caught.value


def told(events: Sequence[Event]) -> list[tuple[str, str | None]]:
    """Kinds and states, in order."""
    return [(event.kind, event.state.value if event.state else None) for event in events]
