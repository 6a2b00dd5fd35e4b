"""Cancels and timeouts: in every state, against a finish, and what they leave."""

from __future__ import annotations

import pytest

from runyard.core import lifecycle
from runyard.core.errors import Code, RunyardError
from runyard.core.states import Reason, State

from .driver import Driver, Result, condition, for_each, retries, run_job, task


def in_state(state: State) -> Driver:
    """A run of one task `a` in this state, which a task `b` needs."""
    first = task("root") if state is State.BLOCKED else condition("root")
    run = Driver(first, task("a", "root", timeout=60, retries=retries(1, delay=9)), task("b", "a"))
    match state:
        case State.BLOCKED | State.QUEUED:
            pass
        case State.STARTING:
            run.claim("a")
        case State.RUNNING:
            run.begin("a")
        case State.WAITING:
            run.fail("a")
        case _:
            run.begin("a")
            run.send(lifecycle.ExpireTask(run.slot("a").id))
    assert run.state("a") is state
    return run


@pytest.mark.parametrize("state", [State.BLOCKED, State.QUEUED, State.WAITING])
def test_what_no_worker_holds_is_cancelled_at_once(state: State) -> None:
    run = in_state(state)
    changes = run.cancel_task("a")
    assert not changes.stops
    one = run.slot("a")
    assert (one.state, one.reason, one.detail) == (State.CANCELLED, "user_cancel", "Cancelled by ann.")
    assert run.state("b") is State.UPSTREAM_FAILED


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
def test_what_a_worker_holds_is_asked_to_stop_and_then_cancelled(state: State) -> None:
    run = in_state(state)
    changes = run.cancel_task("a")
    one = run.slot("a")
    assert [(stop.task_run_id, stop.token, stop.executor, stop.why) for stop in changes.stops] == [
        (one.id, one.token, "process", "cancel")
    ]
    assert (one.state, one.deadline_at) == (State.CANCELLING, None)
    assert run.state("b") is State.BLOCKED
    run.finish("a", "stopped", exit_code=-15)
    assert (run.state("a"), run.slot("a").reason, run.slot("a").exit_code) == (State.CANCELLED, "user_cancel", -15)
    assert len(run.attempts("a")) == 1


@pytest.mark.parametrize("state", [State.BLOCKED, State.QUEUED, State.WAITING])
def test_a_run_that_no_worker_holds_is_cancelled_at_once(state: State) -> None:
    run = in_state(state)
    run.cancel()
    assert (run.run.state, run.run.reason, run.run.detail) == (State.CANCELLED, "user_cancel", "Cancelled by ann.")
    assert (run.state("a"), run.state("b")) == (State.CANCELLED, State.CANCELLED)
    assert run.slot("b").reason == "run_cancelled"


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.CANCELLING])
def test_a_run_that_a_worker_holds_is_cancelling_until_the_work_stopped(state: State) -> None:
    run = in_state(state)
    run.cancel()
    assert (run.run.state, run.state("b")) == (State.CANCELLING, State.CANCELLED)
    run.finish("a", "stopped")
    assert run.run.state is State.CANCELLED


def test_a_cancel_is_told_once_with_who_asked() -> None:
    run = in_state(State.RUNNING)
    run.cancel()
    assert not run.cancel()
    assert [(event.by, event.reason) for event in run.events if event.kind == "cancel"] == [("ann", "user_cancel")]


def test_a_cancel_may_say_why() -> None:
    run = Driver(task("a"))
    run.send(lifecycle.CancelRun("ann", Reason.PARENT_CANCELLED, "the reason"))
    assert (run.run.reason, run.run.detail, run.slot("a").detail) == ("parent_cancelled", "the reason", "the reason")


@pytest.mark.parametrize("result", ["succeeded", "failed", "stopped"])
def test_cancel_of_a_finished_run_is_refused(result: Result) -> None:
    run = Driver(task("a"))
    if result == "stopped":
        run.begin("a")
        run.cancel()
    run.finish("a", result)
    before = run.snapshot
    with pytest.raises(RunyardError, match=f"Run {run.run.id} has already ended") as caught:
        run.cancel()
    assert caught.value.code is Code.CONFLICT
    assert run.snapshot is before
    run.check()


