"""Reports on their way to the server, gathered into few frames."""

from __future__ import annotations

import os
import socket
import threading
import time

from runyard.core.attempts import Report
from runyard.warehouse.protocol import Reports, ToServer, frame

_GATHER_SECONDS = 0.001
_BATCH = 256


class Outbox:
    """Sends reports when asked, or by itself about a millisecond after the first unsent one."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._waiting: list[Report] = []
        self._sent_at = 0.0
        self._wake = threading.Event()
        threading.Thread(target=self._flush_late, name="outbox", daemon=True).start()

    def add(self, *reports: Report, flush: bool = False) -> None:
        """Takes reports; `flush` when nothing more comes soon. Many ends a millisecond still share a frame."""
        with self._lock:
            self._waiting.extend(reports)
            full = len(self._waiting) >= _BATCH
        if full or (flush and time.monotonic() - self._sent_at > _GATHER_SECONDS):
            self.flush()
        elif not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Sends what waits. The order of reports is kept: one sender at a time takes and sends."""
        with self._sending:
            with self._lock:
                batch, self._waiting = self._waiting, []
            if batch:
                self._sent_at = time.monotonic()
                self._write(frame(Reports(batch)))

    def send(self, message: ToServer) -> None:
        """Sends another message at once."""
        with self._sending:
            self._write(frame(message))

    def _write(self, data: bytes) -> None:
        try:
            self._pipe.sendall(data)
        except OSError:
            os._exit(0)  # the server is gone: nothing may be committed after it

    def _flush_late(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_GATHER_SECONDS)
            self._wake.clear()
            self.flush()
