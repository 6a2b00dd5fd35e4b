"""Retries: how often, after how long, and the budget of their own that lost attempts have."""

from __future__ import annotations

import pytest

from runyard.core import lifecycle
from runyard.core.model import Retries, TaskRun
from runyard.core.retry import LOSS_BUDGET, due_at, may_retry
from runyard.core.states import State

from .driver import T0, Driver, retries, run_job, task


def failed(failures: int = 0, started_at: int | None = T0) -> TaskRun:
    return TaskRun(
        id=1,
        run_id=1,
        task_key="a",
        state=State.FAILED,
        executor="process",
        queue="default",
        priority=0,
        created_at=T0,
        failures=failures,
        started_at=started_at,
    )


def delays(policy: Retries, count: int) -> list[float]:
    return [(due_at(policy, failed(n), T0) - T0) / 1000 for n in range(count)]


def test_each_delay_is_the_one_before_it_times_the_backoff() -> None:
    assert delays(Retries(max=9, delay=2, backoff=3), 4) == [2, 6, 18, 54]


def test_a_delay_is_never_longer_than_its_maximum() -> None:
    assert delays(Retries(max=9, delay=2, backoff=10, max_delay=50), 4) == [2, 20, 50, 50]


def test_a_delay_that_is_too_large_to_count_is_the_maximum() -> None:
    assert due_at(Retries(max=-1, delay=1, backoff=10, max_delay=60), failed(100_000), T0) == T0 + 60_000


def test_no_delay_stays_none_however_often_it_failed() -> None:
    assert due_at(Retries(max=-1, backoff=10), failed(100_000), T0) == T0


def test_a_delay_may_count_from_the_start_of_the_failed_attempt() -> None:
    policy = Retries(max=1, delay=10, measure="start")
    assert due_at(policy, failed(started_at=T0 - 4_000), T0) == T0 + 6_000
    assert due_at(policy, failed(started_at=T0 - 40_000), T0) == T0
    assert due_at(policy, failed(started_at=None), T0) == T0 + 10_000


@pytest.mark.parametrize(
    ("max_", "failures", "may"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (3, 2, True), (3, 3, False), (-1, 10**6, True)],
)
def test_as_many_retries_follow_as_the_policy_allows(max_: int, failures: int, may: bool) -> None:
    assert may_retry(Retries(max=max_), failures, timed_out=False) is may


def test_a_timeout_is_retried_only_where_the_policy_says_so() -> None:
    assert not may_retry(Retries(max=1), 0, timed_out=True)
    assert may_retry(Retries(max=1, on_timeout=True), 0, timed_out=True)
    assert not may_retry(Retries(max=1, on_timeout=True), 1, timed_out=True)


# --- in a run ---------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_followed_by_a_new_one_and_kept() -> None:
    run = Driver(task("a", retries=retries(2)))
    run.fail("a")
    first, second = run.attempts("a")
    assert (first.state, second.state, second.attempt, second.failures) == (State.FAILED, State.QUEUED, 1, 1)
    assert second.reason == "retry"
    assert run.run.state is State.RUNNING


def test_the_last_failure_is_the_tasks_own() -> None:
    run = Driver(task("a", retries=retries(2)), task("b", "a"))
    for _ in range(3):
        assert run.state("b") is State.BLOCKED
        run.fail("a")
    assert len(run.attempts("a")) == 3
    assert run.states() == {"a": "failed", "b": "upstream_failed"}
    assert run.run.state is State.FAILED


def test_a_success_of_a_retry_is_the_tasks_success() -> None:
    run = Driver(task("a", retries=retries(-1)), task("b", "a"))
    for _ in range(7):
        run.fail("a")
    run.succeed("a")
    assert run.states() == {"a": "succeeded", "b": "queued"}


def test_a_retry_with_a_delay_waits_until_it_is_due() -> None:
    run = Driver(task("a", retries=retries(1, delay=30)))
    run.fail("a")
    one = run.slot("a")
    assert (one.state, one.reason, one.due_at) == (State.WAITING, "backoff", run.now + 30_000)
    assert run.due("a").ready
    assert (run.state("a"), run.slot("a").due_at, run.slot("a").queued_at) == (State.QUEUED, None, run.now)


def test_a_due_that_comes_twice_or_for_a_stranger_changes_nothing() -> None:
    run = Driver(task("a", retries=retries(1, delay=30)))
    run.fail("a")
    run.due("a")
    assert not run.send(lifecycle.Due(run.slot("a").id))
    assert not run.send(lifecycle.Due(run.attempts("a")[0].id))
    assert not run.send(lifecycle.Due(12345))


def test_a_failure_that_cannot_be_helped_is_not_retried() -> None:
    run = Driver(task("a", retries=retries(5)))
    run.finish("a", "failed", retry=False, reason="start_error")
    assert (run.state("a"), len(run.attempts("a"))) == (State.FAILED, 1)


def test_a_task_that_runs_a_job_is_retried_with_a_new_child_when_its_back_off_is_over() -> None:
    run = Driver(run_job("r", retries=retries(1)))
    run.child_started("r", 100)
    run.child_ended("r", State.FAILED)
    assert (run.state("r"), run.slot("r").child_run_id) == (State.WAITING, None)
    changes = run.due("r")
    assert [child.job_id for child in changes.children] == [7]
    assert run.state("r") is State.RUNNING


# --- loss -------------------------------------------------------------------------------------------------


def test_a_lost_attempt_is_tried_again_without_using_up_a_retry() -> None:
    run = Driver(task("a", retries=retries(1)))
    run.finish("a", "lost")
    one = run.slot("a")
    assert (run.attempts("a")[0].state, one.state, one.losses, one.failures) == (State.LOST, State.QUEUED, 1, 0)
    run.fail("a")
    assert run.state("a") is State.QUEUED
    run.fail("a")
    assert run.state("a") is State.FAILED


def test_the_loss_budget_ends_a_task_that_kills_its_workers() -> None:
    run = Driver(task("a", retries=retries(9)), task("b", "a"))
    for _ in range(LOSS_BUDGET):
        run.finish("a", "lost")
        assert run.state("a") is State.QUEUED
    run.finish("a", "lost")
    assert run.states() == {"a": "lost", "b": "upstream_failed"}
    assert (run.run.state, run.run.detail) == (State.FAILED, "Task 'a' was lost: Its worker vanished.")


def test_losses_are_kept_over_failures_and_the_other_way_round() -> None:
    run = Driver(task("a", retries=retries(1)))
    run.finish("a", "lost")
    run.fail("a")
    assert (run.slot("a").losses, run.slot("a").failures, run.slot("a").attempt) == (1, 1, 2)


def test_work_that_its_worker_gives_back_uses_up_no_attempt() -> None:
    run = Driver(task("a", timeout=60))
    run.finish("a", "released")
    one = run.slot("a")
    assert (one.state, one.reason, one.attempt, one.token, one.worker) == (State.QUEUED, "requeued", 0, 0, None)
    assert (one.failures, one.losses) == (0, 0)
    assert (one.claimed_at, one.started_at, one.deadline_at, len(run.attempts("a"))) == (None, None, None, 1)
    run.succeed("a")
    assert run.run.state is State.SUCCEEDED


def test_work_that_stopped_although_nobody_asked_counts_as_lost() -> None:
    run = Driver(task("a"))
    run.finish("a", "stopped")
    assert [one.state for one in run.attempts("a")] == [State.LOST, State.QUEUED]
