"""Triggers and firings: kept as they are, found by what they want to be told, one firing a chain."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import (
    AfterRuns,
    Firing,
    Manual,
    OnSchedule,
    StartRun,
    TableUpdate,
    Trigger,
    TriggerFilter,
    TriggerSpec,
    Watched,
    table_topic,
)
from runyard.store.base import Store
from tests.store.make import NOW, new_id, transaction, write


def a_trigger(source: Any = None, **fields: Any) -> Trigger:
    values: dict[str, Any] = {
        "id": new_id(), "workspace": "default", "origin": "native", "key": None, "owner": "ann", "created_at": NOW,
        "updated_at": NOW, "spec": TriggerSpec(source=source or Manual(), actions=[StartRun(job=1)]),
    }  # fmt: skip
    return Trigger(**{**values, **fields})


def a_firing(trigger: Trigger, **fields: Any) -> Firing:
    firing_id = new_id()
    values: dict[str, Any] = {
        "id": firing_id, "trigger_id": trigger.id, "number": 1, "name": None, "kind": "manual", "chain": firing_id,
        "at": NOW, "by": "ann",
    }  # fmt: skip
    return Firing(**{**values, **fields})


def test_a_trigger_is_given_back_as_it_was_put(store: Store) -> None:
    watch = [Watched(job=1), Watched(job="k", states=[State.FAILED, State.LOST])]
    one = a_trigger(
        AfterRuns(watch=watch, match="any"), key="k", job_id=7, scope="s", version=3, active=False, detail="why",
        started_at=NOW, anchor_at=NOW, next_at=NOW + 1, last_at=NOW - 1, fired=9, memory={"a": [1]}, extras={"f": {}},
    )  # fmt: skip
    two = a_trigger(OnSchedule(schedule=Schedule(every=5)))
    write(store, one, two)
    with store.reading() as reads:
        assert (reads.trigger(one.id), reads.trigger(two.id), reads.trigger(1)) == (one, two, None)
    changed = replace(one, spec=two.spec, active=True, detail="", next_at=None, memory={}, fired=10)
    write(store, changed)
    with store.reading() as reads:
        assert reads.trigger(one.id) == changed


def test_a_key_is_unique_among_triggers_of_their_own_and_within_a_job(store: Store) -> None:
    free, own = a_trigger(key="k"), a_trigger(key="k", job_id=4)
    write(store, free, own, a_trigger(key="k", origin="face"))
    with store.reading() as reads:
        assert reads.trigger_by_key("default", "native", "k", None) == free
        assert reads.trigger_by_key("default", "native", "k", 4) == own
        assert reads.trigger_by_key("default", "native", "k", 5) is None
    with pytest.raises(RunyardError) as refused:
        write(store, a_trigger(key="k"))
    assert refused.value.code is Code.ALREADY_EXISTS


def test_triggers_are_listed_newest_first_by_filters_and_pages(store: Store) -> None:
    some = [a_trigger(key=f"k{n}", origin="face" if n % 2 else "native", active=n != 2) for n in range(5)]
    tables = a_trigger(TableUpdate(tables=["t"]), job_id=3)
    write(store, *some, tables)
    with store.reading() as reads:
        assert reads.triggers(TriggerFilter(), 3, None) == [tables, some[4], some[3]]
        assert reads.triggers(TriggerFilter(), 9, some[3].id) == [some[2], some[1], some[0]]
        assert reads.triggers(TriggerFilter(origin="face"), 9, None) == [some[3], some[1]]
        assert reads.triggers(TriggerFilter(active=False), 9, None) == [some[2]]
        assert reads.triggers(TriggerFilter(kind="table_update", job_id=3), 9, None) == [tables]
        assert reads.triggers(TriggerFilter(kind="manual", job_id=3), 9, None) == []


def test_active_triggers_are_found_by_what_they_want_to_be_told(store: Store) -> None:
    one = a_trigger(AfterRuns(watch=[Watched(job=5), Watched(job="k")]))
    two = a_trigger(AfterRuns(watch=[Watched(job=5)]))
    tables = a_trigger(TableUpdate(tables=["T", "raw.t"]))
    write(store, one, two, tables, a_trigger(AfterRuns(watch=[Watched(job=5)]), active=False))
    with transaction(store) as session:
        assert session.triggers_on(["job:5", "job:default/native/k"]) == [one, two]
        assert session.triggers_on([table_topic("default", "main.t")]) == [tables]
        assert session.triggers_on([table_topic("other", "t"), "job:6"]) == []
        session.put(replace(one, spec=tables.spec))
        session.delete(two)
        assert session.triggers_on(["job:5"]) == []
        assert [found.id for found in session.triggers_on([table_topic("default", "t")])] == [one.id, tables.id]


def test_the_writer_finds_who_wants_to_be_told_before_and_after_a_change(store: Store) -> None:
    first, second = (a_trigger(TableUpdate(tables=[table])) for table in ("a", "b"))
    topics = [table_topic("default", "main.a"), table_topic("default", "main.b")]
    with transaction(store) as session:
        assert session.triggers_on(topics) == []
    write(store, first)
    with transaction(store) as session:
        assert session.triggers_on(topics) == [first]
        session.mark()
        session.put(second)
        assert session.triggers_on(topics) == [first, second]
        session.undo()
        assert session.triggers_on(topics) == [first]
    with transaction(store) as session:
        session.delete(first)
        session.put(second)
        assert session.triggers_on(topics) == [second]


def test_the_longest_due_triggers_are_found_first(store: Store) -> None:
    some = [a_trigger(next_at=NOW - n) for n in range(3)]
    write(store, *some, a_trigger(), a_trigger(next_at=NOW + 1))
    with store.reading() as reads:
        assert reads.due_triggers(NOW, 10) == [one.id for one in reversed(some)]
        assert reads.due_triggers(NOW, 1) == [some[2].id]


def test_firings_are_given_back_newest_first_and_outlive_their_trigger(store: Store) -> None:
    one = a_trigger()
    some = [a_firing(one, number=n, runs=[n], after=[8], detail="d", data={"files": ["a"]}) for n in range(1, 5)]
    last = a_firing(one, number=5, name="k", scope="s", extras={"f": {"w": 1}})
    write(store, one, *some, last)
    with transaction(store) as session:
        session.delete(one)
    with store.reading() as reads:
        assert reads.trigger(one.id) is None
        assert reads.firings(one.id, 2, None) == [last, some[3]]
        assert reads.firings(one.id, 9, some[2].id) == [some[1], some[0]]
        assert (reads.firing(last.id), reads.firing(1)) == (last, None)


def test_a_trigger_fires_once_in_a_chain(store: Store) -> None:
    one, two = a_trigger(), a_trigger()
    root = a_firing(one)
    second = a_firing(two, chain=root.id)
    write(store, one, two, root, second)
    with pytest.raises(RunyardError) as refused:
        write(store, a_firing(two, chain=root.id, number=2))
    assert refused.value.code is Code.ALREADY_EXISTS
    with store.reading() as reads:
        assert reads.chain(root.id) == [root, second]


def test_two_firings_of_a_trigger_cannot_have_one_number(store: Store) -> None:
    one = a_trigger()
    write(store, one, a_firing(one, number=4))
    with pytest.raises(RunyardError) as refused:
        write(store, a_firing(one, number=4))
    assert refused.value.code is Code.ALREADY_EXISTS


def test_the_oldest_firings_are_found_and_removed(store: Store) -> None:
    one = a_trigger()
    some = [a_firing(one, number=n) for n in range(4)]
    write(store, *some)
    with transaction(store) as session:
        assert session.firings_before(some[3].id, 2) == some[:2]
        session.delete(some[0])
        assert session.firings_before(some[3].id, 9) == some[1:3]


def test_the_firing_of_a_chain_can_be_closed(store: Store) -> None:
    root = a_firing(a_trigger(), runs=[1])
    write(store, root)
    write(store, replace(root, closed_at=NOW))
    with store.reading() as reads:
        assert reads.firing(root.id) == replace(root, closed_at=NOW)
