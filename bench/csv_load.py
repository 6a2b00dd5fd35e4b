"""A large CSV into a typed table with a quarantine, through the API, against bare DuckDB on the same file.

    python -m bench csv_load [--rows 50000000] [--quick]

The file has the shape of a table of events: date, user_id, event, extra_data. Bare DuckDB does the same typed read
with `store_rejects`, with the same threads, into a database file in the same folder. From a URL the limit is the
fastest downloader that is here (curl), and bare DuckDB after it. The time of a load is from the creation of its run to
its end, as the API says.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.report import Table
from bench.server import Server, below, server

COLUMNS = {"date": "TIMESTAMP", "user_id": "BIGINT", "event": "VARCHAR", "extra_data": "VARCHAR"}
ROWS, QUICK_ROWS, TRIALS = 50_000_000, 500_000, 3
_FILE = """
COPY (
    SELECT CASE WHEN hash(range) % 100 < {bad} THEN 'not a date' ELSE
            strftime(TIMESTAMP '2020-01-01' + to_seconds(range % 31536000), '%Y-%m-%d %H:%M:%S') END AS date,
        (hash(range * 7) % 1000000)::BIGINT AS user_id,
        ['buy', 'view', 'sale', 'click'][1 + (hash(range * 3) % 4)::INTEGER] AS event,
        '{{"city": "' || ['Madrid', 'New York', 'Berlin', 'Lima'][1 + (hash(range * 5) % 4)::INTEGER]
            || '", "price": ' || (hash(range * 11) % 100000)::VARCHAR || '}}' AS extra_data
    FROM range({rows})
) TO '{path}' (FORMAT csv, HEADER true)
"""
_BARE = """
import duckdb, json, sys, time
path, folder, columns = json.loads(sys.argv[1])
c = duckdb.connect(folder + "/bare.duckdb")
kinds = ", ".join(f"'{k}': '{v}'" for k, v in columns.items())
c.execute("CREATE TABLE t (" + ", ".join(f"{k} {v}" for k, v in columns.items()) + ")")
began = time.perf_counter()
c.execute(f"INSERT INTO t SELECT * FROM read_csv('{path}', columns = {{{kinds}}}, header = true, delim = ',',"
          " quote = '\\"', escape = '\\"', auto_detect = false, store_rejects = true, rejects_limit = 0)")
seconds = time.perf_counter() - began
print(json.dumps([seconds, c.execute("SELECT count(*) FROM t").fetchone()[0]]))
"""


def measure(given: argparse.Namespace) -> Table:
    """The table of all loads."""
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    trials = 1 if given.quick else TRIALS
    place = Path(tempfile.mkdtemp(prefix="csv-bench-"))
    try:
        found = [line for bad in (0, 5) for line in _of_file(place, rows, bad, trials)]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    columns = (
        "source",
        "bad",
        "seconds",
        "all",
        "bare DuckDB",
        "ratio",
        "million rows/s",
        "peak MB warehouse",
        "server",
    )
    notes = [
        f"{rows:,} rows; seconds are medians of {trials}; rows, quarantine and invalid lines were checked",
        "bare DuckDB: the same typed read with store_rejects; from a URL: curl, then the same",
        "limits: 1.15 x bare without bad rows, 1.8 x with 5 % bad ones, 50 million rows from a local file below 20 s",
    ]
    return Table("csv_load", "a large CSV into a typed table with a quarantine", columns, found, notes)


def _of_file(place: Path, rows: int, bad: int, trials: int) -> Iterator[tuple[object, ...]]:
    import duckdb

    path = place / "events.csv"
    duckdb.sql(_FILE.format(bad=bad, rows=rows, path=path))
    for source in ("local file", "URL"):
        limit = [_bare(path, place, source) for _ in range(trials)]
        good = limit[0][1]
        with server(place, allowed_paths=str(place), allow_private_urls="true") as one, _served(path) as url:
            ours = [_load(one, str(path) if source == "local file" else url, good, rows - good) for _ in range(trials)]
            peaks = _peak(one)
        median, bare = statistics.median(ours), statistics.median(seconds for seconds, _ in limit)
        spread = f"{min(ours):.2f} to {max(ours):.2f}"
        rate = f"{rows / median / 1e6:.2f}"
        yield source, f"{bad} %", f"{median:.2f}", spread, f"{bare:.2f}", f"{median / bare:.2f}", rate, *peaks
    path.unlink()


def _bare(path: Path, place: Path, source: str) -> tuple[float, int]:
    """Seconds, and the rows that fitted."""
    folder = Path(tempfile.mkdtemp(dir=place))
    fetched, copy = 0.0, path
    try:
        if source == "URL":
            copy = folder / "copy.csv"
            with _served(path) as url:
                began = time.perf_counter()
                subprocess.run(["curl", "-s", "-S", "-o", copy, url], check=True)
                fetched = time.perf_counter() - began
        given = json.dumps([str(copy), str(folder), COLUMNS])
        done = subprocess.run([sys.executable, "-c", _BARE, given], capture_output=True, text=True, check=True)
        seconds, rows = json.loads(done.stdout.splitlines()[-1])
        return fetched + seconds, int(rows)
    finally:
        shutil.rmtree(folder)


def _load(one: Server, source: str, good: int, bad: int) -> float:
    """Seconds of one load, which is checked."""
    table = f"t{time.monotonic_ns()}"
    action = {"kind": "load", "source": source, "table": table, "mode": "create", "columns": COLUMNS}
    run_id = one.api.submit(spec={"name": "load", "tasks": [{"key": "load", "action": action}]})
    run = one.api.wait(run_id, 1800)
    metrics = run["tasks"][0]["metrics"]
    if run["state"] != "succeeded" or (metrics["rows"], metrics["quarantine_rows"]) != (good, bad):
        raise RuntimeError(f"wanted {good} rows and {bad} bad ones: {run}")
    one.api.ask("DELETE", f"/tables/{table}")
    return (_time(run["ended_at"]) - _time(run["created_at"])).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _peak(one: Server) -> tuple[str, str]:
    """The largest memory (MB) of the warehouse process, and of the server."""
    sizes = [_megabytes(pid) for pid in below(one.pid)]
    return f"{max(sizes, default=0):,.0f}", f"{_megabytes(one.pid):,.0f}"


def _megabytes(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


@contextmanager
def _served(path: Path) -> Iterator[str]:
    """The file over HTTP on loopback, sent by the kernel, from a thread of this process."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return
            with channel, path.open("rb") as file:
                channel.recv(65_536)
                size = os.fstat(file.fileno()).st_size
                channel.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
                channel.sendfile(file)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{path.name}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
