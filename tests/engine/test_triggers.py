"""Standing triggers under a virtual clock: what fires when, once, with the runs that it starts."""

from __future__ import annotations

import itertools
from typing import Any

from runyard.core.actions import Condition
from runyard.core.attempts import Finished, Outcome
from runyard.core.errors import Code
from runyard.core.model import Job, OnLimit, Run
from runyard.core.query import RunFilter
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import (
    AfterRuns,
    Continuous,
    Firing,
    JobTrigger,
    Manual,
    OnSchedule,
    StartRun,
    TableUpdate,
    Trigger,
    TriggerFilter,
    TriggerSpec,
    Watched,
    cause_of,
)

from .bench import T0, Bench, refused, spec, task


def trigger(bench: Bench, source: Any, *jobs: Job | StartRun, **fields: Any) -> Trigger:
    """A kept trigger that starts these jobs."""
    actions = [StartRun(job=job.id) if isinstance(job, Job) else job for job in jobs]
    return bench.engine.triggers.create(TriggerSpec(source=source, actions=actions), "ann", **fields).result()


def after(*jobs: Job, **fields: Any) -> AfterRuns:
    return AfterRuns(watch=[Watched(job=job.id) for job in jobs], **fields)


def fire(bench: Bench, one: Trigger, **fields: Any) -> Firing:
    return bench.engine.triggers.fire(one.id, "bob", **fields).result()


def runs_of(bench: Bench, job: Job) -> list[Run]:
    """Oldest first."""
    return bench.runs.find(RunFilter(job_id=job.id), 200).items[::-1]


def history(bench: Bench, one: Trigger) -> list[Firing]:
    """Oldest first."""
    return bench.engine.triggers.firings(one.id, 200).items[::-1]


def finish_all(bench: Bench, job: Job, result: Any = "succeeded") -> None:
    for run in runs_of(bench, job):
        if run.ended_at is None:
            bench.finish(run, result=result)


# --- asked for ---


def test_a_firing_starts_the_runs_of_its_actions_and_says_which() -> None:
    bench = Bench()
    a, b = bench.job(parameters={"day": "x"}), bench.job()
    start = StartRun(job=a.id, parameters={"day": "y"}, name="own", tags={"t": "1"}, timeout=5, extras={"d": {"k": 1}})
    one = trigger(bench, Manual(), start, b, key="go")
    firing = fire(bench, one)
    [first], [second] = runs_of(bench, a), runs_of(bench, b)
    assert firing.runs == [first.id, second.id]
    assert (firing.number, firing.chain, firing.kind, firing.by, firing.name) == (1, firing.id, "manual", "bob", "go")
    assert (first.name, first.parameters, first.tags, first.trigger) == ("own", {"day": "y"}, {"t": "1"}, "manual")
    assert first.extras["d"] == {"k": 1}
    cause = cause_of(first.extras)
    assert cause is not None
    assert (cause.id, cause.name, cause.firing, cause.chain) == (one.id, "go", firing.id, firing.id)
    assert history(bench, one) == [firing]
    assert bench.engine.triggers.get(one.id).fired == 1


def test_the_timeout_of_an_action_ends_its_run() -> None:
    bench = Bench()
    job = bench.job()
    fire(bench, trigger(bench, Manual(), StartRun(job=job.id, timeout=5)))
    [run] = runs_of(bench, job)
    assert run.job_id == job.id
    bench.begin(run)
    bench.later(5)
    assert bench.run(run).state is State.CANCELLING
    assert bench.runs.spec(run.id).timeout == 5


def test_a_firing_that_is_asked_for_and_can_start_nothing_is_refused_and_not_kept() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Manual(), job)
    bench.registry.delete_job(job.id, "ann").result()
    refused(lambda: bench.engine.triggers.fire(one.id, "bob"), Code.NOT_FOUND)
    assert history(bench, one) == []


def test_a_firing_is_refused_once_there_was_another_than_its_caller_saw() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Manual(), job)
    fire(bench, one, expect_fired=0)
    refused(lambda: fire(bench, one, expect_fired=0), Code.CONFLICT)
    fire(bench, one, expect_fired=1)
    assert len(runs_of(bench, job)) == 2


def test_parameters_and_extras_of_a_firing_go_to_its_runs() -> None:
    bench = Bench()
    job = bench.job(parameters={"day": "x"})
    fire(bench, trigger(bench, Manual(), job), parameters={"day": "z"}, extras={"face": {"workflow": "w1"}})
    [run] = runs_of(bench, job)
    assert run.parameters == {"day": "z"}
    assert run.extras["face"] == {"workflow": "w1"}


