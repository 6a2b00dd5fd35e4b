"""The facade for the warehouse's tables: interactive reads, which are not runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Future
from typing import Any, Protocol

from runyard.core.actions import SqlDialect
from runyard.core.errors import Code, RunyardError, invalid
from runyard.engine.uploads import Upload, Uploads

MAX_ROWS = 10_000


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
    ) -> Future[Any]:
        """Rows of a reading statement: {"columns": [...], "rows": [...]}."""

    def tables(self, workspace: str) -> Future[Any]:
        """The tables of a workspace: {"schema", "name", "rows", "columns"}."""


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
    ) -> Awaitable[dict[str, Any]]:
        """Runs one reading statement, written in `dialect`; raises invalid for a limit out of range.

        The awaitable raises invalid for a statement that is refused, or that the dialect cannot say to DuckDB.
        """
        if not 1 <= limit <= MAX_ROWS:
            raise invalid(f"limit must be 1 to {MAX_ROWS}; it is {limit}.", field="limit")
        return asyncio.wrap_future(self._need().query(workspace, sql, parameters or {}, limit, schema, dialect))

    def tables(self, workspace: str) -> Awaitable[list[dict[str, Any]]]:
        """The tables of a workspace with their columns."""
        return asyncio.wrap_future(self._need().tables(workspace))

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
