"""Commands that read the warehouse."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from runyard.cli.options import COMMON, STDIN, Common, Params, parameters
from runyard.cli.render import Column, emit, emit_one, encode
from runyard.cli.runs import print_result
from runyard.client.views import plain
from runyard.core.actions import SqlDialect

TABLES = [
    Column("TABLE", lambda table: table.name if table.schema == "main" else f"{table.schema}.{table.name}"),
    Column("ROWS", lambda table: "" if table.rows is None else f"{table.rows:,}", right=True),
    Column("COLUMNS", lambda table: ", ".join(f"{column.name} {column.type}" for column in table.columns)),
]


def tables(*, common: Common = COMMON) -> None:
    """The warehouse's tables."""
    with common.client() as client:
        emit(client.tables(), TABLES, common.output)


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
        return
    emit_one(result, common.output, lambda: print_result(result, limit))
