"""Drives one run through `create` and `decide` the way an engine would, and checks it after every event.

The driver keeps what the changes say in plain dicts, as a store would, and rebuilds the snapshot from them
each time: the cached one must be no different.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runyard.core import lifecycle
from runyard.core.actions import Action, Condition, ForEach, Leaf, RunJob, Shell
from runyard.core.attempts import Outcome
from runyard.core.changes import Changes
from runyard.core.graph import Plan, Snapshot, validate
from runyard.core.ids import IdSource
from runyard.core.model import Dependency, Event, JobSpec, Retries, Run, RunIf, Task, TaskRun
from runyard.core.states import TERMINAL, State

T0 = 1_800_000_000_000
"""When the tests begin, in milliseconds since 1970."""

Result = Literal["succeeded", "failed", "stopped", "released", "lost"]


def need(text: str) -> Dependency:
    """`a`, or `a:true` for an edge that asks for a condition's outcome."""
    key, _, outcome = text.partition(":")
    return Dependency(task=key, outcome="true" if outcome == "true" else "false" if outcome else None)


def task(key: str, *needs: str, action: Action | None = None, **fields: Any) -> Task:
    """A task; a shell command if nothing else is said."""
    return Task(key=key, action=action or Shell(command="work"), needs=[need(one) for one in needs], **fields)


def condition(key: str, *needs: str, left: Any = 1, op: Any = "==", right: Any = 1, **fields: Any) -> Task:
    """A condition task that holds unless told otherwise."""
    return task(key, *needs, action=Condition(op=op, left=left, right=right), **fields)


def for_each(
    key: str, *needs: str, inputs: Any, concurrency: int = 1, action: Leaf | None = None, **fields: Any
) -> Task:
    """A for-each task over a shell command."""
    inner = action or Shell(command=["work", "{{ input }}"])
    return task(key, *needs, action=ForEach(inputs=inputs, action=inner, concurrency=concurrency), **fields)


def run_job(key: str, *needs: str, job: int = 7, **fields: Any) -> Task:
    """A task that starts a run of another job."""
    return task(key, *needs, action=RunJob(job=job), **fields)


def spec(*tasks: Task, **fields: Any) -> JobSpec:
    """A definition named `job`."""
    return JobSpec(name="job", tasks=list(tasks), **fields)


def retries(max_: int, **fields: Any) -> Retries:
    """A retry policy."""
    return Retries(max=max_, **fields)


