"""What tables there are: columns, rows, bytes, who wrote them last, where their rows come from and go to."""

from __future__ import annotations

import contextlib
from typing import Any

import duckdb

from runyard.warehouse import partitions
from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.effects import undo
from runyard.warehouse.failures import NotFound
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.reads import Reads
from runyard.warehouse.tables import path, text
from runyard.warehouse.touched import Name, named, spelled
from runyard.warehouse.views import View, Views

LINEAGE = 50
"""So many of the newest writers and readers of a table are told."""
_BLOCK = 262_144
_TABLES = f"""
SELECT t.table_schema, t.table_name, t.table_type, d.estimated_size, coalesce(d.comment, '')
FROM information_schema.tables t
LEFT JOIN duckdb_tables() d ON d.database_name = t.table_catalog AND d.schema_name = t.table_schema
    AND d.table_name = t.table_name
WHERE t.table_catalog = current_database() AND t.table_schema <> '{HIDDEN_SCHEMA}' ORDER BY 1, 2
"""
_COLUMNS = f"""
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
WHERE table_catalog = current_database() AND table_schema <> '{HIDDEN_SCHEMA}' ORDER BY 1, 2, ordinal_position
"""
_LAST = f"""
SELECT one, max(recorded_at), arg_max(run_id, recorded_at), arg_max(task_run_id, recorded_at),
    arg_max(task_key, recorded_at)
FROM (SELECT unnest(writes) AS one, * FROM {HIDDEN_SCHEMA}.effects) GROUP BY one
"""
_SIZE = (
    "SELECT count(DISTINCT block_id) + sum(len(additional_block_ids)) FROM pragma_storage_info({}) WHERE block_id >= 0"
)
_WRITTEN = f"""
SELECT run_id, task_run_id, task_key, recorded_at, reads, writes FROM {HIDDEN_SCHEMA}.effects
WHERE list_contains(writes, $name) ORDER BY recorded_at DESC LIMIT {LINEAGE}
"""
_READ = f"""
SELECT run_id, task_run_id, task_key, recorded_at, reads, writes FROM {HIDDEN_SCHEMA}.effects
WHERE list_has_any(reads, $names)
UNION SELECT run_id, task_run_id, task_key, recorded_at, reads, [] FROM {HIDDEN_SCHEMA}.reads
WHERE list_contains($names, name) ORDER BY recorded_at DESC, task_run_id DESC LIMIT {LINEAGE}
"""
_VIEWS = (
    "SELECT schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal AND database_name = current_database()"
)
_WIDTHS = {"BOOLEAN": 1, "TINYINT": 1, "SMALLINT": 2, "INTEGER": 4, "FLOAT": 4, "DATE": 4, "VARCHAR": 16}
_OTHER_WIDTH = 8


