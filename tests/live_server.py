"""A real server in a process of its own, for tests that go through the front door."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 20


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of Runyard, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    return kept | {"PYTHONWARNINGS": "default"} | more


@contextmanager
def live_server(folder: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """Starts `runyard up` on a free port, gives its URL, and stops it with SIGTERM at the end.

    `settings` are further variables of its environment.
    """
    port = [] if "--port" in arguments else ["--port", "0"]
    command = [sys.executable, "-m", "runyard", "up", *port, "--data", str(folder / "data"), *arguments]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environment(**settings), start_new_session=True
        )
    try:
        yield _ready(process, folder / "server.log")
    finally:
        _stop(process)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().decode() if readable else ""
    assert line.startswith("ready http://"), f"the server did not start: {line!r}\n{log.read_text()}"
    return line.split()[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise AssertionError(f"the server did not stop within {STOP_SECONDS} seconds of SIGTERM") from None
    finally:
        if process.stdout:
            process.stdout.close()
