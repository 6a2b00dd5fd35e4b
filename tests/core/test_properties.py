"""Any job, any outcomes, any order: every run ends, and what the driver checks holds after every event.

The driver (see `driver.py`) compares the cached snapshot with a rebuilt one, recounts open needs, and refuses
any change of a task run that has ended. What is added here: ends are reached, and the result is the leaf
rule's, written down a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.core import lifecycle
from runyard.core.actions import Condition, Leaf, RunJob, Shell
from runyard.core.attempts import Outcome
from runyard.core.model import Retries, RunIf, Task, TaskRun
from runyard.core.states import ACTIVE, TERMINAL, State

from .driver import Driver, condition, for_each, run_job, task

MAX_STEPS = 60
INNER: list[Leaf] = [Shell(command="x"), RunJob(job=7)]
POLICIES = [
    Retries(),
    Retries(max=1),
    Retries(max=2, delay=3, backoff=2),
    Retries(max=1, on_timeout=True, measure="start", delay=1),
]


@st.composite
def jobs(draw: st.DrawFn) -> list[Task]:
    """A directed acyclic graph of tasks of all kinds."""
    tasks: list[Task] = []
    for index in range(draw(st.integers(1, 5))):
        key = "abcde"[index]
        earlier = draw(st.lists(st.sampled_from("abcde"[:index]), unique=True, max_size=3)) if index else []
        kinds = {one.key: one.action for one in tasks}
        needs = [
            f"{need}:{draw(st.sampled_from(['true', 'false']))}"
            if isinstance(kinds[need], Condition) and draw(st.booleans())
            else need
            for need in earlier
        ]
        tasks.append(draw(one_task(key, needs)))
    return tasks


@st.composite
def one_task(draw: st.DrawFn, key: str, needs: list[str]) -> Task:
    rule, policy = draw(st.sampled_from(RunIf)), draw(st.sampled_from(POLICIES))
    kind = draw(st.sampled_from(["shell", "shell", "condition", "for_each", "run_job"]))
    fields: dict[str, Any] = {"run_if": rule, "retries": policy, "timeout": draw(st.sampled_from([None, 5.0]))}
    fields["disabled"] = draw(st.integers(0, 9)) == 0
    if kind == "condition":
        return condition(key, *needs, right=draw(st.integers(0, 1)), op=draw(st.sampled_from(["==", "!="])), **fields)
    if kind == "for_each":
        inner = draw(st.sampled_from(INNER))
        size, width = draw(st.integers(0, 3)), draw(st.integers(1, 2))
        return for_each(key, *needs, inputs=list(range(size)), concurrency=width, action=inner, **fields)
    if kind == "run_job":
        return run_job(key, *needs, **fields)
    return task(key, *needs, **fields)


Choice = Callable[[], object]


class Chooser:
    """What could happen to a run now, and doing it."""

    def __init__(self, run: Driver) -> None:
        self.run = run
        self.children = 1000
        self.tokens: list[tuple[int, int]] = []

    def work(self) -> list[Choice]:
        """What brings the run forward."""
        return [choice for one in self.run.snapshot.newest() for choice in self._work_of(one)]

    def _work_of(self, one: TaskRun) -> list[Choice]:
        key, index = one.task_key, one.iteration
        if one.state is State.QUEUED:
            return [lambda: self._claim(key, index)]
        if one.state is State.WAITING:
            return [lambda: self.run.due(key, index)]
        if one.state in ACTIVE and one.executor != "engine":
            results = ["succeeded", "failed"] if one.state is not State.CANCELLING else ["stopped"]
            return [lambda result=result: self.run.finish(key, result, index) for result in results]  # type: ignore[misc]
        if one.state in ACTIVE and (one.iteration >= 0 or key not in self.run.snapshot.fans):
            if one.child_run_id is None:
                return [lambda: self._child(key, index)]
            ends = [State.SUCCEEDED, State.FAILED] if one.state is not State.CANCELLING else [State.CANCELLED]
            return [lambda end=end: self.run.child_ended(key, end, iteration=index) for end in ends]  # type: ignore[misc]
        return []

    def trouble(self) -> list[Choice]:
        """What may come at any time."""
        run = self.run
        choices: list[Choice] = [lambda: run.send(lifecycle.ExpireRun())]
        if run.run.state not in TERMINAL:
            choices.append(run.cancel)
        for one in run.snapshot.newest():
            choices += self._trouble_of(one)
        for task_run_id, token in self.tokens[-3:]:
            choices.append(lambda i=task_run_id, t=token: self._late(i, t))  # type: ignore[misc]
        return choices

    def _trouble_of(self, one: TaskRun) -> list[Choice]:
        run, key, index = self.run, one.task_key, one.iteration
        if one.state in TERMINAL:
            return []
        choices: list[Choice] = [lambda: run.cancel_task(key, index), lambda: run.send(lifecycle.ExpireTask(one.id))]
        if one.state in ACTIVE and one.executor != "engine":
            choices += [lambda: run.finish(key, "lost", index), lambda: run.finish(key, "released", index)]
            choices += [lambda: run.finish(key, "stopped", index), lambda: run.finish(key, "succeeded", index)]
            choices += [lambda: run.send(lifecycle.Start(one.id, one.token, run.now))]
        if one.state is State.QUEUED:
            choices.append(lambda: run.send(lifecycle.Refuse(one.id, "no value")))
        return choices

    def _claim(self, key: str, index: int) -> None:
        token = self.run.claim(key, index)
        self.tokens.append((self.run.slot(key, index).id, token))

    def _child(self, key: str, index: int) -> None:
        self.children += 1
        self.run.child_started(key, self.children, index)

    def _late(self, task_run_id: int, token: int) -> None:
        """A report that comes twice or late: it may change something only while its claim holds."""
        one = self.run.stored[task_run_id]
        holds = one.token == token and one.state in ACTIVE
        changed = self.run.send(lifecycle.Finish(task_run_id, token, Outcome(result="failed")))
        assert holds or not changed


def expected_result(run: Driver, ended_by: str) -> tuple[str, str]:
    """The leaf rule, from the documentation: (state, reason)."""
    ends = {key: slot.state.value for key, slot in run.snapshot.slots.items()}
    trouble = {key for key, end in ends.items() if end not in ("succeeded", "skipped")}
    if ended_by and trouble:
        return {"cancel": ("cancelled", "user_cancel"), "expire": ("timed_out", "run_timeout")}[ended_by]
    needed = {edge.task for one in run.plan.spec.tasks for edge in one.needs}
    if not {key for key in trouble if key not in needed}:
        return "succeeded", "with_failures" if trouble else ""
    causes = {ends[key] for key in trouble} - {"upstream_failed"}
    if causes == {"cancelled"}:
        return "cancelled", "user_cancel"
    if causes and causes <= {"cancelled", "timed_out"} and begun_in_this_round(run):
        return "timed_out", "timeout"
    return "failed", "task_failed"


def begun_in_this_round(run: Driver) -> bool:
    """Whether a task was taken since the run was submitted or repaired."""
    for event in reversed(run.events):
        if event.task_run_id is None and event.state is State.RUNNING:
            return True
        if event.kind in ("repair", "submitted"):
            return False
    return False


def ended_by(run: Driver) -> str:
    """Whether the present round was ended early, and by what."""
    for event in reversed(run.events):
        if event.kind == "repair":
            return ""
        if event.task_run_id is None and event.state is State.CANCELLING:
            return "expire" if event.reason == "run_timeout" else "cancel"
    return ""


def drive(run: Driver, choices: list[int]) -> None:
    """Lets the choices happen, then only work, until the run is over."""
    chooser = Chooser(run)
    for choice in choices:
        if run.run.state in TERMINAL:
            break
        work, trouble = chooser.work(), chooser.trouble()
        picked = trouble if choice % 4 == 0 and trouble else work
        if picked:
            picked[choice // 4 % len(picked)]()
        elif choice % 3 == 0 and run.run.admitted_at is None:
            run.send(lifecycle.Admit())
    for _ in range(300):
        if run.run.state in TERMINAL:
            return
        if run.run.admitted_at is None:
            run.send(lifecycle.Admit())
        elif chooser.work():
            chooser.work()[0]()
    raise AssertionError(f"the run does not end: {run.states()}")


def check_end(run: Driver) -> None:
    assert (run.run.state.value, run.run.reason) == expected_result(run, ended_by(run))
    for key in run.plan.tasks:
        ends = [one for one in run.attempts(key) if one.state in TERMINAL and one.round == run.slot(key).round]
        assert ends
        assert ends[-1] == run.slot(key)
    assert {one.state for one in run.stored.values()} <= TERMINAL
    attempts = [(one.task_key, one.iteration, one.round, one.attempt) for one in run.stored.values()]
    assert len(set(attempts)) == len(attempts)
    assert all(slot.losses <= 3 for slot in run.stored.values())


steps = st.lists(st.integers(0, 399), max_size=MAX_STEPS)


def tell(tasks: list[Task], choices: list[int], admitted: bool, repairs: list[list[int]]) -> None:
    """One run from its submission through its repairs."""
    run = Driver(*tasks, admitted=admitted, timeout=60.0)
    drive(run, choices)
    check_end(run)
    for again in repairs:
        keys = list(run.plan.tasks)
        chosen = [keys[one % len(keys)] for one in again[:2]]
        run.repair(sorted(set(chosen)) or keys[:1], dependents=len(again) % 2 == 0, admitted=len(again) % 3 > 0)
        drive(run, again)
        check_end(run)


stories = (jobs(), steps, st.booleans(), st.lists(steps, max_size=2))
unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, deadline=None, suppress_health_check=unhurried)
@given(*stories)
def test_every_run_ends_as_the_leaf_rule_says_whatever_happens(
    tasks: list[Task], choices: list[int], admitted: bool, repairs: list[list[int]]
) -> None:
    tell(tasks, choices, admitted, repairs)


@pytest.mark.long
@settings(max_examples=5000, deadline=None, suppress_health_check=unhurried)
@given(*stories)
def test_every_run_ends_as_the_leaf_rule_says_in_thousands_of_stories(
    tasks: list[Task], choices: list[int], admitted: bool, repairs: list[list[int]]
) -> None:
    tell(tasks, choices, admitted, repairs)