# --- after runs ---


def test_a_run_that_ends_starts_what_comes_after_it_in_its_chain() -> None:
    bench = Bench()
    a, b, c = bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    second = trigger(bench, after(a), b, key="second")
    third = trigger(bench, after(b), c)
    firing = fire(bench, root, extras={"face": {"w": 1}})
    finish_all(bench, a)
    [run_b] = runs_of(bench, b)
    cause = cause_of(run_b.extras)
    assert cause is not None
    assert (run_b.trigger, cause.name, cause.chain, cause.after) == ("after_runs", "second", firing.id, firing.runs)
    assert run_b.extras["face"] == {"w": 1}
    finish_all(bench, b)
    assert len(runs_of(bench, c)) == 1
    chain = bench.engine.triggers.chain(firing.id)
    assert [one.trigger_id for one in chain] == [root.id, second.id, third.id]


def test_a_run_that_was_begun_by_hand_starts_no_chain_unless_the_trigger_says_so() -> None:
    bench = Bench()
    a, b, c = bench.job(), bench.job(), bench.job()
    trigger(bench, after(a), b)
    trigger(bench, after(a, by_hand=True), c)
    run = bench.submit(a)
    bench.finish(run)
    assert runs_of(bench, b) == []
    [started] = runs_of(bench, c)
    cause = cause_of(started.extras)
    assert cause is not None
    assert (cause.chain, cause.after) == (run.id, [run.id])


def test_a_run_of_a_jobs_own_schedule_begins_a_chain() -> None:
    bench = Bench()
    a, b = bench.job(schedule=Schedule(every=60)), bench.job()
    trigger(bench, after(a), b)
    bench.later(60)
    finish_all(bench, a)
    assert len(runs_of(bench, b)) == 1


def test_all_waits_for_every_watched_job_of_the_same_chain() -> None:
    bench = Bench()
    a, b, c, d = bench.job(), bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b, c)
    last = trigger(bench, after(b, c), d)
    first, second = fire(bench, root), fire(bench, root)
    finish_all(bench, a)
    bs, cs = runs_of(bench, b), runs_of(bench, c)
    bench.finish(bs[0])
    bench.finish(cs[1])
    assert runs_of(bench, d) == []
    bench.finish(cs[0])
    assert [one.chain for one in history(bench, last)] == [first.id]
    assert history(bench, last)[0].after == [bs[0].id, cs[0].id]
    bench.finish(bs[1])
    assert [one.chain for one in history(bench, last)] == [first.id, second.id]


def test_any_fires_for_the_first_watched_end_and_once_in_a_chain() -> None:
    bench = Bench()
    a, b, c = bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a, b)
    trigger(bench, after(a, b, match="any"), c)
    fire(bench, root)
    finish_all(bench, b)
    finish_all(bench, a)
    assert len(runs_of(bench, c)) == 1


def test_only_the_ends_that_are_watched_count() -> None:
    bench = Bench()
    a, b, c = bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b)
    failed = AfterRuns(watch=[Watched(job=a.id, states=[State.FAILED, State.TIMED_OUT])])
    trigger(bench, failed, c)
    fire(bench, root)
    finish_all(bench, a, "failed")
    assert (len(runs_of(bench, b)), len(runs_of(bench, c))) == (0, 1)


def test_a_repaired_run_satisfies_what_its_failure_did_not() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b)
    fire(bench, root)
    finish_all(bench, a, "failed")
    [run] = runs_of(bench, a)
    bench.repair(run)
    bench.finish(run)
    assert len(runs_of(bench, b)) == 1


def test_a_circle_of_triggers_comes_to_an_end() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b)
    trigger(bench, after(b), a)
    fire(bench, root)
    for _ in range(4):
        finish_all(bench, a)
        finish_all(bench, b)
    assert (len(runs_of(bench, a)), len(runs_of(bench, b))) == (2, 1)


def test_a_long_chain_of_runs_that_end_at_once_needs_no_stack() -> None:
    bench = Bench()
    inline = task("a", action=Condition(op="==", left="1", right="1"))
    jobs = [bench.job(inline) for _ in range(150)]
    for one, following in itertools.pairwise(jobs):
        trigger(bench, after(one), following)
    fire(bench, trigger(bench, Manual(), jobs[0]))
    [last] = runs_of(bench, jobs[-1])
    assert last.state is State.SUCCEEDED


