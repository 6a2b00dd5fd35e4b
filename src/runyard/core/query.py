"""How kept things are asked for: filters as values, and keyset pages that later inserts do not shift."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import msgspec

from runyard.core.errors import invalid
from runyard.core.states import State

MAX_PAGE = 200
_CURSOR = re.compile("[0-9a-f]{1,14}")

T = TypeVar("T")


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields that are None do not restrict; all others must hold together."""


class RunFilter(Filter, frozen=True, kw_only=True):
    """Which runs. Time bounds are in milliseconds, `after` inclusive and `before` exclusive."""

    states: list[State] | None = None
    job_id: int | None = None
    of_job: bool | None = None
    """Runs of kept jobs (true), or one-time submissions (false)."""
    name: str | None = None
    origin: str | None = None
    workspace: str | None = None
    queue: str | None = None
    submitted_by: str | None = None
    trigger: str | None = None
    reason: str | None = None
    tag: tuple[str, str] | None = None
    parameter: tuple[str, str] | None = None
    """A parameter's name and its value: a text as it is, anything else as JSON. `a.b` is also b within a."""
    parent_task_run_id: int | None = None
    created_after: int | None = None
    created_before: int | None = None
    ended_after: int | None = None
    ended_before: int | None = None


class JobFilter(Filter, frozen=True, kw_only=True):
    """Which jobs; deleted ones are never listed."""

    name: str | None = None
    name_any_case: str | None = None
    """The name, whatever the case of its (ASCII) letters."""
    key: str | None = None
    origin: str | None = None
    workspace: str | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items, newest first, and the cursor of the next page (None on the last)."""

    items: list[T]
    next: str | None = None


def check_limit(limit: int) -> int:
    """The page size, or a refusal."""
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"limit must be 1 to {MAX_PAGE}; it is {limit}.", field="limit")
    return limit


def cursor_of(last_id: int) -> str:
    """The opaque text that continues after this id."""
    return f"{last_id:x}"


def parse_cursor(cursor: str | None) -> int | None:
    """The id that a page starts after; raises `invalid` on anything that we did not make."""
    if cursor is None:
        return None
    value = int(cursor, 16) if _CURSOR.fullmatch(cursor) else 0
    if not 0 < value < 1 << 53:
        raise invalid(f"{cursor!r} is no cursor of ours: take `next` of the page before.", field="cursor")
    return value
