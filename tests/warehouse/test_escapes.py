"""What user SQL must never be able to do."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import pytest

from runyard.core.actions import Delete, Load, Materialize, Sql, SqlDialect
from runyard.warehouse.checker import allowed_functions, check, refused_functions, reviewed_functions
from runyard.warehouse.refused import Refused
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
    # names that are dressed up
    "SELECT * FROM read_text\u2003(\u3000'/etc/passwd')",
    "SELECT * FROM read_csv\u200b('/etc/passwd')",
    "SELECT * FROM \ufeffread_text('/etc/passwd')",
    "SELECT * FROM \uff52ead_text('/etc/passwd')",
    "SELECT getenv\n(\n'HOME')",
    "SELECT getenv/* */('HOME')",
    "SELECT 'HOME'.getenv()",
    'SELECT "system"."main"."getenv"(\'HOME\')',
    # nested
    "WITH x AS MATERIALIZED (FROM read_text('/etc/passwd')) FROM x",
    "SELECT list_transform([1], lambda x: getenv('HOME'))",
    "SELECT [getenv(x) FOR x IN ['HOME']]",
    "CREATE MACRO leak(x) AS getenv(x)",
    "CREATE TABLE e2 (a VARCHAR DEFAULT getenv('HOME'))",
    "CREATE TABLE e2 (a VARCHAR GENERATED ALWAYS AS (getenv('HOME')))",
    "CREATE TYPE leak AS ENUM (SELECT getenv('HOME'))",
    "UPDATE t SET a = getenv('HOME')",
    "MERGE INTO t USING read_csv('/etc/passwd') s ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO t SELECT 1 RETURNING getenv('HOME')",
    "PIVOT (FROM read_text('/etc/passwd')) ON filename",
    "SELECT 1; PIVOT (FROM range(1)) ON getenv('HOME')",
    "SELECT * FROM (PIVOT range(1) ON getenv('HOME'))",
    "FROM range(1), LATERAL (FROM glob('/*'))",
    "SELECT 1 AS a QUALIFY getenv('HOME')",
    "SUMMARIZE '/etc/passwd'",
    "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
    "PREPARE p AS SELECT 1; EXECUTE p",
    # functions that name a table in computed text, tell of other sessions, or sleep
    "SELECT * FROM histogram('_run' || 'yard.effects', token)",
    "SELECT * FROM histogram_values('_run' || 'yard.effects', token)",
    "SELECT json_deserialize_sql('x')",
    "SELECT current_query()",
    "SELECT getvariable('x')",
    "SELECT stats(1)",
    "SELECT txid_current()",
    "SELECT setseed(0.5)",
    "SELECT sleep_ms(1)",
    "SELECT pg_get_viewdef(1)",
    "SELECT * FROM seq_scan('t')",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM pg_class",
    'SELECT * FROM "pg_catalog"."pg_database"',
    "FROM (SHOW ALL TABLES)",
    "FROM (SHOW DATABASES)",
    "SHOW ALL TABLES",
    "FROM information_schema.tables WHERE table_schema = '_runyard'",
    # what extensions would bring
    "SELECT * FROM st_read('/etc/passwd')",
    "SELECT * FROM read_xlsx('/etc/passwd')",
    "SELECT * FROM sqlite_scan('/tmp/x', 't')",
    "SELECT * FROM http_get('http://127.0.0.1')",
    "SELECT * FROM iceberg_scan('/tmp')",
    # our macros
    "CREATE OR REPLACE MACRO runyard_sql.to_date(x) AS 1",
    "DROP MACRO runyard_sql.to_date",
    "CREATE TABLE runyard_sql.t (a INTEGER)",
    "CREATE SCHEMA runyard_sql.x",
    "INSERT INTO runyard_sql.t (a) VALUES (1)",
    "DETACH runyard_sql",
    "SET VARIABLE x = 1",
    "CREATE TRIGGER t AFTER INSERT ON alive FOR EACH ROW INSERT INTO alive VALUES (1)",
    "INSERT INTO alive VALUES (1); COMMIT; BEGIN",
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


ELSEWHERE = [
    "SELECT getenv('HOME')",
    "SELECT /*+ x */ getenv('HOME')",
    "SELECT `getenv`('HOME')",
    "SELECT \"getenv\"('HOME')",
    "SELECT $$x$$ || getenv($$HOME$$)",
    "SELECT * FROM file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1/x')",
    "SELECT * FROM remote('127.0.0.1', x, y)",
    "SELECT * FROM executable('x', 'CSV', 'a Int')",
    "SELECT * FROM dblink('x', 'y')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM csv.`/etc/passwd`",
    "SELECT * FROM text.`/etc/passwd`",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM `/etc/passwd`",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('held_fast')",
    "COPY held_fast TO '/tmp/x.csv'",
    "COPY held_fast FROM '/etc/passwd'",
    "INSERT INTO FUNCTION file('/tmp/x') SELECT 1",
    "SELECT * FROM held_fast INTO OUTFILE '/tmp/x'",
    "CREATE TABLE z USING CSV LOCATION '/etc/passwd'",
    "CREATE EXTERNAL TABLE z (a INT) LOCATION '/etc'",
    "CREATE TABLE z AS SELECT * FROM read_text('/etc/passwd')",
    "LOAD DATA INPATH '/etc/passwd' INTO TABLE held_fast",
    "ADD JAR '/x'",
    "CREATE FUNCTION f AS 'x'",
    "SELECT java_method('a', 'b')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_read_file('/etc/passwd')",
    "SELECT pg_sleep(1)",
    "SELECT sleep(1)",
    "SELECT * FROM _runyard.effects",
    "SELECT * FROM `_runyard`.effects",
    'SELECT * FROM "_RUNYARD"."effects"',
    "DROP SCHEMA _runyard CASCADE",
    "DROP DATABASE _runyard",
    "CREATE MACRO runyard_sql.x() AS 1",
    "SELECT * FROM system.settings",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pg_settings",
    "SELECT current_setting('x')",
    "SHOW ALL TABLES",
    "SYSTEM SHUTDOWN",
    "BEGIN",
    "COMMIT",
    "SELECT 1; COMMIT; BEGIN",
    "INSERT INTO held_fast VALUES (2); COMMIT; BEGIN",
    "PRAGMA database_list",
    "ATTACH '/tmp/x'",
    "INSTALL httpfs",
    "VACUUM INTO '/tmp/x'",
    "EXECUTE IMMEDIATE 'SELECT 1'",
    "EXPLAIN ANALYZE COPY held_fast TO '/tmp/x'",
    "DO $$ x $$",
]


@pytest.mark.parametrize("dialect", ["clickhouse", "databricks", "dremio", "trino", "postgres"])
def test_an_escape_is_refused_in_every_dialect(shared: Desk, dialect: SqlDialect) -> None:
    shared.run("CREATE TABLE IF NOT EXISTS held_fast AS SELECT 1 AS a")
    numbers = [shared.start(Sql(statement=text, dialect=dialect)) for text in ELSEWHERE]
    for text, number in zip(ELSEWHERE, numbers, strict=True):
        outcome = shared.wait(number, 20)
        assert (outcome.result, outcome.reason) == ("failed", "sql_error"), (text, outcome.output)
        assert "root:" not in str(outcome)
    assert shared.rows("FROM held_fast") == [[1]]


PASTED = [
    "a = 1) RETURNING (a", "a IN (SELECT 1 FROM read_text('/etc/passwd'))", "getenv('HOME') = 'x'", "a = 1; COMMIT",
    "EXISTS (FROM _runyard.effects)", "(SELECT count(*) FROM '/etc/passwd') > 0", "a = 1 /*", "a = 1 */", "a = $p",
    "true\n) OR (true", "true) AND (true", "a = 1 UNION SELECT 1", "EXISTS (DELETE FROM held_fast)", "a = 1 LIMIT 1",
    "a = (SELECT nextval('s'))", "a = 1 GROUP BY a", "a = E'\\')--'", "lambda x: x", "",
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["duckdb", "clickhouse", "databricks", "dremio", "trino", "postgres"])
def test_a_condition_of_any_dialect_stays_in_its_place(shared: Desk, dialect: SqlDialect) -> None:
    shared.run("CREATE TABLE IF NOT EXISTS held_fast AS SELECT 1 AS a; CREATE TABLE IF NOT EXISTS fed (a INTEGER)")
    (shared.files / "held.csv").write_text("a\n7\n")
    shared.executor.create_view("default", "feeds", "main", "held_fast", "SELECT a FROM held_fast", "fed").result(10)
    for where in PASTED:
        works: list[Any] = [
            Delete(table="held_fast", where=where, dialect=dialect),
            Load(source="held.csv", table="held_fast", mode="replace_where", where=where, dialect=dialect),
        ]
        if where:
            works.append(Materialize(view="feeds", where=where, dialect=dialect))
            works.append(Materialize(view="feeds", partition_by=where.replace("a = 1", "a"), dialect=dialect))
        for work in works:
            assert shared.run(work).result == "failed", (where, work)
    assert shared.rows("FROM held_fast") == [[1]]


def test_a_link_to_a_file_outside_is_closed_to_sql(shared: Desk) -> None:
    link = shared.files / "link.csv"
    link.symlink_to("/etc/passwd")
    for text in (f"FROM '{link}'", f"FROM read_csv('{link}')", f"SELECT * FROM range(1) r, '{link}'"):
        outcome = shared.run(text)
        assert outcome.result == "failed", text
        assert "root:" not in str(outcome)


def test_every_function_of_this_duckdb_was_reviewed() -> None:
    """A newer DuckDB brings functions: each is to be read about, and put into functions.txt on the right side."""
    found = duckdb.connect().execute("SELECT lower(function_name) FROM duckdb_functions() WHERE internal").fetchall()
    names = {name for (name,) in found if re.fullmatch(r"[a-z_]\w*", name)}
    assert {name for name in names - reviewed_functions() if "collate_" not in name} == set()


def test_a_function_that_nobody_reviewed_is_refused() -> None:
    assert refused_functions(frozenset({"sum", "read_moon", "collate_de"})) == {"read_moon"}
    assert not allowed_functions() & {"read_csv", "query", "query_table", "glob", "getenv", "duckdb_settings"}


def test_every_refused_function_of_this_duckdb_is_refused_by_name() -> None:
    callable_ = "SELECT lower(function_name) FROM duckdb_functions() WHERE internal AND function_type <> 'pragma'"
    found = {name for (name,) in duckdb.connect().execute(callable_).fetchall()}
    for name in sorted(found & (reviewed_functions() - allowed_functions())):
        with pytest.raises(Refused, match=f"The (function|catalog name) {name} is not available"):
            check(f'SELECT "{name}"(1)')


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
    "CREATE TABLE IF NOT EXISTS stats (a INTEGER); INSERT INTO main.stats (a) VALUES (1); SELECT a FROM stats",
    "SELECT functions FROM (SELECT 1 AS functions)",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_sql_is_not_refused(shared: Desk, text: str) -> None:
    outcome = shared.run(text)
    assert outcome.result == "succeeded", outcome.detail


def test_a_temporary_table_does_not_outlive_its_task(shared: Desk) -> None:
    shared.run("CREATE TEMP TABLE mine AS SELECT 1 AS a")
    assert [shared.run("SELECT a FROM mine").result for _ in range(20)] == ["failed"] * 20
