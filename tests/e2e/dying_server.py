"""`runyard up`, but the process kills itself with SIGKILL at one point: before or after the n-th call of a verb.

`python -m tests.e2e.dying_server POINT up ...`, where POINT is such as `store.commit.after.3`; the verbs are those of
the seams behind which everything happens that a crash could tear apart.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from runyard.executors.launchers import Launchers
from runyard.executors.local import LocalExecutor
from runyard.executors.warehouse import WarehouseExecutor
from runyard.store.sqlite import SqliteSession
from runyard.warehouse.client import Pipe, Warehouse

SEAMS: dict[str, tuple[type, tuple[str, ...]]] = {
    "store": (SqliteSession, ("begin", "mark", "keep", "undo", "flush", "commit", "apply", "put", "delete")),
    "process": (LocalExecutor, ("open", "recover", "start", "stop", "read_log", "forget", "close")),
    "warehouse": (WarehouseExecutor, ("open", "recover", "start", "stop", "forget", "close")),
    # What the verbs of executors leave to threads of their own.
    "thread": (LocalExecutor, ("_launch", "_stop", "_read", "_forget")),
    "launchers": (Launchers, ("open", "send", "keep")),
    "pipe": (Pipe, ("send",)),
    "reports": (Warehouse, ("_take_ready", "_take_reports")),
}
"""`rollback` is missing: only a disk that fails brings it about, and the simulation and the full disk try that."""


def points() -> list[str]:
    """Before and after each verb."""
    return [
        f"{seam}.{verb}.{side}" for seam, (_, verbs) in SEAMS.items() for verb in verbs for side in ("before", "after")
    ]


def arm(point: str) -> None:
    """From now on the process dies there."""
    seam, verb, side, nth = point.split(".")
    owner, _ = SEAMS[seam]
    wrapped, calls = getattr(owner, verb), count(1)

    def deadly(*arguments: Any, **named: Any) -> Any:
        last = next(calls) == int(nth)
        if last and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = wrapped(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, verb, deadly)


def main(start: Callable[[], object]) -> None:
    """Arms the point that the first argument names, and starts."""
    arm(sys.argv.pop(1))
    start()


if __name__ == "__main__":
    from runyard.cli import main as runyard

    main(runyard)
