"""Data effects that happen once: the data and the record of its outcome are committed together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import duckdb
import msgspec

from runyard.core.attempts import Assignment, EffectKey, Outcome
from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.touched import Touched, spelled
from runyard.warehouse.views import Views

_FIND = f"SELECT outcome FROM {HIDDEN_SCHEMA}.effects WHERE run_id = ? AND task_key = ? AND iteration = ? AND round = ?"
_KEEP = f"INSERT INTO {HIDDEN_SCHEMA}.effects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CONFLICTS = 5
_CONFLICT_SECONDS = 0.05

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode

Work = Callable[[Touched], Outcome]
"""Does the work inside the transaction, which it must not end, and notes the tables that it touches."""


class Effects:
    """The only way to change tables: once for each effect, with the views that follow, in one transaction."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def once(
        self, cursor: duckdb.DuckDBPyConnection, assignment: Assignment, work: Work, *, again: bool = True
    ) -> Outcome:
        """Does the work and records its outcome, or returns the outcome recorded before.

        Whatever `work` raises undoes everything and is raised again. A conflict with another writer, which the
        line of writers did not know of, is tried anew; not with `again` false, for work that cannot be repeated.
        """
        for left in reversed(range(_CONFLICTS if again else 1)):
            try:
                return self._try(cursor, assignment, work)
            except duckdb.TransactionException as error:
                if not left or "conflict" not in str(error).lower():
                    raise
                time.sleep(_CONFLICT_SECONDS * (_CONFLICTS - left))
        raise AssertionError

    def _try(self, cursor: duckdb.DuckDBPyConnection, assignment: Assignment, work: Work) -> Outcome:
        cursor.execute("BEGIN TRANSACTION")
        try:
            if (known := find(cursor, assignment)) is not None:
                cursor.execute("ROLLBACK")
                return known
            touched = Touched()
            outcome = work(touched)
            self.views.follow(cursor, touched)
            outcome = with_tables(outcome, touched)
            _keep(cursor, assignment, outcome, touched)
        except BaseException:
            undo(cursor)
            raise
        return _commit(cursor, assignment, outcome)


def with_tables(outcome: Outcome, touched: Touched) -> Outcome:
    """The outcome with what was touched among its metrics: `tables_written`, `tables_read` (schema.table)."""
    found = {"tables_written": touched.written(), "tables_read": spelled(touched.read)}
    known = {name: tables for name, tables in found.items() if tables}
    return msgspec.structs.replace(outcome, metrics=outcome.metrics | known) if known else outcome


def _commit(cursor: duckdb.DuckDBPyConnection, assignment: Assignment, outcome: Outcome) -> Outcome:
    """A commit that raises may still have happened (an interrupt came late): the record tells."""
    try:
        cursor.execute("COMMIT")
    except duckdb.Error:
        undo(cursor)
        with contextlib.closing(cursor.cursor()) as other:  # which no interrupt meets that was meant for the commit
            known = find(other, assignment)
        if known is None:
            raise
        return known
    return outcome


def undo(cursor: duckdb.DuckDBPyConnection) -> None:
    """Rolls back whatever is open."""
    drop_result(cursor)
    with contextlib.suppress(duckdb.Error):
        cursor.execute("ROLLBACK")


def drop_result(cursor: duckdb.DuckDBPyConnection) -> None:
    """Forgets rows that were not fetched: DuckDB 2 refuses other work on the connection before that."""
    if (abort := getattr(cursor, "abort", None)) is not None:
        with contextlib.suppress(duckdb.Error):
            abort()


def find(cursor: duckdb.DuckDBPyConnection, assignment: Assignment) -> Outcome | None:
    """The outcome that this task, iteration and round already had, if any."""
    return recorded(cursor, assignment.effect)


def recorded(cursor: duckdb.DuckDBPyConnection, key: EffectKey) -> Outcome | None:
    """The outcome that was committed under this key, if any."""
    row = cursor.execute(_FIND, [key.run_id, key.task_key, key.iteration, key.round]).fetchone()
    return None if row is None else _decode(row[0])


def _keep(cursor: duckdb.DuckDBPyConnection, assignment: Assignment, outcome: Outcome, touched: Touched) -> None:
    key, now = assignment.effect, time.time_ns() // 1_000_000
    row = [key.run_id, key.task_key, key.iteration, key.round, assignment.token, now, _encode(outcome)]
    cursor.execute(_KEEP, [*row, assignment.task_run_id, spelled(touched.read), touched.written()])
