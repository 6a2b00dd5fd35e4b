"""Pipes over plain HTTP: nodes, endpoints, materialized nodes, copies, sinks, and the Query API."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet as pq
import pytest

from tests.dialects.tinybird.calls import Tinybird
from tests.live_server import live_server
from tests.warehouse.object_server import ObjectServer

Name = Callable[[str], str]
ROWS = "a,city,at\n1,Rome,2026-01-01 10:00:00\n2,Oslo,2026-01-02 10:00:00\n3,Rome,2026-01-03 10:00:00\n"


@pytest.fixture
def visits(tb: Tinybird, name: Name) -> str:
    source = str(tb.source(name("visits"), "a Int32, city String, at DateTime", engine_sorting_key="a")["name"])
    tb.append(source, ROWS)
    return source


@pytest.fixture
def endpoint(tb: Tinybird, name: Name, visits: str) -> str:
    pipe = name("top")
    tb.pipe(
        pipe,
        {"name": "filtered", "sql": f"%SELECT * FROM {visits} WHERE a >= {{{{Int32(low, 0)}}}}"},
        {"name": "final", "sql": "%SELECT city, count() AS n FROM filtered"
         " {% if defined(city) %} WHERE city = {{String(city)}} {% end %} GROUP BY city ORDER BY city",
         "type": "endpoint"},
    )  # fmt: skip
    return pipe


def test_an_endpoint_answers_in_each_format(tb: Tinybird, endpoint: str) -> None:
    body = tb.call("GET", f"/v0/pipes/{endpoint}.json")
    assert body["data"] == [{"city": "Oslo", "n": 1}, {"city": "Rome", "n": 2}]
    assert body["meta"] == [{"name": "city", "type": "String"}, {"name": "n", "type": "Int64"}]
    assert body["rows"] == 2
    assert body["statistics"].keys() == {"elapsed", "rows_read", "bytes_read"}
    text = tb.call("GET", f"/v0/pipes/{endpoint}.csv")
    assert list(csv.reader(io.StringIO(text))) == [["city", "n"], ["Oslo", "1"], ["Rome", "2"]]
    assert tb.call("GET", f"/v0/pipes/{endpoint}.ndjson").splitlines()[0] == '{"city":"Oslo","n":1}'
    table = pq.read_table(io.BytesIO(httpx.get(f"{tb.url}/v0/pipes/{endpoint}.parquet").content))
    assert table.to_pydict() == {"city": ["Oslo", "Rome"], "n": [1, 2]}


def test_an_endpoint_takes_parameters_of_all_its_nodes(tb: Tinybird, endpoint: str) -> None:
    assert tb.call("GET", f"/v0/pipes/{endpoint}.json?low=2&city=Rome")["data"] == [{"city": "Rome", "n": 1}]
    assert tb.call("POST", f"/v0/pipes/{endpoint}.json", json={"city": "Oslo"})["data"] == [{"city": "Oslo", "n": 1}]
    assert tb.call("POST", f"/v0/pipes/{endpoint}.json", data={"low": "3"})["data"] == [{"city": "Rome", "n": 1}]
    assert tb.call("GET", f"/v0/pipes/{endpoint}.json?token=x&cli_version=1&from=cli")["rows"] == 2
    found = tb.call("GET", f"/v0/pipes/{endpoint}")["nodes"]
    assert [[one["name"] for one in node["params"]] for node in found] == [["low"], ["city"]]


def test_a_parameter_stays_a_value(tb: Tinybird, endpoint: str) -> None:
    for text in ("' OR 1=1 --", "\\' OR 1=1 --", "{{ parameters.x }}", "'; DROP TABLE x; --", "x' UNION ALL SELECT 1"):
        assert tb.call("GET", f"/v0/pipes/{endpoint}.json", params={"city": text})["data"] == []


def test_a_wrong_parameter_is_refused(tb: Tinybird, endpoint: str) -> None:
    assert "'low'" in tb.error("GET", f"/v0/pipes/{endpoint}.json?low=many", 400)


def test_an_endpoint_can_be_asked_with_a_query_over_it(tb: Tinybird, endpoint: str) -> None:
    asked = quote("SELECT sum(n) AS total FROM _")
    assert tb.call("GET", f"/v0/pipes/{endpoint}.json?q={asked}")["data"] == [{"total": 3}]
    assert tb.rows(f"SELECT max(n) AS most FROM {endpoint}") == [{"most": 2}]


def test_a_template_error_has_its_own_status(tb: Tinybird, name: Name) -> None:
    pipe = name("strict")
    sql = "% {{custom_error({'error': 'not today', 'code': 7}, 403)}} SELECT 1"
    tb.pipe(pipe, {"name": "n", "sql": sql, "type": "endpoint"})
    body = tb.call("GET", f"/v0/pipes/{pipe}.json", 403)
    assert (body["error"], body["code"]) == ("not today", 7)
    bad = {"name": name("bad"), "nodes": [{"name": "n", "sql": "% {% if x %} SELECT 1"}]}
    assert "Template Syntax Error" in tb.error("POST", "/v0/pipes", 400, json=bad)


def test_a_pipe_whose_sql_cannot_run_is_refused_and_not_kept(tb: Tinybird, name: Name, visits: str) -> None:
    pipe = name("wrong")
    node = {"name": "n", "sql": f"SELECT nope FROM {visits}"}
    assert "nope" in tb.error("POST", "/v0/pipes", 400, json={"name": pipe, "nodes": [node]})
    tb.error("GET", f"/v0/pipes/{pipe}", 404)
    circle = [{"name": "x", "sql": "SELECT * FROM y"}, {"name": "y", "sql": "SELECT * FROM x"}]
    assert "reads itself" in tb.error("POST", "/v0/pipes", 400, json={"name": pipe, "nodes": circle})


def test_nodes_are_added_changed_published_and_removed(tb: Tinybird, name: Name, visits: str) -> None:
    pipe = name("p")
    made = tb.call("POST", f"/v0/pipes?name={pipe}&sql={quote(f'SELECT * FROM {visits}')}")
    assert [node["name"] for node in made["nodes"]] == [f"{pipe}_0"]
    node = tb.call("POST", f"/v0/pipes/{pipe}/nodes?name=more", content=f"SELECT count() AS n FROM {pipe}_0")
    reader = tb.token(name("t"), f"PIPES:READ:{pipe}")
    assert "endpoint" in reader.error("GET", f"/v0/pipes/{pipe}.json", 404)
    tb.call("POST", f"/v0/pipes/{pipe}/nodes/{node['id']}/endpoint")
    assert reader.call("GET", f"/v0/pipes/{pipe}.json")["data"] == [{"n": 3}]
    tb.call("PUT", f"/v0/pipes/{pipe}/nodes/more", content=f"SELECT max(a) + 1 AS n FROM {pipe}_0")
    assert reader.call("GET", f"/v0/pipes/{pipe}.json")["data"] == [{"n": 4}]
    assert tb.call("GET", f"/v0/pipes/{pipe}")["type"] == "endpoint"
    tb.call("DELETE", f"/v0/pipes/{pipe}/nodes/more/endpoint")
    assert tb.call("GET", f"/v0/pipes/{pipe}")["type"] == "default"
    tb.call("DELETE", f"/v0/pipes/{pipe}/nodes/more", 204)
    assert len(tb.call("GET", f"/v0/pipes/{pipe}")["nodes"]) == 1
    assert tb.call("PUT", f"/v0/pipes/{pipe}", data={"name": f"{pipe}_x"})["name"] == f"{pipe}_x"
    assert "NODE" in tb.call("GET", f"/v1/pipes/{pipe}_x.pipe")
    tb.call("DELETE", f"/v0/pipes/{pipe}_x", 204)
    tb.error("GET", f"/v0/pipes/{pipe}_x", 404)
    reader.http.close()


def test_a_materialized_node_follows_appends_and_is_populated(tb: Tinybird, name: Name, visits: str) -> None:
    pipe, target = name("mv"), name("per_city")
    sql = f"SELECT city, countState() AS n, uniqState(a) AS u FROM {visits} GROUP BY city"
    made = tb.pipe(pipe, {"name": "m", "sql": sql, "type": "materialized", "datasource": target})
    assert made["created_datasource"] is True
    assert made["type"] == "materialized"
    merged = f"SELECT city, countMerge(n) AS n, uniqMerge(u) AS u FROM {target} GROUP BY city ORDER BY city"
    tb.append(visits, "a,city,at\n9,Rome,2026-02-01 00:00:00\n")
    assert tb.rows(merged) == [{"city": "Rome", "n": 1, "u": 1}]
    job = tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/nodes/m/population?truncate=true")["job"])
    assert (job["status"], job["progress_percentage"]) == ("done", 100.0)
    assert {query["status"] for query in job["queries"]} == {"done"}
    assert job["query_id"] == job["queries"][0]["query_id"]
    assert job["pipe_name"] == pipe
    assert job["datasource"]["name"] == target
    assert tb.rows(merged) == [{"city": "Oslo", "n": 1, "u": 1}, {"city": "Rome", "n": 3, "u": 3}]
    condition = "&populate_condition=" + quote("toDate(at) >= '2026-01-03'")
    tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/nodes/m/population?truncate=true{condition}")["job"])
    assert tb.rows(merged) == [{"city": "Rome", "n": 2, "u": 2}]
    tb.error("POST", f"/v0/pipes/{pipe}/nodes/m/population?populate_subset=3", 400)
    tb.call("DELETE", f"/v0/pipes/{pipe}/nodes/m/materialization", 204)
    tb.append(visits, "a,city,at\n10,Rome,2026-02-01 00:00:00\n")
    assert tb.rows(merged) == [{"city": "Rome", "n": 2, "u": 2}]


def test_a_populate_goes_by_the_partitions_of_its_source(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("ds"), "day Date, n Int64", engine="MergeTree", engine_partition_key="toYYYYMM(day)")[
        "name"
    ]
    pipe, target = name("mv"), name("per_month")
    tb.append(source, "day,n\n2024-01-01,1\n2024-01-31,2\n2024-02-01,3\n2024-04-01,4\n")
    sql = f"SELECT toYYYYMM(day) AS month, sum(n) AS n FROM {source} GROUP BY month"
    tb.pipe(
        pipe,
        {"name": "m", "sql": sql, "type": "materialized", "datasource": target, "engine_partition_key": "month"},
    )
    job = tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/nodes/m/population?truncate=true")["job"])
    assert (job["status"], len(job["queries"])) == ("done", 3)
    rows = tb.rows(f"SELECT * FROM {target} ORDER BY month")
    assert [row["n"] for row in rows] == [3, 3, 4]
    done = tb.call("POST", f"/v1/datasources/{target}/delete", data={"partition": "202401"})
    assert done["rows_affected"] == 1


def test_a_populate_takes_a_subset(tb: Tinybird, name: Name) -> None:
    source, pipe, target = tb.source(name("ds"), "n Int64")["name"], name("mv"), name("target")
    filled = tb.call("POST", f"/v0/sql_copy?copy_to={source}", content="SELECT number AS n FROM numbers(20000)")
    assert tb.ended(filled)["rows"] == 20000
    tb.pipe(pipe, {"name": "m", "sql": f"SELECT n FROM {source}", "type": "materialized", "datasource": target})
    tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/nodes/m/population?populate_subset=0.1")["job"])
    (row,) = tb.rows(f"SELECT count() AS n FROM {target}")
    assert 1000 < row["n"] < 3000


def test_a_copy_pipe_runs_on_demand_with_parameters_and_in_both_modes(tb: Tinybird, name: Name, visits: str) -> None:
    pipe, target = name("copy"), tb.source(name("target"), "city String, n UInt64")
    sql = f"%SELECT city, count() AS n FROM {visits} WHERE a >= {{{{Int32(low, 0)}}}} GROUP BY city"
    node = {"name": "c", "sql": sql, "type": "copy", "target_datasource": target["name"], "copy_schedule": "@on-demand"}
    made = tb.pipe(pipe, node)
    assert made["copy_target_datasource"] == target["id"]
    run = tb.call("POST", f"/v0/pipes/{pipe}/copy?low=2&cli_version=6&token=x")
    assert run["tags"] == {"copy_target_datasource": target["id"]}
    assert run["job"]["job_url"].endswith(run["job"]["job_id"])
    assert tb.ended(run["job"])["status"] == "done"
    rows = f"SELECT city, n FROM {target['name']} ORDER BY city, n"
    assert tb.rows(rows) == [{"city": "Oslo", "n": 1}, {"city": "Rome", "n": 1}]
    tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/copy?_mode=replace")["job"])
    assert tb.rows(rows) == [{"city": "Oslo", "n": 1}, {"city": "Rome", "n": 2}]
    tb.error("POST", f"/v0/pipes/{pipe}/copy?_mode=eat", 400)
    tb.error("POST", f"/v0/pipes/{pipe}/copy/pause", 400)
    tb.error("POST", f"/v0/pipes/{pipe}/copy?low=many", 400)


def test_a_scheduled_copy_fires_pauses_and_goes_on(tb: Tinybird, name: Name, visits: str) -> None:
    pipe, target = name("copy"), tb.source(name("target"), "a Int32")["name"]
    tb.pipe(pipe, {"name": "c", "sql": f"SELECT a FROM {visits}", "type": "copy", "target_datasource": target})
    plan = {"schedule_cron": "0 0 1 1 *", "mode": "append"}
    shown = tb.call("PUT", f"/v0/pipes/{pipe}/nodes/c/copy", data=plan)["schedule"]
    assert (shown["cron"], shown["status"]) == ("0 0 1 1 *", "running")
    assert shown["next_run"].endswith("-01-01 00:00:00.000000")
    assert tb.call("POST", f"/v0/pipes/{pipe}/copy/pause")["schedule"]["status"] == "paused"
    assert tb.call("POST", f"/v0/pipes/{pipe}/copy/resume")["schedule"]["status"] == "running"
    kept = httpx.get(f"{tb.url}/api/v1/jobs?origin=tinybird&limit=100").json()["items"]
    (job,) = [one for one in kept if one["spec"]["name"] == f"copy {pipe}"]
    httpx.post(f"{tb.url}/api/v1/runs", json={"job": job["id"]}).raise_for_status()
    deadline = time.monotonic() + 10
    while tb.rows(f"SELECT count() AS n FROM {target}") != [{"n": 3}]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tb.error("PUT", f"/v0/pipes/{pipe}/nodes/c/copy", 400, data={"schedule_cron": "often"})
    tb.call("PUT", f"/v0/pipes/{pipe}/nodes/c/copy", data={"schedule_cron": "None"})
    assert tb.call("GET", f"/v0/pipes/{pipe}")["schedule"] == {}


def test_a_sink_writes_a_file(tb: Tinybird, name: Name, visits: str, folder: Path) -> None:
    pipe, out = name("out"), folder / "data" / "files" / "out"
    sink = {"type": "sink", "path": str(out), "file_template": pipe, "format": "csv"}
    tb.pipe(pipe, {"name": "s", "sql": f"SELECT a, city FROM {visits} ORDER BY a", **sink})
    job = tb.ended(tb.call("POST", f"/v0/pipes/{pipe}/sink")["job"])
    assert (job["kind"], job["status"], job["rows"]) == ("sink", "done", 3)
    assert (out / f"{pipe}.csv").read_text().splitlines() == ["a,city", "1,Rome", "2,Oslo", "3,Rome"]
    logged = f"SELECT result, written_rows FROM tinybird.sinks_ops_log WHERE job_id = '{job['id']}'"
    assert tb.rows(logged) == [{"result": "ok", "written_rows": 3}]
    tb.error("POST", f"/v0/pipes/{pipe}/nodes/s/sink", 400, data={"path": "", "format": "csv"})


def test_a_node_whose_populate_fails_is_unlinked_when_that_was_asked_for(tb: Tinybird, name: Name) -> None:
    source, pipe = tb.source(name("texts"), "t String")["name"], name("mv")
    target = tb.source(name("numbers"), "n UInt32")["name"]
    node = {"name": "n", "sql": f"SELECT toUInt32(t) AS n FROM {source}", "type": "materialized", "datasource": target}
    for asked, linked in (("false", True), ("true", False)):
        tb.call("POST", f"/v0/datasources/{source}/truncate", 205)
        tb.append(source, "t\nmany\n")
        tb.pipe(pipe, node)
        path = f"/v0/pipes/{pipe}/nodes/n/population?unlink_on_populate_error={asked}"
        assert tb.ended(tb.call("POST", path)["job"])["status"] == "error"
        deadline = time.monotonic() + 10
        while (tb.call("GET", f"/v0/pipes/{pipe}")["nodes"][0]["materialized"] is not None) is not linked:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        tb.call("DELETE", f"/v0/pipes/{pipe}", 204)


def test_a_scheduled_sink_writes_at_its_ticks(tb: Tinybird, name: Name, visits: str, folder: Path) -> None:
    pipe, out = name("out"), folder / "data" / "files" / "often"
    sink = {"type": "sink", "path": str(out), "file_template": f"{pipe}-{{YYYYMMDD}}-{{HH}}", "format": "ndjson"}
    node = {"name": "s", "sql": f"SELECT a FROM {visits} ORDER BY a", **sink}
    shown = tb.pipe(pipe, {**node, "schedule_cron": "* * * * * *"})
    assert shown["schedule"]["cron"] == "* * * * * *"
    deadline = time.monotonic() + 20
    while not (jobs := tb.call("GET", f"/v0/jobs?pipe_name={pipe}&status=done")["jobs"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert tb.call("PUT", f"/v0/pipes/{pipe}/nodes/s", data={"description": "x"})["description"] == "x"
    tb.call("DELETE", f"/v0/pipes/{pipe}", 204)
    job = tb.job(jobs[-1]["id"])
    path = Path(job["path"])
    assert (job["kind"], job["rows"], path.parent) == ("sink", 3, out)
    assert len(path.read_text().splitlines()) == 3
    tb.error("POST", "/v0/pipes", 400, json={"name": name("bad"), "nodes": [{**node, "schedule_cron": "often"}]})


def test_a_sink_and_an_import_use_the_object_store_of_the_settings(tmp_path: Path) -> None:
    service = ObjectServer()
    keys = {"RUNYARD_S3_ACCESS_KEY": "the-key", "RUNYARD_S3_SECRET_KEY": "the-secret"}
    try:
        with live_server(tmp_path, "--dev", RUNYARD_S3_ENDPOINT=service.url, **keys) as url:
            tb = Tinybird(url)
            tb.source("ds", "a Int32, city String")
            service.objects["/lake/in.csv"] = b"a,city\n1,Rome\n2,Oslo\n"
            job = tb.ended(tb.call("POST", "/v0/datasources?name=ds&mode=append&url=s3://lake/in.csv"))
            assert job["status"] == "done", job["error"]
            assert job["statistics"]["row_count"] == 2
            sink = {"type": "sink", "bucket_uri": "s3://lake/out", "file_template": "rows", "compression": "gz"}
            tb.pipe("out", {"name": "s", "sql": "SELECT a, city FROM ds ORDER BY a", "format": "csv", **sink})
            job = tb.ended(tb.call("POST", "/v0/pipes/out/sink")["job"])
            assert (job["status"], job["path"]) == ("done", "s3://lake/out/rows.csv.gz"), job
            found = gzip.decompress(service.objects["/lake/out/rows.csv.gz"]).decode()
            assert found.splitlines() == ["a,city", "1,Rome", "2,Oslo"]
            assert tb.rows("SELECT service FROM tinybird.sinks_ops_log") == [{"service": "s3"}]
            tb.http.close()
    finally:
        service.close()


def test_names_keep_their_capitals(tb: Tinybird, name: Name) -> None:
    source, pipe = tb.source(name("Visits"), "A Int32")["name"], name("TopOnes")
    tb.append(source, "A\n1\n2\n")
    node = {"name": "Node_A", "sql": f"SELECT A FROM {source}"}
    tb.pipe(pipe, node, {"name": "out", "sql": "SELECT sum(A) AS n FROM Node_A", "type": "endpoint"})
    assert tb.rows(f"SELECT n FROM {pipe}") == [{"n": 3}]
    assert [one["name"] for one in tb.call("GET", f"/v0/datasources/{source}")["used_by"]] == [pipe]
    reader = tb.token(name("reader"), f"DATASOURCES:READ:{source}:A = 1")
    for spelled in (source, source.upper(), source.lower(), f"`{source}`"):
        assert reader.rows(f"SELECT sum(A) AS n FROM {spelled}") == [{"n": 1}]
    reader.http.close()
    other = tb.token(name("other"), f"PIPES:READ:{pipe}")
    other.error("GET", f"/v0/sql?q=SELECT+1+FROM+{source.upper()}", 403)
    other.http.close()


# --- the Query API ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_query_is_asked_by_get_and_post(tb: Tinybird, visits: str, method: str) -> None:
    sql = f"SELECT count() AS n FROM {visits} FORMAT JSON"
    more: dict[str, Any] = {"params": {"q": sql}} if method == "GET" else {"content": sql}
    body = tb.call(method, "/v0/sql", **more)
    assert body["data"] == [{"n": 3}]
    assert body["rows_before_limit_at_least"] == 1


def test_the_clients_own_query_is_answered(tb: Tinybird, visits: str) -> None:
    asked = quote(f"SELECT * FROM (select city, a from {visits} order by a) LIMIT 100 FORMAT JSON")
    body = tb.call("GET", f"/v0/sql?q={asked}&release_replacements=true&token=x&cli_version=6.5.5")
    assert body["data"][0] == {"city": "Rome", "a": 1}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("", "1\t"), (" FORMAT TSVWithNames", "a\tcity"), (" FORMAT CSV", '1,"Rome"'),
        (" FORMAT CSVWithNames", '"a","city"'), (" FORMAT JSONEachRow", '{"a":1'), (" FORMAT JSONCompact", '{"meta"'),
    ],
)  # fmt: skip
def test_a_query_is_answered_in_the_format_that_it_names(tb: Tinybird, visits: str, form: str, text: str) -> None:
    answer = tb.http.get("/v0/sql", params={"q": f"SELECT a, city FROM {visits} ORDER BY a{form}"})
    assert answer.text.startswith(text)


@pytest.mark.parametrize(
    "sql", ["SELECT nope", "SELEC 1", "SELECT * FROM nowhere", "DROP TABLE x", "SELECT 1 FORMAT Mystery", ""]
)
def test_bad_sql_is_a_400_that_says_what_is_wrong(tb: Tinybird, sql: str) -> None:
    assert tb.error("POST", "/v0/sql", 400, content=sql)


def test_final_merges_the_rows_of_a_key(tb: Tinybird, name: Name) -> None:
    replacing = {"engine": "ReplacingMergeTree", "engine_sorting_key": "k", "engine_ver": "ver"}
    source = tb.source(name("ds"), "k Int32, v String, ver Int32", **replacing)["name"]
    tb.append(source, "k,v,ver\n1,new,2\n1,old,1\n2,only,1\n")
    assert tb.rows(f"SELECT count() AS n FROM {source}") == [{"n": 3}]
    assert tb.rows(f"SELECT k, v FROM {source} FINAL ORDER BY k") == [{"k": 1, "v": "new"}, {"k": 2, "v": "only"}]
    sums = tb.source(name("sums"), "k Int32, n Int32", engine="SummingMergeTree", engine_sorting_key="k")["name"]
    tb.append(sums, "k,n\n1,2\n1,3\n")
    assert tb.rows(f"SELECT s.k, s.n FROM {sums} AS s FINAL") == [{"k": 1, "n": 5}]


def test_final_merges_partial_states(tb: Tinybird, name: Name) -> None:
    schema = "k Int32, n AggregateFunction(count), u AggregateFunction(uniq, String)"
    schema += ", m SimpleAggregateFunction(max, Int8)"
    states = tb.source(name("states"), schema, engine="AggregatingMergeTree", engine_sorting_key="k")["name"]
    raw = tb.source(name("raw"), "k Int32, t String, v Int8")["name"]
    sql = f"SELECT k, countState() AS n, uniqState(t) AS u, max(v) AS m FROM {raw} GROUP BY k"
    tb.pipe(name("mv"), {"name": "m", "sql": sql, "type": "materialized", "datasource": states})
    for text in ("k,t,v\n1,a,1\n1,b,5\n", "k,t,v\n1,a,3\n2,c,1\n"):
        tb.append(raw, text)
    assert tb.rows(f"SELECT count() AS c FROM {states}") == [{"c": 3}]
    merged = "SELECT k, countMerge(n) AS n, uniqMerge(u) AS u, max(m) AS m"
    assert tb.rows(f"{merged} FROM {states} FINAL GROUP BY k ORDER BY k") == [
        {"k": 1, "n": 3, "u": 2, "m": 5}, {"k": 2, "n": 1, "u": 1, "m": 1},
    ]  # fmt: skip


def test_helpers_of_the_clients_answer(tb: Tinybird, visits: str) -> None:
    sql = f"SELECT * FROM {visits} JOIN x.y ON 1"
    assert tb.call("POST", "/v0/sql_tables", data={"q": sql})["tables"] == [["", visits, ""], ["x", "y", ""]]
    given = {"q": f"SELECT * FROM {visits}", "replacements": f'{{"{visits}": "other"}}'}
    assert tb.call("POST", "/v0/sql_replace", data=given) == {"query": "SELECT * FROM other"}
    assert tb.call("GET", "/v0/sql_format?q=SELECT%20%20%201") == {"q": "SELECT 1"}
