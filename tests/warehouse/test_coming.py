"""Large CSV files are read while they still come; whatever happens to the rest, the table is whole or as before."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runyard.core.actions import Load
from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.coming import Coming
from runyard.warehouse.tasks import Task
from tests.warehouse.desk import Desk, below
from tests.warehouse.server import Files

WIDE = "x" * 1000
ROWS = 40_000
BODY = b"n,t\n" + b"".join(b"%d,%s\n" % (n, WIDE.encode()) for n in range(ROWS))
HALF = 36_000_000
COUNTED = [[ROWS, sum(range(ROWS))]]


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


def load(url: str, table: str, **fields: object) -> Load:
    given = {"columns": {"n": "BIGINT", "t": "VARCHAR"}, **fields}
    return Load(source=url, table=table, **given)  # type: ignore[arg-type]


def counted(desk: Desk, table: str) -> object:
    return desk.rows(f"SELECT count(*), sum(n)::BIGINT FROM {table}")


def pipes(desk: Desk) -> list[Path]:
    return list(desk.home.glob("warehouse/default.spool/*/*.pipe"))


def until(desk: Desk, number: int) -> None:
    """Waits until DuckDB reads what has come of a task's file."""
    deadline = time.monotonic() + 10
    while not [pipe for pipe in pipes(desk) if pipe.name.startswith(f"{number}-")]:
        assert time.monotonic() < deadline
        assert not desk.ended(number), desk.ended(number)
        time.sleep(0.01)


def fractions(desk: Desk, number: int) -> list[float]:
    """What was told of the reading, not of the download."""
    return [one.data["fraction"] for one in desk.progress(number) if list(one.data) == ["fraction"]]


class Held:
    """A URL that gives half of the body, and then waits to be told to go on, or to break off."""

    def __init__(self, files: Files, path: str, body: bytes = BODY) -> None:
        self.url, self._told, self._rest, self._body = files.url(path), threading.Event(), b"", body
        files.paths[path] = self.answer

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(self._body)))
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(self._body[:HALF])
            self._told.wait(10)
            request.wfile.write(self._rest)

    def go_on(self) -> None:
        self._rest = self._body[HALF:]
        self._told.set()

    def break_off(self) -> None:
        self._told.set()


def ended(desk: Desk, number: int) -> Outcome:
    outcome = desk.wait(number, 20)
    assert pipes(desk) == []
    assert list(desk.home.glob("warehouse/default.spool/*/*")) == []
    return outcome


def test_a_large_file_is_read_before_all_of_it_has_come(shared: Desk, files: Files) -> None:
    held = Held(files, "/early.csv")
    number = shared.start(load(held.url, "early"))
    until(shared, number)
    held.go_on()
    outcome = ended(shared, number)
    assert outcome.metrics["rows"] == ROWS, outcome.detail
    assert outcome.metrics["bytes"] == len(BODY)
    assert counted(shared, "early") == COUNTED


def test_a_file_of_which_nobody_says_how_long_it_is_is_waited_for(shared: Desk, files: Files) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for start in range(0, len(BODY), 1 << 20):
            request.wfile.write(BODY[start : start + (1 << 20)])
            time.sleep(0.005)

    files.paths["/long.csv"] = answer
    number = shared.start(load(files.url("/long.csv"), "long"))
    while not (pipes(shared) or shared.ended(number)):
        time.sleep(0.001)
    sizes = [path.stat().st_size for path in shared.home.glob("warehouse/*.spool/*/*.data")]
    assert sizes in ([len(BODY)], []), "none where all was over before we looked"
    assert ended(shared, number).metrics["bytes"] == len(BODY)
    assert counted(shared, "long") == COUNTED


def test_a_file_that_comes_slowly_is_read_when_its_rest_needs_no_longer_than_the_reading(tmp_path: Path) -> None:
    here, there = socket.socketpair()
    path, task = (
        tmp_path / "file",
        Task(Assignment(run_id=1, task_run_id=1, token=1, task_key="t", action=load("", "t"))),
    )
    path.write_bytes(b"x" * 2000)
    coming = Coming(here, path, task, lambda data: None)
    with there, contextlib.closing(coming), ThreadPoolExecutor(1) as other:
        there.sendall(b'{"bytes": 1, "content_type": "text/csv", "total": 10000, "again": 0}\n')
        time.sleep(0.5)  # 4,000 bytes a second at most: 2 seconds for the rest, and 1 to read all
        begun = other.submit(coming.begins, 1000, 10_000)
        with pytest.raises(TimeoutError):
            begun.result(0.2)
        path.write_bytes(b"x" * 9900)
        assert begun.result(10)


