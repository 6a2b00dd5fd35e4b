"""Schedules under a virtual clock: one run a tick, through changes of the clocks, downtime, pauses and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Shell
from runyard.core.commands import Rerun
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Job, OnLimit, Run, Tick
from runyard.core.query import RunFilter
from runyard.core.schedule import Schedule, local_text
from runyard.core.states import State
from runyard.engine import timetables
from runyard.engine.duties import apart
from runyard.engine.zones import zone
from runyard.store.sqlite import SqliteStore
from tests.core.test_cron import ms

from .bench import T0, Bench, refused, spec, task

HOUR = 3600
T1 = ms("2026-03-28T12:00")
BERLIN = "Europe/Berlin"


def scheduled(bench: Bench, schedule: Schedule, **fields: Any) -> Job:
    return bench.job(schedule=schedule, **fields)


def runs_of(bench: Bench, job: Job) -> list[Run]:
    """Oldest first."""
    return bench.runs.find(RunFilter(job_id=job.id), 200).items[::-1]


def ticks_of(bench: Bench, job: Job) -> list[str]:
    """For which moments the job's runs were made, in its schedule's zone."""
    return [run.extras["schedule"]["local"] for run in runs_of(bench, job)]


def next_of(bench: Bench, job: Job) -> int | None:
    found = bench.engine.schedules.outlook(job.id, 1)
    return found.next[0] if found and found.next else None


# --- one run a tick ---


def test_each_tick_gives_one_run() -> None:
    bench = Bench()
    job = scheduled(bench, Schedule(every=60))
    bench.later(59.999)
    assert runs_of(bench, job) == []
    bench.later(0.001)
    bench.later(0)
    assert len(runs_of(bench, job)) == 1
    for _ in range(5):
        bench.later(60)
    assert [run.extras["schedule"]["at"] for run in runs_of(bench, job)] == [T0 + n * 60_000 for n in range(1, 7)]


def test_a_scheduled_run_says_so_and_belongs_to_the_owner_of_the_job() -> None:
    bench = Bench(at=T1)
    schedule = Schedule(cron="0 15 * * *", time_zone=BERLIN, parameters={"day": "x"})
    job = scheduled(bench, schedule, parameters={"day": None})
    bench.later(2 * HOUR)
    [run] = runs_of(bench, job)
    assert (run.trigger, run.submitted_by, run.job_version, run.parameters) == ("schedule", "ann", 1, {"day": "x"})
    assert run.extras == {"schedule": {"at": ms("2026-03-28T14:00"), "local": "2026-03-28T15:00:00+01:00"}}
    kept = bench.engine.schedules.outlook(job.id, 1, history=5)
    assert kept is not None
    assert kept.ticks == [Tick(job_id=job.id, at=ms("2026-03-28T14:00"), run_id=run.id)]
    assert kept.timetable.last_at == ms("2026-03-28T14:00")


def test_a_task_reads_for_which_moment_it_runs() -> None:
    bench = Bench(at=T1)
    work = task("a", action=Shell(command=["{{ run.scheduled_at }}", "{{ run.scheduled_date }}", "{{ run.trigger }}"]))
    job = bench.job(work, schedule=Schedule(cron="30 0 * * *", time_zone=BERLIN))
    bench.later(11.5 * HOUR)
    [run] = runs_of(bench, job)
    assert bench.held(run).action == Shell(command=["2026-03-29T00:30:00+01:00", "2026-03-29", "schedule"])
    bench.finish(run)
    again = bench.runs.rerun(Rerun(run_id=run.id), "bob").result().run
    assert again.extras == run.extras
    by_hand = bench.submit(job)
    assert bench.held(by_hand).action == Shell(command=["2026-03-28T23:30:00+00:00", "2026-03-28", "manual"])


def test_two_schedulers_cannot_double_a_tick(tmp_path: Path) -> None:
    one = Bench(SqliteStore(tmp_path / "db"), at=T1)
    job = scheduled(one, Schedule(cron="0 * * * *"))
    other = Bench(SqliteStore(tmp_path / "db"), at=T1)
    for hour in range(1, 6):
        one.clock.at = other.clock.at = T1 + hour * HOUR * 1000
        for bench in (other, one) if hour % 2 else (one, other):
            bench.later(0)
    assert [text[11:13] for text in ticks_of(one, job)] == ["13", "14", "15", "16", "17"]


def test_a_tick_whose_line_is_kept_already_gives_no_second_run() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    ledger = bench.engine.ledger
    before = ledger.session.timetable(job.id)
    assert before is not None
    bench.later(HOUR)
    # Another server, which has not seen that the schedule moved on.
    bench.engine.writer.execute(lambda ledger: ledger.session.put(before)).result()
    bench.later(0)
    assert ticks_of(bench, job) == ["2026-03-28T13:00:00+00:00"]
    assert next_of(bench, job) == ms("2026-03-28T14:00")


def test_the_store_itself_refuses_a_second_run_for_a_tick() -> None:
    bench = Bench(at=T1)
    job, tick = bench.job(), ms("2026-03-28T13:00")
    bench.engine.writer.execute(lambda it: it.session.put(Tick(job_id=job.id, at=tick, run_id=1))).result()
    refused(
        lambda: bench.engine.writer.execute(lambda it: it.session.put(Tick(job_id=job.id, at=tick, run_id=2))),
        Code.ALREADY_EXISTS,
    )


def test_a_tick_and_its_run_are_kept_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    session = bench.store.writer

    def full() -> None:
        raise RunyardError(Code.STORAGE_FULL, "full")

    with monkeypatch.context() as patched:
        patched.setattr(session, "commit", full)
        bench.later(HOUR)
    assert (runs_of(bench, job), session.ticks(job.id, 0, 1 << 53, 10)) == ([], [])
    bench.later(apart.AGAIN_MS / 1000)
    assert ticks_of(bench, job) == ["2026-03-28T13:00:00+00:00"]


def test_a_clock_that_is_set_back_repeats_no_tick() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    bench.later(HOUR)
    bench.later(-HOUR / 2)
    bench.later(HOUR / 2)
    assert len(runs_of(bench, job)) == 1


def test_a_schedule_that_fails_by_a_defect_goes_on_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(at=T1)
    broken, whole = (scheduled(bench, Schedule(cron="0 * * * *"), name=name) for name in ("broken", "whole"))
    fire = timetables.run_tick

    def defect(ledger: Any, job: Job, *rest: Any, **more: Any) -> Any:
        if job.id == broken.id:
            raise ZeroDivisionError("a defect")
        return fire(ledger, job, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(timetables, "run_tick", defect)
        bench.later(HOUR)
    assert (len(runs_of(bench, broken)), len(runs_of(bench, whole))) == (0, 1)
    bench.later(HOUR)
    assert ticks_of(bench, broken) == ["2026-03-28T14:00:00+00:00"]
    kept = bench.engine.schedules.outlook(broken.id, history=10)
    assert kept is not None
    assert "a defect" in kept.ticks[-1].detail


# --- when the clocks change ---


def test_a_skipped_hour_and_a_repeated_one_give_one_run_each() -> None:
    for start, days in (("2026-03-27T12:00", "28 29 30"), ("2026-10-23T12:00", "24 25 26")):
        bench = Bench(at=ms(start))
        job = scheduled(bench, Schedule(cron="30 2 * * *", time_zone=BERLIN))
        for _ in range(3 * 24 * 6):
            bench.later(600)
        assert [text[8:10] for text in ticks_of(bench, job)] == days.split()


def test_an_interval_takes_no_notice_of_the_clocks() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(every=HOUR, time_zone=BERLIN))
    for _ in range(48):
        bench.later(HOUR)
    assert len(ticks_of(bench, job)) == 48


# --- downtime ---


def test_skip_leaves_out_what_was_missed_and_says_so() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="30 * * * *"))
    bench.clock.at += 5 * HOUR * 1000
    again = bench.restart()
    again.later(0)
    assert runs_of(again, job) == []
    found = again.engine.schedules.outlook(job.id, history=10)
    assert found is not None
    [tick] = found.ticks
    assert "from 2026-03-28T12:30:00+00:00 to 2026-03-28T16:30:00+00:00 got no run" in tick.detail
    again.later(HOUR / 2)
    assert ticks_of(again, job) == ["2026-03-28T17:30:00+00:00"]


def test_catch_up_gives_the_newest_missed_ticks_their_runs_in_order() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="30 * * * *", misfire="catch_up", catch_up_limit=3))
    bench.clock.at += 5 * HOUR * 1000
    again = bench.restart()
    again.later(0)
    again.later(1)
    assert [text[11:16] for text in ticks_of(again, job)] == ["14:30", "15:30", "16:30"]
    assert next_of(again, job) == ms("2026-03-28T17:30")


def test_many_missed_ticks_are_caught_up_over_several_transactions() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(every=1, misfire="catch_up", catch_up_limit=120))
    bench.clock.at += HOUR * 1000
    for _ in range(6):
        bench.later(0)
    ats = [run.extras["schedule"]["at"] for run in runs_of(bench, job)]
    newest = T1 + HOUR * 1000
    # The ticks of the last minute are on time; the limit counts those before it.
    assert ats == list(range(newest - (120 + 60) * 1000, newest + 1, 1000))


# --- limits ---


@pytest.mark.parametrize(
    ("on_limit", "second"), [(OnLimit.REFUSE, "skipped"), (OnLimit.SKIP, "skipped"), (OnLimit.QUEUE, "queued")]
)
def test_the_limit_of_a_job_holds_for_its_ticks_and_never_stops_the_schedule(on_limit: OnLimit, second: str) -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"), max_concurrent_runs=1, on_limit=on_limit)
    bench.later(HOUR)
    bench.later(HOUR)
    first, over = runs_of(bench, job)
    assert (first.state.value, over.state.value, over.reason) == ("running", second, "job_limit")
    bench.finish(first)
    bench.later(HOUR)
    assert len(runs_of(bench, job)) == 3
    assert runs_of(bench, job)[2 if second == "skipped" else 1].state is State.RUNNING


# --- pause, update, delete ---


def test_a_paused_schedule_rests_and_goes_on_with_its_next_tick() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    bench.engine.schedules.pause(job.id, "ann").result()
    bench.later(3 * HOUR)
    assert (runs_of(bench, job), next_of(bench, job)) == ([], None)
    bench.engine.schedules.resume(job.id, "ann").result()
    bench.later(1)
    assert (runs_of(bench, job), next_of(bench, job)) == ([], ms("2026-03-28T16:00"))
    bench.later(HOUR)
    assert len(runs_of(bench, job)) == 1


def test_a_pause_outlives_a_restart_and_an_update_that_does_not_touch_it() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    bench.engine.schedules.pause(job.id, "ann").result()
    again = bench.restart()
    again.registry.update_job(job.id, spec(schedule=Schedule(cron="30 * * * *")), by="ann").result()
    again.later(HOUR)
    assert runs_of(again, job) == []
    paused = Schedule(cron="30 * * * *", paused=True)
    again.registry.update_job(job.id, spec(schedule=paused), by="ann").result()
    again.registry.update_job(job.id, spec(schedule=Schedule(cron="30 * * * *")), by="ann").result()
    again.later(HOUR / 2)
    assert len(runs_of(again, job)) == 1


def test_an_update_of_something_else_does_not_disturb_the_schedule() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(every=HOUR))
    bench.later(HOUR / 2)
    bench.registry.update_job(job.id, spec(task("b"), schedule=Schedule(every=HOUR)), by="ann").result()
    assert next_of(bench, job) == T1 + HOUR * 1000
    bench.registry.update_job(job.id, spec(schedule=Schedule(every=600)), by="ann").result()
    assert next_of(bench, job) == T1 + (HOUR // 2 + 600) * 1000
    bench.later(600)
    assert runs_of(bench, job)[0].job_version == 3


def test_a_job_without_its_schedule_or_deleted_fires_no_more() -> None:
    bench = Bench(at=T1)
    gone, bare = (scheduled(bench, Schedule(cron="0 * * * *"), name=name) for name in ("gone", "bare"))
    bench.registry.delete_job(gone.id, "ann").result()
    bench.registry.update_job(bare.id, spec(), by="ann").result()
    bench.later(HOUR)
    assert runs_of(bench, gone) + runs_of(bench, bare) == []
    refused(lambda: bench.engine.schedules.resume(bare.id, "ann"), Code.CONFLICT, "has no schedule")
    refused(lambda: bench.engine.schedules.pause(gone.id, "ann"), Code.NOT_FOUND)
    assert bench.engine.schedules.outlook(bare.id) is None


def test_a_schedule_comes_to_its_end() -> None:
    bench = Bench(at=ms("2098-12-31T23:00"))
    job = scheduled(bench, Schedule(cron="0 0 0 1 1 ? 2099", flavour="quartz"))  # type: ignore[arg-type]  # as text
    bench.later(HOUR)
    assert (len(runs_of(bench, job)), next_of(bench, job)) == (1, None)


def test_the_tick_of_a_deleted_run_goes_with_it() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *"))
    bench.later(HOUR)
    [run] = runs_of(bench, job)
    bench.finish(run)
    bench.runs.delete(run.id, "ann").result()
    assert bench.store.writer.ticks(job.id, 0, 1 << 53, 10) == []


# --- refusals that need the time ---


def test_a_wrong_expression_shows_when_the_nearest_valid_one_would_fire() -> None:
    bench = Bench(at=T1)
    wrong = spec(schedule=Schedule(cron="61 9 * * *", time_zone=BERLIN))
    error = refused(lambda: bench.registry.create_job(wrong, by="ann"), Code.INVALID, "'59 9 * * *'")
    assert error.details["fire_times"] == [f"2026-03-{day}T09:59:00+02:00" for day in (29, 30, 31)]
    assert "It would fire at 2026-03-29T09:59:00+02:00, " in error.message


def test_a_schedule_that_is_over_is_refused() -> None:
    bench = Bench(at=T1)
    over = spec(schedule=Schedule(cron="0 0 1 1 ? 2020", flavour="minutes_first"))  # type: ignore[arg-type]  # as text
    refused(lambda: bench.registry.create_job(over, by="ann"), Code.INVALID, "last time was 2020-01-01T00:00:00")


@pytest.mark.parametrize("name", ["Europe/Berln", "../../etc/passwd", "", "Europe", "/etc/localtime", "x" * 500, "\0"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    bench = Bench()
    wrong = spec(schedule=Schedule(cron="0 0 * * *", time_zone=name))
    error = refused(lambda: bench.registry.create_job(wrong, by="ann"), Code.INVALID, "no time zone")
    assert error.field == "schedule.time_zone"
    assert ("Europe/Berlin'" in error.message) is (name == "Europe/Berln")


# --- backfill ---


def test_a_backfill_gives_past_ticks_the_runs_that_they_lack() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(cron="0 * * * *", time_zone=BERLIN))
    bench.later(HOUR)
    start, now = ms("2026-03-28T10:00"), bench.clock.at
    tried = bench.engine.schedules.backfill(job.id, start, None, "bob", dry_run=True).result()
    assert (len(tried.times), tried.runs, len(runs_of(bench, job))) == (3, [], 1)
    found = bench.engine.schedules.backfill(job.id, start, now + 0, "bob", limit=2).result()
    assert [local_text(at, zone(BERLIN))[11:16] for at in found.times] == ["11:00", "12:00"]
    assert [(run.trigger, run.submitted_by) for run in found.runs] == [("backfill", "bob")] * 2
    assert found.next == ms("2026-03-28T12:00")
    rest = bench.engine.schedules.backfill(job.id, start, None, "bob").result()
    assert (rest.times, rest.next) == ([ms("2026-03-28T12:00")], None)
    assert bench.engine.schedules.backfill(job.id, start, None, "bob").result().times == []


def test_a_backfill_takes_up_what_was_missed_and_waits_for_the_limit() -> None:
    bench = Bench(at=T1)
    schedule = Schedule(cron="30 * * * *")
    job = scheduled(bench, schedule, max_concurrent_runs=1, on_limit=OnLimit.SKIP)
    bench.later(3 * HOUR)
    found = bench.engine.schedules.backfill(job.id, T1, None, "bob").result()
    assert [run.state.value for run in found.runs] == ["queued"] * 3
    for run in found.runs:
        bench.finish(run)
    assert {run.state for run in runs_of(bench, job)} == {State.SUCCEEDED}


def test_a_backfill_reaches_back_before_an_intervals_beginning() -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(every=HOUR))
    found = bench.engine.schedules.backfill(job.id, T1 - 2 * HOUR * 1000, T1, "bob").result()
    assert found.times == [T1 - 2 * HOUR * 1000, T1 - HOUR * 1000]


@pytest.mark.parametrize(("start", "end", "limit"), [(1, 0, 5), (0, 9, 5), (-2, -1, 0), (-2, -1, 1001)])
def test_a_wrong_backfill_is_refused(start: int, end: int, limit: int) -> None:
    bench = Bench(at=T1)
    job = scheduled(bench, Schedule(every=HOUR))
    call = lambda: bench.engine.schedules.backfill(job.id, T1 + start, T1 + end, "bob", limit=limit)  # noqa: E731
    refused(call, Code.INVALID)
    refused(lambda: bench.engine.schedules.backfill(bench.job().id, T1 - 5, T1, "bob"), Code.CONFLICT)
