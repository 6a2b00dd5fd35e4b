"""No statement looks at every row of a history that only grows: SQLite's own plans, statement by statement."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import apsw
import apsw.ext
import pytest

from runyard.core.query import JobFilter, RunFilter
from runyard.core.states import State
from runyard.store import listing, sql
from runyard.store.sqlite import SqliteStore
from tests.store import history
from tests.store.make import NOW, a_run, write
from tests.store.test_filters import compare, examples
from tests.store.values import on_one_store

STATEMENTS = sql.load("sqlite.sql")
JUSTIFIED = {
    "queues": "lists all: as many as people made",
    "principals": "lists all: as many as people made",
    "queue_active": "an index of active task runs only: as many as executors hold",
    "held": "an index of active task runs only: as many as executors hold",
    "queue_depth": "counts what is queued, for a page about queues; no claim waits for it",
    "queues_waiting": "looks at its own few rows; the table is searched",
    "last_id": "the mark has one row; the largest of each table is searched",
    "live_runs": "sorts a job's live runs, no others",
}
SINGLE: dict[str, Any] = {
    "job_id": 1,
    "name": "a",
    "origin": "a",
    "workspace": "a",
    "queue": "a",
    "submitted_by": "a",
    "trigger": "a",
    "reason": "a",
    "parent_task_run_id": 1,
    "states": [State.FAILED],
    "tag": ("a", "b"),
    "created_after": NOW,
    "created_before": NOW,
    "ended_after": NOW,
    "ended_before": NOW,
}


@pytest.fixture(scope="module", params=["new", "used"])
def connection(request: pytest.FixtureRequest) -> Iterator[apsw.Connection]:
    """A store as it begins, and one with a history and statistics, from which SQLite might plan otherwise."""
    store = SqliteStore(":memory:")
    if request.param == "used":
        history.fill(store.writer.connection)
    yield store.writer.connection
    store.close()


def _steps(connection: apsw.Connection, statement: str) -> list[str]:
    def walk(node: Any) -> Iterator[str]:
        yield node.detail
        for inner in node.sub or ():
            yield from walk(inner)

    plan = apsw.ext.query_info(connection, statement, explain_query_plan=True).query_plan
    return [] if plan is None else list(walk(plan))


def _costly(steps: list[str]) -> list[str]:
    return [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_scans_a_table_unless_it_is_justified(connection: apsw.Connection, name: str) -> None:
    costly = _costly(_steps(connection, STATEMENTS[name]))
    assert bool(costly) == (name in JUSTIFIED), (name, costly)


@pytest.mark.parametrize("name", ["live_runs", "live_admitted", "live_waiting"])
def test_the_live_runs_of_a_job_are_found_without_a_look_at_its_past(connection: apsw.Connection, name: str) -> None:
    assert "run_live (job_id=?" in " ".join(_steps(connection, STATEMENTS[name]))


@pytest.mark.parametrize("field", SINGLE)
@pytest.mark.parametrize("after", [None, 5])
def test_a_filter_alone_reads_its_index_in_order(connection: apsw.Connection, field: str, after: int | None) -> None:
    steps = _steps(connection, _page(RunFilter(**{field: SINGLE[field]}), after))
    if field.startswith("ended"):  # few ends are sorted by id; only ids, and only as many as were counted before
        assert "SEARCH run USING COVERING INDEX run_ended" in " ".join(steps)
        return
    assert not _costly(steps), steps


def test_the_newest_are_read_from_the_end_of_the_table(connection: apsw.Connection) -> None:
    assert _steps(connection, _page(RunFilter(), None))[1:] == ["SCAN run"]
    assert not _costly(_steps(connection, _page(RunFilter(), 5)))


def test_several_states_are_read_from_their_indexes_one_page_each(connection: apsw.Connection) -> None:
    steps = _steps(connection, _page(RunFilter(states=[State.FAILED, State.RUNNING, State.QUEUED]), None))
    assert sum("run_state (state=?" in step for step in steps) == 3
    assert not [step for step in steps if step.startswith("SCAN run")]


@pytest.mark.parametrize("pair", list(combinations(SINGLE, 2)), ids="+".join)
def test_two_filters_together_are_led_by_an_index(connection: apsw.Connection, pair: tuple[str, str]) -> None:
    for few in (True, False):
        where = RunFilter(**{field: SINGLE[field] for field in pair})
        steps = _steps(connection, _page(where, None, few))
        assert not [step for step in steps if step in ("SCAN run", "SCAN run_tag")], (few, steps)


def _page(where: RunFilter, after: int | None, few: bool = True) -> str:
    return listing.page("*", where, 25, after, lambda statement, values: [] if few else [(7,)])[0]


@pytest.mark.parametrize("field", JobFilter.__struct_fields__)
def test_jobs_are_listed_without_a_sort(connection: apsw.Connection, field: str) -> None:
    statements: list[str] = []
    store = SqliteStore(":memory:")
    store.writer.connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: statements.append(event["sql"]))
    store.writer.jobs(JobFilter(**{field: "a"}), 25, None)
    store.close()
    [statement] = [one for one in statements if "FROM job j" in one]
    steps = _steps(connection, statement)
    few = any("ANY(" in step for step in steps)  # with statistics it finds the key below each workspace and origin
    assert few or not [step for step in steps if "TEMP B-TREE" in step]


# --- the choice of what leads ---


def test_the_rarer_filter_leads() -> None:
    store = SqliteStore(":memory:")
    write(store, *(a_run(name="common", queue="rare" if n == 7 else "default") for n in range(1500)))
    both = RunFilter(name="common", queue="rare")
    statement, _ = listing.page("*", both, 25, None, store.writer._all)
    assert "INDEXED BY run_queue" in statement
    assert len(store.writer.runs(both, 25, None)) == 1
    store.close()


@on_one_store
@examples
def test_whichever_filter_leads_the_same_runs_are_found(
    monkeypatch: pytest.MonkeyPatch, kept: list[dict[str, Any]], wheres: list[RunFilter]
) -> None:
    store = SqliteStore(":memory:")
    for few in (1, 3, 8):  # with as few runs as an example has, all of these choices are made
        monkeypatch.setattr(listing, "_FEW", few)
        monkeypatch.setattr(listing, "_FEW_ENDED", few)
        compare(store, kept, wheres)
    store.close()
