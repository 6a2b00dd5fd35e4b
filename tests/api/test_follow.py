"""Histories and logs, read in pieces and followed live."""

import json
import threading
import time
from typing import Any

import pytest

from tests.api.helpers import Api, shell

STREAM = {"Accept": "text/event-stream"}


Told = tuple[str, int | None, dict[str, Any]]


def follow(api: Api, path: str, last: int | None = None, stop_after: int | None = None) -> list[Told]:
    """The events of a stream until it ends, as (event, id, data)."""
    headers = {**STREAM, **({"Last-Event-ID": str(last)} if last is not None else {})}
    found: list[Told] = []
    with api.http.stream("GET", f"/api/v1{path}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        current: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                current[name] = value
            elif "data" in current:
                identifier = int(current["id"]) if "id" in current else None
                found.append((current["event"], identifier, json.loads(current["data"])))
                current = {}
                if len(found) == stop_after:
                    return found
    return found


def test_the_history_is_told_in_order_and_in_pieces(api: Api) -> None:
    run = api.wait(api.submit())
    events = api.call("GET", f"/runs/{run['id']}/events")["items"]
    assert [event["seq"] for event in events] == list(range(1, run["seq"] + 1))
    assert api.call("GET", f"/runs/{run['id']}/events?after=1&limit=1")["items"] == events[1:2]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", "after=x"])
def test_a_wrong_piece_of_the_history_is_refused(api: Api, query: Any) -> None:
    run = api.submit()
    api.refused("GET", f"/runs/{run['id']}/events?{query}", 400)


def test_a_followed_history_has_every_event_once_and_ends_with_the_run(api: Api) -> None:
    run = api.submit(shell("a", "sleep 0.3"))
    followed = follow(api, f"/runs/{run['id']}/events")
    kept = api.call("GET", f"/runs/{run['id']}/events")["items"]
    assert [data for event, _, data in followed if event != "end"] == kept
    assert (followed[-1][0], followed[-1][2]) == ("end", {"state": "succeeded"})


def test_a_broken_history_resumes_after_the_last_event_seen(api: Api) -> None:
    run = api.submit(shell("a", "sleep 0.3"))
    first = follow(api, f"/runs/{run['id']}/events", stop_after=2)
    rest = follow(api, f"/runs/{run['id']}/events", last=first[-1][1])
    total = api.wait(run)["seq"]
    assert [identifier for _, identifier, _ in first + rest[:-1]] == list(range(1, total + 1))


def test_many_followers_of_one_run_all_see_its_end(api: Api) -> None:
    run = api.submit(shell("a", "sleep 0.5"))
    ends: list[str] = []
    threads = [
        threading.Thread(target=lambda: ends.append(follow(api, f"/runs/{run['id']}/events")[-1][0])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ends == ["end"] * 20


def test_a_log_is_given_byte_for_byte(api: Api) -> None:
    task = api.wait(api.submit(shell("a", "printf 'one\\ntwo \\377\\303\\251'")))["tasks"][0]
    answer = api.http.get(f"/api/v1/task-runs/{task['id']}/log")
    assert answer.content == b"one\ntwo \xff\xc3\xa9"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    ("header", "content", "said"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_a_range_of_a_log_is_given(api: Api, digits: str, header: str, content: bytes, said: str) -> None:
    answer = api.http.get(digits, headers={"Range": header})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, content, said)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=-0"])
def test_a_range_that_holds_nothing_is_refused_with_the_size(api: Api, digits: str, header: str) -> None:
    answer = api.http.get(digits, headers={"Range": header})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


@pytest.mark.parametrize("header", ["lines=1-2", "bytes=0-1,3-4", "bytes=-", "bytes=a-b"])
def test_a_range_of_another_form_is_answered_with_the_whole(api: Api, digits: str, header: str) -> None:
    assert api.http.get(digits, headers={"Range": header}).content == b"0123456789"


@pytest.fixture(scope="module")
def digits(api: Api) -> str:
    task = api.wait(api.submit(shell("a", "printf 0123456789")))["tasks"][0]
    return f"/api/v1/task-runs/{task['id']}/log"


def test_an_empty_log_is_an_empty_answer(api: Api) -> None:
    task = api.wait(api.submit())["tasks"][0]
    answer = api.http.get(f"/api/v1/task-runs/{task['id']}/log")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_followed_log_comes_as_it_grows_and_ends_with_the_attempt(api: Api) -> None:
    run = api.submit(shell("a", "echo one; sleep 0.6; printf 'z\\303'; sleep 0.4; printf '\\251'"))
    task = api.call("GET", f"/runs/{run['id']}")["tasks"][0]
    began = time.monotonic()
    pieces = follow(api, f"/task-runs/{task['id']}/log")
    assert pieces[-1][0] == "end"
    assert "".join(data["text"] for event, _, data in pieces if event == "log") == "one\nz\u00e9"
    assert len(pieces) > 2
    assert time.monotonic() - began < 10
    assert pieces[-2][1] == len("one\nz\u00e9".encode())


def test_a_broken_log_resumes_at_the_byte_after_the_last_piece(api: Api) -> None:
    run = api.submit(shell("a", "echo one; sleep 0.6; echo two"))
    task = api.call("GET", f"/runs/{run['id']}")["tasks"][0]
    path = f"/task-runs/{task['id']}/log"
    first = follow(api, path, stop_after=1)
    rest = follow(api, path, last=first[0][1])
    assert first[0][2]["text"] + "".join(data.get("text", "") for _, _, data in rest) == "one\ntwo\n"


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30])
def test_an_id_that_no_stream_gave_is_refused(api: Api, last: str) -> None:
    run = api.submit()
    api.refused("GET", f"/runs/{run['id']}/events", 400, headers={**STREAM, "Last-Event-ID": last})


def test_a_stream_of_what_does_not_exist_is_not_found(api: Api) -> None:
    api.refused("GET", "/runs/123/events", 404, headers=STREAM)
    api.refused("GET", "/task-runs/123/log", 404, headers=STREAM)


def test_head_of_a_stream_ends(api: Api) -> None:
    run = api.submit(shell("a", "sleep 1"))
    assert api.http.head(f"/api/v1/runs/{run['id']}/events", headers=STREAM).status_code == 200
