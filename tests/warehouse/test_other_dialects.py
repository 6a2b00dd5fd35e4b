"""SQL of Databricks, Dremio, Trino and PostgreSQL: common statements, and what DuckDB answers to them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from runyard.core.actions import SqlDialect
from runyard.warehouse.checker import check
from runyard.warehouse.dialects import macros, translated
from runyard.warehouse.refused import Refused

TABLES = """
CREATE SCHEMA s;
CREATE TABLE s.src AS SELECT 1 AS id, 'a' AS name, DATE '2024-05-06' AS d, TIMESTAMP '2024-05-06 07:08:09' AS ts,
    [1, 2] AS arr, MAP {'k': 1} AS m, '{"a": {"b": 5}}' AS js;
CREATE TABLE s.empty AS SELECT 2 AS id, []::INTEGER[] AS arr;
CREATE TABLE s.target AS SELECT 1 AS id, 'old' AS name
"""
DAY = datetime.date(2024, 5, 6)


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": False})
    connection.execute("SET TimeZone = 'UTC'")
    macros.provide(connection)
    connection.execute(TABLES)
    yield connection
    connection.close()


READS: list[tuple[SqlDialect, str, list[Any]]] = [
    ("databricks", "SELECT id FROM range(2)", [(0,), (1,)]),
    ("databricks", "SELECT a.id, b.x FROM range(1, 3) a JOIN range(2, 4) AS b(x) ON a.id = b.x", [(2, 2)]),
    ("databricks", "SELECT id, x FROM s.src LATERAL VIEW explode(arr) e AS x", [(1, 1), (1, 2)]),
    ("databricks", "SELECT id, k, v FROM s.src LATERAL VIEW explode(m) e AS k, v", [(1, "k", 1)]),
    ("databricks", "SELECT id, x FROM s.empty LATERAL VIEW OUTER explode(arr) e AS x", [(2, None)]),
    ("databricks", "SELECT id, p, x FROM s.src LATERAL VIEW posexplode(arr) e AS p, x", [(1, 0, 1), (1, 1, 2)]),
    ("databricks", "SELECT explode(arr) FROM `main`.`s`.`src`", [(1,), (2,)]),
    ("databricks", "SELECT main.s.src.name FROM main.s.src", [("a",)]),
    ("databricks", "SELECT name FROM s.src QUALIFY row_number() OVER (PARTITION BY id ORDER BY ts) = 1", [("a",)]),
    ("databricks", "SELECT date_format(ts, 'yyyy-MM-dd HH:mm'), trunc(d, 'MM'), date_add(d, 3) FROM s.src",
     [("2024-05-06 07:08", datetime.datetime(2024, 5, 1), datetime.date(2024, 5, 9))]),
    ("databricks", "SELECT datediff(d, date'2024-05-01'), unix_timestamp(ts), year(d), last_day(d) FROM s.src",
     [(5, 1714979289, 2024, datetime.date(2024, 5, 31))]),
    ("databricks", "SELECT to_date('05/06/2024', 'MM/dd/yyyy'), add_months(date'2024-01-31', 1)",
     [(DAY, datetime.date(2024, 2, 29))]),
    ("databricks", "SELECT size(arr), array_contains(arr, 2), arr[0], element_at(arr, 1), m['k'] FROM s.src",
     [(2, True, 1, 1, 1)]),
    ("databricks", "SELECT transform(arr, x -> x + 1), filter(arr, x -> x > 1), exists(arr, x -> x > 1) FROM s.src",
     [([2, 3], [2], True)]),
    ("databricks", "SELECT js:a.b, get_json_object(js, '$.a.b'), nvl(NULL, 'x'), if(id = 1, 'y', 'n') FROM s.src",
     [("5", "5", "x", "y")]),
    ("databricks", "SELECT bigint('3'), string(4), 7 div 2, 7 / 2, 1 <=> NULL, format_number(1234.5, 2)",
     [(3, "4", 3, 3.5, False, "1,234.50")]),
    ("databricks", "SELECT /*+ BROADCAST(t) */ collect_list(id), count_if(id > 0), max_by(name, id) FROM s.src t",
     [([1], 1, "a")]),
    ("databricks", "SELECT * FROM s.src LEFT ANTI JOIN s.target USING (id)", []),
    ("databricks", "SHOW TABLES IN s", [("s", name, False) for name in ("empty", "src", "target")]),
    ("databricks", "SHOW TABLES IN `main`.`s` LIKE 'S*|tar*'", [("s", "src", False), ("s", "target", False)]),
    ("databricks", "SHOW VIEWS IN s", []),
    ("databricks", "SHOW SCHEMAS LIKE 's*'", [("s",)]),
    ("databricks", "SHOW COLUMNS IN s.target", [("id",), ("name",)]),
    ("databricks", "DESCRIBE TABLE EXTENDED main.s.target", [("id", "int", None), ("name", "string", None)]),
    ("databricks", "desc s.target", [("id", "int", None), ("name", "string", None)]),
    ("databricks", "DESCRIBE QUERY SELECT size(array(1)) AS n", [("n", "bigint", None)]),
    ("databricks", "OPTIMIZE s.target ZORDER BY (id)", []),
    ("databricks", "VACUUM s.target RETAIN 168 HOURS", []),
    ("databricks", "ANALYZE TABLE s.target COMPUTE STATISTICS FOR ALL COLUMNS", []),
    ("databricks", "REFRESH TABLE s.target", []),
    ("databricks", "CACHE TABLE s.target", []),
    ("databricks", "ALTER TABLE s.target SET TBLPROPERTIES ('delta.x' = '1')", []),
    ("databricks", "SET spark.sql.shuffle.partitions = 8", [("spark.sql.shuffle.partitions", "8")]),
    ("databricks", "SELECT substring_index('a.b.c', '.', 2), substring_index('a.b.c', '.', -1)", [("a.b", "c")]),
    ("databricks", "-- first\nOPTIMIZE s.target; -- then; this\nSELECT ';' AS x, size(array(1))", [(";", 1)]),
    ("dremio", "SELECT FLATTEN(arr) FROM myspace.folder.s.src", [(1,), (2,)]),
    ("dremio", "SELECT TO_CHAR(ts, 'YYYY-MM-DD HH24:MI:SS'), TO_CHAR(d, 'DD/MM/YY') FROM s.src",
     [("2024-05-06 07:08:09", "06/05/24")]),
    ("dremio", "SELECT TIMESTAMPADD(DAY, 2, ts), TIMESTAMPDIFF(HOUR, ts, ts), DATE_TRUNC('MONTH', d) FROM s.src",
     [(datetime.datetime(2024, 5, 8, 7, 8, 9), 0, datetime.datetime(2024, 5, 1))]),
    ("dremio", "SELECT NDV(id), ILIKE('A', 'a'), NVL(NULL, 1), REGEXP_LIKE('abc', 'b') FROM s.src GROUP BY id",
     [(1, True, 1, True)]),
    ("dremio", 'SELECT id FROM "s"."src" QUALIFY ROW_NUMBER() OVER (ORDER BY id) = 1', [(1,)]),
    ("trino", "SELECT id, x FROM hive.s.src CROSS JOIN UNNEST(arr) AS u(x)", [(1, 1), (1, 2)]),
    ("trino", "SELECT id, k, v FROM s.src CROSS JOIN UNNEST(m) AS u(k, v)", [(1, "k", 1)]),
    ("trino", "SELECT u.k, v FROM UNNEST(MAP(ARRAY['a', 'b'], ARRAY[1, 2])) AS u(k, v)", [("a", 1), ("b", 2)]),
    ("trino", "SELECT x FROM UNNEST(ARRAY[1, 2]) AS u(x)", [(1,), (2,)]),
    ("trino", "SELECT date_diff('day', DATE '2024-05-01', d), date_add('month', 1, d), day_of_week(d) FROM s.src",
     [(5, datetime.datetime(2024, 6, 6), 1)]),
    ("trino", "SELECT date_format(ts, '%Y-%m-%d %H:%i'), format_datetime(ts, 'yyyy-MM-dd'), to_unixtime(ts) FROM s.src",
     [("2024-05-06 07:08", "2024-05-06", 1714979289)]),
    ("trino", "SELECT json_extract_scalar(js, '$.a.b'), cardinality(arr), element_at(m, 'k'), arr[1] FROM s.src",
     [("5", 2, 1, 1)]),
    ("trino", "SELECT reduce(arr, 0, (s, x) -> s + x, s -> s), any_match(arr, x -> x > 1) FROM s.src", [(3, True)]),
    ("trino", "SELECT approx_distinct(id), arbitrary(name), map_agg(name, id), count_if(true) FROM s.src",
     [(1, "a", {"a": 1}, 1)]),
    ("trino", "SELECT url_extract_host('https://a.b/c'), try_cast('x' AS integer), codepoint('A')",
     [("a.b", None, 65)]),
    ("trino", "SELECT id FROM s.src ORDER BY id OFFSET 0 LIMIT 1", [(1,)]),
    ("postgres", "SELECT to_char(ts, 'YYYY-MM-DD HH24:MI'), ts::date, date_part('year', d) FROM s.src",
     [("2024-05-06 07:08", DAY, 2024)]),
    ("postgres", "SELECT js::json->'a'->>'b', name ~ 'a', name ~* 'A', name ILIKE 'A' FROM s.src",
     [("5", True, True, True)]),
    ("postgres", "SELECT DISTINCT ON (id) name FROM s.src ORDER BY id", [("a",)]),
    ("postgres", "SELECT string_agg(name, ',' ORDER BY id), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM s.src",
     [("a", 1.0)]),
    ("postgres", "SELECT x FROM generate_series(1, 2) AS g(x)", [(1,), (2,)]),
    ("postgres", "SELECT 1::numeric(10, 2), 'x'::varchar(3), div(7, 2), 1 = ANY(arr), btrim(' a ') FROM s.src",
     [(Decimal("1.00"), "x", 3, True, "a")]),
    ("postgres", "EXPLAIN SELECT 1", [("physical_plan", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "text", "rows"), READS, ids=[f"{one[0]}-{n}" for n, one in enumerate(READS)])
def test_a_query_gives_what_its_own_system_gives(
    duck: duckdb.DuckDBPyConnection, dialect: SqlDialect, text: str, rows: list[Any]
) -> None:
    assert check(translated(text, dialect)).statements  # which are allowed
    found = duck.execute(translated(text, dialect)).fetchall()
    if text.startswith("EXPLAIN"):
        found = [(found[0][0], "")]
    assert found == rows, translated(text, dialect)


WRITES: list[tuple[SqlDialect, str, list[Any]]] = [
    ("databricks", "CREATE OR REPLACE TABLE `main`.`s`.`target` USING DELTA PARTITIONED BY (id) COMMENT 'c'"
     " TBLPROPERTIES ('a' = 'b') AS SELECT id, name FROM main.s.src", [(1, "a")]),
    ("databricks", "MERGE INTO s.target t USING main.s.src s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name"
     " WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)", [(1, "a")]),
    ("databricks", "MERGE INTO s.target t USING main.s.src s ON t.id = s.id WHEN MATCHED THEN UPDATE SET"
     " t.name = s.name WHEN NOT MATCHED THEN INSERT (t.id, t.name) VALUES (s.id, s.name)", [(1, "a")]),
    ("databricks", "MERGE INTO s.target USING s.src ON target.id = src.id + 1 WHEN NOT MATCHED THEN INSERT (id, name)"
     " VALUES (2, 'n')", [(1, "old"), (2, "n")]),
    ("databricks", "CREATE OR REPLACE TABLE s.target (id INT COMMENT 'k', t ARRAY<STRING>) USING delta CLUSTER BY (id)",
     []),
    ("databricks", "INSERT OVERWRITE TABLE s.target SELECT 7, name FROM s.src", [(7, "a")]),
    ("databricks", "INSERT OVERWRITE TABLE s.target PARTITION (id = 1) SELECT name FROM s.src", [(1, "a")]),
    ("databricks", "INSERT OVERWRITE main.s.target PARTITION (id = 2) VALUES ('x'), ('y')",
     [(1, "old"), (2, "x"), (2, "y")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id = 1) SELECT name || '!' FROM s.target WHERE id = 1",
     [(1, "old!")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id) SELECT 'n', 1 UNION ALL SELECT 'm', 3",
     [(1, "n"), (3, "m")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id) SELECT 'n', CAST(NULL AS INT)", [(1, "old"), (None, "n")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id = 1) (name) SELECT 'by list'", [(1, "by list")]),
    ("databricks", "INSERT INTO s.target PARTITION (id = 5) WITH q AS (SELECT 'w' AS id) SELECT id FROM q ORDER BY 1",
     [(1, "old"), (5, "w")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id = 1) SELECT name FROM s.src WHERE false", []),
    ("databricks", "INSERT INTO s.target REPLACE WHERE id < 3 SELECT id + 1, name || '!' FROM s.target", [(2, "old!")]),
    ("databricks", "INSERT INTO s.target REPLACE USING (id) VALUES (1, 'x'), (2, 'y')", [(1, "x"), (2, "y")]),
    ("databricks", "INSERT INTO s.target (name, id) REPLACE USING (id) SELECT 'z', 3", [(1, "old"), (3, "z")]),
    ("databricks", "INSERT OVERWRITE s.target PARTITION (id) BY NAME SELECT 1 AS id, 'by name' AS name",
     [(1, "by name")]),
    ("databricks", "CREATE OR REPLACE TABLE s.target (name STRING) PARTITIONED BY (id INT, day DATE);"
     " INSERT INTO s.target PARTITION (id = 3, day = DATE'2024-05-06') VALUES ('x')", [("x", 3, DAY)]),
    ("databricks", "INSERT INTO TABLE s.target VALUES (2, 'b')", [(1, "old"), (2, "b")]),
    ("databricks", "UPDATE main.s.target SET name = 'z' WHERE id = 1", [(1, "z")]),
    ("databricks", "ALTER TABLE s.target ADD COLUMNS (z INT)", [(1, "old", None)]),
    ("databricks", "CREATE DATABASE IF NOT EXISTS s2; TRUNCATE TABLE s.target", []),
    ("dremio", "MERGE INTO space.s.target USING s.src AS x ON (target.id = x.id) WHEN MATCHED THEN"
     " UPDATE SET name = 'm'",
     [(1, "m")]),
    ("dremio", "CREATE OR REPLACE VIEW space.s.v AS SELECT 1 AS a;"
     " DELETE FROM s.target WHERE id IN (SELECT a FROM s.v)",
     []),
    ("trino", "DROP TABLE hive.s.target; CREATE TABLE hive.s.target WITH (format = 'PARQUET', partitioned_by ="
     " ARRAY['name']) AS SELECT id, name FROM hive.s.src", [(1, "a")]),
    ("trino", "INSERT INTO awsdatacatalog.s.target (id, name) SELECT 9, 'n'", [(1, "old"), (9, "n")]),
    ("postgres", "UPDATE s.target SET name = x.name FROM s.src x WHERE x.id = target.id", [(1, "a")]),
    ("postgres", "DELETE FROM s.target USING s.src x WHERE x.id = target.id", []),
    ("postgres", "CREATE UNIQUE INDEX i ON s.target (id); INSERT INTO s.target VALUES (1, 'x') ON CONFLICT (id)"
     " DO UPDATE SET name = excluded.name", [(1, "x")]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "text", "rows"), WRITES, ids=[f"{one[0]}-{n}" for n, one in enumerate(WRITES)])
def test_a_statement_changes_what_its_own_system_changes(
    duck: duckdb.DuckDBPyConnection, dialect: SqlDialect, text: str, rows: list[Any]
) -> None:
    assert check(translated(text, dialect)).statements
    duck.execute(translated(text, dialect))
    assert duck.execute("SELECT * FROM s.target ORDER BY 1").fetchall() == rows


REFUSED: list[tuple[SqlDialect, str, str]] = [
    ("databricks", "SELECT 1,\n  foo_bar(2)", "the function foo_bar has no counterpart here (line 2, column 3)"),
    ("databricks", "SELECT * FROM t VERSION AS OF 3", "time travel has no counterpart here"),
    (
        "databricks",
        "SELECT 1;\n RESTORE TABLE t TO VERSION AS OF 1",
        "RESTORE has no counterpart here (line 2, column 2)",
    ),
    ("databricks", "DESCRIBE HISTORY s.src", "DESCRIBE HISTORY has no counterpart here"),
    ("databricks", "SHOW CREATE TABLE s.src", "SHOW CREATE TABLE has no counterpart here"),
    ("databricks", "SET TIME ZONE 'UTC'", "SET TIME ZONE has no counterpart here"),
    ("databricks", "SET VAR x = 1", "SET VAR has no counterpart here"),
    ("databricks", "GRANT SELECT ON t TO x", "GRANT has no counterpart here"),
    ("databricks", "CREATE TABLE a (x BIGINT GENERATED ALWAYS AS IDENTITY)", "identity column"),
    ("databricks", "CREATE TABLE a CLONE b", "CLONE has no counterpart here"),
    ("databricks", "CREATE TABLE a (x INT) USING DELTA LOCATION '/etc'", "LOCATION has no counterpart here"),
    ("databricks", "COPY INTO t FROM '/etc/passwd'", "COPY is not available here"),
    ("databricks", "USE CATALOG main", "USE is not available here"),
    ("databricks", "SELECT * FROM read_files('/etc/passwd')", "the function read_files has no counterpart here"),
    ("databricks", "INSERT OVERWRITE t SELECT * FROM t", "cannot read the table that it empties"),
    ("databricks", "INSERT OVERWRITE t PARTITION (d = 1) IF NOT EXISTS SELECT 1", "found 'IF'"),
    ("databricks", "INSERT OVERWRITE t PARTITION (d > 1) SELECT 1", "PARTITION (...) names columns"),
    ("databricks", "WITH x AS (SELECT 1) INSERT INTO t PARTITION (d = 1) SELECT * FROM x", "WITH stands before"),
    ("databricks", "CREATE TABLE t (`a*/b` INT) PARTITIONED BY (`a*/b`)", "a comment's marks"),
    (
        "clickhouse",
        "CREATE TABLE t (a String) ENGINE = MergeTree PARTITION BY concat(a, '*/; DROP TABLE x; /*')",
        "a comment's marks",
    ),
    ("databricks", "ALTER TABLE t DROP PARTITION (d = 1)", "PARTITION (...) has no counterpart here"),
    ("databricks", "TRUNCATE TABLE t PARTITION (d = 1)", "PARTITION (...) has no counterpart here"),
    ("databricks", "FROM s INSERT OVERWRITE t PARTITION (a = 1) SELECT b", "PARTITION (...) has no counterpart here"),
    ("databricks", "CREATE TABLE t (x INT) PARTITIONED BY (bucket(8, x))", "a key may name columns"),
    ("databricks", "CREATE TABLE t (x TIMESTAMP) PARTITIONED BY (years(x))", "a key may name columns"),
    ("trino", "CREATE TABLE t (x TIMESTAMP) WITH (partitioning = ARRAY['month(x)'])", "partitioning by month(x)"),
    ("postgres", "CREATE TABLE t (x INT) PARTITION BY RANGE (x)", "a key may name columns"),
    ("dremio", "SELECT * FROM t AT SNAPSHOT '1'", "time travel has no counterpart here"),
    ("dremio", "SELECT TO_CHAR(1, '###')", "TO_CHAR with '###' in its format has no counterpart here"),
    ("dremio", "ALTER TABLE t REFRESH METADATA", "ALTER statements are not available here"),
    ("trino", "CREATE TABLE t WITH (external_location = 's3://b') AS SELECT 1", "no counterpart here"),
    ("trino", "SHOW PARTITIONS t", "SHOW statements are not available here"),
    ("trino", "EXECUTE p", "EXECUTE statements are not available here"),
    ("postgres", "SELECT pg_read_file('/etc/passwd')", "the function pg_read_file has no counterpart here"),
    ("postgres", "COPY t TO '/tmp/x'", "COPY is not available here"),
    ("postgres", "DO $$ BEGIN END $$", "DO statements are not available here"),
    ("postgres", "SELECT * FROM t FOR UPDATE", "locking reads have no counterpart here"),
    ("postgres", "CREATE TABLE t (id serial)", "the type SERIAL has no counterpart here"),
]


@pytest.mark.parametrize(("dialect", "text", "sentence"), REFUSED, ids=[one[1][:40] for one in REFUSED])
def test_what_has_no_counterpart_is_named(dialect: SqlDialect, text: str, sentence: str) -> None:
    with pytest.raises(Refused) as raised:
        translated(text, dialect)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("dialect", ["clickhouse", "databricks", "dremio", "trino", "postgres"])
def test_a_value_is_bound_by_its_name_in_each_dialect(dialect: SqlDialect, duck: duckdb.DuckDBPyConnection) -> None:
    text = translated("SELECT $n + 1, '$n'", dialect)
    assert duck.execute(text, {"n": 41}).fetchall() == [(42, "$n")]
