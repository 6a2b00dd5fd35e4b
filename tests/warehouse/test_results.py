"""Outputs: exact values inline, large results as Parquet."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Sql
from tests.warehouse.desk import Desk

VALUES = [
    ("42::TINYINT", "TINYINT", 42),
    ("9223372036854775807", "BIGINT", 9223372036854775807),
    ("18446744073709551615::UBIGINT", "UBIGINT", "18446744073709551615"),
    ("170141183460469231731687303715884105727::HUGEINT", "HUGEINT", "170141183460469231731687303715884105727"),
    ("1.50::DECIMAL(10,2)", "DECIMAL(10,2)", "1.50"),
    ("0.1::DOUBLE", "DOUBLE", 0.1),
    ("'nan'::DOUBLE", "DOUBLE", "NaN"),
    ("'-inf'::DOUBLE", "DOUBLE", "-Infinity"),
    ("true", "BOOLEAN", True),
    ("'grün'", "VARCHAR", "grün"),
    ("'a'::BLOB", "BLOB", "YQ=="),
    ("DATE '2024-02-29'", "DATE", "2024-02-29"),
    ("TIME '10:00:00.5'", "TIME", "10:00:00.500000"),
    ("TIMESTAMP '2024-02-29 10:00:00.123456'", "TIMESTAMP", "2024-02-29T10:00:00.123456"),
    ("TIMESTAMPTZ '2024-02-29 10:00:00+02'", "TIMESTAMP WITH TIME ZONE", "2024-02-29T08:00:00+00:00"),
    ("'7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0c'::UUID", "UUID", "7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0c"),
    ("[1, NULL, 3]", "INTEGER[]", [1, None, 3]),
    ("{'a': 1, 'b': [DATE '2024-01-01']}", "STRUCT(a INTEGER, b DATE[])", {"a": 1, "b": ["2024-01-01"]}),
    ("MAP {'k': 1.5::DECIMAL(3,1)}", "MAP(VARCHAR, DECIMAL(3,1))", {"k": "1.5"}),
    ("'{\"a\": 1}'::JSON", "JSON", '{"a": 1}'),
    ("NULL::INTEGER", "INTEGER", None),
]


@pytest.mark.parametrize(("text", "kind", "value"), VALUES, ids=[text for text, _, _ in VALUES])
def test_a_value_of_each_type_is_inline_and_exact(shared: Desk, text: str, kind: str, value: object) -> None:
    output = shared.run(f"SELECT {text} AS it FROM range(1)").output
    assert output == {"columns": [{"name": "it", "type": kind}], "rows": [[value]], "row_count": 1}


def test_constant_selects_that_arrive_together_each_get_their_own_columns(shared: Desk) -> None:
    numbers = [shared.start(f"select {n}, 'a,b' as t, -1.5 as f" if n % 2 else f"SELECT {n}") for n in range(40)]
    outputs = [shared.wait(number).output for number in numbers]
    assert outputs[3]["rows"] == [[3, "a,b", "-1.5"]]
    assert [column["name"] for column in outputs[3]["columns"]] == ["3", "t", "f"]
    assert [output["rows"][0][0] for output in outputs] == list(range(40))


def test_a_constant_select_that_fails_does_not_fail_its_neighbours(shared: Desk) -> None:
    wrong = shared.start("SELECT 999999999999999999 * 999999999999999999 * 999999999999999999")
    right = [shared.start(f"SELECT {n}") for n in range(5)]
    assert shared.wait(wrong).result == "failed"
    assert [shared.wait(number).output["rows"] for number in right] == [[[n]] for n in range(5)]


def test_a_large_result_is_a_parquet_file_with_a_preview(shared: Desk) -> None:
    outcome = shared.run("SELECT range AS n, DATE '2024-01-01' AS d, n::DECIMAL(9,1) AS x FROM range(50000)")
    assert outcome.output["row_count"] == outcome.metrics["rows"] == 50_000
    assert len(outcome.output["preview"]) == 100
    assert outcome.output["preview"][7] == [7, "2024-01-01", "7.0"]
    table = pq.read_table(shared.attempts / outcome.output["file"])
    assert table.column("n").to_pylist() == list(range(50_000))


def test_a_large_result_with_parameters_keeps_them(shared: Desk) -> None:
    outcome = shared.run(Sql(statement="SELECT range, $tag AS tag FROM range(5000)", parameters={"tag": "ü"}))
    assert outcome.output["preview"][0] == [0, "ü"]


def test_large_returning_rows_are_kept_without_running_twice(shared: Desk) -> None:
    outcome = shared.run("CREATE TABLE ret (n INTEGER); INSERT INTO ret SELECT range FROM range(30000) RETURNING n")
    assert outcome.output["row_count"] == 30_000
    assert shared.rows("SELECT count(*) FROM ret") == [[30_000]]


def test_changes_say_how_many_rows(shared: Desk) -> None:
    shared.run("CREATE TABLE counted (n INTEGER)")
    assert shared.run("INSERT INTO counted SELECT range FROM range(7)").output["row_count"] == 7
    assert shared.run("DELETE FROM counted WHERE n < 3").output["row_count"] == 3


def test_parameters_are_bound_never_pasted(shared: Desk) -> None:
    nasty = "x'; DROP TABLE counted; --"
    outcome = shared.run(Sql(statement="SELECT $a AS a, $n + 1 AS n", parameters={"a": nasty, "n": 1, "unused": 2}))
    assert outcome.output["rows"] == [[nasty, 2]]


def test_a_missing_parameter_is_named(shared: Desk) -> None:
    outcome = shared.run("SELECT $day")
    assert (outcome.result, outcome.retry) == ("failed", False)
    assert "$day" in outcome.detail


def test_unqualified_names_are_looked_up_in_the_tasks_schema(shared: Desk) -> None:
    shared.run("CREATE SCHEMA sales; CREATE TABLE sales.t AS SELECT 5 AS n")
    assert shared.run(Sql(statement="SELECT n FROM t", schema="sales")).output["rows"] == [[5]]
    assert shared.run(Sql(statement="SELECT 1 FROM t", schema="main")).result == "failed"
    assert "no schema" in shared.run(Sql(statement="SELECT n FROM t", schema="nope")).detail


def test_an_interactive_query_reads_and_never_writes(shared: Desk) -> None:
    assert shared.executor.query("default", "SELECT $x AS x", {"x": 3}).result(5)["rows"] == [[3]]
    refused = shared.executor.query("default", "CREATE TABLE q (a INTEGER)").exception(5)
    assert "reads" in str(refused)


def test_tables_lists_names_rows_and_columns_but_nothing_of_ours(shared: Desk) -> None:
    shared.run("CREATE TABLE listed AS SELECT range AS n FROM range(3)")
    tables = shared.executor.tables("default").result(5)
    (listed,) = [table for table in tables if table["name"] == "listed"]
    assert (listed["rows"], listed["columns"]) == (3, [{"name": "n", "type": "BIGINT"}])
    assert not [table for table in tables if table["schema"] == "_runyard"]
