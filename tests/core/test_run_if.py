"""When a task runs: the six rules over every combination of how its needs ended, and condition outcomes."""

from __future__ import annotations

import itertools

import pytest

from runyard.core import lifecycle
from runyard.core.model import RunIf
from runyard.core.states import State

from .driver import Driver, condition, need, needs_all, task

ENDS = ["succeeded", "failed", "cancelled", "excluded", "disabled", "timed_out"]


def stated(rule: RunIf, ends: tuple[str, ...]) -> str:
    """The rule as the documentation says it: an excluded or disabled need counts as a success, all excluded exclude."""
    failed = sum(end in ("failed", "timed_out") for end in ends)
    bad = failed + sum(end == "cancelled" for end in ends)
    if all(end == "excluded" for end in ends):
        return "skipped/excluded"
    upstream = "upstream_failed/upstream_failed" if failed else "upstream_failed/upstream_cancelled"
    good = len(ends) - bad
    return {
        RunIf.ALL_SUCCESS: "queued/" if not bad else upstream,
        RunIf.NONE_FAILED: "queued/" if not bad else upstream,
        RunIf.AT_LEAST_ONE_SUCCESS: "queued/" if good else upstream,
        RunIf.ALL_DONE: "queued/",
        RunIf.AT_LEAST_ONE_FAILED: "queued/" if bad else "skipped/excluded",
        RunIf.ALL_FAILED: "queued/" if not good else "skipped/excluded",
    }[rule]


def end_like(run: Driver, key: str, end: str) -> None:
    """Brings the task `key` to this end; excluded and disabled ones are there already."""
    if end == "cancelled":
        run.cancel_task(key)
    elif end == "timed_out":
        run.begin(key)
        run.send(lifecycle.ExpireTask(run.slot(key).id))
        run.finish(key, "stopped")
    elif end in ("succeeded", "failed"):
        run.finish(key, end)  # type: ignore[arg-type]  # one of the two results of that name


def run_with(rule: RunIf, ends: tuple[str, ...]) -> Driver:
    keys = [f"n{index}" for index in range(len(ends))]
    tasks = [
        task(key, "no:true", timeout=60) if end == "excluded" else task(key, disabled=end == "disabled", timeout=60)
        for key, end in zip(keys, ends, strict=True)
    ]
    run = Driver(condition("no", right=2), *tasks, needs_all(rule, *keys), checked=False)
    for key, end in zip(keys, ends, strict=True):
        assert run.state("last") is State.BLOCKED or end in ("excluded", "disabled")
        end_like(run, key, end)
    run.check()
    return run


@pytest.mark.parametrize("rule", RunIf, ids=lambda one: one.value)
def test_a_task_runs_or_not_as_its_rule_says_for_every_end_of_its_needs(rule: RunIf) -> None:
    combinations = [*itertools.product(ENDS, repeat=2), *itertools.combinations(ENDS, 1)]
    for ends in [*combinations, ("succeeded", "failed", "excluded"), ("failed", "failed", "cancelled")]:
        last = run_with(rule, ends).slot("last")
        assert f"{last.state.value}/{last.reason}" == stated(rule, ends), ends


def test_a_task_that_cannot_run_passes_its_end_on() -> None:
    run = Driver(task("a"), task("b", "a"), task("c", "b"), task("d", "c", run_if=RunIf.ALL_FAILED))
    run.fail("a")
    assert run.states() == {"a": "failed", "b": "upstream_failed", "c": "upstream_failed", "d": "queued"}


def test_a_cancelled_task_passes_its_cancel_on_but_handlers_of_failures_run() -> None:
    run = Driver(task("a"), task("b", "a"), task("c", "b"), task("h", "a", run_if=RunIf.AT_LEAST_ONE_FAILED))
    run.cancel_task("a")
    assert run.states() == {"a": "cancelled", "b": "upstream_failed", "c": "upstream_failed", "h": "queued"}
    assert run.slot("c").reason == "upstream_cancelled"
    assert run.slot("c").detail == "A task that it needs was cancelled."


def test_exclusion_passes_on_through_tasks_whose_needs_are_all_excluded() -> None:
    run = Driver(condition("no", right=2), task("a", "no:true"), task("b", "a"), task("c", "b", run_if=RunIf.ALL_DONE))
    assert run.states() == {"no": "succeeded", "a": "skipped", "b": "skipped", "c": "skipped"}
    assert run.run.state is State.SUCCEEDED


def test_an_edge_of_the_other_outcome_counts_as_a_success_beside_a_failure() -> None:
    run = Driver(condition("no", right=2), task("a"), task("b", "no:true", "a", run_if=RunIf.AT_LEAST_ONE_SUCCESS))
    run.fail("a")
    assert run.state("b") is State.QUEUED


# --- conditions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "op", "right", "outcome"),
    [
        ("a", "==", "a", "true"),
        ("12.0", "==", "12", "false"),
        (12, "==", "12", "true"),
        ("a", "!=", "b", "true"),
        (True, "==", "true", "true"),
        ("12.0", ">=", "12", "true"),
        ("9", "<", "10", "true"),
        (9, ">", 10, "false"),
        (10, "<=", "1e1", "true"),
        ("{{ parameters.n }}", ">", "4", "true"),
    ],
)
def test_a_condition_compares_text_or_numbers(left: object, op: str, right: object, outcome: str) -> None:
    run = Driver(condition("c", left=left, op=op, right=right), parameters={"n": 5})
    assert run.slot("c").values == {"outcome": outcome}
    assert run.run.state is State.SUCCEEDED


@pytest.mark.parametrize("outcome", ["true", "false"])
def test_a_condition_chooses_which_dependants_run(outcome: str) -> None:
    decided = condition("c", right=1 if outcome == "true" else 2)
    run = Driver(decided, task("t", "c:true"), task("f", "c:false"), task("x", "c"))
    states = {"t": "queued", "f": "skipped", "x": "queued", "c": "succeeded"}
    if outcome == "false":
        states |= {"t": "skipped", "f": "queued"}
    assert run.states() == states


def test_a_condition_that_cannot_be_decided_fails_with_a_sentence() -> None:
    run = Driver(condition("c", left="many", op=">"), task("a", "c:true"))
    assert (run.state("c"), run.state("a")) == (State.FAILED, State.UPSTREAM_FAILED)
    assert run.slot("c").detail == "> compares numbers; 'many' is none."
    assert run.run.state is State.FAILED


def test_a_run_of_conditions_alone_ends_at_once() -> None:
    run = Driver(condition("a"), condition("b", "a:true"), condition("c", "b:false"))
    assert run.states() == {"a": "succeeded", "b": "succeeded", "c": "skipped"}
    assert run.run.state is State.SUCCEEDED
    assert [event.state.value for event in run.events if event.task_run_id is None and event.state] == [
        "queued",
        "running",
        "succeeded",
    ]


def test_an_edge_reads_as_key_and_outcome() -> None:
    assert (need("a:false").task, need("a:false").outcome, need("a").outcome) == ("a", "false", None)
