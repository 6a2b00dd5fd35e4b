"""No-op runs to a recorded success: all queued first, then the queue is opened."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import load, peers, report, server
from bench.report import ms, whole
from bench.submit import SQL

PYTHON = {"key": "one", "action": {"kind": "python", "source": "pass"}}
COLUMNS = ("what", "data on", "runs", "runs/s", "low-high", "server CPU us", "helpers CPU us", "flush ms")


def measure(given: argparse.Namespace) -> report.Table:
    """One table: SQL and Python here, beside the peers and the bare limits."""
    trials, sql, python = (1, 1000, 100) if given.quick else (5, 3000, 300)
    rows: list[list[object]] = []
    for where, place in report.places():
        rows.append(_row("Runyard, SELECT n", where, sql, _ours(place, SQL, sql, trials), place))
        rows.append(
            _row("Runyard, Python in a fresh process", where, python, _ours(place, PYTHON, python, trials), place)
        )
        for name in ("huey-full", "dbos"):
            count = 300 if name == "dbos" or where == "disk" else 1000
            found = peers.ask(name, "drain", place, workers=4, count=count)
            rows.append(_row(f"{peers.ENQUEUERS[name]}: Python in its own process", where, count, found, place))
    rows += [["limit: bare DuckDB, one thread, execute + fetchall", "-", 2000, *_bare(_duckdb)]]
    rows += [["limit: a bare Python forks twice and waits, 2 at a time", "-", 300, *_bare(_forks)]]
    rows += [["limit: start python -S -c pass, 2 at a time", "-", 60, *_bare(_pythons)]]
    notes = [
        "Runyard: runs of a kept job with one parameter are submitted to a paused queue, the queue is opened, and the "
        "clock stops when no run is live; submitting is not in it. The SQL is `SELECT $n`, a query of its own each.",
        "Checked on every run of the last trial: it succeeded, the output of the SQL is its own n, and its history "
        "(submitted; running; task starting, running, succeeded; succeeded) is numbered without gaps.",
        "CPU is user and system time of the server process, and of its helpers (fork server, launchers, tasks; "
        "warehouse), a run: it tells what a run costs where other programs share the machine.",
    ]
    return report.Table("noop", "no-op runs to a recorded success a second, one node", COLUMNS, rows, notes)


def _row(what: str, where: str, count: int, found: dict[str, float], place: Path) -> list[object]:
    cpu = [whole(found[name] * 1e6) if name in found else "-" for name in ("server", "helpers")]
    spread = f"{whole(found['low'])}-{whole(found['high'])}" if "low" in found else "-"
    return [what, where, count, whole(found["rate"]), spread, *cpu, ms(report.flush_cost(place, 40))]


def _ours(place: Path, task: dict[str, Any], count: int, trials: int) -> dict[str, float]:
    with server.server(place) as one:
        job = one.api.job("noop", task, parameters={"n": 0}, queue="bench")
        one.api.wait(one.api.submit(job=job))
        ids: list[int] = []

        def trial() -> dict[str, float]:
            ids[:] = _queue(one.api, job, count)
            return _drain(one, count)

        found = report.repeated(trials, trial)
        _check(one, ids, values=task is SQL)
    return found


def _queue(api: server.Api, job: int, count: int) -> list[int]:
    api.pause("bench", True)
    return api.submit_many([{"job": job, "parameters": {"n": n}} for n in range(count)])


def _drain(one: server.Server, count: int) -> dict[str, float]:
    mine, others = server.cpu_seconds(one.pid)
    begun = time.perf_counter()
    one.api.pause("bench", False)
    one.api.wait_until_over()
    seconds = time.perf_counter() - begun
    mine_after, others_after = server.cpu_seconds(one.pid)
    return {
        "rate": count / seconds,
        "server": (mine_after - mine) / count,
        "helpers": (others_after - others) / count,
    }


def _check(one: server.Server, ids: list[int], *, values: bool) -> None:
    shown = [json.loads(body) for body in load.run(one.url, [("GET", f"/runs/{id_}", None) for id_ in ids]).bodies]
    assert Counter(run["state"] for run in shown) == {"succeeded": len(ids)}, "not every run succeeded"
    history = load.run(one.url, [("GET", f"/runs/{id_}/events", None) for id_ in ids]).bodies
    for body in history:
        events = json.loads(body)["items"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), events
        assert [event["state"] for event in events].count("succeeded") == 2, events
    if values:
        tasks = [run["tasks"][0]["id"] for run in shown]
        outputs = load.run(one.url, [("GET", f"/task-runs/{id_}/output", None) for id_ in tasks]).bodies
        assert [json.loads(body)["rows"] for body in outputs] == [[[n]] for n in range(len(ids))], "a value is wrong"


def _bare(measure: Callable[[], float]) -> list[object]:
    found = report.repeated(5, lambda: {"rate": measure()})
    return [whole(found["rate"]), f"{whole(found['low'])}-{whole(found['high'])}", "-", "-", "-"]


def _duckdb() -> float:
    text = (
        "import duckdb, time; c = duckdb.connect(); b = time.perf_counter()\n"
        "for n in range(2000): assert c.execute('SELECT $n AS n', {'n': n}).fetchall() == [(n,)]\n"
        "print(2000 / (time.perf_counter() - b))"
    )
    return float(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)


def _forks() -> float:
    text = (
        "import os, time; b = time.perf_counter()\n"
        "for n in range(150):\n"
        "    for _ in range(2):\n"
        "        if os.fork() == 0:\n"
        "            if os.fork(): os.wait()\n"
        "            os._exit(0)\n"
        "    os.wait(), os.wait()\n"
        "print(300 / (time.perf_counter() - b))"
    )
    return float(subprocess.run([sys.executable, "-S", "-c", text], capture_output=True, text=True, check=True).stdout)


def _pythons() -> float:
    begun = time.perf_counter()
    for _ in range(30):
        both = [subprocess.Popen([sys.executable, "-S", "-c", "pass"]) for _ in range(2)]
        for one in both:
            one.wait()
    return 60 / (time.perf_counter() - begun)
