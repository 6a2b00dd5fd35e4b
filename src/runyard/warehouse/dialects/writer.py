"""Writes DuckDB's SQL, and says which construct it cannot write and where that stands."""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator

from runyard.warehouse.dialects.places import Unsayable


class Writer(DuckDBGenerator):
    """sqlglot's generator for DuckDB, strict: what is not supported raises `Unsayable`."""

    def __init__(self) -> None:
        super().__init__(dialect=DuckDB(), comments=False)
        self._path: list[exp.Expression] = []

    def sql(self, expression: Any, key: str | None = None, comment: bool = True) -> str:
        """Follows which node is being written."""
        if key is not None or not isinstance(expression, exp.Expression):
            return super().sql(expression, key, comment)
        self._path.append(expression)
        try:
            text: str = super().sql(expression, key, comment)
        except ValueError as error:
            raise Unsayable(f"{_title(expression)} has no counterpart here", expression) from error
        finally:
            self._path.pop()
        return text

    def unsupported(self, message: str) -> None:
        """Never only a warning."""
        raise Unsayable(message.rstrip("."), self._path[-1] if self._path else None)


def _title(node: exp.Expression) -> str:
    return type(node).__name__.upper()