class Driver:
    """One run under test."""

    def __init__(
        self,
        *tasks: Task,
        only: list[str] | None = None,
        admitted: bool = True,
        depth: int = 0,
        given: dict[str, Any] | None = None,
        checked: bool = True,
        **fields: Any,
    ) -> None:
        definition = spec(*tasks, **fields)
        self.plan: Plan = validate(definition)
        self.checked = checked
        self.now = T0
        self.ids = IdSource()
        self.stored: dict[int, TaskRun] = {}
        self.events: list[Event] = []
        self.outputs: dict[int, bytes] = {}
        run = Run(
            id=self.ids.draw(self.now),
            job_id=1,
            job_version=1,
            name="job",
            workspace="default",
            origin="native",
            state=State.QUEUED,
            created_at=self.now,
            submitted_by="ann",
            depth=depth,
            admitted_at=self.now if admitted else None,
            parameters={**definition.parameters, **(given or {})},
        )
        selected = self.plan.select(only) if only is not None else None
        self.snapshot, changes = lifecycle.create(run, self.plan, self.now, self.ids, only=selected)
        self._keep(changes)

    # --- what stands ---

    @property
    def run(self) -> Run:
        return self.snapshot.run

    def slot(self, key: str, iteration: int = -1) -> TaskRun:
        """The newest attempt of a task or iteration."""
        return self.snapshot.slots[key] if iteration < 0 else self.snapshot.fans[key].newest[iteration]

    def state(self, key: str, iteration: int = -1) -> State:
        return self.slot(key, iteration).state

    def states(self) -> dict[str, str]:
        return {key: slot.state.value for key, slot in self.snapshot.slots.items()}

    def attempts(self, key: str, iteration: int = -1) -> list[TaskRun]:
        """All attempts of a task or iteration, oldest first."""
        return [one for one in self.stored.values() if (one.task_key, one.iteration) == (key, iteration)]

    def queued(self) -> list[TaskRun]:
        """What a worker could claim."""
        return [one for one in self.snapshot.newest() if one.state is State.QUEUED]

    # --- events ---

    def send(self, event: lifecycle.Input, *, after: int = 1) -> Changes:
        """One event, `after` milliseconds after the one before."""
        self.now += after
        changes = lifecycle.decide(self.snapshot, event, self.now, self.ids)
        self._keep(changes)
        return changes

    def claim(self, key: str, iteration: int = -1) -> int:
        """A worker takes it; answers the token."""
        token = self.ids.draw(self.now)
        self.send(lifecycle.Claim(self.slot(key, iteration).id, "worker", token))
        return token

    def begin(self, key: str, iteration: int = -1) -> int:
        """Claimed and started; answers the token."""
        token = self.claim(key, iteration)
        self.send(lifecycle.Start(self.slot(key, iteration).id, token, self.now))
        return token

    def finish(self, key: str, result: Result = "succeeded", iteration: int = -1, **facts: Any) -> Changes:
        """Its newest attempt ends like this; it is claimed and started first if need be."""
        if self.state(key, iteration) is State.QUEUED:
            self.begin(key, iteration)
        slot = self.slot(key, iteration)
        return self.send(lifecycle.Finish(slot.id, slot.token, Outcome(result=result, **facts)))

    def succeed(self, *keys: str) -> None:
        for key in keys:
            self.finish(key)

    def fail(self, *keys: str) -> None:
        for key in keys:
            self.finish(key, "failed", reason="exit_code", detail="exit code 1")

    def cancel(self) -> Changes:
        return self.send(lifecycle.CancelRun("ann"))

    def cancel_task(self, key: str, iteration: int = -1) -> Changes:
        return self.send(lifecycle.CancelTask(self.slot(key, iteration).id, "ann"))

    def due(self, key: str, iteration: int = -1) -> Changes:
        """Time passes until the back-off is over."""
        slot = self.slot(key, iteration)
        return self.send(lifecycle.Due(slot.id), after=max(1, (slot.due_at or 0) - self.now))

    def repair(
        self, tasks: Sequence[str] | None = None, *, dependents: bool = True, admitted: bool = True, **parameters: Any
    ) -> Changes:
        chosen = list(tasks) if tasks is not None else None
        return self.send(lifecycle.RepairRun("ann", chosen, dependents, parameters, admitted))

    def child_started(self, key: str, child_id: int, iteration: int = -1) -> Changes:
        return self.send(lifecycle.ChildStarted(self.slot(key, iteration).id, child_id))

    def child_ended(self, key: str, state: State, *, iteration: int = -1, detail: str = "") -> Changes:
        """The run that the task started ends like this."""
        slot = self.slot(key, iteration)
        child = msgspec.structs.replace(
            self.run, id=slot.child_run_id or 0, name="child", state=state, detail=detail, ended_at=self.now
        )
        return self.send(lifecycle.ChildEnded(slot.id, child))

    # --- keeping and checking ---

    def _keep(self, changes: Changes) -> None:
        for one in changes.updated.values():
            before = self.stored[one.id]
            assert before.state not in TERMINAL, f"{before.task_key} changed after its end"
            self.stored[one.id] = one
        for one in changes.added.values():
            assert one.id not in self.stored
            self.stored[one.id] = one
        self.events += changes.events
        self.outputs |= changes.outputs
        if self.checked:
            self.check()

    def check(self) -> None:
        """What must hold between any two events."""
        snapshot = self.snapshot
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))
        assert snapshot.run.seq == len(self.events)
        assert bool(snapshot.live) == (snapshot.run.state not in TERMINAL)
        assert bool(snapshot.run.ended_at) == (snapshot.run.state in TERMINAL)
        for key, one in snapshot.plan.tasks.items():
            waiting_for = sum(snapshot.slots[edge.task].state not in TERMINAL for edge in one.needs)
            assert snapshot.open_needs[key] == waiting_for, f"open needs of {key}"
        self._check_timers()
        self._check_rebuilt()

    def _check_timers(self) -> None:
        for one in self.stored.values():
            if one.state is State.WAITING:
                assert one.due_at is not None
            else:
                assert one.due_at is None
            if one.state in TERMINAL:
                assert one.ended_at is not None
                assert one.deadline_at is None

    def _check_rebuilt(self) -> None:
        cached, rebuilt = self.snapshot, self.rebuilt()
        assert rebuilt.slots == cached.slots
        assert rebuilt.where == cached.where
        assert rebuilt.live == cached.live
        assert rebuilt.open_needs == cached.open_needs
        for key, fan in cached.fans.items():
            slot = cached.slots[key]
            twin = rebuilt.fans.get(key)
            assert fan.newest == (twin.newest if twin else {})
            if slot.state not in TERMINAL and slot.state is not State.BLOCKED:
                assert twin is not None
                assert (fan.active, fan.failed, fan.pending) == (twin.active, twin.failed, twin.pending), key

    def rebuilt(self) -> Snapshot:
        """The snapshot as a restarted server would load it."""
        return Snapshot(self.snapshot.run, self.plan, [self.stored[one] for one in sorted(self.stored)])

    def restart(self) -> None:
        """Goes on with a snapshot that was loaded again."""
        self.snapshot = self.rebuilt()


def needs_all(rule: RunIf, *keys: str) -> Task:
    """The task `last` that needs all of these under a rule."""
    return task("last", *keys, run_if=rule)
