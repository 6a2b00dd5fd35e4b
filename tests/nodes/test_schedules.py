"""Schedules and wake-ups under several servers: a tick gives one run, whoever leads and whoever dies."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from runyard.core.commands import Submit
from runyard.core.query import RunFilter
from runyard.core.schedule import Schedule
from runyard.engine.engine import Engine
from runyard.engine.shared import Notice, decode_notice
from tests import postgres
from tests.nodes.fleet import PATIENCE_SECONDS, an_engine, beat, close, engines
from tests.nodes.test_limits import a_spec

SECONDS_BEFORE, SECONDS_AFTER, LEASE = 2.5, 6.0, 2.0


def test_each_tick_gives_one_run_though_all_servers_look_and_the_one_that_leads_dies() -> None:
    url = postgres.fresh_url()
    some = [an_engine(url, name, lease=LEASE) for name in "abcd"]
    spec = replace(a_spec(), schedule=Schedule(cron="* * * * * *"))
    job = some[0].registry.create_job(spec, by="ann").result()
    die, end = threading.Event(), time.monotonic() + SECONDS_BEFORE + SECONDS_AFTER

    def serve(engine: Engine) -> bool:
        """Whether it died."""
        assert engine.peers is not None
        while time.monotonic() < end:
            beat(engine)
            if engine.peers.leading and die.is_set():
                die.clear()
                return True
            engine.tick()
            time.sleep(0.02)
        return False

    with ThreadPoolExecutor(len(some)) as pool:
        served = [pool.submit(serve, engine) for engine in some]
        time.sleep(SECONDS_BEFORE)
        die.set()
    died = [one.result() for one in served]
    last = some[died.index(False)]
    with last.store.reading() as reads:
        ticks = [tick.at for tick in reads.ticks(job.id, 0, 1 << 53, 100)]
        runs = reads.runs(RunFilter(job_id=job.id), 200, None)
    for engine in some:
        close(engine)
    assert died.count(True) == 1
    moments = sorted(run.extras["schedule"]["at"] for run in runs)
    assert moments == list(range(moments[0], moments[-1] + 1, 1000)), "a tick has no run, or two"
    assert sorted(ticks) == moments
    assert len(moments) >= SECONDS_BEFORE + LEASE


def test_what_one_server_takes_wakes_the_others() -> None:
    with engines("a", "b") as (a, b):
        a.stop_claims()
        assert b.peers is not None
        membership = b.peers.node.membership

        def heard() -> Notice:
            while True:  # it hears itself too
                for notice in map(decode_notice, membership.wait(PATIENCE_SECONDS)):
                    if notice.node == a.worker.name:
                        return notice

        with ThreadPoolExecutor(1) as pool:
            hearing = pool.submit(heard)
            run = a.runs.submit(Submit(spec=a_spec()), "ann").result().run
            notice = hearing.result(PATIENCE_SECONDS)
        assert notice.look
        assert notice.runs is None or run.id in notice.runs
