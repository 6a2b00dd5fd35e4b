"""Why is it waiting? One test for each cause."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from runyard.core.model import Retries, Run
from runyard.engine.waiting import explain
from runyard.store.base import Reads
from runyard.store.sqlite import SqliteStore

from .bench import Bench, for_each, run_job, spec, task
from .fakes import HandExecutor


def sentence(bench: Bench, run: Run, key: str = "a") -> str:
    """What is said of the task, which must also be what is said of the run if nothing of it works."""
    waiting = bench.runs.waiting(run.id)
    return waiting.tasks[bench.one(run, key).id]


def of_run(bench: Bench, run: Run) -> str | None:
    return bench.runs.waiting(run.id).run


def test_waiting_for_the_jobs_limit() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    bench.submit(job)
    second, third = bench.submit(job), bench.submit(job)
    assert of_run(bench, second) == "It waits for its job's limit of 1 concurrent runs."
    assert of_run(bench, third) == "It waits for its job's limit of 1 concurrent runs; 1 other runs go first."


def test_waiting_for_the_limit_that_the_job_has_now() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    bench.submit(job)
    bench.submit(job)
    third = bench.submit(job)
    bench.registry.update_job(job.id, spec(max_concurrent_runs=2), by="ann").result()
    assert of_run(bench, third) == "It waits for its job's limit of 2 concurrent runs."


def test_waiting_for_upstream() -> None:
    bench = Bench()
    run = bench.submit(spec(*(task(key) for key in "abcd"), task("last", *"abcd"), task("after", "a")))
    assert sentence(bench, run, "last") == "It waits for a, b, c and 1 more."
    bench.finish(run, "c")
    assert sentence(bench, run, "last") == "It waits for a, b, d."
    assert sentence(bench, run, "after") == "It waits for a."
    assert of_run(bench, run) is None


class Counted:
    """A session that counts what is asked of it."""

    def __init__(self, reads: Reads) -> None:
        self._reads, self.asked = reads, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._reads, name)


def test_many_waiting_tasks_cost_one_reading_of_what_they_have_in_common() -> None:
    bench = Bench()
    bench.queue("narrow", slots=1)
    keys = [f"t{n}" for n in range(30)]
    run = bench.submit(spec(task("first"), *(task(key, "first") for key in keys), queue="narrow"))
    for state in ("blocked", "queued"):
        if state == "queued":
            bench.finish(run, "first")
        with bench.store.reading() as reads:
            counted = Counted(reads)
            found = explain(cast(Reads, counted), bench.run(run), bench.engine.worker)
        assert len(found.tasks) >= 29, state
        assert counted.asked["run_spec"] + counted.asked["queue_active"] == 1, counted.asked


def test_a_long_line_is_counted_up_to_a_thousand_and_read_once() -> None:
    bench = Bench()
    bench.queue("full", slots=1)
    urgent = [bench.submit(spec(queue="full", priority=9)) for _ in range(3)]
    run = bench.submit(spec(*(task(f"t{n}") for n in range(1002)), queue="full"))
    with bench.store.reading() as reads:
        counted = Counted(reads)
        told = explain(cast(Reads, counted), bench.run(run), bench.engine.worker).tasks
    places = [told[bench.one(run, f"t{n}").id].rpartition("; ")[2] for n in (0, 7, 998, 999, 1001)]
    # one of the urgent ones has the slot
    assert places == [f"{n} go first." for n in (2, 9, 1000, "more than 1000", "more than 1000")]
    assert counted.asked["queued"] == 1
    assert of_run(bench, urgent[1]) == "All 1 slots of the queue 'full' are taken; it is the next."


def test_waiting_for_the_back_off() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", retries=Retries(max=1, delay=90))))
    bench.finish(run, result="failed")
    assert sentence(bench, run) == "Attempt 1 failed; the next starts at 08:01:30 UTC."
    assert of_run(bench, run) == sentence(bench, run)


def test_waiting_in_a_paused_queue() -> None:
    bench = Bench()
    bench.queue("q", paused=True)
    run = bench.submit(spec(queue="q"))
    assert sentence(bench, run) == of_run(bench, run) == "The queue 'q' is paused."


def test_waiting_for_a_slot() -> None:
    bench = Bench()
    bench.queue("q", slots=1)
    _, second, third = (bench.submit(spec(queue="q")) for _ in range(3))
    assert sentence(bench, second) == of_run(bench, second) == "All 1 slots of the queue 'q' are taken; it is the next."
    assert sentence(bench, third) == "All 1 slots of the queue 'q' are taken; 1 go first."


def test_waiting_in_a_queue_without_slots() -> None:
    bench = Bench()
    bench.queue("q", slots=0)
    run = bench.submit(spec(queue="q"))
    assert sentence(bench, run) == "The queue 'q' has no slots."


def test_waiting_for_a_worker_that_is_not_there() -> None:
    bench = Bench(None, HandExecutor("warehouse"))
    run = bench.submit()
    assert sentence(bench, run) == of_run(bench, run) == "No worker runs process tasks."


def test_waiting_for_a_place() -> None:
    bench = Bench(None, HandExecutor("process", capacity=1))
    _, second, third = bench.submit(), bench.submit(), bench.submit(priority=5)
    assert sentence(bench, third) == "All 1 places for process tasks are taken; it is the next."
    assert sentence(bench, second) == of_run(bench, second) == "All 1 places for process tasks are taken; 1 go first."


def test_waiting_because_the_executor_is_in_trouble() -> None:
    hand = HandExecutor("process", capacity=0)
    hand.trouble = "The warehouse is down; it is started again."
    bench = Bench(None, hand)
    run = bench.submit()
    assert sentence(bench, run) == of_run(bench, run) == "The warehouse is down; it is started again."


def test_waiting_because_the_server_is_shutting_down() -> None:
    bench = Bench()
    bench.engine.worker.draining = True
    run = bench.submit()
    assert sentence(bench, run) == "The server is shutting down; it starts after the restart."


def test_nothing_is_said_of_what_runs_or_is_over() -> None:
    bench = Bench()
    run = bench.submit()
    assert (of_run(bench, run), bench.runs.waiting(run.id).tasks) == (None, {})
    bench.finish(run)
    assert (of_run(bench, run), bench.runs.waiting(run.id).tasks) == (None, {})


def test_a_run_of_which_something_works_does_not_wait_though_its_tasks_do() -> None:
    bench = Bench()
    bench.queue("q", slots=1)
    run = bench.submit(spec(task("a"), task("b"), queue="q"))
    assert of_run(bench, run) is None
    assert sentence(bench, run, "b").startswith("All 1 slots")


def test_a_run_whose_child_waits_does_not_wait_itself() -> None:
    bench = Bench()
    bench.queue("q", paused=True)
    run = bench.submit(spec(run_job("r", bench.job(queue="q"))))
    assert (of_run(bench, run), bench.runs.waiting(run.id).tasks) == (None, {})


def test_an_iteration_that_waits_says_why() -> None:
    bench = Bench(SqliteStore(":memory:"), HandExecutor("process", capacity=1))
    run = bench.submit(spec(for_each("f", [1, 2], concurrency=2)))
    waiting = bench.runs.waiting(run.id)
    assert waiting.tasks == {bench.one(run, "f", 1).id: "All 1 places for process tasks are taken; it is the next."}
