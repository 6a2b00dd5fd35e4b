"""The connection of a worker: what one attempt leaves on it is no other attempt's trouble."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from runyard.core.actions import Truncate
from runyard.core.attempts import Assignment, Finished, Outcome, Report
from runyard.core.states import Reason
from runyard.warehouse.database import Database
from runyard.warehouse.effects import Effects
from runyard.warehouse.kinds import Kind
from runyard.warehouse.locks import WriterLocks
from runyard.warehouse.outbox import Outbox
from runyard.warehouse.reads import Reads
from runyard.warehouse.runner import Runner
from runyard.warehouse.seat import Seat
from runyard.warehouse.tasks import Task
from runyard.warehouse.views import Views


class Kept:
    """Where the reports go."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []

    def add(self, *reports: Report, flush: bool = False) -> None:
        self.ended += [one.outcome for one in reports if isinstance(one, Finished)]


class Leaves:
    """Work that reads only, and leaves an aborted transaction when its table is called so."""

    reason = Reason.SQL_ERROR

    def tables(self, action: Truncate) -> frozenset[str]:
        return frozenset()

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Any) -> Outcome:
        action = cast(Truncate, task.assignment.action)
        cursor.execute("BEGIN TRANSACTION")
        if action.table == "stopped":
            task.stop("cancel")
        if action.table != "whole":
            cursor.execute("SELECT error('no')").fetchall()
        cursor.execute("COMMIT")
        return Outcome(result="succeeded")


@pytest.mark.parametrize(("left", "result"), [("stopped", "stopped"), ("failed", "failed")])
def test_an_open_transaction_of_a_stopped_or_failed_attempt_is_not_the_next_ones(
    tmp_path: Path, left: str, result: str
) -> None:
    database, kept = Database(tmp_path / "w.duckdb"), Kept()
    outbox, kinds = cast(Outbox, kept), cast(Mapping[type, Kind], {Truncate: Leaves()})
    reads = Reads(database.cursor)
    runner = Runner(database, outbox, kinds, Effects(Views()), reads, WriterLocks(), threads=0, attempts=tmp_path)
    seat = Seat(database)
    for number, table in enumerate([left, "whole"]):
        task = Task(
            Assignment(run_id=1, task_run_id=number, token=1, task_key=str(number), action=Truncate(table=table))
        )
        runner._hold(task)
        runner._run(task, seat)
    assert [outcome.result for outcome in kept.ended] == [result, "succeeded"], kept.ended
    seat.leave(clean=False)
    database._root.close()
