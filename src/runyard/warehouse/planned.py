"""SQL text of any dialect, checked: what DuckDB will run is what was looked at."""

from __future__ import annotations

from runyard.core.actions import SqlDialect
from runyard.warehouse.checker import Plan, check
from runyard.warehouse.dialects import translated
from runyard.warehouse.dialects.macros import OURS


def planned(text: str, dialect: SqlDialect) -> Plan:
    """The plan of a text: what is checked is what DuckDB will run. Raises `Refused` or duckdb's ParserException."""
    plan = check(text if dialect == "duckdb" else translated(text, dialect))
    if plan.macros:
        OURS.need()
    return plan
