"""What can be asked of a PostgreSQL database, and how it is reached: one connection, made again when it broke.

Only this module and its neighbour `postgres.py` import psycopg; they are imported when such a store is used.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from runyard.core.errors import Code, RunyardError
from runyard.store import listing, rows, sql
from runyard.store.base import HeldClaim
from runyard.store.sql_reads import SqlReads

_CONNECT_SECONDS = 3
NODES = sql.load("nodes.sql")
Connection = psycopg.Connection[rows.Row]


class _TextDumper(StrDumperUnknown):
    """Text without NUL, which PostgreSQL cannot keep: 0 and 1 become pairs that sort as they do."""

    def dump(self, obj: str) -> Buffer | None:
        data = obj.encode()
        if b"\x00" in data or b"\x01" in data:
            data = data.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
        return data


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        if "\x01" in text:
            text = text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
        return text


class Address:
    """A store URL: how to connect, and what may be shown of it."""

    def __init__(self, url: str) -> None:
        """Raises invalid for a URL that libpq cannot read."""
        self.url = url
        try:
            found = conninfo_to_dict(url)
        except psycopg.Error:  # its message may quote the password
            message = "The store URL cannot be read. Give postgresql://USER@HOST:PORT/DATABASE."
            raise RunyardError(Code.INVALID, message, field="store") from None
        self.shown = f"{found.get('host') or 'localhost'}:{found.get('port') or 5432}/{found.get('dbname') or ''}"

    def connect(self, **settings: str) -> Connection:
        """A connection with these server settings; raises unavailable with host and cause, never the password."""
        try:
            connection: Connection = psycopg.connect(
                self.url,
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
                connect_timeout=_CONNECT_SECONDS,
                application_name="runyard",
                tcp_user_timeout=10_000,
            )
            _adapt(connection)
            for name, value in settings.items():
                connection.execute("SELECT set_config($1, $2, false)", (name, value))
        except psycopg.Error as error:
            message = f"The store at {self.shown} cannot be reached: {_said(error)}"
            raise RunyardError(Code.UNAVAILABLE, message, store=self.shown) from None
        return connection


def _adapt(connection: Connection) -> None:
    connection.adapters.register_dumper(str, _TextDumper)
    connection.adapters.register_dumper(int, Int8Dumper)  # one width, so that a statement is prepared once
    connection.adapters.register_loader("text", _TextLoader)


class PostgresReads(SqlReads):
    """One connection in autocommit; the server stops its statements after the deadline that it was given."""

    sql = sql.load("postgres.sql")
    spelling = listing.POSTGRES
    settings: dict[str, str]

    def __init__(self, address: Address, settings: dict[str, str]) -> None:
        super().__init__()
        self._address = address
        self._settings = settings
        self.connection = address.connect(**settings)

    def _reconnect(self) -> None:
        self.connection.close()
        self.connection = self._address.connect(**self._settings)

    def _execute(self, statement: str, values: rows.Row = ()) -> psycopg.Cursor[rows.Row]:
        return self.connection.execute(statement, values or None)

    def write(self, statement: str, values: rows.Row) -> None:
        """One statement that may be executed twice: it is, if the connection broke."""
        try:
            self._again(lambda: self._execute(statement, values))
        except psycopg.Error as error:
            raise refusal(error) from error

    def _all(self, statement: str, values: rows.Row = ()) -> list[rows.Row]:
        try:
            return self._read(statement, values)
        except psycopg.Error as error:
            raise refusal(error) from error

    def _read(self, statement: str, values: rows.Row) -> list[rows.Row]:
        return self._again(lambda: self._execute(statement, values)).fetchall()

    def _again(self, ask: Callable[[], psycopg.Cursor[rows.Row]]) -> psycopg.Cursor[rows.Row]:
        try:
            return ask()
        except psycopg.OperationalError:
            if not self.connection.broken and not self.connection.closed:
                raise
        self._reconnect()  # the server was restarted since
        return ask()

    def claims_of(self, name: str) -> list[HeldClaim]:
        """The claims that a node holds."""
        return [self._claim_of(row) for row in self._all(NODES["claims_of"], (name,))]

    def nodes(self) -> list[tuple[str, int, int, int]]:
        """Name, number, life and end of the lease of every node."""
        return [(row[0], row[1], row[2], row[3]) for row in self._all(NODES["nodes"])]

    def log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """Bytes `[start, end)` of a log that was brought here, and how much of it was."""
        found = self._one(NODES["log_size"], (run_id, task_run_id))
        size = int(found[0]) if found else 0
        stop = size if end is None else min(end, size)
        if start >= stop:
            return b"", size
        pieces = self._all(NODES["log_pieces"], (run_id, task_run_id, start, stop))
        data = b"".join(piece for _, piece in pieces)
        return data[start - pieces[0][0] :][: stop - start], size

    def _found(self, statement: str, values: rows.Row) -> list[rows.Row]:
        return self._all(spelled(statement), values)


@lru_cache(maxsize=1000)
def spelled(statement: str) -> str:
    """With numbered parameters."""
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)


def refusal(error: Exception) -> RunyardError:
    """What a failure of PostgreSQL means to a caller."""
    said = _said(error)
    match error:
        case errors.DiskFull():
            return RunyardError(Code.STORAGE_FULL, "The disk of the store is full: nothing was changed. Free space.")
        case errors.QueryCanceled():
            return RunyardError(Code.UNAVAILABLE, "The query took too long and was stopped; narrow it.")
        case errors.UniqueViolation():
            return RunyardError(Code.ALREADY_EXISTS, f"Something with this name or key exists already ({said}).")
        case errors.ProgramLimitExceeded():
            return RunyardError(Code.TOO_LARGE, f"A name or key is too long for the store's indexes ({said}).")
        case psycopg.OperationalError() | errors.ReadOnlySqlTransaction():
            return RunyardError(Code.UNAVAILABLE, f"The store cannot be used now ({said}): nothing was changed.")
        case _:
            return RunyardError(Code.INTERNAL, f"The store refused a change ({said}): nothing was changed.")


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def of(value: Any) -> str:
    """A setting's text in milliseconds, at least one: zero would mean no limit."""
    return str(max(1, round(value * 1000)))
