"""Counts that limits are held against, in memory: asking the store would write out first what waits to be written.

Right where one server writes. A count is read from the store once, moves with every run, and is forgotten when a
transaction in which it moved does not happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from runyard.core.model import Run
from runyard.store.base import Reads

MAX_JOBS = 2_000
Undos: TypeAlias = list[Callable[[], object]]
"""What is called when the open transaction, or the command under way, does not happen."""
_NONE = (0, 0, 0)


class Counts:
    """Runs that are not over: of jobs that were asked about, and of all."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._jobs: dict[int, tuple[int, int]] = {}
        self._all: int | None = None

    def of_job(self, job_id: int, undos: Undos) -> tuple[int, int]:
        """How many are let in, and how many wait for the job's limit."""
        found = self._jobs.get(job_id)
        if found is None:
            admitted = self._reads.admitted_count(job_id)
            found = admitted, len(self._reads.live_runs(job_id)) - admitted
            if len(self._jobs) >= MAX_JOBS:
                self._jobs.clear()
            self._jobs[job_id] = found
            undos.append(lambda: self._jobs.pop(job_id, None))  # it counts what this transaction did before
        return found

    def of_all(self, undos: Undos) -> int:
        """How many there are of whatever job."""
        if self._all is None:
            undos.append(self._forget_all)
            self._all = sum(self._reads.live_by_state().values())
        return self._all

    def moved(self, before: Run | None, after: Run, undos: Undos) -> None:
        """A run was made (before is None) or changed in the open transaction."""
        if self._all is None and not self._jobs:
            return
        old, new = _weight(before), _weight(after)
        if old == new:
            return
        if self._all is not None:
            self._all += new[0] - old[0]
            undos.append(self._forget_all)
        job_id = after.job_id
        if job_id is not None and (known := self._jobs.get(job_id)) is not None:
            self._jobs[job_id] = known[0] + new[1] - old[1], known[1] + new[2] - old[2]
            undos.append(lambda: self._jobs.pop(job_id, None))

    def _forget_all(self) -> None:
        self._all = None


def _weight(run: Run | None) -> tuple[int, int, int]:
    """What a run adds to the count of all, of those let in, and of those that wait."""
    if run is None or run.ended_at is not None:
        return _NONE
    return (1, 1, 0) if run.admitted_at is not None else (1, 0, 1)
