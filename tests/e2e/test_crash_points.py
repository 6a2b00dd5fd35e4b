"""Killed before and after every verb of the store and the executors: what was acknowledged is there once, and ends.

One data folder goes from crash to crash: each server starts on what the one before left, and does the same work.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.dying_server import points
from tests.e2e.service import ENDED, Service, python, shell, spec, sql, wait

FEW = [
    "store.commit.before.1",
    "store.commit.after.3",
    "store.apply.after.2",
    "process.start.before.1",
    "process.start.after.1",
    "warehouse.start.after.1",
    "process.stop.before.1",
    "process.recover.before.1",
]
"""Where most can be torn apart; `make test-all` tries them all."""


LOSSES = 3
"""So many crashes one piece of work survives; then a server must bring everything to its end."""


class Promises:
    """What servers acknowledged, and the runs that it is about."""

    def __init__(self) -> None:
        self.ends: dict[int, set[str]] = {}
        """Run id: the states in which it may end."""
        self.rows: list[int] = []
        """Numbers whose insertion was submitted."""
        self.jobs: list[int] = []
        self.deleted: list[int] = []
        self.keys: dict[str, int] = {}


def work(service: Service, promises: Promises, number: int) -> None:
    """Everything that calls a verb; ends with an exception where the server dies."""
    key, body = f"key-{number}", {"spec": spec(shell("echo once"), name="keyed")}
    keyed = service.post("/runs", body, **{"Idempotency-Key": key})["id"]
    promises.keys[key] = keyed
    promises.ends[keyed] = {"succeeded"}
    promises.jobs.append(service.post("/jobs", spec(shell("true"), name=f"job-{number}"))["id"])
    row = service.submit(sql(f"insert into hits values ({number})"), python("print('after the row')"))
    promises.rows.append(number)
    promises.ends[row] = {"succeeded"}
    long = service.submit(shell("sleep 60"))
    promises.ends[long] = {"running", "cancelled"}
    failed = service.submit(shell("exit 3"))
    promises.ends[failed] = {"failed"}
    service.in_state(long, "running")
    service.http.post(f"/runs/{long}/repair", json={})  # refused: it is not over
    service.post(f"/runs/{long}/cancel")
    promises.ends[long] = {"cancelled"}
    endless = service.submit(sql("select sum(sqrt(i)) from range(60000_000_000) t(i)"))
    promises.ends[endless] = {"running", "cancelled"}
    service.in_state(endless, "running")
    service.post(f"/runs/{endless}/cancel")
    promises.ends[endless] = {"cancelled"}
    service.log(service.ended(keyed)["tasks"][0]["id"])
    service.ended(failed)
    service.post(f"/runs/{failed}/repair")
    gone = service.submit(shell("echo gone"), sql("select 1"))
    promises.ends[gone] = {"succeeded"}
    service.ended(gone)
    promises.ends.pop(gone)  # from here on it may be there or not
    assert service.http.delete(f"/runs/{gone}").is_success
    promises.deleted.append(gone)
    service.ended(row)


def attempt(service: Service, promises: Promises, number: int, point: str) -> None:
    """Starts a server that dies at the point, and works with it until it does; it must."""
    command = [sys.executable, "-m", "tests.e2e.dying_server", point]
    service.launch(command)
    if service.ready():
        with contextlib.suppress(httpx.TransportError):
            for run_id in [run_id for run_id, ends in promises.ends.items() if "running" in ends]:
                service.http.post(f"/runs/{run_id}/cancel", json={})  # asked for before, but never answered
            work(service, promises, number)
            assert service.process is not None
            service.process.terminate()
    assert service.process is not None
    assert service.process.wait(30) == -9, f"{point} was never reached"
    service.gone()


def keep(service: Service, promises: Promises) -> None:
    """Every promise holds, and nothing is stuck."""
    for run_id, states in promises.ends.items():
        if "running" in states and service.run(run_id)["state"] == "running":
            service.post(f"/runs/{run_id}/cancel")
        run = service.ended(run_id)
        history = service.get(f"/runs/{run_id}/events", limit=1000)["items"]
        assert run["state"] in states & ENDED, f"{history} {service.attempts(run_id)}"
        assert len(service.terminal_events(run_id)) == run["round"] + 1, f"{history} {run}"
    for run_id in promises.deleted:
        assert service.http.get(f"/runs/{run_id}").status_code == 404
    for job_id in promises.jobs:
        assert service.http.get(f"/jobs/{job_id}").is_success
    body = {"spec": spec(shell("echo once"), name="keyed")}
    for key, run_id in promises.keys.items():
        assert service.post("/runs", body, **{"Idempotency-Key": key})["id"] == run_id
    rows = [row[0] for row in service.rows("select n from hits order by n")]
    assert len(rows) == len(set(rows))
    assert set(promises.rows) <= set(rows)
    wait(lambda: not live(service), lambda: live(service))


def live(service: Service) -> list[dict[str, Any]]:
    """Runs that are not over: also such whose submission nobody was told of end."""
    found = service.get("/runs", state="queued,running,starting,cancelling", limit=200)["items"]
    for run in found:
        if run["state"] == "running":
            service.http.post(f"/runs/{run['id']}/cancel", json={})
    return list(found)


def tried(tmp_path: Path, chosen: list[str]) -> None:
    promises = Promises()
    with Service(tmp_path, grace=1, process_capacity=4) as service:
        service.rows("create table hits (n integer)")
        service.kill()
        for number, point in enumerate(chosen, 1):
            attempt(service, promises, number, point)
            if number % LOSSES == 0 or number == len(chosen):
                service.restart()
                keep(service, promises)
                service.terminate()
        service.start()


def test_killed_where_most_can_be_torn_apart_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    tried(tmp_path, FEW)


MANY = {f"store.{verb}": 9 for verb in ("begin", "mark", "keep", "flush", "commit", "apply")}
MANY |= {"store.put": 2, "process.start": 2, "warehouse.start": 2}
"""How often the work calls a verb at least; the others it may call once only."""


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_killed_before_or_after_any_verb_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    chosen = [f"{one}.{chance.randint(1, MANY.get(one.rpartition('.')[0], 1))}" for one in points()]
    chance.shuffle(chosen)
    tried(tmp_path, chosen)


def test_the_point_is_where_the_server_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.e2e.dying_server", "process.open.before.1", "up", "--dev", "--port", "0"]
    done = subprocess.run([*command, "--data", str(tmp_path / "data")], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (-9, b"")
