"""No statement looks at every row of a history that only grows: PostgreSQL's own plans, statement by statement.

They are made for a history of some size, with its statistics, and for any values: without knowing those at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from runyard.core.query import RunFilter
from runyard.store import listing, sql
from tests import postgres
from tests.store.history import HISTORY
from tests.store.test_sqlite_plans import SINGLE

STATEMENTS = sql.load("postgres.sql") | sql.load("nodes.sql")
PLANNED = [name for name, text in STATEMENTS.items() if text.startswith(("SELECT", "WITH", "UPDATE", "DELETE"))]


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    url = postgres.fresh_url()
    from runyard.store.postgres import PostgresStore

    PostgresStore(url, readers=0).close()
    with postgres.connect(url) as connection:
        connection.execute(HISTORY)
        yield connection
    connection.close()


def _nodes(connection: Any, statement: str) -> list[dict[str, Any]]:
    def walk(node: dict[str, Any], above: str = "") -> Iterator[dict[str, Any]]:
        yield {**node, "Above": above}
        for inner in node.get("Plans", ()):
            yield from walk(inner, node["Node Type"])

    [(found,)] = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}").fetchall()
    found = json.loads(found) if isinstance(found, str) else found
    return list(walk(found[0]["Plan"]))


def _scanned(nodes: list[dict[str, Any]]) -> set[str]:
    """The tables that are read as a whole: without an index, or with one that no condition bounds."""
    return {
        node["Relation Name"]
        for node in nodes
        if node["Node Type"] == "Seq Scan" or (node["Node Type"].startswith("Index") and not _bounded(node))
        if "Relation Name" in node
    }


def _bounded(node: dict[str, Any]) -> bool:
    first = node["Above"] == "Limit" and "Filter" not in node
    return "Index Cond" in node or first or node["Index Name"] in _PARTIAL


_PARTIAL = {"task_run_active", "run_ahead", "run_long"}
"""Indexes of few rows, however long the history is."""
_WHOLE = {"queues": {"queue"}, "principals": {"principal"}, "last_id": {"id_mark"}, "queue_depth": {"task_run"}}
_WHOLE |= {"nodes": {"node"}, "leader": {"leader", "node"}, "leads": {"leader"}, "lock_queues": {"queue"}}
_WHOLE |= {name: {"node"} for name in ("expired", "end_life", "rejoin", "renew", "fence", "leave")}
"""What lists all of a table, as many as people made, or nodes (64 at most); and what counts all that is queued."""


@pytest.mark.parametrize("name", PLANNED)
def test_no_statement_reads_a_whole_table(connection: Any, name: str) -> None:
    nodes = _nodes(connection, STATEMENTS[name])
    assert _scanned(nodes) <= _WHOLE.get(name, set()), nodes


@pytest.mark.parametrize("field", SINGLE)
@pytest.mark.parametrize("after", [None, 5])
def test_a_filter_alone_reads_its_index_in_order(connection: Any, field: str, after: int | None) -> None:
    nodes = _nodes(connection, _page(RunFilter(**{field: SINGLE[field]}), after))
    assert not _scanned(nodes), nodes
    if not field.startswith("ended"):  # few ends are sorted by id
        assert not [node for node in nodes if node["Node Type"] == "Sort"], nodes


def test_the_newest_are_read_from_the_end_of_the_table(connection: Any) -> None:
    nodes = _nodes(connection, _page(RunFilter(), None))
    assert [node["Node Type"] for node in nodes] == ["Limit", "Index Scan"]
    assert nodes[1]["Scan Direction"] == "Backward"


@pytest.mark.parametrize("pair", list(combinations(SINGLE, 2)), ids="+".join)
def test_two_filters_together_are_led_by_an_index(connection: Any, pair: tuple[str, str]) -> None:
    for few in (True, False):
        where = RunFilter(**{field: SINGLE[field] for field in pair})
        assert not _scanned(_nodes(connection, _page(where, 5, few)))


def _page(where: RunFilter, after: int | None, few: bool = True) -> str:
    from runyard.store.postgres_reads import spelled

    answer: list[listing.Values] = [] if few else [(7,)]
    return spelled(listing.page("*", where, 25, after, lambda statement, values: answer, listing.POSTGRES)[0])
