"""Makes sure that nothing of an attempt is left alive after its launcher was killed.

Every process of an attempt inherits an open file, `alive`, of the attempt's folder. As long as one of them
lives, /proc shows that file open; the direct child dies with its launcher by itself.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from runyard.core.launch import ALIVE

PATIENCE_SECONDS = 5.0


def end(folder: Path) -> bool:
    """Kills every process that holds the attempt's mark, until none is left; False if one cannot be killed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        left = list(holders(folder))
        if not left:
            return True
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                return False
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def holders(folder: Path) -> Iterator[int]:
    """The processes that have the attempt's mark open."""
    try:
        mark = os.stat(folder / ALIVE)
    except FileNotFoundError:
        return
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and _holds(entry.name, mark):
            yield int(entry.name)


def _holds(pid: str, mark: os.stat_result) -> bool:
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # gone, a zombie, or another user's
        return False
    for fd in fds:
        try:
            found = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (mark.st_dev, mark.st_ino):
            return True
    return False
