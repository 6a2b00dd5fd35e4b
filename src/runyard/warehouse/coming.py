"""A file that is on its way: downloaded by a process of its own while it may be read from its start already."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runyard.warehouse import pipes
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
        pipe, begun = self.path.with_suffix(".pipe"), self._again
        part = pipes.Part(pipe, self.path, ended=self._over.is_set)
        with pipes.fed([part], 1):
            yield pipe
        self._followed = begun, part.sent

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
