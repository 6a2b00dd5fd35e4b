"""Cron expressions: read field by field in one of three flavours, into a calendar of local times.

| flavour | fields | days |
|---|---|---|
| `unix` | minute hour day month weekday, or six with the second first; `@daily` and the like | weekday 0-7 or SUN-SAT, 0 and 7 are Sunday; where both day fields are restricted either may match, unless one begins with `*` |
| `quartz` | second minute hour day month weekday, and perhaps year | weekday 1-7, 1 is Sunday; one day field is `?`; `L` `L-3` `LW` `15W` `6L` `6#3`; ranges may wrap (`NOV-FEB`) |
| `minutes_first` | minute hour day month weekday year, perhaps inside `cron(...)` | as `quartz`, but ranges do not wrap |

Sources: crontab(5) of Debian's cron for the rule of the two day fields; the tutorial on cron triggers of the
Quartz scheduler (L-3 counts three days back from the last one, as its code does; 1W never leaves the month);
the published syntax of the cloud's six fields. `9/15` means "from 9 on, every 15" in every flavour. A step that
is longer than its field is refused everywhere, since it would silently mean the first value alone.
"""  # noqa: E501 - a row of the table cannot be broken

from __future__ import annotations

import calendar as months
import difflib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from runyard.core.crondays import Days, one_day_field, unix_days
from runyard.core.cronfields import (
    DAY,
    FIRST_YEAR,
    HOUR,
    LAST_YEAR,
    MINUTE,
    MONTH,
    SECOND,
    UNIX_WEEKDAY,
    WEEKDAY,
    YEAR,
    CronError,
    Flavour,
    Span,
    values,
)

__all__ = ["Calendar", "CronError", "Flavour", "parse"]

MAX_TEXT = 1000

_UNIX = (MINUTE, HOUR, DAY, MONTH, UNIX_WEEKDAY)
_QUARTZ = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)
LAYOUTS: dict[Flavour, tuple[tuple[Span, ...], ...]] = {
    Flavour.UNIX: (_UNIX, (SECOND, *_UNIX)),
    Flavour.QUARTZ: (_QUARTZ, (*_QUARTZ, Span("year", FIRST_YEAR, 2099))),
    Flavour.MINUTES_FIRST: ((MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR),),
}
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_WRAPPED = re.compile(r"\s*cron\((.*)\)\s*", re.DOTALL)


# --- the calendar -----------------------------------------------------------------------------------------


