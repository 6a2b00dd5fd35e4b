"""Constant SELECTs (`SELECT 1`, `SELECT 'ok' AS state`): those that wait together are one DuckDB query.

They read no table, so that one row answers all of them, each with its own columns. Where the joint query
fails, each is run alone and gets its own error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import duckdb

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment
from runyard.warehouse.results import columns_of, safe_rows

_LITERAL = r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?|'[^'\\]{0,200}'|true|false|null)"
_ITEM = rf"-?{_LITERAL}(?:\s*[-+*%]\s*{_LITERAL})*(?:\s+as\s+[a-z][a-z0-9_]*)?"
_SELECT = re.compile(rf"\s*select\s+({_ITEM}(?:\s*,\s*{_ITEM})*)\s*;?\s*", re.IGNORECASE)
_MOST = 1000


def constant(assignment: Assignment) -> str | None:
    """The select list of a constant SELECT, or None when the text is anything else."""
    action = assignment.action
    if not isinstance(action, Sql) or len(action.statement) > _MOST or action.parameters or action.schema != "main":
        return None
    found = _SELECT.fullmatch(action.statement)
    return found.group(1) if found and "--" not in action.statement else None


def answer(cursor: duckdb.DuckDBPyConnection, lists: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """The outputs of several constant SELECTs, each given as its select list and number of columns."""
    row = cursor.execute("SELECT " + ", ".join(items for items, _ in lists)).fetchone()
    columns = columns_of(cursor)
    outputs, start = [], 0
    for _, width in lists:
        mine = columns[start : start + width]
        rows = safe_rows(mine, [row[start : start + width] if row else ()])
        outputs.append({"columns": mine, "rows": rows, "row_count": 1})
        start += width
    if start != len(columns):
        raise ValueError("The columns of the joint query do not add up.")
    return outputs


def width(items: str) -> int:
    """How many columns a select list has."""
    return 1 if "," not in items else len(re.findall(_ITEM + r"\s*(?:,|$)", items, re.IGNORECASE))
