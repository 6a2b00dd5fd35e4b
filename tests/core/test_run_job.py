"""Tasks that run another job: what they ask for, and how they end with it."""

from __future__ import annotations

import pytest

from runyard.core import lifecycle
from runyard.core.actions import RunJob
from runyard.core.control import MAX_DEPTH
from runyard.core.states import State

from .driver import Driver, run_job, task


def test_it_asks_for_a_run_with_resolved_parameters() -> None:
    action = RunJob(job=7, parameters={"day": "{{ parameters.day }}", "n": "{{ tasks.a.values.n }}"})
    run = Driver(task("a"), task("r", "a", action=action), parameters={"day": "monday"})
    changes = run.finish("a", values={"n": 3})
    child = changes.children[0]
    assert (child.task_run_id, child.job_id, child.parameters) == (run.slot("r").id, 7, {"day": "monday", "n": 3})
    assert (run.state("r"), run.slot("r").reason) == (State.RUNNING, "child_run")


def test_it_begins_the_run_without_a_worker() -> None:
    run = Driver(run_job("r"))
    assert run.run.state is State.RUNNING
    assert not run.queued()


def test_it_knows_its_child_and_the_history_tells_it() -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    assert run.slot("r").child_run_id == 100
    assert [(event.kind, event.task_run_id, event.data) for event in run.events[-1:]] == [
        ("child", run.slot("r").id, {"run_id": 100})
    ]


def test_it_succeeds_with_its_child_and_tells_the_childs_id() -> None:
    run = Driver(run_job("r"), task("a", "r"))
    run.child_started("r", 100)
    run.child_ended("r", State.SUCCEEDED)
    assert (run.state("r"), run.slot("r").values) == (State.SUCCEEDED, {"run_id": 100})
    assert run.state("a") is State.QUEUED


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.TIMED_OUT, State.SKIPPED])
def test_it_fails_when_its_child_did_not_succeed_and_says_how_that_ended(state: State) -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    run.child_ended("r", state, detail="the child's words")
    assert (run.state("r"), run.slot("r").reason) == (State.FAILED, "child_run")
    assert run.slot("r").detail == f"Run 100 of 'child' ended {state.value}: the child's words"


def test_it_fails_when_its_child_was_refused() -> None:
    run = Driver(run_job("r"))
    run.send(lifecycle.ChildRefused(run.slot("r").id, "There is no job 7."))
    assert (run.state("r"), run.slot("r").detail) == (State.FAILED, "There is no job 7.")
    assert run.run.state is State.FAILED


def test_it_fails_where_nesting_is_too_deep() -> None:
    run = Driver(run_job("r"), depth=MAX_DEPTH)
    assert run.slot("r").detail == f"run_job tasks may nest {MAX_DEPTH} deep; this run is already that deep."
    assert run.run.state is State.FAILED


def test_it_may_stand_as_deep_as_nesting_goes() -> None:
    assert Driver(run_job("r"), depth=MAX_DEPTH - 1).state("r") is State.RUNNING


@pytest.mark.parametrize(("child", "state"), [(State.SUCCEEDED, State.SUCCEEDED), (State.FAILED, State.CANCELLED)])
def test_a_cancelled_one_ends_as_its_child_lets_it(child: State, state: State) -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    run.cancel_task("r")
    run.child_ended("r", child)
    assert run.state("r") is state


def test_the_end_of_a_run_that_is_not_its_child_changes_nothing() -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    stranger = lifecycle.ChildEnded(run.slot("r").id, run.run)
    assert not run.send(stranger)
    assert run.state("r") is State.RUNNING


def test_an_end_of_the_child_that_comes_twice_changes_nothing() -> None:
    run = Driver(run_job("r"), task("a"))
    run.child_started("r", 100)
    run.child_ended("r", State.SUCCEEDED)
    assert not run.child_ended("r", State.FAILED)


def test_news_of_a_child_for_a_stranger_change_nothing() -> None:
    run = Driver(task("a"))
    assert not run.send(lifecycle.ChildStarted(1, 100))
    assert not run.send(lifecycle.ChildRefused(1, "x"))
    assert not run.send(lifecycle.ChildRefused(run.slot("a").id, "x"))
