"""One field of a cron expression: its flavours, its least and greatest value, lists, ranges and steps."""

from __future__ import annotations

import difflib
import enum
import re
from typing import NamedTuple

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Where the search for a matching time ends, in both directions."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class Flavour(enum.StrEnum):
    """Which rules an expression follows."""

    UNIX = "unix"
    QUARTZ = "quartz"
    MINUTES_FIRST = "minutes_first"


class CronError(ValueError):
    """An expression that cannot be used: which field, what was found there, why it is wrong.

    `suggestion` is a whole expression near the given one that is valid, where there is one.
    """

    def __init__(self, field: str, found: str, why: str, fix: str | None = None) -> None:
        super().__init__(f"the {field} field is {found!r}: {why}" if field else why)
        self.field = field
        self.found = found
        self.fix = fix
        """What may stand in the field instead."""
        self.suggestion: str | None = None


class Span(NamedTuple):
    """A field: its name, its least and greatest value, and the names of its values from the least on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEAR = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SECOND, MINUTE, HOUR = Span("second", 0, 59), Span("minute", 0, 59), Span("hour", 0, 23)
DAY, MONTH = Span("day of month", 1, 31), Span("month", 1, 12, _YEAR)
UNIX_WEEKDAY, WEEKDAY = Span("day of week", 0, 7, _WEEK), Span("day of week", 1, 7, _WEEK)
YEAR = Span("year", FIRST_YEAR, LAST_YEAR)


def values(word: str, span: Span, flavour: Flavour) -> tuple[int, ...]:
    """The values of a list such as `1-5,10/15,MON`, in order."""
    found: set[int] = set()
    for part in word.split(","):
        found |= _part(part, word, span, flavour)
    return tuple(sorted(found))


def _part(part: str, word: str, span: Span, flavour: Flavour) -> set[int]:
    base, slash, step_text = part.partition("/")
    step = _step(step_text, word, span) if slash else 1
    if base == "*" or (not base and slash and flavour is Flavour.QUARTZ):
        return set(range(span.low, span.high + 1, step))
    first_text, dash, last_text = base.partition("-")
    first = value(first_text, word, span)
    if not dash:
        return set(range(first, span.high + 1, step)) if slash else {first}
    last = value(last_text, word, span)
    if span is UNIX_WEEKDAY and last == 0 < first:
        last = 7  # SAT-SUN
    if last >= first:
        return set(range(first, last + 1, step))
    if flavour is not Flavour.QUARTZ or span.name == "year":
        why = f"the range {base} begins after its end"
        raise CronError(span.name, word, why, word.replace(base, f"{first}-{span.high},{span.low}-{last}"))
    size = span.high - span.low + 1
    return {(number - span.low) % size + span.low for number in range(first, last + size + 1, step)}


def _step(text: str, word: str, span: Span) -> int:
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise CronError(span.name, word, f"a step is a whole number from 1, not {text!r}")
    step = int(text)
    if step > span.high - span.low + 1:
        why = f"the step {step} is longer than the field ({span.low} to {span.high})"
        raise CronError(span.name, word, why, re.sub(r"/[0-9]+$", "", word))
    return step


def value(text: str, word: str, span: Span) -> int:
    if text in span.names:
        return span.names.index(text) + span.low
    if not _NUMBER.fullmatch(text):
        raise _no_value(text, word, span)
    number = int(text)
    if not span.low <= number <= span.high:
        near = min(max(number, span.low), span.high)
        why = f"{number} is outside {span.low} to {span.high}"
        raise CronError(span.name, word, why, re.sub(rf"(?<![0-9]){text}(?![0-9])", str(near), word, count=1))
    return number


def _no_value(text: str, word: str, span: Span) -> CronError:
    if text == "?":
        return CronError(span.name, word, "'?' stands in a day field of quartz or minutes_first only", "*")
    if re.search("[LW#]", text) and text not in span.names and re.fullmatch("[0-9LW#-]+", text):
        why = "L, W and # stand alone in a day field, and only in the flavours quartz and minutes_first"
        return CronError(span.name, word, why)
    near = difflib.get_close_matches(text, span.names, n=1, cutoff=0.4) if text else []
    names = f" or one of {', '.join(span.names)}" if span.names else ""
    what = repr(text) if text else "nothing"
    fix = word.replace(text, near[0], 1) if near else None
    return CronError(span.name, word, f"it must hold numbers from {span.low} to {span.high}{names}; found {what}", fix)
