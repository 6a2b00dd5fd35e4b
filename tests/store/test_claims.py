"""What waits for workers and limits, what is held, and what is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runyard.core.attempts import EffectKey
from runyard.core.model import TaskRun
from runyard.core.states import ACTIVE, State
from runyard.store.base import DueWork, Store
from tests.store.make import NOW, a_job, a_run, a_task_run, added, changed, clear, write
from tests.store.values import on_one_store

_waiting = st.builds(
    a_task_run,
    st.just(1),
    state=st.sampled_from(State),
    executor=st.sampled_from(["warehouse", "process", "engine"]),
    queue=st.sampled_from(["default", "big", ""]),
    priority=st.integers(-2, 2),
)
_some = st.lists(_waiting, max_size=25)


def _keep(store: Store, some: list[TaskRun]) -> list[TaskRun]:
    """As the task runs of one run, in place of whatever an earlier example left."""
    clear(store)
    run = a_run()
    mine = [replace(one, run_id=run.id) for one in some]
    write(store, added(run, *mine))
    return mine


def _first(one: TaskRun) -> tuple[int, int]:
    return (-one.priority, one.id)


@on_one_store
@given(some=_some, limit=st.integers(1, 6), closed=st.sets(st.sampled_from(["default", "big", ""])))
def test_each_open_queue_offers_its_first_by_priority_then_age(
    store: Store, some: list[TaskRun], limit: int, closed: set[str]
) -> None:
    mine = _keep(store, some)
    wanted = set()
    for queue in {"default", "big", ""} - closed:
        fit = [x for x in mine if (x.state, x.executor, x.queue) == (State.QUEUED, "warehouse", queue)]
        wanted |= {x.id for x in sorted(fit, key=_first)[:limit]}
    with store.reading() as reads:
        found = reads.queued("warehouse", limit, closed)
    by_id = {one.id: one for one in mine}
    assert {one.task_run_id for one in found} == wanted
    for one in found:
        kept = by_id[one.task_run_id]
        assert (one.run_id, one.queue, one.priority) == (kept.run_id, kept.queue, kept.priority)
    for queue in {one.queue for one in found}:
        order = [_first(by_id[one.task_run_id]) for one in found if one.queue == queue]
        assert order == sorted(order)


@on_one_store
@given(some=_some)
def test_active_task_runs_take_slots_and_are_held_but_control_flow_is_not(store: Store, some: list[TaskRun]) -> None:
    mine = _keep(store, some)
    active = [one for one in mine if one.state in ACTIVE and one.executor != "engine"]
    with store.reading() as reads:
        use, depth = reads.queue_active(), reads.queue_depth()
        held = reads.held()
    assert use == {queue: n for queue in ("default", "big", "") if (n := sum(x.queue == queue for x in active))}
    waiting = [one for one in mine if one.state is State.QUEUED]
    assert depth == {queue: n for queue in ("default", "big", "") if (n := sum(x.queue == queue for x in waiting))}
    wanted = {(one.run_id, one.id, one.token, one.state.value, one.executor) for one in active}
    assert {(x.held.run_id, x.held.task_run_id, x.held.token, x.held.state, x.executor) for x in held} == wanted
    effects = {one.id: EffectKey(one.run_id, one.task_key, one.iteration, one.round) for one in active}
    assert {x.held.task_run_id: x.held.effect for x in held} == effects
    with store.reading() as reads:
        assert all(run and run.workspace == x.held.workspace for x in held for run in [reads.run(x.held.run_id)])


def test_a_claimed_task_run_waits_no_longer(store: Store) -> None:
    run = a_run()
    one, other = a_task_run(run), a_task_run(run)
    write(store, added(run, one, other))
    write(store, changed(run, replace(one, state=State.STARTING, token=77, worker="w")))
    with store.reading() as reads:
        assert [x.task_run_id for x in reads.queued("warehouse", 10, set())] == [other.id]
        assert [x.held.token for x in reads.held()] == [77]


# --- a job's limit ---


def test_a_job_counts_the_runs_that_it_let_in_and_names_those_that_wait(store: Store) -> None:
    job, other = a_job(), a_job()
    inside = [a_run(job_id=job.id, admitted_at=NOW) for _ in range(2)]
    waits = [a_run(job_id=job.id, priority=priority) for priority in (0, 5, 0)]
    over = [a_run(job_id=job.id, admitted_at=admitted, ended_at=NOW) for admitted in (NOW, None)]
    stranger = [a_run(job_id=other.id, admitted_at=NOW), a_run(job_id=other.id), a_run(), a_run(admitted_at=NOW)]
    write(store, *inside, *waits, *over, *stranger)
    with store.reading() as reads:
        assert reads.admitted_count(job.id) == 2
        assert reads.awaiting_admission(job.id, 10) == [waits[1].id, waits[0].id, waits[2].id]
        assert reads.awaiting_admission(job.id, 2) == [waits[1].id, waits[0].id]
        assert reads.live_runs(job.id) == sorted(run.id for run in (*inside, *waits))
        assert reads.admitted_count(12345) == 0


# --- timers ---


def test_timers_are_due_at_their_moment_and_not_before(store: Store) -> None:
    run, timed = a_run(), a_run(deadline_at=NOW + 30)
    retry = a_task_run(run, state=State.WAITING, due_at=NOW + 10)
    slow = a_task_run(run, state=State.RUNNING, deadline_at=NOW + 20)
    write(store, added(run, retry, slow), added(timed))
    with store.reading() as reads:
        assert reads.next_due() == NOW + 10
        assert reads.due(NOW + 9) == DueWork([], [], [])
        assert reads.due(NOW + 10) == DueWork([(retry.id, run.id)], [], [])
        assert reads.due(NOW + 30) == DueWork([(retry.id, run.id)], [(slow.id, run.id)], [timed.id])


def test_a_timer_that_was_cleared_is_not_due(store: Store) -> None:
    run = a_run(deadline_at=NOW)
    retry = a_task_run(run, state=State.WAITING, due_at=NOW, deadline_at=NOW)
    write(store, added(run, retry))
    write(store, changed(replace(run, deadline_at=None), replace(retry, due_at=None, deadline_at=None)))
    with store.reading() as reads:
        assert reads.next_due() is None
        assert reads.due(NOW + 1) == DueWork([], [], [])
