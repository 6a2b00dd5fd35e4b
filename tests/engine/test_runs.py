"""Runs through the facade: submitted, claimed, finished, cancelled, repaired, rerun, deleted, read."""

from __future__ import annotations

import msgspec
import pytest

from runyard.core import lifecycle
from runyard.core.actions import Python, Shell
from runyard.core.attempts import Outcome, Progress
from runyard.core.commands import Cancel, Rerun, Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Retries, RunIf
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.engine.ledger import Ledger

from .bench import T0, Bench, for_each, refused, spec, sql, task, told
from .fakes import HandExecutor


def test_a_submitted_run_is_stored_and_its_ready_tasks_are_handed_out() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), sql("b"), task("c", "a")))
    assert bench.run(run).state is State.RUNNING
    assert bench.states(run) == {"a": "starting", "b": "starting", "c": "blocked"}
    assert (bench.working("process"), bench.working("warehouse")) == (["a"], ["b"])


def test_a_submission_for_another_version_of_the_job_is_refused() -> None:
    bench = Bench()
    job = bench.job()
    bench.registry.update_job(job.id, job.spec, by="ann").result()
    refused(lambda: bench.engine.runs.submit(Submit(job_id=job.id), "ann", expect_version=1).result(), Code.CONFLICT)
    assert bench.engine.runs.find(RunFilter(job_id=job.id)).items == []
    assert bench.engine.runs.submit(Submit(job_id=job.id), "ann", expect_version=2).result().created


def test_an_assignment_is_complete() -> None:
    bench = Bench()
    definition = spec(
        task("a", action=Python(source="{{ parameters.day }}")), parameters={"day": "monday"}, name="daily"
    )
    job = bench.registry.create_job(definition, by="ann", workspace="team").result()
    run = bench.submit(job, parameters={"day": "tuesday"})
    one = bench.held(run)
    assert (one.run_id, one.task_run_id, one.job_id, one.job_name) == (run.id, bench.one(run).id, job.id, "daily")
    assert (one.action, one.parameters, one.workspace) == (Python(source="tuesday"), {"day": "tuesday"}, "team")
    assert one.token == bench.one(run).token > 0
    assert (one.attempt, one.round, one.iteration, one.input) == (0, 0, -1, None)


def test_a_run_from_its_submission_to_its_end_leaves_this_history() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a")))
    for key in "ab":
        bench.begin(run, key)
        bench.finish(run, key)
    first, second = bench.one(run, "a").id, bench.one(run, "b").id
    names = {None: "run", first: "a", second: "b"}
    history = [(names[event.task_run_id], event.kind, event.state) for event in bench.history(run)]
    assert history == [
        ("run", "submitted", "queued"),
        ("run", "state", "running"),
        ("a", "state", "starting"),
        ("a", "state", "running"),
        ("a", "state", "succeeded"),
        ("b", "state", "queued"),
        ("b", "state", "starting"),
        ("b", "state", "running"),
        ("b", "state", "succeeded"),
        ("run", "state", "succeeded"),
    ]
    assert [event.seq for event in bench.history(run)] == list(range(1, 11))
    assert bench.history(run)[0].by == "ann"


def test_events_are_read_on_from_a_sequence_number() -> None:
    bench = Bench()
    run = bench.submit()
    assert [event.seq for event in bench.runs.events(run.id, after=1, limit=1)] == [2]


def test_outcomes_are_kept_with_values_output_and_times() -> None:
    bench = Bench()
    run = bench.submit()
    bench.begin(run)
    bench.later(3)
    bench.finish(run, values={"n": 1}, output={"rows": [[1]]}, metrics={"rows": 1})
    one = bench.one(run)
    assert (one.values, one.metrics, one.started_at, one.ended_at) == ({"n": 1}, {"rows": 1}, T0, T0 + 3000)
    assert msgspec.json.decode(bench.runs.output(one.id) or b"") == {"rows": [[1]]}
    assert bench.run(run).ended_at == T0 + 3000


