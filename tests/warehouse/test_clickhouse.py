"""ClickHouse's SQL: what DuckDB answers to our text is what ClickHouse itself answers to the user's."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chdb.session
import duckdb
import pytest
import sqlglot

from runyard.warehouse.checker import check
from runyard.warehouse.dialects import macros, translated
from runyard.warehouse.dialects.clickhouse_aggregates import AGGREGATES
from runyard.warehouse.dialects.clickhouse_scalars import SCALARS
from runyard.warehouse.dialects.clickhouse_special import EXAMPLES
from runyard.warehouse.refused import Refused

DOCUMENT = """'{"a":{"b":"x","n":5,"f":1.5,"t":true,"l":[1,2]},"s":"y"}'"""
ZONE = " SETTINGS session_timezone = 'UTC'"

STATEMENTS = Path(__file__).with_name("clickhouse_statements.sql").read_text().splitlines()


@pytest.fixture(scope="module")
def oracle() -> Iterator[Any]:
    session: Any = chdb.session.Session()  # type: ignore[no-untyped-call] # chdb has no types
    yield session
    session.close()


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": False})
    connection.execute("SET TimeZone = 'UTC'")
    macros.provide(connection)
    yield connection
    connection.close()


def same(value: Any) -> Any:
    """A value without the differences of two ways to write it: 1 and true, 1.0 and 1, a date and its text."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float | decimal.Decimal):
        return int(value) if value == int(value) else round(float(value), 9)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime.datetime):
        return str(value)[:23]
    if isinstance(value, list | tuple):
        return [same(item) for item in value]
    if isinstance(value, dict):
        return {str(key): same(item) for key, item in value.items()}
    if isinstance(value, datetime.date | uuid.UUID):
        return str(value)
    return value


def _text(value: str) -> Any:
    try:
        return same(float(value))
    except ValueError:
        return value


def compare(text: str, oracle: Any, duck: duckdb.DuckDBPyConnection) -> None:
    zoned = text if "SETTINGS" in text else text + ZONE
    theirs = [same(row) for row in json.loads(str(oracle.query(zoned, "JSONCompact")))["data"]]
    spelled = translated(text, "clickhouse")
    assert check(spelled).statements
    ours = [same(list(row)) for row in duck.execute(spelled).fetchall()]
    if not sqlglot.parse_one(text, dialect="clickhouse").args.get("order"):  # the rows then come in any order
        ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
    assert ours == theirs, spelled


@pytest.mark.parametrize("group", SCALARS)
def test_each_scalar_function_answers_as_clickhouse_does(
    group: str, oracle: Any, duck: duckdb.DuckDBPyConnection
) -> None:
    for one in SCALARS[group]:
        if one.example:
            compare(f"SELECT {one.example}", oracle, duck)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_special_function_answers_as_clickhouse_does(
    example: str, oracle: Any, duck: duckdb.DuckDBPyConnection
) -> None:
    compare("SELECT " + example.replace("{j}", DOCUMENT), oracle, duck)


def test_each_aggregate_answers_as_clickhouse_does(oracle: Any, duck: duckdb.DuckDBPyConnection) -> None:
    for one in AGGREGATES:
        if one.example:
            compare(f"SELECT {one.example}", oracle, duck)


@pytest.mark.parametrize("text", STATEMENTS, ids=range(len(STATEMENTS)))
def test_a_statement_answers_as_clickhouse_does(text: str, oracle: Any, duck: duckdb.DuckDBPyConnection) -> None:
    compare(text, oracle, duck)


TABLE = """
CREATE TABLE t (a UInt32, b Nullable(String), c LowCardinality(String), d DateTime64(3), tags Array(String),
    f Map(String, UInt8), g Tuple(UInt8, String), h Decimal(10, 2), i Bool DEFAULT true)
ENGINE = MergeTree PARTITION BY toYYYYMM(d) PRIMARY KEY a ORDER BY (a, c) TTL d + INTERVAL 1 DAY
SETTINGS index_granularity = 8192
"""


