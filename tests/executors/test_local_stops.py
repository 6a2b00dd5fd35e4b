"""How a process attempt is ended: politely, then for good, and always with everything that it started."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.executors.harness import Bench, alive, python, shell

WAITS = "import time\nprint('on', flush=True)\ntime.sleep(60)"
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)"


def pid_in(bench: Bench, file: Path) -> int:
    return int(bench.wait(lambda: file.read_text().strip() if file.exists() else None))


# --- stops ---


def test_a_stop_ends_the_work_politely(bench: Bench) -> None:
    source = """
        import signal, sys, time
        def end(*_):
            print("tidied up")
            sys.exit(3)
        signal.signal(signal.SIGTERM, end)
        print("on")
        time.sleep(60)
        """
    one = bench.start(python(textwrap.dedent(source)))
    bench.says(one, b"on")
    bench.stop(one, grace=20)
    out = bench.outcome(one)
    assert (out.result, out.exit_code) == ("stopped", 3)
    assert bench.log(one) == b"on\ntidied up\n"


def test_work_that_ignores_the_stop_is_killed_after_the_grace(bench: Bench) -> None:
    one = bench.start(python(DEAF))
    bench.says(one, b"on")
    begun = time.monotonic()
    bench.stop(one, grace=0.3)
    out = bench.outcome(one)
    assert (out.result, out.exit_code) == ("stopped", -9)
    assert 0.3 <= time.monotonic() - begun < 1.3


def test_a_second_stop_may_shorten_the_grace_but_not_lengthen_it(bench: Bench) -> None:
    one = bench.start(python(DEAF))
    bench.says(one, b"on")
    begun = time.monotonic()
    for grace in (30.0, 0.2, 30.0):
        bench.stop(one, grace=grace)
    assert bench.outcome(one).result == "stopped"
    assert time.monotonic() - begun < 1.5


def test_a_stopped_process_is_woken_to_end_politely(bench: Bench) -> None:
    one = bench.start(shell("trap 'echo polite; exit 0' TERM; echo on; kill -STOP $$; sleep 60"))
    bench.says(one, b"on")
    bench.stop(one, grace=20)
    assert bench.outcome(one).result == "stopped"
    assert bench.log(one) == b"on\npolite\n"


@pytest.mark.parametrize(("why", "result"), [("cancel", "stopped"), ("timeout", "stopped"), ("release", "released")])
def test_the_outcome_says_why_it_was_stopped(bench: Bench, why: str, result: str) -> None:
    one = bench.start(python(WAITS))
    bench.says(one, b"on")
    bench.stop(one, why)
    assert bench.outcome(one).result == result


def test_a_stop_of_what_has_ended_is_ignored(bench: Bench) -> None:
    one = bench.start(python("print('done')"))
    assert bench.outcome(one).result == "succeeded"
    bench.stop(one)
    assert bench.run(python("1")).result == "succeeded"
    assert len(bench.of(one)) == 2


def test_a_stop_with_another_token_is_ignored(bench: Bench) -> None:
    one = bench.start(python("import time\nprint('on', flush=True)\ntime.sleep(0.3)"))
    bench.says(one, b"on")
    bench.executor.stop(one.task_run_id, one.token + 1, grace=0.0, why="cancel")
    assert bench.outcome(one).result == "succeeded"


def test_a_stop_during_the_start_ends_it(bench: Bench) -> None:
    started = [bench.start(python(DEAF)) for _ in range(20)]
    for number, one in enumerate(started):
        time.sleep(number / 2000)
        bench.stop(one, grace=0.05)
    assert {bench.outcome(one).result for one in started} == {"stopped"}


def test_stops_that_race_the_end_give_one_outcome_each(bench: Bench) -> None:
    started = [bench.start(shell("sleep 0.1; exit 3")) for _ in range(30)]
    time.sleep(0.08)
    for one in started:
        bench.stop(one, grace=1)
        time.sleep(0.002)
    outcomes = [bench.outcome(one) for one in started]
    assert {(out.result, out.reason) for out in outcomes} <= {("stopped", ""), ("failed", "exit_code")}


# --- the whole tree ---


@pytest.mark.parametrize("how", ["by itself", "stopped"])
@pytest.mark.parametrize(
    "daemon",
    [
        "nohup setsid sleep 60 >/dev/null 2>&1 & echo $! > {pid}",
        "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > {pid}; while :; do sleep 1; done' &) &",
        f"{sys.executable} -c '"
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        'os.chdir("/"); os.closerange(0, 4096)\n'
        'fd = os.open("{pid}", os.O_WRONLY | os.O_CREAT); os.write(fd, str(os.getpid()).encode()); os.close(fd)\n'
        "time.sleep(60)'",
    ],
    ids=["nohup", "deaf", "closed"],
)
def test_no_daemon_outlives_its_attempt(bench: Bench, tmp_path: Path, daemon: str, how: str) -> None:
    file = tmp_path / "pid"
    rest = "sleep 60" if how == "stopped" else f"while ! [ -s {file} ]; do sleep 0.01; done"
    one = bench.start(shell(f"{daemon.replace('{pid}', str(file))}\n{rest}"))
    pid = pid_in(bench, file)
    if how == "stopped":
        bench.stop(one, grace=0.2)
    assert bench.outcome(one).result == ("succeeded" if how == "by itself" else "stopped")
    assert not alive(pid)


def test_what_a_thread_started_is_stopped_politely_too(bench: Bench) -> None:
    source = """
        import subprocess, sys, threading, time, signal
        signal.signal(signal.SIGTERM, lambda *_: None)
        below = "trap 'echo polite; exit' TERM; echo on; while :; do sleep 0.01; done"
        def work():
            subprocess.run(["sh", "-c", below])
            time.sleep(60)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(60)
        """
    one = bench.start(python(textwrap.dedent(source)))
    bench.says(one, b"on")
    bench.stop(one, grace=1.0)
    assert bench.outcome(one).result == "stopped"
    assert b"polite" in bench.log(one)


def test_a_fork_bomb_is_ended(bench: Bench, tmp_path: Path) -> None:
    """Hundreds of processes, each of which forks on into new sessions: 1,000 of them if nobody ends it."""
    pids = tmp_path / "pids"
    source = f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        file = os.open({str(pids)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for _ in range(5):
            os.fork()
        while os.fstat(file).st_size < 1000 * 8:
            if os.fork() == 0:
                os.setsid()
                os.write(file, b"%7d\\n" % os.getpid())
            time.sleep(0.1)
        time.sleep(60)
        """
    one = bench.start(python(textwrap.dedent(source)))
    bench.wait(lambda: pids.exists() and pids.stat().st_size > 200 * 8)
    bench.stop(one, grace=0.0)
    assert bench.outcome(one).result == "stopped"
    assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)]


def test_orphans_that_ended_do_not_pile_up_as_zombies(bench: Bench) -> None:
    source = """
        import os, time
        for _ in range(20):
            if os.fork() == 0:
                if os.fork() == 0: os._exit(0)
                os._exit(0)
            os.wait()
        for _ in range(100):
            dead = os.popen("ps -e -o stat=,ppid=").read().split("\\n")
            dead = [line for line in dead if line.split() == ["Z", str(os.getppid())]]
            if not dead: break
            time.sleep(0.02)
        print(len(dead))
        """
    one = bench.start(python(textwrap.dedent(source)))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"0\n"


def test_a_stop_right_after_the_start_is_not_waited_out(bench: Bench) -> None:
    claims = [bench.start(shell("sleep 60")) for _ in range(20)]
    for number, one in enumerate(claims):
        time.sleep(0.0005 * (number % 4))
        bench.executor.stop(one.task_run_id, one.token, grace=30, why="cancel")
    assert {bench.outcome(one).result for one in claims} == {"stopped"}
