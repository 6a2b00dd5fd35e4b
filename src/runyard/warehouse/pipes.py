"""Files through named pipes: what reads them gets a part of a file, or one that is still being written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_LOOK_SECONDS = 0.003
_NUDGE_SECONDS = 0.05
PIPE_BYTES = 1 << 20
"""What a pipe holds at most. A part that is larger does not end before a reader has come."""


class Part:
    """The bytes of a file from `start` to `stop`, as they are read from `pipe`."""

    def __init__(
        self,
        pipe: Path,
        file: Path,
        start: int = 0,
        stop: int = sys.maxsize,
        ended: Callable[[], bool] = lambda: True,
    ) -> None:
        """`ended` says whether all of the file is there: before that its end is waited for."""
        self.pipe, self.start, self.stop = pipe, start, stop
        self.sent = 0
        """So many bytes went into the pipe."""
        self._file, self._ended = file, ended

    def feed(self, over: threading.Event) -> None:
        """Passes on what is in the file, and what still comes; gives up when the reader is `over`."""
        # Open for both, it never waits for a reader; with it the other end is never without one either.
        hold = os.open(self.pipe, os.O_RDWR)
        end = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        try:
            with contextlib.suppress(PermissionError):  # the kernel's limit for all pipes of a user
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            with self._file.open("rb") as file:
                self._send(file.fileno(), end, over)
        finally:
            os.close(end)
            os.close(hold)

    def nudge(self) -> None:
        """Lets a reader go on that opened the pipe only after its end: it would wait for a writer for ever."""
        with contextlib.suppress(OSError):
            os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK))

    def _send(self, file: int, end: int, over: threading.Event) -> None:
        room = select.poll()
        room.register(end, select.POLLOUT)
        while not over.is_set():
            last = self._ended()  # asked first: what was written before the end is seen then
            offset = self.start + self.sent
            left = min(self.stop, os.fstat(file).st_size) - offset
            if left <= 0:
                if last:
                    return
                time.sleep(_LOOK_SECONDS)
            elif room.poll(_NUDGE_SECONDS * 1000):
                with contextlib.suppress(BlockingIOError):
                    self.sent += os.sendfile(end, file, offset, min(left, PIPE_BYTES))


@contextlib.contextmanager
def fed(parts: Sequence[Part], readers: int) -> Iterator[None]:
    """The pipes, filled in the order of the parts, of which at most `readers` are read at a time; gone at the end."""
    over, places = threading.Event(), threading.Semaphore(2 * readers)  # a reader may open its next one already
    for part in parts:
        os.mkfifo(part.pipe, 0o600)
    threads = [threading.Thread(target=_in_turn, args=(part, places, over), daemon=True) for part in parts]
    starter = threading.Thread(target=_start, args=(threads, places, over), daemon=True)
    starter.start()
    try:
        yield
    finally:
        over.set()
        starter.join()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for part in parts:
            part.pipe.unlink()


def _start(threads: list[threading.Thread], places: threading.Semaphore, over: threading.Event) -> None:
    for thread in threads:
        while not places.acquire(timeout=_NUDGE_SECONDS):
            if over.is_set():
                return
        thread.start()


def _in_turn(part: Part, places: threading.Semaphore, over: threading.Event) -> None:
    try:
        part.feed(over)
    finally:
        places.release()
    while part.sent <= PIPE_BYTES and not over.wait(_NUDGE_SECONDS):
        part.nudge()
