"""Macros that DuckDB lacks a spelling for, in an attached database in memory that user SQL can only call.

A macro with several bodies is chosen by the types of its arguments: the only way to spell a function whose meaning
depends on them, since the text is rewritten without knowing any table.
"""

from __future__ import annotations

import threading

import duckdb

CATALOG = "runyard_sql"

_WHOLE = {
    "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "int128": "HUGEINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "uint128": "UHUGEINT",
}  # fmt: skip
_REAL = {"float32": "FLOAT", "float64": "DOUBLE"}
_UNITS = ("seconds", "minutes", "hours", "days", "weeks", "months", "quarters", "years")
_DAYS_AND_MORE = ("days", "weeks", "months", "quarters", "years")
_NUMBER = "regexp_full_match(x, '[+-]?[0-9]+')"


def _whole(name: str, kind: str) -> list[str]:
    return [
        f"to_{name}(x DOUBLE) AS CAST(trunc(x) AS {kind}), (x BIGINT) AS CAST(x AS {kind}), "
        f"(x UBIGINT) AS CAST(x AS {kind}), (x HUGEINT) AS CAST(x AS {kind}), (x VARCHAR) AS CAST(x AS {kind}), "
        f"(x BOOLEAN) AS CAST(x AS {kind}), (x DATE) AS CAST(x - DATE '1970-01-01' AS {kind}), "
        f"(x TIMESTAMP) AS CAST(epoch(x) AS {kind})",
        f"to_{name}_or_null(x) AS CASE WHEN {_NUMBER} THEN TRY_CAST(x AS {kind}) END",
        f"to_{name}_or_zero(x) AS COALESCE(CASE WHEN {_NUMBER} THEN TRY_CAST(x AS {kind}) END, 0)",
    ]


def _real(name: str, kind: str) -> list[str]:
    return [
        f"to_{name}(x DOUBLE) AS CAST(x AS {kind}), (x VARCHAR) AS CAST(x AS {kind}), "
        f"(x BOOLEAN) AS CAST(x AS {kind}), (x TIMESTAMP) AS CAST(epoch(x) AS {kind})",
        f"to_{name}_or_null(x) AS TRY_CAST(x AS {kind})",
        f"to_{name}_or_zero(x) AS COALESCE(TRY_CAST(x AS {kind}), 0)",
    ]


def _interval(unit: str) -> list[str]:
    step = {"weeks": "to_days(CAST(n * 7 AS INTEGER))", "quarters": "to_months(CAST(n * 3 AS INTEGER))"}.get(
        unit, f"to_{unit}(CAST(n AS {'BIGINT' if unit in ('seconds', 'minutes', 'hours') else 'INTEGER'}))"
    )
    of_date = f"CAST(d + {step} AS DATE)" if unit in _DAYS_AND_MORE else f"d + {step}"
    return [
        f"interval_{unit}(n) AS {step}",
        f"add_{unit}(d DATE, n) AS {of_date}, (t TIMESTAMP, n) AS t + {step}, "
        f"(s VARCHAR, n) AS CAST(s AS TIMESTAMP) + {step}",
    ]


_SCALE = "CAST(s AS INTEGER)"

