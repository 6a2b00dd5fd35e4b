"""The few Linux calls that the standard library does not offer, and questions to /proc."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterator

_RLIMIT_RTTIME = 15
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent() -> None:
    """KILLs this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, so that none of them can get away."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def bear_mark(pid: int = 0) -> int:
    """Gives a process and all that it starts a limit of its own, by which they can be told; answers its value.

    It must be lower than the present one, which may be the mark of an attempt that the process is part of.
    """
    present = resource.prlimit(pid, _RLIMIT_RTTIME)[1]
    top = 1 << 61 if present == resource.RLIM_INFINITY else present
    mark = top // 2 + int.from_bytes(os.urandom(8), "big") % (top // 2)
    resource.prlimit(pid, _RLIMIT_RTTIME, (mark, mark))
    return mark


def children(pid: int) -> list[int]:
    """The direct children of a process, whichever of its threads started them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def descendants(pid: int) -> Iterator[int]:
    """Every process below one, parents first; what is done to a process is done before its children are read."""
    stack = children(pid)
    while stack:
        one = stack.pop()
        yield one
        stack += children(one)


def kill(pid: int, number: int) -> None:
    """Sends a signal to a process that may have ended, or become another user's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
