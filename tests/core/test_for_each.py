"""For-each tasks: how many iterations run at once, where inputs come from, and how the whole ends."""

from __future__ import annotations

import pytest

from runyard.core import lifecycle
from runyard.core.actions import RunJob
from runyard.core.attempts import Outcome
from runyard.core.control import MAX_INPUTS
from runyard.core.states import ACTIVE, TERMINAL, State

from .driver import Driver, for_each, retries, run_job, task


def active(run: Driver, key: str = "f") -> list[int]:
    return [index for index, one in run.snapshot.fans[key].newest.items() if one.state not in TERMINAL]


def test_each_input_becomes_one_iteration_and_the_task_ends_with_the_last() -> None:
    run = Driver(for_each("f", inputs=["a", "b"], concurrency=2))
    assert [(one.iteration, one.input, one.state.value) for one in run.attempts("f", 0) + run.attempts("f", 1)] == [
        (0, "a", "queued"),
        (1, "b", "queued"),
    ]
    run.finish("f", iteration=1)
    assert run.state("f") is State.RUNNING
    run.finish("f", iteration=0)
    assert run.slot("f").metrics == {"iterations": 2, "failed": 0}
    assert (run.state("f"), run.run.state) == (State.SUCCEEDED, State.SUCCEEDED)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_no_more_iterations_are_started_than_the_concurrency_allows(concurrency: int) -> None:
    run = Driver(for_each("f", inputs=list(range(4)), concurrency=concurrency))
    started: list[int] = []
    while run.run.state not in TERMINAL:
        assert len(active(run)) == min(concurrency, 4 - len(started))
        started.append(min(active(run)))
        run.finish("f", iteration=started[-1])
    assert started == [0, 1, 2, 3]


def test_an_empty_list_succeeds_at_once() -> None:
    run = Driver(for_each("f", inputs=[]), task("a", "f"))
    assert run.slot("f").metrics == {"iterations": 0, "failed": 0}
    assert run.states() == {"f": "succeeded", "a": "queued"}


@pytest.mark.parametrize("inputs", ["[1, 2]", "{{ parameters.list }}", "{{ parameters.text }}"])
def test_inputs_may_be_json_text_or_a_reference_to_a_list_or_to_json_text(inputs: str) -> None:
    run = Driver(for_each("f", inputs=inputs, concurrency=9), parameters={"list": [1, 2], "text": "[1,2]"})
    assert run.slot("f").input == [1, 2]
    assert active(run) == [0, 1]


def test_inputs_may_come_from_an_earlier_task() -> None:
    run = Driver(task("a"), for_each("f", "a", inputs="{{ tasks.a.values.files }}", concurrency=9))
    run.finish("a", values={"files": ["x", "y", "z"]})
    assert [run.slot("f", index).input for index in active(run)] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no json", "inputs must be a list; found the text 'no json'."),
        ({"a": 1}, 'inputs must be a list; found {"a":1}.'),
        (5, "inputs must be a list; found 5."),
        ([0] * (MAX_INPUTS + 1), f"inputs may have {MAX_INPUTS} elements; found {MAX_INPUTS + 1}."),
    ],
)
def test_inputs_that_are_no_list_fail_the_task_with_a_sentence(value: object, sentence: str) -> None:
    run = Driver(for_each("f", inputs="{{ parameters.x }}"), parameters={"x": value})
    assert (run.state("f"), run.slot("f").reason, run.slot("f").detail) == (State.FAILED, "bad_reference", sentence)
    assert run.run.state is State.FAILED


def test_inputs_that_do_not_exist_fail_the_task_with_a_sentence() -> None:
    run = Driver(task("a"), for_each("f", "a", inputs="{{ tasks.a.values.files }}"))
    run.succeed("a")
    assert run.slot("f").detail == "There is no value of task 'a' named 'files'."


def test_a_failed_iteration_lets_the_others_run_and_fails_the_task_in_the_end() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3]), task("a", "f"))
    run.finish("f", iteration=0)
    run.finish("f", "failed", iteration=1, reason="exit_code", detail="exit code 3")
    assert active(run) == [2]
    run.finish("f", iteration=2)
    assert run.slot("f").reason == "iterations"
    assert run.slot("f").detail == "1 of 3 iterations did not succeed. First: [1] exit code 3"
    assert run.states() == {"f": "failed", "a": "upstream_failed"}


