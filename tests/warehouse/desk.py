"""A warehouse executor with a place where its reports are kept, for tests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runyard.core.actions import Copy, Delete, Export, Load, Materialize, Sql, Truncate
from runyard.core.attempts import Assignment, Finished, Outcome, Progress, Report, Started
from runyard.executors.warehouse import WarehouseExecutor

Work = Sql | Load | Copy | Truncate | Delete | Materialize | Export


class Desk:
    """Starts tasks and waits for what becomes of them."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.files = home / "files"
        self.files.mkdir(exist_ok=True)
        self.attempts = home / "attempts"
        self.reports: list[Report] = []
        self._changed = threading.Condition()
        self._next = 1
        settings = {"allow_private_urls": True, "allowed_paths": [self.files], **settings}
        self.executor = WarehouseExecutor(home / "warehouse", **settings)
        self.executor.open(self._take)

    def _take(self, reports: Sequence[Report]) -> None:
        with self._changed:
            self.reports.extend(reports)
            self._changed.notify_all()

    def start(self, action: Work | str, *, token: int = 1, same_as: int | None = None, **fields: Any) -> int:
        """Starts a task; `same_as` makes it another attempt of the effect of an earlier one."""
        number, self._next = self._next, self._next + 1
        action = Sql(statement=action) if isinstance(action, str) else action
        run = same_as or number
        self.executor.start(
            [Assignment(run_id=run, task_run_id=number, token=token, task_key="t", action=action, **fields)]
        )
        return number

    def wait(self, number: int, seconds: float = 10.0) -> Outcome:
        """The outcome of a task."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.ended(number)), seconds), f"no outcome in {seconds} s"
        (finished,) = self.ended(number)
        return finished.outcome

    def wait_started(self, number: int, seconds: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: any(isinstance(one, Started) and one.task_run_id == number for one in self.reports), seconds
            )

    def ended(self, number: int) -> list[Finished]:
        return [one for one in self.reports if isinstance(one, Finished) and one.task_run_id == number]

    def progress(self, number: int) -> list[Progress]:
        return [one for one in self.reports if isinstance(one, Progress) and one.task_run_id == number]

    def run(self, action: Work | str, **fields: Any) -> Outcome:
        return self.wait(self.start(action, **fields))

    def rows(self, statement: str, **fields: Any) -> Any:
        """The rows of a statement that must succeed."""
        outcome = self.run(statement, **fields)
        assert outcome.result == "succeeded", outcome.detail
        return outcome.output["rows"]

    def pid(self) -> int:
        self.rows("SELECT 1")
        pid = self.executor._warehouses["default"].pid
        assert pid is not None
        return pid

    def close(self) -> None:
        self.executor.close(5.0)


def below(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    children = [
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    ]
    return children + [one for child in children for one in below(child)]


CROSS_JOIN = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 3"
