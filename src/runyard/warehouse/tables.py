"""The table that a load writes: does it exist, which columns has it, and its quarantine."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import msgspec

from runyard.core.actions import Load
from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.fetch import LoadFailed

_COLUMNS = (
    "SELECT column_name, data_type FROM information_schema.columns WHERE table_catalog = current_database()"
    " AND lower(table_schema) = lower(?) AND lower(table_name) = lower(?) ORDER BY ordinal_position"
)


class Counts(msgspec.Struct):
    """What became of the rows of a file; `first` is the first thing that did not fit."""

    rows: int
    quarantined: int = 0
    invalid: int = 0
    first: str = ""

    @property
    def bad(self) -> int:
        """Rows that were not loaded."""
        return self.quarantined + self.invalid


def name(text: str) -> str:
    """A quoted identifier."""
    return '"' + text.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


class Target:
    """The table of a load. Its columns are known once `prepare` was called."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, action: Load, run_id: int) -> None:
        """Refuses what can never be loaded into; raises `LoadFailed`."""
        self.cursor, self.action, self.run_id = cursor, action, run_id
        self.columns: dict[str, str] = {}
        self.path = f"{name(action.schema)}.{name(action.table)}"
        self.quarantine = f"{name(action.schema)}.{name(action.table + '_quarantine')}"
        if HIDDEN_SCHEMA in f"{action.schema}.{action.table}".lower() or not action.table.strip():
            raise LoadFailed(f"{action.schema}.{action.table} cannot be loaded into.")
        self._given = {column: self._type(column, kind) for column, kind in action.columns.items()}
        self._refuse_existing()

    def _type(self, column: str, kind: str) -> str:
        """The type as DuckDB itself spells it, so that nothing else can be pasted into our statements."""
        try:
            return str(self.cursor.type(kind))
        except (duckdb.Error, ValueError):
            raise LoadFailed(f"{kind!r}, given for column {column}, is not a SQL type.") from None

    def _refuse_existing(self) -> None:
        if self.action.mode == "create" and self._existing():
            raise LoadFailed(f"The table {self.action.table} exists already; use mode append or replace.")

    def _existing(self, suffix: str = "") -> dict[str, str]:
        rows = self.cursor.execute(_COLUMNS, [self.action.schema, self.action.table + suffix]).fetchall()
        return dict(rows)

    def known(self) -> set[str]:
        """Lower-case names of the columns that were given, or that the table has."""
        return {column.lower() for column in self.action.columns or self._existing()}

    def prepare(self, detected: dict[str, str]) -> list[str]:
        """Makes the table ready inside the transaction; returns its column for each column of the file.

        `detected` are the file's columns and the types found for them. Raises `LoadFailed` when a column of
        the file has no place in the table.
        """
        self._refuse_existing()
        existing = self._existing()
        fresh = not existing or (self.action.mode == "replace" and bool(self.action.columns))
        self.columns = self._declared(detected) if fresh else existing
        matched = self._match(list(detected))
        if fresh:
            listed = ", ".join(f"{name(column)} {kind}" for column, kind in self.columns.items())
            self.cursor.execute(f"CREATE OR REPLACE TABLE {self.path} ({listed})")
        elif self.action.mode == "replace":
            self.cursor.execute(f"DELETE FROM {self.path}")
        return matched

    def _declared(self, detected: dict[str, str]) -> dict[str, str]:
        return self._given or detected

    def _match(self, found: Sequence[str]) -> list[str]:
        places = {column.lower(): column for column in self.columns}
        unknown = [column for column in found if column.lower() not in places]
        if not unknown:
            return [places[column.lower()] for column in found]
        if all(re.fullmatch(r"column\d+", column) for column in found) and len(found) == len(self.columns):
            return list(self.columns)  # a file without header: by position
        raise LoadFailed(
            f"The file has a column {unknown[0]!r} that the table {self.action.table} does not have"
            f" (its columns: {', '.join(self.columns)})."
        )

    def keep_aside(self, columns: Sequence[str], select: str) -> int:
        """Puts rows into the quarantine table: `select` gives the columns as text, then two lists."""
        fixed = {"c__error_column": "VARCHAR[]", "c__error": "VARCHAR[]", "c__import_id": "VARCHAR"}
        wanted = dict.fromkeys(self.columns, "VARCHAR") | fixed | {"insertion_date": "TIMESTAMP"}
        existing = self._existing("_quarantine")
        if not existing:
            listed = ", ".join(f"{name(column)} {kind}" for column, kind in wanted.items())
            self.cursor.execute(f"CREATE TABLE {self.quarantine} ({listed})")
        for column in [column for column in wanted if existing and column not in existing]:
            self.cursor.execute(f"ALTER TABLE {self.quarantine} ADD COLUMN {name(column)} {wanted[column]}")
        into = ", ".join(name(column) for column in [*columns, *fixed, "insertion_date"])
        return self.count(
            f"INSERT INTO {self.quarantine} ({into}) SELECT *, {text(str(self.run_id))},"
            f" now()::TIMESTAMP FROM ({select})"
        )

    def count(self, statement: str) -> int:
        """Runs a statement that changes rows; returns how many."""
        row = self.cursor.execute(statement).fetchone()
        return int(row[0]) if row else 0

    def described(self) -> list[dict[str, str]]:
        """The columns as an output says them."""
        return [{"name": column, "type": kind} for column, kind in self.columns.items()]
