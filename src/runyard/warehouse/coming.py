"""A file that is on its way: downloaded by a process of its own while it may be read from its start already."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.tasks import Task

_LOOK_SECONDS = 0.003

Tell = Callable[[dict[str, Any]], None]


class Coming:
    """One download. A stop of its task ends it; `close` does, too."""

    def __init__(self, channel: socket.socket, path: Path, task: Task, tell: Tell) -> None:
        self.path, self._task, self._tell, self._channel = path, task, tell, channel
        self.kind, self.total = "", 0
        """Its content type, and its bytes where the server told them: known as soon as some have come."""
        self.seconds = 0.0
        self._since = self._came = time.monotonic()
        self._last: dict[str, Any] = {}
        self._again = 0
        self._begun: int | None = None
        """How often the file had been begun anew when it was first read."""
        self._over = threading.Event()
        self._held = contextlib.ExitStack()
        self._held.callback(self._end)
        self._held.enter_context(task.ended_by(self._end))
        self._reader = threading.Thread(target=self._read, name="download", daemon=True)
        self._reader.start()

    def begins(self, size: int, pace: float) -> bool:
        """Waits until it is time to read, with so many bytes a second; false when all came before that.

        Then so many bytes are there, and what is still to come needs no longer than the reading: threads of DuckDB's,
        which wait for a file, are everybody's. What is read from now on is these bytes. Without a length it is never.
        """
        while not self._over.wait(_LOOK_SECONDS):
            came, since = self._size(), time.monotonic() - self._came
            if self.total > size <= came and (self.total - came) * since / came <= self.total / pace:
                self._begun = self._again
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
        if self._begun not in (None, again):
            raise LoadFailed("The download broke off and had to be begun anew.", retry=True)
        return size

    def opened(self, over: threading.Event) -> IO[bytes]:
        """The file: what reads it waits for what has not come yet, unless that is `over`."""
        return io.BufferedReader(_Growing(self.path, lambda: self._over.is_set() or over.is_set()))

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
        self.seconds = time.monotonic() - self._since
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
            told = {"message": "Downloading.", "bytes": line["bytes"]}
            if self.total and self._begun is None:  # else what was read is told
                told["fraction"] = round(line["bytes"] / self.total, 4)
            self._tell(told)


class _Growing(io.FileIO):
    """A file that is still being written."""

    def __init__(self, path: Path, ended: Callable[[], bool]) -> None:
        super().__init__(path)
        self._ended = ended

    def readinto(self, buffer: Any) -> int:
        """Waits for a byte at least, or the end."""
        while True:
            last = self._ended()  # asked first: what was written before the end is seen then
            if (count := super().readinto(buffer)) or last:
                return count
            time.sleep(_LOOK_SECONDS)