def test_an_iteration_is_retried_on_its_own_and_keeps_its_place() -> None:
    run = Driver(for_each("f", inputs=["x", "y"], retries=retries(1)))
    run.finish("f", "failed", iteration=0)
    assert active(run) == [0]
    assert [one.attempt for one in run.attempts("f", 0)] == [0, 1]
    assert run.slot("f", 0).input == "x"
    run.finish("f", iteration=0)
    run.finish("f", iteration=1)
    assert run.state("f") is State.SUCCEEDED


def test_a_lost_iteration_is_tried_again_and_keeps_its_place() -> None:
    run = Driver(for_each("f", inputs=["x", "y"]))
    run.finish("f", "lost", iteration=0)
    assert active(run) == [0]
    run.finish("f", iteration=0)
    run.finish("f", iteration=1)
    assert run.state("f") is State.SUCCEEDED


def test_an_iteration_that_cannot_be_started_counts_as_failed() -> None:
    run = Driver(for_each("f", inputs=[1, 2]))
    run.send(lifecycle.Refuse(run.slot("f", 0).id, "There is no field of the input named 'x'."))
    run.finish("f", iteration=1)
    assert run.slot("f").detail.endswith("First: [0] There is no field of the input named 'x'.")


def test_cancelling_the_task_ends_its_iterations_and_starts_no_more() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3, 4], concurrency=3))
    run.finish("f", iteration=0)
    token = run.begin("f", 1)
    changes = run.cancel_task("f")
    assert [stop.token for stop in changes.stops] == [token]
    assert {index: run.state("f", index).value for index in range(4) if index in run.snapshot.fans["f"].newest} == {
        0: "succeeded",
        1: "cancelling",
        2: "cancelled",
        3: "cancelled",
    }
    assert run.state("f") is State.CANCELLING
    run.finish("f", "stopped", iteration=1)
    assert (run.state("f"), run.run.state) == (State.CANCELLED, State.CANCELLED)


def test_a_cancelled_for_each_whose_iterations_all_succeeded_has_succeeded() -> None:
    run = Driver(for_each("f", inputs=[1, 2], concurrency=2))
    first, second = run.begin("f", 0), run.begin("f", 1)
    run.cancel_task("f")
    for index, token in enumerate((first, second)):
        run.send(lifecycle.Finish(run.slot("f", index).id, token, Outcome(result="succeeded")))
    assert (run.state("f"), run.run.state) == (State.SUCCEEDED, State.SUCCEEDED)


def test_cancelling_one_iteration_lets_the_others_go_on() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3], concurrency=2))
    run.cancel_task("f", 0)
    assert active(run) == [1, 2]
    run.finish("f", iteration=1)
    run.finish("f", iteration=2)
    assert run.slot("f").detail == "1 of 3 iterations did not succeed. First: [0] Cancelled by ann."


def test_cancelling_one_iteration_that_runs_a_job_lets_the_others_go_on() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3], concurrency=2, action=RunJob(job=7)))
    run.child_started("f", 100, 0)
    run.child_started("f", 101, 1)
    changes = run.cancel_task("f", 0)
    assert changes.cancel_children == [100]
    assert run.state("f", 1) is State.RUNNING
    run.child_ended("f", State.CANCELLED, iteration=0)
    assert [run.state("f", index).value for index in range(3)] == ["cancelled", "running", "running"]


def test_cancelling_a_task_whose_iterations_run_jobs_asks_each_of_them_once() -> None:
    run = Driver(for_each("f", inputs=list(range(8)), concurrency=8, action=RunJob(job=7)))
    for index in range(8):
        run.child_started("f", 100 + index, index)
    changes = run.cancel_task("f")
    assert changes.cancel_children == list(range(100, 108))
    assert [event.state for event in changes.events].count(State.CANCELLING) == 9


def test_each_iteration_may_run_a_job() -> None:
    run = Driver(for_each("f", inputs=[1, 2], action=RunJob(job=7, parameters={"n": "{{ input }}"})))
    assert run.state("f", 0) is State.RUNNING
    run.child_started("f", 100, 0)
    changes = run.child_ended("f", State.SUCCEEDED, iteration=0)
    assert [(child.job_id, child.parameters) for child in changes.children] == [(7, {"n": 2})]
    run.child_started("f", 101, 1)
    run.child_ended("f", State.FAILED, iteration=1)
    assert run.slot("f").metrics == {"iterations": 2, "failed": 1}


