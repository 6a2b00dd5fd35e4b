"""Ids over restarts: what was handed out once is never handed out again, whatever the clock says."""

from __future__ import annotations

from runyard.core.commands import Submit

from .bench import T0, Bench, spec

HOUR = 3_600_000


def test_ids_go_on_after_a_restart_with_the_clock_set_back() -> None:
    bench = Bench()
    last = bench.submit().id
    bench.clock.at = T0 - HOUR
    bench = bench.restart()
    assert bench.submit().id > last


def test_tokens_go_on_after_a_restart_with_the_clock_set_back() -> None:
    bench = Bench()
    run = bench.submit()
    token = bench.held(run).token
    bench.clock.at = T0 - HOUR
    bench = bench.restart()
    assert bench.held(run).token > token


def test_ids_of_deleted_runs_are_not_given_again_after_a_restart_with_the_clock_set_back() -> None:
    """The key of the deleted run would otherwise answer with the new one."""
    bench = Bench()
    command = Submit(spec=spec(), idempotency_key="k")
    deleted = bench.runs.submit(command, "ann").result().run
    bench.finish(deleted)
    bench.runs.delete(deleted.id, "ann").result()
    bench.clock.at = T0 - HOUR
    bench = bench.restart()
    assert bench.submit().id > deleted.id


def test_tokens_of_claims_that_were_given_back_are_not_given_again_after_a_restart_with_the_clock_set_back() -> None:
    """The late report of the first claim would otherwise pass for one of the second."""
    bench = Bench()
    bench.queue("q", slots=1)
    run = bench.submit(spec(queue="q"))
    token = bench.held(run).token
    bench.queue("q", paused=True)
    bench.finish(run, result="released")
    bench.clock.at = T0 - HOUR
    bench = bench.restart()
    bench.queue("q")
    assert bench.held(run).token > token
