"""A process that is forked before its work is known, so that the work need not wait for the fork."""

from __future__ import annotations

import contextlib
import os
import socket

import msgspec

from runyard.core.launch import Work, encode
from runyard.work import child, linux


class Spare:
    """A fresh child of this process, and how it is reached; it becomes one attempt's work and nothing else."""

    def __init__(self) -> None:
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        self.stdout, self.stderr = pipes[0][0], pipes[1][0]
        self._orders, theirs = socket.socketpair()
        parent = os.getpid()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                child.become(theirs.fileno(), pipes[0][1], pipes[1][1], parent)
        except OSError:  # no room for a process
            self.close()
            raise
        finally:
            theirs.close()
            for _, end in pipes:
                os.close(end)
        # From here, where it is done for certain: the child does nothing of the work before it is told to.
        self.mark = linux.bear_mark(self.pid)

    def alive(self) -> bool:
        """Whether it can still take work."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == 0

    def close(self) -> None:
        """Lets go of what it writes to; it ends if it still waits for work."""
        self._orders.close()
        os.close(self.stdout)
        os.close(self.stderr)

    def tell(self, folder: str, claim: bytes) -> int | None:
        """Gives it the work; when (in milliseconds) it began with it, None if it died before."""
        with contextlib.suppress(OSError), self._orders:
            self._orders.sendall(encode(Work(folder, msgspec.Raw(claim))))
            self._orders.shutdown(socket.SHUT_WR)
            return int(self._orders.recv(32) or 0) or None
        return None
