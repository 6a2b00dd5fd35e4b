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
from typing import Any

import apsw

from runyard.core.attempts import Held
from runyard.core.changes import Changes
from runyard.core.errors import Code, RunyardError
from runyard.core.model import (
    Bookmark,
    Event,
    Job,
    JobSpec,
    JobVersion,
    Principal,
    Queue,
    Run,
    TaskRun,
    Tick,
    Timetable,
)
from runyard.core.query import JobFilter, RunFilter
from runyard.store import listing, rows, sql
from runyard.store.base import Delivery, DueWork, HeldClaim, Queued, Record, Submission
from runyard.store.gathered import Gathered, Kept
from runyard.store.migrate import Migration, pending

_SQL = sql.load("sqlite.sql")
_RUN_COLUMNS = _SQL["run"].split(" FROM ")[0].removeprefix("SELECT ")
_JOB_COLUMNS = _SQL["job"].split("WHERE")[0]
_DELETE_RUN = tuple(name for name in _SQL if name.startswith("delete_run"))
READ_DEADLINE_SECONDS = 10.0
_STEPS_BETWEEN_CHECKS = 20_000
_MAPPED_BYTES = 1 << 30
"""How much of the file readers map instead of copying its pages: a search of the history takes half the time."""


class SqliteSession:
    """One connection: every verb of `Reads`, and for the writing one those of `Session`."""

    def __init__(self, connection: apsw.Connection, read_deadline: float = READ_DEADLINE_SECONDS) -> None:
        self.connection = connection
        self._execute = connection.execute
        self._read_deadline = read_deadline
        self.deadline = 0.0
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
        if self._decisions:
            self._write_decisions()

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
                self.connection.executemany(_SQL[name], values)
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
                self._execute(_SQL["insert_submission"], values)
            case Job():
                self._execute(_SQL["put_job"], rows.job_row(record))
            case JobVersion():
                spec = rows.spec_json(record.spec)
                values = (record.job_id, record.version, spec, record.created_at, record.created_by)
                self._execute(_SQL["insert_job_version"], values)
            case Queue():
                values = (record.name, record.slots, record.priority, int(record.paused))
                self._execute(_SQL["put_queue"], values)
            case Bookmark():
                self._execute(_SQL["put_bookmark"], rows.bookmark_row(record))
            case Principal():
                self._execute(_SQL["put_principal"], rows.principal_row(record))
            case Delivery():
                values = (record.id, record.run_id, record.url, record.event, record.body, record.attempts)
                self._execute(_SQL["put_delivery"], (*values, record.due_at, record.error))
            case Timetable():
                self._execute(_SQL["put_timetable"], rows.timetable_row(record))
            case Tick():
                values = (record.job_id, record.at, record.run_id, record.detail or None)
                self._execute(_SQL["insert_tick"], values)

    def delete(self, record: Queue | Principal | Run | Timetable | Tick) -> None:
        self._inside()
        self._write_decisions(more=True)
        if isinstance(record, Queue):
            self._change(_SQL["delete_queue"], (record.name,))
        elif isinstance(record, Principal):
            self._change(_SQL["delete_principal"], (record.id,))
        elif isinstance(record, Timetable):
            self._change(_SQL["delete_timetable"], (record.job_id,))
        elif isinstance(record, Tick):
            self._change(_SQL["delete_tick"], (record.job_id, record.at))
        else:
            for name in _DELETE_RUN:
                self._change(_SQL[name], (record.id,))

    # --- reads ---

    def _all(self, statement: str, values: rows.Row = ()) -> list[rows.Row]:
        if self._decisions:
            self._write_decisions()
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

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> rows.Row | None:
        found = self._all(statement, values)
        return found[0] if found else None

    def run(self, run_id: int) -> Run | None:
        row = self._one(_SQL["run"], (run_id,))
        return rows.run_of(row) if row else None

    def run_spec(self, run_id: int) -> JobSpec | None:
        row = self._one(_SQL["run_spec"], (run_id,))
        return rows.spec_of(row[0]) if row and row[0] else None

    def runs(self, where: RunFilter, limit: int, after: int | None) -> list[Run]:
        if where.states == []:
            return []
        statement, values = listing.page(_RUN_COLUMNS, where, limit, after, self._all)
        return [rows.run_of(row) for row in self._all(statement, values)]

    def task_runs(self, run_id: int) -> list[TaskRun]:
        return [rows.task_run_of(row) for row in self._all(_SQL["task_runs"], (run_id,))]

    def task_run(self, task_run_id: int) -> TaskRun | None:
        row = self._one(_SQL["task_run"], (task_run_id,))
        return rows.task_run_of(row) if row else None

    def output(self, task_run_id: int) -> bytes | None:
        row = self._one(_SQL["output"], (task_run_id,))
        return row[0].encode() if row and row[0] is not None else None

    def events(self, run_id: int, after: int, limit: int) -> list[Event]:
        return [rows.event_of(row) for row in self._all(_SQL["events"], (run_id, after, limit))]

    def job(self, job_id: int) -> Job | None:
        row = self._one(_SQL["job"], (job_id,))
        return rows.job_of(row) if row else None

    def job_by_key(self, workspace: str, origin: str, key: str) -> Job | None:
        row = self._one(_SQL["job_by_key"], (workspace, origin, key))
        return rows.job_of(row) if row else None

    def jobs(self, where: JobFilter, limit: int, after: int | None) -> list[Job]:
        clauses, values = ["j.deleted_at IS NULL"], []
        for column in ("name", "key", "origin", "workspace"):
            wanted = getattr(where, column)
            if wanted is not None:
                clauses.append(f"j.{column} = ?")
                values.append(wanted)
        if after is not None:
            clauses.append("j.id < ?")
            values.append(after)
        statement = f"{_JOB_COLUMNS} WHERE {' AND '.join(clauses)} ORDER BY j.id DESC LIMIT ?"
        return [rows.job_of(row) for row in self._all(statement, (*values, limit))]

    def job_versions(self, job_id: int, version: int | None) -> list[JobVersion]:
        if version is None:
            found = self._all(_SQL["job_versions"], (job_id,))
        else:
            found = self._all(_SQL["job_version"], (job_id, version))
        return [rows.job_version_of(row) for row in found]

    def live_runs(self, job_id: int) -> list[int]:
        return [row[0] for row in self._all(_SQL["live_runs"], (job_id,))]

    def admitted_count(self, job_id: int) -> int:
        return int(self._all(_SQL["live_admitted"], (job_id,))[0][0])

    def awaiting_admission(self, job_id: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(_SQL["live_waiting"], (job_id, limit))]

    def queued(self, executor: str, limit: int, closed: set[str]) -> list[Queued]:
        found: list[Queued] = []
        for (name,) in self._all(_SQL["queues_waiting"], (executor,)):
            if name not in closed:
                candidates = self._all(_SQL["queued"], (executor, name, limit))
                found += [Queued(row[0], row[1], name, row[2]) for row in candidates]
        return found

    def queue_active(self) -> dict[str, int]:
        return dict(self._all(_SQL["queue_active"]))

    def queue_depth(self) -> dict[str, int]:
        return dict(self._all(_SQL["queue_depth"]))

    def ahead(self, task_run: TaskRun) -> int:
        values = (task_run.executor, task_run.queue, task_run.priority, task_run.id)
        return int(self._all(_SQL["ahead_in_queue"], values)[0][0])

    def held(self) -> list[HeldClaim]:
        found = self._all(_SQL["held"])
        return [HeldClaim(Held(row[0], row[1], row[2], row[3]), row[4]) for row in found]

    def due(self, now: int) -> DueWork:
        retries = [(row[0], row[1]) for row in self._all(_SQL["due_retries"], (now,))]
        tasks = [(row[0], row[1]) for row in self._all(_SQL["expired_tasks"], (now,))]
        return DueWork(retries, tasks, [row[0] for row in self._all(_SQL["expired_runs"], (now,))])

    def next_due(self) -> int | None:
        row = self._one(_SQL["next_due"])
        return row[0] if row else None

    def submission(self, scope: str, key: str) -> Submission | None:
        row = self._one(_SQL["submission"], (scope, key))
        return Submission(scope, key, *row) if row else None

    def bookmark(self, job_key: str, up_to_run: int | None) -> Bookmark | None:
        if up_to_run is None:
            row = self._one(_SQL["newest_bookmark"], (job_key,))
        else:
            row = self._one(_SQL["bookmark_of_run"], (job_key, up_to_run))
        return rows.bookmark_of(row) if row else None

    def queues(self) -> list[Queue]:
        return [rows.queue_of(row) for row in self._all(_SQL["queues"])]

    def principals(self) -> list[Principal]:
        return [rows.principal_of(row) for row in self._all(_SQL["principals"])]

    def deliveries(self, now: int) -> list[Delivery]:
        return [Delivery(*row) for row in self._all(_SQL["due_deliveries"], (now,))]

    def timetable(self, job_id: int) -> Timetable | None:
        row = self._one(_SQL["timetable"], (job_id,))
        return rows.timetable_of(row) if row else None

    def due_timetables(self, now: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(_SQL["due_timetables"], (now, limit))]

    def ticks(self, job_id: int, start: int, end: int, limit: int) -> list[Tick]:
        return [rows.tick_of(row) for row in self._all(_SQL["ticks"], (job_id, start, end, limit))]

    def live_by_state(self) -> dict[str, int]:
        return dict(self._all(_SQL["live_by_state"]))

    def ended_before(self, moment: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(_SQL["ended_before"], (moment, limit))]


def refusal(error: apsw.Error) -> RunyardError:
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
        connection = apsw.Connection(self._path, vfs=vfs)
        _configure(connection)
        connection.execute("PRAGMA synchronous=FULL")
        migrate(connection)
        self.writer = SqliteSession(connection)
        row = self.writer._one(_SQL["last_id"])
        self.last_id = int(row[0] or 0) if row else 0
        self._read_deadline = read_deadline
        self._pool: queue.SimpleQueue[SqliteSession] = queue.SimpleQueue()
        self._readers = [] if self._memory else [self._open_reader() for _ in range(readers)]
        for reader in self._readers:
            self._pool.put(reader)

    def _open_reader(self) -> SqliteSession:
        connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        _configure(connection)
        connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
        session = SqliteSession(connection, self._read_deadline)
        connection.set_progress_handler(_past(session), _STEPS_BETWEEN_CHECKS)
        return session

    def reading(self) -> AbstractContextManager[SqliteSession]:
        return self._reading()

    @contextmanager
    def _reading(self) -> Iterator[SqliteSession]:
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


def _past(session: SqliteSession) -> Callable[[], bool]:
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
