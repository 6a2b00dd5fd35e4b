"""Queues, bookmarks, principals and data through the public API of a real server."""

import time
from typing import Any

import pytest

from tests.api.helpers import Api, Server


def test_a_queue_is_made_changed_field_by_field_and_deleted(api: Api) -> None:
    name = f"q/{time.monotonic_ns()} é"
    path = "/queues/" + name.replace("/", "%2F").replace(" ", "%20")
    made = api.call("PUT", path, json={"slots": 2, "priority": 5})
    assert made == {"name": name, "slots": 2, "priority": 5, "paused": False, "active": 0, "waiting": 0}
    assert api.call("PUT", path, json={"paused": True}) == {**made, "paused": True}
    assert api.call("PUT", path, json={"slots": None})["slots"] is None
    assert name in [one["name"] for one in api.call("GET", "/queues")["items"]]
    api.call("DELETE", path, 204)
    api.refused("DELETE", path, 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"slots": -1}, "slots"), ({"slots": "two"}, "slots"), ({"slot": 1}, "slot"), ({"slots": 2**70}, "slots")],
)
def test_a_wrong_queue_is_refused(api: Api, body: Any, field: str) -> None:
    assert api.refused("PUT", "/queues/wrong", 400, json=body)["field"] == field


def test_a_bookmark_is_set_read_and_reset(api: Api) -> None:
    path = f"/bookmarks/job-{time.monotonic_ns()}"
    api.refused("GET", path, 404)
    first = api.call("PUT", path, json={"state": {"seen": 3}})
    assert (first["version"], first["state"]) == (1, {"seen": 3})
    assert api.call("GET", path) == first
    assert api.call("POST", f"{path}/reset", json={})["state"] == {}
    api.refused("PUT", path, 400, json={"state": 3})


def test_a_principal_is_made_listed_and_deleted_and_its_token_ends(api: Api, server: Server) -> None:
    number, token = api.token("runs:read")
    with server.client(token) as client:
        assert client.get("/api/v1/whoami").json()["scopes"] == ["runs:read"]
        listed = {one["id"]: one for one in api.call("GET", "/principals")["items"]}[number]
        assert (listed["disabled"], "token" in listed) == (False, False)
        api.call("DELETE", f"/principals/{number}", 204)
        assert client.get("/api/v1/whoami").status_code == 401
    api.refused("DELETE", f"/principals/{number}", 404)
    api.refused("POST", f"/principals/{number}/revoke", 404)


@pytest.mark.parametrize(
    ("more", "field"),
    [({"scopes": ["all"]}, "scopes[0]"), ({"scopes": "admin"}, "scopes"), ({"expires_at": "soon"}, "expires_at")],
)
def test_a_wrong_principal_is_refused(api: Api, more: dict[str, Any], field: str) -> None:
    body = {"name": "wrong", "scopes": [], **more}
    assert api.refused("POST", "/principals", 400, json=body)["field"] == field


def test_a_name_is_taken_once(api: Api) -> None:
    api.refused("POST", "/principals", 409, json={"name": "admin", "scopes": []})


def test_a_query_gives_rows(api: Api) -> None:
    body = {"sql": "select $n as n", "parameters": {"n": 3}}
    found = api.call("POST", "/query", json=body)
    assert (found["columns"][0]["name"], found["rows"], found["row_count"]) == ("n", [[3]], 1)


@pytest.mark.parametrize(("limit", "more"), [(4, True), (5, False), (6, False)])
def test_a_query_tells_whether_there_are_rows_beyond_its_limit(api: Api, limit: int, more: bool) -> None:
    found = api.call("POST", "/query", json={"sql": "from range(5)", "limit": limit})
    assert (found["row_count"], found["more"]) == (min(limit, 5), more)


@pytest.mark.parametrize("limit", [0, 10_001, -1])
def test_a_query_has_a_limit_of_1_to_10000_rows(api: Api, limit: int) -> None:
    assert api.refused("POST", "/query", 400, json={"sql": "select 1", "limit": limit})["field"] == "limit"


def test_wrong_sql_is_refused(api: Api) -> None:
    api.refused("POST", "/query", 400, json={"sql": "selec 1"})


def test_a_query_cannot_write(api: Api) -> None:
    api.refused("POST", "/query", 400, json={"sql": "create table stolen as select 1"})


def test_tables_are_listed_with_their_columns(api: Api) -> None:
    name = f"t{time.monotonic_ns()}"
    task = {"key": "a", "action": {"kind": "sql", "statement": f"create table {name} as select 1 as n"}}
    assert api.wait(api.submit(task))["state"] == "succeeded"
    found = {one["name"]: one for one in api.call("GET", "/tables")["items"]}[name]
    assert [column["name"] for column in found["columns"]] == ["n"]


def test_the_server_tells_what_runs_here(api: Api) -> None:
    info = api.call("GET", "/info")
    assert {worker["executor"] for worker in info["workers"]} == {"process", "warehouse"}
    assert info["store"] == "sqlite"
    assert info["started_at"].endswith("Z")
