"""What a translated statement says and DuckDB's SQL has no words for: a remark in it, which is carried out beside it.

`CREATE /* runyard: partitioned by (day) */ TABLE t (...)`. A remark only ever concerns the table that its statement
names anyway, so that what was checked of the statement holds for the remark, whoever wrote it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from runyard.warehouse import partitions
from runyard.warehouse.checker import statements
from runyard.warehouse.dialects.remarks import DESCRIBE, PARTITIONED, SHOW
from runyard.warehouse.names import path, text
from runyard.warehouse.refused import Refused
from runyard.warehouse.words import Word, words

_PARTITIONED = re.compile(r"\s*CREATE " + re.escape(PARTITIONED) + r"\((.*?)\) \*/", re.DOTALL)
_FILLERS = {"if", "not", "exists"}
_TEMPORARY = {"temp", "temporary"}
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""How a partition without a value is called in Spark's partition names."""


@contextlib.contextmanager
def minded(cursor: duckdb.DuckDBPyConnection, statement: Any, schema: str) -> Iterator[None]:
    """Around the execution of one statement: keeps what it remarks, and what the comments of tables hold of ours."""
    kind = statement.type.name
    if kind == "CREATE" and (found := _PARTITIONED.match(statement.query)) is not None:
        yield from _created(cursor, statement.query, schema, found[1])
    elif kind == "ALTER":
        before = partitions.said_of_all(cursor)
        yield
        _settle(cursor, statement.query, before)
    else:
        yield


def _created(cursor: duckdb.DuckDBPyConnection, query: str, schema: str, key: str) -> Iterator[None]:
    """CREATE TABLE with a key: of a table that is new."""
    head, name = _created_table(words(query), schema)
    left_alone = {"if", "exists"} <= head and _there(cursor, *name)
    yield
    if not left_alone and not head & _TEMPORARY:
        partitions.put(cursor, *name, partitions.key_of(key))


def _created_table(found: list[Word], schema: str) -> tuple[set[str], tuple[str, str]]:
    """The words before the table's name, and its schema and name."""
    place = next(at for at, word in enumerate(found) if word.name == "table") + 1
    while not found[place].quoted and found[place].name in _FILLERS:
        place += 1
    return {word.name for word in found[:place]}, _name(found[place:], schema)


def _name(found: list[Word], schema: str) -> tuple[str, str]:
    """The dotted name that a text begins with: its last two parts."""
    parts = [found[0].name]
    for dot, word in zip(found[1::2], found[2::2], strict=False):
        if dot.name != ".":
            break
        parts.append(word.name)
    return (parts[-2] if len(parts) > 1 else schema), parts[-1]


def _there(cursor: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    known = partitions.said_of_all(cursor)
    return (schema.lower(), table.lower()) in {(one.lower(), other.lower()) for one, other in known}


def _settle(cursor: duckdb.DuckDBPyConnection, query: str, before: dict[tuple[str, str], str]) -> None:
    """After ALTER and COMMENT: no key is lost to a new comment, and each still fits its table, or all is undone."""
    named = {word.name for word in words(query)}
    for (schema, table), comment in partitions.said_of_all(cursor).items():
        if table.lower() not in named:
            continue
        own, key = partitions.told(comment)
        kept = partitions.told(before.get((schema, table), ""))[1]
        if kept and not key:
            key = kept
            partitions.say(cursor, schema, table, own, key)
        partitions.check(cursor, schema, table, partitions.key_of(key))


# --- questions about a key, which can only be spelled out when its table is looked at -------------------------


def spelled_out(cursor: duckdb.DuckDBPyConnection, statement: Any, schema: str) -> Any:
    """The statement, or for one that asks about a table's partitions the one that answers; raises `Refused`."""
    query = statement.query.strip()
    for mark, write in ((SHOW, _show), (DESCRIBE, _describe)):
        if query.startswith(f"SELECT {mark} "):
            return statements(write(cursor, query, schema))[0]
    return statement


def _show(cursor: duckdb.DuckDBPyConnection, query: str, schema: str) -> str:
    """SHOW PARTITIONS: each as `day=2024-02-01/city=Bonn`."""
    found = words(query)
    place = next(at for at, word in enumerate(found) if word.name == "from" and not word.quoted)
    name = _name(found[place + 1 :], schema)
    key = partitions.kept(cursor, *name)
    if not key:
        raise Refused(f"The table {name[1]} is not partitioned: there are no partitions to show.")
    null, slash = text(HIVE_NULL), f" || {text('/')} || "
    parts = [
        f"{text(partitions.label((one,), ['']))} || coalesce(CAST({partitions.value(one)} AS VARCHAR), {null})"
        for one in key
    ]
    rows = f"SELECT DISTINCT {slash.join(parts)} AS partition FROM {path(*name)} AS runyard_rows"
    return f"SELECT partition FROM ({rows}) ORDER BY partition"


def _describe(cursor: duckdb.DuckDBPyConnection, query: str, schema: str) -> str:
    """DESCRIBE: the columns, and for a table with a key Spark's block about it behind them."""
    head, mark, rest = query.partition("(DESCRIBE ")
    where = rest.rpartition(")")[0]
    name = _name(words(where), schema)
    key = partitions.kept(cursor, *name) if _there(cursor, *name) else ()  # it may be a view
    if not key:
        return query
    of_key = ", ".join(f"({one}) AS {_quoted(one)}" for one in key)
    about = f"{head}{mark}SELECT {of_key} FROM {path(*name)} AS runyard_rows)"
    titles = "SELECT '# Partition Information', '', '' UNION ALL SELECT '# col_name', 'data_type', 'comment'"
    return f"{query} UNION ALL {titles} UNION ALL {about}"


def _quoted(expression: str) -> str:
    plain = partitions.label((expression,), [""])[:-1]
    return '"' + plain.replace('"', '""') + '"'
