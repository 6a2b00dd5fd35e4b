"""A real server in a process of its own, and the few sentences that tests of its API repeat."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

SOURCE = Path(__file__).parents[2] / "src"


class Server:
    """One started server; `stop` ends it and answers with its exit code."""

    def __init__(self, data: Path, **settings: object) -> None:
        self.data = data
        given = {"data": data, "port": 0, "grace": 2, **settings}
        environment = {f"RUNYARD_{name.upper()}": str(value) for name, value in given.items()}
        self.errors = data.with_name(f"{data.name}.err")
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runyard.app"],
                env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("ready "), self.errors.read_text()
        self.url = line.split()[1]

    @property
    def admin_token(self) -> str:
        """The token that the first start showed."""
        found = re.search(r"\bry_\w+", self.errors.read_text())
        assert found, "no token was shown"
        return found.group()

    def client(self, token: str | None = None) -> httpx.Client:
        """A client that sends this token, or none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signals the server and waits for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            assert self.process.stdout
            self.process.stdout.close()


class Api:
    """The administrator's client, with the few sentences that tests repeat."""

    def __init__(self, client: httpx.Client) -> None:
        self.http = client

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Calls, checks the status, gives the body."""
        answer = self.http.request(method, f"/api/v1{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, status: int, **more: Any) -> dict[str, Any]:
        """Calls, checks that it is refused in the problem shape, gives the problem."""
        answer = self.http.request(method, f"/api/v1{path}", **more)
        check_problem(answer, status)
        return dict(answer.json())

    def submit(self, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Starts a run of these tasks."""
        return dict(self.call("POST", "/runs", 201, json={"spec": spec(*tasks), **more}))

    def wait(self, run: dict[str, Any], *states: str) -> dict[str, Any]:
        """The run once it is in one of these states (any final one if none are named)."""
        wanted = states or ("succeeded", "failed", "cancelled", "timed_out", "skipped")
        deadline = time.monotonic() + 20
        while True:
            now = self.call("GET", f"/runs/{run['id']}")
            if now["state"] in wanted:
                return dict(now)
            assert time.monotonic() < deadline, now
            time.sleep(0.02)

    def token(self, *scopes: str, **more: Any) -> tuple[int, str]:
        """A new principal's id and token."""
        body = {"name": f"p{time.monotonic_ns()}", "scopes": scopes, **more}
        made = self.call("POST", "/principals", 201, json=body)
        return made["principal"]["id"], made["token"]


def check_problem(answer: httpx.Response, status: int) -> None:
    """Every refusal has this shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["code"]
    assert body["detail"]


def shell(key: str = "a", command: str = "true", **more: Any) -> dict[str, Any]:
    """A shell task."""
    return {"key": key, "action": {"kind": "shell", "command": command}, **more}


def spec(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A job's definition."""
    return {"name": "job", "tasks": list(tasks) or [shell()], **more}
