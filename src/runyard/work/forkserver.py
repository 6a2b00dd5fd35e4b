"""The fork server: stays small and single-threaded, and forks a launcher for each channel that it is given.

Started by the local executor with one end of a socket pair as its only argument's file descriptor. It ends when
the other end does; its launchers go on. What it imports and does not use is for the attempts: none has to pay for it.
"""

from __future__ import annotations

import atexit  # noqa: F401
import contextlib
import gc
import os
import pkgutil  # noqa: F401
import signal
import socket
import sys
import time
import traceback  # noqa: F401

import runyard.runtime.locations  # noqa: F401
from runyard.core.launch import INHERITED
from runyard.work import launcher, python

_FORK_TRIES, _FORK_WAIT_SECONDS = 20, 0.1


def serve(orders: socket.socket) -> None:
    """Forks until the executor closes its end."""
    _heed_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)
    for name in set(os.environ) - set(INHERITED):
        del os.environ[name]
    os.environ.setdefault("PATH", os.defpath)  # and so it is what every task begins with
    _make_streams()
    gc.freeze()  # nothing here is garbage; collections in a child must not touch, and so copy, its pages
    while True:
        data, fds, _, _ = socket.recv_fds(orders, 1, 1)
        if not data:
            return
        if _fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            launcher.own(socket.socket(fileno=fds[0]))
        os.close(fds[0])


def _heed_signals() -> None:
    """Undoes what nohup or a shell's background does: a program expects that nobody ignores signals for it."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # these two Python itself ignores
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _make_streams() -> None:
    """Those of every task: a stream remembers what kind of file it was made for, so these are made for pipes."""
    ends = os.pipe()
    own = [os.dup(fd) for fd in (1, 2)]
    for fd in (1, 2):
        os.dup2(ends[1], fd)
    python.make_streams()
    for fd, kept in enumerate(own, 1):
        os.dup2(kept, fd)
    for fd in (*ends, *own):
        os.close(fd)


def _fork() -> int:
    """Forks; where the system has no room for a process just now, waits a while for it."""
    for _ in range(_FORK_TRIES):
        try:
            return os.fork()
        except BlockingIOError:
            time.sleep(_FORK_WAIT_SECONDS)
    return -1  # the channel is closed: the executor gives the claim back


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
