"""An executor that does what a test tells it: the engine's counterpart without processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runyard.core.attempts import Assignment, Finished, Held, Outcome, Started
from runyard.executors.base import Sink


class HandExecutor:
    """Holds assignments until the test ends them; remembers what it was asked to stop."""

    def __init__(self, name: str = "process", capacity: int = 1000) -> None:
        self.name = name
        self.capacity = capacity
        self.started: list[Assignment] = []
        self.held: dict[int, Assignment] = {}
        self.stops: list[tuple[int, int, str]] = []
        self.forgotten: list[int] = []
        self.trouble: str | None = None
        self.lost_on_recover: list[Held] = []
        self.sink: Sink = lambda reports: None
        self.on_start: Callable[[Assignment], None] | None = None

    def open(self, sink: Sink) -> None:
        self.sink = sink

    def start(self, assignments: Sequence[Assignment]) -> None:
        for one in assignments:
            self.started.append(one)
            self.held[one.task_run_id] = one
            if self.on_start is not None:
                self.on_start(one)

    def begin(self, one: Assignment, at: int) -> None:
        """Reports the first instruction."""
        self.sink([Started(one.task_run_id, one.token, at)])

    def end(self, one: Assignment, outcome: Outcome | None = None, at: int = 0) -> None:
        """Reports the end."""
        self.held.pop(one.task_run_id, None)
        self.sink([Finished(one.task_run_id, one.token, at, outcome or Outcome(result="succeeded"))])

    def stop(self, task_run_id: int, token: int, *, grace: float, why: str) -> None:
        self.stops.append((task_run_id, token, why))

    def extend(self, until: float) -> None:
        pass

    def recover(self, held: Sequence[Held]) -> list[Held]:
        return list(held)

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        return b"", 0

    def read_log_index(self, run_id: int, task_run_id: int) -> list[tuple[int, int, int]]:
        return []

    def read_artifact(self, run_id: int, task_run_id: int, name: str) -> bytes | None:
        return None

    def forget(self, run_id: int) -> None:
        self.forgotten.append(run_id)

    def healthy(self) -> str | None:
        return self.trouble

    def close(self, grace: float) -> None:
        self.held.clear()
