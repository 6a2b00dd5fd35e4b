"""How a page of runs is found: newest first, by any filters, without a look at every run.

Each filter has an index in which its runs stand in order of id, so one filter alone reads its page and stops.
Of several together one leads, and the others are checked on the runs that it gives. A database cannot know which
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
_FEW_ENDED = 3_000
"""A span of ends with no more runs than this is sorted by id; the runs of a wider one stand close enough."""
_SLACK_MS = 100
_AHEAD = f"(id >> 12) + {EPOCH_MS} - {{least}}(created_at, coalesce(ended_at, created_at)) > {_SLACK_MS}"
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


_PARTIAL = {
    "job_id": "job_id IS NOT NULL",
    "parent_task_run_id": "parent_task_run_id IS NOT NULL",
    "reason": "reason <> ''",
}


class Spelling(msgspec.Struct, frozen=True):
    """What a database calls things, and how it is made to read an index.

    SQLite is told the index. PostgreSQL is not told, and would often rather walk all runs by id until it has found a
    page; but it has no other order by an index's leading columns than that index's own.
    """

    least: str
    greatest: str
    indexed: bool
    """Whether an index is named; otherwise it is asked for by its order."""
    parameter: str
    """The JSON text of one parameter of a run, by a path."""
    path: Callable[[tuple[str, ...]], Any]
    """A path of names as this database is given it."""


def _dollar_path(names: tuple[str, ...]) -> str:
    return "$" + "".join(f'."{name}"' for name in names)


SQLITE = Spelling("min", "max", True, "parameters -> ?", _dollar_path)
POSTGRES = Spelling("LEAST", "GREATEST", False, "(parameters::json #> ?)::text", list)


class _Condition(msgspec.Struct, frozen=True):
    """SQL that is true of the wanted rows, or a bound of their ids."""

    text: str
    values: Values


class _Source(msgspec.Struct, frozen=True):
    """An index that gives runs in order of id where its leading columns have these values."""

    columns: tuple[str, ...]
    condition: _Condition
    index: str = ""
    table: str = "run"
    id: str = "id"
    join: str = ""
    partial: str = ""
    """What the index holds, where it does not hold all."""


class _Filter(msgspec.Struct, frozen=True):
    """One filter: its check on a run, and the indexes that together give its runs (none: it never leads)."""

    check: _Condition
    sources: list[_Source] = []
    sorted: bool = True
    """Whether the sources are in order of id."""


_EVERY = _Source((), _Condition("true", ()))


class Question(msgspec.Struct, frozen=True):
    """A page that is asked for, in the words of one database."""

    where: RunFilter
    after: int | None
    spelling: Spelling
    newer: bool = False
    """Turned round: what was made after `after`, oldest first."""

    @property
    def way(self) -> str:
        """The order of ids."""
        return "ASC" if self.newer else "DESC"

    def select(self, columns: str, source: _Source, checks: list[_Condition], limit: int) -> tuple[str, Values]:
        """The newest rows of one index."""
        found = [*self._among(source), *checks]
        text = " AND ".join(one.text for one in found)
        values = sum((one.values for one in found), ())
        ordered = (source.id,) if self.spelling.indexed else (*source.columns, source.id)
        order = ", ".join(f"{one} {self.way}" for one in ordered)
        return f"SELECT {columns} FROM {self.table(source)} WHERE {text} ORDER BY {order} LIMIT ?", (*values, limit)

    def whole(self, columns: str, selects: list[tuple[str, Values]], limit: int) -> tuple[str, Values]:
        """The newest of the runs whose ids some selects give: only the page's own runs are read whole."""
        union = " UNION ALL ".join(f"SELECT id FROM ({text}) AS one" for text, _ in selects)
        among = f"id IN ({union})" if self.spelling.indexed else f"id = ANY(ARRAY({union}))"
        values = sum((values for _, values in selects), ())
        return f"SELECT {columns} FROM run WHERE {among} ORDER BY id {self.way} LIMIT ?", (*values, limit)

    def table(self, source: _Source) -> str:
        """How a source is read."""
        if not self.spelling.indexed:
            return f"{source.table}{source.join}"
        if source.table != "run":  # CROSS: in this order
            return f"{source.table}{source.join.replace(' JOIN', ' CROSS JOIN')}"
        return f"run INDEXED BY {source.index}" if source.index else "run NOT INDEXED"

    def _among(self, source: _Source) -> Iterator[_Condition]:
        low, high = self._low(), self._high()
        if self.spelling.indexed or not source.columns:
            yield source.condition
            if low is not None:
                yield _Condition(f"{source.id} >= {low.text}", low.values)
            if high is not None:
                yield _Condition(f"{source.id} < {high.text}", high.values)
            return
        columns, marks = ", ".join((*source.columns, source.id)), "?, " * len(source.columns)
        for sign, bound, end in ((">=", low, "0"), ("<", high, str(LIMIT))):
            text, values = (bound.text, bound.values) if bound is not None else (end, ())
            yield _Condition(f"({columns}) {sign} ({marks}{text})", (*source.condition.values, *values))
        if source.partial:
            yield _Condition(source.partial, ())

    # The ids between which the page lies: an id tells when its run was made, which is before it ended.
    # One bound a side: SQLite bounds its search by one, and checks others row by row.

    def _low(self) -> _Condition | None:
        where, least, greatest = self.where, self.spelling.least, self.spelling.greatest
        made = first_at(where.created_after) if where.created_after is not None else 0
        if self.newer and self.after is not None:
            made = max(made, self.after + 1)
        if where.ended_after is not None:
            held = f"{_LONG} AND ended_at >= ?"
            if self.spelling.indexed:
                long = f"SELECT min(id) FROM run INDEXED BY run_long WHERE {held}"
            else:  # fenced, or it would look for the smallest by walking all runs
                long = f"SELECT min(id) FROM (SELECT id FROM run WHERE {held} OFFSET 0) AS long"
            text = f"{greatest}(?, {least}(?, coalesce(({long}), {LIMIT})))"
            return _Condition(text, (made, first_at(where.ended_after - _LONG_MS), where.ended_after))
        return _Condition("?", (made,)) if made else None

    def _high(self) -> _Condition | None:
        where, least, greatest = self.where, self.spelling.least, self.spelling.greatest
        moments = [moment for moment in (where.created_before, where.ended_before) if moment is not None]
        after = None if self.newer else self.after
        last = after if after is not None else LIMIT
        if moments:
            hint = " INDEXED BY run_ahead" if self.spelling.indexed else ""
            ahead = f"SELECT max(id) + 1 FROM run{hint} WHERE {_AHEAD.format(least=least)}"
            text = f"{least}(?, {greatest}(?, coalesce(({ahead}), 0)))"
            return _Condition(text, (last, first_at(min(moments) + _SLACK_MS + 1)))
        return _Condition("?", (last,)) if after is not None else None


