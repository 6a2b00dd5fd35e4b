"""An attempt's log: what it wrote, byte for byte, in one file, with an index of times and streams."""

from __future__ import annotations

import os
import time

from runyard.core.launch import INDEX, INDEX_RECORD, LOG

TAIL_BYTES = 64 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class LogFile:
    """Appends to `log` and `log.index` in the present folder, up to a cap that it tells in the log itself."""

    def __init__(self, cap: int) -> None:
        self._log = os.open(LOG, _FLAGS, 0o600)
        self._index = -1
        self._size = os.fstat(self._log).st_size
        self._cap = self._size + cap
        self._cut = False
        self._missing = 0
        self._last = (0, 0)
        self.tail = b""
        """The end of standard error, for the reason of a failure."""

    def write(self, stream: int, data: bytes) -> None:
        """One piece as it came; over the cap it is dropped, after one line that says so."""
        if stream == 2:
            self.tail = (self.tail + data)[-TAIL_BYTES:]
        if self._cut:
            return
        if self._missing:
            said = f"\nrunyard: {self._missing} bytes are missing here: the disk was full.\n".encode()
            missing, self._missing = self._missing, 0
            if not self._append(stream, said):
                self._missing = missing + len(data)
                return
        room = self._cap - self._size
        if len(data) > room:
            self._cut = True
            data = data[:room] + f"\nrunyard: the log was cut here, at its limit of {self._cap} bytes.\n".encode()
        self._append(stream, data)

    def close(self) -> None:
        """Lets go of the files."""
        for fd in (self._log, self._index):
            if fd >= 0:
                os.close(fd)

    def _append(self, stream: int, data: bytes) -> bool:
        """False if not all of it could be written; the work goes on."""
        try:
            self._mark(stream)
            while data:
                written = os.write(self._log, data)
                self._size += written
                data = data[written:]
        except OSError:
            self._missing += len(data)
        return not data

    def _mark(self, stream: int) -> None:
        now = time.time_ns() // 1_000_000
        if self._last != (now, stream):
            if self._index < 0:  # most programs are silent
                self._index = os.open(INDEX, _FLAGS, 0o600)
            os.write(self._index, INDEX_RECORD.pack(now, stream, self._size))
            self._last = (now, stream)