def test_what_was_read_of_a_file_that_still_comes_is_told(shared: Desk, files: Files) -> None:
    held = Held(files, "/told.csv")
    number = shared.start(load(held.url, "told"))
    until(shared, number)
    deadline = time.monotonic() + 10
    while not fractions(shared, number):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    held.go_on()
    assert ended(shared, number).metrics["rows"] == ROWS
    found = fractions(shared, number)
    assert found == sorted(found)
    assert 0 < found[0] < HALF / len(BODY)


def test_bad_rows_of_a_file_that_still_comes_are_put_aside_and_counted(shared: Desk, files: Files) -> None:
    bad = BODY + b"no number,t\n" + b"1,2,3\n" + b"5,last\n"
    held = Held(files, "/bad.csv", bad)
    number = shared.start(load(held.url, "mixed"))
    until(shared, number)
    held.go_on()
    outcome = ended(shared, number)
    found = {name: outcome.metrics[name] for name in ("rows", "quarantine_rows", "invalid_lines")}
    assert found == {"rows": ROWS + 1, "quarantine_rows": 1, "invalid_lines": 1}, outcome.detail
    assert shared.rows("SELECT n, t, c__error_column FROM mixed_quarantine") == [["no number", "t", ["n"]]]
    assert outcome.output["invalid_sample"][0]["line"] == ROWS + 3


def test_a_file_whose_lines_end_otherwise_in_its_second_half_is_read_once_more(shared: Desk, files: Files) -> None:
    mixed = BODY[:HALF] + BODY[HALF:].replace(b"\n", b"\r\n")
    held = Held(files, "/mixed_ends.csv", mixed)
    number = shared.start(load(held.url, "mixed_ends"))
    until(shared, number)
    held.go_on()
    outcome = ended(shared, number)
    assert outcome.metrics["rows"] == ROWS, outcome.detail
    assert counted(shared, "mixed_ends") == COUNTED
    assert shared.rows("SELECT DISTINCT length(t) FROM mixed_ends") == [[len(WIDE)]]


def test_a_file_that_breaks_off_while_it_is_read_is_resumed(shared: Desk, files: Files) -> None:
    held = Held(files, "/cut.csv")
    number = shared.start(load(held.url, "cut"))
    until(shared, number)
    files.serve("/cut.csv", BODY)
    held.break_off()
    outcome = ended(shared, number)
    assert outcome.result == "succeeded", outcome.detail
    assert counted(shared, "cut") == COUNTED
    assert [asked is not None for _, asked in files.asked] == [False, True]


@pytest.mark.parametrize(("then", "said"), [("whole", "begun anew"), ("nothing", "broke off")])
def test_a_file_of_which_half_was_read_in_vain_changes_nothing(
    shared: Desk, files: Files, then: str, said: str
) -> None:
    table = f"before_{then}"
    shared.run(f"CREATE TABLE {table} AS SELECT 1::BIGINT AS n, 'kept' AS t")
    held = Held(files, "/half.csv")
    number = shared.start(load(held.url, table, mode="replace"))
    until(shared, number)
    files.cut_off("/half.csv", BODY, 0, times=1 if then == "whole" else 99, ranges=False)
    held.break_off()
    outcome = ended(shared, number)
    assert (outcome.result, outcome.retry) == ("failed", True)
    assert said in outcome.detail
    assert shared.rows(f"FROM {table}") == [[1, "kept"]]


def test_a_killed_downloader_changes_nothing_and_the_next_attempt_loads_the_rows_once(
    shared: Desk, files: Files
) -> None:
    shared.run("CREATE TABLE killed AS SELECT 1::BIGINT AS n, 'kept' AS t")
    held = Held(files, "/killed.csv")
    action = load(held.url, "killed", mode="replace")
    number = shared.start(action)
    until(shared, number)
    downloaders = below(shared.pid())
    assert len(downloaders) == 2, "the one that forks, and its child"
    for pid in downloaders:
        os.kill(pid, signal.SIGKILL)
    outcome = ended(shared, number)
    assert (outcome.result, outcome.retry) == ("failed", True), outcome
    assert shared.rows("FROM killed") == [[1, "kept"]]
    held.go_on()
    assert ended(shared, shared.start(action, token=2, same_as=number)).result == "succeeded"
    assert counted(shared, "killed") == COUNTED


def test_a_load_of_a_file_that_stays_away_is_cancelled_within_two_seconds(shared: Desk, files: Files) -> None:
    held = Held(files, "/silent.csv")
    number = shared.start(load(held.url, "silent"))
    until(shared, number)
    time.sleep(0.2)  # what has come is read
    began = time.monotonic()
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number, 5).result == "stopped"
    assert time.monotonic() - began < 2
    held.break_off()
    assert shared.run("FROM silent").result == "failed"
    assert pipes(shared) == []
