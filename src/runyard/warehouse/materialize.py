"""Fills a view's target from what its source holds: in chunks, with progress and an end between any two of them.

All chunks are one transaction. Readers see the target before or after, never in between; a stop or a crash leaves it
as it was; and the repeat of a populate that has committed is its recorded outcome.
"""

from __future__ import annotations

import time
from typing import Any

import duckdb
import msgspec

from runyard.core.actions import Materialize
from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.warehouse.changes import ended
from runyard.warehouse.conditions import condition
from runyard.warehouse.effects import Effects
from runyard.warehouse.kinds import Tell
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.partitions import Key, label, spelled
from runyard.warehouse.partitions import kept as kept_key
from runyard.warehouse.partitions import value as value_of
from runyard.warehouse.refused import Refused
from runyard.warehouse.tables import path
from runyard.warehouse.tasks import Task
from runyard.warehouse.touched import Touched
from runyard.warehouse.views import View, Views, insert

_PARTS = "temp.runyard_parts"
_MOST_PARTS = 10_000
_SAMPLE_STEPS = 1_000_000
_MOST_READ_ROWS = 1_000_000_000
_MOST_READ_TIMES = 50
"""Partitions are no chunks when to read each by itself would read more rows than this, and the source more often."""


class _Chunks(msgspec.Struct, frozen=True):
    """Names (of partitions) and queries of chunks, and what divides them."""

    parts: list[tuple[str, str]]
    by: str


