"""Runs that a live attempt starts: whose they are, whose place they use, and when they end."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.core.actions import Shell, Sql
from runyard.core.commands import Spawn
from runyard.core.errors import Code, RunyardError
from runyard.core.model import JobSpec, Run
from runyard.core.states import State
from runyard.engine.spawned import MAX_DEPTH, QUEUE

from .bench import Bench, for_each, refused, spec, task
from .fakes import HandExecutor


def small(capacity: int = 1) -> Bench:
    return Bench(None, HandExecutor("process", capacity), HandExecutor("warehouse"))


def spawn(bench: Bench, run: Run, key: str = "k", task_key: str = "a", iteration: int = -1, **fields: Any) -> Run:
    one = bench.held(run, task_key, iteration)
    command = Spawn(task_run_id=one.task_run_id, claim=one.token, key=key, spec=fields.pop("spec", child_spec()))
    return bench.runs.spawn(command).result()


def child_spec() -> JobSpec:
    return JobSpec(name="child", queue=QUEUE, tasks=[task("main", action=Shell(command="below"))])


def parent(bench: Bench, **fields: Any) -> Run:
    run = bench.submit(spec(), **fields)
    bench.begin(run)
    return run


def test_a_child_belongs_to_the_attempt_that_started_it() -> None:
    bench = Bench()
    run = parent(bench, origin="face", workspace="team")
    child = spawn(bench, run)
    assert (child.parent_task_run_id, child.depth, child.trigger) == (bench.one(run).id, 1, "attempt")
    assert (child.origin, child.workspace, child.submitted_by) == ("face", "team", "ann")
    assert bench.one(run).child_run_id == child.id


def test_a_statement_is_a_run_of_the_native_face() -> None:
    bench = Bench()
    run = parent(bench, origin="face")
    text = JobSpec(name="sql", tasks=[task("main", action=Sql(statement="SELECT 1"))])
    assert spawn(bench, run, spec=text).origin == "native"


def test_the_same_key_is_the_same_run() -> None:
    bench = Bench()
    run = parent(bench)
    assert spawn(bench, run, "k").id == spawn(bench, run, "k").id != spawn(bench, run, "l").id


def test_only_who_holds_the_task_may_start_anything() -> None:
    bench = Bench()
    run = parent(bench)
    held = bench.held(run)
    lost = Spawn(task_run_id=held.task_run_id, claim=held.token + 1, key="k", spec=child_spec())
    refused(lambda: bench.runs.spawn(lost), Code.CONFLICT, "not held by this attempt")
    bench.finish(run)
    late = Spawn(task_run_id=held.task_run_id, claim=held.token, key="k", spec=child_spec())
    refused(lambda: bench.runs.spawn(late), Code.CONFLICT, "is succeeded")
    nobody = Spawn(task_run_id=1, claim=1, key="k", spec=child_spec())
    refused(lambda: bench.runs.spawn(nobody), Code.NOT_FOUND)


def test_a_parent_that_is_being_cancelled_starts_nothing() -> None:
    bench = Bench()
    run = parent(bench)
    bench.cancel(run)
    held = bench.held(run)
    command = Spawn(task_run_id=held.task_run_id, claim=held.token, key="k", spec=child_spec())
    refused(lambda: bench.runs.spawn(command), Code.CONFLICT, "cancelling")


def test_the_end_of_a_child_is_not_the_end_of_its_parent() -> None:
    bench = Bench()
    run = parent(bench)
    child = spawn(bench, run)
    bench.finish(child, "main", result="failed", detail="no")
    assert bench.run(child).state is State.FAILED
    assert bench.states(run) == {"a": "running"}
    bench.finish(run)
    assert bench.run(run).state is State.SUCCEEDED


def test_a_child_uses_the_place_of_its_parent_and_gives_it_back() -> None:
    bench = small()
    run, waiting = parent(bench), bench.submit(spec(name="other"))
    child = spawn(bench, run)
    # It is nobody else's, though another run is older: else each parent would let one more begin.
    assert (bench.states(child), bench.states(waiting)) == ({"main": "starting"}, {"a": "queued"})
    bench.finish(child, "main")
    assert bench.states(waiting) == {"a": "queued"}
    bench.finish(run)
    assert bench.states(waiting) == {"a": "starting"}


def test_two_children_of_one_parent_come_one_after_the_other_on_its_place() -> None:
    bench = small()
    run = parent(bench)
    one, two = spawn(bench, run, "one"), spawn(bench, run, "two")
    assert (bench.states(one), bench.states(two)) == ({"main": "starting"}, {"main": "queued"})
    bench.finish(one, "main")
    assert bench.states(two) == {"main": "starting"}


def test_places_are_lent_again_after_a_restart() -> None:
    bench = small()
    run = parent(bench)
    bench.queue(QUEUE, paused=True)
    child = spawn(bench, run)
    again = HandExecutor("process", 1)
    again.held = bench.hand.held
    again.recover = lambda held: []  # type: ignore[method-assign]  # as launchers that live on
    bench = bench.restart(again, HandExecutor("warehouse"))
    bench.queue(QUEUE, paused=False)
    assert bench.states(child) == {"main": "starting"}


@pytest.mark.parametrize("result", ["succeeded", "failed", "lost", "released"])
def test_children_end_when_the_attempt_is_over_however_it_ends(result: str) -> None:
    bench = Bench()
    run = parent(bench)
    queued, running = spawn(bench, run, "queued", spec=paused(bench)), spawn(bench, run, "running")
    bench.finish(run, result=result)
    assert bench.run(queued).state is State.CANCELLED
    assert bench.run(running).state is State.CANCELLING
    bench.finish(running, "main", result="stopped")
    assert (bench.run(running).state, bench.run(running).reason) == (State.CANCELLED, "parent_cancelled")


def paused(bench: Bench) -> JobSpec:
    bench.queue("closed", paused=True)
    return JobSpec(name="child", queue="closed", tasks=[task("main")])


def test_a_cancel_of_the_parent_reaches_the_children_at_once() -> None:
    bench = Bench()
    run = parent(bench)
    child = spawn(bench, run)
    bench.cancel(run)
    assert bench.run(child).state is State.CANCELLING


def test_iterations_start_runs_too() -> None:
    bench = Bench()
    run = bench.submit(spec(for_each("a", [1, 2], concurrency=2)))
    child = spawn(bench, run, iteration=1)
    assert child.parent_task_run_id == bench.one(run, "a", 1).id
    bench.finish(run, "a", iteration=1)
    assert bench.run(child).state is State.CANCELLING


def test_depth_is_bounded() -> None:
    bench = Bench()
    run = parent(bench)
    for _ in range(MAX_DEPTH):
        run = spawn(bench, run, task_key="a" if run.depth == 0 else "main")
    held = bench.held(run, "main")
    command = Spawn(task_run_id=held.task_run_id, claim=held.token, key="k", spec=child_spec())
    refused(lambda: bench.runs.spawn(command), Code.INVALID, "8 deep")


def test_another_attempts_child_is_not_shown() -> None:
    bench = Bench()
    run, other = parent(bench), parent(bench)
    child = spawn(bench, run)
    assert bench.runs.spawned(bench.one(run).id, child.id).run_id == child.id
    with pytest.raises(RunyardError, match="no run of this attempt"):
        bench.runs.spawned(bench.one(other).id, child.id)
