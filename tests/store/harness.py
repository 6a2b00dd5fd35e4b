"""What the behaviour suite needs to know of one implementation: how to open it, and how to tamper with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import apsw

from runyard.store.base import Store
from runyard.store.sqlite import SqliteStore


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


class SqliteFile:
    """The embedded store in a file."""

    kept = True

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


class SqliteMemory(SqliteFile):
    """The embedded store in memory, which tests of the engine use."""

    kept = False

    def open(self, **options: Any) -> Store:
        return SqliteStore(":memory:", **options)


HARNESSES = (SqliteFile, SqliteMemory)