def test_a_failed_attempt_is_tried_again_when_its_back_off_is_over() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", retries=Retries(max=1, delay=10))))
    bench.finish(run, result="failed")
    assert bench.states(run) == {"a": "waiting_to_retry"}
    bench.later(9.999)
    assert not bench.working()
    bench.later(0.001)
    assert bench.held(run).attempt == 1
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED
    assert [one.state.value for one in bench.runs.task_runs(run.id, newest=False)] == ["failed", "succeeded"]


def test_an_attempt_over_its_time_is_stopped_and_times_out() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", timeout=5)))
    one = bench.begin(run)
    bench.later(4.999)
    assert not bench.hand.stops
    bench.later(0.001)
    assert bench.hand.stops == [(one.task_run_id, one.token, "timeout")]
    bench.finish(run, result="stopped")
    assert bench.run(run).state is State.TIMED_OUT


def test_a_run_over_its_time_is_stopped_and_times_out() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a"), timeout=5))
    bench.later(5)
    assert [why for _, _, why in bench.hand.stops] == ["cancel"]
    bench.finish(run, result="stopped")
    assert bench.run(run).state is State.TIMED_OUT


def test_a_reference_that_only_the_run_can_tell_fails_its_task_before_a_worker_is_asked() -> None:
    bench = Bench()
    text = "{{ tasks.a.values.nope }}"
    run = bench.submit(spec(task("a"), task("b", "a", action=Shell(command=text))))
    bench.finish(run, "a")
    assert bench.states(run) == {"a": "succeeded", "b": "failed"}
    assert bench.one(run, "b").detail == "There is no value of task 'a' named 'nope'."
    assert not bench.working()


def test_what_waited_behind_tasks_that_cannot_start_is_handed_out_at_once() -> None:
    """One place, two tasks that fail while they are claimed, and one that works: no further event comes."""
    bench = Bench(None, HandExecutor("process", capacity=1))
    bad = Shell(command="{{ parameters.map.nope }}")
    tasks = [task("x", action=bad, priority=9), task("y", action=bad, priority=9), task("good")]
    run = bench.submit(spec(*tasks, parameters={"map": {}}))
    assert bench.states(run) == {"x": "failed", "y": "failed", "good": "starting"}


def test_what_depends_on_a_task_that_cannot_start_is_handed_out_at_once() -> None:
    bench = Bench()
    bad = Shell(command="{{ parameters.map.nope }}")
    run = bench.submit(spec(task("x", action=bad), task("h", "x", run_if=RunIf.ALL_DONE), parameters={"map": {}}))
    assert bench.working() == ["h"]
    assert bench.states(run) == {"x": "failed", "h": "starting"}


def test_several_runs_are_submitted_all_or_none() -> None:
    bench = Bench()
    runs = bench.runs.submit_many([Submit(spec=spec(name=name)) for name in "ab"], "ann").result()
    assert [run.name for run in runs] == ["a", "b"]
    bad = [Submit(spec=spec()), Submit(job_id=12345)]
    refused(lambda: bench.runs.submit_many(bad, "ann"), Code.NOT_FOUND, "12345")
    assert len(bench.runs.find(RunFilter()).items) == 2


def test_a_submission_that_names_nothing_to_run_is_refused() -> None:
    bench = Bench()
    with pytest.raises(RunyardError, match="job or spec") as caught:
        bench.runs.submit(Submit(), "ann")
    assert caught.value.field == "job"


def test_a_submission_of_a_definition_that_can_never_run_stores_nothing() -> None:
    bench = Bench()
    with pytest.raises(RunyardError, match="nobody"):
        bench.runs.submit(Submit(spec=spec(task("a", "nobody"))), "ann")
    assert bench.runs.find(RunFilter()).items == []


def test_a_selection_that_names_a_stranger_stores_nothing() -> None:
    bench = Bench()
    refused(lambda: bench.runs.submit(Submit(spec=spec(), only=["zz"]), "ann"), Code.INVALID, "'zz'")
    assert bench.runs.find(RunFilter()).items == []


def test_what_a_submission_says_of_the_run_is_kept() -> None:
    bench = Bench()
    job = bench.job(tags={"team": "a", "kind": "x"}, queue="q")
    run = bench.submit(job, name="mine", priority=7, tags={"team": "b"}, origin="glue", trigger="cron", extras={"k": 1})
    kept = bench.run(run)
    assert (kept.name, kept.priority, kept.queue, kept.tags) == ("mine", 7, "q", {"team": "b", "kind": "x"})
    assert (kept.origin, kept.trigger, kept.extras, kept.submitted_by) == ("glue", "cron", {"k": 1}, "ann")
    assert (kept.job_id, kept.job_version) == (job.id, 1)


