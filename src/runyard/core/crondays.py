"""The two day fields of a cron expression, which say together on which days of a month it fires."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date

from runyard.core.cronfields import DAY, UNIX_WEEKDAY, WEEKDAY, CronError, Flavour, value, values

Days = Callable[[int, int], tuple[int, ...]]
"""The days of a month (year, month) that match, in order."""

_LAST_DAY = re.compile(r"L(?:-([0-9]{1,2}))?(W)?", re.ASCII)
_NEAREST = re.compile(r"([0-9]{1,9})W", re.ASCII)
_LAST_OF = re.compile(r"([0-9]{1,9}|[A-Z]{3})L", re.ASCII)
_NTH_OF = re.compile(r"([0-9]{1,9}|[A-Z]{3})#([0-9]{1,9})", re.ASCII)


def unix_days(given: dict[str, str]) -> Days:
    day_word, weekday_word = given[DAY.name], given[UNIX_WEEKDAY.name]
    in_month = frozenset(values(day_word, DAY, Flavour.UNIX))
    in_week = frozenset(day % 7 for day in values(weekday_word, UNIX_WEEKDAY, Flavour.UNIX))
    either = not day_word.startswith("*") and not weekday_word.startswith("*")

    def days(year: int, month: int) -> tuple[int, ...]:
        first, last = _shape(year, month)
        found = []
        for day in range(1, last + 1):
            of_month, of_week = day in in_month, (first + day - 1) % 7 in in_week
            if (of_month or of_week) if either else (of_month and of_week):
                found.append(day)
        return tuple(found)

    return days


def one_day_field(given: dict[str, str], flavour: Flavour) -> Days:
    day_word, weekday_word = given[DAY.name], given[WEEKDAY.name]
    if (day_word == "?") == (weekday_word == "?"):
        both = "both are" if day_word == "?" else "neither is"
        why = f"one of the two day fields must be '?', and {both} (day of month {day_word!r})"
        fix = ("*" if day_word == "?" else "?") if weekday_word in ("?", "*") else None
        raise CronError(WEEKDAY.name, weekday_word, why, fix)
    return _of_week(weekday_word, flavour) if day_word == "?" else _of_month(day_word, flavour)


def _of_month(word: str, flavour: Flavour) -> Days:
    last = _LAST_DAY.fullmatch(word)
    if last is not None:
        return _last_day(int(last[1] or 0), near=last[2] is not None)
    nearest = _NEAREST.fullmatch(word)
    if nearest is not None:
        return _nearest(value(nearest[1], word, DAY))
    chosen = values(word, DAY, flavour)

    def days(year: int, month: int) -> tuple[int, ...]:
        last = calendar.monthrange(year, month)[1]
        return tuple(day for day in chosen if day <= last)

    return days


def _last_day(offset: int, *, near: bool) -> Days:
    if offset > 30:
        raise CronError(DAY.name, f"L-{offset}", f"L goes back at most 30 days, not {offset}", "L-30")

    def days(year: int, month: int) -> tuple[int, ...]:
        day = calendar.monthrange(year, month)[1] - offset
        if day < 1:
            return ()
        return (_working_day(year, month, day) if near else day,)

    return days


def _nearest(day: int) -> Days:
    def days(year: int, month: int) -> tuple[int, ...]:
        return (_working_day(year, month, day),) if day <= calendar.monthrange(year, month)[1] else ()

    return days


def _working_day(year: int, month: int, day: int) -> int:
    """The day itself, or the Monday to Friday nearest to it in the same month."""
    weekday, last = date(year, month, day).weekday(), calendar.monthrange(year, month)[1]
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _of_week(word: str, flavour: Flavour) -> Days:
    if word == "L":  # the last day of the week
        return _weekdays(frozenset({6}))
    last = _LAST_OF.fullmatch(word)
    if last is not None:
        return _nth(value(last[1], word, WEEKDAY) - 1, -1)
    nth = _NTH_OF.fullmatch(word)
    if nth is not None:
        if not 1 <= int(nth[2]) <= 5:
            fix = f"{nth[1]}#{min(max(int(nth[2]), 1), 5)}"
            raise CronError(WEEKDAY.name, word, f"# counts from 1 to 5, not {nth[2]}", fix)
        return _nth(value(nth[1], word, WEEKDAY) - 1, int(nth[2]))
    return _weekdays(frozenset(day - 1 for day in values(word, WEEKDAY, flavour)))


def _weekdays(chosen: frozenset[int]) -> Days:
    def days(year: int, month: int) -> tuple[int, ...]:
        first, last = _shape(year, month)
        return tuple(day for day in range(1, last + 1) if (first + day - 1) % 7 in chosen)

    return days


def _nth(weekday: int, count: int) -> Days:
    """The count-th such weekday of a month, none where the month has fewer; -1 is the last one."""

    def days(year: int, month: int) -> tuple[int, ...]:
        first, last = _shape(year, month)
        found = range(1 + (weekday - first) % 7, last + 1, 7)
        if count == -1:
            return (found[-1],)
        return (found[count - 1],) if count <= len(found) else ()

    return days


def _shape(year: int, month: int) -> tuple[int, int]:
    """The weekday of a month's first day (0 is Sunday), and its length."""
    first, last = calendar.monthrange(year, month)
    return (first + 1) % 7, last
