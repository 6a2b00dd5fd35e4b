"""Idle latency: from the client's send to the first instruction of the body."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import kept, peers, report, server
from bench.report import ms, percentile

SQL = {"key": "one", "action": {"kind": "sql", "statement": "SELECT epoch_us(get_current_timestamp()) AS at"}}
PYTHON = {
    "key": "one",
    "action": {
        "kind": "python",
        "source": "import time; at = time.time_ns()\nfrom runyard import context\ncontext.set_value('at', str(at))",
    },
}
IDLE_SECONDS = 0.05
COLUMNS = ("what", "data on", "times", "p50 ms", "p95 ms", "flush ms")


def measure(given: argparse.Namespace) -> report.Table:
    """One table over both stores, disk and memory."""
    times = 20 if given.quick else 60
    rows: list[list[object]] = []
    for where, place in report.places():
        for kind in kept.STORES:
            with kept.stores(kind, place, (0,)) as [store]:
                rows += _ours(where, place, store, times)
        rows += _peers(where, place, 5 if given.quick else 15)
        report.tell(f"latency: {where} done")
    notes = [
        "Runyard: POST /api/v1/runs of a kept job over a kept connection, 50 ms of idleness before each. The time is "
        "taken before the request is sent; the body says when it began, by the same clock of the same machine.",
        "SQL: `get_current_timestamp()` is when DuckDB began the query's transaction, in microseconds. Against a clock "
        f"around a bare query it lies {_clock_check()} after the call (median), so it is the query's first moment.",
        "Python: the script's first statement is `time.time_ns()`; the value is read back through the API.",
        "A run starts after its submission is on disk, so one flush is the least that a durable start can take.",
        "DBOS polls once a second by default, so few of its starts fit into a benchmark.",
    ]
    return report.Table("latency", "idle latency, client send to first instruction", COLUMNS, rows, notes)


def _ours(where: str, place: Path, store: kept.Store, times: int) -> list[list[object]]:
    rows: list[list[object]] = []
    with server.server(place, data=store.data, **store.settings) as one:
        for what, task in (("SQL", SQL), ("Python in a fresh process", PYTHON)):
            job = one.api.job("clock", task)
            for _ in range(3):
                _began(one.api, job, task)
            flush = report.flush_cost(place, 40)
            found = [_once(one.api, job, task) for _ in range(times)]
            shown = [ms(percentile(found, share)) for share in (0.5, 0.95)]
            rows.append([f"Runyard, {store.kind}, {what}", where, times, *shown, ms(flush)])
    return rows


def _once(api: server.Api, job: int, task: dict[str, Any]) -> float:
    time.sleep(IDLE_SECONDS)
    sent = time.time_ns()
    seconds = (_began(api, job, task) - sent) / 1e9
    assert seconds > 0, "the body began before it was asked for"
    return seconds


def _began(api: server.Api, job: int, task: dict[str, Any]) -> int:
    """Nanoseconds since 1970 at which the body says it began."""
    run = api.submit(job=job)
    time.sleep(0.01)
    shown = api.wait(run)
    assert shown["state"] == "succeeded", shown
    if task is SQL:
        return int(api.ask("GET", f"/task-runs/{shown['tasks'][0]['id']}/output")["rows"][0][0]) * 1000
    return int(shown["tasks"][0]["values"]["at"])


def _peers(where: str, place: Path, times: int) -> list[list[object]]:
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("huey-full", "polling as by default", {"polling": {}}),
        ("huey-full", "polling every 1 ms", {"polling": {"initial_delay": 0.001, "max_delay": 0.001}}),
        ("dbos", "polling as by default", {"polling": 1.0}),
        ("dbos", "polling every 10 ms", {"polling": 0.01}),
        ("procrastinate", "notified", {}),
    ]
    rows: list[list[object]] = []
    for name, how, polling in asked:
        with peers.database(name, place) as more:
            found = peers.ask(name, "latency", place, count=times, **polling, **more)
        flush = ms(report.flush_cost(place, 40))
        rows.append([f"{peers.ENQUEUERS[name]}, {how}", where, times, ms(found["p50"]), ms(found["p95"]), flush])
    return rows


def _clock_check() -> str:
    text = (
        "import duckdb, time; c = duckdb.connect(); found = []\n"
        "for n in range(200):\n"
        "    before = time.time_ns()\n"
        "    at = c.execute('SELECT epoch_us(get_current_timestamp())').fetchone()[0]\n"
        "    found.append(at - before // 1000)\n"
        "print(sorted(found)[100])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return f"{json.loads(done.stdout)} us"
