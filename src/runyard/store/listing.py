"""How a page of runs is found in SQLite: newest first, by any filters, without a look at every run.

Each filter has an index in which its runs stand in order of id, so one filter alone reads its page and stops.
Of several together one leads, and the others are checked on the runs that it gives. SQLite cannot know which
should lead (a state may hold a handful of runs or nearly all), so it is asked first, cheaply: the one whose
runs are spread out most, seen from where the page begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from runyard.core.ids import EPOCH_MS, LIMIT, first_at
from runyard.core.query import RunFilter

Values = tuple[Any, ...]
Ask = Callable[[str, Values], list[Values]]

_FEW = 1_000
"""A filter that holds no more runs than this leads without further question."""
_FEW_ENDED = 10_000
"""A span of ends with no more runs than this is sorted by id; the runs of a wider one stand close enough."""
_SLACK_MS = 100
_AHEAD = f"(id >> 12) + {EPOCH_MS} - min(created_at, coalesce(ended_at, created_at)) > {_SLACK_MS}"
"""Runs whose id is ahead of their times, because the clock was set back: the index `run_ahead` holds them."""
_LONG_MS = 86_400_000
_LONG = f"ended_at - ((id >> 12) + {EPOCH_MS}) > {_LONG_MS}"
"""Runs that ended more than a day after they were made: the index `run_long` holds them."""
_INDEXES = {
    "job_id": "run_job",
    "parent_task_run_id": "run_parent",
    "name": "run_name",
    "reason": "run_reason",
    "queue": "run_queue",
    "submitted_by": "run_submitter",
    "trigger": "run_trigger",
    "workspace": "run_workspace",
    "origin": "run_origin",
}


class _Condition(msgspec.Struct, frozen=True):
    """SQL that is true of the wanted rows."""

    text: str
    values: Values


class _Source(msgspec.Struct, frozen=True):
    """An index that gives runs in order of id."""

    table: str
    condition: _Condition
    id: str = "id"
    join: str = ""


class _Place(msgspec.Struct, frozen=True):
    """Where a page begins, and which way it goes."""

    where: RunFilter
    after: int | None
    newer: bool

    @property
    def order(self) -> str:
        """The order of ids."""
        return "ASC" if self.newer else "DESC"


class _Filter(msgspec.Struct, frozen=True):
    """One filter: its check on a run, and the indexes that together give its runs (none: it never leads)."""

    check: _Condition
    sources: list[_Source] = []
    sorted: bool = True
    """Whether the sources are in order of id."""


def page(
    columns: str, where: RunFilter, limit: int, after: int | None, ask: Ask, *, newer: bool = False
) -> tuple[str, Values]:
    """The statement of a page; `ask` answers the short questions by which the leading filter is chosen.

    `newer` turns the page round: what was made after `after`, oldest first.
    """
    place = _Place(where, after, newer)
    filters = [*_filters(where)]
    lead = _leading(filters, where, after, ask, newer)
    checks = [one.check for one in filters if one is not lead]
    if lead is None:
        return _select(columns, _Source("run NOT INDEXED", _Condition("true", ())), checks, place, limit)
    if lead.sorted and len(lead.sources) == 1:
        return _select(columns, lead.sources[0], checks, place, limit)
    # Ids first, so that only the page's own runs are read whole.
    found = [_select("id", source, checks, place, limit) for source in lead.sources]
    union = " UNION ALL ".join(f"SELECT id FROM ({text})" for text, _ in found)
    values = sum((values for _, values in found), ())
    return f"SELECT {columns} FROM run WHERE id IN ({union}) ORDER BY id {place.order} LIMIT ?", (*values, limit)


def _select(columns: str, source: _Source, checks: list[_Condition], place: _Place, limit: int) -> tuple[str, Values]:
    conditions = [source.condition, *_span(place, source.id), *checks]
    text = " AND ".join(one.text for one in conditions)
    values = sum((one.values for one in conditions), ())
    table = f"{source.table}{source.join}"
    return f"SELECT {columns} FROM {table} WHERE {text} ORDER BY {source.id} {place.order} LIMIT ?", (*values, limit)


# --- which filter leads -----------------------------------------------------------------------------------


def _leading(
    filters: list[_Filter], where: RunFilter, after: int | None, ask: Ask, newer: bool = False
) -> _Filter | None:
    """The filter whose index is read; None: the runs themselves, newest first."""
    ordered = [one for one in filters if one.sources and one.sorted]
    if len(ordered) == 1 and len(filters) == 1:
        return ordered[0]
    if newer:  # how far the filters reach is known backwards only
        return ordered[0] if ordered else None
    reach: list[int] = []
    for one in ordered:
        reach.append(max((_nth(source, where, after, ask) for source in one.sources), default=0))
        if not reach[-1]:
            return one
    for one in filters:
        if not one.sorted and not _many_ended(one.sources[0], ask):
            return one
    return min(zip(reach, ordered, strict=True), key=lambda pair: pair[0])[1] if ordered else None


def _nth(source: _Source, where: RunFilter, after: int | None, ask: Ask) -> int:
    """How far back the first thousand runs of a source reach (an id); 0 if it has fewer."""
    statement, values = _select(source.id, _plain(source), [], _Place(where, after, False), 1)
    found = ask(f"{statement} OFFSET {_FEW - 1}", values)
    return int(found[0][0]) if found else 0


def _plain(source: _Source) -> _Source:
    return msgspec.structs.replace(source, join="")


def _many_ended(source: _Source, ask: Ask) -> bool:
    text = f"SELECT 1 FROM {source.table} WHERE {source.condition.text} LIMIT 1 OFFSET {_FEW_ENDED - 1}"
    return bool(ask(text, source.condition.values))


# --- the filters ------------------------------------------------------------------------------------------


def _filters(where: RunFilter) -> Iterator[_Filter]:
    for column, index in _INDEXES.items():
        wanted = getattr(where, column)
        if wanted is not None:
            yield _equal(column, wanted, index)
    if where.of_job is not None:
        yield _Filter(_Condition(f"job_id IS {'NOT ' if where.of_job else ''}NULL", ()))
    if where.tag is not None:
        yield _tagged(*where.tag)
    if where.states is not None:
        yield _in_states([state.value for state in where.states])
    if where.created_after is not None:
        yield _Filter(_Condition("created_at >= ?", (where.created_after,)))
    if where.created_before is not None:
        yield _Filter(_Condition("created_at < ?", (where.created_before,)))
    if where.ended_after is not None or where.ended_before is not None:
        yield _ended(where.ended_after, where.ended_before)


def _equal(column: str, wanted: Any, index: str) -> _Filter:
    condition = _Condition(f"{column} = ?", (wanted,))
    if column == "reason":
        if not wanted:
            return _Filter(condition)  # most runs have none, and no index holds them
        condition = _Condition("reason = ? AND reason <> ''", (wanted,))
    return _Filter(condition, [_Source(f"run INDEXED BY {index}", condition)])


def _tagged(key: str, value: str) -> _Filter:
    check = _Condition("EXISTS (SELECT 1 FROM run_tag WHERE key = ? AND value = ? AND run_id = run.id)", (key, value))
    condition = _Condition("key = ? AND value = ?", (key, value))
    return _Filter(check, [_Source("run_tag", condition, "run_id", " CROSS JOIN run ON run.id = run_id")])


def _in_states(states: list[str]) -> _Filter:
    check = _Condition(f"state IN ({','.join('?' * len(states))})", tuple(states))
    sources = [_Source("run INDEXED BY run_state", _Condition("state = ?", (state,))) for state in states]
    return _Filter(check, sources)


def _ended(after: int | None, before: int | None) -> _Filter:
    bounds = [(">=", after), ("<", before)]
    text = " AND ".join(f"ended_at {sign} ?" for sign, moment in bounds if moment is not None)
    check = _Condition(text, tuple(moment for _, moment in bounds if moment is not None))
    return _Filter(check, [_Source("run INDEXED BY run_ended", check)], sorted=False)


def _span(place: _Place, id_: str) -> Iterator[_Condition]:
    """The ids between which the page lies: an id tells when its run was made, which is before it ended.

    One condition a side: SQLite bounds its search by one, and checks others row by row.
    """
    where, after = place.where, place.after
    made = first_at(where.created_after) if where.created_after is not None else 0
    if place.newer and after is not None:
        made, after = max(made, after + 1), None
    if where.ended_after is not None:
        long = f"SELECT min(id) FROM run INDEXED BY run_long WHERE {_LONG} AND ended_at >= ?"
        text = f"{id_} >= max(?, min(?, coalesce(({long}), {LIMIT})))"
        yield _Condition(text, (made, first_at(where.ended_after - _LONG_MS), where.ended_after))
    elif made:
        yield _Condition(f"{id_} >= ?", (made,))
    moments = [moment for moment in (where.created_before, where.ended_before) if moment is not None]
    last = after if after is not None else LIMIT
    if moments:
        ahead = f"SELECT max(id) + 1 FROM run INDEXED BY run_ahead WHERE {_AHEAD}"
        text = f"{id_} < min(?, max(?, coalesce(({ahead}), 0)))"
        yield _Condition(text, (last, first_at(min(moments) + _SLACK_MS + 1)))
    elif after is not None:
        yield _Condition(f"{id_} < ?", (last,))
