"""SQL of other systems, from the text of a task to its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from runyard.core.actions import Delete, Sql, SqlDialect
from runyard.core.errors import Code, RunyardError
from tests.warehouse.desk import Desk

SAID: list[tuple[SqlDialect, str, list[list[object]]]] = [
    ("duckdb", "SELECT $n + 1", [[42]]),
    ("clickhouse", "SELECT toStartOfMonth(DATE '2024-05-06') = DATE '2024-05-01', $n", [[True, 41]]),
    ("databricks", "SELECT size(array(1, 2)), :n", [[2, 41]]),
    ("dremio", "SELECT $n % 2", [[1]]),
    ("trino", "SELECT date_diff('day', DATE '2024-01-01', DATE '2024-01-03'), $n", [[2, 41]]),
    ("postgres", "SELECT '12'::int + $n", [[53]]),
]


@pytest.mark.parametrize(("dialect", "text", "rows"), SAID, ids=[dialect for dialect, _, _ in SAID])
def test_a_task_and_a_query_may_be_written_in(
    shared: Desk, dialect: SqlDialect, text: str, rows: list[list[object]]
) -> None:
    outcome = shared.run(Sql(statement=text, dialect=dialect, parameters={"n": 41}))
    assert outcome.result == "succeeded", outcome.detail
    assert outcome.output["rows"] == rows
    asked = shared.executor.query("default", text, {"n": 41}, dialect=dialect).result(10)
    assert asked["rows"] == rows


UNSAYABLE: list[tuple[SqlDialect, str, str]] = [
    ("clickhouse", "SELECT foo(\n1", "ClickHouse SQL: Expecting ); found '1' (line 2, column 1)."),
    ("clickhouse", "SYSTEM RELOAD DICTIONARY d", "SYSTEM statements are not available here (line 1,"),
    ("dremio", "SELECT 1,\n  moon_phase(d)", "(line 2, column 3)"),
    ("trino", "", "The text holds no SQL statement."),
    ("postgres", "SELECT " + "(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
]


@pytest.mark.parametrize(("dialect", "text", "sentence"), UNSAYABLE, ids=range(len(UNSAYABLE)))
def test_what_cannot_be_said_is_named_with_its_place(
    shared: Desk, dialect: SqlDialect, text: str, sentence: str
) -> None:
    outcome = shared.run(Sql(statement=text, dialect=dialect))
    assert (outcome.result, outcome.reason, outcome.retry) == ("failed", "sql_error", False)
    assert outcome.detail is not None
    assert sentence in outcome.detail
    with pytest.raises(RunyardError) as raised:
        shared.executor.query("default", text, dialect=dialect).result(10)
    assert raised.value.code is Code.INVALID
    assert sentence in str(raised.value)


def test_what_is_checked_is_the_text_that_runs(shared: Desk) -> None:
    outcome = shared.run(Sql(statement="SELECT * FROM `_runyard`.`effects`", dialect="clickhouse"))
    assert outcome.result == "failed"
    assert outcome.detail == "The name _runyard is not available to SQL here."


def test_stored_views_that_need_our_macros_work_after_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.run(Sql(statement="CREATE VIEW v AS SELECT toInt32('7') AS n", dialect="clickhouse"))
    assert made.result == "succeeded", made.detail
    desk.close()
    desk = Desk(tmp_path)
    assert desk.rows("SELECT n FROM v") == [[7]]
    desk.rows("DROP VIEW v; CREATE TABLE events (x VARCHAR)")
    view = ("default", "numbers", "main", "events", "SELECT toInt32(x) AS n FROM events", "target")
    desk.executor.create_view(*view, dialect="clickhouse").result(10)
    desk.close()
    desk = Desk(tmp_path)
    desk.wait(desk.start("INSERT INTO events VALUES ('8')", same_as=100))  # no run of before
    assert desk.rows("SELECT n FROM target") == [[8]]
    desk.close()


def test_a_condition_in_another_dialect_has_our_macros(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.rows("CREATE TABLE t AS SELECT DATE '2024-05-06' AS d, 1 AS n")
    gone = desk.run(Delete(table="t", where="toDate(d) = toDate('2024-05-06')", dialect="clickhouse"))
    assert gone.result == "succeeded", gone.detail
    assert desk.rows("SELECT count(*) FROM t") == [[0]]
    desk.close()
