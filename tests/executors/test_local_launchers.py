"""Launchers that take one attempt after the other: each attempt still is a process of its own that knows no other."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runyard.core.launch import StopOrder, encode
from runyard.core.model import Limits
from runyard.executors import launchers
from tests.executors.harness import Bench, alive, parent_of, python, shell
from tests.executors.test_local_survival import Driver, claim

WHERE = "import os\nprint('pid', os.getpid(), os.getppid(), flush=True)\n"


def ids(bench: Bench, source: str = WHERE, **fields: Any) -> tuple[int, int]:
    """The process of an attempt that succeeds, and its launcher."""
    one = bench.start(python(source, **fields))
    assert bench.outcome(one).result == "succeeded", bench.log(one)
    _, pid, launcher = bench.log(one).split()[:3]
    return int(pid), int(launcher)


def ready(bench: Bench) -> list[int]:
    """The launchers below the fork server, each with the process that waits in it."""
    forkserver = bench.executor._launchers.forkserver
    assert forkserver is not None
    return children(forkserver.pid)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def spare_of(bench: Bench, launcher: int) -> int:
    return bench.wait(lambda: children(launcher))[0]


def mark(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text().partition("realtime timeout")[2].split()[0]


def waits(bench: Bench, launcher: int) -> bool:
    """Whether its next process is made and marked."""
    return mark(spare_of(bench, launcher)) not in {mark(launcher), "unlimited"}


def test_a_launcher_takes_the_next_attempt_in_a_fresh_process(own: Bench) -> None:
    found = [ids(own) for _ in range(4)]
    assert len({pid for pid, _ in found}) == 4
    assert len({launcher for _, launcher in found}) == 1
    assert not any(alive(pid) for pid, _ in found)


def test_a_launcher_holds_no_more_files_after_many_attempts(own: Bench) -> None:
    held = set()
    for number in range(6):
        _, launcher = ids(own)
        own.wait(partial(waits, own, launcher))
        held.add(len(os.listdir(f"/proc/{launcher}/fd")))
        if number % 2:
            os.kill(spare_of(own, launcher), signal.SIGKILL)
            time.sleep(0.05)
    assert len(held) == 1, held


def test_nothing_of_an_attempt_is_found_by_the_next(own: Bench) -> None:
    source = """
import atexit, builtins, os, resource, signal, sys, threading
print("pid", os.getpid(), os.getppid(), flush=True)
assert not hasattr(builtins, "left") and "LEFT" not in os.environ and "left" not in sys.modules
assert os.getcwd().endswith(f"/{os.environ['RUNYARD_TASK_RUN_ID']}/work"), os.getcwd()
assert resource.getrlimit(resource.RLIMIT_CPU)[0] == (7 if "CAPPED" in os.environ else resource.RLIM_INFINITY)
assert sorted(os.listdir("/proc/self/fd")) == ["0", "1", "2", "3"], os.listdir("/proc/self/fd")
assert os.umask(0o077) != 0o077 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
builtins.left = os.environ["LEFT"] = sys.modules["left"] = "x"
os.chdir("/tmp")
assert os.nice(1) == int(os.environ["NICENESS"]) + 1, "niceness is inherited"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
    surroundings = {"NICENESS": str(os.nice(0))}
    one = own.start(python(source, environment={**surroundings, "CAPPED": "1"}), limits=Limits(cpu_seconds=7))
    assert own.outcome(one).result == "succeeded", own.log(one)
    _, launcher = ids(own, source, environment=surroundings)
    assert int(own.log(one).split()[2]) == launcher


def test_a_process_that_waits_bears_a_mark_of_its_own(own: Bench) -> None:
    _, launcher = ids(own)
    own.wait(partial(waits, own, launcher))
    assert mark(launcher) != "unlimited"


