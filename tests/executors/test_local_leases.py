"""Leases: work that other servers could start again is dead when its lease ends, whatever its server does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from runyard.core.attempts import Assignment
from tests.executors.harness import Bench, alive, python, shell
from tests.executors.test_local_survival import PID, Driver, claim, launcher_of

LASTS = PID + "time.sleep(60)"


def now() -> float:
    """By the clock of leases, which goes on while a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pid_of(bench: Bench, one: Assignment) -> int:
    bench.says(one, b"pid ")
    return int(bench.log(one).split()[1])


def test_work_is_dead_when_its_lease_ends_though_its_server_says_nothing(own: Bench) -> None:
    until = now() + 0.6
    own.executor.extend(until)  # told with the claim
    one = own.start(python(LASTS))
    pid = pid_of(own, one)
    out = own.outcome(one)
    assert (out.result, out.reason) == ("lost", "lost_worker")
    assert until <= now() < until + 1
    assert not alive(pid)


def test_a_lease_that_is_extended_lets_the_work_go_on(own: Bench) -> None:
    own.executor.extend(now() + 0.6)
    one = own.start(python("import time\ntime.sleep(1.2)"))
    own.started(one)
    own.executor.extend(now() + 30)
    assert own.outcome(one).result == "succeeded"


def test_a_lease_is_told_to_work_that_runs_already(own: Bench) -> None:
    one = own.start(python(LASTS))
    own.started(one)
    own.executor.extend(now() + 0.2)
    assert own.outcome(one).result == "lost"


def test_an_extension_that_comes_after_the_end_does_not_bring_work_back(own: Bench) -> None:
    """The launcher was frozen with its work; the extension waits for it when it wakes."""
    own.executor.extend(now() + 0.4)
    one = own.start(python(LASTS))
    launcher, pid = launcher_of(own, one), pid_of(own, one)
    os.kill(launcher, signal.SIGSTOP)
    time.sleep(0.5)
    own.executor.extend(now() + 60)
    time.sleep(0.1)
    os.kill(launcher, signal.SIGCONT)
    assert own.outcome(one).result == "lost"
    assert not alive(pid)


def test_a_claim_whose_launcher_comes_after_the_lease_does_not_begin(own: Bench, tmp_path: Path) -> None:
    forkserver = own.executor._launchers.forkserver
    assert forkserver is not None
    os.kill(forkserver.pid, signal.SIGSTOP)
    own.executor.extend(now() + 0.2)
    ran = tmp_path / "ran"
    one = own.start(shell(f"touch {ran}"))
    time.sleep(0.3)
    os.kill(forkserver.pid, signal.SIGCONT)
    assert own.outcome(one).result == "lost"
    assert len(own.of(one)) == 1  # it was never told to begin
    time.sleep(0.1)
    assert not ran.exists()


def test_work_that_is_taken_up_is_told_the_lease_of_its_new_server(own: Bench) -> None:
    one = claim(python(LASTS))
    first = Driver(own.root, one)
    try:
        pid = pid_of(own, one)
    finally:
        first.kill()
    own.executor.extend(now() + 0.5)
    own.take_up(one)
    assert own.outcome(one).result == "lost"
    assert not alive(pid)