def test_cancel_of_a_finished_task_is_refused() -> None:
    run = Driver(task("a"), task("b"))
    run.succeed("a")
    with pytest.raises(RunyardError, match=r"has already ended \(succeeded\)") as caught:
        run.cancel_task("a")
    assert caught.value.code is Code.CONFLICT
    run.check()


def test_cancel_of_an_earlier_attempt_or_of_a_stranger_is_refused() -> None:
    run = Driver(task("a", retries=retries(1)))
    run.fail("a")
    for stranger in (run.attempts("a")[0].id, 12345):
        with pytest.raises(RunyardError, match=str(stranger)) as caught:
            run.send(lifecycle.CancelTask(stranger, "ann"))
        assert caught.value.code is Code.NOT_FOUND
    assert run.state("a") is State.QUEUED


def test_a_cancelled_task_is_not_retried() -> None:
    run = Driver(task("a", retries=retries(5, on_timeout=True)))
    run.begin("a")
    run.cancel_task("a")
    run.finish("a", "stopped")
    assert (run.state("a"), len(run.attempts("a"))) == (State.CANCELLED, 1)


@pytest.mark.parametrize("result", ["failed", "stopped", "lost", "released"])
def test_nothing_is_tried_again_once_the_run_is_being_cancelled(result: Result) -> None:
    run = Driver(task("a", retries=retries(5)))
    run.begin("a")
    run.cancel()
    run.finish("a", result)
    assert len(run.attempts("a")) == 1
    assert run.state("a") is (State.FAILED if result == "failed" else State.CANCELLED)
    assert run.run.state is State.CANCELLED


def test_a_success_that_came_before_the_stop_is_a_success_of_the_task_and_of_the_run() -> None:
    run = Driver(task("a"))
    run.begin("a")
    run.cancel()
    run.finish("a")
    assert (run.state("a"), run.slot("a").detail) == (State.SUCCEEDED, "Finished before the stop reached it.")
    assert run.run.state is State.SUCCEEDED


def test_a_success_before_the_stop_does_not_start_what_depends_on_it() -> None:
    run = Driver(task("a"), task("b", "a"))
    run.begin("a")
    run.cancel()
    run.finish("a")
    assert run.states() == {"a": "succeeded", "b": "cancelled"}
    assert run.run.state is State.CANCELLED


def test_a_run_whose_tasks_were_cancelled_one_by_one_is_cancelled() -> None:
    run = Driver(task("a"), task("b"))
    run.cancel_task("a")
    run.cancel_task("b")
    assert (run.run.state, run.run.reason) == (State.CANCELLED, "user_cancel")
    assert run.run.detail == "Task 'a' was cancelled: Cancelled by ann. (1 more)"


def test_a_run_that_waits_for_its_jobs_limit_can_be_cancelled() -> None:
    run = Driver(task("a"), admitted=False)
    run.cancel()
    assert (run.run.state, run.state("a")) == (State.CANCELLED, State.CANCELLED)


def test_a_cancelled_run_is_not_let_in_afterwards() -> None:
    run = Driver(task("a"), admitted=False)
    run.cancel()
    assert not run.send(lifecycle.Admit())


def test_a_cancel_reaches_the_jobs_that_tasks_run() -> None:
    run = Driver(run_job("r"), task("a"))
    run.child_started("r", 100)
    assert run.cancel().cancel_children == [100]
    assert run.run.state is State.CANCELLING
    run.child_ended("r", State.CANCELLED)
    assert (run.state("r"), run.run.state) == (State.CANCELLED, State.CANCELLED)


def test_a_cancel_reaches_every_iteration() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3], concurrency=2))
    run.begin("f", 0)
    run.cancel()
    assert (run.state("f", 0), run.state("f", 1)) == (State.CANCELLING, State.CANCELLED)
    run.finish("f", "stopped", iteration=0)
    assert run.run.state is State.CANCELLED


def test_a_cancelled_task_whose_time_was_already_over_is_not_tried_again() -> None:
    run = Driver(task("a", timeout=60, retries=retries(5, on_timeout=True)))
    run.begin("a")
    run.send(lifecycle.ExpireTask(run.slot("a").id))
    run.cancel_task("a")
    run.finish("a", "stopped")
    assert [(one.state, one.reason) for one in run.attempts("a")] == [(State.CANCELLED, "user_cancel")]


