"""Fills a view's target from what its source holds: in chunks, with progress and an end between any two of them.

All chunks are one transaction. Readers see the target before or after, never in between; a stop or a crash leaves it
as it was; and the repeat of a populate that has committed is its recorded outcome.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb

from runyard.core.actions import Materialize
from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.warehouse.changes import ended
from runyard.warehouse.conditions import condition
from runyard.warehouse.effects import Effects
from runyard.warehouse.kinds import Tell
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.refused import Refused
from runyard.warehouse.tables import path
from runyard.warehouse.tasks import Task
from runyard.warehouse.touched import Touched
from runyard.warehouse.views import View, Views, insert

_PARTS = "temp.runyard_parts"
_MOST_PARTS = 10_000
_SAMPLE_STEPS = 1_000_000


class Materializer:
    """Runs `Materialize`."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects, views: Views) -> None:
        self._effects, self._views = effects, views

    def tables(self, action: Materialize) -> frozenset[str]:
        """The view's target; raises `Refused` when there is no such view."""
        for text in filter(None, (action.where, action.partition_by)):
            if condition(text, action.dialect)[1]:
                raise Refused(f"{text!r} uses parameters, which a materialize task does not have.")
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
    chunks, rows = list(_chunks(cursor, view, action)), 0
    for done, chunk in enumerate(chunks):
        told = {"chunks": len(chunks), "chunks_done": done, "rows": rows}
        tell(task, {"message": "Filling the view's target.", "fraction": round(done / len(chunks), 4), **told})
        task.check()
        rows += insert(cursor, view, chunk)
    cursor.execute(f"DROP TABLE IF EXISTS {_PARTS}")
    output = {"view": view.name, "table": view.target, "row_count": rows, "chunks": len(chunks)}
    return ended(task, began, rows, output, chunks=len(chunks))


def _chunks(cursor: duckdb.DuckDBPyConnection, view: View, action: Materialize) -> Iterator[str]:
    """Queries that together give the wanted rows of the source, each once."""
    kept = [condition(action.where, action.dialect)[0]] if action.where else []
    if action.sample < 1:
        kept.append(f"hash(rowid) % {_SAMPLE_STEPS} < {round(action.sample * _SAMPLE_STEPS)}")
    if action.partition_by:
        yield from _partitions(cursor, view, condition(action.partition_by, action.dialect)[0], kept)
        return
    row = cursor.execute(f"SELECT max(rowid) FROM {path(view.schema, view.source)}").fetchone()
    last = -1 if row is None or row[0] is None else int(row[0])
    for start in range(0, last + 1, action.chunk_rows):
        yield _rows(view, [*kept, f"rowid >= {start}", f"rowid < {start + action.chunk_rows}"])


def _partitions(cursor: duckdb.DuckDBPyConnection, view: View, value: str, kept: list[str]) -> Iterator[str]:
    """One chunk for each value of the partition's expression, in order."""
    values = f"SELECT DISTINCT {value} AS value FROM ({_rows(view, kept)})"
    cursor.execute(
        f"CREATE TEMP TABLE runyard_parts AS SELECT row_number() OVER (ORDER BY value) AS place, value FROM ({values})"
    )
    row = cursor.execute(f"SELECT count(*) FROM {_PARTS}").fetchone()
    count = int(row[0]) if row else 0
    if count > _MOST_PARTS:
        raise Refused(f"The view's source has {count} partitions by this expression; {_MOST_PARTS} may be.")
    for place in range(1, count + 1):
        this = f"(SELECT value FROM {_PARTS} WHERE place = {place})"
        yield _rows(view, [*kept, f"{value} IS NOT DISTINCT FROM {this}"])


def _rows(view: View, kept: list[str]) -> str:
    return view.everything() + (f" WHERE {' AND '.join(kept)}" if kept else "")
