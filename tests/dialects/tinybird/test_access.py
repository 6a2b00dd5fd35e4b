"""Tokens, their scopes and filters, workspaces, and the tables in which the history can be asked for."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.helpers import Server
from tests.dialects.tinybird.calls import Tinybird

Name = Callable[[str], str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    server = Server(tmp_path_factory.mktemp("guarded") / "data")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin(guarded: Server) -> Iterator[Tinybird]:
    client = Tinybird(guarded.url, guarded.admin_token)
    client.source("open", "a Int32, city String")
    client.source("secret", "a Int32")
    client.append("open", "a,city\n1,Rome\n2,Oslo\n")
    client.append("secret", "a\n42\n")
    client.pipe("shown", {"name": "n", "sql": "SELECT o.city, s.a FROM open AS o, secret AS s", "type": "endpoint"})
    client.pipe("hidden", {"name": "n", "sql": "SELECT * FROM secret", "type": "endpoint"})
    yield client
    client.http.close()


def test_a_wrong_token_is_403_with_a_json_error(guarded: Server) -> None:
    for client in (Tinybird(guarded.url), Tinybird(guarded.url, "nonsense")):
        assert "token" in client.error("GET", "/v0/jobs", 403)
        client.error("GET", "/v0/nowhere", 403)
        client.http.close()


def test_a_token_is_taken_from_the_query_too(guarded: Server, admin: Tinybird) -> None:
    assert httpx.get(f"{guarded.url}/v0/workspace?token={guarded.admin_token}").json()["scope"] == "admin"


def test_a_token_reads_what_its_scopes_name(admin: Tinybird) -> None:
    reader = admin.token("reader", "DATASOURCES:READ:open", "PIPES:READ:shown")
    assert reader.rows("SELECT count() AS n FROM open") == [{"n": 2}]
    assert reader.rows("WITH x AS (SELECT * FROM open) SELECT count() AS n FROM x JOIN open ON 1 = 1") == [{"n": 4}]
    assert len(reader.call("GET", "/v0/pipes/shown.json")["data"]) == 2
    assert [one["name"] for one in reader.call("GET", "/v0/datasources")["datasources"]] == ["open"]
    assert [one["name"] for one in reader.call("GET", "/v0/pipes")["pipes"]] == ["shown"]
    for path in ("/v0/pipes/hidden.json", "/v0/datasources/secret", "/v0/tokens", "/v0/jobs"):
        reader.error("GET", path, 403)
    reader.error("POST", "/v0/datasources/open/truncate", 403)
    reader.error("POST", "/v0/datasources?name=open&mode=append&url=http://x/y.csv", 403)
    reader.error("POST", "/v0/datasources", 403, data={"name": "mine", "schema": "a Int32"})
    reader.error("POST", "/v0/pipes", 403, json={"name": "mine", "nodes": []})
    reader.error("POST", "/v0/events?name=open", 403, content='{"a":1}')
    reader.error("DELETE", "/v0/datasources/open", 403)
    reader.http.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secret", "SELECT * FROM main.secret", 'SELECT * FROM "secret"', "SELECT * FROM `secret`",
        "SELECT * FROM (secret)", "SELECT (SELECT max(a) FROM secret)", "SELECT * FROM open, secret",
        "SELECT 1 WHERE 42 IN secret", "SELECT * FROM 'secret'", "FROM secret SELECT *", "DESCRIBE secret",
        "SELECT * FROM hidden", "SELECT * FROM tinybird.jobs_log", "SELECT * FROM SECRET",
        "SELECT * FROM /* x */ secret", "SELECT * FROM open UNION ALL SELECT a, '' FROM secret",
        "WITH open AS (SELECT * FROM secret) SELECT * FROM open", "SELECT * FROM secret_quarantine",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_query_reaches_what_a_token_may_not_read(admin: Tinybird, sql: str) -> None:
    try:
        reader = admin.token("limited", "DATASOURCES:READ:open")
    except AssertionError:
        reader = Tinybird(admin.url, admin.call("GET", "/v0/tokens/limited")["token"])
    answer = reader.http.post("/v0/sql", content=f"{sql} FORMAT JSON")
    assert answer.status_code in (400, 403), answer.text
    assert "42" not in answer.text
    reader.http.close()


def test_a_filter_holds_whatever_way_the_rows_are_read(admin: Tinybird) -> None:
    reader = admin.token("romans", "DATASOURCES:READ:open:city = 'Rome'", "PIPES:READ:shown")
    wanted = [{"a": 1, "city": "Rome"}]
    for sql in (
        "SELECT * FROM open", "SELECT o.* FROM open AS o", "SELECT open.a, open.city FROM open",
        "SELECT * FROM (SELECT * FROM open)", "SELECT * FROM open WHERE a IN (SELECT a FROM open)",
    ):  # fmt: skip
        assert reader.rows(sql) == wanted
    assert [row["city"] for row in reader.call("GET", "/v0/pipes/shown.json")["data"]] == ["Rome"]
    for sql in ("SELECT * FROM main.open", "SELECT * FROM open_quarantine", "SELECT * FROM 'open'"):
        assert reader.http.post("/v0/sql", content=f"{sql} FORMAT JSON").status_code in (400, 403)
    reader.http.close()


def test_a_token_is_changed_refreshed_and_deleted(admin: Tinybird) -> None:
    path = "/v0/tokens/changing"
    client = admin.token("changing", "DATASOURCES:READ:open")
    shown = admin.call("GET", path)
    assert shown["scopes"] == [{"type": "DATASOURCES:READ", "resource": "open"}]
    assert shown["name"] in {token["name"] for token in admin.call("GET", "/v0/tokens")["tokens"]}
    admin.call("PUT", f"{path}?scope=DATASOURCES:READ:secret")
    assert client.rows("SELECT a FROM secret") == [{"a": 42}]
    client.error("GET", f"/v0/sql?q={quote('SELECT * FROM open')}", 403)
    again = Tinybird(admin.url, admin.call("POST", f"/v0/tokens/{shown['id']}/refresh")["token"])
    client.error("GET", "/v0/workspace", 403)
    assert again.call("GET", "/v0/workspace")["name"] == "default"
    admin.call("DELETE", f"/v0/tokens/{shown['id']}", 204)
    again.error("GET", "/v0/workspace", 403)
    admin.error("GET", path, 404)
    admin.error("POST", "/v0/tokens?name=x&scope=EVERYTHING", 400)
    admin.error("POST", "/v0/tokens?name=x&scope=DATASOURCES:READ:nowhere", 404)
    for one in (client, again):
        one.http.close()


def test_only_an_administrator_gives_away_administration(admin: Tinybird) -> None:
    keeper = admin.token("keeper", "TOKENS")
    keeper.call("POST", "/v0/tokens?name=plain&scope=DATASOURCES:READ:open")
    keeper.error("POST", "/v0/tokens?name=boss&scope=ADMIN", 403)
    keeper.http.close()


def test_a_token_of_this_dialect_opens_nothing_else(guarded: Server, admin: Tinybird) -> None:
    client = admin.token("admin_here", "ADMIN")
    assert client.call("GET", "/v0/jobs")["jobs"]
    assert client.http.get("/api/v1/runs").status_code == 403
    client.http.close()


def test_a_workspace_has_its_own_data_sources_jobs_and_token(admin: Tinybird) -> None:
    made = admin.call("POST", "/v1/workspaces?name=other&assign_to_organization_id=")
    other = Tinybird(admin.url, made["token"])
    assert other.call("GET", "/v1/workspace")["name"] == "other"
    assert other.call("GET", "/v0/datasources")["datasources"] == []
    other.source("open", "a Int32")
    done = other.append("open", "a\n7\n")
    assert other.rows("SELECT a FROM open") == [{"a": 7}]
    assert admin.rows("SELECT count() AS n FROM open") == [{"n": 2}]
    admin.error("GET", f"/v0/jobs/{done['import_id']}", 403)
    admin.error("POST", f"/v0/jobs/{done['import_id']}/cancel", 403)
    assert done["import_id"] not in {job["id"] for job in admin.call("GET", "/v0/jobs")["jobs"]}
    assert other.call("GET", f"/v0/jobs/{done['import_id']}")["status"] == "done"
    listed = admin.call("GET", "/v0/user/workspaces/?with_environments=true")["workspaces"]
    assert {one["name"] for one in listed} >= {"default", "other"}
    admin.error("DELETE", f"/v1/workspaces/{made['id']}", 400)
    other.call("DELETE", "/v0/datasources/open", 204)
    admin.call("DELETE", f"/v1/workspaces/{made['id']}", 204)
    other.error("GET", "/v0/workspace", 403)
    other.http.close()


def test_a_url_of_a_private_network_is_refused_unless_it_is_allowed(admin: Tinybird) -> None:
    job = admin.ended(admin.call("POST", "/v0/datasources?name=secret&mode=append&url=http://127.0.0.1:1/x.csv"))
    assert job["status"] == "error"
    assert "private" in job["error"] or "address" in job["error"]


def test_tokens_of_a_local_server_are_handed_out_with_dev_only(admin: Tinybird, tb: Tinybird) -> None:
    assert tb.call("GET", "/tokens").keys() == {"user_token", "admin_token", "workspace_admin_token"}
    admin.error("GET", "/tokens", 403)


def test_connect_prints_the_environment(guarded: Server, admin: Tinybird) -> None:
    told = admin.http.get("/api/v1/info").json()["dialects"]["tinybird"]
    assert (told["TB_HOST"], told["TB_TOKEN"]) == ("{url}", "{token}")


# --- signed tokens ----------------------------------------------------------------------------------------


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _jwt(admin: Tinybird, secret: str, **more: Any) -> Tinybird:
    """A client with a token that its user signed, as the platform's guide shows."""
    workspace = admin.call("GET", "/v0/workspace")["id"]
    payload = {"workspace_id": workspace, "name": "frontend", "exp": time.time() + 60, "scopes": []} | more
    message = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(payload)}"
    return Tinybird(admin.url, f"{message}.{_part(hmac.digest(secret.encode(), message.encode(), 'sha256'))}")


