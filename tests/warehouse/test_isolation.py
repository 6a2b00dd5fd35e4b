"""Readers see whole commits; a table that is dropped meanwhile fails the run, and nothing of it is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from runyard.core.actions import Copy, Load
from tests.warehouse.desk import Desk
from tests.warehouse.server import Files


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


def test_readers_see_whole_commits_only(shared: Desk) -> None:
    """Each copy replaces 20,000 rows by as many of the next number: no reader ever sees two numbers, or fewer rows."""
    shared.rows("CREATE TABLE whole AS SELECT 0 AS n FROM range(20_000)")
    last = [
        shared.start(Copy(statement=f"SELECT {n} AS n FROM range(20_000)", table="whole", mode="replace"))
        for n in range(1, 9)
    ]
    seen = []
    while not shared.ended(last[-1]):
        seen += shared.rows("SELECT count(*), min(n), max(n) FROM whole")
    assert all(count == 20_000 and low == high for count, low, high in seen), seen
    assert shared.rows("SELECT DISTINCT n FROM whole") == [[8]]


def test_a_drop_that_was_asked_during_a_load_waits_for_it(shared: Desk, files: Files) -> None:
    """The load holds its place in the line of writers from its start, also while its file still comes."""
    go = threading.Event()
    files.serve("/slow.csv", b"n\n1\n2\n")
    answer = files.paths["/slow.csv"]
    files.paths["/slow.csv"] = lambda request: (go.wait(10), answer(request))[1]
    shared.rows("CREATE TABLE doomed (n BIGINT)")
    load = shared.start(Load(source=files.url("/slow.csv"), table="doomed"))
    shared.wait_started(load)
    drop = shared.start("DROP TABLE doomed")
    time.sleep(0.2)
    assert not shared.ended(drop)
    go.set()
    assert shared.wait(load).metrics["rows"] == 2
    assert shared.wait(drop).result == "succeeded"
    assert shared.run("FROM doomed").result == "failed"


def test_a_write_into_a_table_that_was_dropped_before_it_fails_and_makes_none(shared: Desk) -> None:
    shared.rows("CREATE TABLE gone AS SELECT 1 AS n")
    drop = shared.start("DROP TABLE gone")
    insert = shared.start("INSERT INTO gone VALUES (2)")
    assert shared.wait(drop).result == "succeeded"
    outcome = shared.wait(insert)
    assert outcome.result == "failed"
    assert "gone" in outcome.detail
    assert shared.run("FROM gone").result == "failed"


def test_a_program_that_reads_sees_the_table_as_it_was_when_it_began(shared: Desk) -> None:
    shared.rows("CREATE TABLE steady AS SELECT 0 AS n FROM range(3_000_000)")
    stream = shared.executor.stream("default", "SELECT n FROM steady", {})
    try:
        stream.begin()
        pieces = iter(stream)
        first = next(pieces)  # the rest waits in the warehouse until it is asked for
        change = Copy(statement="SELECT 1 AS n FROM range(10)", table="steady", mode="replace")
        assert shared.run(change).metrics["rows"] == 10
        table = pa.ipc.open_stream(first + b"".join(pieces)).read_all()
    finally:
        stream.close()
    assert table.num_rows == 3_000_000
    assert pc.max(table["n"]).as_py() == 0
    assert shared.rows("SELECT count(*), min(n) FROM steady") == [[10, 1]]


def test_a_query_in_the_middle_of_a_dropped_table_still_sees_it(shared: Desk) -> None:
    """A pinned snapshot: what was begun before the drop reads to its end."""
    shared.rows("CREATE TABLE pinned AS SELECT range AS n FROM range(2_000_000)")
    reader = shared.start("SELECT sum(a.n % 7 + b.range)::BIGINT FROM pinned a, range(20) b")
    shared.wait_started(reader)
    time.sleep(0.05)
    drop = shared.start("DROP TABLE pinned")
    assert shared.wait(drop, 20).result == "succeeded"
    assert shared.wait(reader, 20).output["row_count"] == 1, shared.wait(reader).detail
