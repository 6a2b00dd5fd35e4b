"""Copies, truncates and deletes: whole or not at all, once, in the order in which they were asked."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.core.actions import Copy, Delete, Export, Load, Sql, Truncate
from tests.warehouse.desk import CROSS_JOIN, Desk


def test_a_copy_makes_its_table_and_appends_by_name(shared: Desk) -> None:
    first = shared.run(Copy(statement="SELECT range AS n, 'x' AS t FROM range(3)", table="copied"))
    assert (first.result, first.metrics["rows"]) == ("succeeded", 3), first.detail
    assert first.output["columns"] == [{"name": "n", "type": "BIGINT"}, {"name": "t", "type": "VARCHAR"}]
    second = shared.run(Copy(statement="SELECT 'y' AS t, $n AS n", table="COPIED", parameters={"n": 9}))
    assert second.metrics["tables_written"] == ["main.copied"]
    assert shared.rows("SELECT n, t FROM copied ORDER BY n") == [[0, "x"], [1, "x"], [2, "x"], [9, "y"]]


def test_a_copy_says_which_tables_it_read_and_wrote(shared: Desk) -> None:
    shared.run("CREATE TABLE lin_a (n INTEGER); CREATE TABLE lin_b (n INTEGER)")
    outcome = shared.run(
        Copy(statement="WITH q AS (FROM lin_a) SELECT * FROM q JOIN main.lin_b USING (n)", table="lin_c")
    )
    assert outcome.metrics["tables_read"] == ["main.lin_a", "main.lin_b"]
    assert outcome.metrics["tables_written"] == ["main.lin_c"]


def test_a_replacing_copy_keeps_the_columns_and_may_read_what_it_replaces(shared: Desk) -> None:
    shared.run(
        "CREATE TABLE again (n SMALLINT, t VARCHAR DEFAULT 'd'); INSERT INTO again SELECT range, 'o' FROM range(4)"
    )
    outcome = shared.run(Copy(statement="SELECT n * 10 AS n FROM again WHERE n > 1", table="again", mode="replace"))
    assert outcome.metrics["rows"] == 2, outcome.detail
    assert shared.rows("SELECT n, t, typeof(n) FROM again ORDER BY n") == [[20, "d", "SMALLINT"], [30, "d", "SMALLINT"]]


def test_a_failing_replace_leaves_the_table(shared: Desk) -> None:
    shared.run("CREATE TABLE held (n INTEGER); INSERT INTO held VALUES (1)")
    assert shared.run(Copy(statement="SELECT 'x' AS n", table="held", mode="replace")).result == "failed"
    assert shared.run(Copy(statement="SELECT 1 AS other", table="held", mode="replace")).result == "failed"
    assert shared.rows("FROM held") == [[1]]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM keep_me",
        "SELECT 1; SELECT 2",
        "SELECT 1) TO x; --",
        "",
        "COPY t TO '/tmp/x'",
        "FROM _runyard.effects",
    ],
)
def test_a_copy_of_what_is_no_query_is_refused(shared: Desk, statement: str) -> None:
    outcome = shared.run(Copy(statement=statement, table="never"))
    assert (outcome.result, outcome.retry) == ("failed", False)


@pytest.mark.parametrize(("schema", "table"), [("_runyard", "effects"), ("temp", "t"), ("main", " ")])
def test_a_table_that_is_not_the_users_is_refused(shared: Desk, schema: str, table: str) -> None:
    works: list[Any] = [
        Copy(statement="SELECT 1 AS n", table=table, schema=schema),
        Truncate(table=table, schema=schema),
    ]
    for work in works:
        assert shared.run(work).result == "failed"


def test_a_truncate_says_how_many_rows_went(shared: Desk) -> None:
    shared.run("CREATE TABLE full_one AS FROM range(7)")
    assert shared.run(Truncate(table="full_one")).metrics["rows"] == 7
    assert shared.rows("FROM full_one") == []
    assert shared.run(Truncate(table="no_such_table")).detail == "There is no table main.no_such_table."


def test_a_delete_counts_first_and_then_deletes(shared: Desk) -> None:
    shared.run("CREATE TABLE amounts AS SELECT range AS n FROM range(10)")
    dry = shared.run(Delete(table="amounts", where="n >= $least", parameters={"least": 6}, dry_run=True))
    assert (dry.metrics["rows"], "tables_written" in dry.metrics) == (4, False)
    assert shared.rows("SELECT count(*) FROM amounts") == [[10]]
    wet = shared.run(Delete(table="amounts", where="n >= $least -- and more", parameters={"least": 6}))
    assert wet.output == {"table": "amounts", "row_count": 4, "dry_run": False}
    assert shared.rows("SELECT count(*) FROM amounts") == [[6]]


@pytest.mark.parametrize(
    "where",
    [
        "1=1) RETURNING (n",
        "1=1; DROP TABLE guarded",
        ") OR (1=1",
        "n IN (FROM read_csv('/etc/passwd'))",
        "",
        "-- n",
        "]",
        "/*",
    ],
)
def test_a_condition_cannot_leave_its_place(shared: Desk, where: str) -> None:
    shared.run("CREATE TABLE IF NOT EXISTS guarded AS SELECT 1 AS n")
    outcome = shared.run(Delete(table="guarded", where=where))
    assert (outcome.result, outcome.retry) == ("failed", False), (where, outcome)
    assert shared.rows("SELECT count(*) FROM guarded") == [[1]]


def test_each_kind_happens_once_for_all_attempts(shared: Desk) -> None:
    shared.run("CREATE TABLE many AS SELECT range AS n FROM range(4)")
    works: list[Any] = [
        Copy(statement="SELECT 100 AS n", table="many"),
        Delete(table="many", where="n = 1"),
        Truncate(table="many"),
    ]
    for work in works:
        first = shared.start(work)
        before = shared.wait(first)
        shared.run("INSERT INTO many VALUES (1)")
        assert shared.wait(shared.start(work, token=2, same_as=first)) == before
    assert shared.rows("FROM many") == [[1]]


def test_appends_and_truncates_keep_the_order_in_which_they_were_asked(shared: Desk) -> None:
    copy = Copy(statement="SELECT range AS n FROM range(1000)", table="lined")
    numbers = [shared.start(copy) for _ in range(4)]
    numbers += [shared.start(Truncate(table="lined")), shared.start(Copy(statement="SELECT 7 AS n", table="lined"))]
    assert {shared.wait(number).result for number in numbers} == {"succeeded"}
    assert shared.rows("FROM lined") == [[7]]


def test_a_copy_is_stopped_in_its_middle_and_changes_nothing(shared: Desk) -> None:
    shared.run("CREATE TABLE intact AS SELECT 1::BIGINT AS n")
    number = shared.start(
        Copy(statement=CROSS_JOIN.replace("count(*)", "count(*) AS n"), table="intact", mode="replace")
    )
    shared.wait_started(number)
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number, 2.0).result == "stopped"
    assert shared.rows("FROM intact") == [[1]]


def test_replace_where_swaps_the_rows_that_match(shared: Desk) -> None:
    shared.run("CREATE TABLE days AS SELECT (DATE '2024-01-01' + range::INTEGER)::DATE AS d, range AS n FROM range(3)")
    (shared.files / "days.csv").write_text("d,n\n2024-01-02,20\n2024-01-02,21\n2024-02-01,99\n2024-01-02,zz\n")
    outcome = shared.run(Load(source="days.csv", table="days", mode="replace_where", where="d = '2024-01-02'"))
    assert outcome.result == "succeeded", outcome.detail
    counts = {name: outcome.metrics[name] for name in ("rows", "rows_unmatched", "quarantine_rows")}
    assert counts == {"rows": 2, "rows_unmatched": 1, "quarantine_rows": 1}
    assert shared.rows("SELECT n FROM days ORDER BY n") == [[0], [2], [20], [21]]


def test_a_replace_where_with_a_wrong_condition_changes_nothing(shared: Desk) -> None:
    shared.run("CREATE TABLE same (n INTEGER); INSERT INTO same VALUES (1)")
    (shared.files / "same.csv").write_text("n\n2\n")
    for where in ("m = 1", "n = 1) OR (true", "n ="):
        outcome = shared.run(Load(source="same.csv", table="same", mode="replace_where", where=where))
        assert outcome.result == "failed", where
    assert shared.rows("FROM same") == [[1]]


def test_a_load_explains_its_types_and_shows_samples_of_what_did_not_fit(shared: Desk) -> None:
    (shared.files / "odd.csv").write_text("a;b\n1;x\nzz;y\n3\n4;w;extra\n")
    columns = {"a": "INTEGER", "b": "VARCHAR"}
    output = shared.run(Load(source="odd.csv", table="odd", columns=columns)).output
    assert output["types_from"] == "the load"
    assert output["reading"] == {"delimiter": ";", "header": "true", "skipped_lines": "0", "quote": '"'}
    assert output["quarantine_sample"][0]["row"] == {"a": "zz", "b": "y"}
    assert output["quarantine_sample"][0]["columns"] == ["a"]
    assert [sample["text"] for sample in output["invalid_sample"]] == ["3", "4;w;extra"]
    assert shared.run(Load(source="odd.csv", table="odd")).output["types_from"] == "the table"


def test_a_copy_and_an_export_read_only_the_schemas_that_they_were_granted(shared: Desk) -> None:
    shared.run("CREATE SCHEMA other; CREATE TABLE other.secret AS SELECT 1 AS n; CREATE TABLE plain AS SELECT 2 AS n")
    shared.run("CREATE VIEW through AS SELECT * FROM other.secret")
    for text in ("FROM other.secret", "FROM through"):
        works: list[Any] = [
            Copy(statement=text, table="taken", reads=["main"]),
            Export(statement=text, target="taken.csv", reads=["main"]),
        ]
        for work in works:
            assert "may not read the schema other" in shared.run(work).detail
    assert shared.run(Copy(statement="FROM plain", table="taken", reads=["main"])).result == "succeeded"


def test_each_iteration_and_each_repair_round_is_an_effect_of_its_own(shared: Desk) -> None:
    shared.run("CREATE TABLE keyed (n INTEGER)")
    copy = Copy(statement="SELECT 1 AS n", table="keyed")
    run = shared.start(copy, iteration=0)
    shared.wait(run)
    effects: list[dict[str, int]] = [{"iteration": 1}, {"iteration": 0, "round": 1}, {"iteration": 1, "round": 1}]
    for count, fields in enumerate([{"iteration": 0}, *effects], 1):
        for token in (2, 3):  # a later attempt of the same effect changes nothing
            assert shared.wait(shared.start(copy, token=token, same_as=run, **fields)).result == "succeeded"
        assert shared.rows("SELECT count(*) FROM keyed") == [[count]], fields


def test_a_replacing_copy_may_read_its_table_through_views_and_macros(shared: Desk) -> None:
    shared.run("CREATE TABLE seen AS SELECT range AS n FROM range(4); CREATE SCHEMA beside")
    shared.run("CREATE VIEW seen_twice AS SELECT n * 2 AS n FROM seen; CREATE VIEW beside.it AS FROM main.seen_twice")
    shared.run("CREATE MACRO seen_rows(least) AS TABLE SELECT n FROM seen WHERE n >= least")
    texts = {"FROM seen_twice": [0, 2, 4, 6], "FROM beside.it": [0, 4, 8, 12], "FROM seen_rows($m)": [8, 12]}
    for text, rows in texts.items():
        copy = Copy(statement=text, table="seen", mode="replace", parameters={"m": 5})
        assert shared.run(copy).result == "succeeded"
        assert [n for (n,) in shared.rows("FROM seen ORDER BY n")] == rows, text


@pytest.mark.parametrize("schema", ["runyard_sql", "default", "RUNYARD_SQL", "_Runyard", "nope", "main,_runyard", ""])
def test_a_schema_that_is_none_of_the_workspace_is_refused_by_every_kind(shared: Desk, schema: str) -> None:
    """Also the name of a database, which DuckDB would take for one: ours is called default."""
    (shared.files / "any.csv").write_text("a\n1\n")
    works: list[Any] = [
        Copy(statement="SELECT 1 AS a", table="t", schema=schema),
        Load(source="any.csv", table="t", schema=schema),
        Delete(table="t", where="true", schema=schema),
        Truncate(table="t", schema=schema),
        Export(statement="SELECT 1 AS a", target="any_out.csv", schema=schema),
        Sql(statement="CREATE OR REPLACE MACRO to_date(x) AS 1", schema=schema),
    ]
    for work in works:
        outcome = shared.run(work)
        assert (outcome.result, outcome.retry) == ("failed", False), (work, outcome)
        assert "schema" in outcome.detail or "no table that can be used" in outcome.detail
