"""Requests that make no sense, made up at random: a refusal in the platform's shape, and nothing half-done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.dialects.tinybird import support
from tests.dialects.tinybird.calls import Tinybird

CALLS = [
    one.call.split() for rows in support.FAMILIES.values() for one in rows if not one.call.startswith("GET /tokens")
]
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
_WORD = st.one_of(
    st.sampled_from(["ds", "pipe", "node", "nowhere", "0", "", "true", "append", "replace", "1=1", "SELECT 1",
                     "http://127.0.0.1:1/x.csv", "a Int32", "csv", "ndjson", "parquet", "ADMIN", "@on-demand", "-1",
                     "9" * 30, "' OR 1", "{{x}}", "%{{Int32(x)}}", "t_" + "0" * 32, "../..", "NaN", "null"]),
    _TEXT,
)  # fmt: skip
_KEYS = st.sampled_from([
    "name", "mode", "schema", "format", "url", "q", "sql", "scope", "delete_condition", "replace_condition", "nodes",
    "datasource", "type", "engine", "engine_sorting_key", "kind", "status", "created_after", "expiration_time", "path",
    "dry_run", "wait", "force", "populate_subset", "truncate", "schedule_cron", "pipeline", "copy_to", "scopes",
    "replacements", "datasource_a", "datasource_b", "description", "background", "partition", "debug", "check",
])  # fmt: skip
_FORM = st.dictionaries(_KEYS, _WORD, max_size=4)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _WORD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)
_BODY = st.one_of(
    st.just({}),
    _FORM.map(lambda form: {"data": form}),
    _JSON.map(lambda value: {"json": value}),
    st.binary(max_size=40).map(lambda raw: {"content": raw}),
    st.tuples(_WORD, st.binary(max_size=40)).map(lambda pair: {"files": {"csv": (pair[0] or "x", pair[1])}}),
    st.tuples(_WORD, _TEXT).map(lambda pair: {"files": [("data_project://", (f"{pair[0]}.pipe", pair[1].encode()))]}),
    st.binary(max_size=20).map(lambda raw: {"content": raw, "headers": {"content-type": "multipart/form-data"}}),
    st.binary(max_size=20).map(lambda raw: {"content": raw, "headers": {"content-encoding": "gzip"}}),
)


@pytest.fixture(scope="module")
def sure(url: str) -> Iterator[Tinybird]:
    """A workspace of its own, with a Data Source and a pipe; the first one's rows are never asked to change."""
    admin = Tinybird(url)
    made = admin.call("POST", "/v1/workspaces?name=nonsense")
    tb = Tinybird(url, made["token"])
    tb.source("ds", "a Int32")
    tb.pipe("pipe", {"name": "node", "sql": "SELECT a FROM ds", "type": "endpoint"})
    yield tb
    for client in (tb, admin):
        client.http.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    call=st.sampled_from(CALLS), names=st.lists(_WORD, min_size=3, max_size=3), query=_FORM, body=_BODY,
)  # fmt: skip
def test_no_request_makes_the_server_stumble(
    sure: Tinybird, call: list[str], names: list[str], query: dict[str, str], body: dict[str, Any]
) -> None:
    method, path = call
    for one in names:
        head, found, tail = path.partition("{")
        if found:
            path = head + quote(one or "x", safe="") + tail.partition("}")[2]
    with contextlib.suppress(httpx.InvalidURL):
        answer = sure.http.request(method, path, params=query, **body)
        assert answer.status_code < 500, f"{method} {path} {query} {body}: {answer.text}"
        if answer.status_code >= 400:
            assert isinstance(answer.json()["error"], str)


def test_nothing_is_half_done_after_nonsense(sure: Tinybird) -> None:
    """Every Data Source that is listed can be read, every pipe shown; what has an id is found by it."""
    for one in sure.call("GET", "/v0/datasources")["datasources"]:
        assert sure.call("GET", f"/v0/datasources/{one['id']}")["name"] == one["name"]
    for one in sure.call("GET", "/v0/pipes")["pipes"]:
        assert sure.call("GET", f"/v0/pipes/{one['id']}")["name"] == one["name"]
    assert sure.call("GET", "/v1/deployments")["deployments"]
