"""Triggers under several servers: the ends that satisfy one may come at once on different servers; it fires once."""

from __future__ import annotations

import itertools
from collections import Counter

from runyard.core.model import Job
from runyard.core.query import RunFilter
from runyard.core.triggers import AfterRuns, Manual, StartRun, TriggerSpec, Watched, cause_of
from runyard.engine.engine import Engine

from .fleet import compete, engines
from .test_limits import a_spec

CHAINS, RUNS = 8, 4


def test_a_join_fires_once_in_each_chain_though_its_branches_end_on_different_servers() -> None:
    with engines("a", "b", "c", "d") as some:
        registry, triggers = some[0].registry, some[0].triggers
        first, left, right, last = (registry.create_job(a_spec(), by="ann").result() for _ in range(4))

        def after(*jobs: Job) -> AfterRuns:
            return AfterRuns(watch=[Watched(job=job.id) for job in jobs])

        def standing(source: Manual | AfterRuns, *jobs: Job) -> int:
            spec = TriggerSpec(source=source, actions=[StartRun(job=job.id) for job in jobs])
            return triggers.create(spec, "ann").result().id

        begin = standing(Manual(), first)
        fork, join = standing(after(first), left, right), standing(after(left, right), last)
        calls = itertools.count()

        def submit(engine: Engine) -> None:
            """One chain for each of its runs: the others come by themselves."""
            if next(calls) % RUNS == 0:
                engine.triggers.fire(begin, "ann").result()

        compete(some, submit, CHAINS * RUNS)
        chains = {firing.chain for firing in triggers.firings(begin, 200).items}
        assert len(chains) == CHAINS
        for one in (fork, join):
            assert Counter(firing.chain for firing in triggers.firings(one, 200).items) == Counter(chains)
        with some[0].store.reading() as reads:
            runs = reads.runs(RunFilter(job_id=last.id), 200, None)
        causes = [cause_of(run.extras) for run in runs]
        assert {cause.chain for cause in causes if cause} == chains
        assert len(runs) == CHAINS
