"""The Glue face: its cost beside the native one, what boto3 sees beside moto, how soon a script starts."""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import load, report, server
from bench.report import ms, percentile, whole

COLUMNS = ("question", "who", "data on", "clients", "per second", "low-high", "p50 ms", "p95 ms")
SCRIPT = "import time; at = time.time_ns()\nprint(at)\n"
TARGET = {"X-Amz-Target": "AWSGlue.StartJobRun"}
LISTED = 100
JOBS = 100
"""Among which the starts are divided: a limit costs a count of its job's runs that are under way."""
IDLE_SECONDS = 0.05
Row = list[object]


def measure(given: argparse.Namespace) -> report.Table:
    """One table over disk and memory."""
    trials, seconds, times = (1, 1.0, 20) if given.quick else (5, 2.0, 100)
    rows: list[Row] = []
    for where, place in report.places():
        rows += _starts(where, place, trials, seconds)
        rows += _clients(where, place, trials, seconds)
        rows.append(_latency(where, place, times))
    rows += _moto(trials, seconds)
    rows += _constant(trials, seconds)
    notes = [
        "StartJobRun and native submit: raw HTTP over 16 kept connections with a token; the queue is paused, so that "
        "only the start is measured. A Glue job always has a limit of concurrent runs, which is counted in the "
        "transaction of each start. Checked: every answer has an id of its own.",
        "boto3: one client in one process, which signs its requests; ours verifies them and stores each run durably, "
        "moto keeps them in memory and runs nothing. GetJobRuns asks for 100 of the runs that the starts made. The "
        "constant is a program that sends the same bytes as Runyard did and does nothing else: what boto3 itself "
        "takes, so the most that it can see of any server.",
        "First line: from before StartJobRun is sent, over a kept connection, to the clock that the script's first "
        "statement reads; 50 ms of idleness before each; a pythonshell job without extra modules.",
    ]
    return report.Table("glue", "the Glue face beside the native one and moto", COLUMNS, rows, notes)


@contextmanager
def _server(place: Path) -> Iterator[server.Server]:
    with server.server(place, account_runs=0, allowed_paths=tempfile.gettempdir()) as one:
        yield one


def _client(url: str) -> Any:
    import boto3

    return boto3.client(
        "glue",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="operator",
        aws_secret_access_key=server.TOKEN,
    )


def _job(client: Any, folder: Path, name: str = "bench") -> None:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    client.create_job(
        Name=name,
        Role="r",
        Command={"Name": "pythonshell", "ScriptLocation": str(script)},
        ExecutionProperty={"MaxConcurrentRuns": 100_000},
    )


# --- over the wire ---


