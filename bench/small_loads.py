"""Many small loads in a row: 100 rows each, one run after the other is over.

python -m bench small_loads [--rows N]   (N loads; 10,000 by default)
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.report import Table
from bench.server import cpu_seconds, server

LOADS, QUICK_LOADS, ROWS = 10_000, 200, 100


def measure(given: argparse.Namespace) -> Table:
    """The table of one series."""
    loads = given.rows or (QUICK_LOADS if given.quick else LOADS)
    place = Path(tempfile.mkdtemp(prefix="small-loads-"))
    try:
        path = place / "small.csv"
        path.write_text("n,t\n" + "".join(f"{n},text {n}\n" for n in range(ROWS)))
        ours, cpu = _ours(place, path, loads)
        bare = _bare(place, path, min(loads, 1000))
        pandas = _pandas(place, path, min(loads, 1000))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    rows = [
        ("runyard, over HTTP, durable", f"{len(ours) / sum(ours):,.0f}", *_percentiles(ours), f"{cpu * 1e6:,.0f}"),
        ("bare DuckDB, one connection", f"{len(bare) / sum(bare):,.0f}", *_percentiles(bare), ""),
        ("pandas to_sql, SQLite", f"{len(pandas) / sum(pandas):,.0f}" if pandas else "-", *_percentiles(pandas), ""),
    ]
    notes = [f"{loads:,} loads of {ROWS} rows, each after the one before; the table's rows were checked at the end"]
    columns = ("who", "loads/s", "p50 ms", "p95 ms", "CPU us")
    return Table("small_loads", "small loads, one after the other", columns, rows, notes)


def _percentiles(seconds: list[float]) -> tuple[str, str]:
    if len(seconds) < 2:
        return "-", "-"
    cuts = statistics.quantiles(seconds, n=20)
    return f"{cuts[9] * 1000:.2f}", f"{cuts[18] * 1000:.2f}"


def _ours(place: Path, path: Path, loads: int) -> tuple[list[float], float]:
    """Seconds of each load, and processor seconds a load."""
    action = {"kind": "load", "source": str(path), "table": "small", "columns": {"n": "BIGINT", "t": "VARCHAR"}}
    spec = {"name": "load", "tasks": [{"key": "load", "action": action}]}
    found = []
    with server(place, allowed_paths=str(place)) as one:
        one.api.wait(one.api.submit(spec=spec))
        before = sum(cpu_seconds(one.pid))
        for _ in range(loads):
            began = time.perf_counter()
            run = one.api.wait(one.api.submit(spec=spec), pause=0.002)
            found.append(time.perf_counter() - began)
            if run["state"] != "succeeded":
                raise RuntimeError(str(run))
        used = sum(cpu_seconds(one.pid)) - before
        rows = one.api.ask("POST", "/query", {"sql": "SELECT count(*) FROM small"})["rows"][0][0]
        if rows != (loads + 1) * ROWS:
            raise RuntimeError(f"{rows} rows after {loads + 1} loads of {ROWS}")
    return found, used / loads


def _bare(place: Path, path: Path, loads: int) -> list[float]:
    import duckdb

    connection = duckdb.connect(str(place / "bare.duckdb"))
    connection.execute("CREATE TABLE small (n BIGINT, t VARCHAR)")
    found = []
    for _ in range(loads):
        began = time.perf_counter()
        connection.execute(f"INSERT INTO small SELECT * FROM read_csv('{path}', store_rejects = true)")
        found.append(time.perf_counter() - began)
    connection.close()
    return found


def _pandas(place: Path, path: Path, loads: int) -> list[float]:
    """What a script would do; nothing when pandas is not installed."""
    import sqlite3

    try:
        import pandas
    except ImportError:
        return []
    connection = sqlite3.connect(place / "pandas.db")
    found = []
    for _ in range(loads):
        began = time.perf_counter()
        pandas.read_csv(path).to_sql("small", connection, if_exists="append", index=False)
        found.append(time.perf_counter() - began)
    connection.close()
    return found
