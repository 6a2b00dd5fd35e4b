"""The logs of attempts on their way into a store that several servers use, so that each of them can show all logs.

While an attempt runs its log follows once a second; what is left goes before its end is recorded, so that whoever
sees it ended can read all of it. A store that is away for a while holds up the end of no attempt: its log follows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from runyard.core.errors import RunyardError

log = logging.getLogger("runyard.node")

PIECE = 256 * 1024
Read = Callable[[int, int, int, int | None], tuple[bytes, int]]
"""Bytes of a log by (run, task run, start, end), and its whole size."""
Keep = Callable[[int, int, int, bytes], None]
"""Keeps a piece of a log by (run, task run, start)."""


class LogCarrier:
    """Copies what is new in the logs of this process's attempts. Called from any thread."""

    def __init__(self, read: Read, kept: Read, keep: Keep) -> None:
        self._read, self._kept, self._keep = read, kept, keep
        self._lock = threading.Lock()
        self._at: dict[int, tuple[int, int]] = {}
        """By task run: how far its file was copied, and where in the store its file begins."""
        self._owed: dict[int, int] = {}
        """Ended attempts whose logs could not be copied, with their runs."""

    def follow(self, attempts: Iterable[tuple[int, int]]) -> None:
        """What these attempts, (run, task run), have written since. Raises unavailable."""
        for run_id, task_run_id in attempts:
            self._copy(run_id, task_run_id)
        for task_run_id, run_id in list(self._owed.items()):
            self.finish(run_id, task_run_id)

    def finish(self, run_id: int, task_run_id: int) -> None:
        """The rest of the log of an attempt that is over; later, if the store is away."""
        try:
            self._copy(run_id, task_run_id)
        except RunyardError as error:
            log.warning("the log of task run %s is copied later: %s", task_run_id, error)
            self._owed[task_run_id] = run_id
            return
        self._owed.pop(task_run_id, None)
        self._at.pop(task_run_id, None)

    def _copy(self, run_id: int, task_run_id: int) -> None:
        with self._lock:
            size = self._read(run_id, task_run_id, 0, 0)[1]
            if not size:
                return
            at, begin = self._at.get(task_run_id) or self._found(run_id, task_run_id, size)
            while at < size:
                data, _ = self._read(run_id, task_run_id, at, min(at + PIECE, size))
                self._keep(run_id, task_run_id, begin + at, data)
                at += len(data)
                self._at[task_run_id] = (at, begin)

    def _found(self, run_id: int, task_run_id: int, size: int) -> tuple[int, int]:
        """Where to go on after a restart; or where to begin, behind what another server's attempt had written."""
        kept = self._kept(run_id, task_run_id, 0, 0)[1]
        return (kept, 0) if kept <= size else (0, kept)
