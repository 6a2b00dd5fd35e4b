"""When schedules fire: time zones, intervals, what was missed."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.core.actions import Shell
from runyard.core.cron import Flavour
from runyard.core.errors import Code, RunyardError
from runyard.core.graph import validate
from runyard.core.model import JobSpec, Task
from runyard.core.schedule import GRACE_MS, Rule, Schedule, check, due, local_text, rule, same_times, ticks, upcoming

from .test_cron import ms

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def of(cron: str | None = None, zone: Any = UTC, anchor: int = 0, **fields: Any) -> Rule:
    return rule(Schedule(cron=cron, **fields), zone, anchor)


def local(found: Rule, start: str, count: int) -> list[str]:
    return [local_text(at, BERLIN) for at in upcoming(found, ms(start), count)]


# --- time zones ---


def test_a_time_that_the_clocks_skip_fires_once_when_they_have_jumped() -> None:
    found = of("30 2 * * *", BERLIN)
    assert local(found, "2026-03-28T12:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert found.before(ms("2026-03-30T02:30+02:00")) == ms("2026-03-29T03:00+02:00")


def test_all_times_that_the_clocks_skip_fire_together_once() -> None:
    found = of("*/10 2,3 * * *", BERLIN)
    assert local(found, "2026-03-29T00:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:10:00+02:00"]


def test_a_time_that_the_clocks_repeat_fires_the_first_time_only() -> None:
    found = of("30 2 * * *", BERLIN)
    assert local(found, "2026-10-24T12:00", 2) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    between = ms("2026-10-25T02:10+01:00")  # the second 2:10 of that night
    assert found.after(between) == ms("2026-10-26T02:30+01:00")
    assert found.before(between) == ms("2026-10-25T02:30+02:00")


def test_a_day_that_a_zone_skipped_fires_once() -> None:
    apia = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011 there
    found = [local_text(at, apia) for at in upcoming(of("0 9 * * *", apia), ms("2011-12-29T00:00"), 3)]
    assert found == ["2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"]


_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata")
_CRONS = ("0 * * * *", "30 2 * * *", "*/7 1-3 * * *", "0 0 1 * *", "59 23 * * 0", "*/10 * 2 * * *")


@given(st.sampled_from(_CRONS), st.sampled_from(_ZONES), st.integers(ms("2005-01-01"), ms("2037-01-01")))
def test_ticks_are_the_same_forwards_and_backwards_in_any_zone(cron: str, zone: str, start: int) -> None:
    found = of(cron, ZoneInfo(zone))
    forwards = upcoming(found, start, 5)
    assert forwards == sorted(set(forwards))
    backwards = [forwards[-1]]
    while len(backwards) < 5:
        backwards.append(found.before(backwards[-1]) or 0)
    assert backwards[::-1] == forwards
    assert (found.before(forwards[0]) or 0) <= start


# --- intervals ---


def test_an_interval_counts_from_its_anchor_in_both_directions() -> None:
    found = of(every=90, anchor=1000)
    assert [found.after(1000), found.after(999), found.after(91_000)] == [91_000, 1000, 181_000]
    assert [found.before(1000), found.before(1001), found.before(91_000)] == [-89_000, 1000, 1000]


@pytest.mark.parametrize(
    ("text", "seconds"), [("rate(1 minute)", 60), ("rate(5 minutes)", 300), (" rate(12 hours) ", 43_200)]
)
def test_a_rate_is_an_interval(text: str, seconds: int) -> None:
    assert of(text, flavour=Flavour.MINUTES_FIRST).after(0) == seconds * 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate(0 minutes)", "a whole number from 1"),
        ("rate(5 weeks)", "minutes, hours or days"),
        ("rate(5 minute)", "write rate(5 minutes)"),
        ("rate(1 days)", "write rate(1 day)"),
        ("rate()", "such as rate(5 minutes)"),
    ],
)
def test_a_wrong_rate_says_how_it_is_written(text: str, said: str) -> None:
    with pytest.raises(RunyardError) as refused:
        check(Schedule(cron=text, flavour=Flavour.MINUTES_FIRST))
    assert said in refused.value.message


# --- definitions ---


@pytest.mark.parametrize(
    ("schedule", "field", "said"),
    [
        (Schedule(), "schedule", "exactly one of cron and every"),
        (Schedule(cron="* * * * *", every=5), "schedule", "exactly one"),
        (Schedule(every=0.5), "schedule.every", "1 second to"),
        (Schedule(every=float("nan")), "schedule.every", "it is nan"),
        (Schedule(every=1e12), "schedule.every", "1 second to"),
        (Schedule(every=5, catch_up_limit=0), "schedule.catch_up_limit", "1 to 1000"),
        (Schedule(cron="61 * * * *"), "schedule.cron", "Did you mean '59 * * * *'?"),
        (Schedule(every=5, parameters={"n": 1}), "schedule.parameters", "no parameter 'n'"),
    ],
)
def test_a_job_with_a_wrong_schedule_is_refused(schedule: Schedule, field: str, said: str) -> None:
    spec = JobSpec(name="job", tasks=[Task(key="a", action=Shell(command="true"))], schedule=schedule)
    with pytest.raises(RunyardError) as refused:
        validate(spec)
    assert (refused.value.code, refused.value.field) == (Code.INVALID, field)
    assert said in refused.value.message


def test_a_scheduled_job_needs_a_value_for_each_parameter() -> None:
    spec = JobSpec(name="job", tasks=[Task(key="a", action=Shell(command="true"))], parameters={"day": None})
    given = {"every": 60.0}
    with pytest.raises(RunyardError, match="A scheduled run could not start"):
        validate(JobSpec(name="job", tasks=spec.tasks, parameters={"day": None}, schedule=Schedule(**given)))
    validate(
        JobSpec(
            name="j", tasks=spec.tasks, parameters={"day": None}, schedule=Schedule(every=60, parameters={"day": 1})
        )
    )


def test_pause_and_misfire_do_not_change_when_a_schedule_fires() -> None:
    one = Schedule(cron="0 0 * * *")
    assert same_times(one, Schedule(cron="0 0 * * *", paused=True, misfire="catch_up"))
    assert not same_times(one, Schedule(cron="0 0 * * *", time_zone="Europe/Berlin"))


# --- what is due ---

HOURLY = of("0 * * * *")
NOON = ms("2026-01-01T12:00")


def judged(next_at: int, now: int, at_once: int = 50, **fields: Any) -> tuple[list[int], Any, int | None]:
    found = due(HOURLY, Schedule(cron="0 * * * *", **fields), next_at, now, at_once)
    return found.fire, found.missed, found.next_at


def test_a_tick_within_the_grace_fires_under_any_policy() -> None:
    for late in (0, 1, GRACE_MS):
        assert judged(NOON, NOON + late) == ([NOON], None, NOON + HOUR)


def test_skip_fires_nothing_of_what_was_missed() -> None:
    assert judged(NOON, NOON + GRACE_MS + 1) == ([], (NOON, NOON), NOON + HOUR)
    assert judged(NOON, NOON + 5 * HOUR) == ([NOON + 5 * HOUR], (NOON, NOON + 4 * HOUR), NOON + 6 * HOUR)


def test_catch_up_fires_the_newest_of_what_was_missed_in_order() -> None:
    found = judged(NOON, NOON + 5 * HOUR + 120_000, misfire="catch_up", catch_up_limit=2)
    assert found == ([NOON + 4 * HOUR, NOON + 5 * HOUR], (NOON, NOON + 3 * HOUR), NOON + 6 * HOUR)
    everything = judged(NOON, NOON + 2 * HOUR + 120_000, misfire="catch_up", catch_up_limit=3)
    assert everything == ([NOON, NOON + HOUR, NOON + 2 * HOUR], None, NOON + 3 * HOUR)


def test_what_is_too_much_for_one_transaction_stays_due() -> None:
    first = judged(NOON, NOON + 3 * HOUR, at_once=2, misfire="catch_up")
    assert first == ([NOON, NOON + HOUR], None, NOON + 2 * HOUR)
    assert judged(NOON + 2 * HOUR, NOON + 3 * HOUR, at_once=2, misfire="catch_up")[0] == [
        NOON + 2 * HOUR,
        NOON + 3 * HOUR,
    ]


def test_a_year_of_missed_seconds_is_judged_in_a_moment() -> None:
    every_second = of("* * * * * *")
    found = due(every_second, Schedule(cron="* * * * * *"), NOON, NOON + 365 * DAY, 50)
    assert (len(found.fire), found.missed) == (50, (NOON, NOON + 365 * DAY - GRACE_MS - 1000))


@given(st.integers(0, 40 * HOUR), st.integers(0, 40 * HOUR), st.sampled_from(["skip", "catch_up"]), st.integers(1, 5))
def test_every_tick_fires_or_is_missed_or_is_still_to_come(back: int, ahead: int, misfire: Any, limit: int) -> None:
    next_at, now = NOON, NOON + ahead
    fire, missed, following = judged(next_at, now, misfire=misfire, catch_up_limit=limit)
    lost = list(ticks(HOURLY, missed[0], missed[1] + 1)) if missed else []
    assert lost + fire == list(ticks(HOURLY, next_at, now + 1))
    assert following == HOURLY.after(now)
