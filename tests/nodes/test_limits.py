"""Limits are exact whoever competes: eight servers on one database, which see nothing of each other's memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from runyard.core.actions import Shell
from runyard.core.commands import Submit
from runyard.core.model import JobSpec, OnLimit, Queue, Task
from runyard.engine.engine import Engine
from runyard.engine.runs import Submitted
from tests.nodes.fleet import beat, compete, engines, hand_of

NAMES = [f"n{number}" for number in range(8)]


def a_spec(**fields: object) -> JobSpec:
    return JobSpec(name="r", tasks=[Task(key="only", action=Shell(command="true"))], **fields)  # type: ignore[arg-type]  # any


def _submit(command: Submit, engine: Engine) -> Submitted:
    return engine.runs.submit(command, "ann").result()


def test_eight_servers_never_give_away_more_slots_than_a_queue_has() -> None:
    with engines(*NAMES) as some:
        some[0].registry.put_queue(Queue(name="narrow", slots=3), "ann").result()
        command = Submit(spec=a_spec(queue="narrow"))
        meter = compete(some, lambda engine: engine.runs.submit(command, "ann").result(), 48)
    assert 0 < meter.most <= 3
    assert len(meter.begun) == 48
    assert set(meter.begun.values()) == {1}


def test_eight_servers_never_let_in_more_runs_than_a_job_may_have() -> None:
    with engines(*NAMES) as some:
        spec = a_spec(max_concurrent_runs=2, on_limit=OnLimit.QUEUE)
        job = some[0].registry.create_job(spec, by="ann").result()
        meter = compete(some, lambda engine: engine.runs.submit(Submit(job_id=job.id), "ann").result(), 48)
    assert 0 < meter.most <= 2
    assert set(meter.begun.values()) == {1}


def test_ids_of_several_servers_never_collide() -> None:
    with engines(*NAMES) as some:
        ids = [engine.ledger.draw() for _ in range(500) for engine in some]
    assert len(set(ids)) == len(ids)


def test_one_idempotency_key_gives_one_run_however_many_servers_hear_it_at_once() -> None:
    with engines(*NAMES) as some, ThreadPoolExecutor(8) as pool:
        for engine in some:
            engine.stop_claims()
        for number in range(5):
            command = Submit(spec=a_spec(), idempotency_key=f"key {number}")
            answers = list(pool.map(partial(_submit, command), some))
            assert len({answer.run.id for answer in answers}) == 1
            assert sum(answer.created for answer in answers) == 1


def test_a_queue_that_is_paused_on_one_server_gives_nothing_to_another() -> None:
    with engines("a", "b") as (a, b):
        a.stop_claims()
        b.worker.draining = True
        a.runs.submit(Submit(spec=a_spec(queue="q")), "ann").result()
        a.registry.put_queue(Queue(name="q", paused=True), "ann").result()
        b.worker.draining = False
        beat(b)
        assert hand_of(b).started == []
        a.registry.put_queue(Queue(name="q"), "ann").result()
        beat(b)
        assert len(hand_of(b).started) == 1
