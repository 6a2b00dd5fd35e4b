"""Exports to http(s) URLs, as presigned ones are: sent whole by PUT, to checked addresses only."""

from __future__ import annotations

import gzip
import http.server
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Export
from runyard.net import addresses
from runyard.warehouse.sending import Send, send
from tests.warehouse.desk import Desk, below

SIGNED = "?X-Amz-Signature=5ecret&X-Amz-Expires=60"


class Store:
    """Keeps what is put; the next answers may be others."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, str | None]] = {}
        self.asked: list[str] = []
        self.next: list[int | str] = []
        """A status, `break` (the connection ends while the body comes) or `wait`."""
        self.go = threading.Event()
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                store.asked.append(self.path)
                then = store.next.pop(0) if store.next else 200
                if then == "wait":
                    store.go.wait(10)
                if then == "break":
                    return
                if then == 403:  # before the body was read
                    return self.answer(then)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if then == 200:
                    store.kept[self.path] = body, self.headers["Content-Type"]
                self.answer(int(then) if isinstance(then, int) else 200)

            def answer(self, status: int) -> None:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def store() -> Iterator[Store]:
    one = Store()
    yield one
    one.close()


def export(desk: Desk, url: str, rows: int = 1000, **fields: Any) -> Any:
    statement = f"SELECT range AS n, repeat('x', 100) AS t FROM range({rows})"
    return desk.run(Export(statement=statement, target=url, **fields))


def test_the_file_is_put_whole_under_the_signed_url(shared: Desk, store: Store) -> None:
    outcome = export(shared, f"{store.url}/out/rows.csv.gz{SIGNED}", rows=50_000)
    assert outcome.result == "succeeded", outcome.detail
    body, kind = store.kept[f"/out/rows.csv.gz{SIGNED}"]
    assert (gzip.decompress(body).count(b"\n"), kind) == (50_001, "application/gzip")
    assert (outcome.metrics["rows"], outcome.metrics["bytes"]) == (50_000, len(body))
    assert outcome.output["target"] == f"{store.url}/out/rows.csv.gz"


@pytest.mark.parametrize(
    ("form", "kind"),
    [("csv", "text/csv"), ("ndjson", "application/x-ndjson"), ("parquet", "parquet"), ("arrow", "arrow.file")],
)
def test_the_content_type_says_the_format(shared: Desk, store: Store, form: str, kind: str) -> None:
    assert export(shared, f"{store.url}/x.{form}{SIGNED}").result == "succeeded"
    assert kind in str(store.kept[f"/x.{form}{SIGNED}"][1])
    assert "does not tell its format" in export(shared, f"{store.url}/x{SIGNED}").detail
    assert export(shared, f"{store.url}/x{SIGNED}", format=form).result == "succeeded"


@pytest.mark.parametrize("first", [503, "break"])
def test_a_service_that_stumbles_is_asked_again(shared: Desk, store: Store, first: int | str) -> None:
    store.next = [first]
    outcome = export(shared, f"{store.url}/again.csv", rows=100_000)
    assert outcome.result == "succeeded", outcome.detail
    assert (len(store.asked), len(store.kept["/again.csv"][0])) == (2, outcome.metrics["bytes"])


@pytest.mark.parametrize(("status", "asked"), [(403, 1), (307, 1), (404, 1), (500, 3)])
def test_a_service_that_refuses_fails_the_run_with_one_sentence_and_no_signature(
    shared: Desk, store: Store, status: int, asked: int
) -> None:
    store.next = [status] * 9
    outcome = export(shared, f"{store.url}/no.csv{SIGNED}", rows=200_000)
    assert (outcome.result, outcome.retry) == ("failed", status == 500)
    assert f"answered {status}" in outcome.detail
    assert "5ecret" not in str(outcome)
    assert (len(store.asked), store.kept) == (asked, {})


def test_a_repeated_export_sends_nothing_again(shared: Desk, store: Store) -> None:
    action = Export(statement="SELECT 1 AS n", target=f"{store.url}/once.csv")
    first = shared.start(action)
    before = shared.wait(first)
    assert before.result == "succeeded", before.detail
    assert shared.wait(shared.start(action, token=2, same_as=first)) == before
    assert store.asked == ["/once.csv"]


def test_an_export_whose_target_stays_silent_is_cancelled_within_two_seconds(shared: Desk, store: Store) -> None:
    store.next = ["wait"]
    number = shared.start(Export(statement="SELECT 1 AS n", target=f"{store.url}/silent.csv"))
    until = time.monotonic() + 10
    while not store.asked and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number, 5).result == "stopped"
    assert time.monotonic() - began < 2


def test_a_killed_sender_fails_the_attempt_and_the_next_one_sends_the_file(shared: Desk, store: Store) -> None:
    store.next = ["wait"]
    action = Export(statement="SELECT 1 AS n", target=f"{store.url}/killed.csv")
    number = shared.start(action)
    until = time.monotonic() + 10
    while not store.asked and time.monotonic() < until:
        time.sleep(0.01)
    for pid in below(shared.pid()):
        os.kill(pid, signal.SIGKILL)
    outcome = shared.wait(number, 5)
    assert (outcome.result, outcome.retry) == ("failed", True), outcome
    store.go.set()
    assert shared.wait(shared.start(action, token=2, same_as=number), 5).result == "succeeded"
    assert store.kept["/killed.csv"][0] == b"n\n1\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("guarded"), allow_private_urls=False)
    yield desk
    desk.close()


HOSTS = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0", "127.1"]


@pytest.mark.parametrize("host", HOSTS)
def test_no_rows_leave_for_an_address_that_is_not_public(guarded: Desk, store: Store, host: str) -> None:
    port = store.url.rpartition(":")[2]
    outcome = export(guarded, f"http://{host}:{port}/x.csv{SIGNED}")
    assert (outcome.result, outcome.retry) == ("failed", False)
    assert store.asked == []


@pytest.mark.parametrize("target", ["http://", "http://a:b@127.0.0.1/x.csv", "ftp://127.0.0.1/x.csv", "file:///x.csv"])
def test_a_url_that_is_none_is_refused(shared: Desk, target: str) -> None:
    outcome = export(shared, target, format="csv")
    assert (outcome.result, outcome.retry, outcome.reason) == ("failed", False, "sql_error")


def test_the_connection_goes_to_the_address_that_was_checked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers otherwise the second time gains nothing."""
    answers: Iterator[str] = iter(["192.0.0.9", *["127.0.0.1"] * 9])  # public by the registry, and nobody's
    tried: list[str] = []

    def connect(address: tuple[str, int], **more: Any) -> socket.socket:
        tried.append(address[0])
        raise OSError("nobody is there")

    found: Callable[..., Any] = lambda host, port, **more: [(socket.AF_INET, 1, 6, "", (next(answers), port))]  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "x").write_text("n\n1\n")
    asked = Send(
        url=f"http://rebinding.example:{store.url.rpartition(':')[2]}/x.csv", path=str(tmp_path / "x"),
        content_type="text/csv", allow_private=False, max_seconds=3.0, silent_seconds=1.0,
    )  # fmt: skip
    with pytest.raises(addresses.Refused, match="not public"):
        send(asked, lambda line: None)
    assert tried == ["192.0.0.9"]
    assert store.asked == []
