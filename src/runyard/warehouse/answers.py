"""Interactive reads for the server: small, read-only, one thread of their own."""

from __future__ import annotations

import queue
import threading
from typing import Any

import duckdb

from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.database import Database
from runyard.warehouse.effects import undo
from runyard.warehouse.outbox import Outbox
from runyard.warehouse.protocol import Answer, Query, Tables
from runyard.warehouse.refused import Refused
from runyard.warehouse.results import columns_of, safe_rows
from runyard.warehouse.seat import Seat
from runyard.warehouse.sql import reading

_TABLES = f"""
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_catalog = current_database() AND table_schema <> '{HIDDEN_SCHEMA}' ORDER BY 1, 2
"""
_COLUMNS = f"""
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
WHERE table_catalog = current_database() AND table_schema <> '{HIDDEN_SCHEMA}' ORDER BY 1, 2, ordinal_position
"""
_ROWS = "SELECT schema_name, table_name, estimated_size FROM duckdb_tables() WHERE database_name = current_database()"


class Answers:
    """Answers one question after the other."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database, self._outbox = database, outbox
        self._asked: queue.SimpleQueue[Query | Tables] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="answers", daemon=True).start()

    def ask(self, message: Query | Tables) -> None:
        """Answers later, by a message with the same id."""
        self._asked.put(message)

    def _work(self) -> None:
        seat = Seat(self._database)
        while True:
            message = self._asked.get()
            self._outbox.send(self._answer(message, seat))

    def _answer(self, message: Query | Tables, seat: Seat) -> Answer:
        try:
            if isinstance(message, Tables):
                return Answer(message.id, _tables(seat.take("main")))
            return Answer(message.id, _query(message, seat))
        except (Refused, duckdb.Error, ValueError) as error:
            return Answer(message.id, error=str(error).splitlines()[0])
        finally:
            seat.leave(clean=False)


def _query(message: Query, seat: Seat) -> dict[str, Any]:
    statement, values = reading(message.sql, message.parameters, message.dialect)
    cursor = seat.take(message.schema)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        cursor.execute(statement, values) if values else cursor.execute(statement)
        columns = columns_of(cursor)
        return {"columns": columns, "rows": safe_rows(columns, cursor.fetchmany(message.limit))}
    finally:
        undo(cursor)


def _tables(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Schema, name, kind, rows (an estimate that is exact without recent deletes) and columns of each table."""
    rows = {(schema, name): size for schema, name, size in cursor.execute(_ROWS).fetchall()}
    columns: dict[tuple[str, str], list[dict[str, str]]] = {}
    for schema, name, column, kind in cursor.execute(_COLUMNS).fetchall():
        columns.setdefault((schema, name), []).append({"name": column, "type": kind})
    return [
        {
            "schema": schema,
            "name": name,
            "kind": "view" if kind == "VIEW" else "table",
            "rows": rows.get((schema, name)),
            "columns": columns.get((schema, name), []),
        }
        for schema, name, kind in cursor.execute(_TABLES).fetchall()
    ]
