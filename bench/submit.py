"""Durable submits over HTTP: a run is on disk, with its task run and its first event, before the 2xx."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from bench import load, peers, report, seed, server
from bench.report import ms, percentile, whole

SQL = {
    "key": "one",
    "action": {"kind": "sql", "statement": "SELECT $n AS n", "parameters": {"n": "{{ parameters.n }}"}},
}
COLUMNS = (
    "who", "data on", "clients", "submits/s", "low-high", "p50 ms", "p95 ms", "CPU us", "flush ms", "clients/flush",
)  # fmt: skip


def measure(given: argparse.Namespace) -> report.Table:
    """One table over disk and memory, many clients and one."""
    trials, seconds = (1, 1.0) if given.quick else (5, 2.0)
    rows: list[list[object]] = []
    for where, place in report.places():
        rows += _ours(where, place, trials, seconds)
        if given.runs:
            rows += _ours(where, place, trials, seconds, given.runs)
        rows += _peers(where, place, *((300, 1) if given.quick else (600, 3)))
    notes = [
        "Runyard: POST /api/v1/runs of a kept job with one parameter, over kept connections, one request at a time on "
        "each; the queue is paused, so that nothing but the submit is measured. Peers enqueue inside one process, "
        "from as many threads, without HTTP.",
        "Checked: every answer is a 201 with an id of its own; every id is listed afterwards, queued; a sample of "
        "events and parameters was read back.",
        "CPU is user and system time of the server process, a submit: what it costs where others use the machine.",
        "`flush` is what the place takes to make 8 KB durable; `clients/flush` is therefore the most that so many "
        "waiting clients can get where every answer waits for one flush.",
    ]
    return report.Table("submit", "durable submits a second over HTTP, on an empty store", COLUMNS, rows, notes)


def _ours(where: str, place: Path, trials: int, seconds: float, kept: int = 0) -> list[list[object]]:
    rows: list[list[object]] = []
    with _folder(place, kept) as data, server.server(place, data=data) as one:
        job = one.api.job("noop", SQL, parameters={"n": 0}, queue="bench")
        one.api.pause("bench", True)
        for clients in (16, 1):
            flush = report.flush_cost(place)
            found = report.repeated(trials, lambda clients=clients: _trial(one, job, clients, seconds))  # type: ignore[misc]
            rows.append(
                _row(
                    f"Runyard, {kept:,} runs kept" if kept else "Runyard, empty store",
                    where,
                    clients,
                    found,
                    (flush + report.flush_cost(place)) / 2,
                )
            )
    return rows


@contextmanager
def _folder(place: Path, kept: int) -> Iterator[Path]:
    """A data folder with this many runs of the past; the queues of those that are still live are paused."""
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=place) as folder:
        if kept:
            path = Path(folder) / "runyard.db"
            seed.fill(path, kept)
            with closing(apsw.Connection(str(path))) as store:
                store.execute(
                    "INSERT INTO queue SELECT DISTINCT queue, NULL, 0, 1 FROM task_run WHERE state = 'queued'"
                )
        yield Path(folder)


def _row(who: str, where: str, clients: int, found: dict[str, float], flush: float) -> list[object]:
    # A flush that costs next to nothing limits nothing.
    limit = whole(clients / flush) if flush > 1e-5 else "-"
    spread = f"{whole(found['low'])}-{whole(found['high'])}" if "low" in found else "-"
    times = [ms(found[name]) if name in found else "-" for name in ("p50", "p95")]
    cpu = whole(found["cpu"] * 1e6) if "cpu" in found else "-"
    return [who, where, clients, whole(found["rate"]), spread, *times, cpu, ms(flush), limit]


def _trial(one: server.Server, job: int, clients: int, seconds: float) -> dict[str, float]:
    before = {run["id"] for run in one.api.listed("&queue=bench")}
    requests = [("POST", "/runs", {"job": job, "parameters": {"n": n}}) for n in range(round(12_000 * seconds))]
    cpu = server.cpu_seconds(one.pid)[0]
    done = load.run(one.url, requests, connections=clients, seconds=seconds, status=201)
    cpu = server.cpu_seconds(one.pid)[0] - cpu
    _check(one.api, before, [json.loads(body) for body in done.bodies])
    return {
        "rate": done.rate,
        "cpu": cpu / len(done.bodies),
        "p50": percentile(done.latencies, 0.5),
        "p95": percentile(done.latencies, 0.95),
    }


def _check(api: server.Api, before: set[int], answered: list[dict[str, Any]]) -> None:
    ids = [run["id"] for run in answered]
    listed = {run["id"]: run for run in api.listed("&queue=bench&state=queued")}
    assert len(set(ids)) == len(ids), "an id was given twice"
    assert set(ids) == set(listed) - before, "what was answered and what is kept differ"
    for n in range(0, len(ids), max(1, len(ids) // 50)):
        events = api.ask("GET", f"/runs/{ids[n]}/events")["items"]
        assert [event["kind"] for event in events] == ["submitted"], events
        assert listed[ids[n]]["parameters"] == {"n": n}


def _peers(where: str, place: Path, count: int, trials: int) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in peers.ENQUEUERS:
        for clients in (16, 1):
            flush = report.flush_cost(place, 40)
            found = report.repeated(
                trials,
                lambda name=name, clients=clients: peers.ask(
                    name, "enqueue", place, clients=clients, count=count // (1 + (name == "dbos"))
                ),  # type: ignore[misc]
            )
            rows.append(_row(peers.ENQUEUERS[name], where, clients, found, flush if "off" not in name else 0.0))
    return rows
