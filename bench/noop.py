"""No-op runs to a recorded success: all queued first, then the queue is opened."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import kept, load, peers, report, server
from bench.report import ms, whole
from bench.submit import SQL

PYTHON = {"key": "one", "action": {"kind": "python", "source": "pass"}}
COLUMNS = (
    "what", "runs kept", "data on", "runs", "runs/s", "low-high", "server CPU us", "helpers CPU us",
    "database CPU us", "CPU to small", "flush ms",
)  # fmt: skip


def measure(given: argparse.Namespace) -> report.Table:
    """One table: SQL and Python here, on both stores, beside the peers and the bare limits."""
    trials, sql, python = (1, 1000, 100) if given.quick else (3, 3000, 300)
    sizes = kept.sizes(given.runs, given.quick)
    rows: list[list[object]] = []
    for where, place in report.places():
        for kind in kept.STORES:
            with kept.stores(kind, place, sizes, sizes[1:]) as stores:
                rows += _ours(where, place, stores, trials, (sql, python))
            report.tell(f"noop: {kind} on {where} done")
        rows += _peers(where, place)
        report.tell(f"noop: peers on {where} done")
    rows += [["limit: bare DuckDB, one thread, execute + fetchall", "-", "-", 2000, *_bare(_duckdb)]]
    rows += [["limit: a bare Python forks twice and waits, 2 at a time", "-", "-", 300, *_bare(_forks)]]
    rows += [["limit: start python -S -c pass, 2 at a time", "-", "-", 60, *_bare(_pythons)]]
    notes = [
        "Runyard: runs of a kept job with one parameter are submitted to a paused queue, the queue is opened, and the "
        "clock stops when no run of it is live; submitting is not in it. The SQL is `SELECT $n`, a query of its own "
        "each. Servers on a small and on a large store take turns, trial by trial.",
        "Checked on every run of the last trial: it succeeded, the output of the SQL is its own n, and its history "
        "(submitted; running; task starting, running, succeeded; succeeded) is numbered without gaps.",
        "CPU is user and system time a run: of the server process, of its helpers (fork server, launchers, tasks; "
        "warehouse), and of PostgreSQL's processes. `CPU to small` is the sum of server and database divided by that "
        f"with {sizes[1]:,} runs kept; wanted: at most 1.2.",
        "Peers have nothing kept; Procrastinate runs on a PostgreSQL that is set up like ours, in the same place.",
    ]
    return report.Table("noop", "no-op runs to a recorded success a second, one node", COLUMNS, rows, notes)


def _peers(where: str, place: Path) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in ("huey-full", "dbos", "procrastinate"):
        count = 1000 if name == "huey-full" and where == "memory" else 300
        with peers.database(name, place) as more:
            found = peers.ask(name, "drain", place, workers=4, count=count, **more)
        what = f"{peers.ENQUEUERS[name]}: Python in its own process"
        flush = ms(report.flush_cost(place, 40))
        rows.append([what, "0", where, count, whole(found["rate"]), *["-"] * 5, flush])
    return rows


def _ours(
    where: str, place: Path, stores: list[kept.Store], trials: int, counts: tuple[int, int]
) -> list[list[object]]:
    rows: list[list[object]] = []
    with ExitStack() as stack:
        some = [_One(stack, store, place) for store in stores]
        for what, task, count in (("SELECT n", SQL, counts[0]), ("Python in a fresh process", PYTHON, counts[1])):
            asked = some if task is SQL else some[:1]
            turns = [[one.trial(task, count) for one in asked] for _ in range(trials)]
            for n, one in enumerate(asked):
                one.check(values=task is SQL)
                found, small = ([turn[place] for turn in turns] for place in (n, 0))
                flush = ms(report.flush_cost(place, 40))
                rows.append([f"Runyard, {one.store.kind}, {what}", f"{one.store.kept:,}", where, count,
                             *_cells(found, small, one.store), flush])  # fmt: skip
    return rows


def _cells(found: list[dict[str, float]], small: list[dict[str, float]], store: kept.Store) -> list[str]:
    rates = [one["rate"] for one in found]
    cpu = {name: statistics.mean(one[name] for one in found) for name in ("server", "helpers", "database")}
    before = statistics.mean(one["server"] + one["database"] for one in small)
    shown = [whole(cpu[name] * 1e6) for name in ("server", "helpers")]
    shown += [whole(cpu["database"] * 1e6) if store.url else "-", kept.ratio(cpu["server"] + cpu["database"], before)]
    return [whole(statistics.median(rates)), f"{whole(min(rates))}-{whole(max(rates))}", *shown]


class _One:
    """A server on a store, and the runs of its last trial."""

    def __init__(self, stack: ExitStack, store: kept.Store, place: Path) -> None:
        self.store = store
        self.server = stack.enter_context(server.server(place, data=store.data, **store.settings))
        self.jobs: dict[str, int] = {}
        self.ids: list[int] = []

    def trial(self, task: dict[str, Any], count: int) -> dict[str, float]:
        """So many runs, from the opened queue to the last end."""
        api, key = self.server.api, task["action"]["kind"]
        if key not in self.jobs:
            self.jobs[key] = api.job("noop", task, parameters={"n": 0}, queue="bench")
            api.wait(api.submit(job=self.jobs[key]))
        self.ids = _queue(api, self.jobs[key], count)
        mine, others = server.cpu_seconds(self.server.pid)
        database = self.store.database_cpu_seconds()
        begun = time.perf_counter()
        api.pause("bench", False)
        api.wait_until_over("&queue=bench")
        seconds = time.perf_counter() - begun
        mine_after, others_after = server.cpu_seconds(self.server.pid)
        return {
            "rate": count / seconds,
            "server": (mine_after - mine) / count,
            "helpers": (others_after - others) / count,
            "database": (self.store.database_cpu_seconds() - database) / count,
        }

    def check(self, *, values: bool) -> None:
        """Every run of the last trial."""
        _check(self.server, self.ids, values=values)


def _queue(api: server.Api, job: int, count: int) -> list[int]:
    api.pause("bench", True)
    return api.submit_many([{"job": job, "parameters": {"n": n}} for n in range(count)])


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
    return [whole(found["rate"]), f"{whole(found['low'])}-{whole(found['high'])}", *["-"] * 5]


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
