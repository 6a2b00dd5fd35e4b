"""CPU time that a run costs on the way to the disk: `python -m bench.writes [--runs 8000] [--kept FILE]`.

Submits of one sql task come in batches of 16 as from 16 connections, each batch one transaction in which the
worker also claims; what it claimed is finished in batches too. Engine and store are the real ones, without
HTTP; waiting for the disk is not counted. Microseconds a run: `request` checks and compiles a definition,
`execute` is everything inside the transaction, `commit` writes the log.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, Finished, Outcome
from runyard.core.commands import Submit
from runyard.core.ids import IdSource
from runyard.core.model import JobSpec, Task
from runyard.engine.bus import Bus
from runyard.engine.clock import SystemClock
from runyard.engine.ledger import Ledger
from runyard.engine.runs import Runs
from runyard.engine.worker import Worker
from runyard.engine.writer import Command, Done, Reply, Transactions
from runyard.store.sqlite import SqliteStore
from tests.engine.fakes import HandExecutor

BATCH = 16


class Gather:
    """A writer that keeps commands for the next batch."""

    def __init__(self) -> None:
        self.commands: list[Command[Any]] = []

    def execute(self, command: Command[Any]) -> Reply[Any]:
        self.commands.append(command)
        return Done(None)


class Path16:
    """The write path with batches of 16."""

    def __init__(self, store: SqliteStore, capacity: int) -> None:
        self.store = store
        self.executor = HandExecutor("warehouse", capacity)
        self.worker = Worker("bench", [self.executor], grace=1)
        self.writer = Gather()
        self.ledger = Ledger(store.writer, SystemClock(), IdSource(store.last_id))
        self.transactions = Transactions(self.ledger, self.worker.claim, lambda batch: None, self.worker.give_back)
        self.runs = Runs(store, self.writer, self.worker, Bus())  # type: ignore[arg-type]
        self.claimed: list[Assignment] = []
        self.spent: dict[str, list[float]] = {}

    def submit(self, number: int) -> None:
        """One connection's request, as the API makes it."""
        spec = JobSpec(name="bench", tasks=[Task(key="only", action=Sql(statement=f"SELECT {number}"))])
        self.runs.submit(Submit(spec=spec), "bench")

    def finish(self, one: Assignment) -> None:
        """One report of the executor."""
        outcome = Outcome(result="succeeded", output={"columns": [{"name": "n", "type": "INTEGER"}], "rows": [[1]]},
                          metrics={"rows": 1}, started_at=1, ended_at=2)  # fmt: skip
        self.writer.commands.append(self.worker.recorder([Finished(one.task_run_id, one.token, 0, outcome)]))

    def flush(self) -> None:
        """One transaction."""
        commands, self.writer.commands = self.writer.commands, []
        began = time.thread_time()
        batch = self.transactions.execute(commands)
        done = time.thread_time()
        self.store.writer.commit()
        self.transactions.committed(batch)
        self.spent["execute"].append(done - began)
        self.spent["commit"].append(time.thread_time() - done)
        refused = [error for _, error in batch.outcomes if error is not None]
        assert not refused, refused[0]
        if batch.claims is not None:
            self.claimed += batch.claims.all()


def _timed(name: str, path: Path16, work: Callable[[], None], profile: bool) -> None:
    path.spent = {"request": [], "execute": [], "commit": []}
    profiler = cProfile.Profile(time.thread_time)
    profiler.runcall(work) if profile else work()
    print(f"{name:<34}", *(f"{part} {_quiet(times):6.1f}" for part, times in path.spent.items() if times))
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(28)


def _quiet(times: list[float]) -> float:
    """Microseconds a run in the quickest tenth of the batches: what the work costs while others leave us alone."""
    return sorted(times)[len(times) // 10] / BATCH * 1e6


def measure(store: SqliteStore, runs: int, profile: bool) -> None:
    """Submits alone, then claims and ends of the same runs."""
    path = Path16(store, 0)

    def submits() -> None:
        for first in range(0, runs, BATCH):
            began = time.thread_time()
            for number in range(first, first + BATCH):
                path.submit(number)
            path.spent["request"].append(time.thread_time() - began)
            path.flush()

    def claims_and_ends() -> None:
        path.executor.capacity = BATCH
        ended = 0
        while ended < runs:
            for one in path.claimed:
                path.finish(one)
            ended += len(path.claimed)
            path.claimed = []
            if not path.writer.commands:
                path.writer.commands.append(_look)
            path.flush()

    _timed("submit, 16 a transaction", path, submits, profile)
    _timed("claim and end, 16 a transaction", path, claims_and_ends, profile)


def _look(ledger: Ledger) -> None:
    ledger.effects.look = True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="CPU time of the write path.")
    parser.add_argument("--runs", type=int, default=8000)
    parser.add_argument("--kept", type=Path, help="a seeded store; a copy of it is written to")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runyard.db"
        if arguments.kept:
            shutil.copy(arguments.kept, file)
        store = SqliteStore(file)
        measure(store, arguments.runs // BATCH * BATCH, arguments.profile)
        store.close()


if __name__ == "__main__":
    main()
