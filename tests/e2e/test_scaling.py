"""The commands of docs/scaling.md, as they stand there: from a server on SQLite to two and a worker on PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests import postgres
from tests.e2e.service import Service, shell, spec, wait
from tests.live_server import environment

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
COMMANDS = dict(re.findall(r"<!-- tested: (\w+) -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
TOKEN = "a token for the test of scaling"


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def _surroundings(folder: Path) -> dict[str, str]:
    """What the page's variables stand for, and `runyard` as it is installed."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "runyard").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runyard "$@"\n')
    (tools / "runyard").chmod(0o755)
    folders = {"DATA": folder / "data", "DATA2": folder / "data2", "DATA3": folder / "data3"}
    return environment(
        **{name: str(path) for name, path in folders.items()},
        STORE=postgres.fresh_url(), PORT=_free_port(), PORT2=_free_port(), PATH=f"{tools}:{os.environ['PATH']}",
        RUNYARD_TOKEN=TOKEN, RUNYARD_GRACE="1", RUNYARD_PROCESS_CAPACITY="2",
    )  # fmt: skip


def _run(name: str, env: dict[str, str]) -> str:
    done = subprocess.run(["sh", "-euc", COMMANDS[name]], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _standing(name: str, env: dict[str, str]) -> Iterator[None]:
    """A block that goes on until it is stopped."""
    process = subprocess.Popen(["sh", "-euc", COMMANDS[name]], env=env, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith(b"ready ")
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.read()  # ends with the last that writes there, also after the shell
        process.wait(30)
        process.stdout.close()


def _api(port: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=20)


def _slots(api: httpx.Client) -> dict[str, int | None]:
    return {queue["name"]: queue.get("slots") for queue in api.get("/queues").json()["items"]}


def _done(api: httpx.Client, run_id: int) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        run: dict[str, object] = api.get(f"/runs/{run_id}").raise_for_status().json()
        return run if run["state"] == "succeeded" else None

    return wait(look, lambda: api.get(f"/runs/{run_id}").text)


def test_one_server_on_sqlite_becomes_two_and_a_worker_as_the_page_says(tmp_path: Path) -> None:
    env = _surroundings(tmp_path)
    with Service(tmp_path, grace=1) as service:
        before = service.ended(service.submit(shell("echo before")))
        _run("slots", env | {"RUNYARD_URL": str(service.http.base_url).removesuffix("/api/v1/")})
        assert service.process is not None
        with ThreadPoolExecutor(1) as parent:  # who lets it go, as a service manager does
            ended = parent.submit(service.process.wait, 30)
            said = _run("move", env)
            assert ended.result() == 0
        service.gone()
    assert "1 run\n" in said
    with ExitStack() as stack:
        for name in ("first", "second", "worker"):
            stack.enter_context(_standing(name, env))
        one, other = (stack.enter_context(_api(env[port])) for port in ("PORT", "PORT2"))
        assert other.get(f"/runs/{before['id']}").json()["state"] == "succeeded"
        assert other.get(f"/task-runs/{before['tasks'][0]['id']}/log").text == "before\n"
        assert {"heavy": 2}.items() <= _slots(other).items()
        asked = {"spec": {**spec(shell("echo far")), "queue": "gpu"}}
        for api, elsewhere in ((one, other), (other, one)):
            _done(elsewhere, api.post("/runs", json=asked).raise_for_status().json()["id"])
        assert len(json.loads(_run("look", env))["nodes"]) == 3
