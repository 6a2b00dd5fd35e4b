"""The facade for the warehouse's tables: interactive reads, which are not runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

from runyard.core.actions import SqlDialect
from runyard.core.errors import Code, RunyardError, invalid
from runyard.engine.uploads import Upload, Uploads

MAX_ROWS = 100_001
"""The most rows that one interactive read gives; a face may allow fewer."""


class Pieces(Protocol):
    """Bytes in pieces, to be taken off the event loop: begin, iterate once, then close."""

    def begin(self) -> None:
        """Waits until there are pieces; raises `RunyardError` when there will be none."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises `RunyardError` when they break off."""

    def close(self) -> None:
        """Ends the work behind them."""


class Tables(Protocol):
    """What can be asked of a warehouse; the futures fail with `RunyardError`."""

    def query(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any],
        limit: int,
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
        reads: list[str] | None = None,
        seconds: float = 60.0,
    ) -> Future[Any]:
        """Rows of a reading statement: {"columns": [...], "rows": [...], "cut": bool, "more": bool}."""

    def tables(self, workspace: str) -> Future[Any]:
        """The tables of a workspace: {"schema", "name", "rows", "columns"}."""

    def table(self, workspace: str, schema: str, table: str) -> Future[Any]:
        """All about one table."""

    def result_page(self, workspace: str, run_id: int, task_run_id: int, offset: int, limit: int) -> Future[Any]:
        """Rows of a large result."""

    def stream(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any],
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
    ) -> Pieces:
        """A reading statement's rows as Arrow."""

    def views(self, workspace: str) -> Future[Any]:
        """The materialized views of a workspace."""

    def create_view(
        self,
        workspace: str,
        name: str,
        schema: str,
        source: str,
        statement: str,
        target: str,
        dialect: SqlDialect = "duckdb",
    ) -> Future[Any]:
        """Keeps a materialized view."""

    def drop_view(self, workspace: str, name: str) -> Future[Any]:
        """Forgets a materialized view."""

    def drop_table(self, workspace: str, schema: str, table: str, with_views: bool) -> Future[Any]:
        """Drops a table and its quarantine."""

    def partitions(self, workspace: str, schema: str, table: str, limit: int, offset: int) -> Future[Any]:
        """The partitions of a table."""

    def partition_table(
        self, workspace: str, schema: str, table: str, partition_by: str, dialect: SqlDialect = "duckdb"
    ) -> Future[Any]:
        """Gives a table a partition key, or none."""


