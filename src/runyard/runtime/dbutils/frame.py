"""The rows of a statement, with the few methods of a DataFrame that need no engine."""

from __future__ import annotations

import html
from typing import Any

SHOWN_ROWS = 20
MAX_HTML_ROWS = 1000
_ADVICE = "This frame holds a result; change the SQL, use toPandas(), or install PySpark for the rest."


class Row(tuple[Any, ...]):
    """One row: by place, by name (`row["n"]`, `row.n`), `asDict()`."""

    __fields__: tuple[str, ...] = ()

    def asDict(self) -> dict[str, Any]:
        """Values by name."""
        return dict(zip(self.__fields__, self, strict=True))

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.__fields__.index(key) if isinstance(key, str) else key)

    def __getattr__(self, name: str) -> Any:
        try:
            return tuple.__getitem__(self, type(self).__fields__.index(name))
        except ValueError:
            raise AttributeError(f"The row has no field {name!r}; it has {', '.join(self.__fields__)}.") from None

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self.asDict().items())})"


class Frame:
    """Rows that are there already, as a pyarrow.Table."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._table.column_names)

    def collect(self) -> list[Row]:
        """All rows."""
        kind = type("Row", (Row,), {"__fields__": tuple(self.columns)})
        columns = [column.to_pylist() for column in self._table.columns]
        return [kind(values) for values in zip(*columns, strict=True)]

    def count(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    def first(self) -> Row | None:
        """The first row, or None."""
        return next(iter(self.limit(1).collect()), None)

    def head(self, n: int | None = None) -> Any:
        """The first row, or the first n as a list."""
        return self.first() if n is None else self.limit(n).collect()

    def take(self, num: int) -> list[Row]:
        """The first rows."""
        return self.limit(num).collect()

    def limit(self, num: int) -> Frame:
        """The first rows, as a frame."""
        return Frame(self._table.slice(0, num))

    def toPandas(self) -> Any:
        """A pandas.DataFrame; pandas must be installed."""
        return self._table.to_pandas()

    def toArrow(self) -> Any:
        """A pyarrow.Table."""
        return self._table

    def show(self, n: int = SHOWN_ROWS, truncate: bool = True) -> None:
        """Prints the first rows."""
        print(self._text(n, 20 if truncate else 10_000))  # noqa: T201  # its purpose

    def createOrReplaceTempView(self, name: str) -> None:
        """Not offered."""
        raise NotImplementedError(
            f"Temporary views are not offered: use CREATE OR REPLACE VIEW {name} AS SELECT ..., or install PySpark."
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"A frame of the warehouse has no {name!r}. {_ADVICE}")

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        fields = ", ".join(f"{field.name}: {field.type}" for field in self._table.schema)
        return f"DataFrame[{fields}]"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape('' if cell is None else str(cell))}</td>" for cell in row) + "</tr>"
            for row in self.take(MAX_HTML_ROWS)
        )
        more = f"<p>{self.count():,} rows; the first {MAX_HTML_ROWS:,} are shown.</p>"
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return table + (more if self.count() > MAX_HTML_ROWS else "")

    def _text(self, n: int, width: int) -> str:
        rows = [["null" if cell is None else str(cell) for cell in row] for row in self.take(n)]
        cut = [[cell if len(cell) <= width else cell[: width - 3] + "..." for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *cut, strict=True)]
        rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        lines = ["|" + "|".join(f" {cell:>{w}} " for cell, w in zip(row, widths, strict=True)) + "|" for row in cut]
        head = "|" + "|".join(f" {name:>{w}} " for name, w in zip(self.columns, widths, strict=True)) + "|"
        more = [f"only the first {n} rows are shown"] if self.count() > n else []
        return "\n".join([rule, head, rule, *lines, rule, *more])
