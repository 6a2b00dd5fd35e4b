"""Ids and cursors: ordered, small enough for every client, and refused when they are not ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.core.errors import RunyardError
from runyard.core.ids import EPOCH_MS, LIMIT, NODES, IdSource, NodeIdSource, first_at, time_of
from runyard.core.query import check_limit, cursor_of, parse_cursor

from .driver import T0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(EPOCH_MS, EPOCH_MS + (1 << 41) - 2), min_size=2, max_size=20))
def test_ids_grow_whatever_the_clock_does(moments: list[int]) -> None:
    ids = IdSource()
    drawn = [ids.draw(moment) for moment in moments]
    assert drawn == sorted(set(drawn))
    assert all(0 <= one < LIMIT for one in drawn)
    assert time_of(drawn[0]) == moments[0]


def test_ids_go_on_after_the_largest_one_in_use() -> None:
    ids = IdSource(IdSource().draw(T0))
    assert ids.draw(T0 - 3_600_000) > IdSource().draw(T0)


def test_more_ids_than_a_millisecond_holds_run_ahead_of_the_clock() -> None:
    ids = IdSource()
    drawn = [ids.draw(T0) for _ in range(5000)]
    assert len(set(drawn)) == 5000
    assert time_of(drawn[-1]) == T0 + 1


def test_a_time_bound_becomes_an_id_bound() -> None:
    assert first_at(T0) <= IdSource().draw(T0) < first_at(T0 + 1)
    assert first_at(0) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, LIMIT - 1))
def test_a_cursor_leads_back_to_its_id(identifier: int) -> None:
    assert parse_cursor(cursor_of(identifier)) == identifier


@pytest.mark.parametrize("cursor", ["", "0", "-1", "xyz", "0x1f", "1_0", " 1", "20000000000000", "٣", "+a"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(RunyardError, match="no cursor of ours") as caught:
        parse_cursor(cursor)
    assert caught.value.field == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_size_out_of_range_is_refused_and_named(limit: int) -> None:
    with pytest.raises(RunyardError, match=str(limit)) as caught:
        check_limit(limit)
    assert caught.value.field == "limit"


def test_no_cursor_is_the_first_page() -> None:
    assert parse_cursor(None) is None


@given(st.lists(st.integers(EPOCH_MS, EPOCH_MS + 50), max_size=300), st.integers(0, NODES - 1), st.integers(0, 1 << 20))
def test_the_ids_of_a_node_grow_and_end_in_its_number(times: list[int], node: int, last: int) -> None:
    source = NodeIdSource(node, last)
    drawn = [source.draw(at) for at in times]
    assert drawn == sorted(set(drawn))
    assert all(one % NODES == node and one > last for one in drawn)
