"""How many no-op statements a second flow through the warehouse executor, start to Finished, values checked.

    python bench/warehouse_noop.py [--count 20000] [--window 16]

`SELECT n` is a constant select, which may be answered together with its neighbours; `SELECT n FROM range(1)`
always is a query of its own. The limit is bare DuckDB in the same run: one cursor, one thread, no process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, Finished, Report
from runyard.executors.warehouse import WarehouseExecutor


class Desk:
    """Keeps a window of assignments in flight and checks what comes back."""

    def __init__(self, executor: WarehouseExecutor, window: int) -> None:
        self.executor, self.free = executor, window
        self.done = 0
        self.wrong = 0
        self.changed = threading.Condition()
        executor.open(self.take)

    def take(self, reports: Sequence[Report]) -> None:
        finished = [report for report in reports if isinstance(report, Finished)]
        wrong = sum(one.outcome.output is None or one.outcome.output["rows"] != [[one.token]] for one in finished)
        with self.changed:
            self.free += len(finished)
            self.done += len(finished)
            self.wrong += wrong
            self.changed.notify()

    def run(self, first: int, count: int, text: Callable[[int], str]) -> float:
        """Runs `count` statements; returns seconds."""
        sent, target, began = 0, self.done + count, time.perf_counter()
        while sent < count:
            with self.changed:
                self.changed.wait_for(lambda: self.free > 0)
                some = min(self.free, count - sent)
                self.free -= some
            numbers = range(first + sent, first + sent + some)
            self.executor.start([assignment(number, text(number)) for number in numbers])
            sent += some
        with self.changed:
            self.changed.wait_for(lambda: self.done == target)
        return time.perf_counter() - began


def assignment(number: int, text: str) -> Assignment:
    """A sql task whose token is the value that it must return."""
    return Assignment(run_id=number, task_run_id=number, token=number, task_key="t", action=Sql(statement=text))


def bare(count: int) -> float:
    """The same statements on one cursor of an open database: seconds."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(str(Path(folder) / "bare.duckdb"))
        began = time.perf_counter()
        for number in range(count):
            if connection.execute(f"SELECT {number}").fetchall() != [(number,)]:
                raise SystemExit("bare DuckDB returned a wrong value")
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(WarehouseExecutor(Path(folder) / "warehouse", capacity=16), asked.window)
        desk.run(1, 200, "SELECT {}".format)
        kinds = {"SELECT n": "SELECT {}", "SELECT n FROM range(1)": "SELECT {} FROM range(1)"}
        for place, (label, text) in enumerate(kinds.items(), start=1):
            seconds = desk.run(place * 1_000_000, asked.count, text.format)
            single = [desk.run(place * 1_000_000 + 500_000 + n, 1, text.format) for n in range(300)]
            p50 = statistics.median(single) * 1000
            print(f"{label:<24} {asked.count / seconds:>8,.0f}/s   one alone: p50 {p50:.2f} ms   wrong: {desk.wrong}")
        desk.executor.close(1)
    print(f"{'bare DuckDB, SELECT n':<24} {2000 / bare(2000):>8,.0f}/s")


if __name__ == "__main__":
    main()
