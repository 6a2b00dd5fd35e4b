"""How long a page of 25 runs takes, by filter, on both stores, with few runs kept and with many.

Each filter alone with values from frequent to absent, and every two together, with values that one kept run
has (so something is found) and with values drawn apart (so often nothing is). Half of the pages begin at the
newest run, half somewhere in the past.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, combinations
from typing import Any

from bench import kept, report
from bench.report import percentile
from runyard.core.model import Run
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.store.base import Store
from runyard.store.sqlite import SqliteStore

_EQUAL = ("job_id", "name", "origin", "workspace", "queue", "submitted_by", "trigger", "reason")
_DAY = 86_400_000
Value = Callable[[Run, random.Random], Any]


def _equal(field: str) -> Value:
    return lambda run, _: getattr(run, field)


def _moment(base: str, sign: int) -> Value:
    def value(run: Run, chance: random.Random) -> int:
        at = getattr(run, base) or run.created_at
        return int(at + sign * chance.choice([0, 60_000, _DAY, 20 * _DAY]))

    return value


VALUES: dict[str, Value] = {
    **{field: _equal(field) for field in _EQUAL},
    "parent_task_run_id": lambda run, _: run.parent_task_run_id,
    "states": lambda run, chance: chance.choice(
        [[run.state], [run.state, State.FAILED], [State.QUEUED, State.RUNNING]]
    ),
    "tag": lambda run, chance: chance.choice(list(run.tags.items())) if run.tags else None,
    "created_after": _moment("created_at", -1),
    "created_before": _moment("created_at", 1),
    "ended_after": _moment("ended_at", -1),
    "ended_before": _moment("ended_at", 1),
}


class Pages:
    """Asks for pages and times them."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        self.worst: list[tuple[float, str]] = []
        with store.reading() as reads:
            newest = reads.runs(RunFilter(), 1, None)[0].id
            oldest = reads.runs(RunFilter(), 1, 0, newer=True)[0].id
            spots = [chance.randint(oldest, newest) for _ in range(400)]
            common = [reads.runs(RunFilter(), 1, spot)[0] for spot in spots if spot > oldest]
            names = sorted({run.name for run in common})
            live = reads.runs(RunFilter(states=[State.QUEUED, State.RUNNING]), 50, None)
            failed = reads.runs(RunFilter(states=[State.FAILED]), 50, None)
        self.oldest, self.newest = oldest, newest
        rare = [next(run for run in common if run.name == name) for name in names]
        self.samples = [*common, *rare, *live, *failed]

    def one(self, *fields: str, together: bool = True) -> float:
        """The time of one page in seconds."""
        run, values = self.chance.choice(self.samples), {}
        for field in fields:
            value = VALUES[field](run, self.chance)
            while value is None or not together:
                value, together = VALUES[field](self.chance.choice(self.samples), self.chance), value is not None
            values[field] = value
        after = self.chance.choice([None, self.chance.randint(self.oldest, self.newest)])
        where = RunFilter(**values)
        began = time.perf_counter()
        with self.store.reading() as reads:
            reads.runs(where, 26, after)
        spent = time.perf_counter() - began
        self.worst = sorted([*self.worst, (spent, f"{values}, after {after}")], reverse=True)[:3]
        return spent


Times = dict[str, list[float]]


def times(store: Store, rounds: int, pairs: int) -> tuple[Times, list[tuple[float, str]]]:
    """The seconds of pages, by what they were filtered by; and the three slowest."""
    pages = Pages(store, random.Random(7))
    for _ in range(50):
        pages.one()
    found = {"newest": [pages.one() for _ in range(rounds)]}
    for field in VALUES:
        found[field] = [pages.one(field) for _ in range(rounds)]
    found["any one filter"] = [*chain(*(found[field] for field in VALUES))]
    both = {
        " + ".join(fields): [pages.one(*fields, together=n % 2 == 0) for n in range(pairs)]
        for fields in combinations(VALUES, 2)
    }
    return found | both | {f"any two filters ({len(both)} pairs)": [*chain(*both.values())]}, pages.worst


def _opened(one: kept.Store) -> Store:
    if not one.url:
        return SqliteStore(one.data / "runyard.db")
    from runyard.store.postgres import PostgresStore

    return PostgresStore(one.url)


PARTS = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def measure(given: argparse.Namespace) -> report.Table:
    """One table: each filter, both stores beside each other, few runs and many."""
    rounds, pairs = (60, 6) if given.quick else (300, 40)
    sizes = kept.sizes(given.runs, given.quick)
    _, small, large = sizes
    found: dict[tuple[str, int], Times] = {}
    notes = [
        "Milliseconds in the server's own process, from the filter to decoded runs; the file's pages are in memory, "
        "PostgreSQL is asked over a socket. Each filter with values from frequent to absent; half of the pages begin "
        "at the newest run, half somewhere in the past. Pairs: half with values that one kept run has, half with "
        "values drawn apart; the six named ones are those that were slowest (p95) in either store at the larger size.",
        f"`x` is p50 at {large:,} runs divided by p50 at {small:,}, and the same of p99 (where a page of a rare value "
        "is short in a small history, it is full in a large one).",
    ]
    (_, place), *_ = report.places()
    for kind in kept.STORES:
        with kept.stores(kind, place, sizes, (small, large)) as stores:
            for one in stores:
                with closing(_opened(one)) as store:
                    found[kind, one.kept], worst = times(store, rounds, pairs)
                report.tell(f"listing: {kind} with {one.kept:,} runs done")
                notes.append(f"Slowest of {kind} with {one.kept:,} runs: " + "; ".join(_slow(worst)) + ".")
    return report.Table("listing", f"a page of 25 runs, by filter, with {large:,} runs", _columns(small, large), [
        [name, *(cell for kind in kept.STORES for cell in _cells(found[kind, small], found[kind, large], name))]
        for name in _names(found, large)
    ], notes)  # fmt: skip


def _columns(small: int, large: int) -> list[str]:
    sizes = {small: f"{small // 1000}k", large: f"{large // 1000}k"}
    cells = [f"p50 {sizes[small]}", *(f"{part} {sizes[large]}" for part, _ in PARTS), "x p50", "x p99"]
    return ["page of 25, ms", *(f"{kind} {cell}" for kind in kept.STORES for cell in cells)]


def _names(found: dict[tuple[str, int], Times], large: int) -> list[str]:
    """The filters, the slowest pairs of each store, and what all pairs took together."""
    every = [*found[kept.STORES[0], large]]
    pairs: list[str] = []
    for kind in kept.STORES:
        taken = {name: percentile(found[kind, large][name], 0.95) for name in every if " + " in name}
        pairs += sorted(taken, key=taken.__getitem__, reverse=True)[:6]
    return [name for name in every if " + " not in name or name in pairs]


def _cells(small: Times, large: Times, name: str) -> Iterator[str]:
    yield report.ms(percentile(small[name], 0.5))
    for _, share in PARTS:
        yield report.ms(percentile(large[name], share))
    for share in (0.5, 0.99):
        yield kept.ratio(percentile(large[name], share), percentile(small[name], share))


def _slow(worst: list[tuple[float, str]]) -> list[str]:
    return [f"{report.ms(spent)} ms for {what}" for spent, what in worst]
