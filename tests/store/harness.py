"""What the behaviour suite needs to know of one implementation: how to open it, and how to tamper with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import apsw

from runyard.store.base import Store
from runyard.store.sqlite import SqliteStore
from tests import postgres


class Harness(Protocol):
    """One empty database. `kept`: it survives `close` and has readers of its own, which see committed data only."""

    kept: bool

    def open(self, **options: Any) -> Store: ...
    def tamper(self, statement: str) -> None:
        """Runs one statement behind the store's back, while it is closed."""

    def fill(self, store: Store) -> None:
        """Lets the store run out of space."""

    def empty(self, store: Store) -> None:
        """Gives the space back."""

    deadline: float
    """A deadline for readers, in seconds."""

    def slow(self) -> AbstractContextManager[None]:
        """Lets statements on task runs, but no others, take longer than that deadline."""


class SqliteFile:
    """The embedded store in a file."""

    kept = True
    deadline = 0.0

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runyard.db"

    def open(self, **options: Any) -> Store:
        return SqliteStore(self.path, **options)

    def tamper(self, statement: str) -> None:
        connection = apsw.Connection(str(self.path))
        connection.execute(statement)
        connection.close()

    def fill(self, store: Store) -> None:
        pages = store.writer.connection.pragma("page_count")  # type: ignore[attr-defined]
        store.writer.connection.pragma("max_page_count", pages)  # type: ignore[attr-defined]

    def empty(self, store: Store) -> None:
        store.writer.connection.pragma("max_page_count", 1_000_000)  # type: ignore[attr-defined]

    @contextmanager
    def slow(self) -> Iterator[None]:
        yield


class SqliteMemory(SqliteFile):
    """The embedded store in memory, which tests of the engine use."""

    kept = False

    def open(self, **options: Any) -> Store:
        return SqliteStore(":memory:", **options)


class Postgres:
    """A schema of a real PostgreSQL."""

    kept = True
    deadline = 0.2

    def __init__(self, folder: Path) -> None:
        self.url = postgres.fresh_url()

    def open(self, **options: Any) -> Store:
        from runyard.store.postgres import PostgresStore

        return PostgresStore(self.url, **options)

    def tamper(self, statement: str) -> None:
        with postgres.connect(self.url) as connection:
            connection.execute(statement)
        connection.close()

    def fill(self, store: Store) -> None:
        # What PostgreSQL says of a full disk, for every row that needs new pages.
        self.tamper("""
            CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
              RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
            END $$;
            CREATE TRIGGER no_room BEFORE INSERT ON run FOR EACH ROW
              WHEN (length(new.parameters) > 100000) EXECUTE FUNCTION no_room()""")

    def empty(self, store: Store) -> None:
        self.tamper("DROP TRIGGER no_room ON run")

    @contextmanager
    def slow(self) -> Iterator[None]:
        with postgres.connect(self.url) as connection, connection.transaction():
            connection.execute("LOCK TABLE task_run IN ACCESS EXCLUSIVE MODE")
            yield
        connection.close()


HARNESSES = (SqliteFile, SqliteMemory, Postgres)
