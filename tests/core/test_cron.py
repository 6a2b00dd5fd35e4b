"""Cron expressions: what they match, by a golden table, by hand, and against brute force; and how they are refused."""

from __future__ import annotations

import importlib
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runyard.core.cron import Calendar, CronError, Flavour, parse
from runyard.core.schedule import Schedule, local_text, rule, upcoming

from . import cron_oracle

TABLE = Path(__file__).parent / "golden" / "schedules.tsv"
ROWS = [line.split("\t") for line in TABLE.read_text().splitlines() if not line.startswith("#")]
IN_2026 = datetime(2026, 1, 1)


def ms(text: str) -> int:
    """A moment in milliseconds; UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def after(calendar: Calendar, moment: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (local := calendar.after(found[-1] if found else moment)) is not None:
        found.append(local)
    return found


# --- the golden table ---


def test_the_golden_table_has_two_hundred_expressions_of_all_flavours() -> None:
    assert len({(row[0], row[1]) for row in ROWS}) >= 200
    assert {row[0] for row in ROWS} == {flavour.value for flavour in Flavour}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_an_expression_fires_as_the_golden_table_says(row: list[str]) -> None:
    flavour, text, zone_name, start, *times = row
    zone = ZoneInfo(zone_name)
    found = rule(Schedule(cron=text, flavour=Flavour(flavour)), zone, 0)
    assert [local_text(at, zone) for at in upcoming(found, ms(start), 5)] == times
    for earlier, later in pairwise(times):
        assert found.before(ms(later)) == ms(earlier)


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_the_golden_table_is_what_brute_force_finds(row: list[str]) -> None:
    flavour, text, zone_name, start, *times = row
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    zone = ZoneInfo(zone_name)
    found = cron_oracle.fires(text, flavour, zone, moment, 5)
    assert [one.astimezone(zone).isoformat() for one in found] == times


def _cronsim() -> Any:
    """The peer for unix fields; a machine without it has nothing to compare."""
    return importlib.import_module("cronsim").CronSim


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] == "unix" and row[2] == "UTC"], ids=lambda row: row[1])
def test_a_unix_expression_fires_as_cronsim_says(row: list[str]) -> None:
    pytest.importorskip("cronsim")
    _, text, _, start, *times = row
    if text.startswith("@") or "-SUN" in text:
        pytest.skip("cronsim does not read it")
    fires = _cronsim()(text, datetime.fromisoformat(start))
    assert [f"{next(fires).isoformat()}+00:00" for _ in times] == times


# --- by hand, from a calendar of 2026 ---


@pytest.mark.parametrize(
    ("text", "flavour", "days"),
    [
        ("0 0 0 ? * 6#3", "quartz", "01-16 02-20 03-20 04-17 05-15 06-19"),  # third Fridays
        ("0 0 0 ? * 6L", "quartz", "01-30 02-27 03-27 04-24 05-29 06-26"),  # last Fridays
        ("0 0 0 L * ?", "quartz", "01-31 02-28 03-31 04-30 05-31 06-30"),
        ("0 0 0 L-3 * ?", "quartz", "01-28 02-25 03-28 04-27 05-28 06-27"),  # three days before the last
        ("0 0 0 LW * ?", "quartz", "01-30 02-27 03-31 04-30 05-29 06-30"),
        ("0 0 0 15W * ?", "quartz", "01-15 02-16 03-16 04-15 05-15 06-15"),  # 15 February and March are Sundays
        ("0 0 0 1W * ?", "quartz", "01-01 02-02 03-02 04-01 05-01 06-01"),  # 1 February and March are Sundays
        ("0 0 0 1W 8 ?", "quartz", "08-03"),  # 1 August is a Saturday; the Friday is in another month
        ("0 0 0 31W * ?", "quartz", "01-30 03-31 05-29 07-31 08-31 10-30"),
        ("0 0 0 ? * 2#5", "quartz", "03-30 06-29 08-31 11-30"),  # only these months have five Mondays
        ("0 0 ? * 3#2 *", "minutes_first", "01-13 02-10 03-10 04-14 05-12 06-09"),  # second Tuesdays
        ("0 0 ? * L *", "minutes_first", "01-03 01-10 01-17 01-24 01-31 02-07"),  # Saturdays
        ("0 0 13 * 5", "unix", "01-02 01-09 01-13 01-16 01-23 01-30"),  # Fridays, and every 13th
        ("0 0 */10 * 1", "unix", "05-11 06-01 08-31 09-21 12-21"),  # a star: Mondays that are the 1st, 11th, 21st, 31st
        ("0 0 29 2 *", "unix", ""),
    ],
)
def test_days_worked_out_by_hand(text: str, flavour: str, days: str) -> None:
    found = after(parse(text, Flavour(flavour)), IN_2026 - timedelta(seconds=1), 60)
    in_2026 = [f"{one:%m-%d}" for one in found if one.year == 2026]
    assert in_2026[: len(days.split()) or 1] == days.split()


# --- against brute force ---


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    pair = st.tuples(value, value).map(sorted)
    step = st.integers(1, high - low + 1)
    part = st.one_of(
        st.just("*"),
        value.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(st.just("*") | value.map(str), step).map(lambda both: f"{both[0]}/{both[1]}"),
        st.tuples(pair, step).map(lambda both: f"{both[0][0]}-{both[0][1]}/{both[1]}"),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


_days = st.one_of(_field(1, 31), st.sampled_from(["L", "LW", "L-3", "L-10W", "1W", "15W", "31W", "30W"]))
_weekdays = st.one_of(_field(1, 7), st.sampled_from(["L", "6L", "MONL", "2#1", "7#5", "WED#3"]))
_day_pair = st.one_of(_days.map(lambda day: (day, "?")), _weekdays.map(lambda day: ("?", day)))
_times = st.tuples(_field(0, 59), _field(0, 59), _field(0, 23))
_starts = st.datetimes(datetime(2020, 1, 1), datetime(2034, 1, 1))
_unix = st.tuples(_field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 7)).map(" ".join)
_quartz = st.tuples(_times, _day_pair, _field(1, 12)).map(
    lambda drawn: " ".join([*drawn[0], drawn[1][0], drawn[2], drawn[1][1]])
)


few, many = settings(max_examples=25), settings(max_examples=3000)


def _read(text: str, flavour: Flavour) -> Calendar | None:
    """None for an expression that is refused: all that are drawn here are well formed, so it never fires."""
    try:
        return parse(text, flavour)
    except CronError:
        return None


def _agree(text: str, flavour: Flavour, start: datetime) -> None:
    start = start.replace(microsecond=0)
    calendar = _read(text, flavour)
    found = after(calendar, start, 3) if calendar else []
    assert found == cron_oracle.local_fires(text, flavour.value, start, 3)
    for earlier, later in pairwise(found):
        assert calendar is not None
        assert calendar.before(later) == earlier


@few
@given(_unix, _starts)
@example("0 0 31 2,4 *", datetime(2026, 1, 1))
@example("* * 1-31 * */7", datetime(2026, 1, 1))
def test_any_unix_expression_agrees_with_brute_force(text: str, start: datetime) -> None:
    _agree(text, Flavour.UNIX, start)


@few
@given(_quartz, _starts)
@example("0 0 0 30W 2 ?", datetime(2026, 1, 1))
def test_any_quartz_expression_agrees_with_brute_force(text: str, start: datetime) -> None:
    _agree(text, Flavour.QUARTZ, start)


@pytest.mark.long
@many
@given(st.one_of(st.tuples(st.just(Flavour.UNIX), _unix), st.tuples(st.just(Flavour.QUARTZ), _quartz)), _starts)
def test_thousands_of_expressions_agree_with_brute_force(drawn: tuple[Flavour, str], start: datetime) -> None:
    _agree(drawn[1], drawn[0], start)


@few
@given(_unix, _starts)
def test_any_unix_expression_agrees_with_cronsim(text: str, start: datetime) -> None:
    pytest.importorskip("cronsim")
    assume(not re.search(r"\b(\d+)-\1/", text))  # cronsim reads 5-5/2 as 5/2
    calendar = _read(text, Flavour.UNIX)
    if calendar is None:
        return
    start = start.replace(microsecond=0)
    fires = _cronsim()(text, start)
    found = [one for one in after(calendar, start, 3) if one.year < start.year + 40]  # cronsim looks no further
    assert [next(fires) for _ in found] == found


@few
@given(_quartz, _starts)
def test_a_time_that_fires_is_found_from_both_sides(text: str, start: datetime) -> None:
    calendar = _read(text, Flavour.QUARTZ)
    tick = calendar.after(start) if calendar else None
    if calendar and tick is not None:
        assert calendar.before(tick + timedelta(microseconds=1)) == tick
        assert calendar.after(tick - timedelta(microseconds=1)) == tick


# --- refusals ---


@pytest.mark.parametrize(
    ("text", "flavour", "field", "why", "suggestion"),
    [
        ("61 * * * *", "unix", "minute", "61 is outside 0 to 59", "59 * * * *"),
        ("61 25 * * *", "unix", "minute", "61 is outside", "59 23 * * *"),
        ("0 24 * * *", "unix", "hour", "24 is outside 0 to 23", "0 23 * * *"),
        ("0 0 0 * *", "unix", "day of month", "0 is outside 1 to 31", "0 0 1 * *"),
        ("0 0 * 13 *", "unix", "month", "13 is outside 1 to 12", "0 0 * 12 *"),
        ("0 0 * * 8", "unix", "day of week", "8 is outside 0 to 7", "0 0 * * 7"),
        ("0 0 * * MOM", "unix", "day of week", "found 'MOM'", "0 0 * * MON"),
        ("0 0 * JANUARY *", "unix", "month", "found 'JANUARY'", "0 0 * JAN *"),
        ("*/0 * * * *", "unix", "minute", "a step is a whole number from 1", None),
        ("*/x * * * *", "unix", "minute", "a step is a whole number from 1", None),
        ("*/90 * * * *", "unix", "minute", "the step 90 is longer than the field", "* * * * *"),
        ("0 22-4 * * *", "unix", "hour", "begins after its end", "0 22-23,0-4 * * *"),
        ("1,,2 * * * *", "unix", "minute", "found nothing", None),
        ("-1 * * * *", "unix", "minute", "found nothing", None),
        ("0 0 L * *", "unix", "day of month", "only in the flavours quartz", None),
        ("0 0 ? * 1", "unix", "day of month", "'?' stands in a day field", "0 0 * * 1"),
        ("0 0 31 2 *", "unix", "day of month", "it would never fire", "0 0 29 2 *"),
        ("0 0 31 4,6 *", "unix", "day of month", "it would never fire", "0 0 30 4,6 *"),
        ("* * *", "unix", "", "has 3 fields, the flavour unix has 5 or 6", None),
        ("", "unix", "", "has 0 fields", None),
        ("0 0 0 * * ? 2026", "unix", "", "are of the flavour quartz", None),
        ("@dayly", "unix", "", "is none of", "@daily"),
        ("@reboot", "unix", "", "is none of", None),
        ("0 0 12 * * *", "quartz", "day of week", "one of the two day fields must be '?'", "0 0 12 * * ?"),
        ("0 0 12 ? * ?", "quartz", "day of week", "both are", "0 0 12 ? * *"),
        ("0 0 12 1 * 2", "quartz", "day of week", "neither is", None),
        ("0 0 12 ? * 0", "quartz", "day of week", "0 is outside 1 to 7", "0 0 12 ? * 1"),
        ("0 0 12 ? * 6#6", "quartz", "day of week", "# counts from 1 to 5", "0 0 12 ? * 6#5"),
        ("0 0 12 ? * 8L", "quartz", "day of week", "8 is outside 1 to 7", "0 0 12 ? * 7L"),
        ("0 0 12 L-31 * ?", "quartz", "day of month", "at most 30 days", "0 0 12 L-30 * ?"),
        ("0 0 12 L,15 * ?", "quartz", "day of month", "stand alone", None),
        ("0 0 12 32W * ?", "quartz", "day of month", "32 is outside 1 to 31", "0 0 12 31W * ?"),
        ("0 0 12 30W 2 ?", "quartz", "day of month", "it would never fire", None),
        ("0 0 12 1 1 ? 2100", "quartz", "year", "2100 is outside 1970 to 2099", "0 0 12 1 1 ? 2099"),
        ("0 0 12 29 2 ? 2027", "quartz", "day of month", "it would never fire", None),
        ("0 10 * * MON *", "minutes_first", "day of week", "neither is", None),
        ("0 10 ? * FRI-MON *", "minutes_first", "day of week", "begins after its end", "0 10 ? * 6-7,1-2 *"),
        ("0 10 * * ?", "minutes_first", "", "has 5 fields", None),
        ("cron(0 25 * * ? *)", "minutes_first", "hour", "25 is outside", "0 23 * * ? *"),
    ],
)
def test_a_wrong_expression_says_which_field_and_why(
    text: str, flavour: str, field: str, why: str, suggestion: str | None
) -> None:
    with pytest.raises(CronError) as refused:
        parse(text, Flavour(flavour))
    assert (refused.value.field, refused.value.suggestion) == (field, suggestion)
    assert why in str(refused.value)


@given(st.text(max_size=40) | st.text("0123456789*/-,?LW# JANMO@", max_size=40), st.sampled_from(Flavour))
def test_any_text_is_read_or_refused_and_a_suggestion_is_valid(text: str, flavour: Flavour) -> None:
    try:
        parse(text, flavour)
    except CronError as error:
        if error.suggestion is not None:
            parse(error.suggestion, flavour)


def test_an_overlong_expression_is_refused_before_it_is_read() -> None:
    with pytest.raises(CronError, match="at most 1000 characters"):
        parse("0," * 1000 + " * * * *", Flavour.UNIX)