class Data:
    """What faces call for tables."""

    def __init__(self, tables: Tables | None, uploads: Uploads | None = None) -> None:
        self._tables = tables
        self._uploads = uploads

    def query(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any] | None = None,
        limit: int = 1000,
        *,
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
        reads: list[str] | None = None,
        seconds: float = 60.0,
    ) -> Awaitable[dict[str, Any]]:
        """Runs one reading statement, written in `dialect`; raises invalid for a limit out of range.

        `reads` names the schemas that it may read, also through views; None means all of the workspace.
        The awaitable gives {"columns", "rows", "cut", "more"}: `more` says that there are rows beyond these, `cut` that
        these are less than `limit` since an answer holds no more bytes.
        It raises invalid for a statement that is refused, that takes longer than `seconds`, that gives
        more than 64 MiB, or that the dialect cannot say to DuckDB.
        """
        if not 1 <= limit <= MAX_ROWS:
            raise invalid(f"limit must be 1 to {MAX_ROWS}; it is {limit}.", field="limit")
        given = parameters or {}
        return asyncio.wrap_future(self._need().query(workspace, sql, given, limit, schema, dialect, reads, seconds))

    def tables(self, workspace: str) -> Awaitable[list[dict[str, Any]]]:
        """The tables of a workspace with their columns."""
        return asyncio.wrap_future(self._need().tables(workspace))

    def table(self, workspace: str, table: str, schema: str = "main") -> Awaitable[dict[str, Any]]:
        """One table: rows (counted), bytes, columns, quarantine_rows, last_write, written_by, read_by, views.

        The awaitable raises not_found.
        """
        return asyncio.wrap_future(self._need().table(workspace, schema, table))

    def drop_table(
        self, workspace: str, table: str, schema: str = "main", *, with_views: bool = False
    ) -> Awaitable[dict[str, Any]]:
        """Drops a table and its quarantine, after the writers before it: {"dropped": bool, "views": [names]}.

        The awaitable raises invalid while a materialized view reads or fills it, unless those shall go, too.
        """
        return asyncio.wrap_future(self._need().drop_table(workspace, schema, table, with_views))

    def partitions(
        self, workspace: str, table: str, schema: str = "main", *, limit: int = 1000, offset: int = 0
    ) -> Awaitable[dict[str, Any]]:
        """A table's partitions in order: {"partition_by", "columns", "items", "more"}.

        An item is {"values", "rows", "estimated_bytes"}; `more` says whether others follow.

        Rows are counted; bytes are the table's, divided as its rows are. The awaitable raises not_found, and invalid
        for a table without a key.
        """
        _check_page(limit, offset)
        return asyncio.wrap_future(self._need().partitions(workspace, schema, table, limit, offset))

    def partition_table(
        self, workspace: str, table: str, partition_by: str, schema: str = "main", dialect: SqlDialect = "duckdb"
    ) -> Awaitable[dict[str, Any]]:
        """Gives a table a partition key in the place of another, after the writers before it; "" takes it away.

        `partition_by` are expressions over the table's columns, which commas divide, written in `dialect`. The
        awaitable gives {"partition_by": as DuckDB's SQL}; it raises not_found, and invalid for what cannot be a key
        (with the detail `unsayable` when only the language is at fault).
        """
        return asyncio.wrap_future(self._need().partition_table(workspace, schema, table, partition_by, dialect))

    def result_page(
        self, workspace: str, run_id: int, task_run_id: int, offset: int = 0, limit: int = 1000
    ) -> Awaitable[dict[str, Any]]:
        """Rows of a large result from `offset` on: {"columns", "rows", "rows_ready"}.

        It can be read while it is being written: `rows_ready` is how many rows there are so far. The awaitable
        raises not_found before the first ones are, and for a result that is inline.
        """
        _check_page(limit, offset)
        return asyncio.wrap_future(self._need().result_page(workspace, run_id, task_run_id, offset, limit))

    def stream(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any] | None = None,
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
    ) -> Pieces:
        """One reading statement's rows as an Arrow IPC stream, as they come; `begin` tells what is wrong with it."""
        return self._need().stream(workspace, sql, parameters or {}, schema, dialect)

    def views(self, workspace: str) -> Awaitable[list[dict[str, Any]]]:
        """The materialized views: name, schema, source, statement, target, created_at (milliseconds)."""
        return asyncio.wrap_future(self._need().views(workspace))

    def create_view(
        self,
        workspace: str,
        name: str,
        source: str,
        statement: str,
        target: str,
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
    ) -> Awaitable[dict[str, Any]]:
        """Lets a target follow the appends to its source from now on; the same definition again changes nothing.

        `statement` reads the source by its bare name, and runs over each inserted block, in the transaction that
        inserts it. The target is made from it when absent; what the source holds already is the work of a
        `Materialize` task. The awaitable raises invalid.
        """
        made = self._need().create_view(workspace, name, schema, source, statement, target, dialect)
        return asyncio.wrap_future(made)

    def drop_view(self, workspace: str, name: str) -> Awaitable[dict[str, Any]]:
        """Forgets a materialized view: {"dropped": whether there was one}. Its target stays as it is."""
        return asyncio.wrap_future(self._need().drop_view(workspace, name))

    async def upload(self, pieces: AsyncIterator[bytes]) -> Upload:
        """Keeps a body for a load, whose `source` it becomes; it is on disk when this returns.

        Raises too_large over the setting upload_cap, storage_full, and what `pieces` raises; then nothing is kept.
        """
        if self._uploads is None:
            raise RunyardError(Code.UNAVAILABLE, "This server takes no uploads.")
        return await self._uploads.take(pieces)

    def _need(self) -> Tables:
        if self._tables is None:
            raise RunyardError(Code.UNAVAILABLE, "This server has no warehouse.")
        return self._tables


def _check_page(limit: int, offset: int) -> None:
    if not 1 <= limit <= MAX_ROWS:
        raise invalid(f"limit must be 1 to {MAX_ROWS}; it is {limit}.", field="limit")
    if offset < 0:
        raise invalid(f"offset must be 0 or more; it is {offset}.", field="offset")
