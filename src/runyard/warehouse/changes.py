"""Copies a query's rows into a table, empties a table, deletes by a condition."""

from __future__ import annotations

import time
from typing import Any

import duckdb

from runyard.core.actions import Copy, Delete, SqlDialect, Truncate
from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.warehouse import partitions
from runyard.warehouse.checker import Plan
from runyard.warehouse.conditions import bound, condition
from runyard.warehouse.effects import Effects
from runyard.warehouse.grants import bound_tables, granted
from runyard.warehouse.kinds import Tell
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.planned import planned
from runyard.warehouse.reads import Reads
from runyard.warehouse.refused import Refused
from runyard.warehouse.tables import FIRST_LOCAL_ROW, described, outside, path
from runyard.warehouse.tasks import Task, now
from runyard.warehouse.touched import Name, Touched, named
from runyard.warehouse.words import words


def one_query(text: str, dialect: SqlDialect = "duckdb") -> Plan:
    """The plan of a text that is one statement which only reads; raises `Refused`."""
    plan = planned(text, dialect)
    if plan.writes or len(plan.statements) != 1:
        raise Refused("The statement must be one SELECT; only a sql task may change tables by its own text.")
    return plan


def subquery(plan: Plan) -> str:
    """The one statement of a plan, as a part of another."""
    return f"(\n{plan.statements[0].query.strip().rstrip(';')}\n)"


def ended(task: Task, began: float, rows: int, output: dict[str, Any], **metrics: Any) -> Outcome:
    """A success, with what all kinds tell."""
    told = {"rows": rows, **metrics, "seconds": round(time.perf_counter() - began, 6)}
    return Outcome(result="succeeded", output=output, metrics=told, started_at=task.started_at, ended_at=now())


class Copier:
    """Runs `Copy`."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    def tables(self, action: Copy) -> frozenset[str]:
        """The table that it writes; raises `Refused` for a statement that is no query."""
        one_query(action.statement, action.dialect)
        partitions.key_of(action.partition_by, action.dialect)
        path(action.schema, action.table)
        return frozenset({action.table.lower()})

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Copies at most once."""
        action, began = task.assignment.action, time.perf_counter()
        assert isinstance(action, Copy)
        # The line of writers keeps it so until the transaction begins.
        exists = bool(outside(cursor, path(action.schema, action.table)))
        return self._effects.once(
            cursor, task.assignment, lambda touched: _copied(task, cursor, touched, began, exists)
        )


def _copied(task: Task, cursor: duckdb.DuckDBPyConnection, touched: Touched, began: float, exists: bool) -> Outcome:
    action = task.assignment.action
    assert isinstance(action, Copy)
    plan = one_query(action.statement, action.dialect)
    read = tables_of(plan.statements[0].query, action.schema).read
    values, query = bound(plan.parameters[0], action.parameters), subquery(plan)
    target, table = path(action.schema, action.table), named(action.schema, action.table)
    granted(action.reads, None).check(cursor, plan.statements[0].query, values, action.schema)
    key = partitions.key_of(action.partition_by, action.dialect)
    if not exists:
        _execute(cursor, f"CREATE TABLE {target} AS SELECT * FROM {query} LIMIT 0", values)
    if key:
        settle = partitions.agreed if exists else partitions.put
        settle(cursor, action.schema, action.table, key)
    if exists and action.mode == "replace":
        query = _kept(cursor, query, values, table in read or _reads(cursor, plan, values, table))
        cursor.execute(f"DELETE FROM {target}")
    task.check()
    rows = _count(cursor, f"INSERT INTO {target} BY NAME SELECT * FROM {query}", {} if query == _KEPT else values)
    if plan.statements[0].type.name == "MULTI":  # a PIVOT, of which DuckDB gives no count
        rows = _count(cursor, f"SELECT count(*) FROM {target} WHERE rowid >= {FIRST_LOCAL_ROW}")
    touched.read |= read
    if action.mode == "replace":
        touched.replaced[table] = ""
    else:
        touched.appended.add(table)
    listed = [{"name": column, "type": kind} for column, kind in described(cursor, target).items()]
    return ended(task, began, rows, {"table": action.table, "columns": listed, "row_count": rows})


