"""`Range: bytes=...` of RFC 9110, for bodies that are read in pieces."""

from __future__ import annotations

import re

from runyard.http.errors import range_not_satisfiable

_ONE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes `[start, end)` that are asked for; None for the whole.

    Several ranges, or another unit, are answered with the whole, as the standard allows. Raises status 416
    when nothing of the range exists.
    """
    match = _ONE.fullmatch(header.strip()) if header else None
    if header is None or match is None or match.groups() == (None, None):
        return None
    first, last = match.groups()
    if first is None:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise range_not_satisfiable(header, size)
    return start, end
