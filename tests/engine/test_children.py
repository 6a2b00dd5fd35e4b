"""Tasks that run another job: the child, its end, its refusal, and cancels that reach it."""

from __future__ import annotations

from typing import Any

from runyard.core.actions import Condition, ForEach, RunJob
from runyard.core.control import MAX_DEPTH
from runyard.core.model import Job, OnLimit, Retries, Run
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL, State

from .bench import Bench, run_job, spec, task


def child_of(bench: Bench, run: Run, key: str = "r", iteration: int = -1) -> Run:
    """The run that the task started."""
    return bench.run(bench.one(run, key, iteration).child_run_id or 0)


def parent_and_child(bench: Bench, **fields: Any) -> tuple[Run, Run]:
    run = bench.submit(spec(run_job("r", bench.job(name="inner")), task("after", "r"), **fields))
    return run, child_of(bench, run)


def test_a_task_that_runs_a_job_starts_a_run_of_it() -> None:
    bench = Bench()
    job = bench.job(name="inner", parameters={"day": "x"})
    action = RunJob(job=job.id, parameters={"day": "{{ parameters.day }}"})
    run = bench.submit(spec(task("r", action=action), parameters={"day": "monday"}))
    child = child_of(bench, run)
    assert (child.job_id, child.parameters, child.trigger) == (job.id, {"day": "monday"}, "run_job")
    assert (child.parent_task_run_id, child.depth, child.submitted_by) == (bench.one(run, "r").id, 1, "ann")
    assert bench.holders() == [child.id]


def test_the_task_succeeds_with_its_child() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench.finish(child)
    assert bench.states(run) == {"r": "succeeded", "after": "starting"}
    assert bench.one(run, "r").values == {"run_id": child.id}


def test_the_task_fails_with_its_child() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench.finish(child, result="failed", detail="exit code 1")
    assert bench.states(run) == {"r": "failed", "after": "upstream_failed"}
    assert bench.one(run, "r").detail == (f"Run {child.id} of 'inner' ended failed: Task 'a' failed: exit code 1")
    assert bench.run(run).state is State.FAILED


def test_a_cancel_of_the_parent_cancels_the_child() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench.cancel(run)
    assert (bench.run(run).state, bench.run(child).state) == (State.CANCELLING, State.CANCELLING)
    assert bench.run(child).reason == "parent_cancelled"
    bench.finish(child, result="stopped")
    assert (bench.run(run).state, bench.run(child).state) == (State.CANCELLED, State.CANCELLED)


def test_a_cancel_of_the_parent_cancels_a_child_that_no_worker_holds_at_once() -> None:
    bench = Bench()
    bench.queue("q", paused=True)
    run = bench.submit(spec(run_job("r", bench.job(queue="q"))))
    child = child_of(bench, run)
    bench.cancel(run)
    assert (bench.run(run).state, bench.run(child).state) == (State.CANCELLED, State.CANCELLED)


def test_a_cancel_goes_down_through_every_level() -> None:
    bench = Bench()
    run, levels = nested(bench, MAX_DEPTH)
    bench.cancel(run)
    assert {bench.run(one).state for one in levels} == {State.CANCELLING}
    bench.finish(levels[-1], result="stopped")
    assert {bench.run(one).state for one in (run, *levels)} == {State.CANCELLED}


def nested(bench: Bench, depth: int) -> tuple[Run, list[Run]]:
    """A run with runs below it, the deepest of which works."""
    job = bench.job(name="deepest")
    for level in range(depth - 1):
        job = bench.job(run_job("r", job), name=f"level{level}")
    run = bench.submit(spec(run_job("r", job)))
    levels = [child_of(bench, run)]
    for _ in range(depth - 1):
        levels.append(child_of(bench, levels[-1]))
    return run, levels


def test_a_success_goes_up_through_every_level() -> None:
    bench = Bench()
    run, levels = nested(bench, MAX_DEPTH)
    assert [one.depth for one in levels] == list(range(1, MAX_DEPTH + 1))
    bench.finish(levels[-1])
    assert {bench.run(one).state for one in (run, *levels)} == {State.SUCCEEDED}


def test_nesting_deeper_than_the_limit_fails_the_task_with_a_sentence() -> None:
    bench = Bench()
    job = bench.job(name="deepest")
    for level in range(MAX_DEPTH):
        job = bench.job(run_job("r", job), name=f"level{level}")
    run = bench.submit(spec(run_job("r", job)))
    deepest = bench.runs.find(RunFilter(name="level0")).items[0]
    assert bench.one(deepest, "r").detail == f"run_job tasks may nest {MAX_DEPTH} deep; this run is already that deep."
    assert bench.run(run).state is State.FAILED


