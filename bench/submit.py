"""Durable submits over HTTP: a run is on disk, with its task run and its first event, before the 2xx."""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import kept, load, peers, report, server
from bench.report import ms, percentile, whole

SQL = {
    "key": "one",
    "action": {"kind": "sql", "statement": "SELECT $n AS n", "parameters": {"n": "{{ parameters.n }}"}},
}
COLUMNS = (
    "who", "runs kept", "data on", "clients", "submits/s", "low-high", "p50 ms", "p95 ms", "server CPU us",
    "database CPU us", "CPU to small", "flush ms",
)  # fmt: skip


def measure(given: argparse.Namespace) -> report.Table:
    """One table over both stores, disk and memory, three sizes, many clients and one."""
    trials, seconds = (1, 1.0) if given.quick else (3, 2.0)
    sizes = kept.sizes(given.runs, given.quick)
    rows: list[list[object]] = []
    for where, place in report.places():
        for kind in kept.STORES:
            with kept.stores(kind, place, sizes) as stores:
                rows += _ours(where, place, stores, trials, seconds)
            report.tell(f"submit: {kind} on {where} done")
        rows += _peers(where, place, *((300, 1) if given.quick else (600, 3)))
        report.tell(f"submit: peers on {where} done")
    notes = [
        "Runyard: POST /api/v1/runs of a kept job with one parameter, over kept connections, one request at a time on "
        "each; the queue is paused, so that nothing but the submit is measured. Servers on an empty store, on a small "
        "and on a large one take turns, trial by trial. Peers enqueue inside one process, from as many threads, "
        "without HTTP; Procrastinate on a PostgreSQL that is set up like ours, in the same place.",
        "Checked: every answer is a 201 with an id of its own; every id is listed afterwards, queued; a sample of "
        "events and parameters was read back.",
        "CPU is user and system time, a submit, of all trials together: of the server, and of PostgreSQL's processes. "
        f"`CPU to small` is their sum divided by that with {sizes[1]:,} runs kept; wanted: at most 1.2.",
        "`flush` is what the place takes to make 8 KB durable; clients divided by it is the most that so many "
        "waiting clients can get where every answer waits for one flush.",
    ]
    return report.Table("submit", "durable submits a second over HTTP, by runs kept", COLUMNS, rows, notes)


class _One:
    """A server on a store, and what was measured there."""

    def __init__(self, stack: ExitStack, store: kept.Store, place: Path) -> None:
        self.store = store
        self.server = stack.enter_context(server.server(place, data=store.data, **store.settings))
        self.job = self.server.api.job("noop", SQL, parameters={"n": 0}, queue="bench")
        self.server.api.pause("bench", True)
        self.ids: list[int] = []

    def _cpu(self) -> tuple[float, float]:
        return server.cpu_seconds(self.server.pid)[0], self.store.database_cpu_seconds()

    def trial(self, clients: int, seconds: float) -> dict[str, Any]:
        """So many seconds of submits."""
        count = round(12_000 * seconds)
        requests = [("POST", "/runs", {"job": self.job, "parameters": {"n": n}}) for n in range(count)]
        before = self._cpu()
        done = load.run(self.server.url, requests, connections=clients, seconds=seconds, status=201)
        cpu = [after - then for after, then in zip(self._cpu(), before, strict=True)]
        answered = [json.loads(body) for body in done.bodies]
        self._check([run["id"] for run in answered])
        return {"rate": done.rate, "cpu": cpu, "count": len(answered), "latencies": done.latencies}

    def _check(self, ids: list[int]) -> None:
        self.ids += ids
        for n in range(0, len(ids), max(1, len(ids) // 50)):
            events = self.server.api.ask("GET", f"/runs/{ids[n]}/events")["items"]
            assert [event["kind"] for event in events] == ["submitted"], events
            assert self.server.api.ask("GET", f"/runs/{ids[n]}")["parameters"] == {"n": n}

    def check_all(self) -> None:
        """What was answered is what is kept."""
        assert len(set(self.ids)) == len(self.ids), "an id was given twice"
        listed = {run["id"] for run in self.server.api.listed("&queue=bench&state=queued")}
        assert set(self.ids) == listed, "what was answered and what is kept differ"


def _ours(where: str, place: Path, stores: list[kept.Store], trials: int, seconds: float) -> list[list[object]]:
    rows: list[list[object]] = []
    with ExitStack() as stack:
        some = [_One(stack, store, place) for store in stores]
        for clients in (16, 1):
            flush = report.flush_cost(place)
            turns = [[one.trial(clients, seconds) for one in some] for _ in range(trials)]
            flush = (flush + report.flush_cost(place)) / 2
            found = [_together([turn[n] for turn in turns]) for n in range(len(some))]
            small = sum(found[1]["cpu"])
            for one, result in zip(some, found, strict=True):
                rows.append(_row(f"Runyard, {one.store.kind}", f"{one.store.kept:,}", where, clients, result, flush))
                rows[-1][-2] = kept.ratio(sum(result["cpu"]), small)
                if not one.store.url:
                    rows[-1][-3] = "-"
        for one in some:
            one.check_all()
    return rows


def _together(trials: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [one["rate"] for one in trials]
    times = sorted(time for one in trials for time in one["latencies"])
    count = sum(one["count"] for one in trials)
    return {
        "rate": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "p50": percentile(times, 0.5),
        "p95": percentile(times, 0.95),
        "cpu": [sum(one["cpu"][part] for one in trials) / count for part in range(2)],
    }


def _row(who: str, runs: str, where: str, clients: int, found: dict[str, Any], flush: float) -> list[object]:
    spread = f"{whole(found['low'])}-{whole(found['high'])}" if "low" in found else "-"
    times = [ms(found[name]) if name in found else "-" for name in ("p50", "p95")]
    cpu = [whole(part * 1e6) for part in found["cpu"]] if "cpu" in found else ["-", "-"]
    return [who, runs, where, clients, whole(found["rate"]), spread, *times, *cpu, "-", ms(flush)]


def _peers(where: str, place: Path, count: int, trials: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, title in peers.ENQUEUERS.items():
        with peers.database(name, place) as more:
            for clients in (16, 1):
                flush = report.flush_cost(place, 40)
                fewer = count // (1 + (name == "dbos"))
                found = [peers.ask(name, "enqueue", place, clients=clients, count=fewer, **more) for _ in range(trials)]
                rates = [one["rate"] for one in found]
                shown = {"rate": statistics.median(rates), "low": min(rates), "high": max(rates)}
                rows.append(_row(title, "0", where, clients, shown, flush if "off" not in name else 0.0))
    return rows
