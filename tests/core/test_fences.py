"""Reports: what each changes when its claim holds, and that nothing changes when it does not."""

from __future__ import annotations

import msgspec
import pytest

from runyard.core import lifecycle
from runyard.core.attempts import Outcome
from runyard.core.states import State

from .driver import Driver, Result, retries, task

RESULTS: tuple[Result, ...] = ("succeeded", "failed", "stopped", "released", "lost")


def test_a_claim_carries_worker_and_token_and_begins_the_run() -> None:
    run = Driver(task("a"))
    token = run.claim("a")
    one = run.slot("a")
    assert (one.state, one.worker, one.token, one.claimed_at) == (State.STARTING, "worker", token, run.now)
    assert (run.run.state, run.run.started_at) == (State.RUNNING, run.now)


def test_a_second_claim_changes_nothing() -> None:
    run = Driver(task("a"))
    token = run.claim("a")
    assert not run.send(lifecycle.Claim(run.slot("a").id, "thief", 99))
    assert (run.slot("a").token, run.slot("a").worker) == (token, "worker")


def test_a_claim_of_a_blocked_task_or_of_a_stranger_changes_nothing() -> None:
    run = Driver(task("a"), task("b", "a"))
    assert not run.send(lifecycle.Claim(run.slot("b").id, "worker", 99))
    assert not run.send(lifecycle.Claim(1, "worker", 99))


def test_a_start_says_when_the_work_began() -> None:
    run = Driver(task("a"))
    token = run.claim("a")
    run.send(lifecycle.Start(run.slot("a").id, token, 123), after=50)
    assert (run.state("a"), run.slot("a").started_at) == (State.RUNNING, 123)
    assert not run.send(lifecycle.Start(run.slot("a").id, token, 456))


def test_an_outcome_is_kept_with_all_its_facts() -> None:
    run = Driver(task("a"))
    run.finish(
        "a",
        "failed",
        reason="exit_code",
        detail="exit code 2",
        exit_code=2,
        output={"rows": []},
        values={"v": 1},
        metrics={"rows": 3},
        error={"type": "E", "message": "m"},
        ended_at=777,
    )
    one = run.slot("a")
    assert (one.state, one.reason, one.detail, one.exit_code) == (State.FAILED, "exit_code", "exit code 2", 2)
    assert (one.values, one.metrics, one.ended_at) == ({"v": 1}, {"rows": 3}, 777)
    assert one.error == {"type": "E", "message": "m"}
    assert msgspec.json.decode(run.outputs[one.id]) == {"rows": []}


def test_an_end_without_a_start_tells_the_start_itself() -> None:
    run = Driver(task("a"))
    run.claim("a")
    run.finish("a", started_at=55)
    assert (run.state("a"), run.slot("a").started_at) == (State.SUCCEEDED, 55)


@pytest.mark.parametrize("result", RESULTS)
def test_an_outcome_with_another_token_changes_nothing(result: Result) -> None:
    run = Driver(task("a", retries=retries(1)))
    token = run.begin("a")
    assert not run.send(lifecycle.Finish(run.slot("a").id, token + 1, Outcome(result=result, output=1)))
    assert run.state("a") is State.RUNNING
    assert not run.outputs


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("first", RESULTS)
def test_an_outcome_that_comes_twice_changes_nothing(first: Result, result: Result) -> None:
    run = Driver(task("a", retries=retries(1)), task("b"))
    token, slot = run.begin("a"), run.slot("a")
    run.finish("a", first)
    before = run.rebuilt()
    assert not run.send(lifecycle.Finish(slot.id, token, Outcome(result=result, output=1)))
    assert run.rebuilt().slots == before.slots
    assert not run.outputs


def test_reports_of_a_lost_attempt_change_nothing() -> None:
    run = Driver(task("a"))
    token, lost = run.begin("a"), run.slot("a")
    run.finish("a", "lost")
    assert not run.send(lifecycle.Start(lost.id, token, 5))
    assert not run.send(lifecycle.Finish(lost.id, token, Outcome(result="succeeded")))
    assert run.state("a") is State.QUEUED
    second = run.begin("a")
    assert second != token
    assert not run.send(lifecycle.Finish(run.slot("a").id, token, Outcome(result="succeeded")))
    assert run.state("a") is State.RUNNING


def test_a_report_with_the_token_of_a_claim_that_was_given_back_changes_nothing() -> None:
    run = Driver(task("a"))
    token = run.begin("a")
    run.finish("a", "released")
    assert not run.send(lifecycle.Finish(run.slot("a").id, token, Outcome(result="succeeded")))
    assert not run.send(lifecycle.Finish(run.slot("a").id, 0, Outcome(result="succeeded")))
    run.begin("a")
    assert not run.send(lifecycle.Finish(run.slot("a").id, token, Outcome(result="failed")))
    assert run.state("a") is State.RUNNING


def test_a_report_of_a_stranger_changes_nothing() -> None:
    run = Driver(task("a"))
    run.begin("a")
    assert not run.send(lifecycle.Finish(1, run.slot("a").token, Outcome(result="succeeded")))


def test_the_history_says_what_happened_in_order() -> None:
    run = Driver(task("a", retries=retries(1)))
    run.fail("a")
    run.succeed("a")
    told = [(event.kind, event.task_run_id and "a", event.state and event.state.value) for event in run.events]
    assert told == [
        ("submitted", None, "queued"),
        ("state", None, "running"),
        ("state", "a", "starting"),
        ("state", "a", "running"),
        ("state", "a", "failed"),
        ("state", "a", "queued"),
        ("state", "a", "starting"),
        ("state", "a", "running"),
        ("state", "a", "succeeded"),
        ("state", None, "succeeded"),
    ]
    assert run.events[2].data == {"worker": "worker"}
