"""Times as the API says them: RFC 3339 in UTC with milliseconds; the core counts milliseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

from runyard.core.errors import invalid

_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def say(at_ms: int) -> str:
    """`2026-11-21T09:40:33.123Z`."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


def say_or_none(at_ms: int | None) -> str | None:
    """As `say`; None stays None."""
    return None if at_ms is None else say(at_ms)


def read(text: str | None, field: str) -> int | None:
    """RFC 3339, a plain date, or whole milliseconds, as milliseconds; raises `invalid` naming the field."""
    if text is None:
        return None
    at = _parse(text)
    if at is None or not 0 <= at <= _LATEST_MS:
        found = f"{field} must be a time such as 2026-11-21T09:40:33Z, a date, or milliseconds since 1970"
        raise invalid(f"{found}; it is {text!r}.", field=field)
    return at


def _parse(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 16 else None
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time())
        else:
            # A plus sign that was not percent-encoded arrives as a space.
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return _to_ms(moment)
    except (ValueError, OverflowError):
        return None


def _to_ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
