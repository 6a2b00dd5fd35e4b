"""A moment in the parts that definitions ask for: `{{ run.time.iso_date }}`, in UTC or the schedule's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PARTS = (
    "iso_weekday", "is_weekday", "iso_date", "iso_datetime", "year", "month", "day", "hour", "minute", "second",
    "timestamp_ms",
)  # fmt: skip


def parts(at_ms: int) -> dict[str, str]:
    """Every part of a moment as text, in UTC. `iso_weekday` counts from 1 for Monday."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return {
        "iso_weekday": str(at.isoweekday()),
        "is_weekday": "true" if at.isoweekday() <= 5 else "false",
        "iso_date": at.date().isoformat(),
        "iso_datetime": at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z",
        "year": str(at.year),
        "month": str(at.month),
        "day": str(at.day),
        "hour": str(at.hour),
        "minute": str(at.minute),
        "second": str(at.second),
        "timestamp_ms": str(at_ms),
    }
