"""Real servers on one real PostgreSQL: what one does the other sees, and takes over when it is killed or frozen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import postgres
from tests.e2e.service import Service, python, shell, sql, wait
from tests.live_server import environment

LEASE = 3.0
AGAIN = {"running", "succeeded"}
DIARY = """
import os, time
until = time.monotonic() + (0.5 if os.path.exists({file!r}) else 60)
while time.monotonic() < until:
    with open({file!r}, "a") as diary:
        diary.write(f"{{os.getpid()}} {{time.clock_gettime(time.CLOCK_BOOTTIME)}}\\n")
    time.sleep(0.02)
"""


class Worker:
    """A process that runs work for servers elsewhere."""

    def __init__(self, folder: Path, store: str, *arguments: str, **settings: str) -> None:
        folder.mkdir()
        command = [sys.executable, "-m", "runyard", "worker", "--store", store, "--data", str(folder / "data")]
        surroundings = environment(RUNYARD_GRACE="1", **settings)
        with (folder / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=subprocess.PIPE, stderr=log, env=surroundings
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"ready "), (folder / "worker.log").read_text()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(30) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        """As a power switch for the worker alone."""
        self.process.kill()
        self.process.wait(30)


class Fleet:
    """Servers that share a store, each with a data folder of its own."""

    def __init__(self, folder: Path, stack: ExitStack, **settings: object) -> None:
        self._folder, self._stack = folder, stack
        self._settings = {"store": postgres.fresh_url(), "grace": 1, "process_capacity": 20, "lease": LEASE} | settings

    def work(self, name: str, *arguments: str, **settings: str) -> Worker:
        worker = Worker(self._folder / name, str(self._settings["store"]), *arguments, **settings)
        return self._stack.enter_context(worker)

    def start(self, name: str) -> Service:
        (self._folder / name).mkdir()
        return self._stack.enter_context(Service(self._folder / name, **self._settings))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)


def _diary(file: Path) -> dict[str, str]:
    """Work that takes a minute when it is done first, and half a second when it is done again."""
    return python(DIARY.format(file=str(file)))


def _spans(file: Path) -> list[tuple[float, float]]:
    """When each process wrote first and last, in order."""
    times: dict[str, list[float]] = {}
    for line in file.read_text().splitlines():
        pid, at = line.split()
        times.setdefault(pid, []).append(float(at))
    return sorted((min(some), max(some)) for some in times.values())


def _states(service: Service, run_id: int) -> list[tuple[str, str]]:
    return [(one["state"], one.get("reason", "")) for one in service.attempts(run_id)]


def _wait_for_log(service: Service, task_run_id: int, text: str) -> None:
    wait(lambda: service.log(task_run_id) == text or None, lambda: service.log(task_run_id))


def test_what_one_server_does_the_other_shows_cancels_and_goes_on_with(fleet: Fleet, tmp_path: Path) -> None:
    a, b = fleet.start("a"), fleet.start("b")
    a.http.put("/queues/narrow", json={"slots": 1})
    endless = [server.submit(_diary(tmp_path / f"endless {n}")) for n, server in enumerate((a, b))]
    for run_id, server, other in ((endless[0], a, b), (endless[1], b, a)):
        server.in_state(run_id, "running")
        assert other.run(run_id)["state"] == "running"
        begun = time.monotonic()
        other.post(f"/runs/{run_id}/cancel")
        assert server.ended(run_id)["state"] == "cancelled"
        assert time.monotonic() - begun < 5
    for server, other in ((a, b), (b, a)):
        said = server.submit(shell("echo one; sleep 1.5; echo two; sleep 0.3"))
        task_run_id = server.run(said)["tasks"][0]["id"]
        for one in (server, other):
            _wait_for_log(one, task_run_id, "one\n")  # while it runs
        assert other.ended(said)["state"] == "succeeded"
        assert [one.log(task_run_id) for one in (server, other)] == ["one\ntwo\n"] * 2
    narrow = [server.submit(shell("sleep 0.2"), queue="narrow") for server in (a, b) for _ in range(2)]
    tables = [server.submit(sql("select 1")) for server in (a, b)]  # one of them has the tables, both may ask
    for run_id in (*narrow, *tables):
        assert a.ended(run_id)["state"] == "succeeded"
    assert [len(server.get("/info")["nodes"]) for server in (a, b)] == [2, 2]


def test_the_work_of_a_killed_server_is_taken_over_and_never_overlaps(fleet: Fleet, tmp_path: Path) -> None:
    a = fleet.start("a")
    run_id = a.submit(_diary(tmp_path / "diary"))
    a.in_state(run_id, "running")
    b = fleet.start("b")
    a.kill()
    killed = time.monotonic()
    wait(lambda: len(_spans(tmp_path / "diary")) == 2 or None)
    assert time.monotonic() - killed < LEASE + 4
    assert b.ended(run_id)["state"] == "succeeded"
    assert _states(b, run_id) == [("lost", "lost_worker"), ("succeeded", "")]
    (_, first_end), (second_begin, _) = _spans(tmp_path / "diary")
    assert first_end < second_begin


def test_a_worker_runs_the_work_of_its_queues_and_its_logs_are_on_the_server(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fleet = Fleet(tmp_path, stack, process_capacity=1)
        a = fleet.start("a")
        fleet.work("w", "--queues", "far,further")
        stays = a.submit(shell("sleep 60"))  # no worker takes it, so the server has no room for more
        a.in_state(stays, "running")
        far, waits = a.submit(shell("echo here"), queue="far"), a.submit(shell("true"))
        assert a.ended(far)["state"] == "succeeded"
        assert a.task(far)["worker"] != a.task(stays)["worker"]
        assert a.log(a.task(far)["id"]) == "here\n"
        assert a.run(waits)["state"] == "queued"
        assert len(a.get("/info")["nodes"]) == 2
        a.post(f"/runs/{stays}/cancel")
        assert a.ended(waits)["state"] == "succeeded"


def _freeze(fleet: Fleet, folder: Path, names: tuple[str, str], tasks: int = 20) -> None:
    a = fleet.start(names[0])
    diaries = [folder / f"diary {names[0]} {number}" for number in range(tasks)]
    runs = [a.submit(_diary(diary)) for diary in diaries]
    for run_id in runs:
        a.in_state(run_id, "running")
    b = fleet.start(names[1])
    assert a.process is not None
    os.kill(a.process.pid, signal.SIGSTOP)
    try:
        for run_id in runs:
            b.until(run_id, lambda run: any(one["state"] in AGAIN and one["attempt"] for one in run["tasks"]))
    finally:
        os.kill(a.process.pid, signal.SIGCONT)
    for run_id, diary in zip(runs, diaries, strict=True):
        assert b.ended(run_id)["state"] == "succeeded"
        assert _states(b, run_id) == [("lost", "lost_worker"), ("succeeded", "")]
        assert len(b.terminal_events(run_id)) == 1
        (_, first_end), (second_begin, _) = _spans(diary)
        assert first_end < second_begin
    wait(lambda: [one for one in a.get("/info")["nodes"] if one["here"]])
    for run_id in runs:
        assert _states(a, run_id) == [("lost", "lost_worker"), ("succeeded", "")]
    again = a.submit(shell("echo on"))  # who was frozen is a server like any other again
    assert a.ended(again)["state"] == "succeeded"
    for server in (a, b):
        server.terminate()


def test_the_twenty_tasks_of_a_frozen_server_are_done_once_elsewhere_and_never_overlap(
    fleet: Fleet, tmp_path: Path
) -> None:
    _freeze(fleet, tmp_path, ("a", "b"))


@pytest.mark.long
def test_two_hundred_tasks_of_frozen_servers_are_done_once_elsewhere_and_never_overlap(
    fleet: Fleet, tmp_path: Path
) -> None:
    for number in range(10):
        _freeze(fleet, tmp_path, (f"a{number}", f"b{number}"))


WORKERS, ROUNDS, LEADERS = 5, 8, 10
TAKEOVER_SECONDS = 15.0


def _taken_over(service: Service, killed: dict[int, float]) -> list[float]:
    """How long after the kill of its node each run was running again."""
    found: dict[int, float] = {}
    while len(found) < len(killed):
        for run_id in killed.keys() - found.keys():
            if any(one["state"] in AGAIN and one["attempt"] for one in service.attempts(run_id)):
                found[run_id] = time.monotonic() - killed[run_id]
        assert time.monotonic() - max(killed.values()) < 60, "not taken over within a minute"
        time.sleep(0.1)
    sys.stdout.write(f"taken over after {[f'{seconds:.1f} s' for seconds in found.values()]}\n")
    for run_id in killed:
        assert service.ended(run_id)["state"] == "succeeded"
        assert _states(service, run_id) == [("lost", "lost_worker"), ("succeeded", "")]
    return [found[run_id] for run_id in killed]


def _kill_workers(fleet: Fleet, service: Service, folder: Path, number: int, chance: random.Random) -> list[float]:
    """The server has no room until its workers have the work; then they are killed, one at any moment."""
    full = [service.submit(shell("sleep 600")) for _ in range(WORKERS)]
    for run_id in full:
        service.in_state(run_id, "running")
    names = [f"w{number}-{n}" for n in range(WORKERS)]
    workers = [fleet.work(name, "--queues", name, RUNYARD_PROCESS_CAPACITY="1", RUNYARD_LEASE="9") for name in names]
    runs = [service.submit(_diary(folder / f"diary {name}"), queue=name) for name in names]
    for run_id in runs:
        service.in_state(run_id, "running")
    for run_id in full:
        service.post(f"/runs/{run_id}/cancel")
        service.ended(run_id)
    killed = {}
    for run_id, worker in zip(runs, workers, strict=True):
        time.sleep(chance.random())
        worker.kill()
        killed[run_id] = time.monotonic()
    return _taken_over(service, killed)


def _kill_leaders(fleet: Fleet, folder: Path) -> list[float]:
    """One server after the other leads, works and is killed."""
    found, leader = [], fleet.start("l0")
    for number in range(LEADERS):
        run_id = leader.submit(_diary(folder / f"diary {number}"))
        leader.in_state(run_id, "running")
        other = fleet.start(f"l{number + 1}")
        leader.kill()
        found += _taken_over(other, {run_id: time.monotonic()})
        leader = other
    return found


@pytest.mark.long
def test_the_work_of_fifty_killed_nodes_is_taken_over_within_fifteen_seconds(tmp_path: Path) -> None:
    chance, found = random.Random(7), []
    with ExitStack() as stack:
        fleet = Fleet(tmp_path, stack, lease=9, process_capacity=WORKERS)
        service = fleet.start("s")
        for number in range(ROUNDS):
            found += _kill_workers(fleet, service, tmp_path, number, chance)
    with ExitStack() as stack:
        found += _kill_leaders(Fleet(tmp_path, stack, lease=9), tmp_path)
    found.sort()
    shown = {name: f"{found[min(len(found) - 1, int(len(found) * part))]:.1f} s" for name, part in PARTS}
    sys.stdout.write(f"{len(found)} kills, taken over after: {shown}\n")
    assert len(found) == WORKERS * ROUNDS + LEADERS == 50
    assert found[int(len(found) * 0.99)] <= TAKEOVER_SECONDS
    for file in tmp_path.glob("diary*"):
        (_, first_end), (second_begin, _) = _spans(file)
        assert first_end < second_begin


PARTS = (("least", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("most", 1.0))
