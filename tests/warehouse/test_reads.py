"""Who read a table without writing any: told by the catalog, and no burden for the reader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runyard.core.actions import Delete, Export, Sql
from runyard.core.attempts import Assignment
from runyard.warehouse import lineage
from runyard.warehouse.database import Database
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.reads import KEPT, Reads
from runyard.warehouse.touched import spelled
from tests.warehouse.desk import Desk


def read_by(desk: Desk, table: str, schema: str = "main") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.executor.table("default", schema, table).result(10)["read_by"]
    return found


def readers(desk: Desk, table: str, schema: str = "main") -> list[int]:
    return [one["task_run_id"] for one in read_by(desk, table, schema)]


def test_a_statement_that_only_reads_is_told_with_its_run_at_once(shared: Desk) -> None:
    shared.run("CREATE TABLE plain (n INTEGER); CREATE TABLE beside (n INTEGER)")
    before = time.time_ns() // 1_000_000
    number = shared.start("WITH q AS (FROM Plain) SELECT * FROM q JOIN main.beside USING (n)")
    assert shared.wait(number).result == "succeeded"
    (one,) = read_by(shared, "plain")
    assert (one["run_id"], one["task_run_id"], one["task_key"]) == (number, number, "t")
    assert (one["reads"], one["writes"]) == (["main.beside", "main.plain"], [])
    assert before <= one["at"] <= time.time_ns() // 1_000_000
    assert readers(shared, "beside") == [number]


def test_every_kind_of_reading_is_told(shared: Desk) -> None:
    shared.run(
        "CREATE TABLE kinds AS SELECT range AS n FROM range(5000); CREATE SCHEMA ks; CREATE TABLE ks.other (n INTEGER)"
    )
    asked: list[Any] = [
        "FROM kinds; SELECT 1",
        Sql(statement="SELECT * FROM kinds WHERE n > $n", parameters={"n": 4000}),
        Sql(statement="SELECT * FROM main.kinds", schema="ks"),
        Sql(statement="SELECT n FROM kinds LIMIT 1", reads=["main"], writes=[]),
        Sql(statement="SELECT count() FROM kinds FORMAT JSON", dialect="clickhouse"),
        "PIVOT kinds ON n % 2 USING count(*)",
        "SELECT n, repeat('x', 1000) FROM kinds",  # too large to be kept inline
        Delete(table="kinds", where="n IN (SELECT n FROM ks.other)", dry_run=True),
        Export(statement="SELECT * FROM kinds", target=str(shared.files / "kinds.csv")),
    ]
    numbers = []
    for action in asked:
        numbers.append(shared.start(action))
        assert shared.wait(numbers[-1]).result == "succeeded", (action, shared.wait(numbers[-1]).detail)
    assert readers(shared, "kinds") == numbers[::-1]
    assert readers(shared, "other", "ks") == [numbers[7]]


def test_who_reads_through_views_reads_what_is_behind_them(shared: Desk) -> None:
    shared.run("CREATE TABLE base (n INTEGER); CREATE VIEW over AS FROM base; CREATE SCHEMA vs")
    shared.run("CREATE VIEW vs.above AS SELECT * FROM main.over")
    first, second = shared.start("FROM over"), shared.start("FROM vs.above")
    shared.wait(first)
    shared.wait(second)
    assert sorted(readers(shared, "base")[:2]) == [first, second]
    assert sorted(readers(shared, "over")[:2]) == [first, second]
    assert readers(shared, "above", "vs") == [second]


def test_what_failed_what_wrote_and_what_asked_by_the_way_is_no_read(shared: Desk) -> None:
    shared.run("CREATE TABLE quiet (n INTEGER)")
    assert shared.run("SELECT error('no') FROM quiet, range(1)").result in ("succeeded", "failed")
    shared.run("INSERT INTO quiet VALUES (1)")
    failed = shared.start("SELECT CASE WHEN n = 1 THEN error('no') END FROM quiet")
    assert shared.wait(failed).result == "failed"
    shared.executor.query("default", "FROM quiet").result(10)
    assert failed not in readers(shared, "quiet")
    assert all(one["run_id"] for one in read_by(shared, "quiet"))


def test_reads_are_there_after_a_restart_and_only_the_newest_of_many(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run("CREATE TABLE many (n INTEGER); CREATE TABLE once (n INTEGER)")
    seldom = desk.start("FROM once")
    numbers = [desk.start(f"SELECT * FROM many WHERE n = {n}") for n in range(5 * KEPT)]
    for number in numbers:
        desk.wait(number)
    newest = readers(desk, "many")
    assert len(newest) == KEPT
    desk.close()
    again = Desk(tmp_path)
    assert readers(again, "many") == newest
    assert readers(again, "once") == [seldom]
    again.close()


def test_what_nobody_asks_about_is_kept_soon(desk: Desk) -> None:
    desk.run("CREATE TABLE soon (n INTEGER)")
    written = desk.home / "warehouse/default.duckdb.wal"
    before, deadline = written.stat().st_size, time.monotonic() + 20
    number = desk.start("FROM soon")
    desk.wait(number)
    while written.stat().st_size == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)  # the commit that was begun
    desk.executor._warehouses["default"]._process.kill()  # type: ignore[union-attr]
    assert desk.run("SELECT 1").result in ("succeeded", "lost")
    assert readers(desk, "soon") == [number]


# --- the notes themselves -------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.duckdb")
    yield database
    database._root.close()


def note(reads: Reads, number: int, text: str) -> None:
    action = Sql(statement=text)
    reads.note(Assignment(run_id=1, task_run_id=number, token=1, task_key="t", action=action), text, "main")


def test_the_oldest_reads_go_and_those_of_other_tables_stay(database: Database) -> None:
    reads = Reads(database.cursor)
    note(reads, 1, "FROM rare")
    for number in range(100, 100 + 12 * KEPT):
        note(reads, number, "FROM often")
        if number % 20 == 0:
            reads.keep()
    reads.keep()
    rows = (
        database.cursor().execute("SELECT name, count(*), max(task_run_id) FROM _runyard.reads GROUP BY ALL").fetchall()
    )
    found = {name: (count, newest) for name, count, newest in rows}
    assert found["main.rare"] == (1, 1)
    assert KEPT <= found["main.often"][0] <= 4 * KEPT
    assert found["main.often"][1] == 99 + 12 * KEPT


def test_notes_that_could_not_be_kept_are_kept_later(database: Database) -> None:
    broken = [True]

    def cursor() -> duckdb.DuckDBPyConnection:
        made = database.cursor()
        if broken:
            made.execute("BEGIN")  # so that the next BEGIN fails
        return made

    reads = Reads(cursor)
    note(reads, 5, "FROM kept")
    with pytest.raises(duckdb.Error):
        reads.keep()
    broken.clear()
    reads.keep()
    assert database.cursor().execute("SELECT task_run_id FROM _runyard.reads").fetchall() == [(5,)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a' FROM t WHERE n = 1", "SELECT 'it''s' FROM t WHERE n = 22.5"),
        ("FROM t1 LIMIT 1", "FROM t1 LIMIT 20"),
    ],
)
def test_texts_that_differ_in_literals_are_analysed_once(one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage._known.clear()
    first = tables_of(one, "main")
    monkeypatch.setattr(lineage, "_analysed", None)
    assert tables_of(other, "main") is first
    assert len(first.read) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("FROM t1", "FROM t2"),
        ('FROM "a 1"', 'FROM "a 2"'),
        ("SELECT $$it's$$ FROM a WHERE n = 'x'", "SELECT $$it's$$ FROM b WHERE n = 'x'"),
        ("SELECT 1 -- it's\nFROM a WHERE n = 'x'", "SELECT 1 -- it's\nFROM b WHERE n = 'x'"),
        ("SELECT 1 /* it's */ FROM a WHERE n = 'x'", "SELECT 1 /* it's */ FROM b WHERE n = 'x'"),
        (r"SELECT E'\'' FROM a WHERE n = 'x'", r"SELECT E'\'' FROM b WHERE n = 'x'"),
        ("SELECT '\"' FROM a", "SELECT '\"' FROM b"),
        ("SELECT \"it's\" FROM a WHERE n = 'x'", "SELECT \"it's\" FROM b WHERE n = 'x'"),
    ],
)
def test_texts_that_name_other_tables_are_told_apart(one: str, other: str) -> None:
    assert tables_of(one, "main").read != tables_of(other, "main").read
    assert len(tables_of(one, "main").read) == 1


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        ("ALTER TABLE s.u RENAME TO w", [], ["s.u", "s.w"]),
        ("ALTER VIEW v RENAME TO w", [], ["main.v", "main.w"]),
        ("ALTER TABLE u RENAME a TO b", [], ["main.u"]),
        ("ALTER TABLE u RENAME COLUMN a TO b", [], ["main.u"]),
        ("COMMENT ON TABLE u IS 'x'", [], ["main.u"]),
        ("DROP TABLE s.u", [], ["s.u"]),
        ("DROP INDEX u", [], []),
        ("TRUNCATE s.u", [], ["s.u"]),
        ("CREATE INDEX i ON u (a)", [], []),
        ("CREATE MACRO m(a) AS TABLE FROM u", [], []),
        ("CREATE TEMP TABLE q AS FROM u; INSERT INTO s.w FROM q; DELETE FROM q", ["main.u"], ["s.w"]),
        ("CREATE TEMP TABLE q AS FROM u; INSERT INTO main.q FROM q", ["main.u"], ["main.q"]),
        ("EXPLAIN SELECT * FROM u", [], []),
        ("CREATE VIEW v AS FROM u", ["main.u"], ["main.v"]),
        ("MERGE INTO u USING w ON u.a = w.a WHEN MATCHED THEN DELETE", ["main.w"], ["main.u"]),
        (f"SELECT * FROM u WHERE a IN ({', '.join(['1'] * 100_000)})", [], []),
    ],
)
def test_what_a_statement_reads_and_writes(text: str, read: list[str], written: list[str]) -> None:
    found = tables_of(text, "main")
    assert (spelled(found.read), spelled(found.inserted | found.changed)) == (read, written)