def test_a_job_is_watched_by_its_key_also_after_it_was_made_anew() -> None:
    bench = Bench()
    first = bench.registry.create_job(spec(), by="ann", origin="face", key="a").result()
    b = bench.registry.create_job(spec(), by="ann", origin="face", key="b").result()
    root = trigger(bench, Manual(), StartRun(job="a"), origin="face")
    trigger(bench, AfterRuns(watch=[Watched(job="a")]), StartRun(job="b"), origin="face")
    bench.registry.delete_job(first.id, "ann").result()
    again = bench.registry.create_job(spec(), by="ann", origin="face", key="a").result()
    fire(bench, root)
    finish_all(bench, again)
    assert len(runs_of(bench, b)) == 1


def test_triggers_of_another_scope_do_not_follow() -> None:
    bench = Bench()
    a, b, c = bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a, scope="flow")
    trigger(bench, after(a), b)
    trigger(bench, after(a), c, scope="flow")
    fire(bench, root)
    finish_all(bench, a)
    assert (len(runs_of(bench, b)), len(runs_of(bench, c))) == (0, 1)


def test_nothing_follows_in_a_closed_chain() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b)
    firing = fire(bench, root)
    bench.engine.triggers.close(firing.id, "bob").result()
    finish_all(bench, a)
    assert runs_of(bench, b) == []


def test_a_paused_trigger_does_not_follow() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    one = trigger(bench, after(a), b, active=False)
    assert one.started_at is None
    fire(bench, root)
    finish_all(bench, a)
    assert runs_of(bench, b) == []
    assert bench.engine.triggers.start(one.id, "ann").result().started_at == T0
    fire(bench, root)
    finish_all(bench, a)
    assert len(runs_of(bench, b)) == 1


def test_what_a_firing_could_not_start_is_told_and_the_rest_is_started() -> None:
    bench = Bench()
    a, gone, b = bench.job(), bench.job(), bench.job()
    root = trigger(bench, Manual(), a)
    one = trigger(bench, after(a), gone, b)
    bench.registry.delete_job(gone.id, "ann").result()
    fire(bench, root)
    finish_all(bench, a)
    [firing] = history(bench, one)
    assert len(firing.runs) == len(runs_of(bench, b)) == 1
    assert f"no job {gone.id}" in firing.detail


def test_a_triggered_run_over_a_limit_that_refuses_is_kept_as_skipped() -> None:
    bench = Bench()
    a = bench.job()
    b = bench.job(max_concurrent_runs=1, on_limit=OnLimit.REFUSE)
    root = trigger(bench, Manual(), a)
    trigger(bench, after(a), b)
    bench.submit(b)
    fire(bench, root)
    finish_all(bench, a)
    assert runs_of(bench, b)[1].state is State.SKIPPED


# --- by the clock ---


def test_a_schedule_fires_at_each_tick_and_its_runs_know_which() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, OnSchedule(schedule=Schedule(every=60)), job)
    for _ in range(3):
        bench.later(60)
    runs = runs_of(bench, job)
    assert [run.extras["schedule"]["at"] for run in runs] == [T0 + n * 60_000 for n in (1, 2, 3)]
    assert {run.trigger for run in runs} == {"schedule"}
    assert [firing.number for firing in history(bench, one)] == [1, 2, 3]


def test_ticks_that_no_server_handled_are_one_line_of_the_history() -> None:
    bench = Bench()
    one = trigger(bench, OnSchedule(schedule=Schedule(every=60)), bench.job())
    bench.later(605)
    missed, fired = history(bench, one)
    assert (missed.runs, len(fired.runs)) == ([], 1)
    assert "No server handled" in missed.detail


def test_a_pause_is_not_made_up_for() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, OnSchedule(schedule=Schedule(every=60)), job)
    bench.engine.triggers.pause(one.id, "ann").result()
    bench.later(300)
    bench.engine.triggers.start(one.id, "ann").result()
    bench.later(59)
    assert runs_of(bench, job) == []
    bench.later(1)
    assert len(runs_of(bench, job)) == 1


# --- tables ---


