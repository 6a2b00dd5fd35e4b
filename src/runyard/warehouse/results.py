"""Rows as the output of a task: JSON-safe values, inline when small, else a Parquet file with a preview."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.core.attempts import INLINE_BYTES
from runyard.warehouse.limits import NONE, Limits

PREVIEW_ROWS = 100
_FIRST_ROWS = 2000
_BATCH_ROWS = 65_536
_BIG = 2**63
_PLAIN = {"INTEGER", "SMALLINT", "TINYINT", "BIGINT", "UINTEGER", "USMALLINT", "UTINYINT", "VARCHAR", "BOOLEAN"}

_INEXACT = re.compile(r"\bINTERVAL\b|\bUNION\(|\bBIT\b|\bTIME WITH|\bUHUGEINT\b|^STRUCT(\(\))?$")

_encode = msgspec.json.Encoder().encode


class Result(msgspec.Struct):
    """The output of one statement; `size` is its bytes as JSON or Parquet."""

    output: dict[str, Any]
    rows: int
    size: int


def as_texts(statement: str, columns: Sequence[dict[str, str]]) -> str | None:
    """The query with texts for values that neither Python nor Parquet holds exactly; None: there are no such ones."""
    if not any(_INEXACT.search(column["type"]) for column in columns):
        return None
    shown = [
        f"CAST(c{n} AS VARCHAR) AS {_name(column['name'])}"
        if _INEXACT.search(column["type"])
        else f"c{n} AS {_name(column['name'])}"
        for n, column in enumerate(columns)
    ]
    names = ", ".join(f"c{n}" for n in range(len(columns)))
    return f"SELECT {', '.join(shown)} FROM (\n{statement}\n) AS t({names})"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def columns_of(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, str]]:
    """Names and SQL types of the last statement's columns."""
    return [{"name": column[0], "type": str(column[1])} for column in cursor.description or []]


def safe_rows(columns: Sequence[dict[str, str]], rows: list[Any]) -> list[Any]:
    """The rows with every value safe for JSON."""
    if all(column["type"] in _PLAIN for column in columns):
        return rows
    return [[safe(value) for value in row] for row in rows]


def safe(value: Any) -> Any:
    """One value for JSON: exact, or a text that says it exactly."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -_BIG <= value < _BIG else str(value)
    if kind is float:
        return value if math.isfinite(value) else _not_finite(value)
    return _SAFE.get(kind, str)(value)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _list(value: Sequence[Any]) -> list[Any]:
    return [safe(item) for item in value]


def _struct(value: dict[Any, Any]) -> dict[str, Any]:
    return {key if type(key) is str else str(safe(key)): safe(item) for key, item in value.items()}


_SAFE: dict[type, Callable[[Any], Any]] = {
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    decimal.Decimal: str,
    bytes: lambda value: base64.b64encode(value).decode(),
    list: _list,
    tuple: _list,
    dict: _struct,
}


def inline(cursor: duckdb.DuckDBPyConnection) -> Result | None:
    """The rows of the last statement if they are few enough to be kept inline, else None."""
    columns = columns_of(cursor)
    rows = cursor.fetchmany(_FIRST_ROWS)
    if len(rows) == _FIRST_ROWS:
        return None
    return small(columns, rows)


def small(columns: list[dict[str, str]], rows: list[Any]) -> Result | None:
    """The rows as an inline output, or None when they are too large for that."""
    output = {"columns": columns, "rows": safe_rows(columns, rows), "row_count": len(rows)}
    size = len(_encode(output))
    return Result(output, len(rows), size) if size <= INLINE_BYTES else None


def to_file(
    relation: duckdb.DuckDBPyRelation, cursor: duckdb.DuckDBPyConnection, path: Path, name: str, limits: Limits = NONE
) -> Result:
    """Streams a query's rows into Parquet files (see `parts`); `name` is how the output calls the first one.

    Raises `Refused` as soon as there is more than the limits allow; then there is no file.
    """
    import pyarrow as pa

    from runyard.warehouse.parts import Parts

    columns = [
        {"name": column, "type": str(kind)} for column, kind in zip(relation.columns, relation.types, strict=True)
    ]
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    parts, first, count, size = Parts(path, reader.schema), None, 0, 0
    try:
        for batch in reader:
            count, size = count + batch.num_rows, size + batch.nbytes
            limits.check(count, size)
            if first is None:
                first = pa.Table.from_batches([batch.slice(0, PREVIEW_ROWS)])
            parts.write(batch)
        parts.close()
    except BaseException:
        parts.abandon()
        raise
    preview = cursor.from_arrow(first).fetchall() if first is not None else []
    output: dict[str, Any] = {"columns": columns, "row_count": sum(parts.rows), "file": name}
    if len(parts.rows) > 1:
        files = [name.removesuffix(path.name) + file.name for file in parts.files()]
        output["files"] = [{"file": file, "rows": rows} for file, rows in zip(files, parts.rows, strict=True)]
    output["preview"] = _fit(safe_rows(columns, preview))
    return Result(output, sum(parts.rows), sum(file.stat().st_size for file in parts.files()))


def rows_to_file(columns: list[dict[str, str]], rows: list[Any], path: Path, name: str) -> Result:
    """Writes rows that cannot be asked for again (RETURNING) as a Parquet file of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    safe = [list(row) for row in safe_rows(columns, rows)]
    data = [[None if row[place] is None else str(row[place]) for row in safe] for place in range(len(columns))]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(data, names=[column["name"] for column in columns]), path)
    output = {"columns": columns, "row_count": len(rows), "file": name, "preview": _fit(safe)}
    return Result(output, len(rows), path.stat().st_size)


def _fit(preview: list[Any]) -> list[Any]:
    """The first rows, as many as may be kept on the task run."""
    rows = [list(row) for row in preview[:PREVIEW_ROWS]]
    while rows and len(_encode(rows)) > INLINE_BYTES // 2:
        rows = rows[: len(rows) // 2]
    return rows
