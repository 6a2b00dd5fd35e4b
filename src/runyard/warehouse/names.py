"""Names and texts as they stand in statements of ours."""

from __future__ import annotations

from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.refused import Refused

_NOT_OURS = {"temp", "system", "information_schema", "pg_catalog"}


def name(text: str) -> str:
    """A quoted identifier."""
    return '"' + text.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


def path(schema: str, table: str) -> str:
    """A table's full name for a statement of ours; raises `Refused` for one that no task may touch."""
    if HIDDEN_SCHEMA in f"{schema}.{table}".lower() or schema.lower() in _NOT_OURS or not table.strip():
        raise Refused(f"{schema}.{table} is no table that can be used here.")
    return f"{name(schema)}.{name(table)}"
