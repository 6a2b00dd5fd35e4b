"""The store for several servers: PostgreSQL through psycopg 3.

One connection writes, inside transactions that the engine's writer groups; what a batch has to write goes to the
server in one pipeline. A fixed pool of connections reads committed data, each statement under a deadline.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources

from runyard.store.migrate import Migration, pending
from runyard.store.postgres_nodes import PostgresMembership
from runyard.store.postgres_reads import NODES, Address, Connection, PostgresReads, of
from runyard.store.postgres_session import PostgresSession

READ_DEADLINE_SECONDS = 10.0
_MIGRATING = 0x52554E59
"""The key of the lock that servers take which start at the same time."""


class PostgresStore:
    """A database (or a schema of one: `?options=-csearch_path%3DNAME`), opened, checked and migrated."""

    name = "postgres"

    def __init__(self, url: str, *, readers: int = 4, read_deadline: float = READ_DEADLINE_SECONDS) -> None:
        self._address = Address(url)
        with self._address.connect() as connection:
            migrate(connection)
        connection.close()
        self.writer = PostgresSession(self._address)
        schema = self.writer._all("SELECT current_schema()")[0][0]
        self.writer.channel = f"runyard {schema}"
        row = self.writer._one(self.writer.sql["last_id"])
        self.last_id = int(row[0] or 0) if row else 0
        self._logs: PostgresReads | None = None
        self._log_lock = threading.Lock()
        settings = {"statement_timeout": of(read_deadline), "default_transaction_read_only": "on"}
        self._readers = [PostgresReads(self._address, settings) for _ in range(readers)]
        self._pool: queue.SimpleQueue[PostgresReads] = queue.SimpleQueue()
        for reader in self._readers:
            self._pool.put(reader)

    def join(self, name: str, seconds: float) -> PostgresMembership:
        """Makes this process a node of that name, with a lease of so many seconds.

        Raises unavailable when there are as many nodes as there can be.
        """
        return PostgresMembership(self._address, self.writer.channel, name, seconds)

    def keep_log(self, run_id: int, task_run_id: int, start: int, data: bytes) -> None:
        """Keeps a piece of a log, from any thread; on a connection of its own, so that nothing waits for it."""
        with self._log_lock:
            if self._logs is None:
                self._logs = PostgresReads(self._address, {"synchronous_commit": "off"})
            self._logs.write(NODES["put_log"], (run_id, task_run_id, start, data))

    def home(self, workspace: str, name: str) -> str:
        """The node that has the tables of a workspace: this one, if none had them before."""
        self.writer._execute(NODES["claim_home"], (workspace, name))
        return str(self.writer._all(NODES["home"], (workspace,))[0][0])

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
        for session in (*self._readers, self.writer, *([self._logs] if self._logs else [])):
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