def _reads(cursor: duckdb.DuckDBPyConnection, plan: Plan, values: dict[str, Any], table: Name) -> bool:
    """Whether a query reads a table, also through views and macros, or could: then it is better to think so."""
    try:
        found = bound_tables(cursor, plan.statements[0].query, values)
    except Refused:
        return True
    return any(words(one)[-1].name == table[1] for one in found)


_KEPT = "temp.runyard_copied"


def _kept(cursor: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any], itself: bool) -> str:
    """A query that reads the very table that it replaces is run before that is emptied."""
    if not itself:
        return query
    _execute(cursor, f"CREATE TEMP TABLE runyard_copied AS SELECT * FROM {query}", values)
    return _KEPT


class Truncater:
    """Runs `Truncate`."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    def tables(self, action: Truncate) -> frozenset[str]:
        """The table that it empties."""
        path(action.schema, action.table)
        return frozenset({action.table.lower()})

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Empties the table at most once."""
        action, began = task.assignment.action, time.perf_counter()
        assert isinstance(action, Truncate)

        def work(touched: Touched) -> Outcome:
            _needed(cursor, action.schema, action.table)
            rows = _count(cursor, f"DELETE FROM {path(action.schema, action.table)}")
            touched.changed.add(named(action.schema, action.table))
            return ended(task, began, rows, {"table": action.table, "row_count": rows})

        return self._effects.once(cursor, task.assignment, work)


class Deleter:
    """Runs `Delete`."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects, reads: Reads) -> None:
        self._effects, self._reads = effects, reads

    def tables(self, action: Delete) -> frozenset[str]:
        """The table that it writes: none when it only counts. Raises `Refused` for what is no condition."""
        condition(action.where, action.dialect)
        path(action.schema, action.table)
        return frozenset() if action.dry_run else frozenset({action.table.lower()})

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Deletes at most once, or counts."""
        action = task.assignment.action
        assert isinstance(action, Delete)
        began = time.perf_counter()
        if action.dry_run:
            counted = _deleted(task, action, cursor, Touched(), began)
            text = (
                f"SELECT 1 FROM {path(action.schema, action.table)} WHERE {condition(action.where, action.dialect)[0]}"
            )
            self._reads.note(task.assignment, text, action.schema)
            return counted
        return self._effects.once(
            cursor, task.assignment, lambda touched: _deleted(task, action, cursor, touched, began)
        )


def _deleted(task: Task, action: Delete, cursor: duckdb.DuckDBPyConnection, touched: Touched, began: float) -> Outcome:
    where, wanted = condition(action.where, action.dialect)
    values, table = bound(wanted, action.parameters), path(action.schema, action.table)
    _needed(cursor, action.schema, action.table)
    verb = "SELECT count(*)" if action.dry_run else "DELETE"
    rows = _count(cursor, f"{verb} FROM {table} WHERE {where}", values)
    touched.read |= tables_of(f"SELECT 1 WHERE {where}", action.schema).read
    touched.changed.add(named(action.schema, action.table))
    return ended(task, began, rows, {"table": action.table, "row_count": rows, "dry_run": action.dry_run})


def _needed(cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> None:
    try:
        described(cursor, path(schema, table))
    except duckdb.CatalogException:
        raise Refused(f"There is no table {schema}.{table}.") from None


def _execute(cursor: duckdb.DuckDBPyConnection, statement: str, values: dict[str, Any]) -> Any:
    return cursor.execute(statement, values) if values else cursor.execute(statement)


def _count(cursor: duckdb.DuckDBPyConnection, statement: str, values: dict[str, Any] | None = None) -> int:
    row = _execute(cursor, statement, values or {}).fetchone()
    return int(row[0]) if row else 0
