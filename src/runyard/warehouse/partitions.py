"""A table's partition key: expressions over its own columns, whose values divide its rows into partitions.

DuckDB keeps no partitions apart; what it knows of each row group's values spares it most of a table anyway. So the key
is only said: in the table's comment, behind whatever else stands there. There it is part of the table: it is made,
renamed, dropped, replaced, rolled back and written to disk with it, by DuckDB itself (docs/decisions/0019).
"""

from __future__ import annotations

import functools
import re
from typing import Any

import duckdb

from runyard.core.actions import SqlDialect
from runyard.warehouse.checker import parser
from runyard.warehouse.conditions import condition
from runyard.warehouse.dialects import translated
from runyard.warehouse.dialects.macros import CATALOG, OURS
from runyard.warehouse.failures import NotFound
from runyard.warehouse.limits import Limits, fetched, within
from runyard.warehouse.names import path, text
from runyard.warehouse.refused import Refused
from runyard.warehouse.results import columns_of, safe_rows
from runyard.warehouse.words import words

MARK = "runyard: PARTITIONED BY "
_MOST_KEYS = 16
_MOST_TEXT = 10_000
_LIST_SECONDS = 60.0
_LIST_BYTES = 64 * 1024 * 1024
_COMMENTS = (
    "SELECT schema_name, table_name, coalesce(comment, '') FROM duckdb_tables()"
    " WHERE database_name = current_database()"
)
_COMMENT = f"{_COMMENTS} AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)"
_BUILT_IN = """
SELECT lower(function_name), bool_or(stability IS NOT NULL AND stability <> 'CONSISTENT') FROM duckdb_functions()
WHERE internal GROUP BY 1
"""
_MOMENTS = {
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user", "session_user",
    "user", "current_schema", "current_catalog", "current_role",
}  # fmt: skip

_COLUMN = re.compile(r'\w+|"(?:[^"]|"")+"')

Key = tuple[str, ...]
"""Expressions in DuckDB's SQL; empty: no partitions."""


@functools.lru_cache(maxsize=512)
def key_of(given: str, dialect: SqlDialect = "duckdb") -> Key:
    """The expressions of a key, which commas divide; raises `Refused` for what cannot be one.

    Each must be what its row alone decides: no aggregate, no subquery, nothing that another moment would answer
    differently.
    """
    if not given.strip():
        return ()
    if len(given) > _MOST_TEXT:
        raise Refused(f"The partition key has {len(given)} characters; it may have {_MOST_TEXT}.")
    found = [_expression(node, given) for node in _nodes(given, dialect)]
    if len(found) > _MOST_KEYS:
        raise Refused(f"The partition key {given!r} has {len(found)} expressions; it may have {_MOST_KEYS}.")
    return tuple(found)


def _nodes(given: str, dialect: SqlDialect) -> list[Any]:
    """The parsed expressions, without the brackets around all of them."""
    import sqlglot
    from sqlglot import exp

    whole = f"SELECT\n{given}\nFROM t"
    if dialect != "duckdb":
        whole = translated(whole, dialect)
    try:
        trees = sqlglot.parse(whole, read="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise Refused(f"The partition key {given!r} is not valid SQL.") from None
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or {name for name, value in tree.args.items() if value} - {
        "expressions",
        "from_",
    }:
        raise Refused(f"The partition key {given!r} is not a list of expressions.")
    nodes = [node.unnest() for node in tree.expressions]
    return list(nodes[0].expressions) if len(nodes) == 1 and isinstance(nodes[0], exp.Tuple) else nodes


def _expression(node: Any, given: str) -> str:
    """One expression as DuckDB's text; raises `Refused`."""
    from sqlglot import exp

    said = node.unnest().sql("duckdb", comments=False)
    wrong: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((exp.Query, exp.Subquery), "a subquery"),
        (exp.Window, "a window function"),
        (exp.AggFunc, "an aggregate"),
        ((exp.Parameter, exp.Placeholder), "a parameter"),
        ((exp.Star, exp.Alias, exp.Aliases), "what is no plain expression"),
    )
    for kinds, what in wrong:
        if node.find(*(kinds if isinstance(kinds, tuple) else (kinds,))) is not None:
            raise Refused(f"The partition key {given!r} uses {what}; it may use what one row holds.")
    columns = [column.name.lower() for column in node.find_all(exp.Column)]
    if not columns:
        raise Refused(f"The partition key {given!r} names no column in {said!r}.")
    if "rowid" in columns:
        raise Refused(f"The partition key {given!r} uses rowid, which changes when rows are written anew.")
    if "*/" in said or "/*" in said or "\n" in said:
        raise Refused(f"The partition key {given!r} cannot be kept: it has a line break, or a comment's marks.")
    if (called := _called(node, said)) is not None:
        raise Refused(f"The partition key {given!r} uses {called}, which may say another thing another time.")
    condition(said, what="partition key")
    if CATALOG in said:
        OURS.need()
    return str(said)


def _called(node: Any, said: str) -> str | None:
    """What it uses that does not depend on the row alone: a moment, a chance, a macro that somebody may replace."""
    from sqlglot import exp

    known = _built_in()
    found = words(said)
    for word, after in zip(found, [*found[1:], None], strict=True):
        if word.kind == "name" and not word.quoted:
            calls = after is not None and after.name == "("
            if (calls and known.get(word.name)) or word.name in _MOMENTS:
                return word.text
    for call in node.find_all(exp.Anonymous):
        ours = isinstance(call.parent, exp.Dot) and call.parent.this.name.lower() == CATALOG
        if not ours and (isinstance(call.parent, exp.Dot) or call.name.lower() not in known):
            return f"the macro {call.name}"
    return None