class Catalog:
    """Answers about one database. One caller at a time may use it with a cursor of its own."""

    def __init__(self, views: Views, reads: Reads) -> None:
        self._views, self._reads = views, reads
        self._sizes: dict[Name, tuple[Any, int]] = {}
        """Blocks of a table, with what stood in the catalog when they were counted: counting reads all metadata."""

    def tables(self, cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        """All tables and views: schema, name, kind, rows, bytes, columns, partition key, last writer.

        `rows` is exact without recent deletes. `bytes` is what they take on disk, an estimate for small tables.
        """
        last = {row[0]: row[1:] for row in cursor.execute(_LAST).fetchall()}
        columns: dict[tuple[str, str], list[dict[str, str]]] = {}
        for schema, table, column, kind in cursor.execute(_COLUMNS).fetchall():
            columns.setdefault((schema, table), []).append({"name": column, "type": kind})
        found = []
        for schema, table, kind, rows, comment in cursor.execute(_TABLES).fetchall():
            one = {"schema": schema, "name": table, "kind": "view" if kind == "VIEW" else "table", "rows": rows}
            one["columns"] = columns.get((schema, table), [])
            one["partition_by"] = partitions.told(comment)[1]
            writer = last.get(".".join(named(schema, table)))
            one["last_write"] = None if writer is None else _writer(*writer)
            one["bytes"] = None if rows is None else self._bytes(cursor, one)
            found.append(one)
        return found

    def table(self, cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> dict[str, Any]:
        """One table, with its quarantine, its lineage and its materialized views; raises `NotFound`.

        `rows` are counted.
        """
        wanted = named(schema, table)
        known = {named(one["schema"], one["name"]): one for one in self.tables(cursor)}
        one = known.get(wanted)
        if one is None:
            raise NotFound(f"There is no table {schema}.{table}.")
        quarantine = known.get((wanted[0], f"{wanted[1]}_quarantine"))
        return one | {
            "rows": _count(cursor, one),
            "quarantine_rows": 0 if quarantine is None else _count(cursor, quarantine),
            "written_by": _lineage(cursor, _WRITTEN, {"name": ".".join(wanted)}),
            "read_by": self._read_by(cursor, wanted),
            "views": [described(view) for view in self._views.touching(wanted)],
        }

    def _read_by(self, cursor: duckdb.DuckDBPyConnection, table: Name) -> list[dict[str, Any]]:
        """Who read a table, also through a view."""
        with contextlib.suppress(duckdb.Error):  # a full disk, say: then without the last moment
            self._reads.keep()
        return _lineage(cursor, _READ, {"names": spelled(_through(cursor, table))})

    def partitions(
        self, cursor: duckdb.DuckDBPyConnection, schema: str, table: str, limit: int, offset: int
    ) -> dict[str, Any]:
        """Some of a table's partitions, in order: their values, rows, and as many of the table's bytes as rows.

        Raises `NotFound`, and `Refused` when the table has no key.
        """
        one = next(
            (one for one in self.tables(cursor) if named(one["schema"], one["name"]) == named(schema, table)), None
        )
        if one is None or one["kind"] != "table":
            raise NotFound(f"There is no table {schema}.{table}.")
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            found = partitions.listed(cursor, schema, table, limit, offset)
            rows = found.pop("rows")
            for item in found["items"]:
                item["estimated_bytes"] = round(int(one["bytes"]) * item["rows"] / rows)
            return found
        finally:
            undo(cursor)

    def _bytes(self, cursor: duckdb.DuckDBPyConnection, one: dict[str, Any]) -> int:
        width = sum(_WIDTHS.get(column["type"], _OTHER_WIDTH) for column in one["columns"])
        plain = int(one["rows"]) * width
        if plain < _BLOCK:  # several small tables may share a block
            return plain
        key = named(one["schema"], one["name"])
        state = (one["rows"], len(one["columns"]), one["last_write"] and one["last_write"]["at"])
        if self._sizes.get(key, (None, 0))[0] != state:
            where = text(path(one["schema"], one["name"]))
            row = cursor.execute(_SIZE.format(where)).fetchone()
            self._sizes[key] = (state, _BLOCK * int((row and row[0]) or 0))
        return self._sizes[key][1] or plain


def described(view: View) -> dict[str, Any]:
    """A materialized view as answers show it."""
    return {
        "name": view.name,
        "schema": view.schema,
        "source": view.source,
        "statement": view.statement,
        "target": view.target,
        "dialect": view.dialect,
        "created_at": view.created_at,
    }


def _writer(at: int, run_id: int, task_run_id: int | None, task_key: str) -> dict[str, Any]:
    return {"at": at, "run_id": run_id, "task_run_id": task_run_id, "task_key": task_key.partition("#")[0]}


def _through(cursor: duckdb.DuckDBPyConnection, table: Name) -> set[Name]:
    """A table, and the views that read it, directly or through others."""
    views = {
        named(schema, view): tables_of(text.strip().rstrip(";"), schema).read
        for schema, view, text in cursor.execute(_VIEWS).fetchall()
    }
    found, new = {table}, {table}
    while new:
        new = {view for view, reads in views.items() if reads & new} - found
        found |= new
    return found


def _lineage(cursor: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    rows = cursor.execute(query, values).fetchall()
    return [
        _writer(at, run, task_run, key) | {"reads": reads, "writes": writes}
        for run, task_run, key, at, reads, writes in rows
    ]


def _count(cursor: duckdb.DuckDBPyConnection, one: dict[str, Any]) -> int:
    row = cursor.execute(f"SELECT count(*) FROM {path(one['schema'], one['name'])}").fetchone()
    return int(row[0]) if row else 0