READ_SHOWN = [{"type": "PIPES:READ", "resource": "shown"}]


def test_a_signed_token_reads_what_its_scopes_name(guarded: Server, admin: Tinybird) -> None:
    reader = _jwt(admin, guarded.admin_token, scopes=READ_SHOWN)
    assert len(reader.call("GET", "/v0/pipes/shown.json")["data"]) == 2
    for method, path in (("GET", "/v0/pipes/hidden.json"), ("GET", "/v0/sql?q=SELECT+1+FROM+open"),
                         ("GET", "/v0/tokens"), ("GET", "/v0/jobs"), ("POST", "/v0/tokens?name=x&scope=ADMIN"),
                         ("DELETE", "/v0/pipes/shown")):  # fmt: skip
        reader.error(method, path, 403)
    text = reader.http.headers["authorization"].split()[1]
    assert httpx.get(f"{admin.url}/v0/pipes/shown.json?token={text}").status_code == 200
    assert httpx.get(f"{admin.url}/api/v1/runs", headers=dict(reader.http.headers)).status_code == 401
    named = "SELECT count() AS n FROM tinybird.pipe_stats_rt WHERE token_name = 'frontend' AND error = 0"
    assert admin.rows(named) == [{"n": 2}]
    reader.http.close()


@pytest.mark.parametrize(
    ("secret", "more"),
    [
        ("another", {}), (None, {"exp": 1}), (None, {"workspace_id": "nowhere"}), (None, {"scopes": "all"}),
        (None, {"scopes": [{"type": "ADMIN", "resource": "x"}]}), (None, {"exp": None}),
    ],
)  # fmt: skip
def test_a_signed_token_that_is_wrong_is_403(
    guarded: Server, admin: Tinybird, secret: str | None, more: dict[str, Any]
) -> None:
    client = _jwt(admin, secret or guarded.admin_token, **{"scopes": READ_SHOWN, **more})
    client.error("GET", "/v0/pipes/shown.json", 403)
    client.http.close()


