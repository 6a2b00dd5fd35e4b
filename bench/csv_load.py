"""A large CSV into a typed table with a quarantine, through the API, against bare DuckDB on the same file.

    python -m bench csv_load [--rows 50000000] [--seconds 600] [--quick]

The file has the shape of a table of events: date, user_id, event, extra_data. Bare DuckDB does the same typed read
with `store_rejects`, with the same threads, into a database file in the same folder. From a URL the limit is the
fastest downloader that is here (curl), and bare DuckDB after it. The time of a load is from the creation of its run to
its end, as the API says. Ours and bare take turns. A fifth of the rows comes first, twice; then all rows, once: a case
that would not end within `--seconds`, by what the smaller one took, is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
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
ROWS, QUICK_ROWS, PEER_ROWS, SECONDS = 50_000_000, 500_000, 200_000, 600
SOURCES = ("local file", "URL")
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
import duckdb, json, resource, sys, time
path, folder, columns = json.loads(sys.argv[1])
c = duckdb.connect(folder + "/bare.duckdb")
kinds = ", ".join(f"'{k}': '{v}'" for k, v in columns.items())
c.execute("CREATE TABLE t (" + ", ".join(f"{k} {v}" for k, v in columns.items()) + ")")
began = time.perf_counter()
c.execute(f"INSERT INTO t SELECT * FROM read_csv('{path}', columns = {{{kinds}}}, header = true, delim = ',',"
          " quote = '\\"', escape = '\\"', auto_detect = false, store_rejects = true, rejects_limit = 0)")
seconds = time.perf_counter() - began
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps([seconds, c.execute("SELECT count(*) FROM t").fetchone()[0], memory]))
"""


def measure(given: argparse.Namespace) -> Table:
    """The table of all loads."""
    rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    place = Path(tempfile.mkdtemp(prefix="csv-bench-"))
    try:
        found = _Cases(place, given.seconds or SECONDS).lines(rows, quick=given.quick)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    columns = (
        "rows", "source", "bad", "seconds", "bare DuckDB", "ratio", "million rows/s", "peak MB: warehouse", "server",
        "bare", "rows that bare lost",
    )  # fmt: skip
    notes = [
        "seconds: all trials, ours and bare in turns; the ratio is that of their medians; rows, quarantine and invalid"
        " lines were checked",
        "bare DuckDB: the same typed read with store_rejects; from a URL: curl, then the same; it leaves out blocks"
        " that begin before a bad line (docs/decisions, 22)",
        "pandas and dlt infer types and keep nothing aside; where no figure stands the package is not installed",
        "limits: 1.15 x bare without bad rows, 1.8 x with 5 % bad ones, 50 million rows from a local file below 20 s",
    ]
    return Table("csv_load", "a large CSV into a typed table with a quarantine", columns, found, notes)


