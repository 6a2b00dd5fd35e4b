"""Sudden deaths, of every process that takes part: what lives on is taken up again, what does not is proven dead."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runyard.core.actions import Python, Shell
from runyard.core.attempts import Assignment
from runyard.core.launch import CLAIM, LOCK, MARK, SOCKET, Attach, StopOrder, encode
from runyard.executors import survivors
from tests.executors.harness import SOURCE, Bench, alive, parent_of, python, shell

DRIVER = """
import os, signal, sys, time
from pathlib import Path
from runyard.core.launch import decode_claim
from runyard.executors.local import LocalExecutor
executor = LocalExecutor(Path(sys.argv[1]), 100)
executor.open(lambda reports: [print(type(one).__name__, one.task_run_id, flush=True) for one in reports])
if sys.argv[2] == "frozen":
    os.kill(executor._launchers.forkserver.pid, signal.SIGSTOP)
executor.start([decode_claim(bytes.fromhex(one)) for one in sys.argv[3:]])
print("ready", executor._launchers.forkserver.pid, flush=True)
time.sleep(60)
"""
"""An executor in a process of its own, which can be killed."""

_ids = itertools.count(1)
Host = Callable[..., "Driver"]


class Driver:
    def __init__(self, root: Path, *claims: Assignment, forkserver: str = "runs") -> None:
        given = [encode(one).hex() for one in claims]
        environment = {"PATH": os.defpath, "PYTHONPATH": SOURCE}
        command = [sys.executable, "-c", DRIVER, str(root), forkserver, *given]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.said: list[str] = []

    def says(self, word: str) -> str:
        assert self.process.stdout is not None
        while not (found := [line for line in self.said if line.startswith(word)]):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said.append(line.strip())
        return found[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    started: list[Driver] = []

    def start(*claims: Assignment, **how: str) -> Driver:
        started.append(Driver(tmp_path / "attempts", *claims, **how))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def claim(action: Python | Shell) -> Assignment:
    number = next(_ids)
    return Assignment(run_id=1, task_run_id=number, token=5000 + number, task_key="t", action=action)


def launcher_of(bench: Bench, one: Assignment) -> int:
    bench.says(one, b"pid ")
    return parent_of(int(bench.log(one).split()[1]))


PID = "import os, time\nprint('pid', os.getpid(), flush=True)\n"
COUNTS = PID + "for n in range(8):\n    print(n, flush=True)\n    time.sleep(0.05)\n"


# --- the server dies ---


def test_work_that_lives_on_is_taken_up_and_its_log_is_whole(host: Host, own: Bench) -> None:
    one = claim(python(COUNTS))
    first = host(one)
    first.says("Started")
    first.kill()
    own.take_up(one)
    started = own.started(one)
    out = own.outcome(one)
    assert (out.result, out.started_at) == ("succeeded", started.at)
    assert own.log(one).split()[2:] == [b"%d" % n for n in range(8)]


def test_work_that_ended_meanwhile_gives_its_outcome(host: Host, own: Bench) -> None:
    ended, failed = claim(shell("sleep 0.2; echo done")), claim(shell("sleep 0.2; exit 6"))
    first = host(ended, failed)
    first.says(f"Started {ended.task_run_id}")
    first.says(f"Started {failed.task_run_id}")
    first.kill()
    own.wait(lambda: all((own.folder(one) / "outcome").exists() for one in (ended, failed)))
    own.take_up(ended)
    own.take_up(failed)
    assert own.outcome(ended).result == "succeeded"
    assert own.outcome(failed).exit_code == 6
    assert own.log(ended) == b"done\n"


def test_a_stop_reaches_work_that_was_taken_up(host: Host, own: Bench) -> None:
    one = claim(python("import time\ntime.sleep(60)"))
    first = host(one)
    first.says("Started")
    first.kill()
    own.take_up(one)
    own.stop(one)  # at once: before the launcher can have answered
    assert own.outcome(one).result == "stopped"


def test_a_stop_that_comes_before_the_launcher_can_be_reached_is_said_once_it_can(host: Host, own: Bench) -> None:
    one = claim(python(PID + "time.sleep(60)"))
    first = host(one)
    first.says("Started")
    first.kill()
    address, away = own.folder(one) / SOCKET, own.folder(one) / "away"
    address.rename(away)
    own.take_up(one)
    own.stop(one)
    time.sleep(0.1)
    assert own.of(one) == []
    away.rename(address)
    assert own.outcome(one).result == "stopped"


def test_killed_at_any_moment_of_a_start_nothing_runs_twice(host: Host, own: Bench, tmp_path: Path) -> None:
    """The claim is given back untouched, or its work goes on; never both."""
    for delay in (0, 0.001, 0.004):
        marks = tmp_path / f"marks{next(_ids)}"
        claims = [claim(shell(f"echo x >> {marks}.{n}; sleep 0.2")) for n in range(10)]
        first = host(*claims)
        first.says("ready")
        time.sleep(delay)
        first.kill()
        for one in claims:
            own.take_up(one)
        for number, one in enumerate(claims):
            result = own.outcome(one).result
            ran = Path(f"{marks}.{number}").exists()
            assert (result, ran) in {("succeeded", True), ("released", False)}
        time.sleep(0.05)
        for number, one in enumerate(claims):
            assert Path(f"{marks}.{number}").exists() == (own.outcome(one).result == "succeeded")


@pytest.mark.parametrize("then", ["nothing", "claimed again"])
def test_a_launcher_that_comes_after_its_claim_was_given_back_does_nothing(host: Host, own: Bench, then: str) -> None:
    one = claim(shell("echo ran"))
    first = host(one, forkserver="frozen")
    forkserver = int(first.says("ready").split()[1])
    own.wait(lambda: (own.folder(one) / CLAIM).exists())
    time.sleep(0.05)
    first.kill()
    own.take_up(one)
    assert own.outcome(one).result == "released"
    if then == "claimed again":
        again = own.start(shell("echo again; sleep 0.3"), task_run_id=one.task_run_id, token=one.token + 1)
        own.started(again)
    os.kill(forkserver, signal.SIGCONT)  # the order, which it has had all the time, is carried out
    own.gone(forkserver)
    if then == "claimed again":
        assert own.outcome(again).result == "succeeded"
    time.sleep(0.1)
    assert own.log(one) == (b"" if then == "nothing" else b"again\n")


def test_a_claim_without_a_trace_was_not_begun(own: Bench) -> None:
    one = claim(shell("true"))
    own.take_up(one)
    out = own.outcome(one)
    assert (out.result, out.detail) == ("released", "Its work had not begun.")


def test_after_a_power_cut_begun_work_is_lost(own: Bench, tmp_path: Path) -> None:
    one = own.start(python("1"))
    assert own.outcome(one).result == "succeeded"
    (own.folder(one) / "outcome").unlink()  # as never written
    again = Bench(own.root)
    try:
        again.take_up(one)
        assert again.outcome(one).result == "lost"
    finally:
        again.close()


@pytest.mark.parametrize("folder", ["of the attempt", "of the run"])
def test_work_whose_folder_was_removed_is_ended_before_it_may_begin_again(host: Host, own: Bench, folder: str) -> None:
    away = "import os, subprocess, time\nos.chdir('/')\nprint('pid', os.getpid(), flush=True)\n"
    one = claim(
        python(away + "print('pid', subprocess.Popen(['setsid', 'sleep', '60']).pid, flush=True)\ntime.sleep(60)")
    )
    first = host(one)
    launcher = launcher_of(own, one)
    own.wait(lambda: own.log(one).count(b"pid") == 2)
    pids = [int(word) for word in own.log(one).split() if word != b"pid"]
    first.kill()
    shutil.rmtree(own.folder(one) if folder == "of the attempt" else own.folder(one).parent)
    own.take_up(one)
    assert own.outcome(one).result == "lost"
    assert not any(map(alive, (launcher, *pids)))


def test_a_claim_is_not_settled_while_something_of_it_is_still_being_killed(
    host: Host, own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = claim(python(PID + "time.sleep(60)"))
    first = host(one)
    launcher = launcher_of(own, one)
    first.kill()
    os.kill(launcher, signal.SIGKILL)
    own.gone(launcher)
    monkeypatch.setattr(survivors, "bearers", lambda *marks: [1 << 30])  # one that SIGKILL has not reached yet
    assert survivors.fate(own.folder(one), one.task_run_id, one.token) is None
    monkeypatch.undo()
    ended = own.wait(lambda: survivors.fate(own.folder(one), one.task_run_id, one.token))
    assert ended.outcome.result == "lost"


# --- launchers die ---


@pytest.mark.parametrize("server", ["lives", "died too"])
def test_a_killed_launcher_takes_all_its_work_with_it(host: Host, own: Bench, tmp_path: Path, server: str) -> None:
    closed = f"{sys.executable} -c 'import os, time; os.setsid(); os.closerange(0, 999); time.sleep(60)' & echo pid $!"
    plain = f'{sys.executable} -c \'import subprocess; subprocess.Popen(["sleep", "60"]).wait()\' &'
    command = f"echo pid $$; {closed}; setsid nohup env -i sleep 60 & echo pid $!; {plain} sleep 0.3; echo on; sleep 60"
    if server == "lives":
        one = own.start(shell(command))
    else:
        one = claim(shell(command))
        first = host(one)
    own.says(one, b"\non\n")
    pids = [int(pid) for word, pid in (line.split() for line in own.log(one).splitlines() if b" " in line)]
    assert len(pids) == 3
    assert all(map(alive, pids))
    launcher = parent_of(pids[0])
    if server == "died too":
        first.kill()
    os.kill(launcher, signal.SIGKILL)
    if server == "died too":
        own.take_up(one)
    out = own.outcome(one)
    assert (out.result, out.reason) == ("lost", "lost_worker")
    assert not any(map(alive, pids))


def test_a_launcher_that_answers_late_is_waited_for(host: Host, own: Bench) -> None:
    one = claim(python(COUNTS))
    first = host(one)
    first.says("Started")
    launcher = launcher_of(own, one)
    os.kill(launcher, signal.SIGSTOP)
    first.kill()
    own.take_up(one)
    time.sleep(0.2)
    assert own.of(one) == []
    os.kill(launcher, signal.SIGCONT)
    assert own.outcome(one).result == "succeeded"


# --- the fork server dies ---


def test_after_the_death_of_the_fork_server_the_next_start_works(own: Bench) -> None:
    long = own.start(python(COUNTS))
    own.started(long)
    for many in (2, 4):
        forkserver = own.executor._launchers.forkserver
        assert forkserver is not None
        os.kill(forkserver.pid, signal.SIGKILL)
        own.gone(forkserver.pid)
        some = [own.start(shell("echo on; sleep 0.1")) for _ in range(many)]  # more than there are ready launchers
        assert {own.outcome(one).result for one in some} == {"succeeded"}
    assert own.outcome(long).result == "succeeded"
    assert own.executor.healthy() is None


def test_orders_that_died_with_the_fork_server_are_given_back(own: Bench) -> None:
    forkserver = own.executor._launchers.forkserver
    assert forkserver is not None
    os.kill(forkserver.pid, signal.SIGSTOP)
    waiting = [own.start(shell("true")) for _ in range(5)]
    time.sleep(0.05)
    os.kill(forkserver.pid, signal.SIGKILL)
    assert {own.outcome(one).result for one in waiting} == {"released"}
    assert own.run(shell("true")).result == "succeeded"


# --- fences, and one folder claimed again ---


def connect(bench: Bench, one: Assignment) -> socket.socket:
    at = os.open(bench.folder(one), os.O_RDONLY)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.connect(f"/proc/self/fd/{at}/{SOCKET}")
    os.close(at)
    return channel


def test_who_does_not_hold_the_claim_is_refused(bench: Bench) -> None:
    one = bench.start(python(COUNTS))
    bench.started(one)
    for said in (encode(Attach(1)), encode(StopOrder("cancel", 0.0)), b"noise", b""):
        with connect(bench, one) as channel:
            channel.settimeout(5)
            channel.send(said)
            assert channel.recv(100) == b""
    assert bench.outcome(one).result == "succeeded"


def test_who_connects_and_says_nothing_holds_up_nothing(bench: Bench) -> None:
    one = bench.start(python("import time\ntime.sleep(0.1)\nprint('on')"))
    bench.started(one)
    with connect(bench, one):
        assert bench.outcome(one).result == "succeeded"


def test_a_folder_that_is_claimed_again_goes_on_with_its_log(own: Bench) -> None:
    source = PID + "open('left', 'x')\ntime.sleep(60)"  # fails if it finds what the earlier claim left
    one = own.start(python(source))
    own.says(one, b"pid")
    own.stop(one, "release")
    assert own.outcome(one).result == "released"
    again = own.start(python("open('left', 'x')\nprint('again')"), task_run_id=one.task_run_id, token=one.token + 1)
    assert own.outcome(again).result == "succeeded"
    assert own.log(one).startswith(b"pid ")
    assert own.log(one).endswith(b"again\n")
    offsets = [offset for _, _, offset in own.executor.read_log_index(one.run_id, one.task_run_id)]
    assert [own.log(one)[start:end] for start, end in zip(offsets, [*offsets[1:], None], strict=True)] == [
        own.log(one).removesuffix(b"again\n"),
        b"again\n",
    ]
    assert own.executor.recover([]) == []
    assert len(own.of(one)) == 2


def test_an_outcome_of_an_older_claim_is_not_taken(own: Bench) -> None:
    one = own.start(shell("true"))
    assert own.outcome(one).result == "succeeded"
    newer = Assignment(run_id=1, task_run_id=one.task_run_id, token=one.token + 1, task_key="t", action=one.action)
    own.take_up(newer)
    assert own.outcome(newer).result == "released"


def test_work_of_an_older_claim_ends_before_a_newer_one_is_given_back(host: Host, own: Bench) -> None:
    one = claim(python(PID + "time.sleep(60)"))
    first = host(one)
    own.says(one, b"pid ")
    pid = int(own.log(one).split()[1])
    first.kill()
    newer = Assignment(run_id=1, task_run_id=one.task_run_id, token=one.token + 1, task_key="t", action=one.action)
    own.take_up(newer)
    assert own.outcome(newer).result in {"released", "lost"}
    assert not alive(pid)


def test_a_long_path_of_the_data_folder_does_no_harm(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 100) / ("y" * 100) / "attempts"
    source = PID + "from runyard import context as c\nc.set_value('a', 1)\ntime.sleep(0.3)"
    one = claim(Python(source=source, environment={"PYTHONPATH": SOURCE}))
    first = Driver(root, one)
    try:
        first.says("Started")
    finally:
        first.kill()
    second = Bench(root)
    try:
        second.take_up(one)
        out = second.outcome(one)
        assert (out.result, out.values) == ("succeeded", {"a": 1})
    finally:
        second.close()


def test_files_of_an_attempt_are_its_owners_only(own: Bench) -> None:
    one = own.start(shell("true"))
    assert own.outcome(one).result == "succeeded"
    assert own.folder(one).stat().st_mode & 0o077 == 0
    assert {LOCK, MARK, CLAIM, "log", "outcome"} <= {path.name for path in own.folder(one).iterdir()}


def test_a_deleted_run_leaves_no_files(own: Bench) -> None:
    one = own.start(shell("echo kept"))
    assert own.outcome(one).result == "succeeded"
    own.executor.forget(1)
    assert own.log(one) == b""
    assert not own.folder(one).parent.exists()
