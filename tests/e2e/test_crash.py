"""Kills, stops, races, poison and full disks against a real server: what was acknowledged is there, once, and ends."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import httpx
import pytest

from tests.e2e.service import ENDED, Service, processes_with, python, shell, spec, sql, wait
from tests.live_server import environment

DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"
ENDLESS_SQL = "select sum(sqrt(i)) from range(60000_000_000) t(i)"
SLOW_SQL = "select sum(sqrt(i)) from range(200_000_000) t(i)"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, grace=1, process_capacity=4) as one:
        yield one


# --- kill -9 ---


def test_after_a_kill_everything_acknowledged_is_there_once_and_ends(service: Service, tmp_path: Path) -> None:
    for table in ("hits0", "hits1", "hits"):
        service.rows(f"create table {table} (who varchar)")
    ran = tmp_path / "ran"
    work = f"echo $RUNYARD_RUN_ID >> {ran}; sleep 2; echo done"
    processes = [service.submit(shell(work)) for _ in range(10)]  # four run, six are queued
    mixed = service.submit(sql("insert into hits values ('mixed')"), shell("echo between"), sql("select 1"))
    for run_id in processes[:4]:
        service.in_state(run_id, "running")
    before = {run_id: service.task(run_id)["id"] for run_id in processes[:4]}
    statements = [service.submit(sql(f"insert into hits{n} values ('{n}'); {SLOW_SQL}")) for n in range(2)]
    for run_id in statements:
        service.in_state(run_id, "running")
    starting = [service.submit(shell("echo short")) for _ in range(5)]
    service.kill()

    service.restart()

    for run_id in (*processes, *statements, mixed, *starting):
        assert service.ended(run_id)["state"] == "succeeded"
        assert len(service.terminal_events(run_id)) == 1
    for run_id, task_run_id in before.items():  # their work lived on, and was taken up
        (only,) = service.attempts(run_id)
        assert (only["id"], only["attempt"], only.get("losses", 0)) == (task_run_id, 0, 0)
        assert service.log(task_run_id) == "done\n"
    assert sorted(map(int, ran.read_text().split())) == sorted(processes)  # each worked exactly once
    for run_id in statements:
        attempts = service.attempts(run_id)
        assert [(one["state"], one.get("failures", 0)) for one in attempts] == [("lost", 0), ("succeeded", 0)]
    hits = service.rows("select * from hits0 union all select * from hits1 union all select * from hits order by all")
    assert hits == [["0"], ["1"], ["mixed"]]


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.long)])
def test_killed_while_it_takes_submissions_none_that_it_acknowledged_is_missing(
    service: Service, tmp_path: Path, kills: int
) -> None:
    acknowledged: dict[int, str] = {}
    tried: set[str] = set()
    chance = random.Random(kills)
    for round_ in range(kills):
        submitters = ThreadPoolExecutor(6)
        ended = threading.Event()

        def submit(number: int, url: str, round_: int = round_, ended: threading.Event = ended) -> None:
            with httpx.Client(base_url=url, timeout=20) as client:
                while not ended.is_set():
                    name = f"{round_}-{number}-{len(tried)}"
                    tried.add(name)
                    action = shell(f"echo {name} >> {tmp_path}/ran") if len(tried) % 3 else sql("select 1")
                    try:
                        answer = client.post("/runs", json={"spec": spec(action, name=name)})
                    except httpx.TransportError:
                        return
                    acknowledged[answer.json()["id"]] = name

        work = [submitters.submit(submit, number, str(service.http.base_url)) for number in range(6)]
        enough = len(acknowledged) + 20
        while len(acknowledged) < enough and not any(one.done() for one in work):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        service.kill()
        ended.set()
        submitters.shutdown()
        for one in work:
            one.result()
        service.start()

    for run_id, name in acknowledged.items():
        run = service.ended(run_id)
        assert (run["name"], run["state"]) == (name, "succeeded")
        assert len(service.terminal_events(run_id)) == 1
    ran = (tmp_path / "ran").read_text().split()
    assert len(ran) == len(set(ran))


def test_work_that_ended_while_no_server_was_there_is_recorded(service: Service) -> None:
    good, bad = service.submit(shell("sleep 0.5; echo done")), service.submit(shell("sleep 0.5; exit 7"))
    for run_id in (good, bad):
        service.in_state(run_id, "running")
    service.kill()
    time.sleep(0.8)
    service.start()
    assert service.ended(good)["state"] == "succeeded"
    assert service.ended(bad)["tasks"][0]["exit_code"] == 7
    assert [len(service.attempts(run_id)) for run_id in (good, bad)] == [1, 1]


def test_a_cancel_that_was_acknowledged_holds_after_a_kill(service: Service) -> None:
    run_id = service.submit(python(DEAF))
    service.in_state(run_id, "running")
    with httpx.Client(base_url=str(service.http.base_url), timeout=20) as client:
        client.post(f"/runs/{run_id}/cancel", json={})
    service.kill()
    service.start()
    assert service.ended(run_id)["state"] == "cancelled"


def test_a_timeout_that_came_while_no_server_was_there_is_kept_after_the_start(service: Service) -> None:
    run_id = service.submit(python(DEAF), timeout=1)
    service.in_state(run_id, "running")
    service.kill()
    time.sleep(1)
    service.start()
    assert service.ended(run_id)["state"] == "timed_out"


# --- SIGTERM ---


def follow(service: Service, run_id: int, said: list[str], follows: threading.Event) -> None:
    with (
        httpx.Client(base_url=str(service.http.base_url), timeout=30) as client,
        client.stream("GET", f"/runs/{run_id}/events", headers={"Accept": "text/event-stream"}) as stream,
    ):
        for line in stream.iter_lines():
            said.append(line)
            follows.set()
    said.append("ended")


def test_a_stop_in_good_order_gives_work_back_and_uses_up_no_attempt(tmp_path: Path) -> None:
    with Service(tmp_path, grace=1, process_capacity=3) as service:
        polite = service.submit(python("import time\nprint('on', flush=True)\ntime.sleep(60)"))
        deaf = service.submit(python(DEAF))
        short = service.submit(shell("sleep 0.7; echo done"))
        statement = service.submit(sql(ENDLESS_SQL))
        for run_id in (polite, deaf, short, statement):
            service.in_state(run_id, "running")
        queued = service.submit(shell("echo queued"))
        said: list[str] = []
        follows = threading.Event()
        follower = threading.Thread(target=follow, args=(service, polite, said, follows))
        follower.start()
        assert follows.wait(10)

        begun = time.monotonic()
        assert service.terminate() == 0
        took = time.monotonic() - begun
        assert took < 2 * 1 + 1.5  # a grace for work to end by itself, and one to end politely
        follower.join(5)
        assert said[-1] == "ended"
        assert not processes_with(str(tmp_path / "data"))

        service.start()
        assert service.ended(short)["state"] == "succeeded"
        assert service.ended(queued)["tasks"][0]["started_at"] > service.task(short)["ended_at"]
        for run_id in (polite, deaf, statement):
            service.in_state(run_id, "running")
            (only,) = service.attempts(run_id)
            assert (only["attempt"], only.get("failures", 0), only.get("losses", 0)) == (0, 0, 0)
            assert any(one.get("reason") == "requeued" for one in service.get(f"/runs/{run_id}/events")["items"])
            service.post(f"/runs/{run_id}/cancel")
        for run_id in (polite, deaf, statement):
            assert service.ended(run_id)["state"] == "cancelled"


def test_a_request_under_way_at_a_stop_is_answered_and_new_ones_are_not_taken(service: Service) -> None:
    address = (str(service.http.base_url.host), service.http.base_url.port or 0)
    body = json.dumps({"spec": spec(shell("echo kept"))}).encode()
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    process = service.process
    assert process is not None
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.2)
        process.terminate()
        wait(lambda: _refuses(address))
        assert process.poll() is None  # it waits for the rest
        connection.sendall(body[10:])
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 201 ")
    run_id = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
    assert process.wait(20) == 0
    service.gone()
    service.start()
    assert service.ended(run_id)["state"] == "succeeded"
    assert service.task(run_id)["attempt"] == 0


def _refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


STOPPED_EARLY = """
import os, signal, sys
from runyard.engine.engine import Engine
start = Engine.start
def starting(self):
    start(self)
    os.kill(os.getpid(), signal.SIGTERM)