def test_a_table_is_made_filled_read_and_emptied(duck: duckdb.DuckDBPyConnection) -> None:
    def said(text: str) -> list[Any]:
        spelled = translated(text, "clickhouse")
        assert check(spelled).statements
        return duck.execute(spelled).fetchall()

    said(TABLE)
    said(
        "INSERT INTO t (a, b, c, d, tags, f, g, h) VALUES (1, 'x', 'y', '2024-05-06 07:08:09.123', ['p', 'q'],"
        " map('k', 1), (2, 'z'), 1.25), (2, NULL, 'w', now(), [], map(), (3, ''), 2)"
    )
    assert said("SELECT a, b, tags[2], f['k'], g.2, h, i FROM t FINAL PREWHERE a < 2 WHERE c = 'y'") == [
        (1, "x", "q", 1, "z", decimal.Decimal("1.25"), True)
    ]
    assert said("SELECT a, tags FROM t ARRAY JOIN tags ORDER BY tags DESC") == [(1, "q"), (1, "p")]
    assert said("SELECT a, tag FROM t LEFT ARRAY JOIN tags AS tag ORDER BY a, tag") == [(1, "p"), (1, "q"), (2, None)]
    assert said("SELECT c, count() FROM t GROUP BY c WITH ROLLUP ORDER BY c NULLS LAST") == [
        ("w", 1),
        ("y", 1),
        (None, 2),
    ]
    said("ALTER TABLE t DELETE WHERE a = 1")
    said("ALTER TABLE t ADD COLUMN z UInt8")
    assert said("SELECT count(), max(z) FROM t") == [(1, None)]
    said("DROP TABLE IF EXISTS t")


def test_a_bound_value_has_the_type_that_the_query_gives_it() -> None:
    assert translated("SELECT {p:Array(UInt8)}, $q", "clickhouse") == "SELECT CAST($p AS UTINYINT[]), $q"


REFUSED = {
    "SELECT 1,\n  foo(2)": "the function foo has no counterpart here (line 2, column 3).",
    "SELECT cityHash64('a')": "cityHash64 has no counterpart here: DuckDB's hash() gives other numbers; use MD5",
    "SELECT count() FROM u SAMPLE 0.1": "SAMPLE has no counterpart here (line 1,",
    "SELECT n FROM u ORDER BY n WITH FILL": "WITH FILL has no counterpart here (line 1, column 26).",
    "SELECT a FROM u ANY LEFT JOIN v USING a": "ANY JOIN has no counterpart here",
    "SELECT a FROM u GROUP BY a WITH TOTALS": "WITH TOTALS has no counterpart here",
    "SELECT * FROM url('http://127.0.0.1/')": "the table function url has no counterpart here",
    "SELECT * FROM s3('x')": "the table function s3 has no counterpart here",
    "SELECT * FROM file('/etc/passwd')": "the table function file has no counterpart here",
    "CREATE TABLE r (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a": "ENGINE = ReplacingMergeTree has no counter",
    "CREATE MATERIALIZED VIEW m TO x AS SELECT 1": "MATERIALIZED has no counterpart here",
    "SELECT topKState(3)(a) FROM u": "partial states of topK(x) have no counterpart here",
    "SELECT uniqArray(a) FROM u": "the combinator -Array of uniqArray has no counterpart here",
    "SELECT formatDateTime(now(), '%Q')": "the format %Q has no counterpart here",
    "SELECT JSONExtractString(j, k) FROM u": "JSONExtractString needs its keys written out",
    "SELECT round(1, 2, 3)": "the function round cannot be called with 3 arguments here",
    "SELECT {t:Identifier}": "a name cannot be bound",
    "OPTIMIZE TABLE u FINAL": "OPTIMIZE statements are not available here (line 1, column 1).",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_counterpart_is_named(text: str) -> None:
    with pytest.raises(Refused) as raised:
        translated(text, "clickhouse")
    assert REFUSED[text] in str(raised.value)
    assert str(raised.value).startswith("ClickHouse SQL: ")