def test_attempts_that_stopped_failed_or_were_killed_leave_a_launcher_that_goes_on(own: Bench) -> None:
    _, launcher = ids(own)
    one = own.start(shell("trap '' TERM; setsid sleep 60 & sleep 60"))
    own.started(one)
    own.stop(one, grace=0.05)
    assert own.outcome(one).result == "stopped"
    assert own.run(python("1/0")).result == "failed"
    assert own.run(python("import os; os.kill(os.getpid(), 9)")).reason == "signal"
    assert ids(own)[1] == launcher


def test_a_stop_that_comes_after_the_end_does_not_reach_the_next_attempt(own: Bench) -> None:
    one = own.start(python(WHERE))
    own.outcome(one)
    own.executor._launchers._ready[-1][1].send(encode(StopOrder("cancel", 0.0)))
    assert own.outcome(own.start(python("import time; time.sleep(0.2)"))).result == "succeeded"


def test_a_waiting_process_that_was_killed_is_replaced(own: Bench) -> None:
    _, launcher = ids(own)
    os.kill(spare_of(own, launcher), signal.SIGKILL)
    time.sleep(0.05)
    assert ids(own)[1] == launcher


def test_a_ready_launcher_that_was_killed_costs_no_attempt(own: Bench) -> None:
    _, launcher = ids(own)
    spare = spare_of(own, launcher)
    os.kill(launcher, signal.SIGKILL)
    own.gone(launcher)
    own.gone(spare)
    assert ids(own)[1] != launcher


def test_few_ready_launchers_stay(own: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "_IDLE_SECONDS", 0.1)
    many = [own.start(python("import time; time.sleep(0.5)")) for _ in range(launchers.KEPT + 3)]
    assert {own.outcome(one).result for one in many} == {"succeeded"}
    own.wait(lambda: len(ready(own)) == launchers.KEPT)


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_ready_launchers_end_with_their_server(tmp_path: Path, how: str) -> None:
    if how == "closed":
        bench = Bench(tmp_path / "attempts")
        _, launcher = ids(bench)
        spare = spare_of(bench, launcher)
        bench.close()
    else:
        bench = Bench(tmp_path / "other")
        one = claim(shell("echo $PPID"))
        driver = Driver(tmp_path / "attempts", one)
        log = tmp_path / "attempts" / str(one.run_id) / str(one.task_run_id) / "log"
        try:
            driver.says("Finished")
            launcher = int(log.read_text())
            spare = spare_of(bench, launcher)
        finally:
            driver.kill()
    try:
        bench.gone(launcher)
        bench.gone(spare)
    finally:
        if how == "killed":
            bench.close()


def test_work_that_runs_on_without_its_server_ends_its_launcher_too(own: Bench, tmp_path: Path) -> None:
    """A launcher belongs to the server that it was made for: it takes no work from the next one."""
    first = claim(python(WHERE))
    second = claim(python(WHERE + "import time; time.sleep(0.5)"))
    driver = Driver(own.root, first, second)
    driver.says(f"Started {second.task_run_id}")
    driver.kill()
    own.take_up(second)
    assert own.outcome(second).result == "succeeded"
    launcher = int(own.log(second).split()[2])
    own.gone(launcher)
    assert ids(own)[1] != launcher


def test_an_attempt_that_took_over_a_used_launcher_is_proven_dead_alone(own: Bench) -> None:
    """Marks differ from attempt to attempt, though the launcher is the same."""
    _, launcher = ids(own)
    before = own.claims[-1]
    one = own.start(python(WHERE + "import time; time.sleep(60)"))
    own.says(one, b"pid")
    assert parent_of(int(own.log(one).split()[1])) == launcher
    newer = claim(python("1"))
    (own.folder(before) / "outcome").unlink()
    again = Bench(own.root)
    try:
        held = type(newer)(
            run_id=1, task_run_id=before.task_run_id, token=before.token, task_key="t", action=newer.action
        )
        again.take_up(held)
        assert again.outcome(held).result == "lost"
        assert alive(launcher)
        assert own.finished(one) is None
    finally:
        again.close()
        own.stop(one, grace=0.0)
    assert own.outcome(one).result == "stopped"
