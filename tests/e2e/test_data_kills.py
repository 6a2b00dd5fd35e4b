"""The server, the warehouse process and the downloader are killed at random points: every effect is there, once."""

from __future__ import annotations

import contextlib
import http.server
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, sql, wait
from tests.warehouse.server import Files

ROWS = 400
RETRIES = {"max": 20, "delay": 0}
VIEW = "SELECT who, count(*) AS n, sum(v) AS s FROM events GROUP BY who"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, grace=1) as one:
        yield one


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


def processes(word: str, folder: Path) -> list[int]:
    """Living processes of this test's server whose command line holds a word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line, state, _ = look(entry.name)
            if word in line and state not in "ZX" and belongs(entry.name, folder):
                found.append(int(entry.name))
    return found


def look(pid: str) -> tuple[str, str, str]:
    """The command line of a process, its state and its parent."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return line, state, parent


def belongs(pid: str, folder: Path) -> bool:
    """Whether a process, its parent or the parent's parent names the folder."""
    for _ in range(3):
        line, _, pid = look(pid)
        if str(folder) in line:
            return True
    return False


def slow(files: Files, path: str, body: bytes) -> str:
    """A URL whose answer takes some time, so that a kill meets it."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        with contextlib.suppress(OSError):
            for place in range(start, len(body), 2000):
                request.wfile.write(body[place : place + 2000])
                time.sleep(0.01)

    files.paths[path] = answer
    return files.url(path)


def work(files: Files, number: int) -> list[dict[str, Any]]:
    """One of each kind; every one leaves rows that tell whether it happened, and how often."""
    body = b"who,v\n" + b"".join(b"load%d,%d\n" % (number, v) for v in range(ROWS))
    return [
        {"kind": "load", "source": slow(files, f"/{number}.csv", body), "table": "events", "mode": "append"},
        sql(f"INSERT INTO events SELECT 'sql{number}', range FROM range({ROWS})"),
        {
            "kind": "copy",
            "statement": f"SELECT 'copy{number}' AS who, range AS v FROM range(50_000)",
            "table": "copied",
            "partition_by": "who",
        },
        {"kind": "copy", "statement": f"SELECT 'c{number}' AS who, range AS v FROM range({ROWS})", "table": "events"},
        {"kind": "delete", "table": "copied", "where": f"who = 'copy{number - 1}'"},
        {"kind": "materialize", "view": "by_who", "truncate": True, "chunk_rows": 2000},
        {"kind": "export", "statement": f"SELECT {number} AS n FROM range(1000)", "target": f"out{number}.csv"},
    ]


def kill(service: Service, chance: random.Random) -> str:
    """Kills one of the three, if it is there just now."""
    what = chance.choice(["process", "process", "download", "server"])
    if what == "server":
        service.kill()
        service.start()
        return what
    for pid in processes(f"runyard.warehouse.{what}", service.data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return what


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.long)])
def test_after_kills_at_random_points_every_effect_is_there_once(service: Service, files: Files, kills: int) -> None:
    service.rows("CREATE TABLE events (who VARCHAR, v BIGINT)")
    empty = "SELECT 'x' AS who, 1::BIGINT AS v LIMIT 0"
    service.ended(service.submit({"kind": "copy", "statement": empty, "table": "copied", "partition_by": "who"}))
    service.post("/views", {"name": "by_who", "source": "events", "statement": VIEW, "target": "by_who"})
    chance, killed = random.Random(kills), dict.fromkeys(("process", "download", "server"), 0)
    for number in range(kills):
        runs = [service.submit(action, retries=RETRIES) for action in work(files, number)]
        time.sleep(chance.uniform(0, 0.2))
        killed[kill(service, chance)] += 1
        for run_id in runs:
            run = service.ended(run_id)
            assert run["state"] == "succeeded", run
            assert len(service.terminal_events(run_id)) == 1
    assert min(killed.values()) >= 2, killed

    expected = sorted(
        [f"{kind}{number}", ROWS, sum(range(ROWS))] for kind in ("load", "sql", "c") for number in range(kills)
    )
    assert service.rows("SELECT who, count(*), sum(v)::BIGINT FROM events GROUP BY who ORDER BY who") == expected
    merged = "SELECT who, sum(n)::BIGINT, sum(s)::BIGINT FROM by_who GROUP BY who ORDER BY who"
    assert service.rows(merged) == expected
    assert service.rows("SELECT who, count(*) FROM copied GROUP BY who") == [[f"copy{kills - 1}", 50_000]]
    assert service.get("/tables/copied")["partition_by"] == "who"
    out = service.data / "files"
    assert sorted(path.name for path in out.iterdir()) == sorted(f"out{number}.csv" for number in range(kills))
    assert {path.read_text().count("\n") for path in out.iterdir()} == {1001}


def test_an_orphan_of_a_killed_server_commits_nothing_late(service: Service) -> None:
    service.rows("CREATE TABLE late (n BIGINT)")
    statement = "INSERT INTO late SELECT count(*) FROM range(20_000) a, range(10_000) b WHERE a.range + b.range > 5"
    run_id = service.submit(sql(statement))
    service.in_state(run_id, "running")
    (orphan,) = processes("runyard.warehouse.process", service.data)
    os.kill(orphan, signal.SIGSTOP)  # it does not even see that its server is gone
    service.kill()
    service.start()
    with contextlib.suppress(ProcessLookupError):
        os.kill(orphan, signal.SIGCONT)
    assert service.ended(run_id)["state"] == "succeeded"
    wait(lambda: orphan not in processes("runyard.warehouse.process", service.data))
    assert service.rows("SELECT count(*) FROM late") == [[1]]
