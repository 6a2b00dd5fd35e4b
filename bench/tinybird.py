"""The Tinybird dialect: an import from a URL, events, the list of jobs at size, an endpoint over many rows."""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import duckdb

from bench import report, server, tinybird_jobs
from bench.report import percentile

COLUMNS = ("what", "found", "limit measured beside it", "ratio", "wanted")
FIELDS = "id Int32, city String, seen DateTime, amount Float64"
TYPES = "{'id': 'INTEGER', 'city': 'VARCHAR', 'seen': 'TIMESTAMP', 'amount': 'DOUBLE'}"
QUERY = (
    "SELECT city, count() AS n, sum(amount) AS total FROM visits WHERE id % 7 = 3 GROUP BY city ORDER BY n DESC LIMIT 5"
)


class Client:
    """One kept connection."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """The decoded answer; anything but a 2xx is an error."""
        headers = {"Authorization": f"Bearer {server.TOKEN}", "Content-Type": kind}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data) if data else None

    def source(self, name: str, schema: str) -> None:
        """A new Data Source."""
        self.ask("POST", f"/v0/datasources?name={name}&schema={quote(schema)}")

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once it is done."""
        while (now := self.ask("GET", f"/v0/jobs/{job['id']}"))["status"] not in ("done", "error", "cancelled"):
            time.sleep(0.05)
        if now["status"] != "done":
            raise RuntimeError(now["error"])
        return dict(now)


QUIET = "database.execute('SET enable_progress_bar = false')"
"""It would be drawn on standard output."""


def measure(given: argparse.Namespace) -> report.Table:
    """One table of single figures; `--rows` says how many are imported, `--runs` how many jobs are kept."""
    rows = given.rows or (200_000 if given.quick else 10_000_000)
    jobs = given.runs or (20_000 if given.quick else 1_000_000)
    with tempfile.TemporaryDirectory(prefix="runyard-bench-") as name:
        folder = Path(name)
        path = _written(folder, rows)
        with server.server(allow_private_urls="true") as one, _files(folder) as at:
            client = Client(one.url)
            found = [
                *_import(client, path, f"{at}/{path.name}", rows),
                _endpoint(client, path, 20 if given.quick else 100),
                _events(one.url, client, 1.0 if given.quick else 10.0),
            ]
        path.unlink()
        found += _jobs(folder, jobs, 100 if given.quick else 1000)
    notes = [
        f"A CSV file of {rows:,} rows ({path.name}), served by Python's http.server on this machine. The limit of the "
        "import is a download by curl and then bare DuckDB, typed, with the same file and server.",
        "The endpoint's limit is the same query in bare DuckDB, in a process of its own, on the same rows.",
        f"{jobs:,} jobs of thirty days, 100 a list. A first question of tinybird.jobs_log writes all of them down; "
        "the server is started anew before the second.",
    ]
    return report.Table("tinybird", "what the Tinybird dialect costs", COLUMNS, found, notes)


def _written(folder: Path, rows: int) -> Path:
    path = folder / "visits.csv"
    duckdb.sql(
        f"COPY (SELECT i::INTEGER AS id, 'city ' || (i % 1000) AS city, TIMESTAMP '2024-01-01' + to_seconds(i) AS seen,"
        f" i * 0.25 AS amount FROM range({rows}) t(i)) TO '{path}' (HEADER)"
    )
    return path