def page(
    columns: str,
    where: RunFilter,
    limit: int,
    after: int | None,
    ask: Ask,
    spelling: Spelling = SQLITE,
    *,
    newer: bool = False,
) -> tuple[str, Values]:
    """The statement of a page; `ask` answers the short questions by which the leading filter is chosen.

    `newer` turns the page round: what was made after `after`, oldest first.
    """
    question, filters = Question(where, after, spelling, newer), [*_filters(where, spelling)]
    lead = _leading(filters, question, ask)
    checks = [one.check for one in filters if one is not lead]
    if lead is None:
        return question.select(columns, _EVERY, checks, limit)
    if lead.sorted and len(lead.sources) == 1:
        return question.select(columns, lead.sources[0], checks, limit)
    return question.whole(columns, [question.select("id", source, checks, limit) for source in lead.sources], limit)


# --- which filter leads -----------------------------------------------------------------------------------


def _leading(filters: list[_Filter], question: Question, ask: Ask) -> _Filter | None:
    """The filter whose index is read; None: the runs themselves, newest first."""
    ordered = [one for one in filters if one.sources and one.sorted]
    if len(ordered) == 1 and len(filters) == 1:
        return ordered[0]
    if question.newer:  # how far the filters reach is known backwards only
        return ordered[0] if ordered else None
    reach: list[int] = []
    for one in ordered:
        reach.append(max((_nth(source, question, ask) for source in one.sources), default=0))
        if not reach[-1]:
            return one
    for one in filters:
        if not one.sorted and not _many_ended(one.sources[0], question, ask):
            return one
    return min(zip(reach, ordered, strict=True), key=lambda pair: pair[0])[1] if ordered else None