def test_a_timeout_is_that_of_one_iteration() -> None:
    run = Driver(for_each("f", inputs=[1, 2], timeout=60))
    assert run.slot("f").deadline_at is None
    run.begin("f", 0)
    assert run.slot("f", 0).deadline_at == run.slot("f", 0).started_at + 60_000  # type: ignore[operator]
    run.send(lifecycle.ExpireTask(run.slot("f", 0).id))
    run.finish("f", "stopped", iteration=0)
    assert (run.state("f", 0), run.state("f", 1)) == (State.TIMED_OUT, State.QUEUED)


def test_five_thousand_iterations_that_fail_at_once_are_one_loop() -> None:
    run = Driver(for_each("f", inputs=[1] * 5000, action=RunJob(job=7)), depth=3, checked=False)
    run.check()
    assert run.slot("f").metrics == {"iterations": 5000, "failed": 5000}


# --- repair -----------------------------------------------------------------------------------------------


def half_failed() -> Driver:
    run = Driver(task("a"), for_each("f", "a", inputs="{{ parameters.list }}"), parameters={"list": [1, 2, 3]})
    run.succeed("a")
    run.finish("f", iteration=0)
    run.finish("f", "failed", iteration=1)
    run.finish("f", iteration=2)
    return run


def test_a_repair_runs_only_the_iterations_that_had_not_succeeded() -> None:
    run = half_failed()
    run.repair()
    assert (active(run), run.slot("f", 1).round, run.slot("f", 0).round) == ([1], 1, 0)
    run.finish("f", iteration=1)
    assert run.slot("f").metrics == {"iterations": 3, "failed": 0}
    assert run.run.state is State.SUCCEEDED


def test_a_repair_runs_all_iterations_when_something_before_is_run_again() -> None:
    run = half_failed()
    run.repair(["a"])
    run.succeed("a")
    for index in range(3):
        assert active(run) == [index]
        run.finish("f", iteration=index)
    assert run.run.state is State.SUCCEEDED


def test_a_repair_runs_the_iterations_whose_input_changed_and_the_new_ones() -> None:
    run = half_failed()
    run.repair(list=[1, 2, 30, 4])
    ran = []
    while run.run.state not in TERMINAL:
        ran.append(active(run)[0])
        run.finish("f", iteration=ran[-1])
    assert ran == [1, 2, 3]
    assert run.slot("f").metrics == {"iterations": 4, "failed": 0}


def test_a_repair_with_fewer_inputs_leaves_the_others_out() -> None:
    run = Driver(for_each("f", inputs="{{ parameters.list }}"), parameters={"list": [1, 2, 3]})
    run.finish("f", iteration=0)
    run.finish("f", "failed", iteration=1)
    run.finish("f", "failed", iteration=2)
    run.repair(list=[1])
    assert run.slot("f").metrics == {"iterations": 1, "failed": 0}
    assert run.run.state is State.SUCCEEDED


def test_a_restart_in_a_repair_forgets_none_of_its_successes_and_counts_no_old_failure() -> None:
    run = Driver(for_each("f", inputs=[1, 2, 3]))
    for index in range(3):
        run.finish("f", "failed", iteration=index)
    run.repair()
    run.restart()
    for index in range(3):
        run.finish("f", iteration=index)
        run.restart()
    assert run.slot("f").metrics == {"iterations": 3, "failed": 0}
    assert run.run.state is State.SUCCEEDED


def test_a_success_from_before_a_change_upstream_is_not_kept_by_a_later_repair() -> None:
    run = half_failed()
    run.repair(["a"])
    run.succeed("a")
    run.finish("f", "failed", iteration=0)
    run.begin("f", 1)
    run.cancel()
    run.finish("f", "stopped", iteration=1)
    run.repair()  # round 2 runs the for-each alone; element 2 last succeeded in round 0, before `a` ran again
    ran = []
    while run.run.state not in TERMINAL:
        ran.append(active(run)[0])
        run.finish("f", iteration=ran[-1])
    assert ran == [0, 1, 2]


def test_iterations_count_as_active_work_only_while_a_worker_may_hold_them() -> None:
    run = Driver(for_each("f", inputs=[1, 2], concurrency=2), run_job("r"))
    run.begin("f", 0)
    assert [one.iteration for one in run.snapshot.newest() if one.state in ACTIVE and one.executor != "engine"] == [0]
