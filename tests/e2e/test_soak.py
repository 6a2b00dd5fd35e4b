"""Fifty clients with mixed calls while work burns processor and memory: nothing grows, nothing fails, all stays quick.

`RUNYARD_SOAK_SECONDS=3600` makes the ten minutes an hour. The figures are told also when all is well.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.service import Service, python, shell, spec, sql

SECONDS = float(os.environ.get("RUNYARD_SOAK_SECONDS", "600"))
CLIENTS, PAUSE = 50, 0.5
PAST = 40_000
"""So many runs are there before: else the store's page caches, which have a limit, would fill up all the time."""
BURN = "x = bytearray(50_000_000)\nimport time\nend = time.time() + 2\nwhile time.time() < end: sum(range(10_000))"


class Tally:
    """What the clients saw."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.wrong: list[str] = []
        self.runs: list[int] = []
        self.ended = threading.Event()


def client(number: int, url: str, tally: Tally) -> None:
    """One of many: a call, a pause, another call."""
    chance = random.Random(number)
    with httpx.Client(base_url=url, timeout=30) as http:
        while not tally.ended.wait(chance.uniform(0, 2 * PAUSE)):
            method, path, body, good = call(chance, tally)
            begun = time.perf_counter()
            answer = http.request(method, path, json=body)
            tally.seconds.append(time.perf_counter() - begun)
            if answer.status_code not in good:
                tally.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            elif answer.status_code == 201:
                tally.runs.append(answer.json()["id"])


def call(chance: random.Random, tally: Tally) -> tuple[str, str, Any, set[int]]:
    """A request, and the statuses that are right for it."""
    known = chance.choice(tally.runs) if tally.runs else None
    kind = chance.random()
    if kind < 0.2 or known is None:
        action = chance.choice([sql("select sum(i) from range(1000) t(i)"), shell("echo hello; exit $((RANDOM % 2))")])
        return "POST", "/runs", {"spec": spec(action, retries={"max": 1}, name="mixed")}, {201}
    if kind < 0.203:
        return "POST", "/runs", {"spec": spec(python(BURN), queue="burn", name="burn")}, {201}
    if kind < 0.5:
        return "GET", f"/runs/{known}", None, {200}
    if kind < 0.65:
        return "GET", "/runs?limit=25&state=failed", None, {200}
    if kind < 0.75:
        return "GET", f"/runs/{known}/events", None, {200}
    if kind < 0.85:
        return "POST", f"/runs/{known}/cancel", {}, {200, 409}
    if kind < 0.95:
        return "POST", "/query", {"sql": "select 42 as answer"}, {200}
    return "POST", "/runs", {"spec": {"name": ""}}, {400}


def measure(pid: int) -> tuple[int, int, int]:
    """Bytes of memory of a process's own, bytes of files that it maps, and open files.

    The database is mapped for reading: its pages are the kernel's, which drops them when it needs the room, and grow
    with the history. A leak shows in the first figure.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    own, mapped = (int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped, len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.long
def test_fifty_clients_for_ten_minutes_leave_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    with Service(tmp_path, grace=1, process_capacity=8) as service:
        service.http.put("/queues/burn", json={"slots": 1})
        for _ in range(PAST // 1000):
            service.post("/runs:batch", {"runs": [{"spec": spec(shell("true"), name="past", disabled=True)}] * 1000})
        assert service.process is not None
        samples: list[tuple[int, int, int]] = []
        with ThreadPoolExecutor(CLIENTS) as clients:
            work = [clients.submit(client, number, str(service.http.base_url), tally) for number in range(CLIENTS)]
            try:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end and not any(one.done() for one in work):
                    time.sleep(SECONDS / 60)
                    samples.append(measure(service.process.pid))
            finally:
                tally.ended.set()
            for one in work:
                one.result()
        memory, mapped, files = (slope([sample[place] for sample in samples]) for place in (0, 1, 2))
        p99 = statistics.quantiles(tally.seconds, n=100)[98]
        told = said(tally, memory, mapped, files, p99)
        with capsys.disabled():
            sys.stderr.write(f"\n{told}\n")
        assert tally.wrong == [], told
        assert memory[1] < memory[0] * 1.02 + 1_000_000, told
        assert files[1] < files[0] + 10, told
        assert p99 <= 0.1, told


Pair = tuple[float, float]


def said(tally: Tally, memory: Pair, mapped: Pair, files: Pair, p99: float) -> str:
    """The figures in one line; each pair as in the second third of the time, and in the last one."""
    grown = (memory[1] - memory[0]) / (SECONDS / 3) * 3600
    return (
        f"soak of {SECONDS:.0f} s: {len(tally.seconds)} calls, {len(tally.wrong)} errors, {len(tally.runs)} runs, "
        f"p99 {p99 * 1000:.0f} ms, memory of its own {memory[0] / 1e6:.1f} then {memory[1] / 1e6:.1f} MB "
        f"({grown / 1e6:+.1f} MB an hour), mapped files {mapped[0] / 1e6:.1f} then {mapped[1] / 1e6:.1f} MB, "
        f"open files {files[0]:.0f} then {files[1]:.0f}"
    )


def slope(values: list[int]) -> Pair:
    """The middle of the second third, when all is warm, and of the last one."""
    third = len(values) // 3
    return statistics.median(values[third : 2 * third]), statistics.median(values[-third:])