# --- cancel -----------------------------------------------------------------------------------------------


def test_a_cancel_asks_the_executor_to_stop_and_ends_with_its_report() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.begin(run)
    assert bench.cancel(run).state is State.CANCELLING
    assert bench.hand.stops == [(one.task_run_id, one.token, "cancel")]
    bench.finish(run, result="stopped")
    assert bench.run(run).state is State.CANCELLED
    refused(lambda: bench.runs.cancel(Cancel(run_id=run.id), "ann"), Code.CONFLICT, "already ended (cancelled)")


def test_a_cancel_of_a_run_that_does_not_exist_is_refused() -> None:
    refused(lambda: Bench().runs.cancel(Cancel(run_id=77), "ann"), Code.NOT_FOUND, "no run 77")


def test_a_cancel_of_one_task_run_leaves_the_others() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b")))
    bench.cancel(run, bench.one(run, "a"))
    assert bench.states(run) == {"a": "cancelling", "b": "starting"}


def test_a_cancel_of_a_task_run_of_another_run_is_refused() -> None:
    bench = Bench()
    first, second = bench.submit(), bench.submit()
    command = Cancel(run_id=first.id, task_run_id=bench.one(second).id)
    refused(lambda: bench.runs.cancel(command, "ann"), Code.NOT_FOUND)
    assert bench.states(second) == {"a": "starting"}


def test_a_cancel_of_a_job_ends_all_its_runs_and_lets_none_in_meanwhile() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1)
    runs = [bench.submit(job) for _ in range(3)]
    other = bench.submit()
    assert bench.runs.cancel_job(job.id, "ann").result() == 3
    assert [bench.run(run).state.value for run in runs] == ["cancelling", "cancelled", "cancelled"]
    bench.finish(runs[0], result="stopped")
    assert bench.run(runs[0]).state is State.CANCELLED
    assert bench.run(other).state is State.RUNNING
    assert not [event for run in runs[1:] for event in bench.history(run) if event.kind == "admitted"]


# --- repair and rerun -------------------------------------------------------------------------------------


def half_failed(bench: Bench) -> int:
    run = bench.submit(spec(task("a"), task("b", "a"), parameters={"n": 1}))
    bench.finish(run, "a")
    bench.finish(run, "b", "failed")
    return run.id


def test_a_repair_runs_the_failed_part_in_a_new_round() -> None:
    bench = Bench()
    run = bench.run(half_failed(bench))
    assert bench.repair(run, parameters={"n": 2}).round == 1
    assert bench.working() == ["b"]
    assert (bench.held(run, "b").round, bench.held(run, "b").parameters) == (1, {"n": 2})
    bench.finish(run, "b")
    assert bench.run(run).state is State.SUCCEEDED
    assert [event.by for event in bench.history(run) if event.kind == "repair"] == ["bob"]


def test_a_repair_that_expects_an_earlier_round_is_refused() -> None:
    bench = Bench()
    run = bench.run(half_failed(bench))
    bench.repair(run, after_round=0)
    bench.finish(run, "b", "failed")
    error = refused(lambda: Reply(lambda: bench.repair(run, after_round=0)), Code.CONFLICT, "round 1")
    assert error.details == {"round": 1}
    assert bench.repair(run, after_round=1).round == 2


class Reply:
    """Makes a call look like a reply."""

    def __init__(self, call: object) -> None:
        self.call = call

    def result(self) -> object:
        return self.call()  # type: ignore[operator]  # a plain function


def test_a_repair_with_a_parameter_that_the_job_does_not_have_is_refused() -> None:
    bench = Bench()
    run = bench.run(half_failed(bench))
    error = refused(lambda: Reply(lambda: bench.repair(run, parameters={"z": 1})), Code.INVALID, "'z'")
    assert error.field == "parameters.z"
    assert bench.run(run).round == 0


