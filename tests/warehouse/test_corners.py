"""Corners of CSV and NDJSON: what a real file may hold, and what becomes of it."""

from __future__ import annotations

import gzip
import io
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Copy, Export, Load, Sql
from tests.warehouse.desk import Desk


def put(desk: Desk, name: str, body: str | bytes) -> str:
    (desk.files / name).write_bytes(body.encode() if isinstance(body, str) else body)
    return name


def load(desk: Desk, name: str, body: str | bytes, table: str, **fields: Any) -> Any:
    return desk.run(Load(source=put(desk, name, body), table=table, **fields))


WIDE = [f"c{n}" for n in range(1000)]
CSV: dict[str, tuple[str | bytes, list[list[Any]]]] = {
    "CRLF": ("a,b\r\n1,x\r\n2,y\r\n", [[1, "x"], [2, "y"]]),
    "CR": ("a,b\r1,x\r2,y\r", [[1, "x"], [2, "y"]]),
    "mixed line ends": ("a,b\r\n1,x\n2,y\r\n3,z\r4,w\n", [[1, "x"], [2, "y"], [3, "z"], [4, "w"]]),
    "quotes with line ends": ('a,b\r\n1,"x\r\ny"\r\n2,"q ""z"" "\r\n', [[1, "x\r\ny"], [2, 'q "z" ']]),
    "mark": (b"\xef\xbb\xbfa,b\n1,x\n", [[1, "x"]]),
    "no end of the last line": ("a,b\n1,x\n2,y", [[1, "x"], [2, "y"]]),
    "one column": ("n\n1\n2\n", [[1], [2]]),
    "one column of texts": ("t\nhello world\nfoo; bar\n", [["hello world"], ["foo; bar"]]),
    "header only": ("a,b\n", []),
    "a thousand columns": (",".join(WIDE) + "\n" + ",".join("1" for _ in WIDE) + "\n", [[1] * 1000]),
    "names of all kinds": ('Größe,Two Words,SELECT,"q""x",a.b\n1,2,3,4,5\n', [[1, 2, 3, 4, 5]]),
    "one name twice": ("a,a,A\n1,2,3\n", [[1, 2, 3]]),
    "a long line": ("a,b\n1," + "x" * 1_000_000 + "\n2,y\n", [[1, "x" * 1_000_000], [2, "y"]]),
    "a zero byte": (b"a,b\n1,x\x00y\n2,z\n", [[1, "x\0y"], [2, "z"]]),
    "a delimiter at the end of rows": ("a,b\n1,2,\n3,4,\n", [[1, 2], [3, 4]]),
    "a delimiter at the end of all": ("a,b,\n1,2,\n", [[1, 2, None]]),
    "single quotes": ("a;b\n1;'x;y'\n2;'it''s'\n", [[1, "x;y"], [2, "it's"]]),
    "apostrophes": ("a,b\n1,it's\n2,rock 'n' roll\n3,'90s\n", [[1, "it's"], [2, "rock 'n' roll"], [3, "'90s"]]),
    "backslashes": ('a,b\n1,"say ""hi"", x"\n', [[1, 'say "hi", x']]),
    "escaped quotes": ('a,b\n1,"say \\"hi\\", x"\n2,"y"\n', [[1, 'say "hi", x'], [2, "y"]]),
    "folders": ('p,b\n"C:\\dir\\",2\n"D:\\x",3\n', [["C:\\dir\\", 2], ["D:\\x", 3]]),
    "empty lines": ("a,b\n1,2\n\n3,4\n\n", [[1, 2], [3, 4]]),
    "empty values": ("a,b\n1,\n,x\n", [[1, None], [None, "x"]]),
    "dates with the day first": ("d\n31/12/2024\n01/12/2024\n", [["2024-12-31"], ["2024-12-01"]]),
    "times of half a day": ("t,n\n12/31/2024 10:00:00 PM,1\n", [["2024-12-31T22:00:00", 1]]),
    "times with zones": (
        "t,n\n2024-01-02T03:04:05Z,1\n2024-01-02T03:04:05+02:00,2\n",
        [["2024-01-02T03:04:05+00:00", 1], ["2024-01-02T01:04:05+00:00", 2]],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "rows"), CSV.values(), ids=CSV.keys())
