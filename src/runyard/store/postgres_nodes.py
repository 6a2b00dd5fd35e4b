"""One process among those that use the same PostgreSQL: its lease, who leads, and what the others tell.

It has a connection of its own, used by one thread: a lease is renewed whatever the writer waits for.
"""

from __future__ import annotations

import contextlib

import psycopg

from runyard.core.errors import Code, RunyardError
from runyard.store import rows
from runyard.store.postgres_reads import NODES, Address, refusal
from runyard.store.postgres_session import PostgresSession

LAST_ID = PostgresSession.sql["last_id"]
MAX_NODES = 64
_SETTINGS = {"lock_timeout": "2000", "statement_timeout": "2000", "synchronous_commit": "off"}


class PostgresMembership:
    """A node: its name, its number, and which life of it this is."""

    def __init__(self, address: Address, channel: str, name: str, seconds: float) -> None:
        self.name = name
        self._address = address
        self._channel = channel
        self._lease = round(seconds * 1000)
        self._connection = address.connect()
        try:
            self.number, self.life = self._join()
            found = self._one(LAST_ID)
            self.last_id = int(found[0] or 0) if found else 0
        except BaseException:
            self._connection.close()
            raise
        self._connection.close()
        self._reconnect()

    def _join(self) -> tuple[int, int]:
        with self._connection.transaction():
            self._one(NODES["lock_membership"])
            now = self._now()
            values = (self.name, now + self._lease, now)
            found = self._one(NODES["rejoin"], values) or self._one(NODES["join"], values)
        if found is None:
            message = f"The store has {MAX_NODES} servers and workers, which is all that it can have; stop one of them."
            raise RunyardError(Code.UNAVAILABLE, message)
        return int(found[0]), int(found[1])

    def _reconnect(self) -> None:
        self._connection.close()
        self._connection = self._address.connect(**_SETTINGS)
        self._connection.execute(f'LISTEN "{self._channel}"'.encode())

    def _one(self, statement: str, values: rows.Row = ()) -> rows.Row | None:
        return self._connection.execute(statement, values or None).fetchone()

    def _now(self) -> int:
        found = self._one(NODES["clock"])
        assert found is not None
        return int(found[0])

    # --- what its thread calls ---

    def renew(self) -> bool:
        """Holds the lease for its full time from now; False if it was taken away. Raises unavailable."""
        try:
            if self._connection.closed or self._connection.broken:
                self._reconnect()
            values = (self.name, self.life, self._now() + self._lease)
            return self._connection.execute(NODES["renew"], values).rowcount == 1
        except psycopg.Error as error:
            raise refusal(error) from error

    def lead(self) -> int | None:
        """The term in which this node leads, also when it begins to; None while another one does."""
        try:
            now, found = self._now(), self._one(NODES["leader"])
            if found is not None and found[:2] == (self.name, self.life):
                return int(found[2])
            if found is not None and found[3] > now:
                return None
            begun = self._one(NODES["lead"], (self.name, self.life, found[2] if found is not None else 0))
        except psycopg.Error as error:
            raise refusal(error) from error
        return int(begun[0]) if begun is not None else None

    def expired(self) -> list[tuple[str, int]]:
        """The nodes, with their lives, that let their lease expire."""
        try:
            return [(row[0], row[1]) for row in self._connection.execute(NODES["expired"], (self._now(),))]
        except psycopg.Error as error:
            raise refusal(error) from error

    def wait(self, seconds: float) -> list[str]:
        """The notices of other servers, as soon as there are any."""
        try:
            return [notice.payload for notice in self._connection.notifies(timeout=seconds, stop_after=1)]
        except psycopg.Error as error:
            raise refusal(error) from error

    def leave(self) -> None:
        """Gives the lease back, and ends."""
        with contextlib.suppress(psycopg.Error):
            self._connection.execute(NODES["leave"], (self.name, self.life))
        self._connection.close()
