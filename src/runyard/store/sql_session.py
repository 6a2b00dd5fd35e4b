"""The writing session of a database that speaks SQL: commands in savepoints, decisions written together.

A database gives the statements, how they are executed, and what its failures mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

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
from runyard.store.sql_reads import SqlReads


class SqlSession(SqlReads):
    """The verbs of `Session`, but for how a statement reaches the database."""

    errors: ClassVar[type[Exception]]
    """What the driver raises."""

    def __init__(self) -> None:
        self._decisions: list[Kept] = []
        """Applied, but not written yet: reads, puts, deletes and `flush` write them."""
        self._mark: int | None = None
        """How many of them are of commands that are through; None outside of a command."""
        self._saved = False
        """Whether the command under way has written something, behind a savepoint."""
        self._broken: RunyardError | None = None
        """Why nothing of this transaction can be kept any more."""

    # --- what a database gives ---

    _execute: Callable[..., Any]
    """Executes one statement with its values."""

    def _write_rows(self, named: list[tuple[str, list[rows.Row]]]) -> None:
        """Executes statements, by name, once for each of their rows."""
        raise NotImplementedError

    def _open(self) -> bool:
        """Whether a transaction is open."""
        raise NotImplementedError

    def _sound(self, refused: RunyardError) -> bool:
        """Whether the open transaction can go on after this failure, once the command under way is undone."""
        return self._open()

    def _refusal(self, error: Exception) -> RunyardError:
        raise NotImplementedError

    # --- transactions ---

    def begin(self) -> None:
        self._forget()
        self._change(self.sql["begin"])

    def mark(self) -> None:
        self._inside()
        self._mark = len(self._decisions)

    def keep(self) -> None:
        if self._saved or self._broken is not None:
            self._inside()
            self._end_command("RELEASE command")
        self._mark = None

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
        if self._open():
            self._execute("ROLLBACK")

    def _forget(self) -> None:
        self._decisions, self._mark, self._saved, self._broken = [], None, False, None

    def _inside(self) -> None:
        """Refuses to go on after the transaction broke: what follows would be kept without what came before."""
        if self._broken is not None:
            raise self._broken
        if not self._open():
            raise RunyardError(Code.INTERNAL, "A change outside of a transaction: nothing was changed.")

    def _change(self, statement: str, values: rows.Row = ()) -> None:
        try:
            self._execute(statement, values)
        except self.errors as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> RunyardError:
        refused = self._refusal(error)
        if not self._sound(refused):  # a full disk, a lost connection: the whole of it is over
            self._broken = refused
        return refused

    def _aside(self, statement: str, values: rows.Row) -> list[rows.Row]:
        self._inside()
        try:
            found: list[rows.Row] = self._execute(statement, values).fetchall()
        except self.errors as error:
            raise self._refused(error) from error
        return found

    # --- writes ---

    def apply(self, changes: Changes, spec: JobSpec | None = None) -> None:
        if self._mark is None or self._broken is not None:
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
            self._write_rows(Gathered(decisions).statements())
        except self.errors as error:
            raise self._refused(error) from error

    def put(self, record: Record) -> None:
        self._inside()
        self._write_decisions(more=True)
        try:
            self._put(record)
        except self.errors as error:
            raise self._refused(error) from error

    def _put(self, record: Record) -> None:
        match record:
            case Submission():
                values: rows.Row = (record.scope, record.key, record.digest, record.run_id, record.created_at)
                self._execute(self.sql["insert_submission"], values)
            case Job():
                self._execute(self.sql["put_job"], rows.job_row(record))
            case JobVersion():
                spec = rows.spec_json(record.spec)
                values = (record.job_id, record.version, spec, record.created_at, record.created_by)
                self._execute(self.sql["insert_job_version"], values)
            case Queue():
                values = (record.name, record.slots, record.priority, int(record.paused))
                self._execute(self.sql["put_queue"], values)
            case Bookmark():
                self._execute(self.sql["put_bookmark"], rows.bookmark_row(record))
            case Document():
                self._execute(self.sql["put_document"], rows.document_row(record))
            case Principal():
                self._execute(self.sql["put_principal"], rows.principal_row(record))
            case Delivery():
                values = (record.id, record.run_id, record.url, record.event, record.body, record.attempts)
                self._execute(self.sql["put_delivery"], (*values, record.due_at, record.error))
            case Timetable():
                self._execute(self.sql["put_timetable"], rows.timetable_row(record))
            case Tick():
                values = (record.job_id, record.at, record.run_id, record.detail or None)
                self._execute(self.sql["insert_tick"], values)
            case Trigger():
                self._put_trigger(record)
            case Firing():
                self._execute(self.sql["put_firing"], rows.firing_row(record))

    def _put_trigger(self, trigger: Trigger) -> None:
        self._execute(self.sql["put_trigger"], rows.trigger_row(trigger))
        self._execute(self.sql["delete_topics"], (trigger.id,))
        for topic in topics(trigger):
            self._execute(self.sql["insert_topic"], (topic, trigger.id))

    def delete(self, record: Removable) -> None:
        self._inside()
        self._write_decisions(more=True)
        if isinstance(record, (Run, Principal, Trigger, Firing)):
            self._change(self.sql["keep_last_id"])
        if isinstance(record, Queue):
            self._change(self.sql["delete_queue"], (record.name,))
        elif isinstance(record, Principal):
            self._change(self.sql["delete_principal"], (record.id,))
        elif isinstance(record, Document):
            self._change(self.sql["delete_document"], (record.workspace, record.dialect, record.kind, record.key))
        elif isinstance(record, Timetable):
            self._change(self.sql["delete_timetable"], (record.job_id,))
        elif isinstance(record, Trigger):
            self._change(self.sql["delete_trigger"], (record.id,))
            self._change(self.sql["delete_topics"], (record.id,))
        elif isinstance(record, Firing):
            self._change(self.sql["delete_firing"], (record.id,))
        elif isinstance(record, Tick):
            self._change(self.sql["delete_tick"], (record.job_id, record.at))
        else:
            for name in [name for name in self.sql if name.startswith("delete_run")]:
                self._change(self.sql[name], (record.id,))
