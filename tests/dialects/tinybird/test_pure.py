"""Schemas, scopes, references, formats, ids and times: everything that needs no server."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.config import Settings
from runyard.core.errors import RunyardError
from runyard.core.ids import LIMIT
from runyard.core.states import State
from runyard.dialects.base import read_options
from runyard.dialects.tinybird import access, formats, schema, support, tables, wire
from runyard.dialects.tinybird.formats import Result
from runyard.dialects.tinybird.references import references, with_tables
from runyard.dialects.tinybird.routes import card
from runyard.engine.engine import Engine
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore


def test_every_state_has_a_status_and_none_that_moves_looks_finished() -> None:
    assert set(tables.STATES) == set(State)
    moving = {State.QUEUED, State.BLOCKED, State.WAITING, State.STARTING, State.RUNNING, State.CANCELLING}
    assert {tables.STATES[state] for state in moving} == {"waiting", "working", "cancelling"}
    assert {tables.STATES[state] for state in set(State) - moving} == {"done", "error", "cancelled"}


@given(st.integers(1, LIMIT - 1))
def test_a_job_id_is_a_uuid_that_leads_back_to_its_run(run_id: int) -> None:
    ids = wire.JobIds(b"k" * 32)
    text = ids.text(run_id)
    assert len(text) == 36
    assert [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]
    assert ids.read(text) == run_id
    assert wire.JobIds(b"other" * 7).read(text) is None


def test_a_query_id_is_a_ulid_that_tells_its_time() -> None:
    early, late = wire.query_id(1, 0, 1_700_000_000_000), wire.query_id(2, 0, 1_700_000_000_001)
    assert len(early) == len(late) == 26
    assert early[:10] < late[:10]


def test_a_time_is_said_as_the_platform_says_it() -> None:
    assert wire.stamp(1_721_648_878_207) == "2024-07-22 11:47:58.207000"


@pytest.mark.parametrize(
    "text", ["2023-06-15T18:13:25.855Z", "2023-06-15T20:13:25.855+02:00", "2023-06-15 18:13:25.855"]
)
def test_a_date_of_a_filter_is_read(text: str) -> None:
    assert wire.moment_of(text, "created_after") == 1_686_852_805_855


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(RunyardError, match="created_after must be an ISO 8601 date"):
        wire.moment_of("soon", "created_after")


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("Int32", "INTEGER"), ("UInt64", "UBIGINT"), ("Float32", "FLOAT"), ("String", "VARCHAR"), ("Bool", "BOOLEAN"),
        ("DateTime", "TIMESTAMP"), ("DateTime64(3, 'UTC')", "TIMESTAMP"), ("DateTime64(9)", "TIMESTAMP_NS"),
        ("LowCardinality(Nullable(String))", "VARCHAR"), ("Array(UInt8)", "UTINYINT[]"), ("Date", "DATE"),
        ("Map(String, Array(Int8))", "MAP(VARCHAR, TINYINT[])"), ("Decimal(12, 3)", "DECIMAL(12, 3)"),
        ("Decimal64(2)", "DECIMAL(18, 2)"), ("Enum8('a' = 1, 'b' = 2)", "VARCHAR"), ("UUID", "UUID"),
        ("Tuple(a Int8, b String)", 'STRUCT("a" TINYINT, "b" VARCHAR)'), ("FixedString(3)", "VARCHAR"),
        ("SimpleAggregateFunction(max, Int32)", "INTEGER"), ("AggregateFunction(count)", "BIGINT"),
        ("AggregateFunction(sum, Int32)", "HUGEINT"), ("AggregateFunction(avg, Float64)", "STRUCT(s DOUBLE, c BIGINT)"),
        ("AggregateFunction(uniq, String)", "VARCHAR[]"), ("Nested(a Int8)", 'STRUCT("a" TINYINT)[]'),
        ("AggregateFunction(argMax, String, DateTime)", "STRUCT(v VARCHAR, k TIMESTAMP)"),
    ],
)  # fmt: skip
def test_a_type_has_its_place_in_the_warehouse(kind: str, sql: str) -> None:
    assert schema.sql_type(kind) == sql


def test_a_schema_is_read_with_paths_defaults_and_codecs() -> None:
    text = "`a` Int32 `json:$.x.a`, b Nullable(String) DEFAULT 'x,y' CODEC(ZSTD(1)), c Array(String) `json:$.c[:]`"
    a, b, c = schema.parse(text)
    assert (a.name, a.type, a.jsonpath, a.nullable) == ("a", "Int32", "$.x.a", False)
    assert (b.default, b.codec, b.nullable) == ("'x,y'", "ZSTD(1)", True)
    assert c.jsonpath == "$.c[:]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no column"), ("a", "has no type"), ("a Int32, A String", "twice"), ("a Strong", "'Strong'"),
        ("a Array(Int32", "open"), ("a Int32 nonsense", "nonsense"), ("a AggregateFunction(magic, Int8)", "magic"),
    ],
)  # fmt: skip
def test_a_bad_schema_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(RunyardError, match=said):
        schema.parse(text)


@given(st.text(max_size=40))
def test_no_text_ends_the_schema_parser_otherwise_than_by_columns_or_a_refusal(text: str) -> None:
    with contextlib.suppress(RunyardError):
        assert schema.parse(text)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM a JOIN b ON a.x = b.x, c WHERE x IN (SELECT y FROM d)", ["a", "b", "c", "d"]),
        ("SELECT 'FROM x', \"FROM y\" FROM `a` -- FROM z\n", ["a"]),
        ("SELECT count() FROM numbers(10)", []),
        ("WITH q AS (SELECT 1 FROM a) SELECT * FROM q", ["a", "q"]),
        ("SELECT f(a, b), c FROM t ORDER BY a, b", ["t"]),
        ("SELECT * FROM (a)", ["a"]),
        ("SELECT * FROM tinybird.jobs_log", ["jobs_log"]),
    ],
)
def test_the_tables_of_a_query_are_found(sql: str, found: list[str]) -> None:
    assert [one.name for one in references(sql)] == found


def test_final_belongs_to_its_table() -> None:
    (one,) = references("SELECT * FROM t FINAL WHERE 1")
    assert one.final
    assert not one.aliased


def test_named_queries_join_those_that_are_there() -> None:
    assert with_tables({"x": "SELECT 1"}, "WITH y AS (SELECT 2) SELECT * FROM x, y").startswith("WITH x AS (")
    assert with_tables({}, "SELECT 1") == "SELECT 1"


@pytest.mark.parametrize("text", ["ADMIN", "DATASOURCES:CREATE", "DATASOURCES:READ:a", "PIPES:READ:p", "TOKENS"])
def test_a_scope_is_read_and_written_back(text: str) -> None:
    assert str(access.parse(text)) == text


def test_a_scope_may_have_a_filter_with_colons() -> None:
    assert access.parse("DATASOURCES:READ:a:x = 'b:c'").filter == "x = 'b:c'"


@pytest.mark.parametrize("text", ["", "EVERYTHING", "DATASOURCES:READ", "PIPES:READ:p:x = 1", "DATASOURCES:EAT:a"])
def test_an_unknown_scope_is_refused(text: str) -> None:
    with pytest.raises(RunyardError, match=r"scope|filter"):
        access.parse(text)


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(RunyardError, match="nonsense"):
        read_options({"nonsense": "1"}, tables.Options)
    with pytest.raises(RunyardError, match=r"FACE\.NAME=VALUE"):
        Settings(options=["cancel_any=true"]).options_of("tinybird")
    given = Settings(options=["tinybird.cancel_any=true", "other.x=1"]).options_of("tinybird")
    assert read_options(given, tables.Options).cancel_any is True
    assert set(tables.OPTION_HELP) == set(tables.Options.__struct_fields__)


def test_every_route_stands_in_the_tables_of_what_is_answered_and_the_other_way_round() -> None:
    engine = Engine(SqliteStore(":memory:"), [])
    made = card(engine, Tokens(b"x" * 32), Path("files"), {})
    served = {f"{one.method} {one.path}" for one in made.routes if not one.path.endswith("/")}
    listed = [one.call for rows in support.FAMILIES.values() for one in rows]
    assert len(listed) == len(set(listed))
    again = {"/v1/workspace", "/v1/user/workspaces", "/v1/workspaces", "/v1/regions"}
    newer = {one for one in served if any(one.split()[1].startswith(path) for path in again)}
    assert served - newer == set(listed)
    assert {one.replace("/v1/", "/v0/") for one in newer} <= set(listed)


RESULT = Result(
    columns=[
        {"name": "n", "type": "INTEGER"}, {"name": "t", "type": "VARCHAR"}, {"name": "at", "type": "TIMESTAMP"},
        {"name": "d", "type": "DECIMAL(10,2)"}, {"name": "l", "type": "INTEGER[]"},
    ],
    rows=[[1, 'a "b"', "2026-01-02T03:04:05", "1.50", [1, 2]], [2, None, "2026-01-02T03:04:05", "-0.25", []]],
    elapsed=0.5,
)  # fmt: skip


def test_json_has_meta_data_and_statistics() -> None:
    import json

    body = json.loads(formats.FORMATS["json"].write(RESULT))
    assert [column["type"] for column in body["meta"]] == [
        "Int32", "Nullable(String)", "DateTime", "Decimal(10, 2)", "Array(Int32)",
    ]  # fmt: skip
    assert body["data"][0] == {"n": 1, "t": 'a "b"', "at": "2026-01-02 03:04:05", "d": 1.5, "l": [1, 2]}
    assert body["rows"] == 2
    assert body["statistics"] == {"elapsed": 0.5, "rows_read": 0, "bytes_read": 0}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("csvwithnames", '"n","t","at","d","l"\n1,"a ""b""","2026-01-02 03:04:05",1.50,"[1,2]"\n'),
        ("csv", '1,"a ""b""","2026-01-02 03:04:05",1.50,"[1,2]"\n2,\\N,'),
        ("tsv", '1\ta "b"\t2026-01-02 03:04:05\t1.50\t[1,2]\n2\t\\N\t'),
        ("jsoneachrow", '{"n":1,"t":"a \\"b\\"","at":"2026-01-02 03:04:05","d":1.50,"l":[1,2]}\n'),
        ("jsoncompacteachrow", '[1,"a \\"b\\"","2026-01-02 03:04:05",1.50,[1,2]]\n'),
    ],
)
def test_a_format_is_written(key: str, text: str) -> None:
    assert formats.FORMATS[key].write(RESULT).decode().startswith(text)
