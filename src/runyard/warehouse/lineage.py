"""Which tables a SQL text reads and writes, by names: sqlglot is imported when the first text is asked about."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec

from runyard.warehouse.dialects import MAX_TEXT
from runyard.warehouse.touched import Name, named


class Tables(msgspec.Struct, frozen=True):
    """Tables by what the text does with them."""

    read: frozenset[Name] = frozenset()
    inserted: frozenset[Name] = frozenset()
    changed: frozenset[Name] = frozenset()


_KEPT = 2048
_known: dict[tuple[str, str], Tables] = {}

_LITERAL = re.compile(r"""("(?:[^"]|"")*")|'(?:[^']|'')*'|(?<![\w."])\d+(?:\.\d+)?(?!\w)""")
_NAMES = re.compile(
    r"\b(from|into|update|table|view|index|desc|describe|summarize|truncate|(un)?pivot\w*)\b", re.IGNORECASE
)
"""A text without any of these words names no table."""
_UNCERTAIN = re.compile(r"\\|--|/\*|\$\w*\$")
"""Beside these a quote may be no quote."""


def tables_of(text: str, schema: str) -> Tables:
    """The tables of DuckDB SQL; nothing for a text that cannot be analysed. Unqualified names are of `schema`.

    Nor for one that is so long that this would take seconds.
    Texts that differ only in literals name the same tables, so they are analysed once.
    """
    if len(text) > MAX_TEXT:
        return Tables()
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

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it warns of what it leaves as it is: an EXPLAIN
    try:
        statements = sqlglot.parse(text, read="duckdb")
    except Exception:  # the text was checked and may run: only its lineage stays unknown
        return Tables()
    read: set[Name] = set()
    inserted: set[Name] = set()
    changed: set[Name] = set()
    passing: set[str] = set()
    for statement in statements:
        if statement is not None and not _defines(statement, schema, changed, passing):
            _look_at(statement, schema, read, inserted, changed, passing)
    return Tables(frozenset(read), frozenset(inserted), frozenset(changed))


def _defines(statement: Any, schema: str, changed: set[Name], passing: set[str]) -> bool:
    """Whether a statement reads no rows of any table, since it changes a definition: what that concerns is changed.

    The temporary tables that a text makes are gone at its end: `passing` gathers their names.
    """
    from sqlglot import exp

    if isinstance(statement, exp.Create):
        if _temporary(statement) and (made := _made(statement)) is not None:
            passing.add(made.name.lower())
        return not _of_rows(statement)
    if not isinstance(statement, exp.Alter | exp.Comment | exp.Drop | exp.TruncateTable):
        return False
    if isinstance(statement, exp.Drop) and not _of_rows(statement):
        return True
    for table in [statement.this, *statement.args.get("tables", ()), *statement.expressions]:
        if isinstance(table, exp.Table):
            changed.add(_name(table, schema))
    renamed = [one.this for one in statement.args.get("actions") or () if isinstance(one, exp.AlterRename)]
    if renamed and not statement.args.get("options"):  # RENAME a TO b, of a column, has the second name there
        changed.add(_name(renamed[0], statement.this.db or schema))
    return True


def _of_rows(statement: Any) -> bool:
    return str(statement.args.get("kind")).upper() in {"TABLE", "VIEW"}


def _made(statement: Any) -> Any:
    from sqlglot import exp

    made = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
    return made if isinstance(made, exp.Table) else None


def _look_at(
    statement: Any, schema: str, read: set[Name], inserted: set[Name], changed: set[Name], passing: set[str]
) -> None:
    from sqlglot import exp

    target = _target(statement)
    if target is not None and not _temporary(statement) and (target.db or target.name.lower() not in passing):
        gets_rows = isinstance(statement, exp.Insert | exp.Merge) or bool(
            isinstance(statement, exp.Create) and statement.expression
        )
        (inserted if gets_rows else changed).add(_name(target, schema))
    own = passing | {cte.alias_or_name.lower() for cte in statement.find_all(exp.CTE)}
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

    return (
        _made(statement)
        if isinstance(statement, exp.Insert | exp.Create | exp.Delete | exp.Update | exp.Merge)
        else None
    )


def _name(table: Any, schema: str) -> Name:
    return named(table.db or schema, table.name)
