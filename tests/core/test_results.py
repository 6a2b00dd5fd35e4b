"""How a run ends: the leaf rule, selections, early ends, and graphs of any shape and size."""

from __future__ import annotations

import msgspec
import pytest

from runyard.core import lifecycle
from runyard.core.errors import RunyardError
from runyard.core.graph import MAX_TASKS, Plan, Snapshot
from runyard.core.ids import IdSource
from runyard.core.model import RunIf
from runyard.core.states import State

from .driver import T0, Driver, condition, spec, task


def test_a_run_succeeds_with_all_its_tasks() -> None:
    run = Driver(task("a"), task("b", "a"))
    run.succeed("a", "b")
    assert (run.run.state, run.run.reason, run.run.detail, run.run.ended_at) == (State.SUCCEEDED, "", "", run.now)


def test_a_failed_leaf_fails_the_run_and_is_blamed() -> None:
    run = Driver(task("a"), task("b"))
    run.fail("b")
    assert run.run.state is State.RUNNING
    run.succeed("a")
    assert (run.run.state, run.run.reason) == (State.FAILED, "task_failed")
    assert run.run.detail == "Task 'b' failed: exit code 1"


def test_a_failure_that_a_leaf_made_good_is_a_success_with_failures() -> None:
    run = Driver(task("a"), task("b", "a", run_if=RunIf.ALL_DONE))
    run.fail("a")
    run.succeed("b")
    assert (run.run.state, run.run.reason) == (State.SUCCEEDED, "with_failures")
    assert run.run.detail == "Task 'a' failed: exit code 1"


def test_the_first_failure_is_blamed_and_the_others_counted() -> None:
    run = Driver(task("b"), task("a"), task("c", "a"), task("d"))
    run.fail("a", "b", "d")
    assert run.run.detail == "Task 'a' failed: exit code 1 (2 more)"


def test_an_excluded_leaf_is_no_failure() -> None:
    run = Driver(condition("c"), task("t", "c:true"), task("f", "c:false"))
    run.succeed("t")
    assert (run.run.state, run.run.reason) == (State.SUCCEEDED, "")


def test_a_cancelled_task_beside_a_failed_one_leaves_the_run_failed() -> None:
    run = Driver(task("a"), task("b"))
    run.cancel_task("a")
    run.fail("b")
    assert (run.run.state, run.run.detail) == (State.FAILED, "Task 'b' failed: exit code 1 (1 more)")


def test_a_cancelled_task_beside_a_timed_out_one_leaves_the_run_timed_out() -> None:
    run = Driver(task("a"), task("b", timeout=1))
    run.begin("b")
    run.cancel_task("a")
    run.send(lifecycle.ExpireTask(run.slot("b").id))
    run.finish("b", "stopped")
    assert (run.run.state, run.run.reason) == (State.TIMED_OUT, "timeout")


def test_what_failed_because_of_a_cancel_does_not_make_the_run_failed() -> None:
    run = Driver(task("a"), task("b", "a"))
    run.cancel_task("a")
    assert run.run.state is State.CANCELLED


def test_a_chain_of_ten_thousand_upstream_failures_does_not_recurse() -> None:
    tasks = [task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, MAX_TASKS))]
    # The plan is compiled without the checks, and the driver's own are left to the end: they are not what is asked.
    plan = Plan(spec(*tasks))
    ids = IdSource()
    asked = msgspec.structs.replace(Driver(task("a")).run, id=1)
    snapshot, _ = lifecycle.create(asked, plan, T0, ids)
    changes = lifecycle.decide(snapshot, lifecycle.Refuse(snapshot.slots["t0"].id, "no value"), T0, ids)
    assert changes.ended
    assert (snapshot.run.state, snapshot.live) == (State.FAILED, 0)
    assert {slot.state for key, slot in snapshot.slots.items() if key != "t0"} == {State.UPSTREAM_FAILED}
    assert snapshot.run.detail == "Task 't0' failed: no value"


# --- readiness --------------------------------------------------------------------------------------------


def test_tasks_without_needs_are_queued_at_once_and_others_are_blocked() -> None:
    run = Driver(task("a"), task("b"), task("c", "a", "b"))
    assert run.states() == {"a": "queued", "b": "queued", "c": "blocked"}
    assert [run.slot(key).reason for key in "abc"] == ["", "", "upstream"]
    run.succeed("a")
    assert run.state("c") is State.BLOCKED
    assert run.finish("b").ready
    assert (run.state("c"), run.slot("c").queued_at) == (State.QUEUED, run.now)


def test_nothing_starts_before_the_job_limit_lets_the_run_in() -> None:
    run = Driver(task("a"), condition("c"), admitted=False)
    assert run.states() == {"a": "blocked", "c": "blocked"}
    changes = run.send(lifecycle.Admit())
    assert changes.ready
    assert run.states() == {"a": "queued", "c": "succeeded"}
    assert [event.kind for event in changes.events[:1]] == ["admitted"]


def test_a_run_that_is_in_is_not_let_in_twice() -> None:
    assert not Driver(task("a")).send(lifecycle.Admit())


def test_a_task_takes_its_own_queue_and_priority_before_those_of_the_run() -> None:
    run = Driver(task("a", queue="own", priority=5), task("b", priority=0))
    assert [(run.slot(key).queue, run.slot(key).priority) for key in "ab"] == [("own", 5), ("default", 0)]


def test_a_run_that_was_skipped_has_no_tasks_and_is_over() -> None:
    asked = msgspec.structs.replace(Driver(task("a")).run, state=State.SKIPPED, reason="job_limit", ended_at=T0, seq=0)
    snapshot, changes = lifecycle.create(asked, Plan(spec(task("a"))), T0, IdSource())
    assert not changes.added
    assert [(event.kind, event.state, event.reason) for event in changes.events] == [
        ("submitted", State.SKIPPED, "job_limit")
    ]
    assert isinstance(snapshot, Snapshot)


# --- selections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "runs"), [(["b"], "b"), (["+b"], "ab"), (["b+"], "bc"), (["+b+"], "abc"), (["a", "d"], "ad")]
)
def test_a_selection_runs_the_named_tasks_and_disables_the_others(only: list[str], runs: str) -> None:
    run = Driver(task("a"), task("b", "a"), task("c", "b"), task("d"), only=only)
    while queued := run.queued():
        run.succeed(queued[0].task_key)
    assert run.run.state is State.SUCCEEDED
    assert {key for key, slot in run.snapshot.slots.items() if slot.state is State.SUCCEEDED} == set(runs)
    assert {slot.reason for slot in run.snapshot.slots.values() if slot.state is State.SKIPPED} <= {"disabled"}


def test_what_comes_after_a_disabled_task_waits_for_what_came_before_it() -> None:
    run = Driver(task("a"), task("off", "a", disabled=True), task("c", "off"))
    assert run.state("c") is State.BLOCKED
    run.succeed("a")
    assert run.states() == {"a": "succeeded", "off": "skipped", "c": "queued"}


def test_a_selection_of_a_task_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RunyardError, match="'zz'") as caught:
        Driver(task("a"), only=["a", "+zz"])
    assert caught.value.field == "only"


def test_a_selected_task_runs_although_all_it_needs_was_left_out() -> None:
    """The caller named it: what it needs was not asked for."""
    run = Driver(task("a"), task("b", "a"), only=["b"])
    assert run.state("b") is State.QUEUED


def test_a_run_of_disabled_tasks_alone_is_over_at_once() -> None:
    run = Driver(task("a", disabled=True))
    assert run.run.state is State.SUCCEEDED