def test_fixed_parameters_cannot_be_chosen_and_a_limit_is_kept(guarded: Server, admin: Tinybird) -> None:
    node = {"name": "n", "sql": "%SELECT a FROM open WHERE city = {{String(city)}}", "type": "endpoint"}
    admin.pipe("of_city", node)
    scope = {"type": "PIPES:READ", "resource": "of_city", "fixed_params": {"city": "Oslo"}}
    reader = _jwt(admin, guarded.admin_token, scopes=[scope], limits={"rps": 3})
    assert reader.call("GET", "/v0/pipes/of_city.json?city=Rome")["data"] == [{"a": 2}]
    assert reader.call("POST", "/v0/pipes/of_city.json", json={"city": "Rome"})["data"] == [{"a": 2}]
    reader.error("GET", "/v0/pipes/of_city.json?q=SELECT+1", 403)
    reader.error("GET", "/v0/pipes/of_city.json", 429)
    reader.http.close()
    reader = _jwt(admin, guarded.admin_token, scopes=[scope])
    reader.error("GET", "/v0/sql?q=SELECT+*+FROM+of_city", 403)
    reader.http.close()


def test_the_server_signs_tokens_too(admin: Tinybird) -> None:
    body = json.dumps({"scopes": READ_SHOWN}).encode()
    path = "/v0/tokens?name=signed&expiration_time="
    text = admin.call("POST", f"{path}{int(time.time()) + 60}", content=body)["token"]
    reader = Tinybird(admin.url, text)
    assert len(reader.call("GET", "/v0/pipes/shown.json")["data"]) == 2
    assert "signed" not in {one["name"] for one in admin.call("GET", "/v0/tokens")["tokens"]}
    reader.http.close()
    gone = Tinybird(admin.url, admin.call("POST", f"{path}1", content=body)["token"])
    gone.error("GET", "/v0/pipes/shown.json", 403)
    gone.http.close()
    admin.error("POST", f"{path}soon", 400, content=body)
    admin.error("POST", f"{path}9e9", 400, content=b'{"scopes":[{"type":"ADMIN","resource":"x"}]}')


