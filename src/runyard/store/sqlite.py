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

from runyard.core.changes import Changes
from runyard.core.errors import Code, RunyardError
from runyard.core.model import (
    Bookmark,
    Document,
    Job,
    JobSpec,
    JobVersion,
    Principal,
    Queue,
    Run,
    Tick,
    Timetable,
)
from runyard.core.triggers import Firing, Trigger, topics
from runyard.store import rows
from runyard.store.base import Delivery, Record, Removable, Submission
from runyard.store.gathered import Gathered, Kept
from runyard.store.migrate import Migration, pending
from runyard.store.sqlite_reads import SQL, SqliteReads, refusal

_DELETE_RUN = tuple(name for name in SQL if name.startswith("delete_run"))
READ_DEADLINE_SECONDS = 10.0
_STEPS_BETWEEN_CHECKS = 20_000
_MAPPED_BYTES = 1 << 30
"""How much of the file readers map instead of copying its pages: a search of the history takes half the time."""


class SqliteSession(SqliteReads):
    """The connection that writes: the verbs of `Session`."""

    def __init__(self, connection: apsw.Connection, read_deadline: float) -> None:
        super().__init__(connection, read_deadline)
        self._decisions: list[Kept] = []
        """Applied, but not written yet: reads, puts, deletes and `flush` write them."""
        self._mark: int | None = None
        """How many of them are of commands that are through; None outside of a command."""
        self._saved = False
        """Whether the command under way has written something, behind a savepoint."""
        self._broken: RunyardError | None = None
        """Why nothing of this transaction can be kept any more."""

    # --- transactions ---

    def begin(self) -> None:
        self._forget()
        self._change("BEGIN IMMEDIATE")

    def mark(self) -> None:
        self._inside()
        self._mark = len(self._decisions)

    def keep(self) -> None:
        self._inside()
        self._end_command("RELEASE command")

    def undo(self) -> None:
        self._inside()
        del self._decisions[self._mark or 0 :]
        self._end_command("ROLLBACK TO command", "RELEASE command")

    def _end_command(self, *statements: str) -> None:
        for statement in statements if self._saved else ():
            self._change(statement)
        self._mark, self._saved = None, False

    def flush(self) -> None:
        self._inside()
        self._settle()

    def commit(self) -> None:
        self.flush()
        self._change("COMMIT")

    def rollback(self) -> None:
        self._forget()
        if self.connection.in_transaction:
            self._execute("ROLLBACK")

    def _forget(self) -> None:
        self._decisions, self._mark, self._saved, self._broken = [], None, False, None

    def _inside(self) -> None:
        """Refuses to go on after the transaction broke: what follows would be kept without what came before."""
        if self._broken is not None:
            raise self._broken
        if not self.connection.in_transaction:
            raise RunyardError(Code.INTERNAL, "A change outside of a transaction: nothing was changed.")

    def _change(self, statement: str, values: rows.Row = ()) -> None:
        try:
            self._execute(statement, values)
        except apsw.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: apsw.Error) -> RunyardError:
        refused = refusal(error)
        if not self.connection.in_transaction:  # SQLite ends the whole of it when a disk is full or fails
            self._broken = refused
        return refused

    # --- writes ---

    def apply(self, changes: Changes, spec: JobSpec | None = None) -> None:
        self._inside()
        self._decisions.append((changes, spec))

    def _write_decisions(self, more: bool = False) -> None:
        """Writes what was applied, the open command's own part behind a savepoint; so also if it has `more`."""
        decisions, mark, self._decisions = self._decisions, self._mark, []
        self._write_through(decisions[:mark])
        if mark is None:
            return
        self._mark = 0
        if not self._saved and (more or mark < len(decisions)):
            self._change("SAVEPOINT command")
            self._saved = True
        self._write(decisions[mark:])

    def _settle(self) -> None:
        if self._decisions:
            self._write_decisions()

    def _write_through(self, decisions: list[Kept]) -> None:
        try:
            self._write(decisions)
        except RunyardError as error:
            self._broken = error  # their commands are through: only the transaction as a whole can be refused
            raise

    def _write(self, decisions: list[Kept]) -> None:
        if not decisions:
            return
        try:
            for name, values in Gathered(decisions).statements():
                self.connection.executemany(SQL[name], values)
        except apsw.Error as error:
            raise self._refused(error) from error

    def put(self, record: Record) -> None:
        self._inside()
        self._write_decisions(more=True)
        try:
            self._put(record)
        except apsw.Error as error:
            raise self._refused(error) from error

    def _put(self, record: Record) -> None:
        match record:
            case Submission():
                values: rows.Row = (record.scope, record.key, record.digest, record.run_id, record.created_at)
                self._execute(SQL["insert_submission"], values)
            case Job():
                self._execute(SQL["put_job"], rows.job_row(record))
            case JobVersion():
                spec = rows.spec_json(record.spec)
                values = (record.job_id, record.version, spec, record.created_at, record.created_by)
                self._execute(SQL["insert_job_version"], values)
            case Queue():
                values = (record.name, record.slots, record.priority, int(record.paused))
                self._execute(SQL["put_queue"], values)
            case Bookmark():
                self._execute(SQL["put_bookmark"], rows.bookmark_row(record))
            case Document():
                self._execute(SQL["put_document"], rows.document_row(record))
            case Principal():
                self._execute(SQL["put_principal"], rows.principal_row(record))
            case Delivery():
                values = (record.id, record.run_id, record.url, record.event, record.body, record.attempts)
                self._execute(SQL["put_delivery"], (*values, record.due_at, record.error))
            case Timetable():
                self._execute(SQL["put_timetable"], rows.timetable_row(record))
            case Tick():
                values = (record.job_id, record.at, record.run_id, record.detail or None)
                self._execute(SQL["insert_tick"], values)
            case Trigger():
                self._put_trigger(record)
            case Firing():
                self._execute(SQL["put_firing"], rows.firing_row(record))

    def _put_trigger(self, trigger: Trigger) -> None:
        self._execute(SQL["put_trigger"], rows.trigger_row(trigger))
        self._execute(SQL["delete_topics"], (trigger.id,))
        for topic in topics(trigger):
            self._execute(SQL["insert_topic"], (topic, trigger.id))

    def delete(self, record: Removable) -> None:
        self._inside()
        self._write_decisions(more=True)
        if isinstance(record, (Run, Principal, Trigger)):
            self._change(SQL["keep_last_id"])
        if isinstance(record, Queue):
            self._change(SQL["delete_queue"], (record.name,))
        elif isinstance(record, Principal):
            self._change(SQL["delete_principal"], (record.id,))
        elif isinstance(record, Document):
            self._change(SQL["delete_document"], (record.workspace, record.dialect, record.kind, record.key))
        elif isinstance(record, Timetable):
            self._change(SQL["delete_timetable"], (record.job_id,))
        elif isinstance(record, Trigger):
            self._change(SQL["delete_trigger"], (record.id,))
            self._change(SQL["delete_topics"], (record.id,))
        elif isinstance(record, Tick):
            self._change(SQL["delete_tick"], (record.job_id, record.at))
        else:
            for name in _DELETE_RUN:
                self._change(SQL[name], (record.id,))


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
        connection = apsw.Connection(self._path, vfs=vfs)
        _configure(connection)
        connection.execute("PRAGMA synchronous=FULL")
        migrate(connection)
        self.writer = SqliteSession(connection, read_deadline)
        row = self.writer._one(SQL["last_id"])
        self.last_id = int(row[0] or 0) if row else 0
        self._read_deadline = read_deadline
        self._pool: queue.SimpleQueue[SqliteReads] = queue.SimpleQueue()
        self._readers = [] if self._memory else [self._open_reader() for _ in range(readers)]
        for reader in self._readers:
            self._pool.put(reader)

    def _open_reader(self) -> SqliteReads:
        connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        _configure(connection)
        connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
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
    for pragma in ("journal_mode=WAL", "cache_size=-16000", "temp_store=MEMORY", "foreign_keys=OFF"):
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
