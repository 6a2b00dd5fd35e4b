"""Tables by name, and the table that a load writes: does it exist, which columns has it, and its quarantine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from runyard.core.actions import Load
from runyard.warehouse import partitions
from runyard.warehouse.conditions import condition
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.names import name as name
from runyard.warehouse.names import path as path
from runyard.warehouse.names import text as text

_COLUMNS = (
    "SELECT column_name, data_type FROM information_schema.columns WHERE table_catalog = current_database()"
    " AND lower(table_schema) = lower(?) AND lower(table_name) = lower(?) ORDER BY ordinal_position"
)


_STAGE = "temp.runyard_new"
_UNNAMED = re.compile(r"column\d+")
"""What DuckDB calls the columns of a file without a header."""
FIRST_LOCAL_ROW = 36028797018960000
"""DuckDB's MAX_ROW_ID, the least row id of a row that its transaction has not committed."""
_BESIDE = {
    "c__error_column": "VARCHAR[]", "c__error": "VARCHAR[]", "c__import_id": "VARCHAR", "insertion_date": "TIMESTAMP",
}  # fmt: skip
"""What a quarantine tells of a row, in this order, and as which type."""
SAMPLES = 5
_SAMPLE_TEXT = 200


class Counts(msgspec.Struct):
    """What became of the rows of a file; `first` is the first thing that did not fit."""

    rows: int
    quarantined: int = 0
    invalid: int = 0
    first: str = ""
    lines: list[dict[str, Any]] = []
    """Some of the lines that do not parse: {"line", "text", "error"}."""
    reading: dict[str, str] = {}
    """How the file was read, as options of the reader."""

    @property
    def bad(self) -> int:
        """Rows that were not loaded."""
        return self.quarantined + self.invalid