def test_a_task_that_wrote_a_table_fires_what_waits_for_it() -> None:
    bench = Bench()
    job = bench.job()
    source = TableUpdate(tables=["Orders", "raw.day"], wait_after_last_change=10, min_time_between=60)
    one = trigger(bench, source, job)
    run = bench.submit()
    bench.finish(run, metrics={"tables_written": ["main.orders", "main.other"]})
    bench.later(9)
    run = bench.submit()
    bench.finish(run, metrics={"tables_written": ["raw.day"]})
    bench.later(9)
    assert runs_of(bench, job) == []
    bench.later(1)
    [started] = runs_of(bench, job)
    assert started.extras["trigger"]["tables"] == ["main.orders", "raw.day"]
    assert started.trigger == "table_update"
    bench.engine.triggers.tables_changed(["orders"], "ann").result()
    bench.later(59)
    assert len(runs_of(bench, job)) == 1
    bench.later(1)
    assert len(runs_of(bench, job)) == 2
    assert [firing.data for firing in history(bench, one)] == [
        {"tables": ["main.orders", "raw.day"]},
        {"tables": ["main.orders"]},
    ]


def test_a_batch_is_full_at_its_size_or_ends_with_the_window_of_its_first_change() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, TableUpdate(tables=["orders", "raw.day"], batch_size=3, batch_window=60), job)

    def change(*names: str) -> None:
        bench.engine.triggers.tables_changed(list(names), "ann").result()
        bench.later(1)

    change("orders", "raw.day")
    assert runs_of(bench, job) == []
    change("orders")
    assert len(runs_of(bench, job)) == 1
    change("orders")
    bench.later(30)
    change("orders")  # the window is counted from the first change: a later one does not prolong it
    bench.later(26)
    assert len(runs_of(bench, job)) == 1
    bench.later(3)
    assert len(runs_of(bench, job)) == 2
    assert [firing.data["changes"] for firing in history(bench, one)] == [3, 2]


def test_a_batch_that_contradicts_itself_is_refused() -> None:
    bench = Bench()
    job = bench.job()
    for wrong in (
        {"batch_size": -1},
        {"batch_window": 5},
        {"batch_size": 1, "batch_window": -1},
        {"batch_size": 2, "wait_after_last_change": 1},
    ):
        source = TableUpdate(tables=["a"], **wrong)  # type: ignore[arg-type]  # fields of two types
        refused(lambda source=source: trigger(bench, source, job), Code.INVALID)


def test_all_tables_must_change_before_such_a_trigger_fires_again() -> None:
    bench = Bench()
    job = bench.job()
    trigger(bench, TableUpdate(tables=["a", "b"], match="all"), job)
    for tables, runs in ((["a"], 0), (["a"], 0), (["b"], 1), (["b"], 1), (["a"], 2)):
        bench.engine.triggers.tables_changed(tables, "ann").result()
        bench.later(0)
        assert len(runs_of(bench, job)) == runs


def test_a_failed_task_changes_no_table() -> None:
    bench = Bench()
    job = bench.job()
    trigger(bench, TableUpdate(tables=["a"]), job)
    bench.finish(bench.submit(), result="failed", metrics={"tables_written": ["main.a"]})
    bench.later(60)
    assert runs_of(bench, job) == []


def test_a_success_that_is_told_after_the_loss_in_one_breath_changes_no_table() -> None:
    bench = Bench()
    job = bench.job()
    trigger(bench, TableUpdate(tables=["a"]), job)
    claim = bench.held(bench.submit())
    late = Outcome(result="succeeded", metrics={"tables_written": ["main.a"]})
    told = [Finished(claim.task_run_id, claim.token, bench.clock.at, one) for one in (Outcome(result="lost"), late)]
    bench.hand.sink(told)
    bench.later(60)
    assert runs_of(bench, job) == []


def test_what_a_program_says_of_tables_need_not_be_true_to_be_harmless() -> None:
    bench = Bench()
    job = bench.job()
    trigger(bench, TableUpdate(tables=["a"]), job)
    for told in (5, "a", [5, None], {"a": 1}, [["a"]], [""]):
        run = bench.submit()
        bench.finish(run, metrics={"tables_written": told})
        assert bench.run(run).state is State.SUCCEEDED
    bench.later(1)
    assert runs_of(bench, job) == []


# --- continuous ---


