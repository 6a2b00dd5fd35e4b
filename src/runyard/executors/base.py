"""The seam between the engine and whoever does the work.

All calls return at once (a millisecond or less): the engine makes them on its own thread, after the commit
that makes them true. What happens later comes back as reports through the sink, from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from runyard.core.attempts import Assignment, Held, Report

Sink = Callable[[Sequence[Report]], None]
"""Takes reports from any thread, in order, without blocking."""


class Executor(Protocol):
    """Runs attempts of one kind."""

    name: str
    """`process` or `warehouse`: the value of `TaskRun.executor` that it serves."""

    @property
    def capacity(self) -> int:
        """How many attempts it holds at once; may change from one moment to the next."""

    def open(self, sink: Sink) -> None:
        """Starts whatever it needs. Reports go to `sink` from now on."""

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Begins the attempts. Each ends in exactly one `Finished` report, also when it cannot be started."""

    def stop(self, task_run_id: int, token: int, *, grace: float, why: Literal["cancel", "timeout", "release"]) -> None:
        """Asks for the end of an attempt: politely, and after `grace` seconds with KILL to its whole tree.

        Its `Finished` says `stopped` (or `released` for why="release"), unless it had ended by itself before.
        An attempt that is not held is ignored.
        """

    def extend(self, until: float) -> None:
        """Work may go on until then (seconds of CLOCK_BOOTTIME), and must be dead by then if this is not called again.

        Never called where no other server could start the same work.
        """

    def recover(self, held: Sequence[Held]) -> list[Held]:
        """After a restart: takes up again what still runs, reports what has ended meanwhile.

        What may have left an effect behind is reported on when that is known. Returns the claims that it will not
        report on because provably nothing of them is left; the engine records those as lost. Called once, after
        `open` and before any `start`.
        """

    def read_log_index(self, run_id: int, task_run_id: int) -> list[tuple[int, int, int]]:
        """(milliseconds, stream 1 or 2, offset) of each piece of a log, in order; empty where nobody kept that."""

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """Bytes `[start, end)` of an attempt's log and the log's whole size so far; empty if there is none."""

    def read_artifact(self, run_id: int, task_run_id: int, name: str) -> bytes | None:
        """A named file that an attempt left, or None; raises too_large over what is read at once."""

    def forget(self, run_id: int) -> None:
        """Removes what it keeps of a run that is deleted; the run has no live attempt."""

    def healthy(self) -> str | None:
        """None when it can start work, else one sentence that says why not."""

    def close(self, grace: float) -> None:
        """Ends: attempts still held are left running if they can be taken up again, else stopped and released."""
