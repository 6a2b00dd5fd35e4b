"""The store for several servers: PostgreSQL through psycopg 3.

One connection writes, inside transactions that the engine's writer groups; what a batch has to write goes to the
server in one pipeline. A fixed pool of connections reads committed data, each statement under a deadline.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources

import psycopg
from psycopg.pq import TransactionStatus

from runyard.core.errors import Code, RunyardError
from runyard.store import rows
from runyard.store.migrate import Migration, pending
from runyard.store.postgres_reads import Address, Connection, PostgresReads, of, refusal
from runyard.store.sql_session import SqlSession

READ_DEADLINE_SECONDS = 10.0
WRITER_SETTINGS = {
    # A server that is frozen inside of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "3000",
}
_MIGRATING = 0x52554E59
"""The key of the lock that servers take which start at the same time."""


class PostgresSession(PostgresReads, SqlSession):
    """The connection that writes."""

    errors = psycopg.Error

    def __init__(self, address: Address) -> None:
        super().__init__(address, WRITER_SETTINGS)

    # --- transactions ---

    def begin(self) -> None:
        self._forget()
        if self.connection.closed or self.connection.broken:
            self._reconnect()
        try:
            self._execute(self.sql["begin"])
        except psycopg.OperationalError:  # the server was restarted since, and nothing was asked of it yet
            self._reconnect()
            self._change(self.sql["begin"])

    def commit(self) -> None:
        self.flush()
        try:
            done = self._execute("COMMIT").statusmessage
        except psycopg.Error as error:
            raise self._refused(error) from error
        if done != "COMMIT":  # what failed before made it a rollback
            raise RunyardError(Code.INTERNAL, "The transaction had failed before its commit: nothing was changed.")

    def rollback(self) -> None:
        self._forget()
        if self._open():
            try:
                self._execute("ROLLBACK")
            except psycopg.Error:  # the connection is gone, and the transaction with it
                self.connection.close()

    def _open(self) -> bool:
        status = self.connection.pgconn.transaction_status
        return status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def _sound(self, refused: RunyardError) -> bool:
        if refused.code is Code.STORAGE_FULL:
            return False
        status = self.connection.pgconn.transaction_status
        return status == TransactionStatus.INTRANS or (status == TransactionStatus.INERROR and self._saved)

    def _refusal(self, error: Exception) -> RunyardError:
        return refusal(error)

    # --- statements ---

    def _all(self, statement: str, values: rows.Row = ()) -> list[rows.Row]:
        self._settle()
        try:
            return self._execute(statement, values).fetchall()
        except psycopg.Error as error:
            raise self._refused(error) from error

    def _write_rows(self, named: list[tuple[str, list[rows.Row]]]) -> None:
        with self.connection.pipeline(), self.connection.cursor() as cursor:
            for name, values in named:
                if values == [()]:
                    cursor.execute(self.sql[name])
                else:
                    cursor.executemany(self.sql[name], values)


class PostgresStore:
    """A database (or a schema of one: `?options=-csearch_path%3DNAME`), opened, checked and migrated."""

    name = "postgres"

    def __init__(self, url: str, *, readers: int = 4, read_deadline: float = READ_DEADLINE_SECONDS) -> None:
        self._address = Address(url)
        with self._address.connect() as connection:
            migrate(connection)
        connection.close()
        self.writer = PostgresSession(self._address)
        row = self.writer._one(self.writer.sql["last_id"])
        self.last_id = int(row[0] or 0) if row else 0
        settings = {"statement_timeout": of(read_deadline), "default_transaction_read_only": "on"}
        self._readers = [PostgresReads(self._address, settings) for _ in range(readers)]
        self._pool: queue.SimpleQueue[PostgresReads] = queue.SimpleQueue()
        for reader in self._readers:
            self._pool.put(reader)

    def reading(self) -> AbstractContextManager[PostgresReads]:
        return self._reading()

    @contextmanager
    def _reading(self) -> Iterator[PostgresReads]:
        session = self._pool.get()
        try:
            yield session
        finally:
            self._pool.put(session)

    def close(self) -> None:
        for session in (*self._readers, self.writer):
            session.connection.close()


def migrate(connection: Connection) -> None:
    """Brings a database to the newest schema; refuses one whose applied migrations are not ours."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock($1)", (_MIGRATING,))
        connection.execute(
            'CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY, name TEXT COLLATE "C" NOT NULL, '
            'checksum TEXT COLLATE "C" NOT NULL)'
        )
        applied = {row[0]: row[1] for row in connection.execute("SELECT number, checksum FROM migration")}
        for migration in pending(_migrations(), applied):
            connection.execute(migration.text.encode())
            values = (migration.number, migration.name, migration.checksum)
            connection.execute("INSERT INTO migration VALUES ($1,$2,$3)", values)


def _migrations() -> list[Migration]:
    folder = resources.files("runyard.store.migrations").joinpath("postgres")
    return sorted(Migration.read(entry.name, entry.read_text()) for entry in folder.iterdir() if entry.is_file())
