"""Large graphs of no-op SQL, end to end: one run of 1,000 tasks, and one for-each over 1,000 inputs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import kept, load, report, server
from bench.report import ms, whole

WIDTH, DEPTH = 100, 10
COLUMNS = (
    "what", "store", "runs kept", "data on", "seconds", "low-high", "submit ms", "tasks/s", "server CPU ms",
    "database CPU ms", "flush ms",
)  # fmt: skip


def measure(given: argparse.Namespace) -> report.Table:
    """One table over both stores, disk and memory; with `--runs` on a small and a large store, else on an empty one."""
    trials = 1 if given.quick else 3
    sizes = kept.sizes(given.runs, given.quick) if given.runs else (0,)
    rows: list[list[object]] = []
    for where, place in report.places():
        for kind in kept.STORES:
            with kept.stores(kind, place, sizes, sizes[-2:]) as stores:
                for store in stores:
                    rows += _ours(where, place, store, trials)
            report.tell(f"dag: {kind} on {where} done")
    notes = [
        "The definition is sent with the run; the clock runs from before the request until the run is seen over. In "
        "the graph each task needs two of the layer before it; every task is a query of its own with its own value.",
        "Checked in every trial: every task succeeded, none began before what it needs had ended, every output holds "
        "its own value, and the history is numbered without gaps.",
    ]
    return report.Table("dag", "a run of 1,000 no-op SQL tasks, end to end", COLUMNS, rows, notes)


def _ours(where: str, place: Path, store: kept.Store, trials: int) -> list[list[object]]:
    with server.server(place, data=store.data, **store.settings) as one:
        one.api.wait(one.api.submit(spec={"name": "warm", "tasks": [_select("warm", "SELECT 1", [])]}))
        shapes = (("1,000 tasks, 100 wide, 10 deep", graph), ("for_each of 1,000, 100 at once", fan))
        return [_row(what, where, place, one, store, make, trials) for what, make in shapes]


def graph() -> dict[str, Any]:
    """Layers of tasks, each needing two of the layer before."""
    tasks = []
    for layer in range(DEPTH):
        for place in range(WIDTH):
            needs = [f"t{layer - 1}_{other % WIDTH}" for other in (place, place + 1)] if layer else []
            tasks.append(_select(f"t{layer}_{place}", f"SELECT {layer * WIDTH + place} AS n", needs))
    return {"name": "graph", "tasks": tasks}


def fan() -> dict[str, Any]:
    """One for-each task."""
    action = {"kind": "sql", "statement": "SELECT $n AS n", "parameters": {"n": "{{ input }}"}}
    inputs = list(range(WIDTH * DEPTH))
    each = {"kind": "for_each", "inputs": inputs, "concurrency": WIDTH, "action": action}
    return {"name": "fan", "tasks": [{"key": "each", "action": each}]}


def _select(key: str, statement: str, needs: list[str]) -> dict[str, Any]:
    return {"key": key, "action": {"kind": "sql", "statement": statement}, "needs": [{"task": need} for need in needs]}


def _row(
    what: str,
    where: str,
    place: Path,
    one: server.Server,
    store: kept.Store,
    make: Callable[[], dict[str, Any]],
    trials: int,
) -> list[object]:
    found = report.repeated(trials, lambda: _trial(one, store, make()))
    seconds, low, high = found["seconds"], WIDTH * DEPTH / found["high"], WIDTH * DEPTH / found["low"]
    spread = f"{low:.2f}-{high:.2f}"
    cpu = [f"{found['cpu'] * 1000:.0f}", f"{found['database'] * 1000:.0f}" if store.url else "-"]
    head = [what, store.kind, f"{store.kept:,}", where, f"{seconds:.2f}", spread]
    return [*head, ms(found["submit"]), whole(found["rate"]), *cpu, ms(report.flush_cost(place, 40))]


def _trial(one: server.Server, store: kept.Store, spec: dict[str, Any]) -> dict[str, float]:
    cpu, database = server.cpu_seconds(one.pid)[0], store.database_cpu_seconds()
    begun = time.perf_counter()
    run = one.api.submit(spec=spec)
    submitted = time.perf_counter() - begun
    one.api.wait_until_over(f"&name={spec['name']}")
    seconds = time.perf_counter() - begun
    cpu, database = server.cpu_seconds(one.pid)[0] - cpu, store.database_cpu_seconds() - database
    _check(one, run, spec)
    rate = WIDTH * DEPTH / seconds
    return {"seconds": seconds, "submit": submitted, "rate": rate, "cpu": cpu, "database": database}


def _check(one: server.Server, run_id: int, spec: dict[str, Any]) -> None:
    run = one.api.ask("GET", f"/runs/{run_id}")
    work = [task for task in run["tasks"] if task["kind"] == "sql" or task.get("iteration", -1) >= 0]
    assert (run["state"], len(work)) == ("succeeded", WIDTH * DEPTH), (run["state"], len(work))
    ended = {task["task_key"]: task["ended_at"] for task in run["tasks"]}
    for task in work:
        for need in task.get("needs", []):
            assert task["started_at"] >= ended[need["task"]], f"{task['task_key']} began too early"
    outputs = load.run(one.url, [("GET", f"/task-runs/{task['id']}/output", None) for task in work]).bodies
    assert [json.loads(body)["rows"] for body in outputs] == [[[n]] for n in range(WIDTH * DEPTH)], "a value is wrong"
    assert _history(one.api, run_id) == run["seq"]


def _history(api: server.Api, run_id: int) -> int:
    """How many events there are, numbered from 1 without gaps."""
    last = 0
    while events := api.ask("GET", f"/runs/{run_id}/events?after={last}")["items"]:
        assert [event["seq"] for event in events] == list(range(last + 1, last + 1 + len(events)))
        last += len(events)
    return last
