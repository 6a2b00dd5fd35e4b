"""The processes below this one: told, frozen and killed, until none is left."""

from __future__ import annotations

import os
import signal
import time

from runyard.work import linux

_LOOK_SECONDS = 0.002


def tell(*numbers: int) -> None:
    """Sends the signals to every process below this one."""
    for number in numbers:
        for pid in list(linux.descendants(os.getpid())):
            linux.kill(pid, number)


def kill() -> None:
    """Kills every process below this one that can be found now."""
    found = []
    for pid in linux.descendants(os.getpid()):
        linux.kill(pid, signal.SIGSTOP)  # so that it starts nothing more while we look below it
        found.append(pid)
    for pid in found:
        linux.kill(pid, signal.SIGKILL)


def end() -> None:
    """Kills whatever is left: all of it is below this process, which adopts orphans, however often it forked."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        kill()
        time.sleep(_LOOK_SECONDS)
