"""The embedded store: SQLite through apsw, in WAL mode with synchronous=FULL.

One connection writes, inside transactions that the engine's writer groups; a commit returns after fsync.
A fixed pool of read-only connections reads, each statement under a deadline, so that a long query of the
history cannot hold back the write-ahead log for ever.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from pathlib import Path

import apsw

from runyard.core.errors import Code, RunyardError
from runyard.core.triggers import Trigger
from runyard.core.triggers import topics as topics_of
from runyard.store import listing, rows, sql
from runyard.store.migrate import Migration, pending
from runyard.store.sql_reads import SqlReads
from runyard.store.sql_session import SqlSession

READ_DEADLINE_SECONDS = 10.0
_TOPICS = "SELECT DISTINCT topic FROM trigger_topic"
_STEPS_BETWEEN_CHECKS = 20_000
_STATEMENTS_KEPT = 512
"""Prepared statements of a connection. apsw drops one that is not used among as many executions, of whichever."""
_MAPPED_BYTES = 1 << 30
"""How much of the file readers map instead of copying its pages: a search of the history takes half the time."""
_CACHE_KB, _READER_CACHE_KB = 16_000, 2_000
"""Pages that a connection holds in memory of its own. A reader's are those that are not in the mapped file yet."""


class SqliteReads(SqlReads):
    """One connection; each statement is stopped after the deadline where a handler asks for it."""

    sql = sql.load("sqlite.sql")
    spelling = listing.SQLITE

    def __init__(self, connection: apsw.Connection, read_deadline: float) -> None:
        super().__init__()
        self.connection = connection
        self._execute = connection.execute
        self._read_deadline = read_deadline
        self.deadline = 0.0

    def _all(self, statement: str, values: rows.Row = ()) -> list[rows.Row]:
        self._settle()
        self.deadline = time.monotonic() + self._read_deadline
        try:
            return self._execute(statement, values).fetchall()
        except apsw.InterruptError:
            limit = f"{self._read_deadline:g} s"
            raise RunyardError(
                Code.UNAVAILABLE, f"The query took longer than {limit} and was stopped; narrow it."
            ) from None
        except apsw.Error as error:
            raise refusal(error) from error


class SqliteSession(SqliteReads, SqlSession):
    """The connection that writes."""

    errors = apsw.Error

    def __init__(self, connection: apsw.Connection, read_deadline: float) -> None:
        super().__init__(connection, read_deadline)
        self._topics: set[str] | None = None
        """All that triggers want to be told of, and perhaps more: nobody else writes here, and none is taken out."""

    def triggers_on(self, topics: list[str]) -> list[Trigger]:
        """As in `Reads`. It is asked at every run's end, and nearly always nobody wants to know."""
        if self._topics is None:
            self._topics = {row[0] for row in self._aside(_TOPICS, ())}
        wanted = [topic for topic in topics if topic in self._topics]
        return super().triggers_on(wanted) if wanted else []

    def _put_trigger(self, trigger: Trigger) -> None:
        super()._put_trigger(trigger)
        if self._topics is not None:
            self._topics.update(topics_of(trigger))

    def _write_rows(self, named: list[tuple[str, list[rows.Row]]]) -> None:
        for name, values in named:
            self.connection.executemany(self.sql[name], values)

    def _open(self) -> bool:
        return self.connection.in_transaction

    def _refusal(self, error: Exception) -> RunyardError:
        return refusal(error)


def refusal(error: Exception) -> RunyardError:
    """What a failure of SQLite means to a caller."""
    if isinstance(error, apsw.FullError) or "disk is full" in str(error):
        return RunyardError(Code.STORAGE_FULL, "The disk of the store is full: nothing was changed. Free space.")
    if isinstance(error, (apsw.IOError, apsw.BusyError, apsw.ReadOnlyError)):
        return RunyardError(Code.UNAVAILABLE, f"The store cannot be written now ({error}): nothing was changed.")
    if isinstance(error, apsw.ConstraintError):
        return RunyardError(Code.ALREADY_EXISTS, f"Something with this name or key exists already ({error}).")
    return RunyardError(Code.INTERNAL, f"The store refused a change ({error}): nothing was changed.")


class SqliteStore:
    """A database file (or `:memory:`), opened, checked and migrated."""

    name = "sqlite"

    def __init__(
        self,
        path: Path | str,
        *,
        readers: int = 4,
        read_deadline: float = READ_DEADLINE_SECONDS,
        vfs: str | None = None,
    ) -> None:
        """`vfs` names another way to the disk than SQLite's own: tests cut its power."""
        self._path = str(path)
        self._vfs = vfs
        self._memory = self._path == ":memory:"
        connection = apsw.Connection(self._path, vfs=vfs, statementcachesize=_STATEMENTS_KEPT)
        _configure(connection)
        connection.execute("PRAGMA synchronous=FULL")
        migrate(connection)
        self.writer = SqliteSession(connection, read_deadline)
        row = self.writer._one(self.writer.sql["last_id"])
        self.last_id = int(row[0] or 0) if row else 0
        self._read_deadline = read_deadline
        self._pool: queue.SimpleQueue[SqliteReads] = queue.SimpleQueue()
        self._readers = [] if self._memory else [self._open_reader() for _ in range(readers)]
        for reader in self._readers:
            self._pool.put(reader)

    def _open_reader(self) -> SqliteReads:
        connection = apsw.Connection(
            self._path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs, statementcachesize=_STATEMENTS_KEPT
        )
        _configure(connection)
        connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE_KB}")
        session = SqliteReads(connection, self._read_deadline)
        connection.set_progress_handler(_past(session), _STEPS_BETWEEN_CHECKS)
        return session

    def reading(self) -> AbstractContextManager[SqliteReads]:
        return self._reading()

    @contextmanager
    def _reading(self) -> Iterator[SqliteReads]:
        if self._memory:
            yield self.writer
            return
        session = self._pool.get()
        try:
            yield session
        finally:
            self._pool.put(session)

    def close(self) -> None:
        for session in (*self._readers, self.writer):
            session.connection.close()


def _past(session: SqliteReads) -> Callable[[], bool]:
    return lambda: time.monotonic() > session.deadline


def _configure(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(5000)
    # Plans may not depend on bound values: where they may, a statement on a table with a partial index is prepared
    # anew at each execution, which takes several times as long as most of ours take to run.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in ("journal_mode=WAL", f"cache_size=-{_CACHE_KB}", "temp_store=MEMORY", "foreign_keys=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def migrate(connection: apsw.Connection) -> None:
    """Brings a database to the newest schema; refuses one whose applied migrations are not ours."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
    )
    applied = {row[0]: row[1] for row in connection.execute("SELECT number, checksum FROM migration")}
    for migration in pending(_migrations(), applied):
        with connection:
            connection.execute(migration.text)
            values = (migration.number, migration.name, migration.checksum)
            connection.execute("INSERT INTO migration VALUES (?,?,?)", values)


def _migrations() -> list[Migration]:
    folder = resources.files("runyard.store.migrations").joinpath("sqlite")
    return sorted(Migration.read(entry.name, entry.read_text()) for entry in folder.iterdir() if entry.is_file())
