"""GlueContext: where frames come from and go to."""

from __future__ import annotations

import importlib
import itertools
import logging
from pathlib import Path
from typing import Any

from runyard.runtime import context
from runyard.runtime.locations import LocationError

from . import bookmark, files
from .dynamicframe import DynamicFrame

Json = dict[str, Any]
_numbers = itertools.count()
_LOCATIONS = ("s3", "file", "custom.files")


class GlueContext:
    """Reads and writes frames: on Spark with a SparkContext, on Arrow without one."""

    def __init__(self, sparkContext: Any = None, **options: Any) -> None:
        self._session: Any = None
        if sparkContext is not None:
            self._session = importlib.import_module("pyspark.sql").SparkSession(sparkContext)
        self.create_dynamic_frame = _Source(self)
        self.write_dynamic_frame = _Sink(self)

    @property
    def spark_session(self) -> Any:
        """The Spark session. Raises RuntimeError without Spark."""
        if self._session is None:
            raise RuntimeError("There is no Spark here: make GlueContext(SparkContext.getOrCreate()), with pyspark.")
        return self._session

    def get_logger(self) -> logging.Logger:
        """A logger that writes to the run's log."""
        logger = logging.getLogger("glue")
        if not logger.handlers:
            logger.addHandler(logging.StreamHandler())
            logger.setLevel(logging.INFO)
        return logger

    def create_dynamic_frame_from_options(
        self,
        connection_type: str,
        connection_options: Json | None = None,
        format: str | None = None,
        format_options: Json | None = None,
        transformation_ctx: str = "",
        **_: Any,
    ) -> DynamicFrame:
        """Files of an s3 (or local) path as a frame; with a transformation_ctx only what its bookmark has not seen."""
        options = connection_options or {}
        _only_files(connection_type)
        paths = options.get("paths") or ([options["path"]] if "path" in options else [])
        if not paths:
            raise LocationError("connection_options must hold paths.")
        entries = files.selected(paths, options, transformation_ctx)
        kind = (format or "parquet").lower()
        if self._session is not None:
            return DynamicFrame(self._spark_read(entries, kind, format_options or {}), self, transformation_ctx)
        return DynamicFrame(files.read(entries, kind, format_options or {}), self, transformation_ctx)

    def _spark_read(self, entries: list[Any], kind: str, options: Json) -> Any:
        # Spark reads when it must, so what had to be fetched stays as long as the attempt's folder.
        where, folder = files.places(), Path.cwd() / "spark-input" / str(next(_numbers))
        paths = [str(where.fetch(one.location, folder / str(place))) for place, one in enumerate(entries)]
        if not paths:
            types = importlib.import_module("pyspark.sql.types")
            return self._session.createDataFrame([], types.StructType([]))
        reader = self._session.read
        if kind == "csv":
            reader = reader.option("header", str(options.get("withHeader", False)).lower())
            reader = reader.option("sep", options.get("separator", ","))
            frame = reader.csv(paths)
            header = str(options.get("withHeader", False)).lower() == "true"
            return frame if header else frame.toDF(*[f"col{place}" for place in range(len(frame.columns))])
        if kind == "json":
            return reader.json(paths)
        return reader.parquet(*paths)

    def create_dynamic_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Json | None = None,
        **_: Any,
    ) -> DynamicFrame:
        """A table of the warehouse as a frame; with jobBookmarkKeys only rows beyond the last that were read."""
        name = _table(database, table_name)
        options = additional_options or {}
        keys = options.get("jobBookmarkKeys") or []
        if push_down_predicate or (keys and transformation_ctx):
            table = _read_rows(name, push_down_predicate, keys, transformation_ctx)
        else:
            table = context.read_table(name)
        return DynamicFrame(self._on_spark(table), self, transformation_ctx)

    def _on_spark(self, table: Any) -> Any:
        if self._session is None:
            return table
        if table.num_rows == 0:
            types = importlib.import_module("pyspark.sql.types")
            fields = [types.StructField(one, types.StringType()) for one in table.column_names]
            return self._session.createDataFrame([], types.StructType(fields))
        return self._session.createDataFrame(table.to_pylist())

    def write_dynamic_frame_from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Json | None = None,
        format: str | None = None,
        format_options: Json | None = None,
        transformation_ctx: str = "",
        **_: Any,
    ) -> DynamicFrame:
        """Writes files below `path`, by partitionKeys where given."""
        options = connection_options or {}
        _only_files(connection_type)
        if "path" not in options:
            raise LocationError("connection_options must hold path.")
        kind = (format or "parquet").lower()
        files.write(frame.to_arrow(), options["path"], kind, format_options or {}, options.get("partitionKeys") or [])
        return frame

    def write_dynamic_frame_from_catalog(
        self, frame: DynamicFrame, database: str, table_name: str, transformation_ctx: str = "", **_: Any
    ) -> DynamicFrame:
        """Appends to a table of the warehouse, which is made when it is not there; once for all attempts of the run."""
        context.write_table(_table(database, table_name), frame.to_arrow())
        return frame


class _Source:
    """`glue_context.create_dynamic_frame.from_options(...)`."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.from_options = glue_context.create_dynamic_frame_from_options
        self.from_catalog = glue_context.create_dynamic_frame_from_catalog


class _Sink:
    """`glue_context.write_dynamic_frame.from_options(...)`."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.from_options = glue_context.write_dynamic_frame_from_options
        self.from_catalog = glue_context.write_dynamic_frame_from_catalog


def _only_files(connection_type: str) -> None:
    if connection_type not in _LOCATIONS:
        raise LocationError(f"The connection type {connection_type!r} is not known here; use s3, or from_catalog.")


def _table(database: str | None, table_name: str | None) -> str:
    if not table_name:
        raise LocationError("table_name must be given.")
    return f"{database}.{table_name}" if database and database != "default" else table_name


def _read_rows(name: str, predicate: str, keys: list[str], transformation_ctx: str) -> Any:
    """Rows by a predicate and beyond the bookmark's last key, which grows (JDBC sources' way)."""
    before, until = bookmark.bounds(transformation_ctx)
    tests = [f"({predicate})"] if predicate else []
    values: Json = {}
    columns = ", ".join(f'"{key}"' for key in keys)
    for sign, mark, bound in ((">", "low", before), ("<=", "high", until)):
        if keys and bound and bound.get("key"):
            names = {f"{mark}{place}": value for place, value in enumerate(bound["key"])}
            tests.append(f"({columns}) {sign} ({', '.join(f'${one}' for one in names)})")
            values |= names
    table = '"' + '"."'.join(name.split(".")) + '"'
    rows = context.read_table(f"SELECT * FROM {table}" + (f" WHERE {' AND '.join(tests)}" if tests else ""), values)
    if keys:
        found = [tuple(row[key] for key in keys) for row in rows.select(keys).to_pylist()]
        newest = list(max(found)) if found else before.get("key")
        bookmark.processed(transformation_ctx, {"key": newest} if newest else {})
    return rows
