"""A real server in a process of its own, and a client for what is not measured."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKEN = "bench-token"
API = "/api/v1"
PAGE = 200


class Api:
    """One kept connection to the native API; anything but a 2xx is an error."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        self._connection.request(method, API + path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:500]!r}")
        return json.loads(data) if data else None

    def job(self, name: str, *tasks: dict[str, Any], **more: Any) -> int:
        """Keeps a job; its id."""
        return int(self.ask("POST", "/jobs", {"name": name, "tasks": list(tasks), **more})["id"])

    def submit(self, **body: Any) -> int:
        """Starts a run; its id."""
        return int(self.ask("POST", "/runs", body)["id"])

    def submit_many(self, bodies: list[dict[str, Any]]) -> list[int]:
        """Starts runs, a thousand a request; their ids."""
        ids: list[int] = []
        for start in range(0, len(bodies), 1000):
            ids += self.ask("POST", "/runs:batch", {"runs": bodies[start : start + 1000]})["ids"]
        return ids

    def pause(self, queue: str, paused: bool) -> None:
        """Holds or opens a queue."""
        self.ask("PUT", f"/queues/{queue}", {"paused": paused})

    def wait_until_over(self, where: str = "", seconds: float = 120) -> None:
        """Waits until no run is live; asks seldom, since each question costs as much as a run."""
        deadline = time.monotonic() + seconds
        while self.ask("GET", f"/runs?limit=1&state=queued,running,cancelling{where}")["items"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"runs are still live after {seconds:g} s")
            time.sleep(0.025)

    def wait(self, run_id: int, seconds: float = 60, pause: float = 0.001) -> dict[str, Any]:
        """The run, once it is over, asked for again after each pause."""
        deadline = time.monotonic() + seconds
        while (run := self.ask("GET", f"/runs/{run_id}"))["ended_at"] is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is still {run['state']} after {seconds:g} s")
            time.sleep(pause)
        return dict(run)

    def listed(self, where: str = "") -> Iterator[dict[str, Any]]:
        """Every run of a filter, page by page."""
        cursor = ""
        while True:
            page = self.ask("GET", f"/runs?limit={PAGE}{where}{cursor}")
            yield from page["items"]
            if not page.get("next"):
                return
            cursor = f"&cursor={page['next']}"


class Server:
    """A server that answers."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], ready_seconds: float) -> None:
        self.url = url
        self.pid = process.pid
        self.ready_seconds = ready_seconds
        self.api = Api(url)


@contextmanager
def server(place: Path | None = None, *, data: Path | None = None, **settings: str | int) -> Iterator[Server]:
    """`runyard up` on a free port with a new data folder below `place` (or `data`), stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-bench-", dir=place))
    command = [sys.executable, "-m", "runyard", "up", "--port", "0", "--token", TOKEN]
    command += ["--data", str(data or folder / "data")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    own |= {f"RUNYARD_{name.upper()}": str(value) for name, value in settings.items()}
    begun = time.perf_counter()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=own)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        ready = time.perf_counter() - begun
        if not line.startswith("ready "):
            raise RuntimeError(f"the server did not start: {(folder / 'log').read_text()}")
        yield Server(line.split()[1], process, ready)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system time so far: of the process, and of all below it, also of those that ended."""
    own = _times(pid)
    return own[0], own[1] + sum(sum(_times(child)) for child in below(pid))


def _times(pid: int) -> tuple[float, float]:
    """A process's own time, and that of its children that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return own / _TICKS, ended / _TICKS


def below(pid: int) -> Iterator[int]:
    """Every process below one."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in thread.read_text().split():
            yield int(child)
            yield from below(int(child))


def copy(source: Path, target: Path) -> None:
    """A file or a folder as it stands, with its owner."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    os.sync()  # or the disk would write it down while flushes are timed


_TICKS = os.sysconf("SC_CLK_TCK")
