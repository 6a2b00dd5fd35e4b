"""When a job's schedule fires: cron expressions in a time zone, and plain intervals.

Times are milliseconds since 1970. The core reads no time zone data: a zone comes in as a `tzinfo`. A local time
that the clocks skip fires once, at the moment when they have jumped; one that they repeat fires the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, Protocol

import msgspec

from runyard.core.cron import Calendar, CronError, Flavour, parse
from runyard.core.errors import RunyardError, invalid

MAX_CATCH_UP = 1000
LONGEST_SECONDS = 3660 * 86_400
GRACE_MS = 60_000
"""A tick that is handled no later than this is on time; a later one was missed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_RATE = re.compile(r"\s*rate\((.*)\)\s*", re.DOTALL)
_AMOUNT = re.compile(r"([0-9]{1,9})\s+(minute|hour|day)(s?)", re.ASCII)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a job runs by itself: exactly one of `cron` and `every`."""

    cron: str | None = None
    """An expression of the flavour; `rate(5 minutes)` too where the flavour is minutes_first."""
    every: float | None = None
    """Seconds between two runs, counted from the moment when the schedule was kept."""
    flavour: Flavour = Flavour.UNIX
    time_zone: str = "UTC"
    """An IANA name such as Europe/Berlin."""
    paused: bool = False
    misfire: Literal["skip", "catch_up"] = "skip"
    """What becomes of the ticks that passed while no server ran."""
    catch_up_limit: int = 10
    """The newest so many missed ticks get their runs, older ones do not."""
    parameters: dict[str, Any] = {}
    """Laid over the job's own for scheduled and backfilled runs."""


class Rule(Protocol):
    """The ticks of a schedule."""

    def after(self, moment: int) -> int | None:
        """The first tick later than this moment; None when there is none until 2199."""

    def before(self, moment: int) -> int | None:
        """The last tick earlier than this moment; None when there is none since 1970."""


