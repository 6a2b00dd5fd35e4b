"""What can be asked of a database by SQL: one statement a question, rows made into values of the core.

The statements stand in `sql/`, one file a database, under the same names and with the same columns.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, ClassVar

from runyard.core.attempts import Held
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
from runyard.core.triggers import Firing, Trigger, TriggerFilter
from runyard.store import listing, rows
from runyard.store.base import Delivery, DueWork, HeldClaim, Queued, Submission

MAX_ID = 1 << 53


class SqlReads:
    """Every verb of `Reads`; a database says how a statement is executed."""

    sql: ClassVar[dict[str, str]]
    """The statements of the database, by name."""
    spelling: ClassVar[listing.Spelling]

    def _settle(self) -> None:
        """Called before each statement: a session that writes makes its own changes visible to itself."""

    def _all(self, statement: str, values: rows.Row = ()) -> list[rows.Row]:
        """All rows; raises `RunyardError` (unavailable when it took too long)."""
        raise NotImplementedError

    def _found(self, statement: str, values: rows.Row) -> list[rows.Row]:
        """All rows of a statement that was put together for this question, with `?` for each value."""
        return self._all(statement, values)

    def _aside(self, statement: str, values: rows.Row) -> list[rows.Row]:
        """All rows of tables of which nothing ever waits to be written."""
        return self._all(statement, values)

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> rows.Row | None:
        found = self._all(statement, values)
        return found[0] if found else None

    def run(self, run_id: int) -> Run | None:
        row = self._one(self.sql["run"], (run_id,))
        return rows.run_of(row) if row else None

    def run_spec(self, run_id: int) -> JobSpec | None:
        row = self._one(self.sql["run_spec"], (run_id,))
        return rows.spec_of(row[0]) if row and row[0] else None

    def runs(self, where: RunFilter, limit: int, after: int | None, *, newer: bool = False) -> list[Run]:
        if where.states == []:
            return []
        columns = self.sql["run"].split(" FROM ")[0].removeprefix("SELECT ")
        statement, values = listing.page(columns, where, limit, after, self._found, self.spelling, newer=newer)
        return [rows.run_of(row) for row in self._found(statement, values)]

    def task_runs(self, run_id: int) -> list[TaskRun]:
        return [rows.task_run_of(row) for row in self._all(self.sql["task_runs"], (run_id,))]

    def task_run(self, task_run_id: int) -> TaskRun | None:
        row = self._one(self.sql["task_run"], (task_run_id,))
        return rows.task_run_of(row) if row else None

    def job_task_runs(self, job_id: int, limit: int, after: tuple[int, int] | None) -> list[tuple[Run, TaskRun | None]]:
        found = self._all(self.sql["job_task_runs"], (job_id, *(after or (MAX_ID, MAX_ID)), limit))
        width = rows.RUN_WIDTH
        return [
            (rows.run_of(row[:width]), rows.task_run_of(row[width:]) if row[width] is not None else None)
            for row in found
        ]

    def output(self, task_run_id: int) -> bytes | None:
        row = self._one(self.sql["output"], (task_run_id,))
        return row[0].encode() if row and row[0] is not None else None

    def events(self, run_id: int, after: int, limit: int) -> list[Event]:
        return [rows.event_of(row) for row in self._all(self.sql["events"], (run_id, after, limit))]

    def job(self, job_id: int) -> Job | None:
        row = self._one(self.sql["job"], (job_id,))
        return rows.job_of(row) if row else None

    def job_by_key(self, workspace: str, origin: str, key: str) -> Job | None:
        row = self._one(self.sql["job_by_key"], (workspace, origin, key))
        return rows.job_of(row) if row else None

    def jobs(self, where: JobFilter, limit: int, after: int | None) -> list[Job]:
        clauses, values = ["j.deleted_at IS NULL"], []
        for column in ("name", "key", "origin", "workspace"):
            wanted = getattr(where, column)
            if wanted is not None:
                clauses.append(f"j.{column} = ?")
                values.append(wanted)
        if where.name_any_case is not None:
            clauses.append("lower(j.name) = lower(?)")
            values.append(where.name_any_case)
        if after is not None:
            clauses.append("j.id < ?")
            values.append(after)
        columns = self.sql["job"].split("WHERE")[0]
        statement = f"{columns} WHERE {' AND '.join(clauses)} ORDER BY j.id DESC LIMIT ?"
        return [rows.job_of(row) for row in self._found(statement, (*values, limit))]

    def job_versions(self, job_id: int, version: int | None) -> list[JobVersion]:
        if version is None:
            found = self._all(self.sql["job_versions"], (job_id,))
        else:
            found = self._all(self.sql["job_version"], (job_id, version))
        return [rows.job_version_of(row) for row in found]

    def live_runs(self, job_id: int) -> list[int]:
        return [row[0] for row in self._all(self.sql["live_runs"], (job_id,))]

    def admitted_count(self, job_id: int) -> int:
        return int(self._all(self.sql["live_admitted"], (job_id,))[0][0])

    def awaiting_admission(self, job_id: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(self.sql["live_waiting"], (job_id, limit))]

    def queued(self, executor: str, limit: int, closed: Container[str]) -> list[Queued]:
        found: list[Queued] = []
        for (name,) in self._all(self.sql["queues_waiting"], (executor,)):
            if name not in closed:
                candidates = self._all(self.sql["queued"], (executor, name, limit))
                found += [Queued(row[0], row[1], name, row[2]) for row in candidates]
        return found

    def queue_active(self) -> dict[str, int]:
        return dict(self._all(self.sql["queue_active"]))

    def queue_depth(self) -> dict[str, int]:
        return dict(self._all(self.sql["queue_depth"]))

    def held(self) -> list[HeldClaim]:
        found = self._all(self.sql["held"])
        return [self._claim_of(row) for row in found]

    def _claim_of(self, row: rows.Row) -> HeldClaim:
        return HeldClaim(Held(*row[:4], *row[6:10]), row[4], row[5] or "")

    def due(self, now: int) -> DueWork:
        retries = [(row[0], row[1]) for row in self._all(self.sql["due_retries"], (now,))]
        tasks = [(row[0], row[1]) for row in self._all(self.sql["expired_tasks"], (now,))]
        return DueWork(retries, tasks, [row[0] for row in self._all(self.sql["expired_runs"], (now,))])

    def next_due(self) -> int | None:
        row = self._one(self.sql["next_due"])
        return row[0] if row else None

    def submission(self, scope: str, key: str) -> Submission | None:
        row = self._one(self.sql["submission"], (scope, key))
        return Submission(scope, key, *row) if row else None

    def bookmark(self, job_key: str, up_to_run: int | None) -> Bookmark | None:
        if up_to_run is None:
            row = self._one(self.sql["newest_bookmark"], (job_key,))
        else:
            row = self._one(self.sql["bookmark_of_run"], (job_key, up_to_run))
        return rows.bookmark_of(row) if row else None

    def document(self, workspace: str, dialect: str, kind: str, key: str) -> Document | None:
        row = self._one(self.sql["document"], (workspace, dialect, kind, key))
        return rows.document_of(row) if row else None

    def documents(
        self, workspace: str, dialect: str, kind: str, prefix: str, after: str | None, limit: int
    ) -> list[Document]:
        values = (workspace, dialect, kind, prefix, f"{prefix}\U0010ffff", after if after is not None else "", limit)
        return [rows.document_of(row) for row in self._all(self.sql["documents"], values)]

    def queues(self) -> list[Queue]:
        return [rows.queue_of(row) for row in self._all(self.sql["queues"])]

    def principals(self) -> list[Principal]:
        return [rows.principal_of(row) for row in self._all(self.sql["principals"])]

    def deliveries(self, now: int) -> list[Delivery]:
        return [Delivery(*row) for row in self._all(self.sql["due_deliveries"], (now,))]

    def timetable(self, job_id: int) -> Timetable | None:
        row = self._one(self.sql["timetable"], (job_id,))
        return rows.timetable_of(row) if row else None

    def due_timetables(self, now: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(self.sql["due_timetables"], (now, limit))]

    def ticks(self, job_id: int, start: int, end: int, limit: int) -> list[Tick]:
        return [rows.tick_of(row) for row in self._all(self.sql["ticks"], (job_id, start, end, limit))]

    def trigger(self, trigger_id: int) -> Trigger | None:
        row = self._one(self.sql["trigger"], (trigger_id,))
        return rows.trigger_of(row) if row else None

    def trigger_by_key(self, workspace: str, origin: str, key: str, job_id: int | None) -> Trigger | None:
        row = self._one(self.sql["trigger_by_key"], (workspace, origin, key, job_id or 0))
        return rows.trigger_of(row) if row else None

    def triggers(self, where: TriggerFilter, limit: int, after: int | None) -> list[Trigger]:
        clauses, values = ["id < ?"], [MAX_ID if after is None else after]
        for column in where.__struct_fields__:
            wanted = getattr(where, column)
            if wanted is not None:
                clauses.append(f"{column} = ?")
                values.append(int(wanted) if column == "active" else wanted)
        columns = self.sql["trigger"].split("WHERE")[0]
        statement = f"{columns} WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?"
        return [rows.trigger_of(row) for row in self._found(statement, (*values, limit))]

    def triggers_on(self, topics: list[str]) -> list[Trigger]:
        # What waits to be written is no trigger, so it need not be written first: this is asked at every run's end.
        found = {row[0]: row for one in topics for row in self._aside(self.sql["triggers_on"], (one,))}
        return [rows.trigger_of(found[key]) for key in sorted(found)]

    def due_triggers(self, now: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(self.sql["due_triggers"], (now, limit))]

    def firing(self, firing_id: int) -> Firing | None:
        row = self._one(self.sql["firing"], (firing_id,))
        return rows.firing_of(row) if row else None

    def firings(self, trigger_id: int, limit: int, after: int | None) -> list[Firing]:
        values = (trigger_id, MAX_ID if after is None else after, limit)
        return [rows.firing_of(row) for row in self._all(self.sql["firings"], values)]

    def firings_before(self, firing_id: int, limit: int) -> list[Firing]:
        return [rows.firing_of(row) for row in self._all(self.sql["firings_before"], (firing_id, limit))]

    def chain(self, chain: int) -> list[Firing]:
        return [rows.firing_of(row) for row in sorted(self._all(self.sql["chain"], (chain,)))]

    def live_by_state(self) -> dict[str, int]:
        return dict(self._all(self.sql["live_by_state"]))

    def ended_before(self, moment: int, limit: int) -> list[int]:
        return [row[0] for row in self._all(self.sql["ended_before"], (moment, limit))]
