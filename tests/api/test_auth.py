"""Default deny: the live route table is walked, with no credentials, wrong ones, and too few scopes."""

import time
from collections.abc import Iterator

import httpx
import pytest

from runyard import app
from runyard.engine.engine import Engine
from runyard.http.card import Route
from runyard.http.counters import Counters
from runyard.http.policy import ADMIN, OPEN, SCOPES, SIGNED_IN
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore
from tests.api.helpers import Api, Server, check_problem

DECLARED_OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/v1/openapi.json")}
"""Opening another route takes a change here."""


def live_routes() -> list[Route]:
    """Those of the native face; a dialect's refusals have its own shape, and its own test."""
    table = app.build_table(Engine(SqliteStore(":memory:"), []), Tokens(b""), Streams(), Counters())
    return [route for card, route in table.routes() if card.name == "native"]


def address(route: Route) -> str:
    path = route.path
    for name in ("{id}", "{v}", "{name}", "{job_key}", "{child}"):
        path = path.replace(name, "1")
    assert "{" not in path
    return path


ROUTES = live_routes()
GUARDED = [route for route in ROUTES if route.scope != OPEN]
SCOPED = [route for route in GUARDED if route.scope != SIGNED_IN]


def label(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_the_open_routes_are_the_declared_ones() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.scope == OPEN} == DECLARED_OPEN


@pytest.mark.parametrize("route", GUARDED, ids=label)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_method_of_a_guarded_route_answers_without_credentials(
    anonymous: httpx.Client, route: Route, method: str
) -> None:
    for accept in ("*/*", "text/event-stream"):
        answer = anonymous.request(method, address(route), headers={"Accept": accept})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/v1", "/api/v1/", "/api/v1/runs/", "//api/v1/runs", "/docs"])
def test_an_unknown_path_tells_nothing_without_credentials(anonymous: httpx.Client, path: str) -> None:
    check_problem(anonymous.get(path), 401)


@pytest.mark.parametrize("route", SCOPED, ids=label)
def test_every_scope_but_the_declared_one_is_denied(others: dict[str, httpx.Client], route: Route) -> None:
    answer = others[route.scope].request(route.method, address(route))
    check_problem(answer, 403)
    assert answer.json()["scope"] == route.scope


@pytest.mark.parametrize("route", SCOPED, ids=label)
def test_the_declared_scope_is_enough(holders: dict[str, httpx.Client], route: Route) -> None:
    # An empty body is refused by most routes, which is past the policy.
    assert holders[route.scope].request(route.method, address(route)).status_code not in (401, 403, 405)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope == OPEN], ids=label)
def test_an_open_route_answers_without_credentials(anonymous: httpx.Client, route: Route) -> None:
    assert anonymous.request(route.method, route.path).status_code == 200


@pytest.fixture(scope="module")
def anonymous(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def others(api: Api, server: Server) -> Iterator[dict[str, httpx.Client]]:
    """For each scope a client that holds all the others, and not admin."""
    clients = {scope: server.client(api.token(*(SCOPES - {scope, ADMIN}))[1]) for scope in SCOPES}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def holders(api: Api, server: Server) -> Iterator[dict[str, httpx.Client]]:
    """For each scope a client that holds it alone."""
    clients = {scope: server.client(api.token(scope)[1]) for scope in SCOPES}
    yield clients
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Bearer ry_1_1_x",
        "Basic YTpi",
        "Digest x",
        "ry_1_1_x",
        "Bearer ry_é_1_x",
        "Bearer  a b",
    ],
)
def test_a_credential_that_is_none_of_ours_is_refused(anonymous: httpx.Client, header: str) -> None:
    answer = anonymous.get("/api/v1/whoami", headers={b"Authorization": header.encode("latin-1")})
    check_problem(answer, 401)


def test_a_token_can_stand_in_the_query_for_a_browser(server: Server, anonymous: httpx.Client) -> None:
    answer = anonymous.get("/api/v1/whoami", params={"token": server.admin_token})
    assert answer.json() == {"name": "admin", "scopes": ["admin"]}
    check_problem(anonymous.get("/api/v1/whoami", params={"token": "x"}), 401)


def test_a_revoked_token_is_refused_and_the_new_one_is_taken(api: Api, server: Server) -> None:
    number, old = api.token("runs:read")
    with server.client(old) as client:
        assert client.get("/api/v1/runs").status_code == 200
        new = api.call("POST", f"/principals/{number}/revoke")["token"]
        assert "revoked" in client.get("/api/v1/runs").json()["detail"]
    with server.client(new) as client:
        assert client.get("/api/v1/runs").status_code == 200


def test_an_expired_token_is_refused(api: Api, server: Server) -> None:
    _, token = api.token("runs:read", expires_at=str(int(time.time() * 1000) + 400))
    with server.client(token) as client:
        assert client.get("/api/v1/runs").status_code == 200
        time.sleep(0.5)
        assert "expired" in client.get("/api/v1/runs").json()["detail"]


def test_dev_takes_any_credential_and_none(dev: Server) -> None:
    for token in (None, "anything"):
        with dev.client(token) as client:
            assert client.get("/api/v1/whoami").json() == {"name": "dev", "scopes": ["admin"]}


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "evil.example:80"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_dev_refuses_what_a_foreign_web_page_sends(dev: Server, headers: dict[str, str]) -> None:
    with dev.client() as client:
        check_problem(client.post("/api/v1/runs", headers=headers, content=b"{}"), 403)


def test_dev_takes_what_its_own_page_sends(dev: Server) -> None:
    with dev.client() as client:
        assert client.get("/api/v1/whoami", headers={"Origin": dev.url}).status_code == 200