class Calendar:
    """The local times that an expression matches, to the second. Knows nothing of time zones."""

    __slots__ = ("days", "hours", "minutes", "months", "seconds", "years")

    def __init__(self, chosen: dict[str, tuple[int, ...]], days: Days) -> None:
        self.seconds = chosen.get("second", (0,))
        self.minutes = chosen["minute"]
        self.hours = chosen["hour"]
        self.months = chosen["month"]
        self.years = chosen.get("year") or tuple(range(FIRST_YEAR, LAST_YEAR + 1))
        self.days: Days = lru_cache(maxsize=64)(days)

    def after(self, moment: datetime) -> datetime | None:
        """The first matching time later than this one (without a zone); None if there is none until 2199."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        for day in self._days_from(start.date()):
            clock = self._first(start.time() if day == start.date() else time.min)
            if clock is not None:
                return datetime.combine(day, clock)
        return None

    def before(self, moment: datetime) -> datetime | None:
        """The last matching time earlier than this one; None if there is none since 1970."""
        end = moment.replace(microsecond=0) - timedelta(seconds=0 if moment.microsecond else 1)
        for day in self._days_back_from(end.date()):
            clock = self._last(end.time() if day == end.date() else time.max)
            if clock is not None:
                return datetime.combine(day, clock)
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in self.years[bisect_left(self.years, first.year) :]:
            for month in self.months:
                if (year, month) >= (first.year, first.month):
                    found = (date(year, month, day) for day in self.days(year, month))
                    yield from (day for day in found if day >= first)

    def _days_back_from(self, last: date) -> Iterator[date]:
        for year in reversed(self.years[: bisect_right(self.years, last.year)]):
            for month in reversed(self.months):
                if (year, month) <= (last.year, last.month):
                    found = (date(year, month, day) for day in reversed(self.days(year, month)))
                    yield from (day for day in found if day <= last)

    def _first(self, since: time) -> time | None:
        for hour in self.hours[bisect_left(self.hours, since.hour) :]:
            if hour > since.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in self.minutes[bisect_left(self.minutes, since.minute) :]:
                if minute > since.minute:
                    return time(hour, minute, self.seconds[0])
                for second in self.seconds[bisect_left(self.seconds, since.second) :]:
                    return time(hour, minute, second)
        return None

    def _last(self, until: time) -> time | None:
        for hour in reversed(self.hours[: bisect_right(self.hours, until.hour)]):
            if hour < until.hour:
                return time(hour, self.minutes[-1], self.seconds[-1])
            for minute in reversed(self.minutes[: bisect_right(self.minutes, until.minute)]):
                if minute < until.minute:
                    return time(hour, minute, self.seconds[-1])
                for second in reversed(self.seconds[: bisect_right(self.seconds, until.second)]):
                    return time(hour, minute, second)
        return None


# --- reading an expression --------------------------------------------------------------------------------


def parse(text: str, flavour: Flavour) -> Calendar:
    """The calendar of an expression; raises `CronError`, also for one that no day ever matches."""
    words = _words(text, flavour)
    try:
        return _calendar(words, flavour)
    except CronError as error:
        error.suggestion = _suggestion(words, error, flavour)
        raise


def _words(text: str, flavour: Flavour) -> list[str]:
    if len(text) > MAX_TEXT:
        raise CronError("", text[:20], f"an expression has at most {MAX_TEXT} characters; this has {len(text)}")
    wrapped = _WRAPPED.fullmatch(text) if flavour is Flavour.MINUTES_FIRST else None
    inner = (wrapped[1] if wrapped else text).strip()
    if flavour is Flavour.UNIX and inner.startswith("@"):
        inner = _macro(inner)
    return inner.upper().split()


def _macro(word: str) -> str:
    if word.lower() in MACROS:
        return MACROS[word.lower()]
    near = difflib.get_close_matches(word.lower(), MACROS, n=1)
    error = CronError("", word, f"{word!r} is none of {', '.join(MACROS)}")
    error.suggestion = near[0] if near else None
    raise error


def _calendar(words: list[str], flavour: Flavour) -> Calendar:
    layout = _layout(words, flavour)
    given = dict(zip((span.name for span in layout), words, strict=True))
    plain = [span for span in layout if span not in (DAY, WEEKDAY, UNIX_WEEKDAY)]
    chosen = {span.name: values(given[span.name], span, flavour) for span in plain}
    days = unix_days(given) if flavour is Flavour.UNIX else one_day_field(given, flavour)
    found = Calendar(chosen, days)
    if found.after(datetime(FIRST_YEAR, 1, 1) - timedelta(seconds=1)) is None:
        raise _never(given, found)
    return found


def _layout(words: list[str], flavour: Flavour) -> tuple[Span, ...]:
    for layout in LAYOUTS[flavour]:
        if len(layout) == len(words):
            return layout
    counts = " or ".join(str(len(layout)) for layout in LAYOUTS[flavour])
    names = ", ".join(span.name for span in LAYOUTS[flavour][-1])
    others = [other.value for other in Flavour if any(len(one) == len(words) for one in LAYOUTS[other])]
    hint = f"; {len(words)} fields are of the flavour {' or '.join(others)}" if others else ""
    found = " ".join(words)
    why = f"{found!r} has {len(words)} fields, the flavour {flavour.value} has {counts} ({names}){hint}"
    raise CronError("", found, why)


def _suggestion(words: list[str], error: CronError, flavour: Flavour) -> str | None:
    """The expression with the wrong field mended, if that makes it valid."""
    if error.fix is None:
        return None
    names = [span.name for span in _layout(words, flavour)]
    mended = list(words)
    mended[names.index(error.field)] = error.fix
    try:
        _calendar(mended, flavour)
    except CronError as other:
        is_next = names.index(other.field) > names.index(error.field) if other.field else False
        return _suggestion(mended, other, flavour) if is_next else None
    return " ".join(mended)


def _never(given: dict[str, str], found: Calendar) -> CronError:
    longest = max(months.monthrange(2000, month)[1] for month in found.months)
    word = given[DAY.name]
    fix = str(longest) if word.isdigit() and int(word) > longest else None
    why = f"with the month {given[MONTH.name]} and the years asked for no such day comes until {LAST_YEAR}"
    field = DAY.name if word != "?" else WEEKDAY.name
    return CronError(field, given[field], f"it would never fire: {why}", fix)