def _starts(where: str, place: Path, trials: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, _server(place) as one:
        client = _client(one.url)
        for number in range(JOBS):
            _job(client, Path(folder), f"bench {number}")
        client.close()
        task = {"key": "one", "action": {"kind": "python", "source": SCRIPT}}
        free = one.api.job("native", task, parameters={"n": 0})
        limited = [one.api.job("native", task, parameters={"n": 0}, max_concurrent_runs=100_000) for _ in range(JOBS)]
        one.api.pause("default", True)
        count = round(12_000 * seconds)
        asked = [("POST", "", {"JobName": f"bench {n % JOBS}", "Arguments": {"--n": str(n)}}) for n in range(count)]
        submits = [("POST", "/runs", {"job": free, "parameters": {"n": n}}) for n in range(count)]
        counted = [("POST", "/runs", {"job": limited[n % JOBS], "parameters": {"n": n}}) for n in range(count)]

        def glue() -> load.Load:
            return load.run(one.url, asked, seconds=seconds, prefix="/", headers=TARGET)

        def plain() -> load.Load:
            return load.run(one.url, submits, seconds=seconds, status=201)

        def limits() -> load.Load:
            return load.run(one.url, counted, seconds=seconds, status=201)

        whos = (
            ("Runyard, StartJobRun", glue, "JobRunId"),
            ("Runyard, native submit, jobs with a limit", limits, "id"),
            ("Runyard, native submit, a job without", plain, "id"),
        )
        for who, call, key in whos:
            found = report.repeated(trials, lambda call=call, key=key: _checked(call(), key))  # type: ignore[misc]
            rows.append(_row("starts over HTTP", who, where, 16, found))
    return rows


def _checked(done: load.Load, key: str) -> dict[str, float]:
    ids = [json.loads(body)[key] for body in done.bodies]
    assert len(set(ids)) == len(ids), "an id was given twice"
    return {
        "rate": done.rate,
        "p50": percentile(done.latencies, 0.5),
        "p95": percentile(done.latencies, 0.95),
    }


def _row(question: str, who: str, where: str, clients: int, found: dict[str, float]) -> Row:
    spread = f"{whole(found['low'])}-{whole(found['high'])}"
    return [question, who, where, clients, whole(found["rate"]), spread, ms(found["p50"]), ms(found["p95"])]


# --- through boto3 ---


def _clients(where: str, place: Path, trials: int, seconds: float) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, _server(place) as one:
        client = _client(one.url)
        _job(client, Path(folder))
        one.api.pause("default", True)
        return _through_boto3("Runyard", where, client, trials, seconds)


def _constant(trials: int, seconds: float) -> list[Row]:
    """boto3 against the bytes of real answers: the share of the client."""
    memory = report.places()[-1][1]
    with tempfile.TemporaryDirectory() as folder, _server(memory) as one:
        client = _client(one.url)
        _job(client, Path(folder))
        client.close()
        one.api.pause("default", True)
        with closing(http.client.HTTPConnection(urlsplit(one.url).netloc, timeout=60)) as connection:
            for _ in range(LISTED):
                started = _ask(connection, "StartJobRun", {"JobName": "bench", "Arguments": {"--n": "1"}})
            listed = _ask(connection, "GetJobRuns", {"JobName": "bench", "MaxResults": LISTED})
    command = [sys.executable, "-m", "bench.constant"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        print(json.dumps({"StartJobRun": started, "GetJobRuns": listed}), file=process.stdin, flush=True)
        client = _client(f"http://127.0.0.1:{int(process.stdout.readline())}")
        return _through_boto3("a constant", "nowhere", client, trials, seconds)
    finally:
        process.terminate()
        process.wait(20)
        process.stdin.close()
        process.stdout.close()


def _through_boto3(who: str, where: str, client: Any, trials: int, seconds: float) -> list[Row]:
    def start() -> None:
        assert client.start_job_run(JobName="bench", Arguments={"--n": "1"})["JobRunId"]

    def runs() -> None:
        assert len(client.get_job_runs(JobName="bench", MaxResults=LISTED)["JobRuns"]) == LISTED

    for _ in range(LISTED):
        start()
    rows = []
    for question, call in (("boto3 StartJobRun", start), (f"boto3 GetJobRuns({LISTED})", runs)):
        found = report.repeated(trials, lambda call=call: _timed(call, seconds))  # type: ignore[misc]
        rows.append(_row(question, who, where, 1, found))
    client.close()
    return rows


def _timed(call: Callable[[], None], seconds: float) -> dict[str, float]:
    found, begun = [], time.perf_counter()
    for _ in itertools.count():
        before = time.perf_counter()
        if before - begun > seconds:
            break
        call()
        found.append(time.perf_counter() - before)
    total = time.perf_counter() - begun
    return {"rate": len(found) / total, "p50": percentile(found, 0.5), "p95": percentile(found, 0.95)}


def _moto(trials: int, seconds: float) -> list[Row]:
    """The same through moto's server, where moto is installed; it has no job limit to raise but its own."""
    if importlib.util.find_spec("moto") is None:
        return [["boto3 StartJobRun", "moto: not installed", "-", 1, "-", "-", "-", "-"]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        client = _client(f"http://127.0.0.1:{port}")
        with tempfile.TemporaryDirectory() as folder:
            _wait(port)
            _job(client, Path(folder))
            return _through_boto3("moto's server", "nowhere", client, trials, seconds)
    finally:
        process.terminate()
        process.wait(20)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("moto's server does not answer")


# --- how soon a script starts ---


def _latency(where: str, place: Path, times: int) -> Row:
    with tempfile.TemporaryDirectory() as folder, _server(place) as one:
        client = _client(one.url)
        (one_folder := Path(folder)).chmod(0o755)
        script = one_folder / "clock.py"
        script.write_text(f"import time; at = time.time_ns()\nopen({str(one_folder / 'at')!r}, 'w').write(str(at))\n")
        client.create_job(Name="clock", Role="r", Command={"Name": "pythonshell", "ScriptLocation": str(script)})
        client.close()
        with closing(http.client.HTTPConnection(urlsplit(one.url).netloc, timeout=60)) as connection:
            found = [_first_line(connection, one_folder / "at") for _ in range(times + 1)][1:]
    return [
        "StartJobRun to first line", "Runyard", where, 1, "-", "-", ms(percentile(found, 0.5)),
        ms(percentile(found, 0.95)),
    ]  # fmt: skip


def _first_line(connection: http.client.HTTPConnection, said: Path) -> float:
    said.unlink(missing_ok=True)
    time.sleep(IDLE_SECONDS)
    sent = time.time_ns()
    run_id = _ask(connection, "StartJobRun", {"JobName": "clock"})["JobRunId"]
    while True:
        run = _ask(connection, "GetJobRun", {"JobName": "clock", "RunId": run_id})["JobRun"]
        if run["JobRunState"] not in ("STARTING", "RUNNING"):
            break
        time.sleep(0.05)
    assert run["JobRunState"] == "SUCCEEDED", run
    return (int(said.read_text()) - sent) / 1e9


def _ask(connection: http.client.HTTPConnection, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-Amz-Target": f"AWSGlue.{operation}", "Authorization": f"Bearer {server.TOKEN}"}
    connection.request("POST", "/", json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data
    return dict(json.loads(data))
