"""What can be asked of a SQLite database: one statement a question, rows made into values of the core."""

from __future__ import annotations

import time
from typing import Any

import apsw

from runyard.core.attempts import Held
from runyard.core.errors import Code, RunyardError
from runyard.core.model import (
    Bookmark,
    Document,
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
from runyard.store.base import Delivery, DueWork, HeldClaim, Queued, Submission

SQL = sql.load("sqlite.sql")
_RUN_COLUMNS = SQL["run"].split(" FROM ")[0].removeprefix("SELECT ")
_JOB_COLUMNS = SQL["job"].split("WHERE")[0]
_RUN_WIDTH = _RUN_COLUMNS.count(",") + 1
MAX_ID = 1 << 53


class SqliteReads:
    """One connection: every verb of `Reads`, each statement stopped after the deadline where a handler asks for it."""

    def __init__(self, connection: apsw.Connection, read_deadline: float) -> None:
        self.connection = connection
        self._execute = connection.execute
        self._read_deadline = read_deadline
        self.deadline = 0.0

    def _settle(self) -> None:
        """Called before each statement: a session that writes makes its own changes visible to itself."""

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

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> rows.Row | None:
        found = self._all(statement, values)
        return found[0] if found else None

    def run(self, run_id: int) -> Run | None:
        row = self._one(SQL["run"], (run_id,))
        return rows.run_of(row) if row else None

    def run_spec(self, run_id: int) -> JobSpec | None:
        row = self._one(SQL["run_spec"], (run_id,))
        return rows.spec_of(row[0]) if row and row[0] else None

    def runs(self, where: RunFilter, limit: int, after: int | None) -> list[Run]:
        if where.states == []:
            return []
        statement, values = listing.page(_RUN_COLUMNS, where, limit, after, self._all)
        return [rows.run_of(row) for row in self._all(statement, values)]

    def task_runs(self, run_id: int) -> list[TaskRun]:
        return [rows.task_run_of(row) for row in self._all(SQL["task_runs"], (run_id,))]

    def task_run(self, task_run_id: int) -> TaskRun | None:
        row = self._one(SQL["task_run"], (task_run_id,))
        return rows.task_run_of(row) if row else None

    def job_task_runs(self, job_id: int, limit: int, after: tuple[int, int] | None) -> list[tuple[Run, TaskRun | None]]:
        values = (job_id, *(after or (MAX_ID, MAX_ID)), limit)
        found = self._all(SQL["job_task_runs"], values)
        return [
            (rows.run_of(row[:_RUN_WIDTH]), rows.task_run_of(row[_RUN_WIDTH:]) if row[_RUN_WIDTH] is not None else None)
            for row in found
        ]

    def output(self, task_run_id: int) -> bytes | None:
        row = self._one(SQL["output"], (task_run_id,))
        return row[0].encode() if row and row[0] is not None else None

    def events(self, run_id: int, after: int, limit: int) -> list[Event]:
        return [rows.event_of(row) for row in self._all(SQL["events"], (run_id, after, limit))]

    def job(self, job_id: int) -> Job | None:
        row = self._one(SQL["job"], (job_id,))
        return rows.job_of(row) if row else None

    def job_by_key(self, workspace: str, origin: str, key: str) -> Job | None:
        row = self._one(SQL["job_by_key"], (workspace, origin, key))
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
            found = self._all(SQL["job_versions"], (job_id,))
        else:
            found = self._all(SQL["job_version"], (job_id, version))
        return [rows.job_version_of(row) for row in found]

    def live_runs(self, job_id: int) -> list[int]:
        return [row[0] for row in self._all(SQL["live_runs"], (job_id,))]

    def admitted_count(self, job_id: int) -> int:
        return int(self._all(SQL["live_admitted"], (job_id,))[0][0])

    def awaiting_admission(self, job_id: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(SQL["live_waiting"], (job_id, limit))]

    def queued(self, executor: str, limit: int, closed: set[str]) -> list[Queued]:
        found: list[Queued] = []
        for (name,) in self._all(SQL["queues_waiting"], (executor,)):
            if name not in closed:
                candidates = self._all(SQL["queued"], (executor, name, limit))
                found += [Queued(row[0], row[1], name, row[2]) for row in candidates]
        return found

    def queue_active(self) -> dict[str, int]:
        return dict(self._all(SQL["queue_active"]))

    def queue_depth(self) -> dict[str, int]:
        return dict(self._all(SQL["queue_depth"]))

    def ahead(self, task_run: TaskRun) -> int:
        values = (task_run.executor, task_run.queue, task_run.priority, task_run.id)
        return int(self._all(SQL["ahead_in_queue"], values)[0][0])

    def held(self) -> list[HeldClaim]:
        found = self._all(SQL["held"])
        return [HeldClaim(Held(row[0], row[1], row[2], row[3]), row[4]) for row in found]

    def due(self, now: int) -> DueWork:
        retries = [(row[0], row[1]) for row in self._all(SQL["due_retries"], (now,))]
        tasks = [(row[0], row[1]) for row in self._all(SQL["expired_tasks"], (now,))]
        return DueWork(retries, tasks, [row[0] for row in self._all(SQL["expired_runs"], (now,))])

    def next_due(self) -> int | None:
        row = self._one(SQL["next_due"])
        return row[0] if row else None

    def submission(self, scope: str, key: str) -> Submission | None:
        row = self._one(SQL["submission"], (scope, key))
        return Submission(scope, key, *row) if row else None

    def bookmark(self, job_key: str, up_to_run: int | None) -> Bookmark | None:
        if up_to_run is None:
            row = self._one(SQL["newest_bookmark"], (job_key,))
        else:
            row = self._one(SQL["bookmark_of_run"], (job_key, up_to_run))
        return rows.bookmark_of(row) if row else None

    def document(self, workspace: str, dialect: str, kind: str, key: str) -> Document | None:
        row = self._one(SQL["document"], (workspace, dialect, kind, key))
        return rows.document_of(row) if row else None

    def documents(
        self, workspace: str, dialect: str, kind: str, prefix: str, after: str | None, limit: int
    ) -> list[Document]:
        values = (workspace, dialect, kind, prefix, f"{prefix}\U0010ffff", after if after is not None else "", limit)
        return [rows.document_of(row) for row in self._all(SQL["documents"], values)]

    def queues(self) -> list[Queue]:
        return [rows.queue_of(row) for row in self._all(SQL["queues"])]

    def principals(self) -> list[Principal]:
        return [rows.principal_of(row) for row in self._all(SQL["principals"])]

    def deliveries(self, now: int) -> list[Delivery]:
        return [Delivery(*row) for row in self._all(SQL["due_deliveries"], (now,))]

    def timetable(self, job_id: int) -> Timetable | None:
        row = self._one(SQL["timetable"], (job_id,))
        return rows.timetable_of(row) if row else None

    def due_timetables(self, now: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(SQL["due_timetables"], (now, limit))]

    def ticks(self, job_id: int, start: int, end: int, limit: int) -> list[Tick]:
        return [rows.tick_of(row) for row in self._all(SQL["ticks"], (job_id, start, end, limit))]

    def live_by_state(self) -> dict[str, int]:
        return dict(self._all(SQL["live_by_state"]))

    def ended_before(self, moment: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(SQL["ended_before"], (moment, limit))]


def refusal(error: apsw.Error) -> RunyardError:
    """What a failure of SQLite means to a caller."""
    if isinstance(error, apsw.FullError) or "disk is full" in str(error):
        return RunyardError(Code.STORAGE_FULL, "The disk of the store is full: nothing was changed. Free space.")
    if isinstance(error, (apsw.IOError, apsw.BusyError, apsw.ReadOnlyError)):
        return RunyardError(Code.UNAVAILABLE, f"The store cannot be written now ({error}): nothing was changed.")
    if isinstance(error, apsw.ConstraintError):
        return RunyardError(Code.ALREADY_EXISTS, f"Something with this name or key exists already ({error}).")
    return RunyardError(Code.INTERNAL, f"The store refused a change ({error}): nothing was changed.")
