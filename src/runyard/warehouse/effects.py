"""Data effects that happen once: the data and the record of its outcome are committed together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import duckdb
import msgspec

from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.checker import HIDDEN_SCHEMA

_FIND = f"SELECT outcome FROM {HIDDEN_SCHEMA}.effects WHERE run_id = ? AND task_key = ? AND iteration = ? AND round = ?"
_KEEP = f"INSERT INTO {HIDDEN_SCHEMA}.effects VALUES (?, ?, ?, ?, ?, ?, ?)"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


def once(cursor: duckdb.DuckDBPyConnection, assignment: Assignment, work: Callable[[], Outcome]) -> Outcome:
    """Does the work and records its outcome in one transaction, or returns the outcome recorded before.

    `work` must not end the transaction. Whatever it raises undoes everything and is raised again.
    """
    cursor.execute("BEGIN TRANSACTION")
    try:
        if (known := find(cursor, assignment)) is not None:
            cursor.execute("ROLLBACK")
            return known
        outcome = work()
        _keep(cursor, assignment, outcome)
    except BaseException:
        undo(cursor)
        raise
    return _commit(cursor, assignment, outcome)


def _commit(cursor: duckdb.DuckDBPyConnection, assignment: Assignment, outcome: Outcome) -> Outcome:
    """A commit that raises may still have happened (an interrupt came late): the record tells."""
    try:
        cursor.execute("COMMIT")
    except duckdb.Error:
        undo(cursor)
        known = find(cursor, assignment)
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
    key = assignment.effect
    row = cursor.execute(_FIND, [key.run_id, key.task_key, key.iteration, key.round]).fetchone()
    return None if row is None else _decode(row[0])


def _keep(cursor: duckdb.DuckDBPyConnection, assignment: Assignment, outcome: Outcome) -> None:
    key, now = assignment.effect, time.time_ns() // 1_000_000
    row = [key.run_id, key.task_key, key.iteration, key.round, assignment.token, now, _encode(outcome)]
    cursor.execute(_KEEP, row)
