"""What a transaction promises: a refused command leaves nothing, its batch stays; what is kept stays kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Principal, Queue
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.store.base import Store
from tests.store.harness import Harness
from tests.store.make import SPEC, a_run, a_task_run, added, an_event, changed, transaction, write


def _ids(store: Store) -> list[int]:
    with store.reading() as reads:
        return [run.id for run in reads.runs(RunFilter(), 200, None)]


@pytest.mark.parametrize("read", [True, False])
def test_a_refused_command_is_undone_and_its_batch_stays(store: Store, read: bool) -> None:
    first, refused, last = a_run(), a_run(tags={"a": "b"}), a_run()
    session = store.writer
    session.begin()
    session.mark()
    session.apply(added(first), None)
    session.keep()
    session.mark()
    session.apply(added(refused, a_task_run(refused), events=[an_event(refused, 1)]), None)
    if read:
        assert session.run(refused.id) == refused
    session.put(Queue(name="of the refused one"))
    session.undo()
    session.mark()
    session.apply(added(last), None)
    session.keep()
    session.commit()
    assert _ids(store) == [last.id, first.id]
    with store.reading() as reads:
        assert reads.queues() == []
        assert reads.queued("warehouse", 10, set()) == []
        assert reads.events(refused.id, 0, 10) == []
        assert reads.runs(RunFilter(tag=("a", "b")), 10, None) == []


def test_a_change_that_fails_inside_its_command_is_undone_as_a_whole(store: Store) -> None:
    run, stays, other = a_run(), a_run(), a_run()
    one = a_task_run(run)
    write(store, added(run, one))
    session = store.writer
    session.begin()
    session.mark()
    session.apply(added(stays), None)
    session.keep()
    session.mark()
    session.apply(added(other, a_task_run(other, id=one.id), events=[an_event(other, 1)]), None)
    with pytest.raises(RunyardError) as refused:
        session.run(other.id)
    assert refused.value.code is Code.ALREADY_EXISTS
    session.undo()
    session.commit()
    assert _ids(store) == [stays.id, run.id]


def test_a_command_that_was_through_and_fails_later_takes_its_whole_batch_along(store: Store) -> None:
    run = a_run()
    write(store, run)
    session = store.writer
    session.begin()
    for one in (a_run(), a_run(id=run.id, name="twice"), a_run()):
        session.mark()
        session.apply(added(one), None)
        session.keep()
    session.mark()
    with pytest.raises(RunyardError):
        session.run(run.id)
    for step in (session.undo, session.keep, session.flush, session.commit):
        with pytest.raises(RunyardError) as refused:
            step()
        assert refused.value.code is Code.ALREADY_EXISTS
    session.rollback()
    assert _ids(store) == [run.id]
    write(store, a_run())
    assert len(_ids(store)) == 2


def test_a_run_that_one_transaction_makes_and_moves_is_kept_as_it_ends(store: Store) -> None:
    run = a_run(tags={"a": "b"})
    one = a_task_run(run)
    later = replace(run, state=State.RUNNING, seq=2)
    with transaction(store) as session:
        session.apply(added(run, one, events=[an_event(run, 1)]), SPEC)
        session.apply(changed(later, replace(one, token=5), events=[an_event(run, 2)], outputs={one.id: b"1"}), None)
    with store.reading() as reads:
        assert reads.run(run.id) == later
        assert reads.run_spec(run.id) == SPEC
        assert reads.task_runs(run.id) == [replace(one, token=5)]
        assert len(reads.events(run.id, 0, 9)) == 2
        assert reads.output(one.id) == b"1"


def test_an_undone_command_takes_back_a_change_of_a_run_that_its_batch_made(store: Store) -> None:
    run = a_run()
    session = store.writer
    session.begin()
    session.mark()
    session.apply(added(run), SPEC)
    session.keep()
    session.mark()
    session.apply(changed(replace(run, state=State.CANCELLING)), None)
    session.undo()
    session.mark()
    assert session.run(run.id) == run
    session.keep()
    session.commit()
    assert _ids(store) == [run.id]


def test_a_rolled_back_transaction_leaves_nothing(store: Store) -> None:
    run = a_run()
    write(store, run)
    session = store.writer
    session.begin()
    session.mark()
    session.apply(added(a_run()), None)
    session.delete(run)
    session.put(Queue(name="q"))
    session.keep()
    session.rollback()
    assert _ids(store) == [run.id]
    with store.reading() as reads:
        assert reads.queues() == []
    write(store, a_run())
    assert len(_ids(store)) == 2


def test_a_rollback_without_a_transaction_does_nothing(store: Store) -> None:
    store.writer.rollback()
    write(store, a_run())
    assert len(_ids(store)) == 1


def test_the_writer_sees_its_own_changes_at_once(store: Store) -> None:
    run = a_run()
    with transaction(store) as session:
        session.apply(added(run, a_task_run(run)), None)
        assert session.run(run.id) == run
        assert [one.run_id for one in session.queued("warehouse", 5, set())] == [run.id]


def test_readers_see_committed_data_only(kept: Harness) -> None:
    store = kept.open()
    run = a_run()
    session = store.writer
    session.begin()
    session.apply(added(run), None)
    assert _ids(store) == []
    session.commit()
    assert _ids(store) == [run.id]
    store.close()


def test_readers_do_not_wait_for_an_open_transaction(kept: Harness) -> None:
    store = kept.open(readers=2)
    write(store, a_run())
    store.writer.begin()
    store.writer.apply(added(a_run()), None)
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(_ids(store)))
    reader.start()
    reader.join(2)
    assert len(found) == 1
    store.writer.commit()
    store.close()


def test_a_page_is_of_one_moment_for_more_readers_than_the_pool_has(kept: Harness) -> None:
    store = kept.open(readers=1)
    write(store, *(a_run() for _ in range(20)))
    sizes: list[int] = []
    readers = [threading.Thread(target=lambda: sizes.append(len(_ids(store)))) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(5)
    assert sizes == [20] * 8
    store.close()


def test_what_was_committed_is_there_after_a_restart(kept: Harness) -> None:
    store = kept.open()
    run = a_run(tags={"team": "x"})
    one = a_task_run(run, state=State.STARTING, token=run.id + 9)
    write(store, added(run, one, events=[an_event(run, 1)]))
    store.close()
    again = kept.open()
    with again.reading() as reads:
        assert reads.run(run.id) == run
        assert len(reads.events(run.id, 0, 9)) == 1
    assert again.last_id == run.id + 9
    again.close()


def test_what_was_not_committed_is_gone_after_a_restart(kept: Harness) -> None:
    store = kept.open()
    write(store, a_run())
    store.writer.begin()
    store.writer.apply(added(a_run()), None)
    store.close()
    again = kept.open()
    assert len(_ids(again)) == 1
    again.close()


def test_an_empty_store_has_used_no_id(store: Store) -> None:
    assert store.last_id == 0


def test_the_largest_id_is_known_although_what_held_it_is_gone(kept: Harness) -> None:
    store = kept.open()
    first, run = a_run(), a_run()
    claimed = a_task_run(first, state=State.RUNNING, token=run.id + 10)
    write(store, added(first, claimed), added(run))
    with transaction(store) as session:
        session.delete(run)
    store = _again(kept, store)
    assert store.last_id == run.id + 10
    write(store, changed(first, replace(claimed, state=State.QUEUED, token=0)))
    store = _again(kept, store)
    assert store.last_id == run.id + 10
    ann = Principal(id=run.id + 20, name="ann", scopes=[], created_at=0)
    write(store, ann)
    store = _again(kept, store)
    assert store.last_id == ann.id
    with transaction(store) as session:
        session.delete(ann)
    store = _again(kept, store)
    assert store.last_id == ann.id
    store.close()


def _again(kept: Harness, store: Store) -> Store:
    store.close()
    return kept.open()


def test_a_full_disk_refuses_a_command_by_its_name_and_loses_nothing(harness: Harness) -> None:
    store = harness.open()
    write(store, a_run())
    before = _ids(store)
    harness.fill(store)
    with pytest.raises(RunyardError) as refused:
        write(store, a_run(parameters={"text": "x" * 200_000}))
    assert refused.value.code is Code.STORAGE_FULL
    assert _ids(store) == before
    harness.empty(store)
    write(store, a_run(parameters={"text": "x" * 200_000}))
    assert len(_ids(store)) == 2
    store.close()


def test_after_a_full_disk_undid_a_batch_nothing_more_of_it_is_kept(harness: Harness) -> None:
    store = harness.open()
    write(store, a_run())
    harness.fill(store)
    session = store.writer
    session.begin()
    session.mark()
    session.apply(added(a_run(parameters={"text": "x" * 200_000})), None)
    with pytest.raises(RunyardError) as refused:
        session.flush()
    assert refused.value.code is Code.STORAGE_FULL
    for step in (session.undo, session.keep, session.commit):
        with pytest.raises(RunyardError) as refused:
            step()
        assert refused.value.code is Code.STORAGE_FULL
    with pytest.raises(RunyardError):
        session.apply(added(a_run()), None)
    session.rollback()
    harness.empty(store)
    assert len(_ids(store)) == 1
    write(store, a_run())
    assert len(_ids(store)) == 2
    store.close()


def test_a_change_outside_of_a_transaction_is_refused(store: Store) -> None:
    session = store.writer
    changes: list[Callable[[], None]] = [
        lambda: session.apply(added(a_run()), None),
        lambda: session.put(Queue(name="q")),
        lambda: session.delete(Queue(name="q")),
        session.mark,
        session.flush,
        session.commit,
    ]
    for change in changes:
        with pytest.raises(RunyardError):
            change()
    assert _ids(store) == []
