"""How long a page of 25 runs takes, by filter: `python -m bench.listing [--runs 200000] [--file FILE]`.

Each filter alone with values from frequent to absent, and every two together, with values that one kept run
has (so something is found) and with values drawn apart (so often nothing is). Half of the pages begin at the
newest run, half somewhere in the past.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from bench import seed
from runyard.core.model import Run
from runyard.core.query import RunFilter
from runyard.core.states import State
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

    def __init__(self, store: SqliteStore, chance: random.Random) -> None:
        self.store = store
        self.chance = chance
        with store.reading() as reads:
            newest, oldest = reads.runs(RunFilter(), 1, None)[0].id, 0
            row = store.writer.connection.execute("SELECT min(id) FROM run").fetchall()
            oldest = row[0][0]
            spots = [chance.randint(oldest, newest) for _ in range(400)]
            common = [reads.runs(RunFilter(), 1, spot)[0] for spot in spots if spot > oldest]
            names = sorted({run.name for run in common})
            live = reads.runs(RunFilter(states=[State.QUEUED, State.RUNNING]), 50, None)
            failed = reads.runs(RunFilter(states=[State.FAILED]), 50, None)
        self.oldest, self.newest = oldest, newest
        rare = [next(run for run in common if run.name == name) for name in names]
        self.samples = [*common, *rare, *live, *failed]

    def one(self, *fields: str, together: bool = True) -> float:
        """The time of one page in milliseconds."""
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
        spent = (time.perf_counter() - began) * 1000
        self.worst = max(getattr(self, "worst", (0.0, where)), (spent, where, after), key=lambda one: one[0])
        return spent


def _row(name: str, times: list[float]) -> str:
    times.sort()
    p50, p95, p99 = (times[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.95, 0.99))
    return f"{name:<44} {p50:9.2f} {p95:9.2f} {p99:9.2f} {times[-1]:9.2f}"


def measure(store: SqliteStore, rounds: int, *, pairs: int) -> None:
    """Prints the table."""
    pages = Pages(store, random.Random(7))
    for _ in range(50):
        pages.one()
    print(f"{'page of 25, ms':<44} {'p50':>9} {'p95':>9} {'p99':>9} {'max':>9}")
    print(_row("newest", [pages.one() for _ in range(rounds)]))
    every: list[float] = []
    for field in VALUES:
        times = [pages.one(field) for _ in range(rounds)]
        every += times
        print(_row(field, times))
    print(_row("any one filter", every))
    print(f"  slowest: {pages.worst}")
    found: dict[tuple[str, ...], list[float]] = {}
    for fields in combinations(VALUES, 2):
        found[fields] = [pages.one(*fields, together=n % 2 == 0) for n in range(pairs)]
    slowest = sorted(found, key=lambda fields: max(found[fields]), reverse=True)[:6]
    for fields in slowest:
        print(_row(f"  {' + '.join(fields)}", found[fields]))
    print(_row(f"any two filters ({len(found)} pairs)", list(chain(*found.values()))))
    print(f"  slowest: {pages.worst}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time pages of runs.")
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--file", type=Path, help="a store to keep and use again")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "runyard.db"
        if not path.exists():
            seed.fill(path, arguments.runs)
        store = SqliteStore(path)
        [[count]] = store.writer.connection.execute("SELECT count(*) FROM run").fetchall()
        print(f"{count:,} runs, {path.stat().st_size / 1e6:,.0f} MB")
        measure(store, arguments.rounds, pairs=arguments.pairs)
        store.close()


if __name__ == "__main__":
    main()
