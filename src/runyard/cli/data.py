"""Commands that read the warehouse."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from runyard.cli.exits import USAGE, Exit
from runyard.cli.options import COMMON, STDIN, Common, Params, parameters
from runyard.cli.render import Column, emit, emit_one, encode, print_table, size
from runyard.cli.runs import print_result
from runyard.client.client import Client
from runyard.client.views import Partition, Table, plain
from runyard.core.actions import SqlDialect

TABLES = [
    Column("TABLE", lambda table: table.name if table.schema == "main" else f"{table.schema}.{table.name}"),
    Column("ROWS", lambda table: "" if table.rows is None else f"{table.rows:,}", right=True),
    Column("SIZE", lambda table: "" if table.bytes is None else size(table.bytes), right=True),
    Column("WRITTEN BY RUN", lambda table: table.last_write.run_id if table.last_write else ""),
    Column("COLUMNS", lambda table: ", ".join(f"{column.name} {column.type}" for column in table.columns)),
]
PARTITIONS = [
    Column("PARTITION", lambda one: ", ".join("NULL" if value is None else str(value) for value in one.values)),
    Column("ROWS", lambda one: f"{one.rows:,}", right=True),
    Column("ABOUT", lambda one: size(one.estimated_bytes), right=True),
]
WRITES = [
    Column("RUN", lambda one: one.run_id),
    Column("NAME", lambda one: one.run_name or ""),
    Column("TASK", lambda one: one.task_key),
    Column("AT", lambda one: plain(one.at) or ""),
    Column("READS", lambda one: ", ".join(one.reads or [])),
    Column("WRITES", lambda one: ", ".join(one.writes or [])),
]


def tables(
    name: Annotated[str | None, Parameter(help="one table, or SCHEMA.TABLE, with its lineage and views")] = None,
    /,
    *,
    schema: Annotated[str | None, Parameter(help="where the table lies")] = None,
    partitions: Annotated[bool, Parameter(negative="", help="list the table's partitions")] = False,
    partition_by: Annotated[str | None, Parameter(help="give the table this partition key; '' takes it away")] = None,
    common: Common = COMMON,
) -> None:
    """The warehouse's tables, or all about one of them."""
    if name is None and (partitions or partition_by is not None):
        raise Exit(USAGE, "Partitions are of one table: name it.")
    with common.client() as client:
        if name is None:
            emit(client.tables(), TABLES, common.output)
            return
        name, schema = _placed(client, name, schema)
        if partition_by is not None:
            client.partition_table(name, partition_by, schema=schema)
        if partitions:
            emit(_every_partition(client, name, schema), PARTITIONS, common.output)
            return
        table = client.table(name, schema=schema)
    emit_one(table, common.output, lambda: print_one(table))


def _placed(client: Client, name: str, schema: str | None) -> tuple[str, str | None]:
    """A table's name and schema: `a.b` is the table b of the schema a, unless a table is called so."""
    if schema is not None or "." not in name:
        return name, schema
    if any(table.schema == "main" and table.name.lower() == name.lower() for table in client.tables()):
        return name, schema
    within, _, table = name.partition(".")
    return (table, within) if within and table else (name, schema)


def _every_partition(client: Client, name: str, schema: str | None) -> Iterator[Partition]:
    offset: int | None = 0
    while offset is not None:
        page = client.partitions(name, schema=schema, offset=offset)
        yield from page.items
        offset = page.next


def print_one(table: Table) -> None:
    """A table, who wrote and read it, and its views."""
    print_table(TABLES, [table])
    print(f"\npartitioned by: {table.partition_by}" if table.partition_by else "\nno partitions")
    print(f"quarantine: {table.quarantine_rows or 0:,} rows")
    for title, writes in (("written by", table.written_by), ("read by", table.read_by)):
        if writes:
            print(f"\n{title}:")
            print_table(WRITES, writes)
    for view in table.views:
        print(f"\nview {view.name}: {view.source} -> {view.target}\n{view.statement}")


def query(
    sql: Annotated[str, Parameter(help="one SELECT; - reads it from standard input")],
    /,
    *,
    param: Params = (),
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="rows at most")] = 1000,
    dialect: Annotated[SqlDialect, Parameter(help="the language of the query")] = "duckdb",
    common: Common = COMMON,
) -> None:
    """Read the warehouse with SQL; `--param k=v` binds $k. jsonl writes one object a row."""
    text = sys.stdin.read() if sql == STDIN else sql
    with common.client() as client:
        result = client.query(text, parameters(param) or None, limit=limit, dialect=dialect)
    if common.output == "jsonl":
        for row in result.dicts():
            print(encode(plain(row)))
    else:
        emit_one(result, common.output, lambda: print_result(result, limit))
    if result.more:
        shown = f"These are the first {len(result.rows):,} rows; there are more."
        print(f"runyard: {shown} --limit takes up to 10,000, an export task all of them.", file=sys.stderr)
