"""Effects by themselves: conflicts are tried again, repeats change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.database import Database
from runyard.warehouse.effects import Effects
from runyard.warehouse.touched import Touched
from runyard.warehouse.views import Views

TASK = Assignment(run_id=1, task_run_id=2, token=3, task_key="t", action=Sql(statement="-"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.duckdb")
    database.cursor().execute("CREATE TABLE t AS SELECT 1 AS n")
    yield database
    database.cursor().close()


class Clash:
    """Work that another writer gets in the way of, the first `times` times."""

    def __init__(self, database: Database, times: int) -> None:
        self.cursor, self._other = database.cursor(), database.cursor()
        self._times, self.tries = times, 0

    def __call__(self, touched: Touched) -> Outcome:
        self.tries += 1
        self.cursor.execute("FROM t").fetchall()
        if self.tries <= self._times:
            self._other.execute("UPDATE t SET n = n + 100")
        self.cursor.execute("UPDATE t SET n = n + 1")
        return Outcome(result="succeeded", metrics={"tries": self.tries})


def test_work_that_meets_another_writer_is_done_again_and_once(database: Database) -> None:
    effects, work = Effects(Views()), Clash(database, 2)
    outcome = effects.once(work.cursor, TASK, work)
    assert (outcome.metrics, work.tries) == ({"tries": 3}, 3)
    assert database.cursor().execute("FROM t").fetchall() == [(202,)]
    assert effects.once(work.cursor, TASK, work) == outcome
    assert work.tries == 3


def test_work_that_cannot_be_repeated_fails_at_the_first_conflict(database: Database) -> None:
    work = Clash(database, 1)
    with pytest.raises(duckdb.TransactionException):
        Effects(Views()).once(work.cursor, TASK, work, again=False)
    assert database.cursor().execute("FROM t").fetchall() == [(101,)]


def test_work_that_always_conflicts_ends_as_a_failure(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    work = Clash(database, 100)
    with pytest.raises(duckdb.TransactionException):
        Effects(Views()).once(work.cursor, TASK, work)
    assert work.tries == 5


class Interrupted:
    """A connection whose commit is met by an interrupt, after it happened or before."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, *, late: bool) -> None:
        self._cursor, self._late, self.met = cursor, late, False

    def execute(self, statement: str, *values: Any) -> duckdb.DuckDBPyConnection:
        if statement != "COMMIT" or self.met:
            return self._cursor.execute(statement, *values)
        self.met = True
        if self._late:
            self._cursor.execute(statement)
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self._cursor.cursor()


def test_a_commit_that_an_interrupt_met_too_late_has_happened(database: Database) -> None:
    work = Clash(database, 0)
    outcome = Effects(Views()).once(cast(Any, Interrupted(work.cursor, late=True)), TASK, work)
    assert outcome.metrics == {"tries": 1}
    assert database.cursor().execute("FROM t").fetchall() == [(2,)]


def test_a_commit_that_an_interrupt_met_in_time_has_not(database: Database) -> None:
    work = Clash(database, 0)
    with pytest.raises(duckdb.InterruptException):
        Effects(Views()).once(cast(Any, Interrupted(work.cursor, late=False)), TASK, work)
    assert database.cursor().execute("FROM t").fetchall() == [(1,)]
    assert Effects(Views()).once(work.cursor, TASK, work).metrics == {"tries": 2}
    assert database.cursor().execute("FROM t").fetchall() == [(2,)]
