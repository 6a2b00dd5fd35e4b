"""Who holds a database file: one process at a time, proved by a lock that ends with its holder.

The holder keeps an exclusive flock on `<database>.lock` for its whole life and writes its pid and start
time into it. Whoever finds the lock taken ends that process and waits for the lock: after that, nothing
of the old holder can commit any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

_WAIT_SECONDS = 10.0


class StillHeld(Exception):
    """The old holder could not be ended in time."""


def lock_path(database: Path) -> Path:
    """The lock file that belongs to a database file."""
    return database.with_suffix(".lock")


def take(database: Path) -> int:
    """Becomes the holder, after ending an old one; returns the descriptor that must stay open."""
    fd = _locked(lock_path(database))
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()} {_started(os.getpid())}".encode(), 0)
    return fd


def end_old(database: Path) -> None:
    """Makes sure that no process holds the database now."""
    if lock_path(database).exists():
        os.close(_locked(lock_path(database)))


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _WAIT_SECONDS
    while not _try(fd):
        _kill(os.pread(fd, 64, 0))
        if time.monotonic() > until:
            os.close(fd)
            raise StillHeld(f"Another process holds {path} and does not end.")
        time.sleep(0.005)
    return fd


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill(written: bytes) -> None:
    """Ends the process that wrote this, unless its pid belongs to another one by now."""
    pid, _, started = written.decode("ascii", "replace").partition(" ")
    if pid.isdigit() and int(pid) != os.getpid() and started and _started(int(pid)) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _started(pid: int) -> str:
    """The start time of a process in clock ticks since boot, or "" when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
