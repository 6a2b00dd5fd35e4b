"""A script's bookmark: handed out with the claim, kept with the success and only then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runyard.core.attempts import Assignment, Finished, Outcome
from runyard.core.errors import RunyardError
from runyard.core.model import Job
from runyard.core.states import State

from .bench import Bench


def committed(claim: Assignment, state: dict[str, Any]) -> Outcome:
    return Outcome(result="succeeded", bookmark=state, bookmark_version=claim.bookmark_version)


def no_bookmark(bench: Bench, job: Job) -> RunyardError:
    with pytest.raises(RunyardError, match="no bookmark") as caught:
        bench.registry.bookmark(str(job.id))
    return caught.value


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def job(bench: Bench) -> Job:
    return bench.job()


def test_the_next_run_begins_where_the_last_success_ended(bench: Bench, job: Job) -> None:
    first = bench.held(bench.submit(job))
    assert (first.bookmark, first.bookmark_version) == ({}, 0)
    bench.hand.end(first, committed(first, {"day": 1}))
    second = bench.held(bench.submit(job))
    assert (second.bookmark, second.bookmark_version) == ({"day": 1}, 1)


def test_a_failure_keeps_no_bookmark(bench: Bench, job: Job) -> None:
    claim = bench.held(bench.submit(job))
    bench.hand.end(claim, Outcome(result="failed", bookmark={"day": 1}))
    assert no_bookmark(bench, job)


def test_of_two_runs_that_move_it_at_once_the_second_fails(bench: Bench, job: Job) -> None:
    runs = [bench.submit(job), bench.submit(job)]
    claims = [bench.held(run) for run in runs]
    for claim, day in zip(claims, (1, 2), strict=True):
        bench.hand.end(claim, committed(claim, {"day": day}))
    assert [bench.runs.get(run.id).state for run in runs] == [State.SUCCEEDED, State.FAILED]
    assert "bookmark" in bench.runs.get(runs[1].id).detail
    assert bench.registry.bookmark(str(job.id)).state == {"day": 1}


def test_a_report_with_a_lost_token_moves_no_bookmark(bench: Bench, job: Job) -> None:
    claim = bench.held(bench.submit(job))
    late = msgspec.structs.replace(claim, token=claim.token + 1)
    bench.hand.end(late, committed(late, {"day": 1}))
    assert no_bookmark(bench, job)


def test_a_success_that_is_told_after_the_loss_in_one_breath_moves_no_bookmark(bench: Bench, job: Job) -> None:
    claim = bench.held(bench.submit(job))
    lost, late = Outcome(result="lost"), committed(claim, {"day": 1})
    bench.hand.sink([Finished(claim.task_run_id, claim.token, bench.clock.at, one) for one in (lost, late)])
    assert no_bookmark(bench, job)
