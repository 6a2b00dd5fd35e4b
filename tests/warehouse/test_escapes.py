"""What user SQL must never be able to do."""

from __future__ import annotations

import pytest

from runyard.core.actions import Load
from tests.warehouse.desk import Desk

ESCAPES = [
    "ATTACH '/tmp/x.duckdb'",
    "ATTACH ':memory:' AS m",
    "DETACH main",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY t FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "SET threads = 1",
    "SET search_path = '_runyard'",
    "RESET threads",
    "USE temp",
    "CALL pragma_version()",
    "CHECKPOINT",
    "BEGIN",
    "SELECT 1; COMMIT; SELECT 2",
    "CREATE TABLE e1 (a INTEGER); ROLLBACK",
    "START TRANSACTION",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL httpfs",
    "UPDATE EXTENSIONS",
    "CREATE SECRET s (TYPE s3)",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM \"read_csv\"('/etc/passwd')",
    "SELECT * FROM READ_TEXT /* hm */ ('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM range(1), '/etc/passwd'",
    "SELECT * FROM 'http://127.0.0.1/x.csv'",
    "SELECT * FROM './secret.csv'",
    "CREATE VIEW leak AS SELECT * FROM '/etc/passwd'",
    "CREATE MACRO leak() AS TABLE SELECT * FROM read_text('/etc/passwd')",
    "INSERT INTO t SELECT * FROM read_csv('/etc/passwd')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_directories')",
    "SHOW allowed_directories",
    "DESCRIBE allowed_directories",
    "SHOW threads",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM pragma_storage_info('effects')",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM _runyard.effects",
    'SELECT * FROM "_RunYard"."effects"',
    "DELETE FROM _runyard . effects",
    "DROP SCHEMA _runyard CASCADE",
    "ALTER TABLE _runyard.effects RENAME TO x",
    "CREATE VIEW v AS FROM _runyard.effects",
    "SELECT * FROM query('SELECT * FROM _run' || 'yard.effects')",
    "SELECT * FROM query_table('_run' || 'yard.effects')",
    "SELECT * FROM query_table(['t'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "CREATE MACRO m(t) AS TABLE SELECT * FROM query_table(t)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/x.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '/tmp/x.csv'",
    "EXPLAIN SELECT * FROM _runyard.effects",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM python_map_function(1)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT write_log('x')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM which_secret('s3://x', 's3')",
    "COMMENT ON TABLE _runyard.effects IS 'x'",
    "",
    "   ;  ",
    "-- only a comment",
]


@pytest.mark.parametrize("text", ESCAPES, ids=[text or "empty" for text in ESCAPES])
def test_an_escape_is_refused(shared: Desk, text: str) -> None:
    shared.rows("SELECT 1 FROM range(1)")
    outcome = shared.run(text)
    assert outcome.result == "failed", outcome.output
    assert outcome.reason == "sql_error"
    assert outcome.detail
    assert "root:" not in outcome.detail


READS = [
    "SELECT * FROM range(1), '{}'",
    'SELECT * FROM range(1) r, "{}"',
    "SELECT * FROM ('{}')",
    "CREATE TABLE stolen AS SELECT * FROM range(1), '{}'",
    "INSERT INTO taken SELECT n, t FROM range(1), '{}'",
    "CREATE VIEW stolen AS SELECT * FROM range(1), '{}'",
    "EXPLAIN ANALYZE SELECT * FROM range(1), '{}'",
    "WITH x AS (SELECT * FROM range(1), '{}') FROM x",
    "FROM /* x */ '{}'",
    "SELECT * FROM system.main.read_csv('{}')",
    "SELECT (SELECT t FROM range(1), '{}')",
]


@pytest.mark.parametrize("text", READS)
def test_a_file_that_loads_may_read_is_still_closed_to_sql(shared: Desk, text: str) -> None:
    file = shared.files / "secret.csv"
    file.write_text("n,t\n1,hidden\n")
    shared.run("CREATE TABLE IF NOT EXISTS taken (n INTEGER, t VARCHAR)")
    assert shared.run(Load(source="secret.csv", table="secret", mode="replace")).result == "succeeded"
    outcome = shared.run(text.format(file))
    assert outcome.result == "failed", outcome.output
    assert "hidden" not in str(outcome)


def test_after_all_escapes_the_effects_and_the_database_still_work(shared: Desk) -> None:
    shared.run("CREATE TABLE alive (a INTEGER)")
    first = shared.start("INSERT INTO alive VALUES (1)")
    shared.wait(first)
    shared.wait(shared.start("INSERT INTO alive VALUES (1)", token=2, same_as=first))
    assert shared.rows("SELECT count(*) FROM alive") == [[1]]


HARMLESS = [
    "SELECT 'COPY x TO y; COMMIT' AS text FROM range(1)",
    "SELECT * FROM (VALUES (1, 'read_csv(''/etc/passwd'')')) t(a, b)",
    "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
    "FROM range(2) SELECT range",
    "SELECT extract(year FROM DATE '2024-01-01')",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1 FROM range(10)",
    "SHOW TABLES",
    "PIVOT (SELECT range % 2 AS k, range AS v FROM range(4)) ON k USING sum(v)",
    "CREATE OR REPLACE MACRO twice(a) AS a * 2; SELECT twice(4)",
    "CREATE SEQUENCE IF NOT EXISTS sq; SELECT nextval('sq') > 0",
    "CREATE TEMP TABLE tt AS SELECT 1 AS a; SELECT a FROM tt",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'",
    "SELECT [x + 1 FOR x IN [1, 2]], 'a' || $$b$$",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_sql_is_not_refused(shared: Desk, text: str) -> None:
    outcome = shared.run(text)
    assert outcome.result == "succeeded", outcome.detail


def test_a_temporary_table_does_not_outlive_its_task(shared: Desk) -> None:
    shared.run("CREATE TEMP TABLE mine AS SELECT 1 AS a")
    assert [shared.run("SELECT a FROM mine").result for _ in range(20)] == ["failed"] * 20