@functools.cache
def _built_in() -> dict[str, bool]:
    """DuckDB's functions, and which of them answer differently from time to time."""
    return dict(parser().cursor().execute(_BUILT_IN).fetchall())


def same(one: Key, other: Key) -> bool:
    """Whether two keys are spelled alike, but for capitals and spaces."""
    return _spelling(one) == _spelling(other)


def _spelling(key: Key) -> list[tuple[str, str]]:
    return [(word.kind, word.name if word.kind == "name" else word.text) for word in words(spelled(key))]


def spelled(key: Key) -> str:
    """A key as one text."""
    return ", ".join(key)


# --- in the comment -----------------------------------------------------------------------------------------


def told(comment: str) -> tuple[str, str]:
    """A table's comment as (what somebody wrote, the text of its key)."""
    own, mark, rest = comment.rpartition(MARK)
    if not mark or not (rest.startswith("(") and rest.endswith(")")):
        return comment, ""
    return own.removesuffix("\n"), rest[1:-1]


def said_of_all(cursor: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """The comments of all tables, by schema and name."""
    return {(schema, table): comment for schema, table, comment in cursor.execute(_COMMENTS).fetchall()}


def kept(cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> Key:
    """The key of a table; raises `NotFound` when there is no such table, and `Refused` for a key that was forged."""
    return key_of(told(_comment(cursor, schema, table))[1])


def _comment(cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> str:
    rows = cursor.execute(_COMMENT, [schema, table]).fetchall()
    if not rows:
        raise NotFound(f"There is no table {schema}.{table}.")
    return str(rows[0][2])


def put(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, key: Key) -> None:
    """Gives a table this key in the place of another, inside a transaction of the caller's; raises `Refused`."""
    own = told(_comment(cursor, schema, table))[0]
    check(cursor, schema, table, key)
    say(cursor, schema, table, own, spelled(key))


def say(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, own: str, key: str) -> None:
    """Writes a table's comment: what somebody wrote, then the key."""
    whole = own + ("\n" if own and key else "") + (f"{MARK}({key})" if key else "")
    cursor.execute(f"COMMENT ON TABLE {path(schema, table)} IS {text(whole) if whole else 'NULL'}")


def check(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, key: Key) -> None:
    """Raises `Refused` when a table's columns do not allow this key."""
    for one in key:
        try:
            # By another name, so that no key says the table's own, which may change.
            cursor.execute(f"SELECT 1 FROM {path(schema, table)} AS runyard_rows WHERE ({one}) IS NULL LIMIT 0")
        except duckdb.Error as error:
            why = str(error).splitlines()[0]
            raise Refused(f"The table {table} cannot have the partition key ({spelled(key)}): {why}") from None


def agreed(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, wanted: Key) -> None:
    """Raises `Refused` when a table that is there has another key than the one that its writer names."""
    has = kept(cursor, schema, table)
    if not same(has, wanted):
        found = f"the partition key ({spelled(has)})" if has else "no partition key"
        raise Refused(
            f"The table {table} has {found}, and partition_by says ({spelled(wanted)}):"
            " leave it out, or give the table this key first."
        )


# --- the partitions -----------------------------------------------------------------------------------------


def listed(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, limit: int, offset: int) -> dict[str, Any]:
    """A table's partitions in order, NULLs last: {"partition_by", "columns", "items", "more", "rows"}.

    Raises `Refused` for a table without a key, and when it takes longer than 60 seconds or gives more than 64 MiB.
    """
    key = kept(cursor, schema, table)
    if not key:
        raise Refused(f"The table {table} has no partition key.")
    full, values = path(schema, table), ", ".join(f"{value(one)} AS k{n}" for n, one in enumerate(key))
    names = ", ".join(f"k{n}" for n in range(len(key)))
    order = ", ".join(f"k{n} NULLS LAST" for n in range(len(key)))
    with within(cursor, _LIST_SECONDS):
        cursor.execute(
            f"SELECT {names}, count(*) AS runyard_count FROM (SELECT {values} FROM {full} AS runyard_rows)"
            f" GROUP BY {names} ORDER BY {order} LIMIT {int(limit) + 1} OFFSET {int(offset)}"
        )
        columns = columns_of(cursor)
        rows = safe_rows(columns, fetched(cursor, columns, limit + 1, Limits(size=_LIST_BYTES)))
    counted = cursor.execute(f"SELECT count(*) FROM {full}").fetchone()
    return {
        "partition_by": spelled(key),
        "columns": [{"name": one, "type": column["type"]} for one, column in zip(key, columns, strict=False)],
        "items": [{"values": list(row[:-1]), "rows": row[-1]} for row in rows[:limit]],
        "more": len(rows) > limit,
        "rows": int(counted[0]) if counted else 0,
    }


def value(expression: str) -> str:
    """The value of a key's expression for a row; NULL where it cannot be had, since rows are written unlooked at."""
    return expression if _COLUMN.fullmatch(expression) else f"TRY({expression})"


def label(key: Key, values: list[str | None], null: str = "NULL") -> str:
    """A partition's name: `day=2024-02-01/city=Bonn`."""
    plain = (one[1:-1].replace('""', '"') if one.startswith('"') and one.endswith('"') else one for one in key)
    return "/".join(f"{one}={null if value is None else value}" for one, value in zip(plain, values, strict=True))
