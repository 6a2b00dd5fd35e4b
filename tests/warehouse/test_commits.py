"""A stop that meets the commit: whichever of the two was first, what is reported is what happened."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.database import Database
from runyard.warehouse.effects import Effects, find
from runyard.warehouse.touched import Touched
from runyard.warehouse.views import Views
from tests.warehouse.desk import Desk

TASK = Assignment(run_id=1, task_run_id=2, token=3, task_key="t", action=Sql(statement="-"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.duckdb")
    database.cursor().execute("CREATE TABLE t (n INTEGER)")
    yield database
    database._root.close()


class Met:
    """A connection whose COMMIT is met by an interrupt; so is whatever is asked of it afterwards."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, *, committed: bool) -> None:
        self._cursor, self._committed, self._over = cursor, committed, False
        self.cursor = cursor.cursor

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT":
            self._cursor.execute("COMMIT" if self._committed else "ROLLBACK")
            self._over = True
        if self._over:
            raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
        return self._cursor.execute(statement, *values)


def once(database: Database, task: Assignment, number: int, **met: Any) -> Outcome:
    cursor: Any = database.cursor()
    if met:
        cursor = Met(cursor, **met)

    def work(touched: Touched) -> Outcome:
        cursor.execute(f"INSERT INTO t VALUES ({number})")
        return Outcome(result="succeeded", metrics={"number": number})

    return Effects(Views()).once(cursor, task, work)


def test_a_commit_that_happened_is_a_success_though_an_interrupt_met_it(database: Database) -> None:
    outcome = once(database, TASK, 7, committed=True)
    assert (outcome.result, outcome.metrics) == ("succeeded", {"number": 7})
    assert database.cursor().execute("FROM t").fetchall() == [(7,)]
    assert once(database, TASK, 8) == outcome  # and a repeat changes nothing
    assert database.cursor().execute("FROM t").fetchall() == [(7,)]


def test_a_commit_that_an_interrupt_undid_is_no_success_and_may_be_repeated(database: Database) -> None:
    with pytest.raises(duckdb.InterruptException):
        once(database, TASK, 7, committed=False)
    assert database.cursor().execute("FROM t").fetchall() == []
    assert find(database.cursor(), TASK) is None
    assert once(database, TASK, 8).result == "succeeded"


def test_interrupts_around_a_commit_leave_data_record_and_answer_in_agreement(database: Database) -> None:
    """A real connection, and real interrupts that come ever nearer to the end of the real commit."""
    chance, answers, pause = random.Random(5), {True: 0, False: 0}, 0.001
    for number in range(150):
        task, cursor = msgspec.structs.replace(TASK, run_id=100 + number), database.cursor()
        at_the_end, done = threading.Event(), threading.Event()

        def interrupt(cursor: Any, at_the_end: Any, done: Any, delay: float) -> None:
            at_the_end.wait(5)
            time.sleep(delay)
            while not done.is_set():
                cursor.interrupt()
                time.sleep(0.0001)

        def work(touched: Touched, cursor: Any = cursor, number: int = number, begin: Any = at_the_end) -> Outcome:
            cursor.execute("INSERT INTO t SELECT ? FROM range(1000)", [number])
            begin.set()
            return Outcome(result="succeeded")

        given = (cursor, at_the_end, done, pause * chance.uniform(0.5, 1.5))
        thread = threading.Thread(target=interrupt, args=given, daemon=True)
        thread.start()
        try:
            told = Effects(Views()).once(cursor, task, work).result == "succeeded"
        except duckdb.Error:
            told = False
        finally:
            done.set()
            thread.join()
        other = database.cursor()
        rows = other.execute("SELECT count(*) FROM t WHERE n = ?", [number]).fetchone()
        assert rows == (1000 if told else 0,)
        assert (find(other, task) is not None) == told
        answers[told] += 1
        pause *= 0.8 if told else 1.25
    assert min(answers.values()), answers


def test_a_cancel_at_any_moment_tells_whether_the_rows_are_there(desk: Desk) -> None:
    desk.rows("CREATE TABLE kept (n INTEGER)")
    chance, results, pause = random.Random(7), {"succeeded": 0, "stopped": 0}, 0.003
    for tries in range(120):
        number = desk.start(f"INSERT INTO kept SELECT {tries} FROM range(2000)")
        time.sleep(pause * chance.uniform(0.5, 1.5))
        desk.executor.stop(number, 1, grace=0, why="cancel")
        results[desk.wait(number).result] += 1
        pause *= 0.8 if desk.wait(number).result == "succeeded" else 1.25
        there = desk.rows(f"SELECT count(*) FROM kept WHERE n = {tries}")[0][0]
        assert there == (2000 if desk.wait(number).result == "succeeded" else 0), tries
    assert min(results.values()), results