def test_a_repaired_run_follows_the_version_that_it_pinned() -> None:
    bench = Bench()
    job = bench.job(task("a", action=Shell(command="old")))
    run = bench.submit(job)
    bench.finish(run, result="failed")
    bench.registry.update_job(job.id, spec(task("a", action=Shell(command="new"))), by="ann").result()
    bench.repair(run)
    assert bench.held(run).action == Shell(command="old")


def test_a_rerun_is_a_new_run_with_the_same_definition_and_parameters() -> None:
    bench = Bench()
    first = bench.submit(spec(parameters={"x": 1, "y": 2}), parameters={"x": 5}, name="mine", tags={"k": "v"})
    second = bench.runs.rerun(Rerun(run_id=first.id, parameters={"y": 6}), "bob").result().run
    assert second.id != first.id
    assert (second.rerun_of, second.trigger, second.parameters) == (first.id, "rerun", {"x": 5, "y": 6})
    assert (second.name, second.tags, second.submitted_by) == ("mine", {"k": "v"}, "bob")
    assert bench.runs.spec(second.id) == bench.runs.spec(first.id)


def test_a_rerun_of_a_jobs_run_follows_its_version_and_counts_against_the_limit() -> None:
    bench = Bench()
    job = bench.job(task("a", action=Shell(command="old")), max_concurrent_runs=1)
    first = bench.submit(job)
    bench.registry.update_job(job.id, spec(task("a"), max_concurrent_runs=1), by="ann").result()
    second = bench.runs.rerun(Rerun(run_id=first.id), "ann").result().run
    assert (second.job_id, second.job_version, second.admitted_at) == (job.id, 1, None)
    bench.finish(first)
    assert bench.held(second).action == Shell(command="old")


def test_a_rerun_of_a_run_that_does_not_exist_is_refused() -> None:
    refused(lambda: Bench().runs.rerun(Rerun(run_id=5), "ann"), Code.NOT_FOUND, "run 5")


def test_a_rerun_with_an_idempotency_key_happens_once() -> None:
    bench = Bench()
    for first in (bench.submit(), bench.submit(bench.job())):
        key = f"again{first.id}"
        one = bench.runs.rerun(Rerun(run_id=first.id, idempotency_key=key), "ann").result()
        two = bench.runs.rerun(Rerun(run_id=first.id, idempotency_key=key), "ann").result()
        assert (one.run.id, one.created, two.created) == (two.run.id, True, False)


def test_a_rerun_is_found_again_by_its_key_although_the_earlier_run_was_repaired_meanwhile() -> None:
    bench = Bench()
    first = bench.submit(spec(parameters={"n": 1}))
    bench.finish(first, result="failed")
    command = Rerun(run_id=first.id, idempotency_key="k")
    one = bench.runs.rerun(command, "ann").result()
    bench.repair(first, parameters={"n": 2})
    assert bench.runs.rerun(command, "ann").result().run.id == one.run.id


# --- delete -----------------------------------------------------------------------------------------------


def test_a_deleted_run_is_gone_with_all_that_was_kept_of_it() -> None:
    bench = Bench()
    run = bench.submit(tags={"k": "v"})
    one = bench.one(run)
    bench.finish(run)
    bench.runs.delete(run.id, "ann").result()
    for read in (bench.runs.get, bench.runs.spec):
        with pytest.raises(RunyardError, match="There is no run"):
            read(run.id)
    with pytest.raises(RunyardError, match="There is no task run"):
        bench.runs.task_run(one.id)
    assert bench.runs.events(run.id) == []
    assert bench.runs.find(RunFilter(tag=("k", "v"))).items == []


def test_delete_of_an_active_run_is_refused() -> None:
    bench = Bench()
    run = bench.submit()
    refused(lambda: bench.runs.delete(run.id, "ann"), Code.CONFLICT, "is running")
    assert bench.states(run) == {"a": "starting"}


def test_delete_of_a_run_that_does_not_exist_is_refused() -> None:
    refused(lambda: Bench().runs.delete(9, "ann"), Code.NOT_FOUND)


# --- reads ------------------------------------------------------------------------------------------------


