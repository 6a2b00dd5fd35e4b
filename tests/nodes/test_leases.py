"""After its lease was ended a node's heartbeat, start, progress, outcome, bookmark and commands change nothing."""

from __future__ import annotations

import time

import pytest

from runyard.core.attempts import Finished, Outcome, Progress, Started
from runyard.core.commands import Cancel, Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Run
from runyard.core.states import State
from runyard.engine.engine import Engine
from tests import postgres
from tests.nodes.fleet import an_engine, beat, close, hand_of
from tests.nodes.test_limits import a_spec


def everything(engine: Engine, run: Run) -> tuple[object, ...]:
    """All that is kept of a run, and of its bookmark."""
    attempts = engine.runs.task_runs(run.id, newest=False)
    with engine.store.reading() as reads:
        bookmark = reads.bookmark(run.name, None)
    return engine.runs.get(run.id), attempts, engine.runs.events(run.id), bookmark


def test_nothing_that_a_node_says_after_its_lease_was_ended_changes_anything() -> None:
    url = postgres.fresh_url()
    a, b = an_engine(url, "a", lease=0.5), an_engine(url, "b")
    try:
        a.stop_claims()
        b.stop_claims()
        run = b.runs.submit(Submit(spec=a_spec()), "ann").result().run
        a.worker.draining = False
        beat(a)
        (one,) = hand_of(a).held.values()
        hand_of(a).begin(one, a.clock.now())
        frozen = a.peers.node.membership if a.peers else None
        assert frozen is not None
        time.sleep(0.7)
        b.worker.draining = False
        until = time.monotonic() + 10
        while len(b.runs.task_runs(run.id, newest=False)) < 2 and time.monotonic() < until:
            beat(b)
        assert [row.state for row in b.runs.task_runs(run.id, newest=False)] == [State.LOST, State.STARTING]

        before = everything(b, run)
        assert not frozen.renew()
        outcome = Outcome(result="succeeded", values={"late": 1}, output=[1], bookmark={"late": 1})
        told = [
            Started(one.task_run_id, one.token, a.clock.now()),
            Progress(one.task_run_id, one.token, a.clock.now(), {"late": 1}),
            Finished(one.task_run_id, one.token, a.clock.now(), outcome),
        ]
        for report in told:
            hand_of(a).sink([report])
        hand_of(a).sink(told)
        for call in (
            lambda: a.runs.cancel(Cancel(run_id=run.id), "ann"),
            lambda: a.runs.submit(Submit(spec=a_spec()), "ann"),
        ):
            with pytest.raises(RunyardError, match="lost its lease") as refused:
                call().result()
            assert refused.value.code is Code.UNAVAILABLE
        assert everything(b, run) == before

        beat(a)  # finds out, gives its work up and begins anew
        assert (a.worker.held, hand_of(a).stops) == ({}, [(one.task_run_id, one.token, "cancel")])
        hand_of(a).sink(told)
        assert everything(b, run) == before
        again = a.runs.submit(Submit(spec=a_spec()), "ann").result().run
        assert b.runs.get(again.id).id == again.id
    finally:
        close(a)
        close(b)
