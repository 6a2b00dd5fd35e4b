"""A restarted server takes up what lives, takes what ended, and starts the rest at once."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.service import Service, shell

REST_SECONDS = 1.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, grace=1, process_capacity=4) as one:
        yield one


def started(service: Service, run_id: int) -> float:
    """When its newest attempt began, in seconds since 1970."""
    service.until(run_id, lambda run: bool(run["tasks"][0].get("started_at")))
    return datetime.fromisoformat(service.task(run_id)["started_at"]).timestamp()


def plain(folder: Path) -> float:
    """What a server with nothing else to take up needs just now until one queued command runs."""
    with Service(folder, grace=1, process_capacity=1) as service:
        queued = [service.submit(shell("sleep 0.5")) for _ in range(2)]
        service.in_state(queued[0], "running")
        service.kill()
        time.sleep(0.6)
        began = time.time()
        service.start()
        return started(service, queued[1]) - began


def _measured() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return plain(Path(folder))


def test_the_restarted_server_starts_the_rest_within_a_second(service: Service, tmp_path: Path) -> None:
    living = [service.submit(shell("sleep 3; echo done")) for _ in range(2)]
    ended = [service.submit(shell("sleep 0.4; exit 7")) for _ in range(2)]
    for run_id in (*living, *ended):
        service.in_state(run_id, "running")
    before = {run_id: service.task(run_id)["id"] for run_id in living}
    rest = [service.submit(shell("echo rest")) for _ in range(6)]
    service.kill()
    time.sleep(0.6)

    began = time.time()
    service.start()
    ready = time.time() - began

    took = max(started(service, run_id) for run_id in rest) - began
    sys.stdout.write(
        f"ready {ready:.2f} s after the start of the server, the last of the rest began after {took:.2f} s\n"
    )
    if took >= REST_SECONDS:  # a machine that others use at the same time is slower
        alone = max(_measured() for _ in range(2))
        assert took < 2 * alone, f"{took} s, and {alone} s with nothing else to take up"
    for run_id in ended:
        assert service.ended(run_id)["tasks"][0]["exit_code"] == 7
    for run_id in rest:
        assert service.ended(run_id)["state"] == "succeeded"
    for run_id, task_run_id in before.items():  # and took up what lives: it is still the same attempt
        assert service.ended(run_id)["state"] == "succeeded"
        assert [one["id"] for one in service.attempts(run_id)] == [task_run_id]
        assert service.log(task_run_id) == "done\n"