class Materializer:
    """Runs `Materialize`."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects, views: Views) -> None:
        self._effects, self._views = effects, views

    def tables(self, action: Materialize) -> frozenset[str]:
        """The view's target; raises `Refused` when there is no such view."""
        for given in filter(None, (action.where, action.partition_by)):
            if condition(given, action.dialect)[1]:
                raise Refused(f"{given!r} uses parameters, which a materialize task does not have.")
        return frozenset({self._view(action).target.lower()})

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Fills the target at most once."""
        action, began = task.assignment.action, time.perf_counter()
        assert isinstance(action, Materialize)
        view = self._view(action)
        if task.ticket is None or task.ticket.tables is None or view.writes[1] not in task.ticket.tables:
            raise Refused(f"The view {view.name} was made anew meanwhile, with another target.")
        task.tells_itself = True
        return self._effects.once(
            cursor, task.assignment, lambda touched: _fill(task, cursor, view, touched, tell, began)
        )

    def _view(self, action: Materialize) -> View:
        view = self._views.find(action.view)
        if view is None:
            raise Refused(f"There is no view {action.view}.")
        return view


def _fill(
    task: Task, cursor: duckdb.DuckDBPyConnection, view: View, touched: Touched, tell: Tell, began: float
) -> Outcome:
    action = task.assignment.action
    assert isinstance(action, Materialize)
    if action.truncate:
        cursor.execute(f"DELETE FROM {path(view.schema, view.target)}")
        touched.replaced[view.writes] = ""
    else:
        touched.appended.add(view.writes)
    touched.read |= tables_of(f"SELECT * FROM (\n{view.query}\n)", view.schema).read
    chunks, rows = _chunks(cursor, view, action), 0
    for done, (name, chunk) in enumerate(chunks.parts):
        told: dict[str, Any] = {"chunks": len(chunks.parts), "chunks_done": done, "rows": rows}
        message = "Filling the view's target."
        if name:
            message, told["partition"] = f"Filling the view's target: {name}.", name
        tell(task, {"message": message, "fraction": round(done / len(chunks.parts), 4), **told})
        task.check()
        rows += insert(cursor, view, chunk)
    cursor.execute(f"DROP TABLE IF EXISTS {_PARTS}")
    output = {"view": view.name, "table": view.target, "row_count": rows, "chunks": len(chunks.parts)}
    output["chunks_by"] = chunks.by
    return ended(task, began, rows, output, chunks=len(chunks.parts))


def _chunks(cursor: duckdb.DuckDBPyConnection, view: View, action: Materialize) -> _Chunks:
    """Queries that together give the wanted rows of the source, each once."""
    kept = [condition(action.where, action.dialect)[0]] if action.where else []
    if action.sample < 1:
        kept.append(f"hash(rowid) % {_SAMPLE_STEPS} < {round(action.sample * _SAMPLE_STEPS)}")
    if action.partition_by:
        value, by = condition(action.partition_by, action.dialect)[0], action.partition_by.strip()
        parts, why = _partitions(cursor, view, (value,), (by,), kept, scattered=True)
        if why:
            raise Refused(f"The view's source {why} by this expression.")
        return _Chunks(parts, by)
    key = kept_key(cursor, view.schema, view.source)
    values = tuple(value_of(one) for one in key)
    parts, why = _partitions(cursor, view, values, key, kept, scattered=False) if key else ([], "")
    if key and not why:
        return _Chunks(parts, spelled(key))
    by = f"{action.chunk_rows} rows" + (f", since the source {why} by {spelled(key)}" if key else "")
    return _Chunks(_blocks(cursor, view, action.chunk_rows, kept), by)


def _blocks(cursor: duckdb.DuckDBPyConnection, view: View, size: int, kept: list[str]) -> list[tuple[str, str]]:
    row = cursor.execute(f"SELECT max(rowid) FROM {path(view.schema, view.source)}").fetchone()
    last = -1 if row is None or row[0] is None else int(row[0])
    starts = range(0, last + 1, size)
    return [("", _rows(view, [*kept, f"rowid >= {start}", f"rowid < {start + size}"])) for start in starts]


def _partitions(
    cursor: duckdb.DuckDBPyConnection, view: View, key: Key, names: Key, kept: list[str], *, scattered: bool
) -> tuple[list[tuple[str, str]], str]:
    """One chunk for each partition, in order, or why not: there are too many, or (unless `scattered`) they lie so that
    to read each by itself would read the source very often."""
    places = [f"value_{place}" for place in range(len(key))]
    values = ", ".join(f"({one}) AS {place}" for one, place in zip(key, places, strict=True))
    where = f" WHERE {' AND '.join(kept)}" if kept else ""
    found = (
        f"SELECT {values}, min(rowid) AS first_row, max(rowid) AS last_row FROM {path(view.schema, view.source)}{where}"
        f" GROUP BY {', '.join(places)} LIMIT {_MOST_PARTS + 1}"
    )
    order = f"row_number() OVER (ORDER BY {', '.join(places)}) AS place"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE runyard_parts AS SELECT {order}, * FROM ({found})")
    texts = ", ".join(f"CAST({place} AS VARCHAR)" for place in places)
    rows = cursor.execute(f"SELECT place, first_row, last_row, {texts} FROM {_PARTS} ORDER BY place").fetchall()
    if len(rows) > _MOST_PARTS:
        return [], f"has more than {_MOST_PARTS} partitions"
    read, whole = sum(last - first + 1 for _, first, last, *_ in rows), max((row[2] + 1 for row in rows), default=0)
    if not scattered and read > max(_MOST_READ_ROWS, _MOST_READ_TIMES * whole):
        return [], f"would be read {round(read / whole)} times for its {len(rows)} partitions, which lie scattered,"
    parts = []
    for number, first, last, *said in rows:
        looked_up = f"FROM {_PARTS} WHERE place = {number}"
        conditions = [
            f"({one}) IS NOT DISTINCT FROM (SELECT {place} {looked_up})" for one, place in zip(key, places, strict=True)
        ]
        # Between its first and last row: DuckDB leaves out the others, whatever the key's expressions are.
        conditions += [f"rowid >= {first}", f"rowid <= {last}"]
        parts.append((label(names, said), _rows(view, [*kept, *conditions])))
    return parts, ""


def _rows(view: View, kept: list[str]) -> str:
    return view.everything() + (f" WHERE {' AND '.join(kept)}" if kept else "")
