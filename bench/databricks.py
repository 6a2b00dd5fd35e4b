"""The Databricks dialect: run-now beside the native submit, lists at size, large graphs, pages of a run, notebooks.

A million runs are seeded once, which takes most of its time: about two minutes of three and a half on an idle machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import load, report, seed, server
from bench.report import ms, percentile, whole

WIDTH, DEPTH = 100, 10
LIMIT = 1000
"""Every job of this service has a limit of concurrent runs, so the native one that it is compared with has it too."""
COLUMNS = ("what", "data on", "figure", "low-high", "beside", "goal")
JOBS = "/api/2.2/jobs"
TERMINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


def measure(given: argparse.Namespace) -> report.Table:
    """One table over disk and memory."""
    trials = 1 if given.quick else 3
    kept = given.runs or (20_000 if given.quick else 1_000_000)
    rows: list[list[object]] = []
    for where, place in report.places():
        rows.append(_starts(where, place, trials))
        rows += _graphs(where, place, trials)
        rows += _notebooks(where, place, *((1, 5) if given.quick else (5, 25)))
    rows.append(_lists(*report.places()[0], kept))
    notes = [
        "run-now and the native submit start runs of one kept job whose queue is paused, from 16 connections; `beside` "
        "is the native rate and how many times slower run-now is. Both jobs have a limit of 1,000 concurrent runs.",
        "A graph is a kept job of sql_task; the clock runs from before run-now until a list shows the run over. "
        "Checked: every task succeeded, and none began before what it needs had ended.",
        "A notebook's start: from before run-now is sent until its first cell runs, by the same clock. Cold is the "
        "first notebook of a server that has just started.",
        "A page is one `runs/get` of the for-each task's run, 100 of its 1,000 iterations, seen by the client.",
    ]
    return report.Table("databricks", "the Databricks dialect over HTTP", COLUMNS, rows, notes)


def ask(one: server.Server, method: str, path: str, body: Any = None) -> Any:
    """One answer of the dialect."""
    return json.loads(load.run(one.url, [(method, JOBS + path, body)], connections=1, prefix="").bodies[0])


# --- starts -----------------------------------------------------------------------------------------------


def _starts(where: str, place: Path, trials: int) -> list[object]:
    with server.server(place) as one:
        sql = {"key": "one", "action": {"kind": "sql", "statement": "SELECT 1 AS n"}}
        native = one.api.job("native", sql, queue="bench", max_concurrent_runs=LIMIT)
        one.api.pause("bench", True)
        query = {"query": {"query_text": "SELECT 1 AS n"}}
        asked = load.run(one.url, [("POST", "/api/2.0/sql/queries", query)], connections=1, prefix="")
        work = {"query": {"query_id": json.loads(asked.bodies[0])["id"]}, "warehouse_id": "w"}
        task = {"task_key": "one", "sql_task": work}
        job = ask(one, "POST", "/create", {"name": "theirs", "tasks": [task], "max_concurrent_runs": LIMIT})["job_id"]
        one.api.pause("default", True)

        def trial() -> dict[str, float]:
            requests = [("POST", "/api/v1/runs", {"job": native})] * 6000
            ours = load.run(one.url, requests, connections=16, seconds=1.0, status=201, prefix="").rate
            requests = [("POST", f"{JOBS}/run-now", {"job_id": job})] * 6000
            theirs = load.run(one.url, requests, connections=16, seconds=1.0, prefix="").rate
            return {"rate": theirs, "native": ours, "times": ours / theirs}

        found = report.repeated(trials, trial)
    beside = f"{whole(found['native'])}/s, {found['times']:.2f} x"
    return ["run-now/s", where, whole(found["rate"]), f"{whole(found['low'])}-{whole(found['high'])}", beside, "1.5 x"]


# --- lists ------------------------------------------------------------------------------------------------


def _lists(where: str, place: Path, kept: int) -> list[object]:
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=place) as folder:
        seed.fill(Path(folder) / "runyard.db", kept)
        with server.server(place, data=Path(folder)) as one:
            requests = [("GET", f"{JOBS}/runs/list?limit=25", None)] * 400
            found = load.run(one.url, requests, connections=1, prefix="")
            assert all(len(json.loads(body)["runs"]) == 25 for body in found.bodies[:5])
    middle, high = percentile(found.latencies, 0.5), percentile(found.latencies, 0.99)
    return [f"runs/list(25) of {kept:,}, p99 ms", where, ms(high), "-", f"p50 {ms(middle)}", "10"]


# --- graphs -----------------------------------------------------------------------------------------------


def _graphs(where: str, place: Path, trials: int) -> list[list[object]]:
    rows: list[list[object]] = []
    with server.server(place) as one:
        body = {"query": {"query_text": "SELECT :n AS n"}}
        asked = load.run(one.url, [("POST", "/api/2.0/sql/queries", body)], connections=1, prefix="")
        query = json.loads(asked.bodies[0])["id"]
        kinds = (("1,000 tasks, 100 wide", _graph(query), 2.5), ("for_each of 1,000 at 100", _fan(query), 3.5))
        for what, tasks, goal in kinds:
            job = ask(one, "POST", "/create", {"name": what, "tasks": tasks})["job_id"]
            _trial(one, job)  # warm
            found = report.repeated(trials, lambda job=job: _trial(one, job))  # type: ignore[misc]
            seconds, low, high = (WIDTH * DEPTH / found[name] for name in ("rate", "high", "low"))
            rows.append([f"{what}, s", where, f"{seconds:.2f}", f"{low:.2f}-{high:.2f}", "-", str(goal)])
        rows.append(_page(where, one, job))
    return rows


def _sql(key: str, query: str, n: str, needs: list[str]) -> dict[str, Any]:
    work = {"query": {"query_id": query}, "warehouse_id": "w", "parameters": {"n": n}}
    return {"task_key": key, "sql_task": work, "depends_on": [{"task_key": need} for need in needs]}


def _graph(query: str) -> list[dict[str, Any]]:
    tasks = []
    for layer in range(DEPTH):
        for place in range(WIDTH):
            needs = [f"t{layer - 1}_{other % WIDTH}" for other in (place, place + 1)] if layer else []
            tasks.append(_sql(f"t{layer}_{place}", query, str(layer * WIDTH + place), needs))
    return tasks


def _fan(query: str) -> list[dict[str, Any]]:
    inputs = json.dumps(list(range(WIDTH * DEPTH)))
    each = {"inputs": inputs, "concurrency": WIDTH, "task": _sql("one", query, "{{input}}", [])}
    return [{"task_key": "each", "for_each_task": each}]


def _trial(one: server.Server, job: int) -> dict[str, float]:
    begun = time.perf_counter()
    run_id = ask(one, "POST", "/run-now", {"job_id": job})["run_id"]
    while True:
        run = ask(one, "GET", f"/runs/list?job_id={job}&limit=1")["runs"][0]
        if run["run_id"] == run_id and run["state"]["life_cycle_state"] in TERMINAL:
            break
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    _check(one, run_id)
    return {"rate": WIDTH * DEPTH / seconds}


def _check(one: server.Server, run_id: int) -> None:
    time.sleep(1.0)
    tasks: list[dict[str, Any]] = []
    token = ""
    while True:
        page = ask(one, "GET", f"/runs/get?run_id={run_id}{token}")
        tasks += page.get("tasks", [])
        if "next_page_token" not in page:
            break
        token = f"&page_token={page['next_page_token']}"
    assert page["state"]["result_state"] == "SUCCESS", page["state"]
    ended = {task["task_key"]: task["end_time"] for task in tasks}
    for task in tasks:
        early = [need for need in task.get("depends_on", []) if task["start_time"] < ended[need["task_key"]]]
        assert not early, (task["task_key"], early)


def _page(where: str, one: server.Server, job: int) -> list[object]:
    run_id = ask(one, "GET", f"/runs/list?job_id={job}&limit=1&expand_tasks=true")["runs"][0]["tasks"][0]["run_id"]
    requests = [("GET", f"{JOBS}/runs/get?run_id={run_id}", None)] * 50
    found = load.run(one.url, requests, connections=1, prefix="")
    assert len(json.loads(found.bodies[0])["iterations"]) == 100
    middle, high = percentile(found.latencies, 0.5), percentile(found.latencies, 0.95)
    return ["runs/get page of 100 iterations, p95 ms", where, ms(high), "-", f"p50 {ms(middle)}", "50"]


# --- notebooks --------------------------------------------------------------------------------------------

NOTEBOOK = "# Databricks notebook source\nimport time\nfirst = time.time()\n\n# COMMAND ----------\n\n"
NOTEBOOK += "dbutils.notebook.exit(str(first))\n"


def _notebooks(where: str, place: Path, servers: int, times: int) -> list[list[object]]:
    cold, warm = [], []
    for number in range(servers):
        with server.server(place) as one:
            job = _notebook_job(one)
            cold.append(_first_cell(one, job))
            if number == servers - 1:
                warm = [_first_cell(one, job) for _ in range(times)]
    found = (("cold", cold, 1500), ("warm", warm, 300))
    return [
        [
            f"notebook to its first cell, {what}, p50 ms",
            where,
            ms(percentile(values, 0.5)),
            f"{ms(min(values))}-{ms(max(values))}",
            "-",
            str(goal),
        ]
        for what, values, goal in found
    ]


def _notebook_job(one: server.Server) -> int:
    content = base64.b64encode(NOTEBOOK.encode()).decode()
    given = {"path": "/Shared/start", "content": content, "language": "PYTHON", "format": "SOURCE"}
    load.run(one.url, [("POST", "/api/2.0/workspace/import", given)], connections=1, prefix="")
    task = {"task_key": "only", "notebook_task": {"notebook_path": "/Shared/start"}}
    return int(ask(one, "POST", "/create", {"name": "notebook", "tasks": [task]})["job_id"])


def _first_cell(one: server.Server, job: int) -> float:
    begun = time.time()
    run_id = ask(one, "POST", "/run-now", {"job_id": job})["run_id"]
    while True:
        run = ask(one, "GET", f"/runs/list?job_id={job}&limit=1&expand_tasks=true")["runs"][0]
        if run["run_id"] == run_id and run["state"]["life_cycle_state"] in TERMINAL:
            break
        time.sleep(0.01)
    output = ask(one, "GET", f"/runs/get-output?run_id={run['tasks'][0]['run_id']}")
    return float(output["notebook_output"]["result"]) - begun
