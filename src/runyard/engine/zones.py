"""Time zones by name: the only place that reads their data, from the system or the `tzdata` package."""

from __future__ import annotations

import difflib
from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from runyard.core.errors import invalid


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The zone of an IANA name; raises invalid, with the nearest name, for one that there is not."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        hint = f" Did you mean {near[0]!r}?" if (near := _near(name)) else ""
        said = f"There is no time zone {name[:60]!r}.{hint} Give an IANA name such as Europe/Berlin."
        raise invalid(said, field="schedule.time_zone") from None


def _near(name: str) -> list[str]:
    known = {one.lower(): one for one in _names()}
    return [known[one] for one in difflib.get_close_matches(name[:60].lower(), known, n=1)]


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones())