def test_a_csv_file_gives_its_rows_and_nothing_is_put_aside(
    shared: Desk, request: pytest.FixtureRequest, body: str | bytes, rows: list[list[Any]]
) -> None:
    table = "csv_" + request.node.callspec.id.replace(" ", "_")
    outcome = load(shared, "corner.csv", body, table)
    assert outcome.result == "succeeded", outcome.detail
    counts = {name: outcome.metrics[name] for name in ("rows", "quarantine_rows", "invalid_lines")}
    assert counts == {"rows": len(rows), "quarantine_rows": 0, "invalid_lines": 0}, outcome.output
    kept = shared.executor.query("default", f'FROM "{table}"', limit=10).result(10)["rows"]
    assert [list(row) for row in kept] == rows


def test_lines_that_end_otherwise_after_the_start_of_a_file_are_read(shared: Desk) -> None:
    body = "a,b\n" + "1,x\n" * 60_000 + "2,y\r\n" * 60_000 + "zz,y\r\n"
    outcome = load(shared, "late.csv", body, "late_ends", columns={"a": "INTEGER", "b": "VARCHAR"})
    assert outcome.result == "succeeded", outcome.detail
    assert (outcome.metrics["rows"], outcome.metrics["quarantine_rows"]) == (120_000, 1)
    assert outcome.output["reading"]["line_ends"] == "mixed"
    assert shared.rows("SELECT DISTINCT b FROM late_ends ORDER BY 1") == [["x"], ["y"]]


def test_dates_of_a_later_file_are_read_as_that_file_writes_them(shared: Desk) -> None:
    columns = {"d": "DATE", "n": "INTEGER"}
    load(shared, "first.csv", "d,n\n2024-12-31,1\n", "dated", columns=columns)
    outcome = load(shared, "second.csv", "d,n\n30.12.2024,2\n", "dated")
    assert outcome.output["reading"]["date_format"] == "%d.%m.%Y"
    assert shared.rows("FROM dated ORDER BY n") == [["2024-12-31", 1], ["2024-12-30", 2]]


def test_a_date_that_could_be_read_in_two_ways_is_not_guessed(shared: Desk) -> None:
    for table, body in {"swap": "d,n\n01/02/2024,1\n03/04/2024,2\n", "short": "d,n\n31-01-24,1\n"}.items():
        outcome = load(shared, "two.csv", body, f"guess_{table}")
        assert [column["type"] for column in outcome.output["columns"]] == ["VARCHAR", "BIGINT"], outcome.output
    outcome = load(shared, "two.csv", "d,n\n01/02/2024,1\n", "told", options={"date_format": "%d/%m/%Y"})
    assert shared.rows("FROM told") == [["2024-02-01", 1]]


def test_a_text_that_looks_like_a_date_does_not_change_how_dates_are_read(shared: Desk) -> None:
    columns = {"v": "VARCHAR", "d": "DATE"}
    outcome = load(shared, "versions.csv", "v,d\n13.2.2024,2024-01-01\n", "versions", columns=columns)
    assert outcome.metrics["quarantine_rows"] == 0, outcome.output
    assert shared.rows("FROM versions") == [["13.2.2024", "2024-01-01"]]


