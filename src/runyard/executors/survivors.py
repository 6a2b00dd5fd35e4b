"""What became of an attempt whose launcher does not talk, and that nothing of it stays alive.

A launcher holds a lock in the attempt's folder until all of the attempt is over. All processes of an attempt inherit
a mark from the first: a limit on the time of real-time scheduling so high that it limits nothing, whose value is the
attempt's own. No closing of files, new session, new environment or exec takes it away, and /proc tells it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from runyard.core.attempts import Finished, Outcome
from runyard.core.launch import CLAIM, LOCK, MARK, OUTCOME, Mark, decode_mark, decode_report, encode

_LIMIT = b"Max realtime timeout"
_PASSES = 3
_AGAIN_SECONDS = 0.01

NOT_BEGUN = Outcome(result="released", detail="Its work had not begun.")
KILLED = Outcome(result="lost", reason="lost_worker", detail="The process that watched it was killed.")


def fate(folder: Path, task_run_id: int, token: int) -> Finished | None:
    """How the claim ended; None while its launcher lives, or something of it that is being killed."""
    if not folder.exists():
        _put_back(folder, token)
    with _locked(folder) as locked:
        mark = _mark(folder)
        if not locked:
            if mark is not None and mark.token != token:
                end(mark.value, mark.launcher)  # those of an older claim, which this one replaced
            return None
        left = _outcome_left(folder, token)
        if left is not None:
            return left
        (folder / CLAIM).unlink(missing_ok=True)  # a launcher that comes late finds nothing to do
        if mark is not None and not end(mark.value):
            return None
    begun = mark is not None and mark.token == token
    return Finished(task_run_id, token, time.time_ns() // 1_000_000, KILLED if begun else NOT_BEGUN)


def _put_back(folder: Path, token: int) -> None:
    """Somebody may have removed the folder of work that lives: it is ended, and the folder marked as begun."""
    where = os.path.realpath(folder)
    inside = {pid for pid in _processes() if _stands_in(pid, where)}
    marks = {int(mark) for pid in (*inside, *_below(inside)) if (mark := _mark_of(pid)).isdigit()}
    if marks:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / MARK).write_bytes(encode(Mark(token, min(marks))))
        while not end(*marks):
            time.sleep(_AGAIN_SECONDS)


def _stands_in(pid: str, folder: str) -> bool:
    try:
        place = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:  # it ended, or is another user's
        return False
    return place == folder or place.startswith(f"{folder}/")


def _below(pids: set[str]) -> set[str]:
    """All processes that these started, and those that these started, and so on."""
    children: dict[str, list[str]] = {}
    for pid in _processes():
        with contextlib.suppress(OSError):
            children.setdefault(_facts(pid)[1], []).append(pid)
    found: set[str] = set()
    stack = [*pids]
    while stack:
        for pid in children.get(stack.pop(), []):
            if pid not in found:
                found.add(pid)
                stack.append(pid)
    return found


def end(*marks: int) -> bool:
    """Kills every process that bears one of the marks; True when none is left."""
    for _ in range(_PASSES):
        left = list(bearers(*marks))
        if not left:
            return True
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    return False


def bearers(*marks: int) -> Iterator[int]:
    """The living processes that bear one of the marks."""
    wanted = {b"%d" % mark for mark in marks if mark}
    for pid in _processes():
        if _mark_of(pid) in wanted and not _is_dead(pid):
            yield int(pid)


def _processes() -> Iterator[str]:
    return (entry.name for entry in os.scandir("/proc") if entry.name.isdigit())


def _mark_of(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            words = file.read().partition(_LIMIT)[2].split()
    except OSError:  # it ended meanwhile
        return b""
    return words[1] if len(words) > 1 else b""


def _is_dead(pid: str) -> bool:
    """Whether it has ended, and only waits for its parent to notice."""
    try:
        return _facts(pid)[0] in "ZX"
    except OSError:
        return True


def _facts(pid: str) -> list[str]:
    """What /proc tells of a process after its name: its state, its parent, and more. Raises OSError when it ended."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keeps launchers of the folder from starting; False if one lives. Without a folder none lives."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _mark(folder: Path) -> Mark | None:
    try:
        return decode_mark((folder / MARK).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _outcome_left(folder: Path, token: int) -> Finished | None:
    try:
        report = decode_report((folder / OUTCOME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return report if isinstance(report, Finished) and report.token == token else None