def test_a_refreshed_token_no_longer_signs(admin: Tinybird) -> None:
    signer = admin.call("POST", "/v0/tokens?name=signer&scope=ADMIN")
    reader = _jwt(admin, signer["token"], scopes=READ_SHOWN)
    reader.call("GET", "/v0/pipes/shown.json")
    admin.call("POST", f"/v0/tokens/{signer['id']}/refresh")
    reader.error("GET", "/v0/pipes/shown.json", 403)
    reader.http.close()


def test_with_dev_a_signed_token_keeps_its_scopes(tb: Tinybird, name: Name) -> None:
    pipe = name("for_all")
    tb.pipe(pipe, {"name": "n", "sql": "SELECT 1 AS one", "type": "endpoint"})
    secret = tb.call("POST", f"/v0/tokens?name={name('signer')}&scope=ADMIN")["token"]
    reader = _jwt(tb, secret, scopes=[{"type": "PIPES:READ", "resource": pipe}])
    assert reader.call("GET", f"/v0/pipes/{pipe}.json")["data"] == [{"one": 1}]
    reader.error("GET", "/v0/tokens", 403)
    reader.http.close()
    other = _jwt(tb, "nonsense", scopes=[])
    other.error("GET", f"/v0/pipes/{pipe}.json", 403)
    other.http.close()


# --- history ----------------------------------------------------------------------------------------------


