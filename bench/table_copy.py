"""What a copy and a materialize task add to their statement, and how soon the first page of a large result is there.

python -m bench table_copy [--rows 10000000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Table
from bench.server import Server, server

ROWS, QUICK_ROWS = 10_000_000, 300_000
TRIALS = 15
VIEW = "SELECT k, count(*) AS n, sum(v) AS s FROM source GROUP BY k"


def measure(given: argparse.Namespace) -> Table:
    """The table of all three questions."""
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    place = Path(tempfile.mkdtemp(prefix="copy-bench-"))
    try:
        with server(place) as one:
            found = [*_copies(one, place), *_pages(one, rows)]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    notes = [
        f"copies and fills: medians of {TRIALS}, over 100,000 rows; the task's own time from its start to its end",
        "bare DuckDB: the same statements in one transaction on a file in the same folder",
        f"pages: a result of {rows:,} rows, the first 1,000 asked for every 10 ms from the submit; a process's first"
        " one loads pyarrow",
        "limits: 10 ms added; the first page 200 ms after the first batch",
    ]
    return Table("table_copy", "copies, fills and large results", ("what", "ms", "bare ms", "added ms"), found, notes)


def _copies(one: Server, place: Path) -> list[tuple[object, ...]]:
    make = "CREATE TABLE source AS SELECT range % 1000 AS k, range AS v FROM range(100_000)"
    _run(one, {"kind": "sql", "statement": make})
    view = {"name": "by_k", "source": "source", "statement": VIEW, "target": "target"}
    one.api.ask("POST", "/views", view)
    copy = {"kind": "copy", "statement": VIEW, "table": "copied", "mode": "replace"}
    fill = {"kind": "materialize", "view": "by_k", "truncate": True}
    bare = _bare(place, make)
    found = []
    for what, action in (("copy, replace", copy), ("materialize, truncate", fill)):
        _run(one, action)
        ours = statistics.median(_task_ms(_run(one, action)) for _ in range(TRIALS))
        found.append((what, f"{ours:.1f}", f"{bare:.1f}", f"{ours - bare:.1f}"))
    return found


def _run(one: Server, action: dict[str, Any]) -> dict[str, Any]:
    run = one.api.wait(one.api.submit(spec={"name": "r", "tasks": [{"key": "t", "action": action}]}))
    if run["state"] != "succeeded":
        raise RuntimeError(str(run))
    return run


def _task_ms(run: dict[str, Any]) -> float:
    return 1000 * float(run["tasks"][0]["metrics"]["seconds"])


def _bare(place: Path, make: str) -> float:
    """Milliseconds of the same statements."""
    import duckdb

    connection = duckdb.connect(str(place / "bare.duckdb"))
    connection.execute(make)
    connection.execute(f"CREATE TABLE copied AS {VIEW}")
    found = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        connection.execute("BEGIN")
        connection.execute("DELETE FROM copied")
        connection.execute(f"INSERT INTO copied {VIEW}")
        connection.execute("COMMIT")
        found.append(time.perf_counter() - began)
    connection.close()
    return 1000 * statistics.median(found)


def _pages(one: Server, rows: int) -> list[tuple[object, ...]]:
    """When the first page could be read, and when the result was whole, from the submit: first and then again."""
    statement = f"SELECT range AS n, 'text ' || range AS t FROM range({rows})"
    found = []
    for which in ("the process's first large result", "another one"):
        first, whole = _page(one, {"kind": "sql", "statement": statement})
        found += [
            (f"first page, {which}", f"{first * 1000:.0f}", "", ""),
            ("whole result", f"{whole * 1000:.0f}", "", ""),
        ]
    return found


def _page(one: Server, action: dict[str, Any]) -> tuple[float, float]:
    run_id = one.api.submit(spec={"name": "r", "tasks": [{"key": "t", "action": action}]})
    began = time.perf_counter()
    task = one.api.ask("GET", f"/runs/{run_id}")["tasks"][0]["id"]
    while True:
        try:
            page = one.api.ask("GET", f"/task-runs/{task}/rows?limit=1000")
            break
        except RuntimeError:
            time.sleep(0.01)
    first = time.perf_counter() - began
    if [row[0] for row in page["rows"]] != list(range(1000)):
        raise RuntimeError("the first page is wrong")
    one.api.wait(run_id, 600, pause=0.02)
    return first, time.perf_counter() - began
