"""The languages that are understood: how each is read, what is rewritten in it, how DuckDB's text is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlglot import exp
from sqlglot.dialects.databricks import Databricks
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.postgres import Postgres

from runyard.core.actions import SqlDialect
from runyard.warehouse.dialects import common, databricks
from runyard.warehouse.dialects.clickhouse_parser import ClickHouse
from runyard.warehouse.dialects.clickhouse_rewrite import rewrite
from runyard.warehouse.dialects.clickhouse_writer import ClickHouseWriter
from runyard.warehouse.dialects.readers import Dremio, Trino
from runyard.warehouse.dialects.writer import Writer


class Language(msgspec.Struct, frozen=True):
    """`reader` is the sqlglot dialect; `rewrite` changes a parsed statement before it is written."""

    title: str
    reader: type[Dialect]
    rewrite: Callable[[exp.Expression], exp.Expression] = lambda tree: tree
    writer: Callable[[], Any] = Writer
    statement: Callable[[str, Callable[[str], str]], str | None] | None = None
    """Reads one statement that sqlglot does not, if the language has such; None for all others."""


LANGUAGES: dict[SqlDialect, Language] = {
    "clickhouse": Language("ClickHouse", ClickHouse, rewrite, ClickHouseWriter),
    "databricks": Language("Databricks", Databricks, common.databricks, statement=databricks.statement),
    "dremio": Language("Dremio", Dremio, common.dremio),
    "trino": Language("Trino", Trino, common.rewriter("trino")),
    "postgres": Language("PostgreSQL", Postgres, common.rewriter("postgres")),
}
