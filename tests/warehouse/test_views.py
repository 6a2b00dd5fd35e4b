"""Materialized views: the target follows the source, in the same transaction, and is filled in chunks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Copy, Delete, Load, Materialize, Truncate
from runyard.core.errors import Code, RunyardError
from tests.warehouse.desk import Desk

DAILY = "SELECT day, count(*) AS n, sum(v) AS v FROM events GROUP BY day"
MERGED = "SELECT day, sum(n)::BIGINT, sum(v)::BIGINT FROM daily GROUP BY day ORDER BY day"


def names(desk: Desk) -> list[str]:
    return [table["name"] for table in desk.executor.tables("default").result(5)]


@pytest.fixture
def events(shared: Desk) -> Desk:
    """A table of events and its view, and nothing else."""
    desk = shared
    for name in names(desk):
        desk.executor.drop_table("default", "main", name, True).result(5)
    desk.run("CREATE TABLE events (day INTEGER, v INTEGER)")
    create(desk, "by_day", "events", DAILY, "daily")
    return desk


def create(desk: Desk, name: str, source: str, statement: str, target: str, schema: str = "main") -> Any:
    return desk.executor.create_view("default", name, schema, source, statement, target).result(10)


def refused(desk: Desk, *view: str) -> str:
    with pytest.raises(RunyardError) as caught:
        create(desk, *view)
    assert caught.value.code == Code.INVALID
    return caught.value.message


def test_every_way_to_append_runs_the_view_over_the_new_rows_only(events: Desk) -> None:
    events.run("INSERT INTO events VALUES (1, 10), (1, 20), (2, 5)")
    assert events.rows("FROM daily ORDER BY day") == [[1, 2, 30], [2, 1, 5]]
    (events.files / "e.csv").write_text("day,v\n1,1\n3,3\n")
    load = events.run(Load(source="e.csv", table="events"))
    assert load.metrics["tables_written"] == ["main.daily", "main.events"]
    events.run(Copy(statement="SELECT 3 AS day, 4 AS v", table="events"))
    assert events.rows("SELECT count(*) FROM daily") == [[5]]  # partial states, merged by who reads
    assert events.rows(MERGED) == [[1, 3, 31], [2, 1, 5], [3, 2, 7]]


def test_several_statements_and_updates_count_each_row_once(events: Desk) -> None:
    events.run(
        "INSERT INTO events VALUES (1, 1); INSERT INTO events VALUES (1, 2); UPDATE events SET v = 5 WHERE v = 1"
    )
    assert events.rows(MERGED) == [[1, 2, 7]]
    events.run("UPDATE events SET v = 100")
    events.run("DELETE FROM events WHERE day = 1")
    assert events.rows(MERGED) == [[1, 2, 7]]


def test_a_write_that_fails_changes_neither_source_nor_target(events: Desk) -> None:
    assert events.run("INSERT INTO events VALUES (1, 1); SELECT error('no')").result == "failed"
    assert events.rows("FROM daily") == events.rows("FROM events") == []


def test_a_view_that_fails_undoes_the_append(events: Desk) -> None:
    events.run("ALTER TABLE daily ALTER COLUMN v TYPE TINYINT")
    assert events.run("INSERT INTO events VALUES (1, 1000)").result == "failed"
    assert events.rows("FROM events") == []


def test_views_of_views_follow_in_order(events: Desk) -> None:
    create(events, "total", "daily", "SELECT sum(n) AS n FROM daily", "totals")
    create(events, "copy", "events", "SELECT * FROM events WHERE v > 10", "large")
    create(events, "larger", "large", "SELECT day, v FROM large", "largest")
    outcome = events.run("INSERT INTO events VALUES (1, 1), (2, 20), (2, 30)")
    assert outcome.metrics["tables_written"] == [f"main.{t}" for t in ("daily", "events", "large", "largest", "totals")]
    assert events.rows("SELECT * FROM totals") == [[3]]
    assert events.rows("SELECT count(*) FROM largest") == [[2]]


def test_views_of_views_hold_under_appends_that_come_at_once(events: Desk) -> None:
    """Writers of one table and of two, by SQL, copies and loads: every row is counted once at every level."""
    events.run("CREATE TABLE other (day INTEGER, v INTEGER)")
    create(events, "more", "other", "SELECT day, count(*) AS n, sum(v) AS v FROM other GROUP BY day", "daily")
    create(events, "total", "daily", "SELECT sum(n) AS n, sum(v) AS v FROM daily", "totals")
    (events.files / "at_once.csv").write_text("day,v\n1,1\n2,1\n")
    works: list[Any] = [
        "INSERT INTO events VALUES (1, 1), (2, 1)",
        "INSERT INTO other VALUES (1, 1), (2, 1)",
        Copy(statement="SELECT range + 1 AS day, 1 AS v FROM range(2)", table="events"),
        Copy(statement="SELECT range + 1 AS day, 1 AS v FROM range(2)", table="other"),
        Load(source="at_once.csv", table="events"),
        Load(source="at_once.csv", table="other"),
    ]
    numbers = [events.start(work) for _ in range(8) for work in works]
    assert {events.wait(number, 30).result for number in numbers} == {"succeeded"}
    assert events.rows("SELECT count(*) FROM events") == events.rows("SELECT count(*) FROM other") == [[48]]
    assert events.rows(MERGED) == [[1, 48, 48], [2, 48, 48]]
    assert events.rows("SELECT sum(n)::INT, sum(v)::INT, count(*) FROM totals") == [[96, 96, 48]]


def test_two_views_fill_one_target(events: Desk) -> None:
    events.run("CREATE TABLE other (day INTEGER)")
    create(events, "more", "other", "SELECT day, count(*) AS n FROM other GROUP BY day", "daily")
    events.run("INSERT INTO other VALUES (1), (1); INSERT INTO events VALUES (1, 7)")
    assert events.rows("SELECT day, sum(n)::BIGINT FROM daily GROUP BY day") == [[1, 3]]


def test_a_replaced_source_replaces_what_was_made_from_it(events: Desk) -> None:
    events.run("INSERT INTO events VALUES (1, 1), (2, 2)")
    (events.files / "r.csv").write_text("day,v\n9,9\n")
    outcome = events.run(Load(source="r.csv", table="events", mode="replace"))
    assert outcome.result == "succeeded", outcome.detail
    assert events.rows(MERGED) == [[9, 1, 9]]


def test_a_replaced_part_replaces_that_part_of_the_target(events: Desk) -> None:
    events.run("INSERT INTO events VALUES (1, 1), (2, 2), (2, 3)")
    (events.files / "p.csv").write_text("day,v\n2,50\n")
    assert events.run(Load(source="p.csv", table="events", mode="replace_where", where="day = 2")).result == "succeeded"
    assert events.rows(MERGED) == [[1, 1, 1], [2, 1, 50]]
    create(events, "no_day", "events", "SELECT sum(v) AS s FROM events", "sums")
    outcome = events.run(Load(source="p.csv", table="events", mode="replace_where", where="day = 2"))
    assert outcome.result == "failed"
    assert "no_day follows this table" in outcome.detail


def test_truncate_and_delete_leave_the_target(events: Desk) -> None:
    events.run("INSERT INTO events VALUES (1, 1), (2, 2)")
    events.run(Delete(table="events", where="day = 1"))
    events.run(Truncate(table="events"))
    assert events.rows(MERGED) == [[1, 1, 1], [2, 1, 2]]


def test_a_repeat_of_an_append_is_followed_once(events: Desk) -> None:
    first = events.start("INSERT INTO events VALUES (1, 1)")
    before = events.wait(first)
    os.kill(events.pid(), signal.SIGKILL)
    again = events.wait(events.start("INSERT INTO events VALUES (1, 1)", token=2, same_as=first), 20)
    while again.result == "lost":
        again = events.wait(events.start("INSERT INTO events VALUES (1, 1)", token=3, same_as=first), 20)
    assert again == before
    events.run("INSERT INTO events VALUES (1, 2)")
    assert events.rows(MERGED) == [[1, 2, 3]]


WRONG = {
    ("v", "events", "SELECT * FROM daily", "t"): "does not read its source",
    ("v", "events", "SELECT * FROM main.events", "t"): "without its schema",
    ("v", "nothing", "SELECT * FROM nothing", "t"): "There is no table",
    ("v", "events", "SELECT day + FROM events", "t"): "Parser Error",
    ("v", "events", "SELECT nope FROM events", "t"): "Binder Error",
    ("v", "events", "DELETE FROM events", "t"): "needs one SELECT",
    ("v", "events", "SELECT 1 AS other FROM events", "daily"): "Binder Error",
    ("v", "daily", "SELECT n AS day, n AS v FROM daily", "events"): "would feed itself",
    ("v", "events", "SELECT * FROM events", "events"): "would feed itself",
    ("by_day", "events", "SELECT * FROM events", "t"): "There is a view by_day already",
    ("v", "events", "SELECT * FROM events, _runyard.effects", "t"): "not available",
    ("", "events", "SELECT * FROM events", "t"): "needs a name",
}


def test_a_view_that_cannot_work_is_refused_and_leaves_nothing(events: Desk) -> None:
    for view, said in WRONG.items():
        assert said in refused(events, *view), view
    assert [view["name"] for view in events.executor.views("default").result(5)] == ["by_day"]
    assert names(events) == ["daily", "events"]


def test_a_table_whose_column_hides_the_ids_of_its_rows_is_not_followed(events: Desk) -> None:
    events.run('CREATE TABLE hidden (v INTEGER, "RowId" INTEGER)')
    assert "has a column rowid" in refused(events, "v", "hidden", "SELECT v FROM hidden", "t")


def test_the_same_view_again_changes_nothing(events: Desk) -> None:
    again = create(events, "by_day", "events", DAILY, "daily")
    assert (again["created"], again["target"]) == (False, "daily")


def test_a_view_is_there_after_a_restart(events: Desk) -> None:
    os.kill(events.pid(), signal.SIGKILL)
    while events.run("INSERT INTO events VALUES (4, 4)").result != "succeeded":
        pass
    assert events.rows(MERGED) == [[4, 1, 4]]


def test_a_dropped_view_leaves_its_target_alone(events: Desk) -> None:
    events.run("INSERT INTO events VALUES (1, 1)")
    assert events.executor.drop_view("default", "BY_DAY").result(5) == {"dropped": True}
    assert events.executor.drop_view("default", "by_day").result(5) == {"dropped": False}
    events.run("INSERT INTO events VALUES (1, 1)")
    assert events.rows(MERGED) == [[1, 1, 1]]


def test_a_table_of_a_view_is_not_dropped_unless_its_view_goes_too(events: Desk) -> None:
    for text in ("DROP TABLE events", "DROP TABLE daily", "ALTER TABLE events RENAME TO gone"):
        outcome = events.run(text)
        assert outcome.result == "failed", text
        assert "belongs to the view by_day" in outcome.detail
    with pytest.raises(RunyardError, match="belongs to the view by_day"):
        events.executor.drop_table("default", "main", "events", False).result(5)
    done = events.executor.drop_table("default", "main", "events", True).result(5)
    assert done == {"dropped": True, "views": ["by_day"]}
    assert names(events) == ["daily"]
    assert events.executor.views("default").result(5) == []


# --- filling ---


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("full"))
    desk.run("CREATE TABLE events AS SELECT (range % 7)::INTEGER AS day, range::INTEGER AS v FROM range(100_000)")
    create(desk, "by_day", "events", DAILY, "daily")
    yield desk
    desk.close()


WHOLE = "SELECT day, count(*), sum(v)::BIGINT FROM events {} GROUP BY day ORDER BY day"


@pytest.mark.parametrize("fields", [{}, {"chunk_rows": 30_000}, {"partition_by": "day"}], ids=str)
def test_a_filled_target_is_what_the_query_says(full: Desk, fields: dict[str, Any]) -> None:
    number = full.start(Materialize(view="by_day", truncate=True, **fields))
    outcome = full.wait(number)
    assert outcome.result == "succeeded", outcome.detail
    chunks = {"{}": 1, "chunk_rows": 4, "partition_by": 7}[next(iter(fields), "{}")]
    assert outcome.metrics["chunks"] == chunks
    assert [one.data["chunks_done"] for one in full.progress(number) if "chunks_done" in one.data] == list(
        range(chunks)
    )
    assert full.rows(MERGED) == full.rows(WHOLE.format(""))


def test_a_condition_chooses_the_rows(full: Desk) -> None:
    full.run(Materialize(view="by_day", truncate=True, where="day < 2", partition_by="day"))
    assert full.rows(MERGED) == full.rows(WHOLE.format("WHERE day < 2"))


def test_a_sample_is_a_part_and_always_the_same(full: Desk) -> None:
    counts = []
    for _ in range(2):
        full.run(Materialize(view="by_day", truncate=True, sample=0.1))
        counts.append(full.rows("SELECT sum(n)::BIGINT FROM daily")[0][0])
    assert counts[0] == counts[1]
    assert 9_000 < counts[0] < 11_000


def test_a_stop_between_chunks_leaves_the_target_as_it_was(full: Desk) -> None:
    full.run(Materialize(view="by_day", truncate=True))
    before = full.rows(MERGED)
    number = full.start(Materialize(view="by_day", truncate=True, chunk_rows=50))
    full.wait_started(number)
    full.executor.stop(number, 1, grace=0, why="cancel")
    assert full.wait(number, 2.0).result == "stopped"
    assert full.rows(MERGED) == before


def test_a_repeated_fill_returns_the_recorded_outcome(full: Desk) -> None:
    full.run(Truncate(table="daily"))
    first = full.start(Materialize(view="by_day"))
    before = full.wait(first)
    assert full.wait(full.start(Materialize(view="by_day"), token=2, same_as=first)) == before
    assert full.rows(MERGED) == full.rows(WHOLE.format(""))


@pytest.mark.parametrize(
    "fields", [{"view": "none"}, {"where": "day = $x"}, {"where": "1) OR (1"}, {"partition_by": "nope"}], ids=str
)
def test_a_fill_that_cannot_be_is_refused(full: Desk, fields: dict[str, Any]) -> None:
    assert full.run(Materialize(**{"view": "by_day", **fields})).result == "failed"


def test_appends_that_wait_for_a_fill_are_followed_after_it(tmp_path: Path, desk: Desk) -> None:
    desk.run("CREATE TABLE events AS SELECT 1 AS day, 1 AS v FROM range(300_000)")
    create(desk, "by_day", "events", DAILY, "daily")
    numbers = [desk.start(Materialize(view="by_day", chunk_rows=20_000))]
    numbers += [desk.start("INSERT INTO events VALUES (1, 1)") for _ in range(5)]
    numbers.append(desk.start(Materialize(view="by_day", truncate=True)))
    numbers += [desk.start("INSERT INTO events VALUES (1, 1)") for _ in range(5)]
    assert {desk.wait(number).result for number in numbers} == {"succeeded"}
    assert desk.rows(MERGED) == [[1, 300_010, 300_010]]


def test_views_conditions_and_exports_may_be_written_in_another_dialect(events: Desk) -> None:
    statement = "SELECT day, countIf(v > 1) AS big FROM events GROUP BY day"
    view: Any = ("default", "big", "main", "events", statement, "bigs", "clickhouse")
    assert events.executor.create_view(*view).result(20)["statement"] == statement
    assert events.executor.create_view(*view).result(20)["created"] is False
    events.run("INSERT INTO events VALUES (1, 1), (1, 5), (2, 9)")
    assert events.rows("SELECT day, big FROM bigs ORDER BY day") == [[1, 1], [2, 1]]
    where = "toUInt8(day) = 2"
    filled = events.run(Materialize(view="big", truncate=True, where=where, dialect="clickhouse"))
    assert filled.metrics["rows"] == 1, filled.detail
    dry = events.run(Delete(table="events", where=where, dialect="clickhouse", dry_run=True))
    assert dry.metrics["rows"] == 1, dry.detail
    for text in ("day = 1) UNION ALL SELECT (1", "day = 1) OR (", "1; DROP TABLE events"):
        assert events.run(Delete(table="events", where=text, dialect="clickhouse")).result == "failed"
    assert events.rows("SELECT count(*) FROM events") == [[3]]
    (events.files / "d.csv").write_text("day,v\n2,2\n")
    load = Load(source="d.csv", table="events", mode="replace_where", where=where, dialect="clickhouse")
    assert events.run(load).result == "succeeded"
    assert events.rows("SELECT sum(big)::BIGINT FROM bigs WHERE day = 2") == [[1]]
