"""Commits that fail: everybody who waits is told, nothing of it is visible, and no report is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from runyard.core import control, lifecycle
from runyard.core.attempts import Finished, Outcome
from runyard.core.commands import Cancel, Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import JobSpec, Queue, Run
from runyard.core.query import JobFilter, RunFilter
from runyard.core.states import IllegalMove, State
from runyard.engine import engine as engine_module
from runyard.engine.engine import Engine
from runyard.engine.writer import Reply
from runyard.store.base import Store
from runyard.store.sqlite import SqliteStore

from .bench import Bench, VirtualClock, refused, run_job, spec, task
from .fakes import HandExecutor

FULL = RunyardError(Code.STORAGE_FULL, "The disk of the store is full: nothing was changed. Free space.")


@contextmanager
def failing_commits(store: SqliteStore, times: int = 1, error: Exception = FULL) -> Iterator[None]:
    """The next commits fail as on a full disk."""
    session = store.writer
    commit = session.commit
    left = times

    def failing() -> None:
        nonlocal left
        if left:
            left -= 1
            raise error
        commit()

    session.commit = failing  # type: ignore[method-assign]  # stands for a disk that is full
    try:
        yield
    finally:
        session.commit = commit  # type: ignore[method-assign]  # and has space again


def fails(bench: Bench, call: Callable[[], Reply[Any]]) -> None:
    """The call's commit fails, and the caller is told."""
    with failing_commits(bench.store), pytest.raises(RunyardError, match="disk"):
        call().result()


# --- commands that run at once ----------------------------------------------------------------------------


def test_a_submission_whose_commit_fails_leaves_nothing() -> None:
    bench = Bench()
    fails(bench, lambda: bench.runs.submit(Submit(spec=spec(), idempotency_key="k"), "ann"))
    assert bench.runs.find(RunFilter()).items == []
    assert (bench.hand.started, bench.engine.worker.held) == ([], {})
    assert bench.runs.submit(Submit(spec=spec(), idempotency_key="k"), "ann").result().created


def test_places_claimed_by_a_commit_that_fails_are_free_again() -> None:
    bench = Bench(None, HandExecutor("process", capacity=1))
    fails(bench, lambda: bench.runs.submit(Submit(spec=spec()), "ann"))
    run = bench.submit()
    assert bench.holders() == [run.id]


def test_a_cancel_whose_commit_fails_changes_and_stops_nothing() -> None:
    bench = Bench()
    run = bench.submit()
    fails(bench, lambda: bench.runs.cancel(Cancel(run_id=run.id), "ann"))
    assert bench.states(run) == {"a": "starting"}
    assert not bench.hand.stops
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED
    assert [event.seq for event in bench.history(run)] == list(range(1, len(bench.history(run)) + 1))


def test_an_update_of_a_job_whose_commit_fails_leaves_the_old_version_in_use() -> None:
    bench = Bench()
    job = bench.job(task("old"))
    fails(bench, lambda: bench.registry.update_job(job.id, spec(task("lost")), by="ann"))
    run = bench.submit(job)
    assert (run.job_version, bench.states(run)) == (1, {"old": "starting"})


def test_a_version_that_was_not_kept_is_forgotten_when_its_number_is_used_again() -> None:
    bench = Bench()
    job = bench.job(task("old"), max_concurrent_runs=1)
    first = bench.submit(job)
    fails(bench, lambda: bench.registry.update_job(job.id, spec(task("lost"), max_concurrent_runs=5), by="ann"))
    bench.registry.update_job(job.id, spec(task("kept"), max_concurrent_runs=2), by="ann").result()
    second = bench.submit(job)
    assert (second.job_version, bench.states(second)) == (2, {"kept": "starting"})
    assert bench.run(first).state is State.RUNNING


def test_settings_of_a_queue_whose_commit_fails_do_not_hold() -> None:
    bench = Bench()
    bench.queue("q", slots=1)
    fails(bench, lambda: bench.registry.put_queue(Queue(name="q", paused=True), "ann"))
    fails(bench, lambda: bench.registry.put_queue(Queue(name="other", paused=True), "ann"))
    fails(bench, lambda: bench.registry.delete_queue("q", "ann"))
    runs = [bench.submit(spec(queue=name)) for name in ("q", "q", "other")]
    assert [bench.states(run)["a"] for run in runs] == ["starting", "queued", "starting"]
    assert [(one.queue.name, one.queue.slots) for one in bench.registry.queues() if one.queue.name == "q"] == [("q", 1)]


def test_principals_whose_commit_fails_are_as_they_were() -> None:
    bench = Bench()
    kept = bench.registry.create_principal("bob", [], None, "ann").result()
    fails(bench, lambda: bench.registry.create_principal("eve", ["admin"], None, "ann"))
    fails(bench, lambda: bench.registry.revoke(kept.id, "ann"))
    fails(bench, lambda: bench.registry.delete_principal(kept.id, "ann"))
    assert bench.registry.principals() == [kept]