class EveryRule:
    """Ticks at equal distances, before and after an anchor."""

    def __init__(self, step: int, anchor: int) -> None:
        self._step = step
        self._anchor = anchor

    def after(self, moment: int) -> int | None:
        """The next multiple."""
        return self._anchor + ((moment - self._anchor) // self._step + 1) * self._step

    def before(self, moment: int) -> int | None:
        """The multiple before."""
        return self._anchor - ((self._anchor - moment) // self._step + 1) * self._step


class CronRule:
    """The ticks of a calendar in a time zone, each local time once."""

    def __init__(self, calendar: Calendar, zone: tzinfo) -> None:
        self._calendar = calendar
        self._zone = zone

    def after(self, moment: int) -> int | None:
        """As `Rule.after`; what the clocks repeat is passed over the second time."""
        local = self._calendar.after(self._local(moment))
        while local is not None and (tick := self._moment(local)) <= moment:
            local = self._calendar.after(local)
        return None if local is None else tick

    def before(self, moment: int) -> int | None:
        """As `Rule.before`."""
        local = self._calendar.before(self._latest_local(moment))
        while local is not None and (tick := self._moment(local)) >= moment:
            local = self._calendar.before(local)
        return None if local is None else tick

    def _local(self, moment: int) -> datetime:
        return _at(moment).astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _latest_local(self, moment: int) -> datetime:
        """The greatest local time whose tick may lie before the moment: the end of a repeat, inside one."""
        aware = _at(moment).astimezone(self._zone)
        shift = _offset(aware.replace(fold=0)) - _offset(aware)
        return aware.replace(tzinfo=None, fold=0) + max(shift, timedelta(0))

    def _moment(self, local: datetime) -> int:
        """When the clocks show this time first; in a gap, when they have jumped over it."""
        aware = local.replace(tzinfo=self._zone)
        moment = aware.astimezone(UTC)
        if moment.astimezone(self._zone).replace(tzinfo=None, fold=0) != local:
            moment = self._jump(aware.replace(fold=1).astimezone(UTC), moment)
        return (moment - _EPOCH) // _MS

    def _jump(self, before: datetime, after: datetime) -> datetime:
        """The first second between the two at which the new offset holds."""
        new = _offset(after.astimezone(self._zone))
        low, high = 0, (after - before) // timedelta(seconds=1)
        while low < high:
            middle = (low + high) // 2
            if _offset((before + timedelta(seconds=middle)).astimezone(self._zone)) == new:
                high = middle
            else:
                low = middle + 1
        return before + timedelta(seconds=low)


def _at(moment: int) -> datetime:
    return _EPOCH + moment * _MS


def _offset(aware: datetime) -> timedelta:
    return aware.utcoffset() or timedelta(0)


def local_text(moment: int, zone: tzinfo) -> str:
    """The moment as RFC 3339 to the second, in the zone: `2026-11-21T06:00:00+01:00`."""
    return _at(moment).astimezone(zone).isoformat(timespec="seconds")


# --- from a definition to a rule --------------------------------------------------------------------------


def rule(schedule: Schedule, zone: tzinfo, anchor: int) -> Rule:
    """The ticks of a schedule; `anchor` is where an interval counts from. Raises invalid as `check` does."""
    step = seconds_of(schedule)
    if step is not None:
        return EveryRule(round(step * 1000), anchor)
    try:
        return CronRule(parse(schedule.cron or "", schedule.flavour), zone)
    except CronError as error:
        raise refusal(error) from None


def seconds_of(schedule: Schedule) -> float | None:
    """The length of an interval in seconds; None for a cron expression."""
    if schedule.cron is None:
        return schedule.every
    found = _RATE.fullmatch(schedule.cron) if schedule.flavour is Flavour.MINUTES_FIRST else None
    return _rate(found[1].strip()) if found else None


def _rate(text: str) -> float:
    """`5 minutes`: a whole number from 1, and its unit in the singular for 1 alone (a published rule)."""
    found = _AMOUNT.fullmatch(text)
    if found is None or int(found[1]) == 0:
        said = "rate(...) holds a whole number from 1 and minutes, hours or days, such as rate(5 minutes)"
        raise invalid(f"The schedule cannot be used: {said}; found {text!r}.", field="schedule.cron")
    count, unit = int(found[1]), found[2]
    right = unit if count == 1 else f"{unit}s"
    if unit + found[3] != right:
        raise invalid(
            f"The schedule cannot be used: write rate({count} {right}); found {text!r}.",
            field="schedule.cron",
            suggestion=f"rate({count} {right})",
        )
    return float(count * _SECONDS[unit])


def refusal(error: CronError) -> RunyardError:
    """What a caller is told of a wrong expression; `suggestion` in its details is a valid one near by."""
    near = f" Did you mean {error.suggestion!r}?" if error.suggestion else ""
    return invalid(
        f"The schedule cannot be used: {error}.{near}",
        field="schedule.cron",
        cron_field=error.field or None,
        found=error.found,
        suggestion=error.suggestion,
    )


def check(schedule: Schedule) -> None:
    """Refuses a schedule that can never be right, whatever the time and the time zone."""
    if (schedule.cron is None) == (schedule.every is None):
        raise invalid("A schedule has exactly one of cron and every.", field="schedule")
    step = seconds_of(schedule)
    if step is None:
        rule(schedule, UTC, 0)
    elif not 1 <= step <= LONGEST_SECONDS:
        field = "every" if schedule.cron is None else "cron"
        said = f"An interval lasts 1 second to {LONGEST_SECONDS} seconds; it is {step:g}."
        raise invalid(said, field=f"schedule.{field}")
    if not 1 <= schedule.catch_up_limit <= MAX_CATCH_UP:
        said = f"catch_up_limit must be 1 to {MAX_CATCH_UP}; it is {schedule.catch_up_limit}."
        raise invalid(said, field="schedule.catch_up_limit")


def same_times(one: Schedule, other: Schedule) -> bool:
    """Whether two schedules fire at the same times."""
    return all(getattr(one, name) == getattr(other, name) for name in ("cron", "every", "flavour", "time_zone"))


# --- ticks of a stretch of time ---------------------------------------------------------------------------


def ticks(rule: Rule, start: int, end: int) -> Iterator[int]:
    """The ticks from `start` on and before `end`, in order."""
    tick = rule.after(start - 1)
    while tick is not None and tick < end:
        yield tick
        tick = rule.after(tick)


def upcoming(rule: Rule, moment: int, count: int) -> list[int]:
    """The next so many ticks after a moment."""
    found: list[int] = []
    while len(found) < count and (tick := rule.after(found[-1] if found else moment)) is not None:
        found.append(tick)
    return found


class Due(msgspec.Struct, frozen=True):
    """What is to be done at a moment: the ticks that get a run, in order, and those that were missed for good."""

    fire: list[int]
    missed: tuple[int, int] | None
    """The first and the last tick that gets no run."""
    next_at: int | None
    """The first tick after all of these."""


def due(rule: Rule, schedule: Schedule, next_at: int, now: int, at_once: int) -> Due:
    """Judges the ticks from `next_at` to `now`; at most `at_once` of them fire now, the others stay due.

    Ticks within the grace fire. Of those before it, `catch_up` fires the newest `catch_up_limit`, `skip` none.
    """
    on_time = max(next_at, now - GRACE_MS)
    late: list[int] = []
    keep = schedule.catch_up_limit if schedule.misfire == "catch_up" else 0
    tick = rule.before(on_time)
    while tick is not None and tick >= next_at and len(late) < keep:
        late.append(tick)
        tick = rule.before(tick)
    missed = (rule.after(next_at - 1) or tick, tick) if tick is not None and tick >= next_at else None
    fire = late[::-1]
    for tick in ticks(rule, on_time, now + 1):
        if len(fire) > at_once:
            break
        fire.append(tick)
    rest = fire[at_once : at_once + 1]
    fire = fire[:at_once]
    return Due(fire, missed, rest[0] if rest else rule.after(max(now, fire[-1] if fire else now)))
