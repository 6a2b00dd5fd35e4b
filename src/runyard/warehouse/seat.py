"""A worker thread's connection: kept between reads, renewed after anything that may leave a trace on it."""

from __future__ import annotations

import duckdb

from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.database import Database
from runyard.warehouse.effects import drop_result
from runyard.warehouse.refused import Refused

_THERE = "SELECT 1 FROM duckdb_schemas() WHERE database_name = current_database() AND lower(schema_name) = lower(?)"


class Seat:
    """One worker's place at the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._schema = "main"

    def take(self, schema: str) -> duckdb.DuckDBPyConnection:
        """The connection, with this schema as the default one; raises `Refused` when there is none."""
        cursor = self._cursor = self._cursor or self._fresh()
        if schema != self._schema:
            self._use(cursor, schema)
        return cursor

    def ready(self) -> None:
        """Prepares the connection for the next attempt, so that it need not wait for that."""
        self._cursor = self._cursor or self._fresh()

    def leave(self, *, clean: bool) -> None:
        """Ends an attempt's use; after one that was not clean the next gets a fresh connection.

        A stop is not clean: an interrupt that came late may have hit the rollback, and left the transaction open.
        """
        if self._cursor is None:
            return
        if clean:
            drop_result(self._cursor)
        else:
            self._cursor.close()
            self._cursor = None

    def _fresh(self) -> duckdb.DuckDBPyConnection:
        cursor = self._database.cursor()
        cursor.execute("SET enable_progress_bar_print = false")
        cursor.execute("SET enable_progress_bar = true")
        cursor.execute("SET progress_bar_time = 0")
        self._schema = "main"
        return cursor

    def _use(self, cursor: duckdb.DuckDBPyConnection, schema: str) -> None:
        if schema.lower() == HIDDEN_SCHEMA:
            raise Refused(f"The schema {HIDDEN_SCHEMA} is not available here.")
        # DuckDB would also take the name of a database, such as the one of our macros.
        if cursor.execute(_THERE, [schema]).fetchone() is None:
            raise Refused(f"There is no schema {schema}.")
        quoted = '"' + schema.replace('"', '""') + '"'
        cursor.execute("SET search_path = '" + quoted.replace("'", "''") + "'")
        self._schema = schema