def test_a_continuous_trigger_keeps_one_run_going() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Continuous(delay=2), job)
    bench.later(0)
    [first] = runs_of(bench, job)
    bench.later(100)
    assert len(runs_of(bench, job)) == 1
    bench.finish(first)
    bench.later(1.9)
    assert len(runs_of(bench, job)) == 1
    bench.later(0.1)
    assert [run.trigger for run in runs_of(bench, job)] == ["continuous"] * 2
    bench.engine.triggers.pause(one.id, "ann").result()
    finish_all(bench, job)
    bench.later(100)
    assert len(runs_of(bench, job)) == 2


def test_a_continuous_trigger_that_is_resumed_starts_nothing_beside_what_still_runs() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Continuous(delay=2), job)
    bench.later(0)
    bench.engine.triggers.pause(one.id, "ann").result()
    bench.engine.triggers.start(one.id, "ann").result()
    bench.later(10)
    assert len(runs_of(bench, job)) == 1
    finish_all(bench, job)
    bench.later(2)
    assert len(runs_of(bench, job)) == 2


def test_failures_in_a_row_make_a_continuous_trigger_rest_longer() -> None:
    bench = Bench()
    job = bench.job()
    trigger(bench, Continuous(delay=1, backoff=2, max_delay=5), job)
    bench.later(0)
    for count, delay in enumerate((2, 4, 5, 5), 1):
        finish_all(bench, job, "failed")
        bench.later(delay - 0.1)
        assert len(runs_of(bench, job)) == count
        bench.later(0.1)
        assert len(runs_of(bench, job)) == count + 1
    finish_all(bench, job)
    bench.later(1)
    assert len(runs_of(bench, job)) == 6


def test_a_continuous_trigger_goes_on_after_a_run_that_its_jobs_limit_skipped() -> None:
    bench = Bench()
    job = bench.job(max_concurrent_runs=1, on_limit=OnLimit.SKIP)
    by_hand = bench.submit(job)
    trigger(bench, Continuous(delay=1), job)
    bench.later(0)
    bench.finish(by_hand)
    bench.later(1)
    assert [run.state for run in runs_of(bench, job)][1:] == [State.SKIPPED, State.RUNNING]


def test_a_continuous_trigger_that_can_start_nothing_says_so_and_tries_again() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Continuous(delay=1), job)
    bench.registry.delete_job(job.id, "ann").result()
    bench.later(0)
    bench.later(2)
    assert ["no job" in firing.detail for firing in history(bench, one)] == [True, True]


# --- definitions ---


def test_a_job_brings_its_own_triggers_and_takes_them_away() -> None:
    bench = Bench()
    a = bench.job()
    own = JobTrigger(key="then", source=after(a, by_hand=True), parameters={"day": "y"})
    b = bench.job(parameters={"day": "x"}, triggers=[own])
    bench.finish(bench.submit(a))
    [run] = runs_of(bench, b)
    assert run.parameters == {"day": "y"}
    [kept] = bench.engine.triggers.find(TriggerFilter(job_id=b.id)).items
    assert (kept.key, kept.job_id) == ("then", b.id)
    refused(lambda: bench.engine.triggers.delete(kept.id, "ann"), Code.CONFLICT, "part of the definition")
    bench.registry.update_job(b.id, spec(), by="ann").result()
    assert bench.engine.triggers.find(TriggerFilter(job_id=b.id)).items == []


def test_a_new_version_of_a_job_leaves_a_trigger_that_it_does_not_change_alone() -> None:
    bench = Bench()
    own = JobTrigger(key="tick", source=OnSchedule(schedule=Schedule(every=60)))
    job = bench.job(triggers=[own])
    bench.later(30)
    [before] = bench.engine.triggers.find(TriggerFilter(job_id=job.id)).items
    bench.registry.update_job(job.id, spec(task("b"), triggers=[own]), by="ann").result()
    assert bench.engine.triggers.get(before.id) == before
    bench.engine.triggers.pause(before.id, "ann").result()
    changed = JobTrigger(key="tick", source=OnSchedule(schedule=Schedule(every=30)))
    bench.registry.update_job(job.id, spec(triggers=[changed]), by="ann").result()
    assert not bench.engine.triggers.get(before.id).active
    bench.registry.delete_job(job.id, "ann").result()
    refused(lambda: bench.engine.triggers.pause(before.id, "ann"), Code.NOT_FOUND)


