"""A statement that takes too long or gives too much is stopped, and what it did is undone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runyard.core.actions import Sql, SqlDialect
from runyard.core.errors import RunyardError
from runyard.warehouse.database import Database
from tests.warehouse.desk import CROSS_JOIN, Desk

JOIN = """
SELECT count(*) FROM range(3000000) a JOIN range(3000000) b ON a.range % 1000 = b.range % 1000
WHERE sqrt(a.range * b.range) > 1e12
"""


@pytest.mark.parametrize("why", ["cancel", "timeout"])
@pytest.mark.parametrize("text", [JOIN, CROSS_JOIN], ids=["hash join", "cross join"])
def test_a_large_join_ends_within_two_seconds(shared: Desk, text: str, why: str) -> None:
    number = shared.start(text)
    shared.wait_started(number)
    time.sleep(0.5)  # in the middle of it
    asked = time.monotonic()
    shared.executor.stop(number, 1, grace=0, why=why)  # type: ignore[arg-type] # one of the literals
    outcome = shared.wait(number, 5.0)
    assert time.monotonic() - asked < 2
    assert outcome.result == "stopped"


def test_an_interactive_query_is_stopped_at_its_deadline_and_the_next_one_is_answered(shared: Desk) -> None:
    began = time.monotonic()
    with pytest.raises(RunyardError, match="took longer than 0\\.3 seconds"):
        shared.executor.query("default", JOIN, seconds=0.3).result(10)
    assert time.monotonic() - began < 2.5
    assert shared.executor.query("default", "SELECT 1").result(10)["rows"] == [[1]]


def test_a_result_with_too_many_rows_is_refused_before_it_is_whole(shared: Desk) -> None:
    began = time.monotonic()
    outcome = shared.run(Sql(statement="SELECT range FROM range(20000000000)", max_rows=100_000))
    assert outcome.result == "failed"
    assert outcome.detail == "The result has more than 100000 rows, which is its limit."
    assert time.monotonic() - began < 5
    assert not list(shared.attempts.rglob("*.parquet"))


def test_a_result_of_exactly_the_limit_is_given(shared: Desk) -> None:
    assert len(shared.run(Sql(statement="SELECT range FROM range(5)", max_rows=5)).output["rows"]) == 5
    assert shared.run(Sql(statement="SELECT range FROM range(6)", max_rows=5)).result == "failed"


def test_a_result_with_too_many_bytes_is_refused(shared: Desk) -> None:
    text = "SELECT repeat('x', 1000) AS x FROM range(10000000)"
    outcome = shared.run(Sql(statement=text, max_bytes=10_000_000))
    assert outcome.detail == "The result has more than 10000000 bytes, which is its limit."
    assert shared.run(Sql(statement="SELECT repeat('x', 1000)", max_bytes=500)).result == "failed"


def test_rows_that_a_writer_returns_over_its_limit_undo_what_it_wrote(shared: Desk) -> None:
    shared.run("CREATE TABLE counted (a BIGINT)")
    outcome = shared.run(Sql(statement="INSERT INTO counted FROM range(10) RETURNING a", max_rows=5))
    assert outcome.result == "failed"
    assert shared.rows("SELECT count(*) FROM counted") == [[0]]


def test_an_interactive_result_that_is_too_large_is_refused(shared: Desk) -> None:
    with pytest.raises(RunyardError, match="more than 67108864 bytes"):
        shared.executor.query("default", "SELECT repeat('x', 1000000) FROM range(200)", limit=10_000).result(10)


def test_a_statement_over_the_limit_of_memory_fails_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, memory_limit="60MB", disk_limit="5MB")
    try:
        pid = desk.pid()
        sort = "SELECT repeat(md5(range::VARCHAR), 8) AS h FROM range(600_000) ORDER BY h"
        outcome = desk.wait(desk.start(f"CREATE TABLE heavy AS {sort}"), 60)
        assert (outcome.result, outcome.reason) == ("failed", "sql_error"), outcome.metrics
        assert outcome.detail is not None
        assert "Out of Memory" in outcome.detail
        assert desk.run("FROM heavy").result == "failed"
        assert desk.pid() == pid
    finally:
        desk.close()


def test_what_is_spilled_to_the_disk_has_a_limit(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.duckdb", memory_limit="60MB", disk_limit="5MB")
    found = database.cursor().execute("SELECT current_setting('max_temp_directory_size')").fetchone()
    database._root.close()
    assert found == ("4.7 MiB",)


SLOW: list[tuple[SqlDialect, str]] = [
    ("clickhouse", "SELECT count() FROM numbers(10000000) a, numbers(10000000) b WHERE a.number + b.number = 3"),
    ("databricks", "SELECT count(*) FROM many a CROSS JOIN many b WHERE a.n + b.n = 3"),
    ("dremio", "SELECT COUNT(*) FROM many a, many b WHERE a.n + b.n = 3"),
    ("trino", "SELECT count(*) FROM many a CROSS JOIN many b WHERE a.n + b.n = 3"),
    ("postgres", "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a + b = 3"),
]


@pytest.mark.parametrize(("dialect", "text"), SLOW, ids=[dialect for dialect, _ in SLOW])
def test_a_statement_of_every_dialect_is_stopped_in_its_middle(shared: Desk, dialect: SqlDialect, text: str) -> None:
    shared.rows("CREATE TABLE IF NOT EXISTS many AS SELECT range AS n FROM range(3_000_000)")
    with pytest.raises(RunyardError, match="took longer than 0\\.2 seconds"):
        shared.executor.query("default", text, seconds=0.2, dialect=dialect).result(10)
    number = shared.start(Sql(statement=text, dialect=dialect))
    shared.wait_started(number)
    time.sleep(0.1)
    asked = time.monotonic()
    shared.executor.stop(number, 1, grace=0, why="timeout")
    assert shared.wait(number, 5.0).result == "stopped"
    assert time.monotonic() - asked < 2


def test_an_interactive_answer_that_is_cut_says_so(shared: Desk) -> None:
    wide = "SELECT repeat('x', 17 * 1024 * 1024) FROM range(2)"
    found = shared.executor.query("default", wide, limit=10).result(20)
    assert (len(found["rows"]), found["cut"], found["more"]) == (1, True, True)
    found = shared.executor.query("default", wide, limit=1).result(20)
    assert (len(found["rows"]), found["cut"], found["more"]) == (1, False, True)
    assert shared.executor.query("default", "FROM range(2)", limit=2).result(20)["more"] is False
