"""Limits on concurrent work: a job's runs, a queue's slots, an executor's places; and who goes first."""

from __future__ import annotations

from random import Random

import pytest

from runyard.core.commands import Rerun, Submit
from runyard.core.errors import Code, conflict
from runyard.core.model import OnLimit, Run
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL, State
from runyard.engine.ledger import Ledger, new_run

from .bench import Bench, refused, spec, sql, task
from .fakes import HandExecutor


def admitted(bench: Bench, *runs: Run) -> list[bool]:
    return [bench.run(run).admitted_at is not None for run in runs]


# --- a job's runs -----------------------------------------------------------------------------------------


def test_a_run_over_its_jobs_limit_waits_until_another_ends() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    first, second = bench.submit(job), bench.submit(job)
    assert admitted(bench, first, second) == [True, False]
    assert (second.state, second.reason) == (State.QUEUED, "job_limit")
    assert second.detail == "The job's limit of 1 concurrent runs is reached."
    bench.finish(first)
    assert bench.holders() == [second.id]
    assert (bench.run(second).state, bench.run(second).detail) == (State.RUNNING, "")


@pytest.mark.parametrize("end", ["failed", "cancelled before its start", "cancelled"])
def test_every_end_of_a_run_lets_the_next_one_in(end: str) -> None:
    bench = Bench()
    if end == "cancelled before its start":
        bench.queue("default", slots=0)
    job = bench.job(max_concurrent_runs=1)
    first, second = bench.submit(job), bench.submit(job)
    if end == "failed":
        bench.finish(first, result="failed")
    else:
        bench.cancel(first)
        if end == "cancelled":
            assert admitted(bench, second) == [False]
            bench.finish(first, result="stopped")
    assert admitted(bench, second) == [True]


def test_runs_that_wait_are_let_in_by_priority_and_then_by_age() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    running = bench.submit(job)
    waiting = [bench.submit(job, priority=priority) for priority in (0, 5, 0, 5, 9)]
    order = []
    for _ in waiting:
        bench.finish(running)
        running = bench.run(bench.holders()[0])
        order.append(running.id)
    assert order == [waiting[place].id for place in (4, 1, 3, 0, 2)]


def test_a_run_over_the_limit_is_refused_where_the_job_says_so() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1, on_limit=OnLimit.REFUSE)
    first = bench.submit(job)
    command = Submit(job_id=job.id)
    error = refused(lambda: bench.runs.submit(command, "ann"), Code.LIMIT, "limit of 1", "max_concurrent_runs")
    assert error.details == {"job_id": job.id}
    assert [run.id for run in bench.runs.find(RunFilter()).items] == [first.id]
    bench.finish(first)
    assert bench.submit(job).admitted_at is not None


def test_a_run_over_the_limit_is_kept_as_skipped_where_the_job_says_so() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1, on_limit=OnLimit.SKIP)
    bench.submit(job)
    second = bench.submit(job)
    assert (second.state, second.reason, second.ended_at) == (State.SKIPPED, "job_limit", bench.clock.at)
    assert bench.states(second) == {}
    assert [(event.kind, event.state) for event in bench.history(second)] == [("submitted", "skipped")]


def test_a_limit_of_none_skips_every_run() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=0, on_limit=OnLimit.SKIP)
    assert bench.submit(job).state is State.SKIPPED


def test_one_time_runs_have_no_limit_in_common() -> None:
    bench = Bench()
    definition = spec(max_concurrent_runs=1)
    assert [bench.submit(definition).admitted_at is not None for _ in range(3)] == [True] * 3


def test_a_higher_limit_lets_waiting_runs_in_at_once() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    runs = [bench.submit(job) for _ in range(4)]
    bench.registry.update_job(job.id, spec(max_concurrent_runs=3), by="ann").result()
    assert admitted(bench, *runs) == [True, True, True, False]


def test_a_limit_that_is_taken_away_lets_all_waiting_runs_in() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    runs = [bench.submit(job) for _ in range(3)]
    bench.registry.update_job(job.id, spec(), by="ann").result()
    assert admitted(bench, *runs) == [True] * 3


def test_a_new_limit_also_counts_the_runs_of_versions_without_one() -> None:
    bench = Bench()
    job = bench.job()
    first = bench.submit(job)
    bench.registry.update_job(job.id, spec(max_concurrent_runs=1), by="ann").result()
    second = bench.submit(job)
    assert admitted(bench, second) == [False]
    bench.finish(first)
    assert admitted(bench, second) == [True]


def test_a_deleted_job_lets_its_waiting_runs_in() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    runs = [bench.submit(job) for _ in range(3)]
    bench.registry.delete_job(job.id, "ann").result()
    assert admitted(bench, *runs) == [True] * 3