# --- timeouts ---------------------------------------------------------------------------------------------


def test_an_attempt_has_its_time_from_its_start() -> None:
    run = Driver(task("a", timeout=1.5))
    run.claim("a")
    assert run.slot("a").deadline_at is None
    run.send(lifecycle.Start(run.slot("a").id, run.slot("a").token, 1000))
    assert run.slot("a").deadline_at == 2500


def test_an_attempt_whose_time_is_over_is_stopped_and_timed_out() -> None:
    run = Driver(task("a", timeout=1.5), task("b", "a"))
    run.begin("a")
    changes = run.send(lifecycle.ExpireTask(run.slot("a").id))
    assert [stop.why for stop in changes.stops] == ["timeout"]
    assert run.state("a") is State.CANCELLING
    run.finish("a", "stopped")
    one = run.slot("a")
    assert (one.state, one.reason, one.detail) == (
        State.TIMED_OUT,
        "timeout",
        "It was not done after its timeout of 1.5 s.",
    )
    assert run.state("b") is State.UPSTREAM_FAILED
    assert (run.run.state, run.run.reason) == (State.TIMED_OUT, "timeout")


def test_a_timed_out_attempt_is_retried_where_the_policy_says_so() -> None:
    run = Driver(task("a", timeout=1, retries=retries(1, on_timeout=True)))
    for _ in range(2):
        run.begin("a")
        run.send(lifecycle.ExpireTask(run.slot("a").id))
        run.finish("a", "stopped")
    assert [one.state for one in run.attempts("a")] == [State.TIMED_OUT, State.TIMED_OUT]
    assert run.run.state is State.TIMED_OUT


@pytest.mark.parametrize("state", [State.BLOCKED, State.QUEUED, State.WAITING, State.CANCELLING])
def test_a_timeout_of_what_does_not_run_changes_nothing(state: State) -> None:
    run = in_state(state)
    assert not run.send(lifecycle.ExpireTask(run.slot("a").id))


def test_a_child_run_that_takes_too_long_is_cancelled_and_its_task_timed_out() -> None:
    run = Driver(run_job("r", timeout=5))
    run.child_started("r", 100)
    assert run.slot("r").deadline_at == run.slot("r").started_at + 5_000  # type: ignore[operator]
    assert run.send(lifecycle.ExpireTask(run.slot("r").id)).cancel_children == [100]
    run.child_ended("r", State.CANCELLED)
    assert run.state("r") is State.TIMED_OUT


def test_a_run_has_its_time_from_its_first_claim() -> None:
    run = Driver(task("a"), timeout=60)
    assert run.run.deadline_at is None
    run.claim("a")
    assert run.run.deadline_at == run.now + 60_000


def test_a_run_whose_time_is_over_stops_its_work_and_is_timed_out() -> None:
    run = Driver(task("a"), task("b", "a"), task("c"), timeout=60)
    run.begin("a")
    changes = run.send(lifecycle.ExpireRun())
    assert [stop.why for stop in changes.stops] == ["cancel"]
    assert run.states() == {"a": "cancelling", "b": "cancelled", "c": "cancelled"}
    assert run.slot("b").reason == "run_timeout"
    assert run.run.deadline_at is None  # or the timers would look at it again and again
    run.finish("a", "stopped")
    assert (run.run.state, run.run.reason) == (State.TIMED_OUT, "run_timeout")
    assert run.run.detail == "The run was not done after 60 s."


def test_a_timeout_of_a_run_that_is_cancelling_or_over_changes_nothing() -> None:
    run = Driver(task("a"), timeout=60)
    run.begin("a")
    run.cancel()
    assert not run.send(lifecycle.ExpireRun())
    run.finish("a", "stopped")
    assert not run.send(lifecycle.ExpireRun())
    assert run.run.state is State.CANCELLED


def test_a_run_being_cancelled_has_no_deadline_left() -> None:
    run = Driver(task("a"), timeout=60)
    run.begin("a")
    run.cancel()
    assert run.run.deadline_at is None
