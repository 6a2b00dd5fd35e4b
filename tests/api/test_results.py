"""Large results over HTTP: pages while they are written, and Arrow as it comes."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import httpx
import pyarrow as pa
import pytest

from runyard.api.results import ARROW
from tests.api.helpers import Api, Server

JOIN = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 3"


def sql(statement: str) -> dict[str, Any]:
    return {"key": "a", "action": {"kind": "sql", "statement": statement}}


def test_a_large_result_is_read_in_pages(api: Api) -> None:
    run = api.wait(api.submit(sql("SELECT range AS n, 'x' AS t FROM range(150_000)")))
    path, seen = f"/task-runs/{run['tasks'][0]['id']}/rows", 0
    offset: int | None = 0
    while offset is not None:
        page = api.call("GET", f"{path}?offset={offset}&limit=10000")
        assert page["columns"] == [{"name": "n", "type": "BIGINT"}, {"name": "t", "type": "VARCHAR"}]
        assert [row[0] for row in page["rows"]] == list(range(offset, offset + len(page["rows"])))
        seen, offset = seen + len(page["rows"]), page.get("next")
    assert (seen, page["whole"], page["rows_ready"]) == (150_000, True, 150_000)
    assert api.call("GET", f"{path}?offset=65530&limit=10")["rows"] == [[n, "x"] for n in range(65_530, 65_540)]
    for beyond in (150_000, 2**62):
        page = api.call("GET", f"{path}?offset={beyond}&limit=100000")
        assert (page["rows"], page.get("next"), page["whole"]) == ([], None, True)
    last = api.call("GET", f"{path}?offset=149999&limit=100000")
    assert (last["rows"], last.get("next")) == ([[149_999, "x"]], None)


def test_a_small_result_has_pages_too(api: Api) -> None:
    run = api.wait(api.submit(sql("SELECT range AS n FROM range(5)")))
    path = f"/task-runs/{run['tasks'][0]['id']}/rows"
    page = api.call("GET", f"{path}?offset=1&limit=2")
    assert (page["rows"], page["next"], page["rows_ready"]) == ([[1], [2]], 3, 5)
    for query in ("limit=0", "limit=-1", "limit=1000000", "offset=-1", f"offset={2**70}", "limit=x", "offset=1.5"):
        api.refused("GET", f"{path}?{query}", 400)
    page = api.call("GET", f"{path}?offset={2**62}&limit=100000")
    assert (page["rows"], page.get("next"), page["rows_ready"]) == ([], None, 5)


def test_the_first_page_is_there_before_the_result_is_whole(api: Api) -> None:
    run = api.submit(sql("SELECT range AS n, md5(range::VARCHAR) AS m FROM range(4_000_000)"))
    task = api.call("GET", f"/runs/{run['id']}")["tasks"][0]["id"]
    deadline = time.monotonic() + 20
    while True:
        answer = api.http.get(f"/api/v1/task-runs/{task}/rows", params={"limit": 3})
        if answer.status_code == 200:
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    page = answer.json()
    assert [row[0] for row in page["rows"]] == [0, 1, 2]
    assert page["whole"] is False
    assert page["rows_ready"] < 4_000_000
    api.call("POST", f"/runs/{run['id']}/cancel", json={})
    assert api.wait(run)["state"] == "cancelled"


def arrow(api: Api, statement: str, **more: Any) -> pa.Table:
    answer = api.http.post("/api/v1/query", json={"sql": statement, **more}, headers={"Accept": ARROW})
    assert answer.headers["content-type"] == ARROW, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


def test_a_query_streams_all_its_rows_as_arrow(api: Api) -> None:
    table = arrow(api, "SELECT range AS n, 'ü' || range AS t FROM range($rows)", parameters={"rows": 300_000})
    assert table.num_rows == 300_000
    assert table["n"].to_pylist() == list(range(300_000))
    assert table["t"][7].as_py() == "ü7"
    assert arrow(api, "SELECT 1 AS n WHERE false").num_rows == 0


@pytest.mark.parametrize("statement", ["selec 1", "CREATE TABLE no AS SELECT 1", "SELECT * FROM _runyard.effects"])
def test_a_query_that_is_refused_is_no_stream(api: Api, statement: str) -> None:
    api.refused("POST", "/query", 400, json={"sql": statement}, headers={"Accept": ARROW})


def test_a_stream_that_fails_in_its_middle_breaks_off(api: Api) -> None:
    statement = "SELECT CASE WHEN range = 2_900_000 THEN error('no') ELSE range END AS n FROM range(3_000_000)"
    with (
        pytest.raises(httpx.RemoteProtocolError),
        api.http.stream("POST", "/api/v1/query", json={"sql": statement}, headers={"Accept": ARROW}) as answer,
    ):
        for _ in answer.iter_bytes():
            pass


ENDLESS = "SELECT range FROM range(1_000_000_000_000)"


@pytest.mark.parametrize("statement", [ENDLESS, JOIN], ids=["in its middle", "before it begins"])
def test_a_client_that_leaves_ends_its_query(api: Api, server: Server, statement: str) -> None:
    for _ in range(6):  # more than the server has threads for such
        with server.client(server.admin_token) as other, contextlib.suppress(httpx.ReadTimeout):
            asked: dict[str, Any] = {"json": {"sql": statement}, "headers": {"Accept": ARROW}, "timeout": 0.5}
            with other.stream("POST", "/api/v1/query", **asked) as answer:
                next(answer.iter_bytes())
    began = time.monotonic()
    assert api.call("POST", "/query", json={"sql": "SELECT count(*) FROM range(1000000)"})["rows"] == [[1_000_000]]
    assert arrow(api, "SELECT 1 AS n").num_rows == 1
    assert time.monotonic() - began < 5


def test_a_query_answers_only_as_json_or_arrow(api: Api) -> None:
    refused = api.refused("POST", "/query", 400, json={"sql": "select 1"}, headers={"Accept": "text/csv"})
    assert refused["field"] == "Accept"