def test_a_repair_over_the_limit_waits_like_any_run() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    first = bench.submit(job)
    bench.finish(first, result="failed")
    second = bench.submit(job)
    assert bench.repair(first).reason == "job_limit"
    assert bench.holders() == [second.id]
    bench.finish(second)
    assert bench.holders() == [first.id]


@pytest.mark.parametrize("again", ["rerun", "repair"])
def test_the_limit_is_that_of_the_newest_version_whichever_a_run_follows(again: str) -> None:
    bench = Bench()
    job = bench.job()
    first = bench.submit(job)
    bench.finish(first, result="failed")
    bench.registry.update_job(job.id, spec(max_concurrent_runs=1), by="ann").result()
    second = bench.submit(job)
    if again == "rerun":
        first = bench.runs.rerun(Rerun(run_id=first.id), "ann").result().run
    else:
        bench.repair(first)
    assert admitted(bench, first, second) == [False, True]


# --- slots and places -------------------------------------------------------------------------------------


def test_a_queue_hands_out_no_more_work_than_it_has_slots() -> None:
    bench = Bench()
    bench.queue("narrow", slots=2)
    runs = [bench.submit(spec(queue="narrow")) for _ in range(4)]
    assert bench.holders() == [runs[0].id, runs[1].id]
    bench.finish(runs[1])
    assert bench.holders() == [runs[0].id, runs[2].id]


def test_slots_are_shared_by_all_executors() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1)
    run = bench.submit(spec(sql("w"), task("p"), queue="narrow"))
    assert (bench.working("process"), bench.working("warehouse")) == (["p"], [])
    bench.finish(run, "p")
    assert (bench.working("process"), bench.working("warehouse")) == ([], ["w"])


def test_a_cancelled_task_keeps_its_slot_until_its_work_is_gone() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1)
    first, second = (bench.submit(spec(queue="narrow")) for _ in range(2))
    bench.cancel(first)
    assert bench.states(second) == {"a": "queued"}
    bench.finish(first, result="stopped")
    assert bench.states(second) == {"a": "starting"}


def test_more_slots_hand_out_more_work_at_once() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1)
    run = bench.submit(spec(task("a"), task("b"), task("c"), queue="narrow"))
    bench.queue("narrow", slots=2)
    assert bench.working() == ["a", "b"]
    bench.registry.delete_queue("narrow", "ann").result()
    assert bench.working() == ["a", "b", "c"]
    assert bench.run(run).state is State.RUNNING


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed() -> None:
    bench = Bench()
    bench.queue("q", paused=True)
    run = bench.submit(spec(queue="q"))
    other = bench.submit()
    assert bench.holders() == [other.id]
    bench.queue("q")
    assert bench.holders() == [other.id, run.id]


def test_work_that_is_under_way_goes_on_in_a_paused_queue() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a"), queue="q"))
    bench.queue("q", paused=True)
    bench.finish(run, "a")
    assert bench.states(run) == {"a": "succeeded", "b": "queued"}


def test_settings_of_queues_hold_after_a_restart() -> None:
    bench = Bench()
    bench.queue("q", paused=True)
    bench = bench.restart()
    run = bench.submit(spec(queue="q"))
    assert bench.states(run) == {"a": "queued"}


def test_an_executor_gets_no_more_work_than_it_has_places() -> None:
    bench = Bench(None, HandExecutor("process", capacity=2))
    runs = [bench.submit() for _ in range(4)]
    assert bench.holders() == [runs[0].id, runs[1].id]
    bench.finish(runs[0])
    assert bench.holders() == [runs[1].id, runs[2].id]


def test_the_higher_priority_goes_first_and_then_the_older() -> None:
    bench = Bench(None, HandExecutor("process", capacity=1))
    first = bench.submit()
    waiting = [bench.submit(priority=priority) for priority in (0, 5, 0, 5)]
    order = []
    bench.finish(first)
    for _ in waiting:
        order.append(bench.holders()[0])
        bench.finish(bench.run(order[-1]))
    assert order == [waiting[place].id for place in (1, 3, 0, 2)]


def test_the_queue_of_higher_priority_goes_first_whatever_its_tasks_are() -> None:
    bench = Bench(None, HandExecutor("process", capacity=1))
    bench.queue("high", priority=10)
    first = bench.submit()
    low = bench.submit(priority=99)
    high = bench.submit(spec(queue="high"))
    bench.finish(first)
    assert bench.holders() == [high.id]
    bench.finish(high)
    assert bench.holders() == [low.id]


