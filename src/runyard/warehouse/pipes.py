"""Parts of a file through named pipes: what reads the pipes gets them, also while the file is still being written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

_LOOK_SECONDS = 0.003
_NUDGE_SECONDS = 0.05
_PIPE_BYTES = 1 << 20


class Part:
    """Some bytes of a file, and what follows them, as they are read from `pipe`."""

    def __init__(self, pipe: Path, file: Path, after: bytes = b"") -> None:
        self.pipe, self.start, self.size = pipe, 0, 0
        self.sent = 0
        """So many bytes of the file went into the pipe."""
        self._file, self._after = file, after
        self._told = threading.Event()
        self._waits = False

    def tell(self, start: int, stop: int) -> None:
        """Which bytes it is. All of them are in the file."""
        self.start, self.size = start, stop - start
        self._told.set()

    def feed(self, over: threading.Event, enough: threading.Event) -> None:
        """Waits until it is told and read, and passes on what it is: all of it, unless there is `enough`."""
        while not (over.is_set() or enough.is_set() or self._told.wait(_NUDGE_SECONDS)):
            pass
        if over.is_set():
            return
        end = self._opened()
        try:
            with contextlib.suppress(PermissionError):  # the kernel's limit for all pipes of a user
                fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            with self._file.open("rb") as file, contextlib.suppress(BrokenPipeError):  # its reader has given up
                self._send(file.fileno(), end, over, enough)
        finally:
            os.close(end)

    def let_go(self) -> None:
        """Ends its waiting for somebody who reads."""
        if self._waits:
            with contextlib.suppress(OSError):
                os.close(os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK))

    def _opened(self) -> int:
        """The pipe, once somebody reads it: what is written before that would be lost with the last end closed."""
        self._waits = True
        end = os.open(self.pipe, os.O_WRONLY)
        self._waits = False
        os.set_blocking(end, False)
        return end

    def _send(self, file: int, end: int, over: threading.Event, enough: threading.Event) -> None:
        room = select.poll()
        room.register(end, select.POLLOUT)
        left = memoryview(self._after)
        while (self.sent < self.size or left) and not (over.is_set() or enough.is_set()):
            if not room.poll(_NUDGE_SECONDS * 1000):
                continue
            with contextlib.suppress(BlockingIOError):
                if self.sent == self.size:
                    left = left[os.write(end, left) :]
                elif not (sent := os.sendfile(end, file, self.start + self.sent, self.size - self.sent)):
                    return  # the file has become shorter
                else:
                    self.sent += sent


@contextlib.contextmanager
def fed(parts: Sequence[Part], readers: int) -> Iterator[threading.Event]:
    """The pipes, filled in the order of the parts, of which at most `readers` are read at a time; gone at the end.

    Once the event that it gives is set, each of them ends where it is.
    """
    over, enough = threading.Event(), threading.Event()
    try:
        for part in parts:
            os.mkfifo(part.pipe, 0o600)
        with ThreadPoolExecutor(2 * readers, "pipe") as feeders:  # a reader may open its next one already
            feeding = [feeders.submit(part.feed, over, enough) for part in parts]
            try:
                yield enough
            finally:
                over.set()
                while wait(feeding, _LOOK_SECONDS).not_done:
                    for part in parts:
                        part.let_go()
    finally:
        for part in parts:
            part.pipe.unlink(missing_ok=True)
