"""Cron by brute force, written from the published rules and not from our code: asks of each day and each value in
turn whether it matches. Slow, and simple enough to be believed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

WEEK = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
YEAR = ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
MACROS = {"@YEARLY": "0 0 1 1 *", "@ANNUALLY": "0 0 1 1 *", "@MONTHLY": "0 0 1 * *", "@WEEKLY": "0 0 * * 0",
          "@DAILY": "0 0 * * *", "@MIDNIGHT": "0 0 * * *", "@HOURLY": "0 * * * *"}  # fmt: skip
ONE_DAY = timedelta(days=1)


def hits(word: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Whether a list of numbers, names, ranges and steps holds the value."""
    return any(_part_hits(part, value, low, high, names) for part in word.split(","))


def _part_hits(part: str, value: int, low: int, high: int, names: list[str]) -> bool:
    base, _, step = part.partition("/")
    every = int(step or 1)
    if base in ("*", ""):
        return (value - low) % every == 0
    first, _, last = base.partition("-")
    a = names.index(first) if first in names else int(first)
    if not last:
        return value >= a and (value - a) % every == 0 if step else value == a
    b = names.index(last) if last in names else int(last)
    size = high - low + 1
    way, length = (value - a) % size, (b - a) % size
    return way <= length and way % every == 0


def day_of_month_hits(word: str, day: date) -> bool:
    """With L, L-3, LW, L-3W, 15W."""
    if found := re.fullmatch(r"L(?:-(\d+))?(W)?", word):
        back = int(found[1] or 0)
        wanted = [one for one in month_of(day) if (one + back * ONE_DAY).month == day.month]
        wanted = [one for one in wanted if (one + (back + 1) * ONE_DAY).month != day.month]
        return bool(wanted) and day == (nearest_weekday(wanted[0]) if found[2] else wanted[0])
    if word.endswith("W"):
        wanted = [one for one in month_of(day) if one.day == int(word[:-1])]
        return bool(wanted) and day == nearest_weekday(wanted[0])
    return hits(word, day.day, 1, 31, [])


def month_of(day: date) -> list[date]:
    """All days of its month."""
    days = [day.replace(day=1)]
    while (days[-1] + ONE_DAY).month == day.month:
        days.append(days[-1] + ONE_DAY)
    return days


def nearest_weekday(day: date) -> date:
    """The Monday to Friday of the same month that is closest."""
    return min((one for one in month_of(day) if one.isoweekday() <= 5), key=lambda one: abs(one - day))


def day_of_week_hits(word: str, day: date) -> bool:
    """Sunday is 1; with L, 6L, 6#3."""
    value = day.isoweekday() % 7 + 1
    names = ["", *WEEK]

    def number(text: str) -> int:
        return names.index(text) if text in names else int(text)

    if word == "L":
        return value == 7
    if word.endswith("L"):
        return value == number(word[:-1]) and (day + 7 * ONE_DAY).month != day.month
    if "#" in word:
        which, _, count = word.partition("#")
        return value == number(which) and (day.day + 6) // 7 == int(count)
    return hits(word, value, 1, 7, names)


def unix_day_hits(in_month: str, in_week: str, day: date) -> bool:
    """Either of two restricted fields; both, where one begins with a star. Sunday is 0 and 7."""
    of_month = hits(in_month, day.day, 1, 31, [])
    weekday = day.isoweekday() % 7
    # A range that ends on Sunday by name means the Sunday after.
    in_week = re.sub(r"([A-Z0-9]+)-SUN", r"\1-7", in_week).replace("0-7", "0-6")
    of_week = hits(in_week, weekday, 0, 7, WEEK) or (weekday == 0 and hits(in_week, 7, 0, 7, WEEK))
    if in_month.startswith("*") or in_week.startswith("*"):
        return of_month and of_week
    return of_month or of_week


def local_fires(text: str, flavour: str, start: datetime, count: int) -> list[datetime]:
    """The first matching local times later than `start`, looked for until 2199."""
    words = text.strip().upper().removeprefix("CRON(").removesuffix(")").split()
    if flavour == "unix" and words[0] in MACROS:
        words = MACROS[words[0]].split()
    if flavour == "minutes_first":
        second, (minute, hour, dom, month, dow, year) = "0", words
    elif flavour == "quartz":
        second, minute, hour, dom, month, dow, year = [*words, "*"][:7]
    else:
        (second, minute, hour, dom, month, dow), year = ["0", *words][-6:], "*"
    seconds = [value for value in range(60) if hits(second, value, 0, 59, [])]
    minutes = [value for value in range(60) if hits(minute, value, 0, 59, [])]
    hours = [value for value in range(24) if hits(hour, value, 0, 23, [])]
    found: list[datetime] = []
    day = start.date()
    while len(found) < count and day.year < 2200:
        if not hits(year, day.year, 1970, 2199, []):
            day = date(day.year + 1, 1, 1)
            continue
        if hits(month, day.month, 1, 12, YEAR) and _day_hits(flavour, dom, dow, day):
            for clock in (time(h, m, s) for h in hours for m in minutes for s in seconds):
                moment = datetime.combine(day, clock)
                if moment > start and len(found) < count:
                    found.append(moment)
        day += ONE_DAY
    return found


def _day_hits(flavour: str, dom: str, dow: str, day: date) -> bool:
    if flavour == "unix":
        return unix_day_hits(dom, dow, day)
    return day_of_week_hits(dow, day) if dom == "?" else day_of_month_hits(dom, day)


def moment_of(local: datetime, zone: tzinfo) -> datetime:
    """The first moment at which the zone's clocks show at least this time: by looking at every minute, then second."""
    if str(zone) == "UTC":
        return local.replace(tzinfo=UTC)
    moment = local.replace(tzinfo=UTC) - timedelta(hours=15)
    for step in (timedelta(minutes=1), timedelta(seconds=1)):
        while (moment + step).astimezone(zone).replace(tzinfo=None) < local:
            moment += step
    return moment + timedelta(seconds=1)


def fires(text: str, flavour: str, zone: tzinfo, start: datetime, count: int) -> list[datetime]:
    """The first moments later than `start`; each once."""
    local = start.astimezone(zone).replace(tzinfo=None, fold=0) - timedelta(hours=0 if str(zone) == "UTC" else 2)
    found: list[datetime] = []
    while len(found) < count:
        batch = local_fires(text, flavour, local, count + 20)
        if not batch:
            break
        for one in batch:
            moment = moment_of(one, zone)
            if moment > start and moment not in found:
                found.append(moment)
        local = batch[-1]
    return found[:count]
