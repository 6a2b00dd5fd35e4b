"""One server for the tests of this folder, and the few sentences that they repeat."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live_server import live_server

OVER = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


class Rest:
    """Plain calls on one version of the API."""

    def __init__(self, http: httpx.Client, version: str, folder: Path) -> None:
        self.http = http
        self.version = version
        self.folder = folder

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Calls, checks the status, gives the body."""
        answer = self.http.request(method, f"/api/{self.version}{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, /, **query: Any) -> Any:
        """A GET with this query."""
        return self.call("GET", path, params=query)

    def post(self, path: str, /, **body: Any) -> Any:
        """A POST of this object."""
        return self.call("POST", path, json=body)

    def refused(self, path: str, /, code: str = "INVALID_PARAMETER_VALUE", status: int = 400, **body: Any) -> str:
        """A POST that is refused; its message."""
        found = self.call("POST", path, status, json=body)
        assert found["error_code"] == code, found
        return str(found["message"])

    def create(self, *tasks: dict[str, Any], **settings: Any) -> int:
        """A job."""
        return int(self.post("/jobs/create", **{"name": "job", "tasks": list(tasks), **settings})["job_id"])

    def start(self, job_id: int, **more: Any) -> int:
        """A run of a job."""
        return int(self.post("/jobs/run-now", job_id=job_id, **more)["run_id"])

    def run(self, run_id: int, **query: Any) -> dict[str, Any]:
        """A run as it stands."""
        return dict(self.get("/jobs/runs/get", run_id=run_id, **query))

    def until(self, run_id: int, *states: str, seconds: float = 30) -> dict[str, Any]:
        """The run once its life_cycle_state is one of these; any final one if none are named.

        A list tells at once that a run is over; asked for alone it is held back for its first second.
        """
        deadline = time.monotonic() + seconds
        job_id = self.run(run_id)["job_id"]
        while True:
            run = self._listed(job_id, run_id) if not states else self.run(run_id)
            if run["state"]["life_cycle_state"] in (states or OVER):
                return run
            assert time.monotonic() < deadline, run
            time.sleep(0.05)

    def _listed(self, job_id: int, run_id: int) -> dict[str, Any]:
        listed = self.get("/jobs/runs/list", job_id=job_id, expand_tasks="true").get("runs", [])
        return next((run for run in listed if run["run_id"] == run_id), None) or self.run(run_id)

    def ended(self, job_id: int, **more: Any) -> dict[str, Any]:
        """A run of a job, at its end."""
        return self.until(self.start(job_id, **more))

    def script(self, name: str, text: str) -> str:
        """A program on the server's disk; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def python(self, key: str, text: str = "print('done')", *parameters: str, **more: Any) -> dict[str, Any]:
        """A task that runs this program."""
        path = self.script(f"{key}_{abs(hash(text))}.py", text)
        return {"task_key": key, "spark_python_task": {"python_file": path, "parameters": list(parameters)}, **more}


def needs(*keys: str) -> list[dict[str, str]]:
    """depends_on; `a:true` asks for a condition's outcome."""
    pairs = [key.partition(":") for key in keys]
    return [{"task_key": key, "outcome": outcome} if outcome else {"task_key": key} for key, _, outcome in pairs]


def condition(key: str, left: str = "1", right: str = "1", op: str = "EQUAL_TO", **more: Any) -> dict[str, Any]:
    """A condition task, which needs no process."""
    return {"task_key": key, "condition_task": {"op": op, "left": left, "right": right}, **more}


def broken(key: str, **more: Any) -> dict[str, Any]:
    """A condition that fails: it compares numbers, and finds none."""
    return condition(key, "x", "y", "LESS_THAN", **more)


def tasks_of(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The latest entry of each task."""
    entries = sorted(run["tasks"], key=lambda one: (one["start_time"], one["run_id"]))
    return {one["task_key"]: one for one in entries}


def results(run: dict[str, Any]) -> dict[str, str]:
    """The result of each task."""
    return {key: one["state"].get("result_state", "") for key, one in tasks_of(run).items()}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("databricks")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    with live_server(folder, "--dev") as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30, headers={"Authorization": "Bearer any"}) as client:
        yield client


@pytest.fixture(scope="session")
def rest(http: httpx.Client, folder: Path) -> Rest:
    return Rest(http, "2.2", folder)


@pytest.fixture(scope="session")
def rest21(http: httpx.Client, folder: Path) -> Rest:
    return Rest(http, "2.1", folder)


@pytest.fixture(scope="session")
def rest20(http: httpx.Client, folder: Path) -> Rest:
    return Rest(http, "2.0", folder)