def test_a_full_queue_does_not_hold_up_another() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1, priority=10)
    for _ in range(3):
        bench.submit(spec(queue="narrow"))
    run = bench.submit(spec(queue="wide"))
    assert bench.states(run) == {"a": "starting"}


def test_a_queue_tells_how_much_it_holds_and_how_much_waits() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1)
    for _ in range(3):
        bench.submit(spec(queue="narrow"))
    bench.submit(spec(queue="unset"))
    told = {one.queue.name: (one.active, one.waiting) for one in bench.registry.queues()}
    assert told == {"default": (0, 0), "narrow": (1, 2), "unset": (1, 0)}


def test_slots_below_none_are_refused() -> None:
    from runyard.core.model import Queue

    refused(lambda: Bench().registry.put_queue(Queue(name="q", slots=-1), "ann"), Code.INVALID, "slots")


def test_a_queue_without_settings_cannot_be_deleted() -> None:
    refused(lambda: Bench().registry.delete_queue("q", "ann"), Code.NOT_FOUND, "queue q")


# --- runs with a definition of their own, and parts of them -----------------------------------------------


def test_a_run_of_a_job_by_its_own_definition_counts_against_the_jobs_limit() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    changed = spec(task("other"))
    first = bench.runs.submit(Submit(job_id=job.id, spec=changed), "ann").result().run
    assert (first.job_id, first.job_version) == (job.id, None)
    assert bench.runs.spec(first.id) == changed
    assert admitted(bench, first, bench.submit(job)) == [True, False]


def test_a_submission_may_say_what_the_jobs_limit_does_with_it() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    bench.submit(job)
    skipped = bench.runs.submit(Submit(job_id=job.id, on_limit=OnLimit.SKIP), "ann").result().run
    assert (skipped.state, skipped.reason) == (State.SKIPPED, "job_limit")


def test_a_rerun_leaves_out_what_the_first_run_left_out() -> None:
    bench = Bench()
    job = bench.job(task("a"), task("b"))
    first = bench.runs.submit(Submit(job_id=job.id, only=["b"]), "ann").result().run
    bench.finish(first, "b")
    again = bench.runs.rerun(Rerun(run_id=first.id), "ann").result().run
    states = {one.task_key: one.reason for one in bench.runs.task_runs(again.id)}
    assert states["a"] == "disabled"
    assert states["b"] != "disabled"


def test_a_submission_may_be_refused_when_too_many_runs_are_not_over() -> None:
    bench = Bench()
    first, other = bench.submit(bench.job()), bench.job()
    command = Submit(job_id=other.id, max_live=1)
    error = refused(lambda: bench.runs.submit(command, "ann").result(), Code.LIMIT, "1 runs are not over yet")
    assert error.details["max_live"] == 1
    bench.begin(first)
    bench.finish(first)
    assert bench.runs.submit(command, "ann").result().created


# --- counts in memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_counts_in_memory_are_those_of_the_store(seed: int) -> None:
    chance = Random(seed)
    bench = Bench()
    jobs = [bench.job(name="two", max_concurrent_runs=2), bench.job(name="one", max_concurrent_runs=1), bench.job()]
    runs: list[Run] = []
    ledger = bench.engine.ledger

    def compare(_: Ledger) -> None:
        session = ledger.session
        for job in jobs:
            counted = session.admitted_count(job.id)
            assert ledger.standing(job.id) == (counted, len(session.live_runs(job.id)) - counted)
        assert ledger.live() == sum(session.live_by_state().values())

    def refuse(ledger: Ledger) -> None:
        """Counts, starts and ends runs, and then does not happen."""
        before = [ledger.standing(job.id) for job in jobs] if chance.random() < 0.5 else []
        for job in jobs:
            made, plan = ledger.job(job.id)
            ledger.create(
                new_run(ledger, plan.spec, job=made, by="x", workspace="default", origin="native"), plan, None
            )
        assert [ledger.standing(job.id) for job in jobs] != before
        raise conflict("no")

    for _ in range(40):
        match chance.randrange(5):
            case 0 | 1:
                runs.append(bench.submit(chance.choice(jobs)))
            case 2 if held := bench.holders():
                bench.finish(bench.engine.runs.get(chance.choice(held)), result=chance.choice(["succeeded", "failed"]))
            case 3 if runs:
                one = bench.run(chance.choice(runs))
                if one.state is State.FAILED:
                    bench.repair(one)
                elif one.state not in TERMINAL:
                    bench.cancel(one)
            case 4:
                refused(lambda: bench.engine.writer.execute(refuse), Code.CONFLICT)
        if chance.random() < 0.7:
            bench.engine.writer.execute(compare).result()
    bench.engine.writer.execute(compare).result()
