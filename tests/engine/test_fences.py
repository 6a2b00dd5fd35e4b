"""Fences: what an old claim reports changes nothing, whichever way it comes."""

from __future__ import annotations

from runyard.core.attempts import Assignment, Finished, Outcome, Progress, Report, Started
from runyard.core.model import Run
from runyard.core.states import State
from runyard.engine.ledger import look

from .bench import Bench, spec, task
from .fakes import HandExecutor

BAD = Outcome(result="failed", detail="late", values={"late": 1}, output=[1])


def everything(bench: Bench, run: Run) -> tuple[object, ...]:
    """All that is kept of a run."""
    attempts = bench.runs.task_runs(run.id, newest=False)
    outputs = [bench.runs.output(one.id) for one in attempts]
    return bench.run(run), attempts, outputs, bench.history(run), [bench.runs.progress(one.id) for one in attempts]


def reports(one: Assignment, at: int) -> list[Report]:
    """All that an attempt can say."""
    return [
        Started(one.task_run_id, one.token, at),
        Progress(one.task_run_id, one.token, at, {"fraction": 0.9}),
        Finished(one.task_run_id, one.token, at, BAD),
    ]


def assert_deaf(bench: Bench, run: Run, old: Assignment, sink: HandExecutor) -> None:
    """None of the old claim's reports changes anything, alone or together."""
    before = everything(bench, run)
    for report in reports(old, bench.clock.at):
        sink.sink([report])
    sink.sink(reports(old, bench.clock.at))
    assert everything(bench, run) == before


def test_reports_of_a_claim_that_was_lost_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    old = bench.begin(run)
    bench.finish(run, result="lost")
    new = bench.begin(run)
    assert new.task_run_id != old.task_run_id
    assert_deaf(bench, run, old, bench.hand)
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED


def test_reports_of_a_claim_that_was_given_back_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    old = bench.begin(run)
    bench.finish(run, result="released")
    new = bench.begin(run)
    assert (new.task_run_id, new.token != old.token) == (old.task_run_id, True)
    assert_deaf(bench, run, old, bench.hand)
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED


def test_reports_after_the_end_change_nothing() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a")))
    old = bench.begin(run)
    bench.finish(run)
    assert_deaf(bench, run, old, bench.hand)


def test_reports_after_the_end_of_the_whole_run_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    old = bench.begin(run)
    bench.finish(run)
    assert_deaf(bench, run, old, bench.hand)


def test_a_place_is_freed_by_the_token_alone_that_has_it() -> None:
    bench = Bench(None, HandExecutor("process", capacity=1))
    run, waits = bench.submit(), bench.submit()
    one = bench.begin(run)
    assert not bench.engine.worker.let_go(one.task_run_id, one.token - 1)
    bench.engine.writer.execute(look).result()
    assert bench.states(waits) == {"a": "queued"}
    bench.finish(run)
    assert bench.states(waits) == {"a": "starting"}


def test_reports_with_a_token_that_was_never_drawn_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.begin(run)
    forged = Assignment(
        run_id=run.id, task_run_id=one.task_run_id, token=one.token + 1, task_key="a", action=one.action
    )
    assert_deaf(bench, run, forged, bench.hand)
    assert bench.runs.progress(one.task_run_id) is None


def test_reports_to_a_restarted_server_of_claims_that_it_gave_up_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    old = bench.begin(run)
    bench = bench.restart()
    bench.begin(run)
    assert_deaf(bench, run, old, bench.hand)
    assert [one.state.value for one in bench.runs.task_runs(run.id, newest=False)] == ["lost", "running"]


def test_reports_for_a_repaired_task_of_its_earlier_round_change_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    old = bench.begin(run)
    bench.finish(run, result="failed")
    bench.repair(run)
    bench.begin(run)
    assert_deaf(bench, run, old, bench.hand)


def test_reports_of_a_deleted_run_change_nothing() -> None:
    bench = Bench()
    run, other = bench.submit(), bench.submit()
    old = bench.begin(run)
    bench.finish(run)
    bench.runs.delete(run.id, "ann").result()
    assert_deaf(bench, other, old, bench.hand)


