"""Timetables and ticks: where schedules stand, and what became of each of their moments."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Tick, Timetable
from runyard.store.base import Store
from tests.store.make import NOW, a_run, transaction, write


def test_a_timetable_is_given_back_as_it_was_put(store: Store) -> None:
    one = Timetable(job_id=1, anchor_at=NOW, next_at=NOW + 1, last_at=NOW - 1)
    write(store, one)
    paused = replace(one, paused=True, next_at=None)
    with store.reading() as reads:
        assert reads.timetable(1) == one
        assert reads.timetable(2) is None
    write(store, paused)
    with store.reading() as reads:
        assert reads.timetable(1) == paused


def test_the_longest_due_timetables_are_found_first_and_paused_ones_never(store: Store) -> None:
    tables = [Timetable(job_id=n, anchor_at=NOW, next_at=NOW - n) for n in range(1, 5)]
    write(
        store,
        *tables,
        Timetable(job_id=9, anchor_at=NOW, paused=True),
        Timetable(job_id=8, anchor_at=0, next_at=NOW + 1),
    )
    with store.reading() as reads:
        assert reads.due_timetables(NOW, 10) == [4, 3, 2, 1]
        assert reads.due_timetables(NOW - 2, 1) == [4]
        assert reads.due_timetables(NOW + 1, 10)[-1] == 8


def test_a_deleted_timetable_is_gone(store: Store) -> None:
    one = Timetable(job_id=1, anchor_at=NOW, next_at=NOW)
    write(store, one)
    with transaction(store) as session:
        session.delete(one)
    with store.reading() as reads:
        assert (reads.timetable(1), reads.due_timetables(NOW, 10)) == (None, [])


def test_ticks_of_a_stretch_are_given_newest_first(store: Store) -> None:
    ticks = [Tick(job_id=1, at=NOW + n, run_id=n or None, detail="" if n else "missed") for n in range(5)]
    write(store, *ticks, Tick(job_id=2, at=NOW, run_id=7))
    with store.reading() as reads:
        assert reads.ticks(1, NOW, NOW + 4, 10) == ticks[3::-1]
        assert reads.ticks(1, 0, 1 << 53, 2) == ticks[:2:-1]


def test_a_moment_has_one_line(store: Store) -> None:
    write(store, Tick(job_id=1, at=NOW, run_id=1))
    with pytest.raises(RunyardError) as refused:
        write(store, Tick(job_id=1, at=NOW, run_id=2))
    assert refused.value.code is Code.ALREADY_EXISTS
    with store.reading() as reads:
        assert [one.run_id for one in reads.ticks(1, 0, 1 << 53, 10)] == [1]


def test_only_a_tick_that_got_no_run_is_taken_back(store: Store) -> None:
    missed, ran = Tick(job_id=1, at=NOW, detail="missed"), Tick(job_id=1, at=NOW + 1, run_id=1)
    write(store, missed, ran)
    with transaction(store) as session:
        session.delete(missed)
        session.delete(ran)
    with store.reading() as reads:
        assert reads.ticks(1, 0, 1 << 53, 10) == [ran]


def test_a_deleted_run_takes_its_tick_with_it(store: Store) -> None:
    run = a_run()
    write(store, run, Tick(job_id=1, at=NOW, run_id=run.id), Tick(job_id=1, at=NOW + 1, run_id=run.id + 1))
    with transaction(store) as session:
        session.delete(run)
    with store.reading() as reads:
        assert [one.at for one in reads.ticks(1, 0, 1 << 53, 10)] == [NOW + 1]