def test_what_can_never_fire_is_refused_and_not_kept() -> None:
    bench = Bench()
    job = bench.job(parameters={"day": None})
    wrong: list[tuple[Any, str, str]] = [
        (AfterRuns(watch=[]), "source.watch", "1 to 500"),
        (AfterRuns(watch=[Watched(job=1, states=[State.RUNNING])]), "source.watch[0].states", "running"),
        (TableUpdate(tables=["a.b.c"]), "source.tables[0]", "schema.table"),
        (OnSchedule(schedule=Schedule(cron="0 0 30 2 *")), "source.schedule.cron", "never"),
        (OnSchedule(schedule=Schedule(cron="0 25 * * *")), "source.schedule.cron", "It would fire at 20"),
        (OnSchedule(schedule=Schedule(every=60, time_zone="Berlin")), "source.schedule.time_zone", "Europe/Berlin"),
        (OnSchedule(schedule=Schedule(every=60, paused=True)), "source.schedule", "paused"),
        (Continuous(delay=0), "source.delay", "0.1"),
    ]
    create = bench.engine.triggers.create
    for source, field, said in wrong:
        error = refused(
            lambda source=source: create(TriggerSpec(source=source, actions=[StartRun(job=job.id)]), "ann"),
            Code.INVALID,
            said,
        )
        assert error.field == field
    no_parameter = TriggerSpec(source=Manual(), actions=[StartRun(job=job.id)])
    assert refused(lambda: create(no_parameter, "ann"), Code.INVALID, "day").field == "actions[0].parameters"
    refused(lambda: create(TriggerSpec(source=Manual(), actions=[StartRun(job=5)]), "ann"), Code.NOT_FOUND)
    refused(lambda: create(TriggerSpec(source=Manual(), actions=[]), "ann"), Code.INVALID, "1 to 100")
    assert bench.engine.triggers.find(TriggerFilter()).items == []


def test_a_key_names_one_trigger_of_a_workspace_and_origin() -> None:
    bench = Bench()
    job = bench.job()
    one = trigger(bench, Manual(), job, key="t", origin="face")
    create = bench.engine.triggers.create
    again = TriggerSpec(source=Manual(), actions=[StartRun(job=job.id)])
    refused(lambda: create(again, "ann", key="t", origin="face"), Code.ALREADY_EXISTS)
    assert bench.engine.triggers.by_key("default", "face", "t") == one
    other = trigger(bench, Manual(), job, key="t")
    assert [found.id for found in bench.engine.triggers.find(TriggerFilter(key="t")).items] == [other.id, one.id]
    bench.engine.triggers.delete(one.id, "ann").result()
    refused(lambda: bench.engine.triggers.pause(one.id, "ann"), Code.NOT_FOUND)


def test_a_replaced_trigger_goes_on_where_its_source_stays() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    every = OnSchedule(schedule=Schedule(every=60))
    one = trigger(bench, every, a)
    bench.later(30)
    replaced = bench.engine.triggers.replace(one.id, TriggerSpec(source=every, actions=[StartRun(job=b.id)]), "ann")
    assert (replaced.result().version, replaced.result().next_at) == (2, one.next_at)
    stale = TriggerSpec(source=Manual(), actions=[StartRun(job=b.id)])
    refused(lambda: bench.engine.triggers.replace(one.id, stale, "ann", expect_version=1), Code.CONFLICT)
    bench.later(30)
    assert (len(runs_of(bench, a)), len(runs_of(bench, b))) == (0, 1)


# --- dry runs ---


def test_a_dry_run_says_what_would_start_and_why_and_changes_nothing() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job(name="report", parameters={"day": "x"})
    one = trigger(bench, after(a, by_hand=True), StartRun(job=b.id, parameters={"day": "y"}), active=False)
    run = bench.submit(a)
    bench.finish(run)
    bench.engine.triggers.start(one.id, "ann").result()
    preview = bench.engine.triggers.dry_run(one.id, run.id).result()
    assert (preview.fires, preview.after) == (True, [run.id])
    assert [(start.job_id, start.name, start.parameters) for start in preview.starts] == [
        (b.id, "report", {"day": "y"})
    ]
    assert runs_of(bench, b) == []
    assert history(bench, one) == []
    bench.registry.delete_job(b.id, "ann").result()
    assert "no job" in bench.engine.triggers.dry_run(one.id).result().starts[0].refused


def test_a_dry_run_of_a_schedule_shows_its_next_ticks() -> None:
    bench = Bench()
    one = trigger(bench, OnSchedule(schedule=Schedule(every=60)), bench.job())
    assert bench.engine.triggers.dry_run(one.id).result().next == [T0 + n * 60_000 for n in (1, 2, 3)]


