"""Repairs: which tasks run again, what is kept, and when a repair is refused."""

from __future__ import annotations

import pytest

from runyard.core import lifecycle
from runyard.core.actions import Shell
from runyard.core.errors import Code, RunyardError
from runyard.core.graph import Snapshot, validate
from runyard.core.states import State

from .driver import Driver, condition, for_each, retries, run_job, spec, task


def chain(*, succeed: bool = False) -> Driver:
    """a -> b -> c and a -> d; b failed unless told otherwise."""
    run = Driver(task("a"), task("b", "a"), task("c", "b"), task("d", "a"))
    run.succeed("a", "d")
    if succeed:
        run.succeed("b", "c")
    else:
        run.fail("b")
    return run


def rounds(run: Driver) -> dict[str, int]:
    return {key: slot.round for key, slot in run.snapshot.slots.items()}


def test_a_repair_runs_what_did_not_succeed_and_nothing_else() -> None:
    run = chain()
    run.repair()
    assert run.states() == {"a": "succeeded", "b": "queued", "c": "blocked", "d": "succeeded"}
    assert rounds(run) == {"a": 0, "b": 1, "c": 1, "d": 0}
    run.succeed("b", "c")
    assert run.run.state is State.SUCCEEDED


def test_a_repair_is_a_new_round_of_the_same_run_and_keeps_the_attempts_before_it() -> None:
    run = chain()
    ended, before = run.run, run.attempts("b")
    run.repair()
    assert (run.run.id, run.run.state, run.run.round, run.run.ended_at) == (ended.id, State.QUEUED, 1, None)
    assert run.attempts("b")[:1] == before
    assert (run.slot("b").round, run.slot("b").attempt) == (1, 0)
    noted = next(event for event in run.events if event.kind == "repair")
    assert (noted.by, noted.state) == ("ann", State.FAILED)
    assert noted.data == {"tasks": ["b", "c"], "round": 1, "parameters": {}, "ended_at": ended.ended_at}


def test_a_repair_of_chosen_tasks_runs_what_depends_on_them_too() -> None:
    run = chain(succeed=True)
    run.repair(["b"])
    assert rounds(run) == {"a": 0, "b": 1, "c": 1, "d": 0}


def test_a_repair_without_dependents_runs_just_the_chosen_tasks() -> None:
    run = chain(succeed=True)
    run.repair(["a"], dependents=False)
    assert run.states() == {"a": "queued", "b": "succeeded", "c": "succeeded", "d": "succeeded"}
    run.succeed("a")
    assert run.run.state is State.SUCCEEDED
    run.repair(["b", "c"], dependents=False)
    assert run.states() == {"a": "succeeded", "b": "queued", "c": "blocked", "d": "succeeded"}


def test_a_run_may_be_repaired_again_and_again() -> None:
    run = chain()
    for round_ in range(1, 4):
        run.repair()
        assert run.run.round == round_
        run.fail("b")
        assert run.run.state is State.FAILED
    assert [one.round for one in run.attempts("b")] == [0, 1, 2, 3]
    assert [event.data["round"] for event in run.events if event.kind == "repair" and event.data] == [1, 2, 3]


def test_a_repair_starts_with_full_budgets() -> None:
    run = Driver(task("a", retries=retries(1)))
    run.finish("a", "lost")
    run.fail("a", "a")
    run.repair()
    assert (run.slot("a").failures, run.slot("a").losses) == (0, 0)
    run.fail("a")
    assert run.state("a") is State.QUEUED


def test_parameters_of_a_repair_are_laid_over_those_of_the_run() -> None:
    run = Driver(task("a"), parameters={"x": 1, "y": 2})
    run.fail("a")
    run.repair(x=5)
    assert run.run.parameters == {"x": 5, "y": 2}


def test_repair_of_an_active_run_is_refused() -> None:
    run = chain(succeed=True)
    run.repair(["b"])
    with pytest.raises(RunyardError, match="is still queued") as caught:
        run.repair()
    assert caught.value.code is Code.CONFLICT
    assert run.run.round == 1
    run.check()


def test_repair_of_a_task_that_the_run_does_not_have_is_refused() -> None:
    run = chain()
    with pytest.raises(RunyardError, match="no task 'zz'") as caught:
        run.repair(["b", "zz"])
    assert (caught.value.code, caught.value.field) == (Code.INVALID, "tasks")
    assert run.run.state is State.FAILED


def test_repair_of_a_task_named_twice_is_refused() -> None:
    run = chain()
    with pytest.raises(RunyardError, match="twice") as caught:
        run.repair(["b", "b"])
    assert caught.value.code is Code.INVALID


@pytest.mark.parametrize("tasks", [None, []])
def test_repair_of_nothing_is_refused(tasks: list[str] | None) -> None:
    run = chain(succeed=True)
    with pytest.raises(RunyardError, match="name the tasks to run again") as caught:
        run.repair(tasks)
    assert caught.value.code is Code.CONFLICT


def test_repair_of_a_run_that_never_had_tasks_is_refused() -> None:
    run = Driver(task("a"))
    run.fail("a")
    empty = Snapshot(run.run, run.plan, ())
    with pytest.raises(RunyardError, match="submit it again") as caught:
        lifecycle.decide(empty, lifecycle.RepairRun("ann", None, True, {}, True), run.now, run.ids)
    assert caught.value.code is Code.CONFLICT


