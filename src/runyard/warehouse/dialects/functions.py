"""Functions of other systems that sqlglot does not know: DuckDB's spelling by name and number of arguments.

`{0}` is the first argument as SQL, `{all}` all of them; the number -1 stands for any. Sources: Databricks 'SQL language
reference, built-in functions'; Dremio 'SQL functions'; Trino 'Functions and operators'; PostgreSQL 'Functions and
operators'.
"""

from __future__ import annotations

Table = dict[str, dict[int, str]]

_CASTS: Table = {
    name: {1: f"CAST({{0}} AS {kind})"}
    for name, kind in {
        "bigint": "BIGINT", "int": "INTEGER", "smallint": "SMALLINT", "tinyint": "TINYINT", "double": "DOUBLE",
        "float": "FLOAT", "string": "VARCHAR", "boolean": "BOOLEAN", "binary": "BLOB",
    }.items()
}  # fmt: skip

_DATABRICKS: Table = {
    "format_number": {2: "format('{{:,.' || CAST({1} AS VARCHAR) || 'f}}', CAST({0} AS DOUBLE))"},
    "monotonically_increasing_id": {0: "(row_number() OVER () - 1)"},
    "instr": {2: "strpos({0}, {1})"},
    "rlike": {2: "regexp_matches({0}, {1})"},
    "array_append": {2: "list_append({0}, {1})"},
    "array_prepend": {2: "list_prepend({1}, {0})"},
    "array_size": {1: "len({0})"},
    "map_contains_key": {2: "map_contains({0}, {1})"},
    "try_divide": {2: "({0} / NULLIF({1}, 0))"},
    "current_catalog": {0: "current_database()"},
    "to_unix_timestamp": {1: "CAST(epoch(CAST({0} AS TIMESTAMP)) AS BIGINT)"},
    "unix_date": {1: "(CAST({0} AS DATE) - DATE '1970-01-01')"},
    "startswith": {2: "starts_with({0}, {1})"},
    "endswith": {2: "ends_with({0}, {1})"},
    "zeroifnull": {1: "COALESCE({0}, 0)"},
    "ifnull": {2: "COALESCE({0}, {1})"},
    "nvl2": {3: "CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END"},
    "isnull": {1: "({0} IS NULL)"},
    "isnotnull": {1: "({0} IS NOT NULL)"},
    "pmod": {2: "((({0} % {1}) + {1}) % {1})"},
    "weekday": {1: "(isodow({0}) - 1)"},
    "dayofmonth": {1: "day({0})"},
    "array_min": {1: "list_min({0})"},
    "array_max": {1: "list_max({0})"},
    "url_decode": {1: "url_decode({0})"},
    "url_encode": {1: "url_encode({0})"},
}

_DREMIO: Table = {
    "timestampadd": {3: "({2} + INTERVAL ({1}) {0})"},
    "timestampdiff": {3: "date_diff('{0}', {1}, {2})"},
    "unix_timestamp": {0: "CAST(epoch(now()) AS BIGINT)", 1: "CAST(epoch(CAST({0} AS TIMESTAMP)) AS BIGINT)"},
    "ndv": {1: "approx_count_distinct({0})"},
    "ilike": {2: "({0} ILIKE {1})"},
    "convert_from": {2: "CAST({0} AS JSON)"},
    "query_user": {0: "current_user"},
    "regexp_split": {2: "regexp_split_to_array({0}, {1})", 4: "regexp_split_to_array({0}, {1})"},
    "array_contains": {2: "list_contains({0}, {1})"},
    "nullifzero": {1: "NULLIF({0}, 0)"},
    "toascii": {1: "strip_accents({0})"},
    "from_hex": {1: "unhex({0})"},
}

_TRINO: Table = {
    "map_agg": {2: "map_from_entries(list(row({0}, {1})))"},
    "codepoint": {1: "unicode({0})"},
    "url_extract_host": {1: "regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1)"},
    "url_extract_path": {1: "regexp_extract({0}, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1)"},
    "url_extract_query": {1: "regexp_extract({0}, '\\?([^#]*)', 1)"},
    "url_extract_parameter": {2: "regexp_extract({0}, concat('[?&]', {1}, '=([^&#]*)'), 1)"},
    "any_match": {2: "(len(list_filter({0}, {1})) > 0)"},
    "all_match": {2: "(len(list_filter({0}, {1})) = len({0}))"},
    "none_match": {2: "(len(list_filter({0}, {1})) = 0)"},
    "at_timezone": {2: "timezone({1}, CAST({0} AS TIMESTAMPTZ))"},
    "from_iso8601_date": {1: "CAST({0} AS DATE)"},
    "from_iso8601_timestamp": {1: "CAST({0} AS TIMESTAMPTZ)"},
    "to_iso8601": {1: "strftime({0}, '%Y-%m-%dT%H:%M:%S')"},
    "last_day_of_month": {1: "last_day({0})"},
    "bitwise_and": {2: "({0} & {1})"},
    "bitwise_or": {2: "({0} | {1})"},
    "bitwise_xor": {2: "xor({0}, {1})"},
    "json_size": {2: "json_array_length({0}, {1})"},
    "json_array_get": {2: "json_extract({0}, {1})"},
    "is_nan": {1: "isnan({0})"},
    "is_finite": {1: "isfinite({0})"},
    "zip": {-1: "list_zip({all})"},
}

_POSTGRES: Table = {
    "btrim": {1: "trim({0})", 2: "trim({0}, {1})"},
    "regexp_match": {2: "regexp_extract_all({0}, {1})"},
    "quote_literal": {1: "('''' || replace({0}, '''', '''''') || '''')"},
    "jsonb_build_object": {-1: "json_object({all})"},
    "json_build_object": {-1: "json_object({all})"},
    "jsonb_build_array": {-1: "json_array({all})"},
    "json_build_array": {-1: "json_array({all})"},
    "json_agg": {1: "json_group_array({0})"},
    "jsonb_agg": {1: "json_group_array({0})"},
    "jsonb_array_length": {1: "json_array_length({0})"},
    "jsonb_typeof": {1: "lower(json_type({0}))"},
    "jsonb_array_elements": {1: "unnest(CAST({0} AS JSON[]))"},
    "json_array_elements": {1: "unnest(CAST({0} AS JSON[]))"},
    "to_jsonb": {1: "to_json({0})"},
    "array_upper": {2: "len({0})"},
    "array_lower": {2: "1"},
    "div": {2: "CAST(trunc({0} / {1}) AS BIGINT)"},
    "clock_timestamp": {0: "now()"},
    "statement_timestamp": {0: "now()"},
}

FUNCTIONS: dict[str, Table] = {
    "casts": _CASTS,
    "databricks": _DATABRICKS,
    "dremio": _DREMIO,
    "trino": _TRINO,
    "postgres": _POSTGRES,
}
