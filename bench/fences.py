"""What becomes of a worker that is frozen, declared lost, replaced, and wakes up again? The same script for all.

Every worker and all its processes get SIGSTOP in the middle of a task; when it counts as
lost, another one does the task; then the first goes on. Told are: did the first work on after the second had begun,
how many effects are there, whose result is kept, and did the first one's end change what was kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from tests import postgres
from tests.e2e.service import Service, python

LEASE, PATIENCE = 3.0, 60.0
TASK = """
import os, time
from pathlib import Path
diary, effects, name = Path({folder!r}, "diary"), Path({folder!r}, "effects"), os.environ["RUNYARD_TASK_RUN_ID"]
end = time.monotonic() + (8.0 if not diary.exists() else 2.0)
while time.monotonic() < end:
    with diary.open("a") as file:
        file.write(f"{{name}} {{time.clock_gettime(time.CLOCK_BOOTTIME)}}\\n")
    time.sleep(0.02)
with effects.open("a") as file:
    file.write(f"{{name}}\\n")
"""
COLUMNS = ["who", "frozen one went on after the other began", "effects", "kept before it woke", "kept after"]


def measure(given: argparse.Namespace) -> report.Table:
    """The table; it takes about two minutes."""
    rows = [_runyard(), _peer("procrastinate"), _peer("dbos")]
    notes = [
        "All processes of the first worker are stopped with SIGSTOP in the middle of the task, and go on with SIGCONT "
        "after the second one has ended it.",
        "Runyard: two servers on one PostgreSQL, a lease of 3 s. Procrastinate: heartbeats every second, stalled after "
        "3 s, `get_stalled_jobs` and `retry_job`. DBOS: a second process of the same executor recovers at its start.",
    ]
    return report.Table("fences", "a frozen worker that wakes up", COLUMNS, rows, notes)


def _wait(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise RuntimeError("waited in vain")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _overlap(folder: Path) -> str:
    """Whether the first one wrote anything after the second one's first line: into the diary, or its effect."""
    spans: dict[str, list[float]] = {}
    for line in _lines(folder / "diary"):
        name, at = line.split()
        spans.setdefault(name, []).append(float(at))
    first, second = spans.values()
    over = any(at > second[0] for at in first) or len(_lines(folder / "effects")) > 1
    return "yes" if over else "no"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _all_of(data: Path) -> list[int]:
    """The processes that work in a data folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(entry / "cwd"), *(os.readlink(fd) for fd in (entry / "fd").iterdir())]
        except OSError:
            continue
        if int(entry.name) != os.getpid() and any(link.startswith(str(data)) for link in links):
            found.append(int(entry.name))
    return found


def _runyard() -> list[str]:
    with tempfile.TemporaryDirectory(prefix="fences-") as place, ExitStack() as stack:
        folder = Path(place)
        settings = {"store": postgres.fresh_url(), "grace": 1, "lease": LEASE}
        servers = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            servers.append(stack.enter_context(Service(folder / name, **settings)))
            if name == "a":
                run_id = servers[0].submit(python(TASK.format(folder=place)))
                _wait(lambda: len(_lines(folder / "diary")) > 20)
        a, b = servers
        frozen = _all_of(a.data)
        _signal(frozen, signal.SIGSTOP)
        try:
            b.ended(run_id)
            before = _told(b, run_id)
        finally:
            _signal([pid for pid in frozen if Path(f"/proc/{pid}").exists()], signal.SIGCONT)
        time.sleep(10)
        return ["Runyard", _overlap(folder), str(len(_lines(folder / "effects"))), before, _told(b, run_id)]


def _told(server: Service, run_id: int) -> str:
    attempts = server.attempts(run_id)
    return f"{server.run(run_id)['state']}, attempts " + " then ".join(one["state"] for one in attempts)


def _peer(peer: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="fences-") as place:
        folder, url = Path(place), postgres.fresh_url() if peer == "procrastinate" else "-"

        def command(role: str, name: str = "-") -> list[str]:
            return [sys.executable, "-m", "bench.peer_fences", peer, role, name, place, url]

        def ask(role: str) -> str:
            return subprocess.run(command(role), capture_output=True, text=True, check=True, timeout=60).stdout

        workers = []
        try:
            if peer == "procrastinate":
                ask("submit")
            workers.append(subprocess.Popen(command("work", "A"), stderr=subprocess.DEVNULL))
            _wait(lambda: len(_lines(folder / "diary")) > 20)
            os.killpg(workers[0].pid, signal.SIGSTOP)
            if peer == "procrastinate":
                _wait(lambda: ask("lost"))
            workers.append(subprocess.Popen(command("work", "B"), stderr=subprocess.DEVNULL))
            _wait(lambda: "B" in _lines(folder / "effects"))
            time.sleep(1)
            before = _status(ask("status"))
            os.killpg(workers[0].pid, signal.SIGCONT)
            time.sleep(10)
            return [peer, _overlap(folder), str(len(_lines(folder / "effects"))), before, _status(ask("status"))]
        finally:
            for worker in workers:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def _status(text: str) -> str:
    found = json.loads(text.splitlines()[-1])
    return f"{found['state']}, {found['result']}"
