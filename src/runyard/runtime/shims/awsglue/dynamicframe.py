"""DynamicFrame: rows with a schema, on an Arrow table, or on a Spark DataFrame where there is a Spark session."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Mapping = tuple[str, str, str, str]

_ARROW = {
    "string": "string", "int": "int32", "integer": "int32", "long": "int64", "bigint": "int64", "short": "int16",
    "smallint": "int16", "byte": "int8", "tinyint": "int8", "double": "float64", "float": "float32",
    "boolean": "bool", "date": "date32", "timestamp": "timestamp[us]", "binary": "binary",
}  # fmt: skip
_SPARK = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}


class DynamicFrame:
    """What a source gave. Every method gives a new frame; this one stays as it is."""

    def __init__(self, data: Any, glue_ctx: Any = None, name: str = "") -> None:
        """`data` is a pyarrow.Table or a Spark DataFrame."""
        self._data = data
        self.glue_ctx = glue_ctx
        self.name = name

    @classmethod
    def fromDF(cls, dataframe: Any, glue_ctx: Any, name: str = "") -> DynamicFrame:
        """A frame of a Spark DataFrame, a pyarrow.Table, a pandas DataFrame, or a list of rows."""
        if not _is_spark(dataframe):
            dataframe = as_arrow(dataframe)
        return cls(dataframe, glue_ctx, name)

    def toDF(self, options: Any = None) -> Any:
        """The Spark DataFrame, or, without Spark, the pyarrow.Table."""
        return self._data

    def to_arrow(self) -> Any:
        """The rows as a pyarrow.Table, wherever they are."""
        if not _is_spark(self._data):
            return self._data
        return as_arrow([row.asDict(recursive=True) for row in self._data.collect()])

    # --- looking ---

    def count(self) -> int:
        """How many rows."""
        return int(self._data.count() if _is_spark(self._data) else self._data.num_rows)

    def schema(self) -> Any:
        """The schema of the data beneath."""
        return self._data.schema

    def printSchema(self) -> None:
        """Prints it."""
        if _is_spark(self._data):
            self._data.printSchema()
        else:
            print("root\n" + "".join(f"|-- {one.name}: {one.type}\n" for one in self._data.schema))  # noqa: T201

    def show(self, num_rows: int = 20) -> None:
        """Prints the first rows, one JSON object a line."""
        for row in self._rows(num_rows):
            print(json.dumps(row, default=str))  # noqa: T201

    def errorsCount(self) -> int:
        """Rows that could not be read; a file that cannot be read fails the run instead."""
        return 0

    def stageErrorsCount(self) -> int:
        """As `errorsCount`."""
        return 0

    def _rows(self, limit: int | None = None) -> list[Row]:
        if _is_spark(self._data):
            found = self._data.collect() if limit is None else self._data.take(limit)
            return [row.asDict(recursive=True) for row in found]
        return list((self._data if limit is None else self._data.slice(0, limit)).to_pylist())

    def _names(self) -> list[str]:
        return list(self._data.columns) if _is_spark(self._data) else list(self._data.column_names)

    def _new(self, data: Any) -> DynamicFrame:
        return DynamicFrame(data, self.glue_ctx, self.name)

    def _from_rows(self, rows: list[Row]) -> DynamicFrame:
        if _is_spark(self._data):
            session = self._data.sparkSession
            return self._new(session.createDataFrame(rows) if rows else self._data.limit(0))
        pa = importlib.import_module("pyarrow")
        return self._new(pa.Table.from_pylist(rows) if rows else self._data.slice(0, 0))

    # --- columns ---

    def select_fields(self, paths: Sequence[str], transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """Only these columns; those that are not there are left out."""
        wanted = [path for path in paths if path in self._names()]
        return self._new(self._data.select(*wanted) if _is_spark(self._data) else self._data.select(wanted))

    def drop_fields(self, paths: Sequence[str], transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """All but these columns."""
        return self.select_fields([name for name in self._names() if name not in paths])

    def rename_field(self, oldName: str, newName: str, transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """One column under another name."""
        if _is_spark(self._data):
            return self._new(self._data.withColumnRenamed(oldName, newName))
        return self._new(self._data.rename_columns([newName if one == oldName else one for one in self._names()]))

    def apply_mapping(self, mappings: Sequence[Any], transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """Columns by (source, source type, target, target type); what is not named is dropped."""
        full = [_mapping(one) for one in mappings]
        known = [one for one in full if one[0] in self._names()]
        if _is_spark(self._data):
            functions = importlib.import_module("pyspark.sql.functions")
            columns = [functions.col(one[0]).cast(_SPARK.get(one[3], one[3])).alias(one[2]) for one in known]
            return self._new(self._data.select(*columns))
        pa = importlib.import_module("pyarrow")
        return self._new(pa.table({one[2]: _cast(self._data[one[0]], one[3]) for one in known}))

    def resolveChoice(
        self, specs: Sequence[tuple[str, str]] | None = None, choice: str = "", transformation_ctx: str = "", **_: Any
    ) -> DynamicFrame:
        """Casts columns by ("column", "cast:type"); a frame of ours has one type for each column already."""
        names = self._names()
        casts = {name: spec.partition(":")[2] for name, spec in specs or [] if spec.startswith("cast:")}
        if choice.startswith("cast:"):
            casts |= {name: choice.partition(":")[2] for name in names if name not in casts}
        if not casts:
            return self
        types = self._types()
        return self.apply_mapping([(one, types[one], one, casts.get(one, types[one])) for one in names])

    def _types(self) -> dict[str, str]:
        return (
            dict(self._data.dtypes) if _is_spark(self._data) else {one.name: str(one.type) for one in self._data.schema}
        )

    # --- rows ---

    def filter(self, f: Callable[[Row], bool], transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """The rows for which `f` is true; a row is a dict."""
        if _is_spark(self._data):
            return self._from_rows([row for row in self._rows() if f(row)])
        pa = importlib.import_module("pyarrow")
        return self._new(self._data.filter(pa.array([bool(f(row)) for row in self._rows()], pa.bool_())))

    def map(self, f: Callable[[Row], Row], transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """Each row as `f` makes it."""
        return self._from_rows([f(row) for row in self._rows()])

    def join(
        self, paths1: Sequence[str], paths2: Sequence[str], frame2: DynamicFrame, transformation_ctx: str = "", **_: Any
    ) -> DynamicFrame:
        """The rows of both whose keys are equal; a name that both have gets a dot and the second's in front."""
        clash = set(self._names()) & set(frame2._names())
        mark = "__second__"  # Arrow reads a name that begins with a dot as a path
        second = frame2
        for name in sorted(clash):
            second = second.rename_field(name, mark + name)
        keys2 = [mark + name if name in clash else name for name in paths2]
        if _is_spark(self._data):
            tests = [self._data[a] == second._data[b] for a, b in zip(paths1, keys2, strict=True)]
            joined = self._new(self._data.join(second._data, tests, "inner"))
        else:
            joined = self._new(self._data.join(second._data, list(paths1), keys2, "inner", coalesce_keys=False))
        for name in sorted(clash):
            joined = joined.rename_field(mark + name, f".{name}")
        return joined

    def union(self, frame2: DynamicFrame, transformation_ctx: str = "", **_: Any) -> DynamicFrame:
        """The rows of both."""
        if _is_spark(self._data):
            return self._new(self._data.unionByName(frame2._data, allowMissingColumns=True))
        pa = importlib.import_module("pyarrow")
        return self._new(pa.concat_tables([self._data, frame2._data], promote_options="permissive"))

    def repartition(self, num_partitions: int, *_: Any, **__: Any) -> DynamicFrame:
        """In so many partitions; without Spark there is one."""
        return self._new(self._data.repartition(num_partitions)) if _is_spark(self._data) else self

    def coalesce(self, num_partitions: int, *_: Any, **__: Any) -> DynamicFrame:
        """In at most so many partitions; without Spark there is one."""
        return self._new(self._data.coalesce(num_partitions)) if _is_spark(self._data) else self