class _Cases:
    """All cases within a time."""

    def __init__(self, place: Path, seconds: float) -> None:
        self._place, self._until = place, time.monotonic() + seconds
        self._took: dict[tuple[str, int], float] = {}
        """Seconds of a turn of ours and bare for each million rows."""

    def lines(self, rows: int, *, quick: bool) -> list[tuple[object, ...]]:
        """A line for each case."""
        small = rows if quick else rows // 5
        found = [line for bad in (0, 5) for line in self._of_file(small, bad, SOURCES, 1 if quick else 2)]
        if not quick:
            found += self._of_file(rows, 0, SOURCES, 1)
            found += self._of_file(rows, 5, SOURCES[:1], 1)
        return found + [self._peer(who, min(rows, PEER_ROWS)) for who in ("pandas", "dlt")]

    def _of_file(self, rows: int, bad: int, sources: tuple[str, ...], trials: int) -> Iterator[tuple[object, ...]]:
        path = self._place / "events.csv"
        if any(self._fits(source, bad, rows) for source in sources):
            began = time.monotonic()
            _make(path, rows, bad)
            self._took["make", bad] = (time.monotonic() - began) * 1e6 / rows
        for source in sources:
            if self._fits(source, bad, rows):
                yield self._case(path, rows, bad, source, trials)
            else:
                yield f"{rows:,}", source, f"{bad} %", "left out: no time", *[""] * 7
        path.unlink(missing_ok=True)

    def _fits(self, source: str, bad: int, rows: int) -> bool:
        made = 0.0 if (self._place / "events.csv").exists() else self._took.get(("make", bad), 0.0)
        return time.monotonic() + (self._took.get((source, bad), 0.0) + made) * rows / 1e6 < self._until

    def _case(self, path: Path, rows: int, bad: int, source: str, trials: int) -> tuple[object, ...]:
        ours, limit, good = [], [], _good(rows, bad)
        began = time.monotonic()
        with (
            server(self._place, allowed_paths=str(self._place), allow_private_urls="true") as one,
            _served(path) as url,
        ):
            for _ in range(trials):
                limit.append(_bare(path, self._place, url if source == "URL" else None))
                ours.append(_load(one, url if source == "URL" else str(path), good, rows - good))
            peaks = _peak(one)
        self._took[source, bad] = (time.monotonic() - began) / trials * 1e6 / rows
        bare = [seconds for seconds, _, _ in limit]
        median, least = statistics.median(ours), statistics.median(bare)
        listed = [", ".join(f"{one:.2f}" for one in some) for some in (ours, bare)]
        lost = good - min(count for _, count, _ in limit)
        return (
            f"{rows:,}", source, f"{bad} %", *listed, f"{median / least:.2f}", f"{rows / median / 1e6:.2f}", *peaks,
            f"{max(memory for _, _, memory in limit):,.0f}", f"{lost:,}",
        )  # fmt: skip

    def _peer(self, who: str, rows: int) -> tuple[object, ...]:
        line = (f"{rows:,}", f"local file, {who}", "0 %")
        if importlib.util.find_spec(who) is None:
            return *line, "-", *[""] * 7
        path, folder = self._place / "few.csv", Path(tempfile.mkdtemp(dir=self._place))
        _make(path, rows, 0)
        try:
            command = [sys.executable, "-m", "bench.peer_loads", who, str(path), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise RuntimeError(f"{who}: {done.stderr.strip()[-2000:]}")
            seconds, found = json.loads(done.stdout.splitlines()[-1])
            if found != rows:
                raise RuntimeError(f"{who} loaded {found} rows of {rows}")
        finally:
            shutil.rmtree(folder)
        return *line, f"{seconds:.2f}", "", "", f"{rows / seconds / 1e6:.2f}", *[""] * 4


def _make(path: Path, rows: int, bad: int) -> None:
    import duckdb

    duckdb.sql(_FILE.format(bad=bad, rows=rows, path=path))


def _good(rows: int, bad: int) -> int:
    """How many rows of the file fit."""
    import duckdb

    fits = f"SELECT count(*) FROM range({rows}) WHERE hash(range) % 100 >= {bad}"
    return int(duckdb.connect().execute(fits).fetchall()[0][0])


def _bare(path: Path, place: Path, url: str | None) -> tuple[float, int, float]:
    """Seconds, the rows that fitted, and the memory (MB) that it took."""
    folder = Path(tempfile.mkdtemp(dir=place))
    fetched, copy = 0.0, path
    try:
        if url is not None:
            copy = folder / "copy.csv"
            began = time.perf_counter()
            subprocess.run(["curl", "-s", "-S", "-o", copy, url], check=True)
            fetched = time.perf_counter() - began
        given = json.dumps([str(copy), str(folder), COLUMNS])
        done = subprocess.run([sys.executable, "-c", _BARE, given], capture_output=True, text=True, check=True)
        seconds, rows, memory = json.loads(done.stdout.splitlines()[-1])
        return fetched + seconds, int(rows), memory
    finally:
        shutil.rmtree(folder)


def _load(one: Server, source: str, good: int, bad: int) -> float:
    """Seconds of one load, which is checked."""
    table = f"t{time.monotonic_ns()}"
    action = {"kind": "load", "source": source, "table": table, "mode": "create", "columns": COLUMNS}
    run_id = one.api.submit(spec={"name": "load", "tasks": [{"key": "load", "action": action}]})
    run = one.api.wait(run_id, 1800, pause=0.02)
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