NONE: dict[str, tuple[str, str | bytes, str]] = {
    "nothing": ("x.csv", "", "The file is empty"),
    "a mark only": ("x.csv", b"\xef\xbb\xbf", "The file is empty"),
    "line ends only": ("x.csv", "\r\n\n", "The file is empty"),
    "packed nothing": ("x.csv.gz", gzip.compress(b""), "The file is empty"),
    "packed nothing of JSON": ("x.ndjson.gz", gzip.compress(b""), "The file is empty"),
    "packed twice": ("x.csv.gz", gzip.compress(gzip.compress(b"a,b\n1,2\n")), "packed twice"),
    "a page after a comment": ("x.csv", "<!-- x -->\n<!DOCTYPE html>\n<html>a\n</html>", "a page or another document"),
    "an error of JSON": ("x.csv", '{"error": "not found"}', "a page or another document"),
    "the half of a quoted value": ("x.csv", "a,b\n" + "1,2\n" * 10 + '3,"half', "no delimiter divides"),
    "a line without end": ("x.csv", "a,b\n1," + "x" * 2_500_000 + "\n", "more than 2,000,000 bytes"),
    "a list": ("x.ndjson", '[{"a":1},{"a":2}]\n', "no line of it is a JSON object"),
    "an object of several lines": ("x.ndjson", '{\n "a":1\n}\n', "cannot be read as NDJSON"),
    "fields that differ in capitals": ("x.ndjson", '{"a":1,"A":2}\n', "differ in capitals only"),
}


@pytest.mark.parametrize(("name", "body", "said"), NONE.values(), ids=NONE.keys())
def test_what_is_no_table_makes_none(shared: Desk, name: str, body: str | bytes, said: str) -> None:
    outcome = load(shared, name, body, "no_table")
    assert (outcome.result, outcome.reason, outcome.retry) == ("failed", "load_error", False), outcome.output
    assert said in outcome.detail
    assert shared.run("FROM no_table").result == "failed"