@contextmanager
def _files(folder: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def log_message(self, *given: Any) -> None:
            pass

    files = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=files.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{files.server_port}"
    finally:
        files.shutdown()
        files.server_close()
        thread.join()


# --- the import -------------------------------------------------------------------------------------------


def _bare(path: Path) -> float:
    """Seconds of bare DuckDB for the file, in a process of its own."""
    text = (
        "import duckdb, tempfile, time\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    database = duckdb.connect(folder + '/bare.duckdb')\n"
        f"    {QUIET}\n"
        f"    database.execute('CREATE TABLE visits (id INTEGER, city VARCHAR, seen TIMESTAMP, amount DOUBLE)')\n"
        "    begun = time.perf_counter()\n"
        f"    database.execute(\"INSERT INTO visits SELECT * FROM read_csv('{path}', header = true, delim = ',',"
        f' auto_detect = false, columns = {TYPES}, store_rejects = true)")\n'
        "    print(time.perf_counter() - begun)\n"
    )
    return float(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)


def _import(client: Client, path: Path, url: str, rows: int) -> list[list[object]]:
    copy = path.with_name("copy.csv")
    begun = time.perf_counter()
    subprocess.run(["curl", "--silent", "--fail", "--output", str(copy), url], check=True)
    limit = time.perf_counter() - begun + _bare(copy)
    copy.unlink()
    client.source("visits", FIELDS)
    begun = time.perf_counter()
    job = client.ended(client.ask("POST", f"/v0/datasources?name=visits&mode=append&format=csv&url={quote(url)}"))
    took = time.perf_counter() - begun
    if job["statistics"]["row_count"] != rows or job["quarantine_rows"]:
        raise RuntimeError(f"the import is not whole: {job}")
    return [
        [f"import of {rows:,} rows from a URL, s", f"{took:.2f}", f"{limit:.2f}", f"{took / limit:.2f}", "<= 1.15"],
        ["the same, rows/s", f"{rows / took:,.0f}", f"{rows / limit:,.0f}", "", ""],
    ]


# --- the endpoint -----------------------------------------------------------------------------------------


def _endpoint(client: Client, path: Path, times: int) -> list[object]:
    node = {"name": "totals", "sql": QUERY, "type": "endpoint"}
    client.ask("POST", "/v0/pipes", json.dumps({"name": "top", "nodes": [node]}).encode())
    client.ask("GET", "/v0/pipes/top.json")
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        found = client.ask("GET", "/v0/pipes/top.json")
        took.append(time.perf_counter() - begun)
    text = (
        "import duckdb, statistics, tempfile, time\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    database = duckdb.connect(folder + '/bare.duckdb')\n"
        f"    {QUIET}\n"
        f"    database.execute(\"CREATE TABLE visits AS SELECT * FROM read_csv('{path}', columns = {TYPES})\")\n"
        f"    ask = {QUERY.replace('count()', 'count(*)')!r}\n"
        "    took = []\n"
        f"    for _ in range({times}):\n"
        "        begun = time.perf_counter(); rows = database.execute(ask).fetchall()\n"
        "        took.append(time.perf_counter() - begun)\n"
        "    print(statistics.median(took), len(rows))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    ours, bare = statistics.median(took) * 1000, float(done[0]) * 1000
    if found["rows"] != int(done[1]):
        raise RuntimeError("the endpoint and bare DuckDB do not agree")
    return ["an endpoint over these rows, p50 ms", f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare:.2f}", "<= 1.2"]


# --- events -----------------------------------------------------------------------------------------------


def _events(url: str, client: Client, seconds: float) -> list[object]:
    client.source("events", "`id` Int32 `json:$.id`, `city` String `json:$.city`, `amount` Float64 `json:$.amount`")
    lines = [json.dumps({"id": n, "city": f"city {n % 1000}", "amount": n / 4}) for n in range(1000)]
    body = "\n".join(lines).encode()
    sent: list[int] = []
    deadline = time.perf_counter() + seconds

    def send() -> None:
        mine = Client(url)
        while time.perf_counter() < deadline:
            if mine.ask("POST", "/v0/events?name=events", body)["successful_rows"] != 1000:
                raise RuntimeError("an event was lost")
            sent.append(1000)

    threads = [threading.Thread(target=send) for _ in range(16)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, rows = time.perf_counter() - begun, sum(sent)
    kept = client.ask("GET", f"/v0/sql?q={quote('SELECT count() AS n FROM events FORMAT JSON')}")["data"][0]["n"]
    if kept != rows:
        raise RuntimeError(f"{rows} events were answered, {kept} are there")
    return ["events in bodies of 1,000, 16 connections, durable rows/s", f"{rows / took:,.0f}", "", "", ">= 50,000"]


# --- the list of jobs -------------------------------------------------------------------------------------


def _jobs(folder: Path, jobs: int, times: int) -> list[list[object]]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    tinybird_jobs.fill(data / "runyard.db", jobs)
    found: list[list[object]] = []
    filters = {"": "", ", status=error": "?status=error", ", kind=copy": "?kind=copy",
               ", pipe_name and status": "?pipe_name=top_1&status=done"}  # fmt: skip
    with server.server(data=data) as one:
        client = Client(one.url)
        for what, query in filters.items():
            took = []
            for _ in range(times):
                begun = time.perf_counter()
                client.ask("GET", f"/v0/jobs{query}")
                took.append((time.perf_counter() - begun) * 1000)
            label = f"GET /v0/jobs{what} with {jobs:,} jobs kept, p50 / p99 ms"
            found.append([label, f"{percentile(took, 0.5):.1f} / {percentile(took, 0.99):.1f}", "", "", "p99 <= 10"])
    return found + _log(data, min(jobs, 20_000))


def _log(data: Path, jobs: int) -> list[list[object]]:
    """`tinybird.jobs_log` over a smaller past: the first question, and the first one of a restarted server."""
    again = data.with_name("log")
    again.mkdir(mode=0o700)
    tinybird_jobs.fill(again / "runyard.db", jobs)
    asked = f"/v0/sql?q={quote('SELECT count() AS n FROM tinybird.jobs_log FORMAT JSON')}"
    found: list[list[object]] = []
    for what in ("first question", "after a restart"):
        with server.server(data=again) as one:
            begun = time.perf_counter()
            kept = Client(one.url).ask("GET", asked)["data"][0]["n"]
            took = time.perf_counter() - begun
        if kept != jobs:
            raise RuntimeError(f"the log has {kept} of {jobs} jobs")
        found.append([f"tinybird.jobs_log of {jobs:,} jobs, {what}, s", f"{took:.2f}", "", "", ""])
    return found
