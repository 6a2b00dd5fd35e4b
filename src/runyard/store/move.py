"""Moves everything that an embedded store keeps into an empty PostgreSQL: all or nothing, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw
from psycopg import sql

from runyard.core.errors import Code, RunyardError, conflict
from runyard.core.launch import LOG
from runyard.store.postgres import PostgresStore
from runyard.store.postgres_reads import NODES, Connection
from runyard.store.sqlite import SqliteStore

PIECE = 256 * 1024
_LOGS = "log_piece"


def move(database: Path, attempts: Path, url: str) -> dict[str, int]:
    """Copies the tables of a database file, and the logs below `attempts`; answers how many rows each table got.

    Nobody may use either meanwhile. Raises conflict where work is still held, or where the target keeps anything.
    """
    source = SqliteStore(database, readers=1)
    try:
        target = PostgresStore(url, readers=1)
        try:
            return _copied(source, target, attempts)
        finally:
            target.close()
    finally:
        source.close()


def _copied(source: SqliteStore, target: PostgresStore, attempts: Path) -> dict[str, int]:
    held = len(source.writer.held())
    if held:
        message = f"{held} task runs are still held by the server that was stopped."
        raise conflict(f"{message} Start it on its data folder, stop it with SIGTERM, and move then.")
    connection, read = target.writer.connection, source.writer.connection
    tables = _tables(read)
    kept = [name for name in (*tables, _LOGS) if _count(connection, name)]
    if kept:
        raise conflict(
            f"The target is not empty: it keeps rows in {', '.join(kept)}. Give an empty database or schema."
        )
    with connection.transaction():
        for name in tables:
            _copy(read, connection, name)
        connection.cursor().executemany(NODES["put_log"], _logs(attempts))
        counts = {name: _count(connection, name) for name in (*tables, _LOGS)}
        for name in tables:
            [(wanted,)] = read.execute(f"SELECT count(*) FROM {name}").fetchall()
            if counts[name] != wanted:
                message = f"{counts[name]} rows of {name} arrived of {wanted}: nothing was kept. Try again."
                raise RunyardError(Code.INTERNAL, message)
    return counts


def _tables(read: apsw.Connection) -> list[str]:
    found = read.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name").fetchall()
    names = [str(name) for (name,) in found]
    return [name for name in names if name != "migration" and not name.startswith("sqlite_")]


def _count(connection: Connection, table: str) -> int:
    [(found,)] = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchall()
    return int(found)


def _copy(read: apsw.Connection, connection: Connection, table: str) -> None:
    columns = [row[1] for row in read.execute(f"PRAGMA table_info({table})")]
    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), named)
    selected = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for row in read.execute(f"SELECT {selected} FROM {table}"):
            copy.write_row(row)


def _logs(attempts: Path) -> Iterable[tuple[int, int, int, bytes]]:
    for file in sorted(attempts.glob(f"*/*/{LOG}")):
        run_id, task_run_id = file.parts[-3:-1]
        if run_id.isdigit() and task_run_id.isdigit():
            yield from ((int(run_id), int(task_run_id), start, data) for start, data in _pieces(file))


def _pieces(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as opened:
        start = 0
        while data := opened.read(PIECE):
            yield start, data
            start += len(data)
