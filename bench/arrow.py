"""How fast a Python task reads and writes a table as Arrow, against DuckDB in the task's own process.

    python -m bench arrow [--rows 12000000]

One task reads a table and writes it back under another name, time after time; it measures itself, from the call to
its return, which for a write includes the commit. Bare is DuckDB on a file in the same folder, in a process of its
own, with the same rows: a query into an Arrow table, and an insert of record batches into a new table, committed.
A megabyte is 1,000,000 bytes of Arrow, as the program holds them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.report import MEMORY, Table
from bench.server import Server, server

ROWS, QUICK_ROWS, TRIALS = 12_000_000, 1_000_000, 5
SHAPES = {
    "two numbers": "SELECT range AS a, range * 0.5::DOUBLE AS b FROM range({rows})",
    "random numbers": "SELECT (hash(range) >> 24)::BIGINT AS a, hash(range * 7) / 3.0::DOUBLE AS b FROM range({rows})",
    "numbers and texts": "SELECT range AS a, hash(range) / 3.0::DOUBLE AS b, 'text number ' || range % 1000 AS t"
    " FROM range({rows} // 3)",
}
_OURS = """
import time
from runyard import context
found = {"read": [], "write": []}
for _ in range(TRIALS):
    began = time.perf_counter()
    table = context.read_table("source")
    found["read"].append(time.perf_counter() - began)
    began = time.perf_counter()
    context.write_table("target", table, mode="replace")
    found["write"].append(time.perf_counter() - began)
context.set_value("seconds", found)
context.set_value("bytes", table.nbytes)
context.set_value("rows", context.read_table("target").num_rows)
"""
_BARE = """
import duckdb, json, pyarrow as pa, sys, time
folder, made, trials = json.loads(sys.argv[1])
c = duckdb.connect(folder + "/bare.duckdb")
c.execute("CREATE TABLE source AS " + made)
found = {"read": [], "write": []}
for _ in range(trials):
    began = time.perf_counter()
    table = c.sql("SELECT * FROM source").to_arrow_table()
    found["read"].append(time.perf_counter() - began)
    began = time.perf_counter()
    reader = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches()))
    c.execute("BEGIN")
    c.execute("CREATE OR REPLACE TABLE target AS SELECT * FROM reader")
    c.execute("COMMIT")
    found["write"].append(time.perf_counter() - began)
print(json.dumps([table.nbytes, found]))
"""


def measure(given: argparse.Namespace) -> Table:
    """The table of both ways, for each shape of rows, on disk and in memory."""
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    places = [("disk", None), *([("memory", MEMORY)] if MEMORY.is_dir() and not given.quick else [])]
    found = [line for where, parent in places for line in _lines(where, parent, rows)]
    columns = ("data", "rows", "MB", "way", "MB/s", "bare MB/s", "of bare")
    notes = [
        f"medians of {TRIALS} after a first one, which loads pyarrow; a write replaces the table and is committed",
        "limit: 500 MB/s each way",
    ]
    return Table("arrow", "tables of a Python task as Arrow", columns, found, notes)


def _lines(where: str, parent: Path | None, rows: int) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for shape, made in SHAPES.items():
        place = Path(tempfile.mkdtemp(prefix="arrow-bench-", dir=parent))
        try:
            with server(place) as one:
                ours = _ours(one, made.format(rows=rows))
            size, bare = _bare(place, made.format(rows=rows))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        count = rows // 3 if "// 3" in made else rows
        if ours["rows"] != count:
            raise RuntimeError(f"{shape}: {ours['rows']} rows were written, of {count}")
        for way in ("read", "write"):
            taken = ((ours["bytes"], ours["seconds"]), (size, bare))
            speeds = [size / 1e6 / statistics.median(seconds[way][1:]) for size, seconds in taken]
            line = (f"{shape}, {where}", f"{count:,}", f"{size / 1e6:.0f}", way)
            found.append((*line, *(f"{speed:,.0f}" for speed in speeds), f"{speeds[0] / speeds[1]:.2f}"))
    return found


def _ours(one: Server, made: str) -> dict[str, Any]:
    make = {"key": "make", "action": {"kind": "sql", "statement": f"CREATE TABLE source AS {made}"}}
    source = _OURS.replace("TRIALS", str(TRIALS + 1))
    work = {"key": "work", "needs": [{"task": "make"}], "action": {"kind": "python", "source": source}}
    run = one.api.wait(one.api.submit(spec={"name": "r", "tasks": [make, work]}), 600, pause=0.05)
    if run["state"] != "succeeded":
        raise RuntimeError(str(run))
    return dict(run["tasks"][1]["values"])


def _bare(place: Path, made: str) -> tuple[int, dict[str, list[float]]]:
    told = json.dumps([str(place), made, TRIALS + 1])
    done = subprocess.run([sys.executable, "-c", _BARE, told], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    size, found = json.loads(done.stdout)
    return int(size), found
