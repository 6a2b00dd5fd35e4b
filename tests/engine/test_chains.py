"""Chains as a property: whatever the graph of triggers and the order of ends, ALL fires once where it holds."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.core.model import Job, Run
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.core.triggers import AfterRuns, Firing, Manual, StartRun, Trigger, TriggerSpec, Watched, cause_of

from .bench import Bench

JOBS = 5
ENDS = [State.SUCCEEDED, State.FAILED]
WORDS = {State.SUCCEEDED: "succeeded", State.FAILED: "failed"}
some_jobs = st.lists(st.integers(0, JOBS - 1), min_size=1, max_size=3, unique=True)
watched = st.lists(
    st.tuples(st.integers(0, JOBS - 1), st.sampled_from([[State.SUCCEEDED], [State.FAILED], ENDS])),
    min_size=1,
    max_size=3,
)
links = st.lists(st.tuples(watched, st.sampled_from(["all", "any"]), some_jobs), min_size=1, max_size=6)


def all_runs(bench: Bench) -> list[Run]:
    return bench.runs.find(RunFilter(), 200).items[::-1]


def chain_of(run: Run) -> int:
    cause = cause_of(run.extras)
    assert cause is not None
    return cause.chain


def holds(one: Trigger, jobs: list[Job], runs: list[Run]) -> bool:
    """Whether runs of one chain satisfy a trigger, by its plain words."""
    source = one.spec.source
    assert isinstance(source, AfterRuns)
    met = [any(run.job_id == w.job and run.state in w.states for run in runs) for w in source.watch]
    return all(met) if source.match == "all" else any(met)


@settings(max_examples=40, deadline=None)
@given(links=links, chance=st.randoms(use_true_random=False), roots=st.integers(1, 3))
def test_a_trigger_fires_once_in_each_chain_that_satisfies_it_and_in_no_other(
    links: list[tuple[list[tuple[int, list[State]]], str, list[int]]], chance: Random, roots: int
) -> None:
    bench = Bench()
    jobs = [bench.job() for _ in range(JOBS)]
    create = bench.engine.triggers.create
    triggers = [
        create(
            TriggerSpec(
                source=AfterRuns(watch=[Watched(job=jobs[n].id, states=states) for n, states in watch], match=match),  # type: ignore[arg-type]  # one of its words
                actions=[StartRun(job=jobs[n].id) for n in starts],
            ),
            "ann",
        ).result()
        for watch, match, starts in links
    ]
    begin = TriggerSpec(source=Manual(), actions=[StartRun(job=jobs[0].id), StartRun(job=jobs[1].id)])
    root = create(begin, "ann").result()
    chains = [bench.engine.triggers.fire(root.id, "bob").result().chain for _ in range(roots)]
    while live := [run for run in all_runs(bench) if run.ended_at is None]:
        assert len(live) < 150
        bench.finish(chance.choice(live), result=WORDS[chance.choice(ENDS)])
    runs = all_runs(bench)
    for one in triggers:
        firings: list[Firing] = bench.engine.triggers.firings(one.id, 200).items
        expected = sorted(
            chain for chain in chains if holds(one, jobs, [run for run in runs if chain_of(run) == chain])
        )
        assert sorted(firing.chain for firing in firings) == expected
        for firing in firings:
            assert [chain_of(bench.run(run)) for run in (*firing.after, *firing.runs)] == [firing.chain] * (
                len(firing.after) + len(firing.runs)
            )
            assert holds(one, jobs, [bench.run(run) for run in firing.after])
    history = [firing for one in (*triggers, root) for firing in bench.engine.triggers.firings(one.id, 200).items]
    assert sorted(run for firing in history for run in firing.runs) == sorted(run.id for run in runs)
