"""Bodies and query strings into structs."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from runyard.api.bodies import SubmitGiven
from runyard.api.queries import RunsQuery
from runyard.core.errors import RunyardError
from runyard.core.model import JobSpec
from runyard.http.body import decode, query
from runyard.http.request import Request

SPEC = msgspec.json.Decoder(JobSpec)
SUBMIT = msgspec.json.Decoder(SubmitGiven)


def refusal(body: bytes, decoder: msgspec.json.Decoder[Any] = SUBMIT) -> RunyardError:
    with pytest.raises(RunyardError) as caught:
        decode(body, decoder)
    return caught.value


async def never() -> Message:
    raise NotImplementedError


def request(text: str) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": text.encode("utf-8", "replace"),
        "headers": [],
    }
    return Request(scope, receive=never, cap=1)


def test_an_unknown_field_is_named_with_the_fields_that_are_known() -> None:
    error = refusal(b'{"spec": {"name": "x", "tasks": [{"key": "a", "acton": {}}]}}')
    assert error.field == "spec.tasks[0].acton"
    assert "action" in error.message


def test_an_unknown_kind_is_answered_with_the_kinds() -> None:
    error = refusal(b'{"name": "x", "tasks": [{"key": "a", "action": {"kind": "sq"}}]}', SPEC)
    assert error.field == "tasks[0].action.kind"
    assert "run_job" in error.message


def test_a_wrong_word_is_answered_with_the_right_ones() -> None:
    error = refusal(b'{"name": "x", "tasks": [], "on_limit": "drop"}', SPEC)
    assert error.field == "on_limit"
    assert "refuse" in error.message


def test_a_wrong_type_is_named_with_its_place() -> None:
    error = refusal(b'{"name": "x", "tasks": [{"key": 3}]}', SPEC)
    assert (error.field, "got `int`" in error.message) == ("tasks[0].key", True)


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" + "0" * 30])
def test_a_number_that_the_store_cannot_keep_is_refused_with_its_place(number: Any) -> None:
    error = refusal(f'{{"job": 1, "parameters": {{"deep": [{{"n": {number}}}]}}}}'.encode())
    assert error.field == "parameters.deep[0].n"


def test_the_largest_number_is_taken() -> None:
    assert decode(b'{"parameters": {"n": 9223372036854775807}}', SUBMIT).parameters["n"] == 2**63 - 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"nul", b"\xff", b'{"name": "\xff"}', b'{"job": NaN}', b'{"job": 1e999}', b"{}{}", b'"\\ud800"', b"3"],
)
def test_what_is_not_a_json_object_is_invalid(body: bytes) -> None:
    assert refusal(body).code == "invalid"


def test_a_body_nested_without_end_is_invalid() -> None:
    assert "nested" in refusal(b'{"parameters": {"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}").message


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with suppress(RunyardError):
        decode(body, SUBMIT)


def test_a_list_can_be_repeated_and_comma_divided() -> None:
    assert query(request("state=queued,running&state=failed"), RunsQuery).state == ("queued", "running", "failed")


def test_an_unknown_query_parameter_names_the_known_ones() -> None:
    with pytest.raises(RunyardError, match="created_after") as caught:
        query(request("stat=queued"), RunsQuery)
    assert caught.value.field == "stat"


@pytest.mark.parametrize("text", ["limit=x", "limit=1&limit=2", "state=sleeping", "job=1.5", "name=%FF", "é=1"])
def test_a_wrong_query_string_is_invalid(text: str) -> None:
    with pytest.raises(RunyardError) as caught:
        query(request(text), RunsQuery)
    assert caught.value.code == "invalid"


def test_the_token_is_known_everywhere() -> None:
    assert query(request("token=x&limit=3"), RunsQuery).limit == 3


@given(st.text())
def test_any_query_string_is_read_or_refused(text: str) -> None:
    with suppress(RunyardError):
        query(request(text), RunsQuery)
