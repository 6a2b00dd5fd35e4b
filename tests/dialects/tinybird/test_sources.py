"""Data Sources: made, filled in every form, changed, dropped; quarantine with mixed files; the events endpoint."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dialects.tinybird.calls import Tinybird, files_at

Name = Callable[[str], str]
SCHEMA = "`a` Int32 `json:$.a`, `city` String `json:$.user.city`, `tags` Array(String) `json:$.tags[:]`"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "rows.csv").write_text("a,b\n1,x\n2,y\n")
    (folder / "rows.csv.gz").write_bytes(gzip.compress(b"a,b\n1,x\n2,y\n"))
    (folder / "rows.ndjson").write_text('{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n')
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}), folder / "rows.parquet")
    with files_at(folder) as (at, _):
        yield at, folder


def test_a_data_source_is_made_from_a_schema(tb: Tinybird, name: Name) -> None:
    made = tb.source(name("ds"), SCHEMA, engine="MergeTree", engine_sorting_key="city, a", description="D")
    assert made["id"].startswith("t_")
    assert len(made["id"]) == 34
    assert made["engine"] == {"engine": "MergeTree", "partition_key": "", "sorting_key": "city, a"}
    assert [column["type"] for column in made["columns"]] == ["Int32", "String", "Array(String)"]
    assert made["columns"][1]["jsonpath"] == "$.user.city"
    assert made["statistics"] == {"bytes": 0, "row_count": 0}
    assert tb.call("GET", f"/v0/datasources/{made['id']}")["name"] == made["name"]
    assert made["name"] in {one["name"] for one in tb.call("GET", "/v0/datasources")["datasources"]}
    assert 'ENGINE_SORTING_KEY "city, a"' in tb.call("GET", f"/v0/datasources/{made['name']}.datasource")


def test_a_name_can_be_had_once(tb: Tinybird, name: Name) -> None:
    source = name("ds")
    tb.source(source, "a Int32")
    tb.error("POST", "/v0/datasources", 409, data={"name": source, "schema": "a Int32"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schema": "a Int32"}, "name"), ({"name": "a b", "schema": "a Int32"}, "name"),
        ({"name": "ok_1", "schema": "a Strong"}, "Strong"), ({"name": "ok_1"}, "schema"),
        ({"name": "ok_1", "schema": "a Int32", "engine": "Magic"}, "Magic"),
        ({"name": "ok_1", "schema": "a Int32", "mode": "eat"}, "mode"),
    ],
)  # fmt: skip
def test_a_bad_data_source_is_refused_and_nothing_is_kept(tb: Tinybird, given: dict[str, str], said: str) -> None:
    assert said in tb.error("POST", "/v0/datasources", 400, data=given)
    tb.error("GET", "/v0/datasources/ok_1", 404)


@pytest.mark.parametrize("file", ["rows.csv", "rows.csv.gz", "rows.ndjson", "rows.parquet"])
def test_a_data_source_is_made_from_a_url(tb: Tinybird, name: Name, files: Any, file: str) -> None:
    source = name("ds")
    made = tb.call("POST", "/v0/datasources", params={"name": source, "url": f"{files[0]}/{file}", "mode": "create"})
    assert "error" not in made
    assert tb.ended(made)["mode"] == "create"
    assert tb.rows(f"SELECT a, b FROM {source} ORDER BY a") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    shown = tb.call("GET", f"/v0/datasources/{source}")
    assert [column["name"] for column in shown["columns"]] == ["a", "b"]
    assert shown["statistics"]["row_count"] == 2


def test_a_data_source_is_made_from_a_body_or_not_at_all(tb: Tinybird, name: Name) -> None:
    good, bad = name("good"), name("bad")
    assert tb.append(good, "a,b\n1,x\n", mode="create")["datasource"]["statistics"]["row_count"] == 1
    path = f"/v0/datasources?name={bad}&mode=create&format=parquet"
    tb.error("POST", path, 400, files={"parquet": ("parquet", b"no parquet at all")})
    tb.error("GET", f"/v0/datasources/{bad}", 404)
    assert tb.append(bad, "a\n1\n", mode="create")["successful_rows"] == 1


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_local_file_is_appended_at_once(tb: Tinybird, name: Name, form: str) -> None:
    source = tb.source(name("ds"), "a Int32, b String")["name"]
    text = "a,b\n1,x\nq,y\n" if form == "csv" else '{"a":1,"b":"x"}\n{"a":"q","b":"y"}\nnone\n'
    done = tb.append(source, text, form)
    assert done["error"] is False
    assert done["datasource"]["name"] == source
    assert (done["quarantine_rows"], done["invalid_lines"]) == (1, int(form == "ndjson"))
    assert done["block_log"][0]["status"] == "done"
    assert tb.job(done["import_id"])["kind"] == "import"


@pytest.mark.parametrize(
    ("media", "file"),
    [
        ("text/csv", "rows.csv"), ("application/x-ndjson", "rows.ndjson"),
        ("application/vnd.apache.parquet", "rows.parquet"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_the_newer_form_takes_a_raw_body(
    tb: Tinybird, name: Name, files: Any, media: str, file: str, packed: bool
) -> None:
    source = tb.source(name("ds"), "a Int32, b String")["name"]
    body = (files[1] / file).read_bytes()
    headers = {"Content-Type": media} | ({"Content-Encoding": "gzip"} if packed else {})
    content = gzip.compress(body) if packed else body
    for mode, rows in (("append", 2), ("append", 4), ("replace", 2)):
        path = f"/v1/datasources/{source}/{mode}?format={file.partition('.')[2]}"
        job = tb.call("POST", path, content=content, headers=headers)
        assert tb.ended(job)["status"] == "done"
        assert tb.rows(f"SELECT count() AS n FROM {source}") == [{"n": rows}]


def test_replace_takes_the_place_of_all_rows_or_of_those_of_a_condition(tb: Tinybird, name: Name, files: Any) -> None:
    source = tb.source(name("ds"), "a Int32, b String")["name"]
    tb.append(source, "a,b\n1,old\n2,old\n3,old\n")
    params = {"name": source, "mode": "replace", "url": f"{files[0]}/rows.csv", "replace_condition": "a = 2"}
    assert tb.ended(tb.call("POST", "/v0/datasources", params=params))["mode"] == "replace"
    assert tb.rows(f"SELECT a, b FROM {source} ORDER BY a") == [
        {"a": 1, "b": "old"}, {"a": 2, "b": "y"}, {"a": 3, "b": "old"},
    ]  # fmt: skip
    tb.append(source, "a,b\n9,new\n", mode="replace")
    assert tb.rows(f"SELECT a FROM {source}") == [{"a": 9}]


def test_an_append_to_what_is_not_there_is_not_found(tb: Tinybird, files: Any) -> None:
    tb.error("POST", f"/v0/datasources?name=nowhere&mode=append&url={files[0]}/rows.csv", 404)
    tb.error("POST", "/v1/datasources/nowhere/append?format=csv", 404, content=b"a\n1\n")
    tb.error("GET", "/v0/datasources/nowhere", 404)


def test_rows_are_deleted_by_a_condition_after_a_dry_run(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), "a Int32, at DateTime")["name"]
    tb.append(source, "a,at\n1,2026-01-01 00:00:00\n2,2026-01-02 00:00:00\n3,2026-01-02 10:00:00\n")
    condition = {"delete_condition": "toDate(at) = '2026-01-02'"}
    path = f"/v0/datasources/{source}/delete"
    assert tb.call("POST", path, data={**condition, "dry_run": "true"}) == {"rows_to_be_deleted": 2}
    assert tb.rows(f"SELECT count() AS n FROM {source}") == [{"n": 3}]
    job = tb.ended(tb.call("POST", path, 201, data=condition))
    assert (job["kind"], job["status"], job["rows_affected"]) == ("delete_data", "done", 2)
    assert tb.call("GET", f"/v0/datasources/{source}")["statistics"]["row_count"] == 1
    now = tb.call("POST", f"/v1/datasources/{source}/delete", data={"delete_condition": "a = 1", "wait": "true"})
    assert now["rows_affected"] == 1
    tb.error("POST", path, 400, data={})


def test_a_truncate_answers_205_without_a_body(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), "a Int32")["name"]
    tb.append(source, "a\n1\n")
    assert tb.call("POST", f"/v0/datasources/{source}/truncate", 205) is None
    assert tb.call("GET", f"/v0/datasources/{source}")["statistics"]["row_count"] == 0


def test_a_data_source_that_a_pipe_needs_is_not_dropped_without_force(tb: Tinybird, name: Name) -> None:
    source, pipe = tb.source(name("ds"), "a Int32")["name"], name("p")
    made = tb.pipe(pipe, {"name": "n", "sql": f"SELECT a FROM {source}"})
    users = [{"id": made["id"], "name": pipe}]
    assert tb.call("GET", f"/v0/datasources/{source}")["used_by"] == users
    path = f"/v0/datasources/{source}"
    assert tb.call("DELETE", f"{path}?force=false&dry_run=true")["dependent_pipes"] == users
    assert "downstream" in tb.error("DELETE", f"{path}?force=false&dry_run=false", 409)
    tb.call("DELETE", f"{path}?force=true&dry_run=false", 204)
    tb.error("GET", path, 404)


def test_a_data_source_gets_columns_a_description_and_a_name(tb: Tinybird, name: Name) -> None:
    source, other = tb.source(name("ds"), "a Int32")["name"], name("renamed")
    tb.append(source, "a\n1\n")
    plan = {"schema": "a Int32, b Nullable(String)", "description": "new", "dry": "true"}
    said = tb.call("POST", f"/v0/datasources/{source}/alter", data=plan)
    assert said["operations"] == ["ADD COLUMN `b` Nullable(String)", "CHANGE DESCRIPTION"]
    assert tb.rows(f"SELECT * FROM {source}") == [{"a": 1}]
    tb.call("POST", f"/v0/datasources/{source}/alter", data={**plan, "dry": "false"})
    assert tb.rows(f"SELECT * FROM {source}") == [{"a": 1, "b": None}]
    tb.error("POST", f"/v0/datasources/{source}/alter", 400, data={"schema": "b String"})
    assert tb.call("PUT", f"/v0/datasources/{source}", data={"name": other})["description"] == "new"
    assert tb.rows(f"SELECT a FROM {other}") == [{"a": 1}]
    tb.error("GET", f"/v0/datasources/{source}", 404)


def test_two_data_sources_exchange_their_rows(tb: Tinybird, name: Name) -> None:
    one, two = (tb.source(name(which), "a Int32")["name"] for which in ("one", "two"))
    tb.append(one, "a\n1\n")
    tb.call("POST", "/v0/datasources/exchange", data={"datasource_a": one, "datasource_b": two})
    assert tb.rows(f"SELECT count() AS n FROM {two}") == [{"n": 1}]
    assert tb.rows(f"SELECT count() AS n FROM {one}") == [{"n": 0}]


def test_quarantine_keeps_what_does_not_fit_of_mixed_files(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), SCHEMA, format="ndjson")["name"]
    good = {"a": 1, "user": {"city": "Rome"}, "tags": ["x"], "extra": 1}
    bad = {"a": "many", "user": {"city": "Oslo"}, "tags": []}
    tb.append(source, f"{json.dumps(good)}\n{json.dumps(bad)}\n", "ndjson")
    tb.append(source, "a,city,tags\n2,Bonn,[]\nnone,Kyiv,[]\n", "csv")
    assert tb.rows(f"SELECT a, city FROM {source} ORDER BY a") == [{"a": 1, "city": "Rome"}, {"a": 2, "city": "Bonn"}]
    aside = tb.rows(f"SELECT * FROM {source}_quarantine ORDER BY city")
    assert [(row["a"], row["city"], row["c__error_column"]) for row in aside] == [
        ("none", "Kyiv", ["a"]), ("many", "Oslo", ["a"]),
    ]  # fmt: skip
    assert all(row["c__error"] and row["insertion_date"] and row["c__import_id"] for row in aside)
    assert tb.call("GET", f"/v0/datasources/{source}")["quarantine_rows"] == 2


def test_events_are_stored_before_they_are_answered(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), SCHEMA)["name"]
    lines = '{"a":1,"user":{"city":"Rome"},"tags":["x","y"]}\n{"a":"no"}\nnonsense\n'
    assert tb.call("POST", f"/v0/events?name={source}", 202, content=lines) == {
        "successful_rows": 1, "quarantined_rows": 2,
    }  # fmt: skip
    assert tb.rows(f"SELECT * FROM {source}") == [{"a": 1, "city": "Rome", "tags": ["x", "y"]}]
    packed = gzip.compress(b'{"a":2}')
    tb.call("POST", f"/v0/events?name={source}", 202, content=packed, headers={"Content-Encoding": "gzip"})
    tb.call("POST", f"/v0/events?name={source}&format=json", 202, content='[{"a":3},\n{"a":4}]')
    tb.call("POST", f"/v0/events?name={source}&wait=true", 200, content='{"a":5}')
    assert tb.rows(f"SELECT count() AS n FROM {source}") == [{"n": 5}]
    tb.error("POST", f"/v0/events?name={source}", 400, content="")


def test_events_make_a_data_source_from_their_first_line(tb: Tinybird, name: Name) -> None:
    source = name("auto")
    tb.call("POST", f"/v0/events?name={source}", 202, content='{"n":1,"t":"x","ok":true,"list":[1,2]}')
    assert tb.rows(f"SELECT * FROM {source}") == [{"n": 1, "t": "x", "ok": True, "list": [1, 2]}]


def test_events_of_many_callers_are_counted_for_each(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), "a Int32")["name"]

    def send(number: int) -> tuple[int, Any]:
        body = "".join(f'{{"a":{n}}}\n' for n in range(10)) + ('{"a":"bad"}\n' if number % 3 == 0 else "")
        answer = httpx.post(f"{tb.url}/v0/events?name={source}", content=body, timeout=30)
        return number, answer.json()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(send, range(12)))
    for number, counts in found:
        assert counts == {"successful_rows": 10, "quarantined_rows": int(number % 3 == 0)}
    assert tb.rows(f"SELECT count() AS n FROM {source}") == [{"n": 120}]


# --- analyze ----------------------------------------------------------------------------------------------


def test_a_file_is_analyzed_before_it_becomes_a_data_source(tb: Tinybird, name: Name) -> None:
    text = '{"id":1,"user":{"name":"ann","tags":["a"]}}\n{"id":2,"user":{"name":null,"tags":["b"]},"x":1.5}\n'
    found = tb.call("POST", "/v0/analyze", files={"file": ("rows.ndjson", text.encode())})
    columns = {one["name"]: (one["path"], one["recommended_type"], one["present_pct"])
               for one in found["analysis"]["columns"]}  # fmt: skip
    assert columns == {
        "id": ("$.id", "Int64", 1), "user_name": ("$.user.name", "String", 0.5),
        "user_tags": ("$.user.tags[:]", "Array(String)", 1), "x": ("$.x", "Float64", 0.5),
    }  # fmt: skip
    assert [row["user_name"] for row in found["preview"]["data"]] == ["ann", None]
    source = tb.source(name("analyzed"), found["analysis"]["schema"])
    assert tb.append(source["name"], text, "ndjson")["invalid_lines"] == 0
    assert tb.rows(f"SELECT user_name, user_tags FROM {source['name']} ORDER BY id")[0]["user_tags"] == ["a"]


def test_a_url_is_analyzed_and_what_cannot_be_read_is_refused(tb: Tinybird, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,day\n1,2026-01-02\n2,2026-01-03\n")
    with files_at(tmp_path) as (at, gate):
        gate.set()
        found = tb.call("POST", "/v0/analyze", params={"url": f"{at}/rows.csv"})
        assert [one["recommended_type"] for one in found["analysis"]["columns"]] == ["Int64", "Date"]
        tb.error("POST", "/v0/analyze", 400, params={"url": f"{at}/nowhere.csv"})
    tb.error("POST", "/v0/analyze?format=nonsense", 400, content=b"a,b\n")
    tb.error("POST", "/v0/analyze", 400, files={"other": (None, "x")})
    tb.error("POST", "/v0/analyze?format=parquet", 400, content=b"a,b\n1,2\n")


@pytest.mark.parametrize(
    ("key", "part", "left"),
    [
        ("toYYYYMM(day)", "202402", 1), ("day", "20240201", 2), ("(toYear(day), city)", "2024-x", 1),
        ("tuple(toYYYYMM(day), n % 2)", "202402-1", 2), ("city", "it's", 2), ("day", "20250101", 3),
    ],
)  # fmt: skip
def test_a_partition_is_deleted_by_its_id(tb: Tinybird, name: Name, key: str, part: str, left: int) -> None:
    source = name("ds")
    tb.source(source, "day Date, city String, n Int32", engine="MergeTree", engine_partition_key=key)
    rows = "day,city,n\n2024-02-01,x,1\n2024-02-03,x,2\n2024-03-01,it's,3\n"
    tb.append(source, rows)
    path = f"/v1/datasources/{source}/delete"
    done = tb.call("POST", path, data={"partition": part})
    assert done == {"rows_affected": 3 - left, "mutation": {"partitions_scanned": 1, "rows_affected": 3 - left}}


def test_a_partition_and_a_condition_delete_what_both_hold(tb: Tinybird, name: Name) -> None:
    source, path = name("ds"), "/v1/datasources/{}/delete"
    tb.source(source, "day Date, n Int32", engine="MergeTree", engine_partition_key="toYYYYMM(day)")
    asked = {"partition": "202402", "delete_condition": "n = 1 OR n = 2"}
    assert tb.call("POST", path.format(source), data=asked)["rows_affected"] == 0
    plain = name("plain")
    tb.source(plain, "n Int32")
    assert "partition key" in tb.error("POST", path.format(plain), 400, data={"partition": "1"})
    said = name("said")
    made = tb.source(said, "n Int32", engine="MergeTree", engine_partition_key="cityHash64(n) % 8")
    assert made["engine"]["partition_key"] == "cityHash64(n) % 8"
    tb.error("POST", path.format(said), 400, data={"partition": "1"})


def test_a_partition_key_that_is_wrong_makes_no_data_source(tb: Tinybird, name: Name) -> None:
    source = name("ds")
    for key in ("toYYYYMM(nope)", "now()", "count()"):
        body = {"name": source, "schema": "day Date", "engine": "MergeTree", "engine_partition_key": key}
        tb.error("POST", "/v0/datasources", 400, data=body)
    tb.source(source, "day Date")
