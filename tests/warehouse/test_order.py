"""Writers of one table, whatever their kind, work in the order in which they were asked."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runyard.core.actions import Copy, Load, Materialize, Sql
from runyard.core.attempts import Assignment
from runyard.runtime import tables
from tests.warehouse.desk import Desk
from tests.warehouse.server import Files


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


class Writers:
    """One row of each kind of writer for the table `line`, each naming who wrote it."""

    def __init__(self, desk: Desk, tmp_path: Path) -> None:
        self.desk, self._folder = desk, tmp_path
        self._numbers = itertools.count(1)
        self.threads: list[threading.Thread] = []
        (desk.files / "line.csv").write_text("who\nload\n")
        (desk.files / "lined.ndjson").write_text('{"who": "ndjson"}\n')

    def sql(self) -> int:
        return self.desk.start(Sql(statement="INSERT INTO line VALUES ('sql')"))

    def load(self) -> int:
        return self.desk.start(Load(source="line.csv", table="line"))

    def ndjson(self) -> int:
        return self.desk.start(Load(source="lined.ndjson", table="LINE"))

    def copy(self) -> int:
        return self.desk.start(Copy(statement="SELECT 'copy' AS who", table="line"))

    def materialize(self) -> int:
        return self.desk.start(Materialize(view="from_source"))

    def arrow(self) -> int:
        """A program's write: it takes its place when the warehouse has read the request."""
        number = next(self._numbers)
        who = Assignment(
            run_id=10_000 + number, task_run_id=10_000 + number, token=1, task_key="a", action=Sql(statement="-")
        )
        given = (self.desk.executor.grant(who), str(self._folder), "line", pa.table({"who": ["arrow"]}), "append")
        thread = threading.Thread(target=tables.write, args=given)
        before = self.places()
        thread.start()
        self.threads.append(thread)
        while self.places() == before:
            pass
        return 0

    def places(self) -> int:
        """How many programs hold a place, told by the files in which their writes are counted."""
        return sum(1 for path in self._folder.iterdir() if path.name.startswith("writes-"))


def test_writers_of_every_kind_keep_the_order_in_which_they_were_asked(
    desk: Desk, files: Files, tmp_path: Path
) -> None:
    desk.rows("CREATE TABLE line (who VARCHAR); CREATE TABLE source AS SELECT 'materialize' AS who")
    view = ("default", "from_source", "main", "source", "SELECT who FROM source", "line")
    desk.executor.create_view(*view).result(10)
    writers = Writers(desk, tmp_path)
    kinds: list[Callable[[], int]] = [writers.sql, writers.load, writers.ndjson, writers.copy, writers.materialize]
    chance, expected = random.Random(11), ["first"]
    asked = [chance.choice(kinds) for _ in range(12)]

    go = threading.Event()
    first: Any = files.serve("/first.csv", b"who\nfirst\n")
    answer = files.paths["/first.csv"]
    files.paths["/first.csv"] = lambda request: (go.wait(20), answer(request))[1]
    numbers = [desk.start(Load(source=first, table="line"))]
    desk.wait_started(numbers[0])
    numbers += [kind() for kind in asked]
    expected += [kind.__name__ for kind in asked]
    assert not any(desk.ended(number) for number in numbers)
    go.set()
    assert [desk.wait(number, 20).result for number in numbers] == ["succeeded"] * len(numbers)
    assert [row[0] for row in desk.rows("SELECT who FROM line ORDER BY rowid")] == expected


def test_a_program_s_write_waits_for_the_writers_before_it_and_those_after_it_for_the_program(
    desk: Desk, files: Files, tmp_path: Path
) -> None:
    folder = tmp_path / "attempt"
    folder.mkdir()
    desk.rows("CREATE TABLE line (who VARCHAR)")
    writers, go = Writers(desk, folder), threading.Event()
    first: Any = files.serve("/first.csv", b"who\nfirst\n")
    answer = files.paths["/first.csv"]
    files.paths["/first.csv"] = lambda request: (go.wait(20), answer(request))[1]
    numbers = [desk.start(Load(source=first, table="line"))]
    desk.wait_started(numbers[0])
    writers.arrow()
    threading.Event().wait(0.3)  # until it stands in the line
    numbers += [writers.copy(), writers.sql()]
    go.set()
    assert [desk.wait(number, 20).result for number in numbers] == ["succeeded"] * 3
    for thread in writers.threads:
        thread.join(10)
    assert [row[0] for row in desk.rows("SELECT who FROM line ORDER BY rowid")] == ["first", "arrow", "copy", "sql"]