def test_a_start_that_is_told_in_one_breath_with_progress_counts() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.held(run)
    start = Started(one.task_run_id, one.token, bench.clock.at)
    bench.hand.sink([start, Progress(one.task_run_id, one.token, bench.clock.at, {"fraction": 0.1})])
    (row,) = bench.runs.task_runs(run.id)
    assert (row.state, row.started_at) == (State.RUNNING, bench.clock.at)
    assert bench.runs.progress(one.task_run_id) == {"fraction": 0.1}


def test_an_end_that_is_told_twice_in_one_breath_counts_once() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.begin(run)
    finished = Finished(one.task_run_id, one.token, bench.clock.at, Outcome(result="succeeded"))
    late = Finished(one.task_run_id, one.token, bench.clock.at, BAD)
    bench.hand.sink([finished, finished, late])
    assert bench.run(run).state is State.SUCCEEDED
    assert [event.state for event in bench.history(run)].count(State.SUCCEEDED) == 2  # the task and the run
    assert bench.engine.info()["workers"][0]["active"] == 0


# --- a restart --------------------------------------------------------------------------------------------


class KeepingExecutor(HandExecutor):
    """Takes up what it held before: nothing of it was lost."""

    def recover(self, held):  # type: ignore[no-untyped-def]  # as in the protocol
        return []


def test_work_that_an_executor_takes_up_again_keeps_its_claim() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a")))
    old = bench.begin(run)
    bench = bench.restart(KeepingExecutor("process"))
    assert bench.states(run) == {"a": "running", "b": "blocked"}
    bench.hand.end(old)
    assert bench.states(run) == {"a": "succeeded", "b": "starting"}
    assert len(bench.runs.task_runs(run.id, newest=False)) == 2


def test_work_that_was_taken_up_again_counts_against_the_places() -> None:
    bench = Bench()
    first = bench.submit()
    old = bench.held(first)
    bench = bench.restart(KeepingExecutor("process", capacity=1))
    second = bench.submit()
    assert bench.states(second) == {"a": "queued"}
    bench.hand.end(old)
    assert bench.states(second) == {"a": "starting"}


def test_work_that_was_lost_with_the_server_is_handed_out_again_at_its_start() -> None:
    bench = Bench()
    runs = [bench.submit() for _ in range(3)]
    bench = bench.restart()
    assert sorted(bench.holders()) == [run.id for run in runs]
    assert [bench.one(run).losses for run in runs] == [1, 1, 1]


def test_work_of_an_executor_that_the_new_server_does_not_have_is_lost_and_waits_for_one() -> None:
    bench = Bench()
    run = bench.submit()
    bench = bench.restart(HandExecutor("warehouse"))
    assert bench.states(run) == {"a": "queued"}
    bench.cancel(run)
    assert bench.run(run).state is State.CANCELLED


def test_a_cancel_that_was_under_way_ends_after_a_restart() -> None:
    bench = Bench()
    run = bench.submit()
    bench.cancel(run)
    bench = bench.restart()
    assert bench.run(run).state is State.CANCELLED


def test_a_cancel_that_was_under_way_is_asked_again_of_work_that_was_taken_up() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.begin(run)
    bench.cancel(run)
    bench = bench.restart(KeepingExecutor("process"))
    assert bench.hand.stops == [(one.task_run_id, one.token, "cancel")]


def test_a_server_that_drains_hands_out_nothing() -> None:
    bench = Bench()
    bench.engine.worker.draining = True
    run = bench.submit()
    assert bench.states(run) == {"a": "queued"}
    assert bench.restart().states(run) == {"a": "starting"}


def test_work_that_is_given_back_is_handed_out_again_without_using_up_an_attempt() -> None:
    bench = Bench()
    run = bench.submit()
    bench.engine.worker.release_all(1.0)
    assert [why for _, _, why in bench.hand.stops] == ["release"]
    bench.finish(run, result="released")
    assert (bench.one(run).attempt, bench.one(run).state) == (0, State.STARTING)


def test_an_attempt_over_its_time_is_stopped_after_a_restart() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", timeout=5)))
    bench.begin(run)
    bench = bench.restart(KeepingExecutor("process"))
    bench.later(5)
    assert [why for _, _, why in bench.hand.stops] == ["timeout"]