Engine.start = starting
from runyard.cli import main
sys.exit(main())
"""
"""A server that is asked to end when it has taken work up, and does not answer yet."""


def test_a_stop_before_the_server_answers_gives_work_back_too(service: Service) -> None:
    runs = [service.submit(python("import time\ntime.sleep(60)")) for _ in range(6)]
    for run_id in runs[:4]:
        service.in_state(run_id, "running")
    service.kill()
    process = service.launch([sys.executable, "-c", STOPPED_EARLY])
    assert not service.ready()
    assert process.wait(30) == 0
    service.gone()
    assert not processes_with(str(service.data))
    service.start()
    for run_id in runs:
        if run_id in runs[:4]:
            service.in_state(run_id, "running")
        (only,) = service.attempts(run_id)
        assert (only["attempt"], only.get("failures", 0), only.get("losses", 0)) == (0, 0, 0)
        service.post(f"/runs/{run_id}/cancel")


def test_a_second_sigterm_ends_it_at_once_and_work_goes_on_without_it(tmp_path: Path) -> None:
    with Service(tmp_path, grace=20) as service:
        run_id = service.submit(python("import time\nprint('on', flush=True)\ntime.sleep(2.5)\nprint('done')"))
        service.in_state(run_id, "running")
        process = service.process
        assert process is not None
        process.terminate()
        time.sleep(0.5)
        begun = time.monotonic()
        service.terminate()
        assert time.monotonic() - begun < 2
        service.start()
        assert service.ended(run_id)["state"] == "succeeded"
        assert len(service.attempts(run_id)) == 1


# --- timeouts and cancels ---


def seconds(earlier: str, later: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_a_timeout_of_n_seconds_ends_work_that_ignores_it_within_n_plus_one(service: Service) -> None:
    started = [(service.submit(python(DEAF), timeout=limit), limit) for limit in (1, 1, 1.5, 2)]
    started += [(service.submit(sql(ENDLESS_SQL), timeout=1), 1)]
    for run_id, limit in started:
        run = service.ended(run_id)
        (task,) = run["tasks"]
        assert (run["state"], task["state"], task["reason"]) == ("timed_out", "timed_out", "timeout") or (
            run["state"],
            task["state"],
        ) == ("failed", "timed_out")
        assert limit <= seconds(task["started_at"], task["ended_at"]) <= limit + 1
    assert not processes_with(DEAF)


@pytest.mark.parametrize("races", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_a_cancel_that_races_the_end_gives_one_end_that_never_changes(tmp_path: Path, races: int) -> None:
    chance = random.Random(races)
    with Service(tmp_path, grace=0.2, process_capacity=8) as service:
        runs: list[int] = []

        def race(number: int) -> int:
            mark = f"61.{races:04}{number:04}"
            daemon = f"nohup setsid sh -c '(sleep {mark} &) & sleep {mark}' >/dev/null 2>&1 & "
            action = [shell(f"{daemon} sleep 0.0{number % 5}"), python("print(1)"), sql("select 1")][number % 3]
            run_id = service.submit(action)
            time.sleep(chance.uniform(0, 0.08))
            answer = service.http.post(f"/runs/{run_id}/cancel", json={})
            assert answer.status_code in (200, 409)
            return run_id

        with ThreadPoolExecutor(8) as racers:
            runs = list(racers.map(race, range(races)))
        states = {run_id: service.ended(run_id)["state"] for run_id in runs}
        time.sleep(1)
        assert not processes_with(f"61.{races:04}")
        assert set(states.values()) <= {"succeeded", "cancelled"}
        for run_id, state in states.items():
            assert service.run(run_id)["state"] == state
            assert service.terminal_events(run_id) == [state]
        assert len(set(states.values())) == 2  # the race is one: both ends were seen


# --- one of each ---


def test_fifty_submissions_with_one_key_make_one_run(service: Service) -> None:
    body = {"spec": spec(shell("true"), name="once")}
    with ThreadPoolExecutor(50) as callers:
        answers = list(
            callers.map(lambda _: service.http.post("/runs", json=body, headers={"Idempotency-Key": "k1"}), range(50))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    service.kill()  # and it is the same one for who lost the reply
    service.start()
    again = service.http.post("/runs", json=body, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["id"]) == (200, answers[0].json()["id"])
    other = {"spec": spec(shell("false"), name="once")}
    assert service.http.post("/runs", json=other, headers={"Idempotency-Key": "k1"}).status_code == 409


def test_a_second_server_on_one_data_folder_is_refused(service: Service) -> None:
    command = [sys.executable, "-m", "runyard", "up", "--dev", "--port", "0", "--data", str(service.data)]
    second = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode not in (0, -9)
    assert "Another server" in second.stderr
    assert service.ended(service.submit(shell("true")))["state"] == "succeeded"


# --- poison ---


def test_poison_ends_with_its_cause_and_the_queue_goes_on(tmp_path: Path) -> None:
    poison = [
        (python("import ctypes; ctypes.string_at(0)"), "signal", "killed by SIGSEGV"),
        (python("import os; os._exit(13)"), "exit_code", "exit code 13"),
        (python("x = bytearray(1 << 32)"), "memory", "MemoryError"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), "signal", "killed by SIGKILL"),
        (python("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"), "lost_worker", ""),
    ]
    with Service(tmp_path, process_capacity=2, process_memory=512 * 1024 * 1024) as service:
        runs = [service.submit(action, retries={"max": 1}) for action, _, _ in poison]
        after = service.submit(shell("echo on"))
        assert service.ended(after)["state"] == "succeeded"
        for run_id, (_, reason, detail) in zip(runs, poison, strict=True):
            run = service.ended(run_id)
            assert run["state"] == "failed"
            (task,) = run["tasks"]
            assert (task["reason"], detail in task["detail"]) == (reason, True)
            assert len(service.attempts(run_id)) == (4 if reason == "lost_worker" else 2)  # its budget, and no more
        assert service.ended(service.submit(shell("echo on")))["state"] == "succeeded"


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), open(disk / "ballast", "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_a_full_disk_refuses_and_loses_nothing_and_recovers(small_disk: Path) -> None:
    with Service(small_disk, grace=1, process_capacity=4) as service:
        before = [service.submit(shell("echo kept")) for _ in range(5)]
        running = service.submit(shell("sleep 1; echo done; exit 3"))
        for run_id in before:
            service.ended(run_id)
        service.in_state(running, "running")
        fill(small_disk)
        acknowledged, refused = [], []
        for number in range(60):
            answer = service.http.post("/runs", json={"spec": spec(shell("echo late"), name="x" * 200)})
            if answer.status_code == 201:
                acknowledged.append(answer.json()["id"])
            else:
                refused.append(answer.status_code)
            if number % 20 == 0:
                fill(small_disk)
        assert refused
        assert set(refused) <= {503, 507}
        assert service.run(before[0])["state"] == "succeeded"  # it still answers
        time.sleep(1.2)
        assert service.run(running)["state"] not in ("succeeded", "cancelled")
        (small_disk / "ballast").unlink()

        recovered = wait(
            lambda: (
                answer.json()["id"]
                if (answer := service.http.post("/runs", json={"spec": spec(shell("echo on"))})).status_code == 201
                else None
            )
        )
        assert service.ended(recovered)["state"] == "succeeded"
        assert service.ended(running)["tasks"][0]["exit_code"] == 3
        for run_id in before + acknowledged:
            assert service.ended(run_id)["state"] in ENDED
        assert [service.run(run_id)["state"] for run_id in before] == ["succeeded"] * 5
        assert service.terminate() == 0
        database = apsw.Connection(str(service.data / "runyard.db"))
        assert list(database.execute("pragma integrity_check")) == [("ok",)]
        database.close()
        service.start()
        assert service.run(recovered)["state"] == "succeeded"
