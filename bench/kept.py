"""Stores with so many runs kept, on both databases: seeded once in a process, copied for each use."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench import postgres, report, seed, server

SMALL, LARGE, QUICK = 10_000, 1_000_000, 20_000
STORES = ("SQLite", "PostgreSQL")


class Store(NamedTuple):
    """A store that nobody uses yet. `url` is empty for SQLite, whose file lies in `data`."""

    kind: str
    kept: int
    data: Path
    url: str
    cluster: postgres.Cluster | None

    @property
    def settings(self) -> dict[str, str]:
        """What a server is told."""
        return {"store": self.url} if self.url else {}

    def database_cpu_seconds(self) -> float:
        """Of the database's own processes; SQLite has none."""
        return self.cluster.cpu_seconds() if self.cluster else 0.0


def sizes(runs: int, quick: bool) -> tuple[int, int, int]:
    """Empty, and the two sizes that are compared."""
    large = runs or (QUICK if quick else LARGE)
    return 0, min(SMALL, large // 10), large


def ratio(large: float, small: float) -> str:
    """How much more the large store takes than the small one."""
    return f"{large / small:.2f}" if small else "-"


@contextmanager
def stores(kind: str, place: Path, counts: tuple[int, ...], wanted: tuple[int, ...] = ()) -> Iterator[list[Store]]:
    """A store of each size that is wanted (of `counts`, or all), side by side; all of one kind, gone at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=place)))
        cluster = None
        if kind == "PostgreSQL":
            cluster = stack.enter_context(postgres.cluster(place, _seeded(kind, counts)))
        found = []
        for kept in wanted or counts:
            data = folder / str(kept)
            data.mkdir(mode=0o700)
            if cluster is None and kept:
                server.copy(_seeded(kind, counts) / f"{kept}.db", data / "runyard.db")
            found.append(Store(kind, kept, data, cluster.url(_name(kept)) if cluster else "", cluster))
        yield found


def _name(kept: int) -> str:
    return f"kept_{kept}"


@cache
def _seeded(kind: str, counts: tuple[int, ...]) -> Path:
    """A folder with a store of each size."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-bench-seed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    begun = time.monotonic()
    if kind == "SQLite":
        for kept in filter(None, counts):
            seed.fill(folder / f"{kept}.db", kept)
    else:
        with postgres.kept_cluster(folder / "cluster") as one:
            for kept in counts:
                url = one.create(_name(kept))
                if kept:
                    seed.fill_postgres(url, kept)
        folder /= "cluster"
    report.tell(f"{kind} seeded with {' and '.join(f'{one:,}' for one in counts)} runs in {report.since(begun)}")
    return folder