MACROS = [
    *[one for name, kind in _WHOLE.items() for one in _whole(name, kind)],
    *[one for name, kind in _REAL.items() for one in _real(name, kind)],
    *[one for unit in _UNITS for one in _interval(unit)],
    "in_zone(t, zone) AS timezone(zone, timezone('UTC', CAST(t AS TIMESTAMP)))",
    "to_date(x DATE) AS x, (x TIMESTAMP) AS CAST(x AS DATE), "
    "(x TIMESTAMPTZ) AS CAST(CAST(x AS TIMESTAMP) AS DATE), (x VARCHAR) AS CAST(CAST(x AS TIMESTAMP) AS DATE), "
    "(x BIGINT) AS CASE WHEN x <= 65535 THEN DATE '1970-01-01' + CAST(x AS INTEGER)"
    " ELSE CAST(make_timestamp(x * 1000000) AS DATE) END",
    "to_datetime(x TIMESTAMP) AS date_trunc('second', x), "
    "(x TIMESTAMPTZ) AS date_trunc('second', CAST(x AS TIMESTAMP)), "
    "(x DATE) AS CAST(x AS TIMESTAMP), "
    "(x VARCHAR) AS date_trunc('second', CAST(x AS TIMESTAMP)), (x BIGINT) AS make_timestamp(x * 1000000)",
    "to_datetime64(x TIMESTAMP) AS x, (x TIMESTAMPTZ) AS CAST(x AS TIMESTAMP), "
    "(x VARCHAR) AS CAST(x AS TIMESTAMP), (x DATE) AS CAST(x AS TIMESTAMP), "
    "(x DOUBLE) AS make_timestamp(CAST(x * 1000000 AS BIGINT)), (x BIGINT) AS make_timestamp(x * 1000000)",
    "start_of_week(t, mode) AS CASE WHEN mode IN (1, 3, 5, 7) THEN CAST(date_trunc('week', t) AS DATE)"
    " ELSE CAST(date_trunc('week', t + INTERVAL 1 DAY) - INTERVAL 1 DAY AS DATE) END",
    "to_string(x) AS CASE WHEN typeof(x) IN ('FLOAT', 'DOUBLE') AND suffix(CAST(x AS VARCHAR), '.0')"
    " THEN left(CAST(x AS VARCHAR), -2) ELSE CAST(x AS VARCHAR) END",
    "type_name(x) AS CASE typeof(x) WHEN 'TINYINT' THEN 'Int8' WHEN 'SMALLINT' THEN 'Int16' WHEN 'INTEGER' THEN"
    " 'Int32' WHEN 'BIGINT' THEN 'Int64' WHEN 'HUGEINT' THEN 'Int128' WHEN 'UTINYINT' THEN 'UInt8' WHEN 'USMALLINT'"
    " THEN 'UInt16' WHEN 'UINTEGER' THEN 'UInt32' WHEN 'UBIGINT' THEN 'UInt64' WHEN 'FLOAT' THEN 'Float32' WHEN"
    " 'DOUBLE' THEN 'Float64' WHEN 'VARCHAR' THEN 'String' WHEN 'DATE' THEN 'Date' WHEN 'TIMESTAMP' THEN 'DateTime'"
    " WHEN 'BOOLEAN' THEN 'Bool' WHEN 'UUID' THEN 'UUID' ELSE typeof(x) END",
    "int_div(x, y) AS CAST(trunc(CAST(x AS DOUBLE) / y) AS BIGINT), (x BIGINT, y BIGINT) AS (x // y)",
    f"round_half(x DOUBLE, s) AS round_even(x, {_SCALE}), (x BIGINT, s) AS round_even(x, {_SCALE})",
    "pad_left(s, n, p) AS lpad(s, CAST(n AS INTEGER), p)",
    "pad_right(s, n, p) AS rpad(s, CAST(n AS INTEGER), p)",
    "replace_one(s, x, y) AS CASE WHEN strpos(s, x) = 0 THEN s"
    " ELSE concat(left(s, strpos(s, x) - 1), y, substring(s, strpos(s, x) + length(x))) END",
    "length(x VARCHAR) AS strlen(x), (x) AS len(x)",
    "reverse(x VARCHAR) AS reverse(x), (x) AS list_reverse(x)",
    "domain(u) AS regexp_extract(u, '^(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//(?:[^/?#@]*@)?([^/?#:]+)', 1)",
    "compact(a) AS list_transform(list_filter(list_zip(a, range(1, len(a) + 1)), lambda p: p[2] = 1 OR"
    " a[p[2] - 1] IS DISTINCT FROM p[1]), lambda p: p[1])",
    "quantile_exact(a, p) AS list_sort(a)[least(CAST(floor(p * len(a)) AS BIGINT) + 1, len(a))]",
    "json_text(j, p) AS CASE WHEN json_valid(j) THEN COALESCE(json_extract_string(j, p), '') ELSE '' END",
    "json_raw(j, p) AS CASE WHEN json_valid(j) THEN COALESCE(CAST(json_extract(j, p) AS VARCHAR), '') ELSE '' END",
    "json_int(j, p) AS CASE WHEN json_valid(j) THEN COALESCE(TRY_CAST(trunc(TRY_CAST(json_extract_string(j, p)"
    " AS DOUBLE)) AS BIGINT), 0) ELSE 0 END",
    "json_float(j, p) AS CASE WHEN json_valid(j) THEN COALESCE(TRY_CAST(json_extract_string(j, p) AS DOUBLE), 0)"
    " ELSE 0 END",
    "json_bool(j, p) AS CASE WHEN json_valid(j) THEN COALESCE(json_extract_string(j, p) IN ('true', '1'), false)"
    " ELSE false END",
    "json_has(j, p) AS CASE WHEN json_valid(j) THEN json_exists(j, p) ELSE false END",
    "json_length(j, p) AS CASE WHEN json_valid(j) THEN CASE json_type(j, p) WHEN 'ARRAY' THEN json_array_length(j, p)"
    " WHEN 'OBJECT' THEN len(json_keys(j, p)) ELSE 0 END ELSE 0 END",
    "json_array(j, p) AS CASE WHEN json_valid(j) AND json_type(j, p) = 'ARRAY'"
    " THEN CAST(CAST(json_extract(j, p) AS JSON[]) AS VARCHAR[]) ELSE [] END",
    "json_keys(j, p) AS CASE WHEN json_valid(j) AND json_type(j, p) = 'OBJECT' THEN json_keys(j, p) ELSE [] END",
]


_STORED = f"""
SELECT EXISTS (SELECT 1 FROM duckdb_views() WHERE NOT internal AND contains(sql, '{CATALOG}'))
    OR EXISTS (SELECT 1 FROM duckdb_functions() WHERE NOT internal AND contains(macro_definition, '{CATALOG}'))
    OR EXISTS (SELECT 1 FROM duckdb_columns() WHERE NOT internal AND contains(column_default, '{CATALOG}'))
"""


class Macros:
    """The macros of one database. They take some 30 ms to make, so they are made when the first text needs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: duckdb.DuckDBPyConnection | None = None

    def open(self, root: duckdb.DuckDBPyConnection, texts: str = "SELECT ''") -> None:
        """Before the database is locked down. What is stored in it and needs macros gets them at once.

        `texts` is a query for statements that are kept in tables.
        """
        root.execute(f"ATTACH ':memory:' AS {CATALOG}")
        self._waiting = root.cursor()
        row = root.execute(f"{_STORED} OR EXISTS (FROM ({texts}) t(text) WHERE contains(text, '{CATALOG}'))").fetchone()
        if row is not None and row[0]:
            self.need()

    def need(self) -> None:
        """They are there when this returns."""
        if self._waiting is None:
            return
        with self._lock:
            if self._waiting is not None:
                for macro in MACROS:
                    self._waiting.execute(f"CREATE MACRO {CATALOG}.{macro}")
                self._waiting = None


OURS = Macros()
"""Those of this process, which has one database."""


def provide(root: duckdb.DuckDBPyConnection) -> None:
    """All macros at once."""
    own = Macros()
    own.open(root)
    own.need()
