"""Task runs, their outputs and the events of a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runyard.core.model import Event, Run, TaskRun
from runyard.core.states import State
from runyard.store.base import Store
from tests.store.make import NOW, a_job, a_run, a_task_run, added, an_event, changed, write
from tests.store.values import json, maybe, objects, on_one_store, words

_filled = st.dictionaries(words, json, min_size=1, max_size=3)
_task_runs = st.builds(
    a_task_run,
    st.just(1),
    task_key=words,
    iteration=st.integers(-1, 1000),
    round=st.integers(0, 9),
    attempt=st.integers(0, 9),
    failures=st.integers(0, 9),
    losses=st.integers(0, 9),
    state=st.sampled_from(State),
    reason=words,
    detail=words,
    executor=words,
    queue=words,
    priority=st.integers(-(10**6), 10**6),
    queued_at=maybe,
    due_at=maybe,
    claimed_at=maybe,
    started_at=maybe,
    ended_at=maybe,
    deadline_at=maybe,
    worker=st.none() | words,
    token=st.integers(0, 2**53 - 1),
    exit_code=st.none() | st.integers(-64, 255),
    child_run_id=maybe,
    input=json,
    values=objects,
    metrics=objects,
    error=st.none() | _filled,
)
_MAY_CHANGE = (
    "state", "reason", "detail", "queued_at", "due_at", "claimed_at", "started_at", "ended_at", "deadline_at",
    "worker", "token", "exit_code", "child_run_id", "input", "values", "metrics", "error",
)  # fmt: skip


@on_one_store
@given(one=_task_runs)
def test_a_task_run_is_given_back_as_it_was_kept(store: Store, one: TaskRun) -> None:
    run = a_run()
    one = replace(one, run_id=run.id)
    write(store, added(run, one))
    with store.reading() as reads:
        assert reads.task_run(one.id) == one
        assert reads.task_runs(run.id) == [one]


@on_one_store
@given(one=_task_runs, later=_task_runs)
def test_a_change_keeps_everything_that_can_change_of_a_task_run(store: Store, one: TaskRun, later: TaskRun) -> None:
    run = a_run()
    one = replace(one, run_id=run.id)
    moved = replace(one, **{name: getattr(later, name) for name in _MAY_CHANGE})
    write(store, added(run, one))
    write(store, changed(run, moved))
    with store.reading() as reads:
        assert reads.task_run(one.id) == moved


@on_one_store
@given(data=st.none() | _filled, state=st.none() | st.sampled_from(State), texts=st.tuples(words, words, words))
def test_an_event_is_given_back_as_it_was_kept(
    store: Store, data: dict[str, object] | None, state: State | None, texts: tuple[str, str, str]
) -> None:
    run = a_run()
    reason, detail, by = texts
    event = an_event(run, 1, task_run_id=7, state=state, reason=reason, detail=detail, by=by, data=data)
    write(store, added(run, events=[event]))
    with store.reading() as reads:
        assert reads.events(run.id, 0, 10) == [event]


def test_attempts_come_oldest_first(store: Store) -> None:
    run = a_run()
    other = a_run()
    first, second, third = (a_task_run(run, attempt=attempt) for attempt in range(3))
    write(store, added(run, third, first), added(other, a_task_run(other)))
    more = changed(run)
    more.added[second.id] = second
    write(store, more)
    with store.reading() as reads:
        assert reads.task_runs(run.id) == [first, second, third]


def test_a_task_run_that_is_not_there_is_none(store: Store) -> None:
    with store.reading() as reads:
        assert reads.task_run(1) is None
        assert reads.output(1) is None


def test_an_output_is_given_back_byte_for_byte(store: Store) -> None:
    run = a_run()
    one, other = a_task_run(run), a_task_run(run)
    output = '{"rows":[["ä\\u0000",1.5,null]]}'.encode()
    write(store, added(run, one, other))
    write(store, changed(run, replace(one, state=State.SUCCEEDED), outputs={one.id: output}))
    with store.reading() as reads:
        assert reads.output(one.id) == output
        assert reads.output(other.id) is None


def test_an_output_survives_later_changes_of_its_task_run(store: Store) -> None:
    run = a_run()
    one = a_task_run(run)
    write(store, added(run, one))
    write(store, changed(run, one, outputs={one.id: b"[1]"}))
    write(store, changed(run, replace(one, detail="later")))
    with store.reading() as reads:
        assert reads.output(one.id) == b"[1]"


def test_a_decision_of_many_parts_is_kept_whole_and_in_order(store: Store) -> None:
    run = a_run()
    attempts = [a_task_run(run, task_key=f"task{n}") for n in range(300)]
    events = [an_event(run, seq, task_run_id=one.id, state=one.state) for seq, one in enumerate(attempts, 1)]
    write(store, added(run, *attempts, events=events))
    with store.reading() as reads:
        assert reads.task_runs(run.id) == attempts
        assert reads.events(run.id, 0, 1000) == events


def test_events_are_read_on_from_any_point(store: Store) -> None:
    run, other = a_run(), a_run()
    events: list[Event] = [an_event(run, seq, at=NOW + seq) for seq in range(1, 8)]
    write(store, added(run, events=events), added(other, events=[an_event(other, 1)]))
    with store.reading() as reads:
        assert reads.events(run.id, 0, 3) == events[:3]
        assert reads.events(run.id, 3, 3) == events[3:6]
        assert reads.events(run.id, 7, 3) == []


# --- the attempts of a job ---


def test_the_attempts_of_a_jobs_runs_come_newest_first_in_pages(store: Store) -> None:
    job = a_job()
    first, bare, last, other = a_run(job_id=job.id), a_run(job_id=job.id), a_run(job_id=job.id), a_run()
    attempts = [a_task_run(first), a_task_run(first, attempt=1), a_task_run(last), a_task_run(other)]
    write(store, job)
    for run in (first, bare, last, other):
        write(store, added(run, *(one for one in attempts if one.run_id == run.id)))
    expected = [(last, attempts[2]), (bare, None), (first, attempts[1]), (first, attempts[0])]
    with store.reading() as reads:
        assert reads.job_task_runs(job.id, 10, None) == expected
        found: list[tuple[Run, TaskRun | None]] = []
        after = None
        while page := reads.job_task_runs(job.id, 1, after):
            found += page
            run, one = page[-1]
            after = (run.id, one.id if one else 0)
        assert found == expected
        assert reads.job_task_runs(job.id + 1, 10, None) == []