def test_old_firings_go_with_old_runs_where_a_setting_says_so() -> None:
    bench = Bench(keep_days=1)
    job = bench.job()
    one = trigger(bench, Manual(), job)
    fire(bench, one)
    finish_all(bench, job)
    bench.later(86_400 / 2)
    recent = fire(bench, one)
    bench.later(86_400 / 2 + 100)
    assert [firing.id for firing in history(bench, one)] == [recent.id]
    assert len(runs_of(bench, job)) == 1


# --- together or not at all ---


def test_a_firing_and_its_runs_are_kept_together_or_not_at_all() -> None:
    bench = Bench()
    a, b = bench.job(), bench.job()
    one = trigger(bench, after(a, by_hand=True), b)
    run = bench.submit(a)
    session, broken = bench.store.writer, []

    def full() -> None:
        broken.append(1)
        raise OSError("no disk")

    session.commit, commit = full, session.commit  # type: ignore[method-assign]  # the disk fails
    held = bench.held(run)
    bench.hand.end(held, Outcome(result="succeeded"), bench.clock.at)
    session.commit = commit  # type: ignore[method-assign]  # and is there again
    assert broken
    assert (runs_of(bench, b), history(bench, one)) == ([], [])


# --- resumed chains ---


def chained(bench: Bench) -> tuple[Trigger, Trigger, list[Job]]:
    """start -> a, b; all of a and b -> c."""
    a, b, c = jobs = [bench.job(), bench.job(), bench.job()]
    return trigger(bench, Manual(), a, b), trigger(bench, after(a, b), c), jobs


def test_a_resumed_chain_counts_the_kept_runs_of_the_earlier_one() -> None:
    bench = Bench()
    start, _, (a, b, c) = chained(bench)
    first = fire(bench, start)
    finish_all(bench, a)
    finish_all(bench, b, "failed")
    assert not runs_of(bench, c)
    kept = runs_of(bench, a)[0].id
    second = bench.engine.triggers.resume(first.chain, [(start.id, 1)], [kept], "eve").result()
    assert (second.chain, second.trigger_id, second.by) == (second.id, start.id, "eve")
    assert second.data == {"resumed": first.chain, "kept": [kept]}
    assert len(runs_of(bench, a)) == 1
    finish_all(bench, b)
    [run] = runs_of(bench, c)
    cause = cause_of(run.extras)
    assert cause is not None
    assert (cause.chain, sorted(cause.after)) == (second.chain, sorted([kept, runs_of(bench, b)[1].id]))
    assert [firing.id for firing in bench.engine.triggers.chain(first.chain)] == [first.id]


def test_what_cannot_be_resumed_is_refused_and_nothing_is_kept() -> None:
    bench = Bench()
    start, _, (a, _, _) = chained(bench)
    first = fire(bench, start)
    triggers = bench.engine.triggers
    refused(lambda: triggers.resume(12345, [(start.id, 0)], [], "eve").result(), Code.NOT_FOUND)
    refused(lambda: triggers.resume(first.chain, [(start.id + 1000, 0)], [], "eve").result(), Code.NOT_FOUND)
    bench.registry.delete_job(a.id, "eve").result()
    refused(lambda: triggers.resume(first.chain, [(start.id, 1), (start.id, 0)], [], "eve").result(), Code.NOT_FOUND)
    assert [firing.id for firing in history(bench, start)] == [first.id]


def test_an_action_may_set_the_time_of_each_task() -> None:
    bench = Bench()
    job = bench.job(task("a", timeout=100), task("b", timeout=200), timeout=1000)
    fire(bench, trigger(bench, Manual(), StartRun(job=job.id, task_timeout=7)))
    own = bench.runs.spec(runs_of(bench, job)[0].id)
    assert ([one.timeout for one in own.tasks], own.timeout) == ([7, 7], 1000)
    assert [one.timeout for one in bench.registry.job(job.id).spec.tasks] == [100, 200]


def test_an_assignment_says_which_chain_its_run_belongs_to() -> None:
    bench = Bench()
    job = bench.job()
    firing = fire(bench, trigger(bench, Manual(), job, scope="flow"))
    claim = bench.held(runs_of(bench, job)[0])
    assert (claim.chain, claim.scope) == (firing.chain, "flow")
    by_hand = bench.held(bench.submit(job))
    assert (by_hand.chain, by_hand.scope) == (None, "")
