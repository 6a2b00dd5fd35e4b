"""A real server that tests kill and start again, and the few sentences that they say to it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tests.live_server import environment

T = TypeVar("T")
ENDED = {"succeeded", "failed", "cancelled", "timed_out", "skipped", "upstream_failed", "lost"}
START_SECONDS, STOP_SECONDS, PATIENCE = 60.0, 40.0, 40.0


class Service:
    """One data folder, and the server that has it at the moment."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.data = folder / "data"
        self.said = folder / "server.log"
        self.settings = {f"RUNYARD_{name.upper()}": str(value) for name, value in settings.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client()
        self.took = self.start()
        """What the first start cost."""

    def __enter__(self) -> Service:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.http.close()
        if self.process is not None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def start(self) -> float:
        """Starts a server on the folder; answers how many seconds of a processor it took to be ready.

        Not of a clock: that would measure what else the machine does.
        """
        process = self.launch([sys.executable, "-m", "runyard"])
        assert self.ready(), self.said.read_text()
        words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def restart(self) -> None:
        """Starts a server on what the one before left: within a second, as `start` measures it.

        A processor that others use at the same time is slower: what a server with nothing to take up needs just then
        is the measure there.
        """
        took = self.start()
        if took >= 1.0:
            with tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as empty:
                empty.terminate()
                nothing = max(empty.took, empty.start())
            assert took < 1.5 * nothing, f"{took} s, and {nothing} s with nothing to take up"

    def launch(self, program: list[str]) -> subprocess.Popen[bytes]:
        """Begins to start a server by this program."""
        command = [*program, "up", "--dev", "--port", "0", "--data", str(self.data)]
        with self.said.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment(**self.settings)
            )
        return self.process

    def ready(self) -> bool:
        """Waits for the server: True once it answers, False if it ends first."""
        assert self.process is not None
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        assert readable, f"not ready within {START_SECONDS} s\n{self.said.read_text()}"
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready http://"):
            return False
        self.http.close()
        limits = httpx.Limits(max_connections=100)
        self.http = httpx.Client(base_url=line.split()[1] + "/api/v1", timeout=20, limits=limits)
        return True

    def gone(self) -> None:
        """It ended by itself."""
        assert self.process is not None
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def kill(self) -> None:
        """As a power switch for the server alone: its other processes see it gone."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Asks for its end and answers its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process = process
            raise
        finally:
            if process.stdout is not None and self.process is None:
                process.stdout.close()

    # --- what it is asked ---

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        return _good(self.http.post(path, json={} if body is None else body, headers=headers))

    def get(self, path: str, **query: Any) -> Any:
        return _good(self.http.get(path, params=query))

    def ready_to_work(self) -> bool:
        """What it says of itself."""
        return self.http.get(str(self.http.base_url).replace("/api/v1/", "/readyz")).is_success

    def submit(self, *actions: dict[str, Any], name: str = "r", **task: Any) -> int:
        """A run of tasks t0, t1 ... one after the other; each with these further fields."""
        return int(self.post("/runs", {"spec": spec(*actions, name=name, **task)})["id"])

    def run(self, run_id: int, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/runs/{run_id}", **query)
        return found

    def task(self, run_id: int) -> dict[str, Any]:
        """The newest attempt of its one task."""
        (found,) = self.run(run_id)["tasks"]
        return dict(found)

    def attempts(self, run_id: int) -> list[dict[str, Any]]:
        return list(self.run(run_id, all_attempts=True)["tasks"])

    def ended(self, run_id: int) -> dict[str, Any]:
        return self.until(run_id, lambda run: run["state"] in ENDED)

    def in_state(self, run_id: int, state: str) -> dict[str, Any]:
        return self.until(run_id, lambda run: any(one["state"] == state for one in run["tasks"]))

    def until(self, run_id: int, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return wait(lambda: run if good(run := self.run(run_id)) else None, lambda: self.run(run_id))

    def log(self, task_run_id: int) -> str:
        return self.http.get(f"/task-runs/{task_run_id}/log").text

    def rows(self, statement: str) -> list[list[Any]]:
        """What a statement answers, through a run of its own."""
        run = self.ended(self.submit(sql(statement)))
        assert run["state"] == "succeeded", run
        return list(self.get(f"/task-runs/{run['tasks'][0]['id']}/output")["rows"])

    def terminal_events(self, run_id: int) -> list[str]:
        """The ends of the run (not of its tasks) in its history."""
        events = self.get(f"/runs/{run_id}/events", limit=1000)["items"]
        ends = [one for one in events if one["kind"] == "state" and one.get("state") in ENDED]
        return [one["state"] for one in ends if one.get("task_run_id") is None]


def _good(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    return json.loads(answer.content)


def wait(what: Callable[[], T | None], tell: Callable[[], object] = lambda: "") -> T:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} s in vain: {tell()}")


def spec(*actions: dict[str, Any], name: str = "r", **task: Any) -> dict[str, Any]:
    tasks = [
        {"key": f"t{n}", "action": action, "needs": [{"task": f"t{n - 1}"}] if n else [], **task}
        for n, action in enumerate(actions)
    ]
    return {"name": name, "tasks": tasks}


def shell(command: str) -> dict[str, Any]:
    return {"kind": "shell", "command": command}


def python(source: str) -> dict[str, Any]:
    return {"kind": "python", "source": source}


def sql(statement: str) -> dict[str, Any]:
    return {"kind": "sql", "statement": statement}


def processes_with(text: str) -> list[str]:
    """Command lines of living processes that hold this text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in line and state not in "ZX" and int(entry.name) != os.getpid():
            found.append(line)
    return found
