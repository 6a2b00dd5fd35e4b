"""Duties: one thing that cannot be handled holds up no other."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.core import lifecycle
from runyard.core.model import Retries
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import OnSchedule, StartRun, TriggerSpec
from runyard.engine import firings
from runyard.engine.duties import apart

from .bench import Bench, spec, task


def test_a_run_whose_timer_fails_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bad, good = (bench.submit(spec(task("a", timeout=5))) for _ in range(2))
    late = bench.submit(spec(task("a", retries=Retries(max=1, delay=5)), timeout=60))
    bench.begin(bad)
    bench.begin(good)
    bench.finish(late, result="failed")
    decide = lifecycle.decide

    def defective(snapshot: Any, *more: Any) -> Any:
        if snapshot.run.id == bad.id:
            raise ZeroDivisionError
        return decide(snapshot, *more)

    with monkeypatch.context() as patched:
        patched.setattr(lifecycle, "decide", defective)
        bench.later(5)
        assert [bench.one(run).state for run in (bad, good, late)] == [
            State.RUNNING,
            State.CANCELLING,
            State.STARTING,
        ]
        bench.later(apart.AGAIN_MS / 1000)
    bench.later(apart.AGAIN_MS / 1000)
    assert bench.one(bad).state is State.CANCELLING


def test_a_moment_that_was_moved_since_it_was_read_does_nothing() -> None:
    bench = Bench()
    run = bench.submit(spec(task("a", timeout=5)))
    held = bench.begin(run)
    bench.clock.at += 5_000
    [timers] = [kind for kind in bench.engine._apart if kind._what == "timer"]
    with bench.store.reading() as reads:
        due = timers.find(reads, bench.clock.at)
    assert due
    bench.finish(run, result="released")
    timers.handle(due, bench.clock.at)
    assert bench.one(run).state is State.STARTING
    assert held.task_run_id == bench.one(run).id


def test_a_trigger_that_fails_holds_up_no_other_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    jobs = [bench.job(), bench.job()]
    source = OnSchedule(schedule=Schedule(every=60))
    create = bench.engine.triggers.create
    bad, good = (create(TriggerSpec(source=source, actions=[StartRun(job=job.id)]), "ann").result() for job in jobs)
    fire = firings.fire

    def defective(ledger: Any, trigger: Any, *more: Any) -> Any:
        if trigger.id == bad.id:
            raise ZeroDivisionError("nought")
        return fire(ledger, trigger, *more)

    monkeypatch.setattr(firings, "fire", defective)
    bench.later(60)
    assert len(bench.engine.triggers.firings(good.id).items[0].runs) == 1
    [failed] = bench.engine.triggers.firings(bad.id).items
    assert (failed.runs, failed.detail) == ([], "The firing failed: nought")
