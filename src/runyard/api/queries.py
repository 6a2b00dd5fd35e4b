"""The query strings of the native API as structs, and their translation to the core's filters."""

from __future__ import annotations

from typing import Literal

from runyard.api import times
from runyard.core.errors import RunyardError, invalid
from runyard.core.query import JobFilter, RunFilter
from runyard.core.states import State
from runyard.core.triggers import TriggerFilter
from runyard.http.body import Query


class PageQuery(Query, frozen=True, kw_only=True):
    """A page of a list: at most 200 items, from a cursor that the page before gave."""

    limit: int = 25
    cursor: str | None = None


class RunsQuery(PageQuery, frozen=True, kw_only=True):
    """Which runs; all filters must hold. Times are RFC 3339, dates or milliseconds."""

    state: tuple[State, ...] = ()
    job: int | None = None
    name: str | None = None
    origin: str | None = None
    workspace: str | None = None
    queue: str | None = None
    submitted_by: str | None = None
    trigger: str | None = None
    reason: str | None = None
    tag: str | None = None
    """`name=value`"""
    parameter: str | None = None
    """`name=value`; `outer.name=value` for one within another. Give a job or a time with it: no index holds them."""
    created_after: str | None = None
    created_before: str | None = None
    ended_after: str | None = None
    ended_before: str | None = None


class JobsQuery(PageQuery, frozen=True, kw_only=True):
    """Which jobs; all filters must hold."""

    name: str | None = None
    key: str | None = None
    origin: str | None = None
    workspace: str | None = None


class TriggersQuery(PageQuery, frozen=True, kw_only=True):
    """Which triggers; all filters must hold."""

    key: str | None = None
    job: int | None = None
    """Only those of this job's definition."""
    kind: str | None = None
    active: bool | None = None
    origin: str | None = None
    workspace: str | None = None


class NewTriggerQuery(Query, frozen=True, kw_only=True):
    """How a new trigger is also known, and whether it may fire already."""

    key: str | None = None
    """A name of its own, unique among triggers of this face."""
    active: bool = True


class DryRunQuery(Query, frozen=True, kw_only=True):
    """As if this run had ended just now."""

    run: int | None = None


class WebhookKeyQuery(Query, frozen=True, kw_only=True):
    """The URL of a notification, exactly as it stands there."""

    url: str = ""


class NewJobQuery(Query, frozen=True, kw_only=True):
    """How a new job is also known."""

    key: str | None = None
    """A name of its own, unique among jobs of this face."""


class ScheduleQuery(Query, frozen=True, kw_only=True):
    """How many of the next ticks."""

    count: int = 5


class RunQuery(Query, frozen=True, kw_only=True):
    """What to say about a run."""

    include: tuple[Literal["spec"], ...] = ()
    all_attempts: bool = False


class EventsQuery(Query, frozen=True, kw_only=True):
    """Which events: those after this number."""

    after: int = 0
    limit: int = 1000


class WorkspaceQuery(Query, frozen=True, kw_only=True):
    """In which workspace."""

    workspace: str = "default"


class RowsQuery(Query, frozen=True, kw_only=True):
    """Which rows of a result."""

    offset: int = 0
    limit: int = 1000


class TableQuery(WorkspaceQuery, frozen=True, kw_only=True):
    """In which workspace and schema."""

    schema: str = "main"


class PartitionsQuery(TableQuery, frozen=True, kw_only=True):
    """Which of a table's partitions; `next` of an answer is the offset of what follows."""

    offset: int = 0
    limit: int = 1000


class DropQuery(TableQuery, frozen=True, kw_only=True):
    """Whether the materialized views that read or fill the table go with it."""

    with_views: bool = False


class ClaimQuery(Query, frozen=True, kw_only=True):
    """By which claim the attempt holds its task."""

    claim: int


MAX_EVENTS = 1000


def run_filter(query: RunsQuery) -> RunFilter:
    """The filter of a list of runs; raises `invalid`."""
    return RunFilter(
        states=list(query.state) or None,
        job_id=query.job,
        name=query.name,
        origin=query.origin,
        workspace=query.workspace,
        queue=query.queue,
        submitted_by=query.submitted_by,
        trigger=query.trigger,
        reason=query.reason,
        tag=_pair(query.tag, "tag"),
        parameter=_parameter(query.parameter),
        created_after=times.read(query.created_after, "created_after"),
        created_before=times.read(query.created_before, "created_before"),
        ended_after=times.read(query.ended_after, "ended_after"),
        ended_before=times.read(query.ended_before, "ended_before"),
    )


def job_filter(query: JobsQuery) -> JobFilter:
    """The filter of a list of jobs."""
    return JobFilter(name=query.name, key=query.key, origin=query.origin, workspace=query.workspace)


def trigger_filter(query: TriggersQuery) -> TriggerFilter:
    """The filter of a list of triggers."""
    return TriggerFilter(
        key=query.key,
        job_id=query.job,
        kind=query.kind,
        active=query.active,
        origin=query.origin,
        workspace=query.workspace,
    )


def _pair(text: str | None, field: str) -> tuple[str, str] | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise invalid(f"{field} must read name=value; it is {text!r}.", field=field)
    return name, value


def _parameter(text: str | None) -> tuple[str, str] | None:
    given = _pair(text, "parameter")
    if given is not None and '"' in given[0]:
        raise invalid(f"A parameter is found by a name without quotes; it is {given[0]!r}.", field="parameter")
    return given


def check_events(query: EventsQuery) -> EventsQuery:
    """The query if its numbers are in range; raises `invalid`."""
    if not 1 <= query.limit <= MAX_EVENTS:
        raise invalid(f"limit must be 1 to {MAX_EVENTS}; it is {query.limit}.", field="limit")
    if query.after < 0:
        raise invalid(f"after must be an event's number, from 0; it is {query.after}.", field="after")
    return query


def if_match(header: str | None) -> int | None:
    """The version that `If-Match` asks for; None without the header or for `*`."""
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise invalid(f"If-Match must be the job's version, such as 3; it is {header!r}.", field="If-Match")
    return int(text)


def idempotency_key(header: str | None) -> str | None:
    """The value of `Idempotency-Key`; raises `invalid` for one that cannot be a key."""
    if header is None:
        return None
    if not 1 <= len(header) <= 255 or not header.isprintable():
        raise _bad_key(header)
    return header


def _bad_key(header: str) -> RunyardError:
    message = f"Idempotency-Key must have 1 to 255 printable characters; it has {len(header)}."
    return invalid(message, field="Idempotency-Key")
