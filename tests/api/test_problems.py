"""Whatever is sent: a 4xx in the problem shape, and nothing is kept."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.helpers import Api, Server, check_problem, shell, spec

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def mutations(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Like the good one, with some fields replaced, added or missing."""
    some = st.sampled_from(sorted(good))
    return st.builds(
        lambda drop, add: {key: value for key, value in {**good, **add}.items() if key not in drop},
        st.lists(some, max_size=1),
        st.dictionaries(some | st.text(max_size=8), VALUES, max_size=3),
    )


TASK = {
    **shell("a"),
    "needs": [],
    "retries": {"max": 1},
    "timeout": 1.5,
    "priority": 1,
    "queue": "q",
    "run_if": "all_done",
}
SPEC = {**spec(), "parameters": {}, "queue": "q", "priority": 1, "timeout": 1.0, "max_concurrent_runs": 1, "tags": {}}
SUBMIT = {"spec": SPEC, "parameters": {}, "name": "n", "queue": "q", "priority": 1, "tags": {}, "only": None}
TASKS = st.lists(mutations(TASK) | VALUES, max_size=3)
SPECS = mutations(SPEC) | st.builds(lambda tasks: {**SPEC, "tasks": tasks}, TASKS)
SUBMITS = VALUES | mutations(SUBMIT) | st.builds(lambda one: {"spec": one}, SPECS)


def check(answer: httpx.Response) -> None:
    """Either it was taken, or refused in the problem shape; never a mistake of the server."""
    if answer.status_code != 201:
        assert 400 <= answer.status_code < 500, answer.text
        check_problem(answer, answer.status_code)


@FUZZ
@given(body=SUBMITS)
def test_any_json_to_runs_is_taken_or_refused(api: Api, body: Any) -> None:
    check(api.http.post("/api/v1/runs", content=json.dumps(body)))


@FUZZ
@given(body=SPECS | VALUES)
def test_any_json_to_jobs_is_taken_or_refused(api: Api, body: Any) -> None:
    check(api.http.post("/api/v1/jobs", content=json.dumps(body)))


@FUZZ
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_is_kept(api: Api, body: Any) -> None:
    name = "bytes"
    for path in ("/runs", "/jobs", "/runs:batch", "/principals", "/query"):
        answer = api.http.post(f"/api/v1{path}", content=body)
        check_problem(answer, 400)
    assert api.call("GET", "/runs", params={"name": name})["items"] == []


@FUZZ
@given(
    query=st.dictionaries(st.sampled_from(["state", "job", "cursor", "tag", "limit", "created_after", "x"]), st.text())
)
def test_any_filter_is_taken_or_refused(api: Api, query: Any) -> None:
    answer = api.http.get("/api/v1/runs", params=query)
    if answer.status_code != 200:
        check_problem(answer, 400)


def test_a_refused_submission_keeps_nothing(api: Api) -> None:
    name = f"refused {time.monotonic_ns()}"
    api.refused("POST", "/runs", 400, json={"name": name, "spec": spec(shell("a"), shell("a"))})
    assert api.call("GET", "/runs", params={"name": name})["items"] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_wrong_method_is_405_and_says_which_would_do(api: Api, method: str) -> None:
    answer = api.http.request(method, "/api/v1/runs:batch")
    check_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_an_unknown_path_is_404(api: Api) -> None:
    check_problem(api.http.get("/api/v1/nothing"), 404)


def raw(server: Server, sent: bytes) -> bytes:
    """Sends bytes as they are and reads the start of the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        answer = b""
        while not answer.endswith(b"}") and (piece := connection.recv(65536)):
            answer += piece
        return answer


def post(server: Server, length: int) -> bytes:
    """The head of a submission with a body of this length."""
    credential = f"Authorization: Bearer {server.admin_token}"
    return f"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\n{credential}\r\nContent-Length: {length}\r\n\r\n".encode()


def test_a_body_over_the_cap_is_refused_before_it_is_sent(server: Server) -> None:
    answer = raw(server, post(server, 17 * 1024 * 1024))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer


def test_a_chunked_body_is_refused_once_it_is_over_the_cap(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 512

    check_problem(api.http.post("/api/v1/runs", content=endless()), 413)


def test_a_connection_is_usable_after_a_body_was_refused(api: Api) -> None:
    check_problem(api.http.post("/api/v1/runs", content=b" " * (17 * 1024 * 1024)), 413)
    assert api.call("GET", "/whoami")["name"] == "admin"


def test_a_client_that_leaves_within_its_body_disturbs_nobody(api: Api, server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(post(server, 100) + b"{")
    assert api.call("GET", "/whoami")["name"] == "admin"


def test_what_is_no_http_is_refused(server: Server) -> None:
    # uvicorn's own words: the connection is closed before there is a request that a face could answer.
    assert raw(server, b"\x16\x03\x01 not http\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_the_server_made_no_mistake_in_all_of_this(server: Server) -> None:
    assert "Traceback" not in server.errors.read_text()
