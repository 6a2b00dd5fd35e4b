"""`spark`: a PySpark session where PySpark is installed, else SQL over the warehouse's tables."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from typing import Any

from runyard.core.actions import Sql, SqlDialect
from runyard.runtime import context
from runyard.runtime.dbutils.frame import Frame
from runyard.runtime.dbutils.statements import bound, split

_ADVICE = (
    "Here spark is SQL over the warehouse (spark.sql, spark.table). Install PySpark for the rest: pip install pyspark"
)
DIALECT: SqlDialect = "databricks"
_READS = re.compile(r"(?:select|with|values|from|show|describe|desc|explain|table|summarize|pivot)\b", re.IGNORECASE)


class SparkNotHere(AttributeError):
    """Something of Spark's that needs PySpark, which is not installed."""


class Spark:
    """Made for each notebook; a PySpark session starts with its first use, since that takes seconds."""

    def __init__(self) -> None:
        self._session: Any = None

    def _real(self) -> Any:
        if self._session is None and importlib.util.find_spec("pyspark") is not None:
            # A driver for this machine alone: the task's environment may say otherwise.
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            session = importlib.import_module("pyspark.sql").SparkSession
            self._session = session.builder.appName("notebook").config("spark.ui.enabled", "false").getOrCreate()
        return self._session

    def sql(self, sqlQuery: str, args: dict[str, Any] | None = None, **values: Any) -> Any:
        """Runs one statement; what it gives is a frame. `:name` in the text takes its value from `args`."""
        if (real := self._real()) is not None:
            return real.sql(sqlQuery, args, **values) if args or values else real.sql(sqlQuery)
        return _run(sqlQuery, {**(args or {}), **values})

    def table(self, tableName: str) -> Any:
        """All rows of a table."""
        if (real := self._real()) is not None:
            return real.table(tableName)
        return Frame(context.read_table(tableName))

    def script(self, text: str, values: dict[str, str]) -> Any:
        """The statements of a cell, one after the other; the last one's frame, or None where it gives no rows."""
        frame = None
        for statement in split(re.sub(r"\$\{(\w+)\}", lambda found: _text(values, found.group(1)), text)):
            used = {name: values[name] for name in bound(statement)[1] if name in values}
            frame = self.sql(statement, used)
        return frame if frame is not None and frame.columns else None

    def stop(self) -> None:
        """Ends the session, if there is one."""
        if self._session is not None:
            self._session.stop()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if (real := self._real()) is not None:
            return getattr(real, name)
        raise SparkNotHere(f"spark.{name} needs PySpark. {_ADVICE}")


def _text(values: dict[str, str], name: str) -> str:
    if name not in values:
        raise KeyError(f"The cell uses ${{{name}}}, but there is no widget of this name.")
    return values[name]


def _run(text: str, values: dict[str, Any]) -> Frame:
    statements = split(text)
    if len(statements) != 1:
        raise ValueError(f"spark.sql takes one statement; found {len(statements)}.")
    statement, names = bound(statements[0])
    if missing := sorted(set(names) - set(values)):
        raise ValueError(f"The statement uses :{missing[0]}, which has no value.")
    if _READS.match(statement):
        return Frame(context.read_table(statement, {name: values[name] for name in names}, DIALECT))
    from runyard.runtime import children

    output = children.run(
        Sql(statement=statement, parameters={name: values[name] for name in names}, dialect=DIALECT), "sql"
    )
    return Frame(_table(output))


def _table(output: Any) -> Any:
    """What a statement that changes tables gives back: counts, or nothing."""
    import pyarrow as pa

    rows = output.get("rows", []) if isinstance(output, dict) else []
    names = [column["name"] for column in output["columns"]] if rows else []
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