def columns(cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> dict[str, str]:
    """A table's columns and their types; empty when there is no such table."""
    return dict(cursor.execute(_COLUMNS, [schema, table]).fetchall())


def described(cursor: duckdb.DuckDBPyConnection, full: str) -> dict[str, str]:
    """The columns of a table that is there: much faster than `columns`, but else it raises and ends the transaction."""
    return {row[0]: row[1] for row in cursor.execute(f"DESCRIBE {full}").fetchall()}


def outside(cursor: duckdb.DuckDBPyConnection, full: str) -> dict[str, str]:
    """As `columns`, outside of any transaction."""
    try:
        return described(cursor, full)
    except duckdb.CatalogException:
        return {}


def short(value: Any) -> str:
    """A value as a sample shows it."""
    return str(value)[:_SAMPLE_TEXT]


class Target:
    """The table of a load. Its columns are known once `prepare` was called."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, action: Load, run_id: int, *, inside: bool = False) -> None:
        """Refuses what can never be loaded into; raises `LoadFailed`. `inside` a transaction it looks more slowly."""
        self.cursor, self.action, self.run_id = cursor, action, run_id
        self.columns: dict[str, str] = {}
        self.path = self.into = path(action.schema, action.table)
        self.quarantine = path(action.schema, f"{action.table}_quarantine")
        self.where = condition(action.where, action.dialect)[0] if action.mode == "replace_where" else ""
        self._key = partitions.key_of(action.partition_by, action.dialect)
        self.unmatched = 0
        self._from = "the table"
        self._hidden = False
        """Whether a column of the quarantine hides the ids of its rows."""
        # The line of writers keeps the table as it is until the transaction begins.
        self._seen: dict[str, str] | None = None if inside else outside(cursor, self.path)
        self._given = {column: self._type(column, kind) for column, kind in action.columns.items()}
        self._refuse_existing()

    def _type(self, column: str, kind: str) -> str:
        """The type as DuckDB itself spells it, so that nothing else can be pasted into our statements."""
        try:
            if " " in kind:  # DuckDB would pass over a constraint behind the type
                self.cursor.extract_statements(f"SELECT CAST(NULL AS {kind})")
            return str(self.cursor.type(kind))
        except (duckdb.Error, ValueError):
            raise LoadFailed(f"{kind!r}, given for column {column}, is not a SQL type.") from None

    def _refuse_existing(self) -> None:
        if self.action.mode == "create" and self._existing():
            raise LoadFailed(f"The table {self.action.table} exists already; use mode append or replace.")
        if self._key and self._existing() and not self._is_made_anew():
            partitions.agreed(self.cursor, self.action.schema, self.action.table, self._key)

    def _is_made_anew(self) -> bool:
        return self.action.mode == "replace" and bool(self.action.columns)

    def _existing(self, suffix: str = "") -> dict[str, str]:
        if self._seen is not None and not suffix:
            return self._seen
        return columns(self.cursor, self.action.schema, self.action.table + suffix)

    def known(self) -> set[str]:
        """Lower-case names of the columns that were given, or that the table has."""
        return {column.lower() for column in self.action.columns or self._existing()}

    def names(self) -> list[str]:
        """Those columns, in their order."""
        return list(self.action.columns or self._existing())

    def takes(self, found: Sequence[str]) -> bool:
        """Whether a file with such columns can be loaded; one without known columns takes all."""
        known = self.known()
        by_place = len(found) == len(known) and all(_UNNAMED.fullmatch(column) for column in found)
        return not known or by_place or {column.lower() for column in found} <= known

    def kinds(self) -> dict[str, str]:
        """The types of those columns, as they were given or as the table has them, by their lower-case names."""
        return {column.lower(): kind.upper() for column, kind in (self._given or self._existing()).items()}

    def prepare(self, detected: dict[str, str]) -> list[str]:
        """Makes the table ready inside the transaction; returns its column for each column of the file.

        `detected` are the file's columns and the types found for them. Raises `LoadFailed` when a column of
        the file has no place in the table.
        """
        self._refuse_existing()
        existing = self._existing()
        fresh = not existing or self._is_made_anew()
        self.columns = self._declared(detected) if fresh else existing
        matched = self._match(list(detected))
        if fresh:
            self._seen = None
            self._make(bool(existing))
        elif self.action.mode == "replace":
            self.cursor.execute(f"DELETE FROM {self.path}")
        if self.where:
            self.into = _STAGE
            self.cursor.execute(f"CREATE TEMP TABLE runyard_new AS SELECT * FROM {self.path} LIMIT 0")
        return matched

    def _make(self, again: bool) -> None:
        """The table, empty; one that is made again keeps its partition key unless the load names another."""
        where = (self.action.schema, self.action.table)
        key = self._key or (partitions.kept(self.cursor, *where) if again else ())
        listed = ", ".join(f"{name(column)} {kind}" for column, kind in self.columns.items())
        self.cursor.execute(f"CREATE OR REPLACE TABLE {self.path} ({listed})")
        if key:
            partitions.put(self.cursor, *where, key)

    def finish(self, counts: Counts) -> None:
        """After the rows were read: for replace_where, puts those that match in the place of those that did."""
        if not self.where:
            return
        self.cursor.execute(f"DELETE FROM {self.path} WHERE {self.where}")
        read = counts.rows
        counts.rows = self.count(f"INSERT INTO {self.path} SELECT * FROM {self.into} WHERE {self.where}")
        self.unmatched = read - counts.rows
        self.cursor.execute(f"DROP TABLE {self.into}")

    def _declared(self, detected: dict[str, str]) -> dict[str, str]:
        self._from = "the load" if self._given else "the file"
        return self._given or detected

    def _match(self, found: Sequence[str]) -> list[str]:
        places = {column.lower(): column for column in self.columns}
        unknown = [column for column in found if column.lower() not in places]
        if not unknown:
            return [places[column.lower()] for column in found]
        if all(_UNNAMED.fullmatch(column) for column in found) and len(found) == len(self.columns):
            return list(self.columns)  # a file without header: by position
        raise LoadFailed(
            f"The file has a column {unknown[0]!r} that the table {self.action.table} does not have"
            f" (its columns: {', '.join(self.columns)})."
        )

    def keep_aside(self, columns: Sequence[str], select: str) -> int:
        """Puts rows into the quarantine table: `select` gives the columns as text, then two lists."""
        ours = self._beside()
        wanted = dict.fromkeys(self.columns, "VARCHAR") | {ours[one]: kind for one, kind in _BESIDE.items()}
        existing = {column.lower() for column in self._existing("_quarantine")}
        self._hidden = "rowid" in existing | {column.lower() for column in self.columns}
        if not existing:
            listed = ", ".join(f"{name(column)} {kind}" for column, kind in wanted.items())
            self.cursor.execute(f"CREATE TABLE {self.quarantine} ({listed})")
        for column in [column for column in wanted if existing and column.lower() not in existing]:
            self.cursor.execute(f"ALTER TABLE {self.quarantine} ADD COLUMN {name(column)} {wanted[column]}")
        into = ", ".join(name(column) for column in [*columns, *ours.values()])
        return self.count(
            f"INSERT INTO {self.quarantine} ({into}) SELECT *, {text(str(self.run_id))},"
            f" now()::TIMESTAMP FROM ({select})"
        )

    def _beside(self) -> dict[str, str]:
        """What a quarantine holds beside the columns, each with a name that no column of the table has."""
        taken = {column.lower() for column in self.columns}
        found = {}
        for one in _BESIDE:
            free = one
            while free in taken:
                free += "_"
            taken.add(free)
            found[one] = free
        return found

    def count(self, statement: str) -> int:
        """Runs a statement that changes rows; returns how many."""
        row = self.cursor.execute(statement).fetchone()
        return int(row[0]) if row else 0

    def described(self) -> list[dict[str, str]]:
        """The columns as an output says them."""
        return [{"name": column, "type": kind} for column, kind in self.columns.items()]

    def explained(self, counts: Counts) -> dict[str, Any]:
        """Where the types come from, and samples of what did not fit: part of an output."""
        said: dict[str, Any] = {"types_from": self._from}
        if counts.reading:
            said["reading"] = counts.reading
        if counts.quarantined:
            said["quarantine_sample"] = self._samples()
        if counts.lines:
            said["invalid_sample"] = counts.lines
        return said

    def _samples(self) -> list[dict[str, Any]]:
        """Some of the rows that this transaction put aside."""
        ours = self._beside()
        those = f"rowid >= {FIRST_LOCAL_ROW} ORDER BY rowid"
        if self._hidden:
            those = f"{name(ours['c__import_id'])} = {text(str(self.run_id))}"
        cursor = self.cursor.execute(f"SELECT * FROM {self.quarantine} WHERE {those} LIMIT {SAMPLES}")
        names = [column[0].lower() for column in cursor.description or []]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [
            {
                "row": {one: row[one.lower()] and short(row[one.lower()]) for one in list(self.columns)[:100]},
                "columns": row[ours["c__error_column"]],
                "errors": [short(error) for error in row[ours["c__error"]]],
            }
            for row in found
        ]
