"""A local executor with what its tests need: claims are made and ended in one line, and reports are kept."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runyard.core.actions import InProcess, Python, Shell
from runyard.core.attempts import Assignment, Finished, Held, Outcome, Places, Progress, Report, Started
from runyard.executors.local import LocalExecutor

T = TypeVar("T")
Grant = Callable[[Assignment], dict[str, Any]]
NO_PLACES = Places()
SOURCE = str(Path(__file__).parents[2] / "src")
PATIENCE = 20.0
_ids = itertools.count(1)


class Bench:
    """One executor over one folder, and all that it reported."""

    def __init__(self, root: Path, places: Places = NO_PLACES, grant: Grant = lambda one: {}, **options: Any) -> None:
        def equip(one: Assignment) -> Assignment:
            return msgspec.structs.replace(one, places=places, tables=grant(one))

        self.root = root
        self.executor = LocalExecutor(root, 1000, equip=equip, **options)
        self.reports: list[Report] = []
        self.claims: list[Assignment] = []
        self._changed = threading.Condition()
        self.executor.open(self._take)

    def _take(self, reports: Sequence[Report]) -> None:
        with self._changed:
            self.reports += reports
            self._changed.notify_all()

    def start(self, action: InProcess, **fields: Any) -> Assignment:
        number = next(_ids)
        known: dict[str, Any] = {
            "run_id": 1,
            "task_run_id": number,
            "token": 1000 + number,
            "task_key": "t",
            "action": action,
        }
        one = Assignment(**(known | fields))
        self.executor.start([one])
        self.claims.append(one)
        return one

    def take_up(self, one: Assignment) -> None:
        """As after a restart."""
        self.claims.append(one)
        assert self.executor.recover([Held(one.run_id, one.task_run_id, one.token, "running")]) == []

    def run(self, action: InProcess, **fields: Any) -> Outcome:
        return self.outcome(self.start(action, **fields))

    def outcome(self, one: Assignment) -> Outcome:
        return self.wait(lambda: self.finished(one)).outcome

    def finished(self, one: Assignment) -> Finished | None:
        found = [report for report in self.of(one) if isinstance(report, Finished)]
        assert len(found) <= 1, found
        return found[0] if found else None

    def started(self, one: Assignment) -> Started:
        return self.wait(lambda: next((report for report in self.of(one) if isinstance(report, Started)), None))

    def progress(self, one: Assignment) -> list[dict[str, Any]]:
        return [report.data for report in self.of(one) if isinstance(report, Progress)]

    def of(self, one: Assignment) -> list[Report]:
        held = (one.task_run_id, one.token)
        return [report for report in list(self.reports) if (report.task_run_id, report.token) == held]

    def stop(self, one: Assignment, why: Any = "cancel", grace: float = 5.0) -> None:
        self.executor.stop(one.task_run_id, one.token, grace=grace, why=why)

    def log(self, one: Assignment) -> bytes:
        return self.executor.read_log(one.run_id, one.task_run_id, 0, None)[0]

    def says(self, one: Assignment, text: bytes) -> None:
        """Waits until the log holds this."""
        self.wait(lambda: text in self.log(one))

    def folder(self, one: Assignment) -> Path:
        return self.root / str(one.run_id) / str(one.task_run_id)

    def wait(self, what: Callable[[], T | None]) -> T:
        """What it answers once it is not false; reports wake the question at once, all else within 10 ms."""
        with self._changed:
            for _ in range(round(PATIENCE / 0.01)):
                if answer := what():
                    return answer
                self._changed.wait(0.01)
        raise AssertionError(f"waited {PATIENCE} s in vain; reports: {self.reports[-5:]}")

    def gone(self, pid: int) -> None:
        """Waits until a process has ended."""
        self.wait(lambda: not alive(pid))

    def close(self) -> None:
        """Ends what a failed test may have left, then the executor."""
        for one in self.claims:
            self.stop(one, grace=0.0)
        self.wait(lambda: all(self.finished(one) for one in self.claims))
        self.executor.close(0.0)


def python(source: str, **fields: Any) -> Python:
    return Python(source=source, **fields)


def shell(command: str | list[str], **fields: Any) -> Shell:
    return Shell(command=command, **fields)


def alive(pid: int) -> bool:
    """Whether it runs: one that only waits to be noticed by its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