def test_the_history_of_jobs_can_be_asked_for_in_sql(tb: Tinybird, name: Name) -> None:
    source = tb.source(name("logged"), "a Int32")
    job = tb.append(source["name"], "a\n1\nx\n")["import_id"]
    sql = f"SELECT job_id, job_type, status, datasource_id, error FROM tinybird.jobs_log WHERE job_id = '{job}'"
    wanted = {"job_id": job, "job_type": "import", "status": "done", "datasource_id": source["id"], "error": None}
    assert tb.rows(sql) == [wanted]
    more = tb.append(source["name"], "a\n2\n")["import_id"]
    again = f"SELECT count() AS n FROM tinybird.jobs_log WHERE job_id IN ('{job}', '{more}')"
    assert tb.rows(again) == [{"n": 2}]
    (block,) = tb.rows(f"SELECT rows, quarantine_lines FROM tinybird.block_log WHERE job_id = '{job}'")
    assert block == {"rows": 1, "quarantine_lines": 1}
    found = tb.rows("SELECT event_type, rows FROM tinybird.datasources_ops_log"
                    f" WHERE datasource_name = '{source['name']}' ORDER BY timestamp")  # fmt: skip
    assert found == [{"event_type": "create", "rows": 0}, {"event_type": "append", "rows": 1},
                     {"event_type": "append", "rows": 1}]  # fmt: skip
    (stored,) = tb.rows(f"SELECT rows FROM tinybird.datasources_storage WHERE datasource_id = '{source['id']}'")
    assert stored == {"rows": 2}


def test_the_logs_command_of_the_newer_client_is_answered(tb: Tinybird, name: Name) -> None:
    job = tb.append(tb.source(name("logged"), "a Int32")["name"], "a\n1\n")["import_id"]
    since = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    rows = tb.rows(
        "SELECT * FROM (SELECT 'tinybird.jobs_log' AS source, created_at AS timestamp,"
        " formatRowNoNewline('JSONEachRow', *) AS data FROM tinybird.jobs_log"
        f" WHERE created_at >= parseDateTimeBestEffort('{since}')) ORDER BY timestamp DESC LIMIT 100"
    )
    assert rows[0]["source"] == "tinybird.jobs_log"
    assert any(job in row["data"] for row in rows)


def test_calls_of_endpoints_are_counted(tb: Tinybird, name: Name) -> None:
    pipe = name("counted")
    tb.pipe(pipe, {"name": "n", "sql": "%SELECT {{Int32(x, 1)}} AS x", "type": "endpoint"})
    tb.call("GET", f"/v0/pipes/{pipe}.json?x=2")
    tb.error("GET", f"/v0/pipes/{pipe}.json?x=two", 400)
    where = f"WHERE pipe_name = '{pipe}'"
    assert tb.rows(f"SELECT status_code, error FROM tinybird.pipe_stats_rt {where} ORDER BY status_code") == [
        {"status_code": 200, "error": 0}, {"status_code": 400, "error": 1},
    ]  # fmt: skip
    assert tb.rows(f"SELECT view_count, error_count FROM tinybird.pipe_stats {where}") == [
        {"view_count": 2, "error_count": 1}
    ]
    (error,) = tb.rows(f"SELECT error FROM tinybird.endpoint_errors {where}")
    assert "two" in error["error"]


def test_an_unknown_service_data_source_is_refused(tb: Tinybird) -> None:
    assert "jobs_log" in tb.error("POST", "/v0/sql", 400, content="SELECT * FROM tinybird.nonsense")


@pytest.mark.long
def test_the_history_outlives_the_server_and_may_be_made_to_expire(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", dev=True)
    tb = Tinybird(server.url)
    tb.source("ds", "a Int32")
    job = tb.append("ds", "a\n1\n")["import_id"]
    assert tb.rows("SELECT count() AS n FROM tinybird.jobs_log") == [{"n": 1}]
    assert {one["id"] for one in tb.call("GET", "/v0/jobs")["jobs"]} == {job}
    tb.http.close()
    server.stop()
    server = Server(tmp_path / "data", dev=True, options="tinybird.job_hours=0.0001:tinybird.expire_jobs=true")
    try:
        tb = Tinybird(server.url)
        time.sleep(0.5)
        assert tb.call("GET", "/v0/jobs")["jobs"] == []
        tb.error("GET", f"/v0/jobs/{job}", 404)
        assert tb.rows("SELECT job_id FROM tinybird.jobs_log") == [{"job_id": job}]
        tb.http.close()
    finally:
        server.stop()
