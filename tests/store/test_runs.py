"""Runs: kept as they were given, changed as decisions say, removed whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Bookmark, JobVersion, Run
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.store.base import Delivery, Store, Submission
from tests.store.make import (
    NOW,
    SPEC,
    a_job,
    a_run,
    a_task_run,
    added,
    an_event,
    changed,
    new_id,
    transaction,
    write,
)
from tests.store.values import maybe, numbers, objects, on_one_store, words

_runs = st.builds(
    a_run,
    id=st.just(0),
    job_id=maybe,
    job_version=maybe,
    name=words,
    workspace=words,
    origin=words,
    state=st.sampled_from(State),
    reason=words,
    detail=words,
    queue=words,
    priority=st.integers(-(10**6), 10**6),
    parameters=objects,
    trigger=words,
    tags=st.dictionaries(words, words, max_size=3),
    submitted_by=words,
    admitted_at=maybe,
    started_at=maybe,
    ended_at=maybe,
    deadline_at=maybe,
    round=st.integers(0, 1000),
    seq=numbers,
    depth=st.integers(0, 30),
    parent_task_run_id=maybe,
    rerun_of=maybe,
    extras=objects,
)


@on_one_store
@given(run=_runs)
def test_a_run_is_given_back_as_it_was_kept(store: Store, run: Run) -> None:
    write(store, run)
    with store.reading() as reads:
        assert reads.run(run.id) == run


@on_one_store
@given(run=_runs, later=_runs)
def test_a_change_keeps_everything_that_can_change_of_a_run(store: Store, run: Run, later: Run) -> None:
    may_change = ("state", "reason", "detail", "parameters", "admitted_at", "started_at", "ended_at", "deadline_at",
                  "round", "seq")  # fmt: skip
    moved = replace(run, **{name: getattr(later, name) for name in may_change})
    write(store, run)
    write(store, changed(moved))
    with store.reading() as reads:
        assert reads.run(run.id) == moved


def test_a_run_that_is_not_there_is_none(store: Store) -> None:
    with store.reading() as reads:
        assert reads.run(1) is None
        assert reads.run_spec(1) is None
        assert reads.task_runs(1) == []
        assert reads.events(1, 0, 10) == []


def test_a_one_time_run_keeps_its_own_definition(store: Store) -> None:
    run = a_run()
    write(store, run, spec=SPEC)
    with store.reading() as reads:
        assert reads.run_spec(run.id) == SPEC


def test_a_job_run_follows_the_version_that_it_pins(store: Store) -> None:
    job = a_job()
    newer = replace(SPEC, description="newer")
    run = a_run(job_id=job.id, job_version=1)
    write(store, job, added(run), spec=None)
    write(store, replace(job, version=2, spec=newer), spec=None)
    with store.reading() as reads:
        assert reads.run_spec(run.id) == SPEC
        found = reads.job(job.id)
        assert found is not None
        assert found.spec == newer


def test_an_id_is_used_once(store: Store) -> None:
    run = a_run()
    write(store, run)
    with pytest.raises(RunyardError) as refused:
        write(store, a_run(id=run.id, name="another"))
    assert refused.value.code is Code.ALREADY_EXISTS
    with store.reading() as reads:
        assert reads.run(run.id) == run


def test_a_deleted_run_leaves_its_idempotency_key_alone_behind(store: Store) -> None:
    gone, stays = a_run(tags={"team": "sales"}), a_run(tags={"team": "sales"})
    for run in (gone, stays):
        one = a_task_run(run)
        write(
            store,
            added(run, one, events=[an_event(run, 1)]),
            Submission("default/native", f"key of {run.id}", b"digest", run.id, NOW),
            Delivery(new_id(), run.id, "http://example.org/", "success", "{}", 0, NOW),
        )
    with transaction(store) as session:
        session.delete(gone)
    with store.reading() as reads:
        assert reads.run(gone.id) is None
        assert reads.task_runs(gone.id) == []
        assert reads.events(gone.id, 0, 10) == []
        assert [one.run_id for one in reads.deliveries(NOW)] == [stays.id]
        assert [one.run_id for one in reads.queued("warehouse", 10, set())] == [stays.id]
        assert reads.run(stays.id) == stays
        assert len(reads.task_runs(stays.id)) == len(reads.events(stays.id, 0, 10)) == 1
        for run in (gone, stays):
            assert reads.submission("default/native", f"key of {run.id}") is not None


def test_a_deleted_run_is_found_by_no_filter(store: Store) -> None:
    run = a_run(tags={"team": "sales"})
    write(store, run)
    with transaction(store) as session:
        session.delete(run)
    with store.reading() as reads:
        for where in (RunFilter(), RunFilter(tag=("team", "sales")), RunFilter(name=run.name)):
            assert reads.runs(where, 10, None) == []


def test_a_bookmark_outlives_the_run_that_wrote_it(store: Store) -> None:
    run = a_run()
    kept = Bookmark(job_key="k", version=1, run_id=run.id, attempt=0, state={"day": 3}, created_at=NOW)
    write(store, run, kept)
    with transaction(store) as session:
        session.delete(run)
    with store.reading() as reads:
        assert reads.bookmark("k", None) == kept


def test_an_idempotency_key_outlives_its_run_so_that_a_late_repeat_is_told(store: Store) -> None:
    run = a_run()
    key = Submission("default/native", "key", b"digest", run.id, NOW)
    write(store, run, key)
    with transaction(store) as session:
        session.delete(run)
    with store.reading() as reads:
        assert reads.submission("default/native", "key") == key


def test_live_runs_are_counted_by_state(store: Store) -> None:
    states = [State.QUEUED, State.QUEUED, State.RUNNING, State.CANCELLING, State.SUCCEEDED, State.FAILED]
    write(store, *(a_run(state=state) for state in states))
    with store.reading() as reads:
        assert reads.live_by_state() == {"queued": 2, "running": 1, "cancelling": 1}


def test_the_pruner_is_told_the_runs_that_ended_first(store: Store) -> None:
    late, early, live = a_run(ended_at=NOW + 20), a_run(ended_at=NOW + 10), a_run()
    write(store, late, early, live)
    with store.reading() as reads:
        assert reads.ended_before(NOW + 20, 10) == [early.id]
        assert reads.ended_before(NOW + 21, 10) == [early.id, late.id]
        assert reads.ended_before(NOW + 21, 1) == [early.id]


def test_versions_of_a_job_are_never_overwritten(store: Store) -> None:
    job = a_job()
    write(store, job)
    with pytest.raises(RunyardError):
        write(store, JobVersion(job_id=job.id, version=1, spec=SPEC, created_at=NOW, created_by="bob"))