@pytest.mark.parametrize("tasks", [None, ["a"]])
def test_a_repair_passes_over_disabled_tasks_and_keeps_the_order(tasks: list[str] | None) -> None:
    run = Driver(task("a"), task("off", "a", disabled=True), task("b", "off"), only=["a", "off", "b"])
    run.fail("a")
    run.succeed("b")
    run.repair(tasks)
    assert run.state("a") is State.QUEUED
    assert run.state("b") is State.BLOCKED
    run.succeed("a")
    assert run.state("off") is State.SKIPPED
    assert run.state("b") is State.QUEUED


def test_tasks_that_a_selection_left_out_stay_out_of_a_repair() -> None:
    run = Driver(task("a"), task("b", "a"), only=["a"])
    run.fail("a")
    run.repair()
    run.succeed("a")
    assert run.states() == {"a": "succeeded", "b": "skipped"}


def test_a_repair_may_change_what_tasks_do() -> None:
    run = Driver(task("a"), task("b", "a"))
    run.fail("a")
    after = validate(spec(task("a", action=Shell(command="other")), task("b", "a")))
    changes = run.send(lifecycle.RepairRun("ann", None, True, {}, True, after))
    assert changes.spec == after.spec
    assert changes.run.job_version is None
    assert run.snapshot.task_of(run.slot("a")).action == Shell(command="other")


def test_a_repair_that_changes_the_graph_is_refused() -> None:
    run = Driver(task("a"), task("b", "a"))
    run.fail("a")
    with pytest.raises(RunyardError, match="neither which there are nor what they need"):
        run.send(lifecycle.RepairRun("ann", None, True, {}, True, validate(spec(task("a"), task("b")))))


def test_a_repair_leaves_alone_what_a_condition_excluded_and_what_came_after_it() -> None:
    """`after` had succeeded: running it again would apply its effects twice."""
    run = Driver(condition("c", right=2), task("x", "c:true"), task("y"), task("after", "x", "y"), task("z"))
    run.succeed("y", "after")
    run.fail("z")
    run.repair()
    assert rounds(run) == {"c": 0, "x": 0, "y": 0, "after": 0, "z": 1}


def test_a_repair_decides_again_what_was_excluded_because_of_a_failure_before_it() -> None:
    run = Driver(task("a"), condition("c", "a"), task("x", "c:true"), task("y", "c:false"))
    run.fail("a")
    run.repair()
    run.succeed("a")
    assert run.states() == {"a": "succeeded", "c": "succeeded", "x": "queued", "y": "skipped"}


def test_a_repaired_condition_is_decided_with_the_new_parameters() -> None:
    decided = condition("c", left="{{ parameters.n }}")
    run = Driver(decided, task("x", "c:true"), task("y", "c:false"), parameters={"n": 2})
    run.succeed("y")
    run.repair(["c"], n=1)
    assert run.states() == {"c": "succeeded", "x": "queued", "y": "skipped"}


def test_a_repaired_task_that_runs_a_job_asks_for_a_new_run() -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    run.child_ended("r", State.FAILED)
    changes = run.repair()
    assert [child.job_id for child in changes.children] == [7]
    assert run.slot("r").child_run_id is None


def test_an_end_of_the_old_child_does_not_end_the_repaired_task() -> None:
    run = Driver(run_job("r"))
    run.child_started("r", 100)
    old = run.slot("r")
    run.child_ended("r", State.FAILED)
    run.repair()
    assert not run.send(lifecycle.ChildEnded(old.id, run.run))


def test_a_repair_over_the_jobs_limit_waits_to_be_let_in() -> None:
    run = chain()
    run.repair(admitted=False)
    assert (run.run.state, run.run.reason, run.run.admitted_at) == (State.QUEUED, "job_limit", None)
    assert run.states() == {"a": "succeeded", "b": "blocked", "c": "blocked", "d": "succeeded"}
    assert run.send(lifecycle.Admit()).ready
    assert run.state("b") is State.QUEUED
    assert run.run.admitted_at == run.now
    assert not run.send(lifecycle.Admit())


@pytest.mark.parametrize("state", ["cancelled", "timed_out"])
def test_a_run_that_was_ended_early_can_be_repaired(state: str) -> None:
    run = Driver(task("a"), task("b", "a"), timeout=60)
    run.begin("a")
    run.send(lifecycle.CancelRun("ann") if state == "cancelled" else lifecycle.ExpireRun())
    run.finish("a", "stopped")
    assert run.run.state == state
    run.repair()
    run.succeed("a", "b")
    assert (run.run.state, run.run.reason) == (State.SUCCEEDED, "")


def test_a_repaired_run_has_its_whole_time_again() -> None:
    run = Driver(task("a"), timeout=60)
    run.fail("a")
    assert run.run.deadline_at is None
    first = run.run.started_at
    run.repair()
    assert run.run.deadline_at is None
    run.claim("a")
    again = run.run
    assert (again.deadline_at, again.started_at) == (run.now + 60_000, first)


def test_a_for_each_that_failed_is_repaired_with_what_depends_on_it() -> None:
    run = Driver(for_each("f", inputs=[1]), task("a", "f"))
    run.finish("f", "failed", iteration=0)
    run.repair()
    run.finish("f", iteration=0)
    run.succeed("a")
    assert run.run.state is State.SUCCEEDED
