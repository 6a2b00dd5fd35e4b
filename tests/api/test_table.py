"""The route table: what finds what, and what cannot be built."""

from collections.abc import Sequence
from typing import Any

import pytest

from runyard.api.errors import refuse
from runyard.http.card import Answer, Card, Route
from runyard.http.request import Request
from runyard.http.table import RouteTable


async def handler(request: Request) -> Answer:
    raise NotImplementedError


def card(name: str, *routes: Route, prefixes: tuple[str, ...] = ("/",)) -> Card:
    return Card(name=name, prefixes=prefixes, routes=routes, readers=(), refuse=refuse)


def scope(
    method: str, path: str, raw: bytes | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
) -> dict[str, Any]:
    return {"method": method, "path": path, "raw_path": raw or path.encode(), "headers": list(headers)}


def test_a_route_without_a_scope_cannot_be_built() -> None:
    with pytest.raises(TypeError):
        Route("GET", "/x")  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("wrong", ["", "everything", "runs", "ADMIN"])
def test_a_route_with_an_unknown_scope_cannot_be_built(wrong: str) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        Route("GET", "/x", wrong, handler)


def test_two_routes_for_the_same_request_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="twice"):
        RouteTable(
            [card("a", Route("GET", "/x/{id}", "open", handler)), card("b", Route("GET", "/x/{key}", "open", handler))]
        )


def test_a_literal_segment_wins_over_a_parameter_and_falls_back_to_it() -> None:
    literal = Route("GET", "/jobs/new/log", "open", handler)
    param = Route("GET", "/jobs/{id}", "open", handler)
    table = RouteTable([card("a", literal, param)])
    assert table.find(scope("GET", "/jobs/new/log")).route is literal
    assert table.find(scope("GET", "/jobs/new")).params == {"id": "new"}


def test_an_encoded_slash_stays_inside_its_segment() -> None:
    table = RouteTable([card("a", Route("GET", "/q/{name}", "open", handler))])
    assert table.find(scope("GET", "/q/a/b", b"/q/a%2Fb")).params == {"name": "a/b"}


def test_the_rest_of_a_path_can_be_one_parameter() -> None:
    table = RouteTable([card("a", Route("GET", "/files/{path:path}", "open", handler))])
    assert table.find(scope("GET", "/files/a/b.txt")).params == {"path": "a/b.txt"}


def test_a_header_can_choose_the_route() -> None:
    start = Route("POST", "/", "runs:write", handler, header=("X-Amz-Target", "AWSGlue.StartJobRun"))
    get = Route("POST", "/", "runs:read", handler, header=("X-Amz-Target", "AWSGlue.GetJobRun"))
    table = RouteTable([card("glue", start, get)])
    found = table.find(scope("POST", "/", headers=[(b"x-amz-target", b"AWSGlue.GetJobRun")]))
    assert found.route is get
    assert table.find(scope("POST", "/")).route is None


def test_an_unknown_path_belongs_to_the_face_with_the_longest_prefix() -> None:
    native, vendor = card("native"), card("vendor", prefixes=("/api/2.1/",))
    table = RouteTable([native, vendor])
    assert table.find(scope("GET", "/api/2.1/jobs/none")).card is vendor
    assert table.find(scope("GET", "/none")).card is native


def test_a_wrong_method_says_which_would_do() -> None:
    table = RouteTable([card("a", Route("PUT", "/x", "open", handler), Route("DELETE", "/x", "open", handler))])
    assert table.find(scope("GET", "/x")).methods == {"PUT", "DELETE"}


def test_head_is_answered_as_get_is() -> None:
    table = RouteTable([card("a", Route("GET", "/x", "open", handler))])
    assert table.find(scope("HEAD", "/x")).route is not None


def test_an_empty_segment_is_no_parameter() -> None:
    table = RouteTable([card("a", Route("GET", "/runs/{id}", "open", handler))])
    assert table.find(scope("GET", "/runs/")).route is None
