"""Which tables a SQL text reads and writes, by names: sqlglot is imported when the first text is asked about."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runyard.warehouse.touched import Name, named


class Tables(msgspec.Struct, frozen=True):
    """Tables by what the text does with them."""

    read: frozenset[Name] = frozenset()
    inserted: frozenset[Name] = frozenset()
    changed: frozenset[Name] = frozenset()


_KEPT = 2048
_known: dict[tuple[str, str], Tables] = {}

_LITERAL = re.compile(r"""("(?:[^"]|"")*")|'(?:[^']|'')*'|(?<![\w."])\d+(?:\.\d+)?(?!\w)""")
_NAMES = re.compile(r"\b(from|into|update|table|view|index|desc|describe|summarize|(un)?pivot)\b", re.IGNORECASE)
"""A text without any of these words names no table."""
_UNCERTAIN = re.compile(r"\\|--|/\*|\$\w*\$")
"""Beside these a quote may be no quote."""


def tables_of(text: str, schema: str) -> Tables:
    """The tables of DuckDB SQL; nothing for a text that cannot be analysed. Unqualified names are of `schema`.

    Texts that differ only in literals name the same tables, so they are analysed once.
    """
    key = (text if _UNCERTAIN.search(text) else _LITERAL.sub(_blank, text), schema)
    if (known := _known.get(key)) is None:
        if len(_known) >= _KEPT:
            _known.clear()
        known = _known[key] = _analysed(text, schema)
    return known


def _blank(found: re.Match[str]) -> str:
    return found[1] or "0"


def _analysed(text: str, schema: str) -> Tables:
    if not _NAMES.search(text):
        return Tables()  # and sqlglot, which is large, is not needed for a SELECT 1
    import sqlglot

    try:
        statements = sqlglot.parse(text, read="duckdb")
    except Exception:  # the text was checked and may run: only its lineage stays unknown
        return Tables()
    read: set[Name] = set()
    inserted: set[Name] = set()
    changed: set[Name] = set()
    for statement in statements:
        if statement is not None:
            _look_at(statement, schema, read, inserted, changed)
    return Tables(frozenset(read), frozenset(inserted), frozenset(changed))


def _look_at(statement: Any, schema: str, read: set[Name], inserted: set[Name], changed: set[Name]) -> None:
    from sqlglot import exp

    target = _target(statement)
    if target is not None and not _temporary(statement):
        gets_rows = isinstance(statement, exp.Insert | exp.Merge) or bool(
            isinstance(statement, exp.Create) and statement.expression
        )
        (inserted if gets_rows else changed).add(_name(target, schema))
    own = {cte.alias_or_name.lower() for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if (
            table is not target
            and isinstance(table.this, exp.Identifier)
            and (table.db or table.name.lower() not in own)
            and table.db.lower() != "temp"
        ):
            read.add(_name(table, schema))


def _temporary(statement: Any) -> bool:
    from sqlglot import exp

    return isinstance(statement, exp.Create) and statement.find(exp.TemporaryProperty) is not None


def _target(statement: Any) -> Any:
    from sqlglot import exp

    if not isinstance(statement, exp.Insert | exp.Create | exp.Delete | exp.Update | exp.Merge | exp.Drop | exp.Alter):
        found = statement.expressions[0] if isinstance(statement, exp.TruncateTable) and statement.expressions else None
        return found if isinstance(found, exp.Table) else None
    if isinstance(statement, exp.Create | exp.Drop) and str(statement.args.get("kind")).upper() not in {
        "TABLE",
        "VIEW",
    }:
        return None
    target = statement.this
    if isinstance(target, exp.Schema):
        target = target.this
    return target if isinstance(target, exp.Table) else None


def _name(table: Any, schema: str) -> Name:
    return named(table.db or schema, table.name)