def test_a_job_that_does_not_exist_fails_the_task_with_a_sentence() -> None:
    bench = Bench()
    run = bench.submit(spec(task("r", action=RunJob(job=12345))))
    assert bench.one(run, "r").detail.startswith("There is no job 12345.")
    assert bench.run(run).state is State.FAILED


def test_parameters_that_the_job_does_not_take_fail_the_task_with_a_sentence() -> None:
    bench = Bench()
    job = bench.job()
    run = bench.submit(spec(task("r", action=RunJob(job=job.id, parameters={"zz": 1}))))
    assert "'zz'" in bench.one(run, "r").detail
    assert bench.run(run).state is State.FAILED


def limited(bench: Bench, on_limit: OnLimit) -> Job:
    job = bench.job(max_concurrent_runs=1, on_limit=on_limit)
    bench.submit(job)
    return job


def test_a_child_that_is_refused_by_its_jobs_limit_fails_the_task() -> None:
    bench = Bench()
    run = bench.submit(spec(run_job("r", limited(bench, OnLimit.REFUSE))))
    assert bench.one(run, "r").detail.startswith("The job's limit of 1 concurrent runs is reached.")
    assert bench.run(run).state is State.FAILED


def test_a_child_that_is_skipped_by_its_jobs_limit_fails_the_task() -> None:
    bench = Bench()
    run = bench.submit(spec(run_job("r", limited(bench, OnLimit.SKIP))))
    assert child_of(bench, run).state is State.SKIPPED
    assert bench.one(run, "r").detail.endswith("ended skipped: The job's limit of 1 concurrent runs is reached.")


def test_a_child_waits_for_its_jobs_limit_and_then_runs() -> None:
    bench = Bench()
    job = limited(bench, OnLimit.QUEUE)
    first = bench.run(bench.holders()[0])
    run = bench.submit(spec(run_job("r", job)))
    assert child_of(bench, run).admitted_at is None
    bench.finish(first)
    bench.finish(child_of(bench, run))
    assert bench.run(run).state is State.SUCCEEDED


def test_a_child_that_is_over_at_once_ends_its_task_at_once() -> None:
    bench = Bench()
    job = bench.job(task("c", action=Condition(op="==", left=1, right=1)))
    run = bench.submit(spec(run_job("r", job), task("after", "r")))
    assert bench.states(run) == {"r": "succeeded", "after": "starting"}


def test_many_children_that_are_over_at_once_end_a_for_each_at_once() -> None:
    bench = Bench()
    job = bench.job(task("c", action=Condition(op="==", left=1, right=1)))
    each = task("f", action=ForEach(inputs=list(range(30)), concurrency=3, action=RunJob(job=job.id)))
    run = bench.submit(spec(each))
    assert bench.run(run).state is State.SUCCEEDED
    assert [event.seq for event in bench.history(run)] == list(range(1, len(bench.history(run)) + 1))


def test_a_retried_task_starts_a_new_child() -> None:
    bench = Bench()
    run = bench.submit(spec(run_job("r", bench.job(), retries=Retries(max=1, delay=5))))
    first = child_of(bench, run)
    bench.finish(first, result="failed")
    bench.later(5)
    second = child_of(bench, run)
    assert second.id != first.id
    bench.finish(second)
    assert bench.run(run).state is State.SUCCEEDED


def test_a_child_over_the_time_of_its_task_is_cancelled_and_the_task_timed_out() -> None:
    bench = Bench()
    run = bench.submit(spec(run_job("r", bench.job(), timeout=5)))
    child = child_of(bench, run)
    bench.later(5)
    assert bench.run(child).state is State.CANCELLING
    bench.finish(child, result="stopped")
    assert (bench.states(run), bench.run(run).state) == ({"r": "timed_out"}, State.TIMED_OUT)


def test_a_child_that_is_repaired_after_its_parent_ended_changes_nothing_there() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench.finish(child, result="failed")
    ended = bench.run(run)
    bench.repair(child)
    bench.finish(child)
    assert bench.run(child).state is State.SUCCEEDED
    assert bench.run(run) == ended


def test_a_parent_may_be_deleted_before_its_child_is_repaired() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench.finish(child, result="failed")
    bench.runs.delete(run.id, "ann").result()
    bench.repair(child)
    bench.finish(child)
    assert bench.run(child).state is State.SUCCEEDED


def test_a_parent_and_its_child_go_on_after_a_restart() -> None:
    bench = Bench()
    run, child = parent_and_child(bench)
    bench = bench.restart()
    assert bench.states(child) == {"a": "starting"}  # lost, and claimed again
    bench.finish(child)
    bench.finish(run, "after")
    assert bench.run(run).state in TERMINAL