def _is_spark(data: Any) -> bool:
    return type(data).__module__.startswith("pyspark.")


def as_arrow(data: Any) -> Any:
    """Whatever holds rows, as a pyarrow.Table."""
    pa = importlib.import_module("pyarrow")
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, list):
        return pa.Table.from_pylist(data)
    if isinstance(data, dict):
        return pa.table(data)
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    return pa.Table.from_pandas(data)


def _mapping(one: Any) -> Mapping:
    parts = list(one)
    if len(parts) == 2:
        parts = [parts[0], "", parts[1], ""]
    elif len(parts) == 3:
        parts = [parts[0], "", parts[1], parts[2]]
    return str(parts[0]), str(parts[1]), str(parts[2]), str(parts[3]) or str(parts[1])


def _cast(column: Any, wanted: str) -> Any:
    pa = importlib.import_module("pyarrow")
    if wanted.startswith("decimal"):
        digits = [int(one) for one in wanted[7:].strip("()").split(",") if one.strip()] or [10, 2]
        return column.cast(pa.decimal128(*digits))
    name = _ARROW.get(wanted.lower())
    if name is None:
        return column if not wanted else column.cast(wanted)
    if name == "timestamp[us]":
        return column.cast(pa.timestamp("us"))
    return column.cast(name)
