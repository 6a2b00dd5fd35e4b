"""Runs the statements of a sql task and makes its output."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import duckdb

from runyard.core.actions import Sql, SqlDialect
from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse import results
from runyard.warehouse.checker import Plan
from runyard.warehouse.effects import Effects, drop_result, undo
from runyard.warehouse.grants import Grants, granted
from runyard.warehouse.limits import Limits
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.planned import planned
from runyard.warehouse.reads import Reads
from runyard.warehouse.refused import Refused
from runyard.warehouse.remarks import minded, spelled_out
from runyard.warehouse.results import Result
from runyard.warehouse.tasks import Task, now
from runyard.warehouse.touched import Touched, named

OUTPUT = "output.parquet"
_RESHAPING = {"CREATE", "DROP", "ALTER", "MULTI"}


def run(
    task: Task, plan: Plan, cursor: duckdb.DuckDBPyConnection, attempts: Path, effects: Effects, reads: Reads
) -> Outcome:
    """The outcome of a sql task: applied at most once when it writes. Raises duckdb.Error, `Refused`, `Stopped`."""
    began = time.perf_counter()

    def writing(touched: Touched) -> Outcome:
        outcome = work()
        _note(touched, plan, task.assignment.action)
        return outcome

    def work() -> Outcome:
        result = _statements(task, plan, cursor, attempts)
        metrics = {"rows": result.rows, "bytes": result.size, "seconds": round(time.perf_counter() - began, 6)}
        return Outcome(
            result="succeeded", output=result.output, metrics=metrics, started_at=task.started_at, ended_at=now()
        )

    if plan.writes:
        return effects.once(cursor, task.assignment, writing)
    alone = len(plan.statements) == 1 and not _grants(task.assignment).limited
    outcome = work() if alone else _together(cursor, work)
    reads.note(task.assignment, _text(plan), getattr(task.assignment.action, "schema", "main"))
    return outcome


def _text(plan: Plan) -> str:
    return ";\n".join(statement.query for statement in plan.statements)


def _note(touched: Touched, plan: Plan, action: Any) -> None:
    """The tables by name, as far as the text tells; views look for themselves whether their source grew."""
    found = tables_of(_text(plan), action.schema)
    known = {named(action.schema, table) for table in plan.tables or ()}
    touched.read |= found.read
    touched.changed |= (found.inserted | found.changed) or known
    touched.suspects = plan.tables
    touched.reshaped = any(statement.type.name in _RESHAPING for statement in plan.statements)


def reading(text: str, parameters: dict[str, Any], dialect: SqlDialect = "duckdb") -> tuple[Any, dict[str, Any]]:
    """The one statement of a text that only reads, and its parameters; raises `Refused` or duckdb.Error."""
    plan = planned(text, dialect)
    if plan.writes or len(plan.statements) != 1:
        raise Refused("A query reads: one SELECT statement. Run a sql task to change tables.")
    if missing := sorted(plan.parameters[0] - parameters.keys()):
        raise Refused(f"The query uses ${missing[0]}, which is not among its parameters.")
    return plan.statements[0], {name: parameters[name] for name in plan.parameters[0]}


def _together(cursor: duckdb.DuckDBPyConnection, work: Any) -> Outcome:
    """Several reads see one state of the tables."""
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        outcome: Outcome = work()
    finally:
        undo(cursor)
    return outcome


def _statements(task: Task, plan: Plan, cursor: duckdb.DuckDBPyConnection, attempts: Path) -> Result:
    action = task.assignment.action
    assert isinstance(action, Sql)
    given, grants = _bound(plan, action.parameters), _grants(task.assignment)
    for statement, values, writes in zip(plan.statements, given, plan.statement_writes, strict=True):
        grants.check(cursor, statement.query, values, action.schema, writes=writes)
        task.check()
        last = spelled_out(cursor, statement, action.schema)
        with minded(cursor, last, action.schema):
            _execute(cursor, last, values)
    return _last(task.assignment, plan, last, given[-1], cursor, attempts)


def _grants(assignment: Assignment) -> Grants:
    action = assignment.action
    assert isinstance(action, Sql)
    return granted(action.reads, action.writes)


def _bound(plan: Plan, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Each statement's own parameters; raises `Refused` when one is missing."""
    missing = sorted(frozenset().union(*plan.parameters) - parameters.keys())
    if missing:
        raise Refused(f"The statement uses ${missing[0]}, which is not among the task's parameters.")
    return [{name: parameters[name] for name in names} for names in plan.parameters]


def _execute(cursor: duckdb.DuckDBPyConnection, statement: Any, values: dict[str, Any]) -> None:
    if values:
        cursor.execute(statement, values)
    else:
        cursor.execute(statement)


def _last(
    assignment: Assignment,
    plan: Plan,
    last: Any,
    values: dict[str, Any],
    cursor: duckdb.DuckDBPyConnection,
    attempts: Path,
) -> Result:
    """The rows of the last statement, which has been executed."""
    action = assignment.action
    assert isinstance(action, Sql)
    name, limits = f"{assignment.run_id}/{assignment.task_run_id}/{OUTPUT}", Limits(action.max_rows, action.max_bytes)
    if not plan.last_reads:
        result = _written(cursor, attempts / name, name)
    else:
        columns, text = results.columns_of(cursor), last.query.strip().rstrip(";")
        if (texts := results.as_texts(text, columns)) is not None:
            text = texts
            drop_result(cursor)
            _execute(cursor, text, values)
        result = results.inline(cursor) or _streamed(text, values, cursor, attempts / name, name, limits)
        result.output["columns"] = columns
    limits.check(len(result.output.get("rows", ())), result.size)
    return result


def _written(cursor: duckdb.DuckDBPyConnection, path: Path, name: str) -> Result:
    """What a statement that writes has to say: a count, or the rows of its RETURNING."""
    columns = results.columns_of(cursor)
    rows = cursor.fetchall()
    if [column["name"] for column in columns] in ([], ["Count"], ["Success"]):
        changed = rows[0][0] if rows and type(rows[0][0]) is int else 0
        return Result({"columns": [], "rows": [], "row_count": changed}, changed, 0)
    return results.small(columns, rows) or results.rows_to_file(columns, rows, path, name)


def _streamed(
    text: str, values: dict[str, Any], cursor: duckdb.DuckDBPyConnection, path: Path, name: str, limits: Limits
) -> Result:
    """Asks again, as a stream: the rows that were read before are dropped, so the file is one true answer."""
    drop_result(cursor)
    relation = cursor.sql(text, params=values) if values else cursor.sql(text)
    return results.to_file(relation, cursor, path, name, limits)
