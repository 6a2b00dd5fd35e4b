"""A large result as Parquet files: the first one small, so that its rows can be read while the rest is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse.failures import NotFound
from runyard.warehouse.results import safe_rows

PART_ROWS = 2_000_000
MOST_BYTES = 32 * 1024 * 1024
"""A page's JSON may not be larger; one row always is there."""
_encode = msgspec.json.Encoder().encode


def part_path(first: Path, number: int) -> Path:
    """`output.parquet`, `output-1.parquet`, `output-2.parquet` ..."""
    return first if number == 0 else first.with_name(f"{first.stem}-{number}{first.suffix}")


class Parts:
    """Writes the parts of a result. A part bears its name once it is whole."""

    def __init__(self, first: Path, schema: Any) -> None:
        self._first, self._schema = first, schema
        self._writer: Any = None
        self._rows = 0
        self.rows: list[int] = []
        """Rows of each part that is whole."""
        first.parent.mkdir(parents=True, exist_ok=True)
        for old in sorted(first.parent.glob(f"{first.stem}*{first.suffix}*")):  # of an attempt that broke off
            old.unlink()

    def write(self, batch: Any) -> None:
        """Adds rows; the very first batch is a part of its own."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._open(), self._schema, compression="zstd")
        self._writer.write_batch(batch)
        self._rows += batch.num_rows
        if not self.rows or self._rows >= PART_ROWS:
            self._end_part()

    def close(self) -> None:
        """Ends the last part; a result without rows is one empty part."""
        import pyarrow.parquet as pq

        if self._writer is None and not self.rows:
            self._writer = pq.ParquetWriter(self._open(), self._schema, compression="zstd")
        if self._writer is not None:
            self._end_part()

    def files(self) -> list[Path]:
        """The parts, in order."""
        return [part_path(self._first, number) for number in range(len(self.rows))]

    def abandon(self) -> None:
        """Removes what was written: the result will not be whole."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._open().unlink(missing_ok=True)
        for file in self.files():
            file.unlink(missing_ok=True)

    def _open(self) -> Path:
        return part_path(self._first, len(self.rows)).with_suffix(".writing")

    def _end_part(self) -> None:
        path = self._open()
        self._writer.close()
        os.replace(path, part_path(self._first, len(self.rows)))
        self.rows.append(self._rows)
        self._writer, self._rows = None, 0


def page(cursor: duckdb.DuckDBPyConnection, first: Path, offset: int, limit: int) -> dict[str, Any]:
    """Rows of a result from `offset` on: {"columns", "rows", "rows_ready"}, the last being how many there are so far.

    Raises `NotFound` while there are none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[Any] = []
    schema, ready, number = None, 0, 0
    while (path := part_path(first, number)).exists():
        with pq.ParquetFile(path) as file:
            schema = schema or file.schema_arrow
            found += _wanted(file, offset - ready, offset - ready + limit)
            ready, number = ready + file.metadata.num_rows, number + 1
    if schema is None:
        raise NotFound("There is no result yet, or it was inline.")
    relation = cursor.from_arrow(pa.Table.from_batches(found, schema))
    columns = [{"name": name, "type": str(kind)} for name, kind in zip(relation.columns, relation.types, strict=True)]
    return {"columns": columns, "rows": fit(safe_rows(columns, relation.fetchall())), "rows_ready": ready}


def fit(rows: Sequence[Any]) -> list[Any]:
    """As many rows from the first on as an answer may hold."""
    kept = list(rows)
    while len(kept) > 1 and len(_encode(kept)) > MOST_BYTES:
        kept = kept[: len(kept) // 2]
    return kept


def _wanted(file: Any, start: int, end: int) -> list[Any]:
    """The record batches of rows `start` to `end` of one file, from the row groups that hold them."""
    found: list[Any] = []
    before = 0
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        low, high = max(start - before, 0), min(end - before, rows)
        if low < high:
            found += file.read_row_group(group).slice(low, high - low).to_batches()
        before += rows
    return found