LIMITS = [
    ("BIGINT", ["9223372036854775807", "-9223372036854775808", "1e3"], ["9223372036854775808", "x"]),
    ("UTINYINT", ["0", "255"], ["256", "-1"]),
    ("DECIMAL(10,2)", ["99999999.99", "1.005"], ["999999999.99"]),
    ("DOUBLE", ["1e308", "nan", "inf"], ["1,5"]),
    ("DATE", ["2024-02-29"], ["2024-02-30", "0000-00-00"]),
    ("TIMESTAMPTZ", ["2024-01-01T00:00:00+14:00"], ["2024-01-32T10:00:00Z"]),
    ("INTEGER[]", ["[1, 2]", "[]"], ["[x]"]),
    ("BOOLEAN", ["true", "0"], ["maybe"]),
    ("UUID", ["7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0c"], ["7b0c"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), LIMITS, ids=[kind for kind, _, _ in LIMITS])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_value_is_kept_up_to_the_limits_of_its_type_and_put_aside_beyond(
    shared: Desk, form: str, kind: str, good: list[str], bad: list[str]
) -> None:
    table, body = f"limit_{form}_{abs(hash(kind))}", io.BytesIO()
    if form == "csv":
        body.write(("v,n\n" + "".join(f'"{value}",1\n' for value in good + bad)).encode())
    else:
        pq.write_table(pa.table({"v": good + bad, "n": [1] * len(good + bad)}), body)
    columns = {"v": kind, "n": "INTEGER"}
    outcome = load(shared, f"limits.{form}", body.getvalue(), table, columns=columns)
    assert outcome.result == "succeeded", outcome.detail
    assert (outcome.metrics["rows"], outcome.metrics["quarantine_rows"]) == (len(good), len(bad)), outcome.output
    assert {row[0] for row in shared.rows(f"SELECT v FROM {table}_quarantine")} == set(bad)


def test_a_quarantine_gives_way_to_columns_that_are_called_as_its_own(shared: Desk) -> None:
    for name in ("insertion_date", "c__error", "C__Import_Id", "rowid"):
        table = f"own_{name}".lower()
        outcome = load(shared, "own.csv", f"{name},v\na,1\nb,zz\n", table, columns={name: "VARCHAR", "v": "INTEGER"})
        assert outcome.result == "succeeded", (name, outcome.detail)
        assert outcome.output["quarantine_sample"][0]["row"] == {name: "b", "v": "zz"}
        assert shared.rows(f'SELECT "{name}", v FROM {table}_quarantine') == [["b", "zz"]]


def test_a_quarantine_stays_when_its_table_is_made_anew_in_other_capitals(shared: Desk) -> None:
    load(shared, "small.csv", "a,rowid\nx,1\n", "renewed", columns={"a": "INTEGER", "rowid": "INTEGER"})
    outcome = load(
        shared, "large.csv", "A,B\ny,2\n3,4\n", "renewed", mode="replace", columns={"A": "INTEGER", "B": "INTEGER"}
    )
    assert outcome.output["quarantine_sample"][0]["row"] == {"A": "y", "B": "2"}, outcome.detail
    assert shared.rows("SELECT a, b FROM renewed_quarantine ORDER BY 1") == [["x", None], ["y", "2"]]


NDJSON: dict[str, tuple[str, dict[str, str], list[list[Any]]]] = {
    "null in the place of a list": (
        '{"a":1,"l":[1],"s":{"x":1}}\n{"a":2,"l":null,"s":null}\n{"a":3}\n',
        {"a": "INTEGER", "l": "INTEGER[]", "s": "STRUCT(x INTEGER)"},
        [[1, [1], {"x": 1}], [2, None, None], [3, None, None]],
    ),
    "null in the place of JSON": ('{"j":{"a":1}}\n{"j":null}\n', {"j": "JSON"}, [['{"a":1}'], [None]]),
    "dates of another form": ('{"d":"31-12-2024"}\n{"d":"01-12-2024"}\n', {}, [["31-12-2024"], ["01-12-2024"]]),
    "times of another form": ('{"t":"12-31-2024 10:00:00 PM"}\n', {}, [["12-31-2024 10:00:00 PM"]]),
    "one field called json": ('{"json":{"a":1}}\n{"json":{"a":2}}\n', {}, [[{"a": 1}], [{"a": 2}]]),
    "names with marks": ('{"a b":1,"ü/~":2,"x\\"y":3}\n', {}, [[1, 2, 3]]),
    "CRLF and a mark": ('\ufeff{"a":1}\r\n{"a":2}\r\n', {}, [[1], [2]]),
    "a number that is no number of 64 bits": (
        '{"b":12345678901234567890123}\n',
        {"b": "HUGEINT"},
        [["12345678901234567890123"]],
    ),
}


@pytest.mark.parametrize(("body", "columns", "rows"), NDJSON.values(), ids=NDJSON.keys())
def test_an_ndjson_file_gives_its_rows_and_nothing_is_put_aside(
    shared: Desk, request: pytest.FixtureRequest, body: str, columns: dict[str, str], rows: list[list[Any]]
) -> None:
    table = "json_" + request.node.callspec.id.replace(" ", "_")
    outcome = load(shared, "corner.ndjson", body, table, columns=columns)
    assert (outcome.result, outcome.metrics.get("quarantine_rows")) == ("succeeded", 0), outcome.detail
    assert shared.rows(f"FROM {table}") == rows


def test_a_list_in_which_something_does_not_fit_is_put_aside_and_not_emptied(shared: Desk) -> None:
    body = '{"l":[1,2]}\n{"l":["x",2]}\n{"l":3}\n{"l":[]}\n'
    outcome = load(shared, "lists.ndjson", body, "lists", columns={"l": "INTEGER[]"})
    assert (outcome.metrics["rows"], outcome.metrics["quarantine_rows"]) == (2, 2), outcome.detail
    assert shared.rows("FROM lists") == [[[1, 2]], [[]]]
    assert shared.rows("SELECT l FROM lists_quarantine") == [['["x",2]'], ["3"]]


def test_sparse_fields_of_ndjson_are_columns_and_no_map(shared: Desk) -> None:
    outcome = load(shared, "sparse.ndjson", "".join(f'{{"k{n}":{n}}}\n' for n in range(300)), "sparse")
    assert (outcome.metrics["rows"], len(outcome.output["columns"])) == (300, 300), outcome.detail
    assert shared.rows("SELECT sum(k299)::INTEGER, count(k0) FROM sparse") == [[299, 1]]


def test_lines_of_ndjson_that_are_no_objects_are_shown(shared: Desk) -> None:
    outcome = load(shared, "lines.ndjson", '{"a":1}\nnot json\n{"a":2}\n[1]\n', "lines")
    assert outcome.metrics["invalid_lines"] == 2
    assert [(one["line"], one["text"]) for one in outcome.output["invalid_sample"]] == [(2, "not json"), (4, "[1]")]


@pytest.mark.parametrize("kind", ["INTEGER NOT NULL", "INTEGER DEFAULT 1", "INTEGER PRIMARY KEY", "VARCHAR CHECK (1)"])
def test_a_constraint_behind_a_column_s_type_is_refused_and_not_passed_over(shared: Desk, kind: str) -> None:
    outcome = load(shared, "kind.csv", "a\n1\n", "no_table", columns={"a": kind})
    assert "is not a SQL type" in outcome.detail


INEXACT = [
    ("INTERVAL '1 month'", "1 month"), ("'101'::BIT", "101"), ("TIMETZ '10:00:00+02'", "10:00:00+02"),
    ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
    ("union_value(k := 1)", "1"), ("{'i': INTERVAL 1 DAY}", "{'i': 1 day}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), INEXACT, ids=[text for text, _ in INEXACT])
def test_a_value_that_parquet_cannot_hold_is_an_exact_text_in_small_and_large_results(
    shared: Desk, text: str, value: str
) -> None:
    small = shared.run(Sql(statement=f"SELECT {text} AS x, $n AS n", parameters={"n": 1}))
    assert small.output["rows"] == [[value, 1]], small.detail
    assert shared.executor.query("default", f"SELECT {text} AS x, 1 AS x").result(10)["rows"] == [[value, 1]]
    number = shared.start(f"SELECT {text} AS x, range AS n FROM range(5000)")
    assert shared.wait(number).result == "succeeded", shared.wait(number).detail
    page = shared.executor.result_page("default", number, number, 4999, 5).result(10)
    assert page["rows"] == [[value, 4999]]


def test_a_sum_is_exact_in_parquet(shared: Desk) -> None:
    statement = "SELECT sum(n) AS total, 'x' AS t FROM (VALUES (9007199254740993), (2)) v(n)"
    assert shared.run(Export(statement=statement, target="sum.parquet")).result == "succeeded"
    found = pq.read_table(shared.files / "sum.parquet").to_pylist()
    assert [(int(row["total"]), row["t"]) for row in found] == [(9007199254740995, "x")]


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1 makes several statements of a PIVOT")
def test_a_copied_pivot_says_how_many_rows_it_gave(shared: Desk) -> None:
    statement = "PIVOT (SELECT range % 3 AS g, range % 2 AS k, range AS v FROM range(12)) ON k USING sum(v)"
    outcome = shared.run(Copy(statement=statement, table="pivoted"))
    assert outcome.metrics["rows"] == 3, outcome.detail
    assert shared.rows("SELECT count(*) FROM pivoted") == [[3]]


PARAMETERS: list[Any] = [
    None, True, 1, -1, 2**63 - 1, 1.5, 1e308, "", "x'; DROP TABLE t; --", "ü\0", [], [1, 2], [1, None, "x"], [[1], [2]],
    {"a": 1}, [{"a": 1}, {"a": 2}], {"a b": 1, "": 2},
]  # fmt: skip


def test_a_parameter_of_every_type_of_json_is_bound(shared: Desk) -> None:
    for value in PARAMETERS:
        expected = [str(one) if one is not None else None for one in value] if value == [1, None, "x"] else value
        outcome = shared.run(Sql(statement="SELECT $p AS p", parameters={"p": value}))
        assert outcome.output["rows"] == [[expected]], value
        copy = Copy(statement="SELECT typeof($p) AS t", table="typed", parameters={"p": value})
        assert shared.run(copy).metrics["rows"] == 1