def test_pages_of_runs_are_newest_first_and_not_shifted_by_new_ones() -> None:
    bench = Bench()
    runs = [bench.submit().id for _ in range(5)]
    first = bench.runs.find(RunFilter(), limit=2)
    bench.submit()
    second = bench.runs.find(RunFilter(), limit=2, cursor=first.next)
    third = bench.runs.find(RunFilter(), limit=2, cursor=second.next)
    assert [run.id for page in (first, second, third) for run in page.items] == runs[::-1]
    assert third.next is None


def test_the_newest_attempts_or_all_of_them_are_read() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", retries=Retries(max=1)), for_each("f", [1, 2], concurrency=2)))
    bench.finish(run, "a", "failed")
    newest = [(one.task_key, one.iteration, one.attempt) for one in bench.runs.task_runs(run.id)]
    assert newest == [("f", -1, 0), ("f", 0, 0), ("f", 1, 0), ("a", -1, 1)]
    assert len(bench.runs.task_runs(run.id, newest=False)) == 5


def test_the_last_progress_of_live_work_is_told_and_then_forgotten() -> None:
    bench = Bench()
    run = bench.submit()
    one = bench.begin(run)
    for fraction in (0.1, 0.5):
        bench.hand.sink([Progress(one.task_run_id, one.token, bench.clock.at, {"fraction": fraction})])
    assert bench.runs.progress(one.task_run_id) == {"fraction": 0.5}
    bench.finish(run)
    assert bench.runs.progress(one.task_run_id) is None


def test_a_task_that_becomes_ready_and_is_cancelled_in_one_transaction_is_not_handed_out() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b", "a")))
    one = bench.begin(run)

    def both(ledger: Ledger) -> None:
        ledger.advance(run.id, lifecycle.Finish(one.task_run_id, one.token, Outcome(result="succeeded")))
        ledger.advance(run.id, lifecycle.CancelRun("ann"))

    bench.engine.writer.execute(both).result()
    assert bench.states(run) == {"a": "succeeded", "b": "cancelled"}
    assert bench.run(run).state is State.CANCELLED
    assert [started.task_key for started in bench.hand.started] == ["a"]


def test_a_watcher_is_woken_by_each_change_of_its_run_until_it_leaves() -> None:
    bench = Bench()
    run, other = bench.submit(), bench.submit()
    woken: list[int] = []
    leave = bench.runs.watch(run.id, lambda: woken.append(1))
    bench.begin(run)
    bench.begin(other)
    assert len(woken) == 1
    bench.hand.sink([Progress(bench.one(run).id, bench.held(run).token, bench.clock.at, {})])
    assert len(woken) == 2
    leave()
    bench.finish(run)
    assert len(woken) == 2


def test_old_runs_are_removed_only_where_a_setting_asks_for_it() -> None:
    for keep, left in ((None, 2), (1.0, 1)):
        bench = Bench(keep_days=keep)
        old = bench.submit()
        bench.finish(old)
        bench.later(86_400 * 2)
        young = bench.submit()
        bench.finish(young)
        bench.later(60)
        assert len(bench.runs.find(RunFilter()).items) == left


def test_the_engine_tells_what_it_does() -> None:
    bench = Bench()
    bench.submit()
    info = bench.engine.info()
    assert info["live_runs"] == {"running": 1}
    assert [(one["executor"], one["active"]) for one in info["workers"]] == [("process", 1), ("warehouse", 0)]
    assert info["commands"] >= 2


def test_kinds_of_events_are_told_in_order() -> None:
    bench = Bench()
    run = bench.submit()
    bench.cancel(run)
    assert told(bench.history(run))[-3:] == [("cancel", None), ("state", "cancelling"), ("state", "cancelling")]


def test_runs_that_are_over_stay_in_no_memory_whatever_is_asked_of_them() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a")))
    bench.begin(run)
    bench.finish(run, result="failed", retry=False)
    for _ in range(3):
        refused(lambda: bench.engine.runs.cancel(Cancel(run_id=run.id), "ann"), Code.CONFLICT)
    assert run.id not in bench.engine.ledger._snapshots
    bench.repair(run)
    assert run.id in bench.engine.ledger._snapshots
    bench.begin(run)
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED
    assert run.id not in bench.engine.ledger._snapshots
