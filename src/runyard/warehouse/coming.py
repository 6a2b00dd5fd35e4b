"""A file that is on its way: downloaded by a process of its own while it may be read from its start already."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.tasks import Task

_LOOK_SECONDS = 0.003
_NUDGE_SECONDS = 0.05
_PIPE_BYTES = 1 << 20

Tell = Callable[[dict[str, Any]], None]


class Coming:
    """One download. A stop of its task ends it; `close` does, too."""

    def __init__(self, channel: socket.socket, path: Path, task: Task, tell: Tell) -> None:
        self.path, self._task, self._tell, self._channel = path, task, tell, channel
        self.kind, self.total = "", 0
        """Its content type, and its bytes where the server told them: known as soon as some have come."""
        self.seconds = 0.0
        self._began = self._came = time.monotonic()
        self._last: dict[str, Any] = {}
        self._again = 0
        self._followed: tuple[int, int] | None = None
        self._over = threading.Event()
        self._held = contextlib.ExitStack()
        self._held.callback(self._end)
        self._held.enter_context(task.ended_by(self._end))
        self._reader = threading.Thread(target=self._read, name="download", daemon=True)
        self._reader.start()

    def lags(self, size: int, pace: float) -> bool:
        """Waits until so many bytes are there, with fewer than `pace` a second; false when all came before that."""
        while not self._over.wait(_LOOK_SECONDS):
            if self.kind and (came := self._size()) >= size and came < pace * (time.monotonic() - self._came):
                return True
        return False

    def finish(self) -> int:
        """Waits for the end; the file's bytes. Raises `LoadFailed`, or `Stopped` when the task was."""
        self._over.wait()
        self._task.check()
        if "failed" in self._last:
            raise LoadFailed(self._last["failed"], retry=self._last["retry"])
        if "done" not in self._last:
            raise LoadFailed("The downloader ended without a result.", retry=True)
        size, again = int(self._last["done"]["bytes"]), self._last["done"]["again"]
        if self._followed not in (None, (again, size)):
            raise LoadFailed("The download broke off and had to be begun anew.", retry=True)
        return size

    @contextlib.contextmanager
    def following(self) -> Iterator[Path]:
        """A named pipe that gives the file from its start, waits for what has not come yet, and ends where it does."""
        pipe, over, begun = self.path.with_suffix(".pipe"), threading.Event(), self._again
        fed: list[int] = []
        os.mkfifo(pipe, 0o600)
        feeder = threading.Thread(target=_feed, args=(self.path, pipe, self._over.is_set, over, fed), daemon=True)
        feeder.start()
        try:
            yield pipe
        finally:
            over.set()
            feeder.join()
            pipe.unlink()
            self._followed = begun, sum(fed)

    def close(self) -> None:
        """Ends the download if it still goes on."""
        self._held.close()
        self._reader.join()
        self._channel.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _read(self) -> None:
        with self._channel.makefile("rb") as lines, contextlib.suppress(OSError):
            for line in lines:
                self._take(json.loads(line))
        self.seconds = time.monotonic() - self._began
        self._over.set()

    def _take(self, line: dict[str, Any]) -> None:
        self._last = line
        if "done" in line:
            self.kind = line["done"]["content_type"]
        elif "bytes" in line:
            if not self.kind:
                self._came = time.monotonic()
            self.kind, self.total = line["content_type"] or "?", line["total"] or 0
            self._again = line["again"]
            self._tell(_progress(line))


def _progress(line: dict[str, Any]) -> dict[str, Any]:
    data = {"message": "Downloading.", "bytes": line["bytes"]}
    if line["total"]:
        data["fraction"] = round(line["bytes"] / line["total"], 4)
    return data


def _feed(path: Path, pipe: Path, ended: Callable[[], bool], over: threading.Event, fed: list[int]) -> None:
    """Passes on what is in the file, and what still comes, until `ended`; gives up when the reader is `over`."""
    # Open for both, it never waits for a reader; with it the other end is never without one either.
    hold = os.open(pipe, os.O_RDWR)
    end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with path.open("rb") as file:
            for size in _pieces(file.fileno(), end, ended, over):
                fed.append(size)
    finally:
        os.close(end)
        os.close(hold)
        while not over.wait(_NUDGE_SECONDS):  # a reader that opens the pipe only now would wait for a writer for ever
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def _pieces(file: int, end: int, ended: Callable[[], bool], over: threading.Event) -> Iterator[int]:
    """Sends what is there and yields how many bytes that were, until the end of the file has come."""
    room = select.poll()
    room.register(end, select.POLLOUT)
    offset = 0
    while not over.is_set():
        last = ended()  # asked first: what was written before the end is seen then
        if offset >= os.fstat(file).st_size:
            if last:
                return
            time.sleep(_LOOK_SECONDS)
        elif room.poll(_NUDGE_SECONDS * 1000):
            with contextlib.suppress(BlockingIOError):
                yield (sent := os.sendfile(end, file, offset, _PIPE_BYTES))
                offset += sent
