"""The connection that writes to PostgreSQL, and what it locks so that several servers can.

A lock is tried and never waited for: who finds something locked undoes its command and comes back. So no two
servers ever wait for each other, and the thread that executes statements never waits for another server.
"""

from __future__ import annotations

from collections.abc import Container

import psycopg
from psycopg.pq import TransactionStatus

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Queue
from runyard.store import rows
from runyard.store.base import Contended, HeldClaim, Queued
from runyard.store.postgres_reads import NODES, Address, PostgresReads, refusal
from runyard.store.sql_session import SqlSession

WRITER_SETTINGS = {
    # A server that is frozen inside of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "3000",
}


class PostgresSession(PostgresReads, SqlSession):
    """The connection that writes."""

    errors = psycopg.Error
    channel = ""
    """Where the servers of one schema listen."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, WRITER_SETTINGS)
        self.lease: tuple[str, int] | None = None
        """The node in whose name it writes, and its life: a transaction holds both, so that nobody ends it."""
        self.notice: str | None = None
        """What the other servers are told if the transaction is committed."""
        self.passed_over = False
        """Whether `queued` left out what another server is at."""
        self._seqs: dict[int, int] = {}
        """The runs that this transaction has locked, with their sequence numbers as they were then."""
        self._seqs_before: dict[int, int] = {}
        """Those that were locked before the command under way."""

    # --- transactions ---

    def begin(self) -> None:
        self._forget()
        if self.connection.closed or self.connection.broken:
            self._reconnect()
        try:
            alive = self._begin()
        except psycopg.OperationalError:  # the server was restarted since, and nothing was asked of it yet
            self._reconnect()
            alive = self._begin_again()
        if not alive:
            self.rollback()
            raise RunyardError(Code.UNAVAILABLE, "This server has lost its lease of the store: nothing was changed.")

    def _begin(self) -> bool:
        if self.lease is None:
            self._execute(self.sql["begin"])
            return True
        with self.connection.pipeline():
            self._execute(self.sql["begin"])
            held = self._execute(NODES["fence"], self.lease)
        return held.fetchone() is not None

    def _begin_again(self) -> bool:
        try:
            return self._begin()
        except psycopg.Error as error:
            raise self._refused(error) from error

    def commit(self) -> None:
        self.flush()
        try:
            done = self._commit().statusmessage
        except psycopg.Error as error:
            raise self._refused(error) from error
        if done != "COMMIT":  # what failed before made it a rollback
            raise RunyardError(Code.INTERNAL, "The transaction had failed before its commit: nothing was changed.")

    def _commit(self) -> psycopg.Cursor[rows.Row]:
        if self.notice is None:
            return self._execute("COMMIT")
        with self.connection.pipeline():
            self._execute(NODES["notify"], (self.channel, self.notice))
            return self._execute("COMMIT")

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

    def _forget(self) -> None:
        super()._forget()
        self.notice, self.passed_over, self._seqs, self._seqs_before = None, False, {}, {}

    def mark(self) -> None:
        super().mark()
        self._seqs_before = dict(self._seqs)

    def undo(self) -> None:
        if self._saved:  # what was locked since the savepoint is free again
            self._seqs = self._seqs_before
        super().undo()

    # --- locks ---

    def lock_run(self, run_id: int) -> int | None:
        """The run's sequence number, under its lock; None if there is no such run. Raises `Contended`."""
        seq = self._seqs.get(run_id)
        if seq is None:
            found = self._one(NODES["lock_run"], (run_id,))
            if found is None:
                if self._one(NODES["run_exists"], (run_id,)):
                    raise Contended(f"run {run_id}")
                return None
            seq = self._seqs[run_id] = found[0]
        return seq

    def lock(self, kind: str, key: object) -> None:
        """A job's row, or a name that may have no row yet. Raises `Contended`."""
        if kind != "job":
            if not self._all(NODES["lock_key"], (f"{self.channel} {kind} {key}",))[0][0]:
                raise Contended(f"{kind} {key}")
        elif not self._one(NODES["lock_job"], (key,)) and self._one(NODES["job_exists"], (key,)):
            raise Contended(f"job {key}")

    def job_version_now(self, job_id: int) -> int | None:
        """The newest version of a job that is not deleted."""
        found = self._one(NODES["job_version_now"], (job_id,))
        return found[0] if found and found[1] is None else None

    def lock_queues(self) -> tuple[dict[str, Queue], set[str]]:
        """The settings of all queues as they are now, and those with slots that another transaction gives away."""
        mine = {row[0] for row in self._all(NODES["lock_queues"])}
        found = {queue.name: queue for queue in self.queues()}
        return found, {queue.name for queue in found.values() if queue.slots is not None} - mine

    def queued(self, executor: str, limit: int, closed: Container[str]) -> list[Queued]:
        """As for any session, with the rows of their runs locked; what others are claiming is passed over."""
        found: list[Queued] = []
        for (name,) in self._all(self.sql["queues_waiting"], (executor,)):
            if name not in closed:
                free = self._all(NODES["lock_queued"], (executor, name, limit))
                for one, run_id, priority, seq in free:
                    self._seqs.setdefault(run_id, seq)
                    found.append(Queued(one, run_id, name, priority))
                if len(free) < limit:
                    [(waiting,)] = self._all(NODES["count_queued"], (executor, name, limit))
                    self.passed_over |= waiting > len(free)
        return found

    def end_lease(self, name: str, life: int) -> list[HeldClaim] | None:
        """Ends a node whose lease has expired and answers the claims that it held; None if it lives after all."""
        self._inside()
        self._write_decisions(more=True)
        try:
            ended = self._execute(NODES["end_life"], (name, life)).rowcount
        except self.errors as error:
            raise self._refused(error) from error
        if not ended:
            return None
        return self.claims_of(name)

    def leads(self, name: str, life: int, term: int) -> bool:
        """Whether this node leads, and will until the transaction ends."""
        return self._one(NODES["leads"], (name, life, term)) is not None

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