def test_a_repair_whose_commit_fails_leaves_the_run_as_it_ended() -> None:
    bench = Bench()
    run = bench.submit(spec(run_job("r", bench.job())))
    child = bench.run(bench.one(run, "r").child_run_id or 0)
    bench.finish(child, result="failed")
    before = bench.run(run), bench.history(run)
    with failing_commits(bench.store), pytest.raises(RunyardError, match="disk"):
        bench.repair(run)
    assert (bench.run(run), bench.history(run)) == before
    assert len(bench.runs.find(RunFilter()).items) == 2
    assert bench.repair(run).round == 1


def test_a_report_of_a_duty_whose_commit_fails_is_made_up_for_at_the_next_tick() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", timeout=5)))
    bench.begin(run)
    with failing_commits(bench.store):
        bench.later(5)
    assert not bench.hand.stops
    bench.later(0.2)
    assert [why for _, _, why in bench.hand.stops] == ["timeout"]


def test_a_refused_command_undoes_only_itself() -> None:
    bench = Bench()
    run = bench.submit()

    def half(ledger: Any) -> None:
        ledger.advance(run.id, lifecycle.CancelRun("ann"))
        raise RunyardError(Code.CONFLICT, "no")

    refused(lambda: bench.engine.writer.execute(half), Code.CONFLICT)
    assert bench.states(run) == {"a": "starting"}
    assert not bench.hand.stops
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED


def test_a_defect_in_a_decision_leaves_no_half_made_run_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    run = bench.submit(spec(task("a"), task("b")))

    def broken(*_: object) -> None:
        raise IllegalMove("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(control, "follow_up", broken)
        with pytest.raises(IllegalMove):
            bench.cancel(run)
    assert bench.states(run) == {"a": "starting", "b": "starting"}
    bench.finish(run, "a")
    bench.finish(run, "b")
    assert (bench.run(run).state, [event.kind for event in bench.history(run)].count("cancel")) == (State.SUCCEEDED, 0)
    assert [bench.one(run, key).detail for key in "ab"] == ["", ""]  # and not "finished before the stop"


def test_a_defect_while_claiming_gives_the_places_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(None, HandExecutor("process", capacity=2))
    real = lifecycle.resolved_action
    calls: list[int] = []

    def broken_once(snapshot: Any, slot: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise IllegalMove("a defect")
        return real(snapshot, slot)

    monkeypatch.setattr(lifecycle, "resolved_action", broken_once)
    run = bench.submit(spec(task("a"), task("b")))
    assert (bench.states(run), bench.engine.worker.held) == ({"a": "queued", "b": "queued"}, {})
    bench.submit(spec(name="another"))
    assert bench.working() == ["a", "b"]


# --- commands that share a commit -------------------------------------------------------------------------


class Shared:
    """An engine on an event loop, with a store on disk."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path / "runyard.db")
        self.hand = HandExecutor("process")
        self.clock = VirtualClock()
        store, loop = cast("Store", self.store), asyncio.get_running_loop()
        self.engine = Engine(store, [self.hand], clock=self.clock, loop=loop)
        self.engine.start()

    async def submit(self, definition: JobSpec | None = None) -> Run:
        submitted = await self.engine.runs.submit(Submit(spec=definition or spec()), "ann")
        return submitted.run


def on_a_loop(path: Path, story: Callable[[Shared], Awaitable[None]]) -> None:
    """Runs a story with an engine on a loop."""

    async def run() -> None:
        shared = Shared(path)
        await shared.engine.writer.execute(lambda ledger: None)
        await story(shared)
        shared.engine.worker.held.clear()
        await shared.engine.drain(0.0)

    asyncio.run(run())


def test_a_failed_commit_answers_every_waiting_command_with_an_error_and_nothing_is_visible(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        run = await shared.submit()
        runs, registry = shared.engine.runs, shared.engine.registry
        with failing_commits(shared.store):
            replies = [
                runs.submit(Submit(spec=spec(), idempotency_key="k"), "ann"),
                runs.cancel(Cancel(run_id=run.id), "ann"),
                registry.create_job(spec(), by="ann"),
                registry.put_queue(Queue(name="q", paused=True), "ann"),
                runs.cancel(Cancel(run_id=12345), "ann"),
            ]
            answers = await asyncio.gather(*replies, return_exceptions=True)
        assert [getattr(answer, "code", None) for answer in answers] == [Code.STORAGE_FULL] * 5
        assert [one.id for one in runs.find(RunFilter()).items] == [run.id]
        assert runs.get(run.id).state is State.RUNNING
        assert registry.jobs(JobFilter()).items == []
        assert shared.engine.worker.queues == {}
        assert (len(shared.hand.started), shared.hand.stops) == (1, [])
        assert (await runs.submit(Submit(spec=spec(queue="q"), idempotency_key="k"), "ann")).created
        assert len(shared.hand.started) == 2

    on_a_loop(tmp_path, story)


def test_an_error_that_is_none_of_ours_is_answered_as_an_internal_one(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        gone = OSError("gone")
        with failing_commits(shared.store, error=gone), pytest.raises(RunyardError, match="OSError: gone") as caught:
            await shared.submit()
        assert caught.value.code is Code.INTERNAL

    on_a_loop(tmp_path, story)


def test_commands_that_come_together_share_a_commit_and_one_refusal_fails_none_of_the_others(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        commits = shared.engine.transactions.commits
        replies = [shared.engine.runs.submit(Submit(spec=spec()), "ann") for _ in range(20)]
        replies.insert(10, shared.engine.runs.submit(Submit(job_id=12345), "ann"))
        answers = await asyncio.gather(*replies, return_exceptions=True)
        assert [index for index, one in enumerate(answers) if isinstance(one, RunyardError)] == [10]
        assert shared.engine.transactions.commits == commits + 1
        assert len(shared.hand.started) == 20

    on_a_loop(tmp_path, story)


def test_fifty_submissions_with_one_key_at_once_give_one_run(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        command = Submit(spec=spec(), idempotency_key="k")
        answers = await asyncio.gather(*(shared.engine.runs.submit(command, "ann") for _ in range(50)))
        assert len({one.run.id for one in answers}) == 1
        assert [one.created for one in answers] == [True] + [False] * 49

    on_a_loop(tmp_path, story)


def test_a_report_whose_commit_fails_is_kept_and_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "RETRY_SECONDS", 0.0)

    async def story(shared: Shared) -> None:
        run = await shared.submit(spec(task("a"), task("b", "a")))
        one = shared.hand.started[0]
        with failing_commits(shared.store, times=3):
            shared.hand.end(one, Outcome(result="succeeded", values={"n": 1}))
            await until(lambda: len(shared.hand.started) == 2)
        kept = shared.engine.runs.task_run(one.task_run_id)
        assert (kept.state, kept.values) == (State.SUCCEEDED, {"n": 1})
        assert shared.engine.runs.get(run.id).state is State.RUNNING
        history = [event.seq for event in shared.engine.runs.events(run.id)]
        assert history == list(range(1, len(history) + 1))

    on_a_loop(tmp_path, story)


def test_a_report_that_comes_twice_is_given_up_when_its_run_was_deleted_in_between(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would otherwise be tried again for ever, and what was reported with it would never be stored."""

    async def story(shared: Shared) -> None:
        run, other = await shared.submit(), await shared.submit()
        first, second = (
            Finished(one.task_run_id, one.token, shared.clock.at, Outcome(result="succeeded"))
            for one in shared.hand.started
        )
        replies: list[Any] = []
        shared.hand.sink([first])
        asyncio.get_running_loop().call_soon(lambda: replies.append(shared.engine.runs.delete(run.id, "ann")))
        shared.hand.sink([first, second])
        await until(lambda: bool(replies))
        await replies[0]
        await until(lambda: shared.engine.runs.get(other.id).state is State.SUCCEEDED)
        assert [one.id for one in shared.engine.runs.find(RunFilter()).items] == [other.id]

    on_a_loop(tmp_path, story)
    assert not caplog.records


def test_a_report_from_another_thread_is_recorded(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        run = await shared.submit()
        one = shared.hand.started[0]
        report = Finished(one.task_run_id, one.token, shared.clock.at, Outcome(result="succeeded"))
        await asyncio.to_thread(shared.hand.sink, [report])
        await until(lambda: shared.engine.runs.get(run.id).state is State.SUCCEEDED)

    on_a_loop(tmp_path, story)


def test_an_executor_that_raises_does_not_stop_the_writer(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        def broken(_: object) -> None:
            raise OSError("no more processes")

        shared.hand.on_start = broken
        await shared.submit()
        shared.hand.on_start = None
        await asyncio.wait_for(shared.submit(), 5)

    on_a_loop(tmp_path, story)


def test_nobody_is_answered_before_the_commit(tmp_path: Path) -> None:
    async def story(shared: Shared) -> None:
        seen: list[object] = []
        session = shared.store.writer
        commit = session.commit

        def watched() -> None:
            seen.append((reply.done(), len(shared.hand.started)))  # type: ignore[attr-defined]  # a future
            commit()

        session.commit = watched  # type: ignore[method-assign]  # looks, and commits as before
        reply = shared.engine.runs.submit(Submit(spec=spec()), "ann")
        await reply
        session.commit = commit  # type: ignore[method-assign]  # as it was
        assert seen == [(False, 0)]
        await until(lambda: len(shared.hand.started) == 1)

    on_a_loop(tmp_path, story)


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn until it holds; the test fails if it never does."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)