def _nth(source: _Source, question: Question, ask: Ask) -> int:
    """How far back the first thousand runs of a source reach (an id); 0 if it has fewer."""
    statement, values = question.select(source.id, msgspec.structs.replace(source, join=""), [], 1)
    found = ask(f"{statement} OFFSET {_FEW - 1}", values)
    return int(found[0][0]) if found else 0


def _many_ended(source: _Source, question: Question, ask: Ask) -> bool:
    table = question.table(source)
    text = f"SELECT 1 FROM {table} WHERE {source.condition.text} LIMIT 1 OFFSET {_FEW_ENDED - 1}"
    return bool(ask(text, source.condition.values))


# --- the filters ------------------------------------------------------------------------------------------


def _filters(where: RunFilter, spelling: Spelling) -> Iterator[_Filter]:
    for column, index in _INDEXES.items():
        wanted = getattr(where, column)
        if wanted is not None:
            yield _equal(column, wanted, index)
    if where.of_job is not None:
        yield _Filter(_Condition(f"job_id IS {'NOT ' if where.of_job else ''}NULL", ()))
    if where.tag is not None:
        yield _tagged(*where.tag)
    if where.parameter is not None:
        yield _given(*where.parameter, spelling)
    if where.states is not None:
        yield _in_states([state.value for state in where.states])
    if where.created_after is not None:
        yield _Filter(_Condition("created_at >= ?", (where.created_after,)))
    if where.created_before is not None:
        yield _Filter(_Condition("created_at < ?", (where.created_before,)))
    if where.ended_after is not None or where.ended_before is not None:
        yield _ended(where.ended_after, where.ended_before)


def _equal(column: str, wanted: Any, index: str) -> _Filter:
    condition, partial = _Condition(f"{column} = ?", (wanted,)), _PARTIAL.get(column, "")
    if column == "reason":
        if not wanted:
            return _Filter(condition)  # most runs have none, and no index holds them
        condition = _Condition("reason = ? AND reason <> ''", (wanted,))
    return _Filter(condition, [_Source((column,), condition, index, partial=partial)])


def _tagged(key: str, value: str) -> _Filter:
    check = _Condition("EXISTS (SELECT 1 FROM run_tag WHERE key = ? AND value = ? AND run_id = run.id)", (key, value))
    condition = _Condition("key = ? AND value = ?", (key, value))
    join = " JOIN run ON run.id = run_id"
    return _Filter(check, [_Source(("key", "value"), condition, "", "run_tag", "run_id", join)])


def _given(name: str, value: str, spelling: Spelling) -> _Filter:
    """A run's parameter. No index holds it, so it never leads: the runs that other filters leave are looked at."""
    paths = [(name,), *([tuple(name.split(".", 1))] if "." in name else [])]
    texts = (value, msgspec.json.encode(value).decode())
    text = " OR ".join([f"{spelling.parameter} IN (?, ?)"] * len(paths))
    return _Filter(_Condition(f"({text})", tuple(one for path in paths for one in (spelling.path(path), *texts))))


def _in_states(states: list[str]) -> _Filter:
    check = _Condition(f"state IN ({','.join('?' * len(states))})", tuple(states))
    sources = [_Source(("state",), _Condition("state = ?", (state,)), "run_state") for state in states]
    return _Filter(check, sources)


def _ended(after: int | None, before: int | None) -> _Filter:
    bounds = [(">=", after), ("<", before)]
    text = " AND ".join(f"ended_at {sign} ?" for sign, moment in bounds if moment is not None)
    check = _Condition(text, tuple(moment for _, moment in bounds if moment is not None))
    return _Filter(check, [_Source((), check, "run_ended")], sorted=False)
