"""Writes DuckDB's SQL, and says which construct it cannot write and where that stands."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.hive import Hive
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.time import format_time

from runyard.warehouse.checker import allowed_functions
from runyard.warehouse.dialects.places import Unsayable

# Spelled as functions, and part of DuckDB's grammar.
_GRAMMAR = {"coalesce", "columns", "exists", "grouping", "grouping_id", "ifnull", "nullif", "operator", "row", "try"}
_ORACLE = {"YYYY": "%Y", "YY": "%y", "MONTH": "%B", "MON": "%b", "MM": "%m", "DDD": "%j", "DD": "%d", "DAY": "%A",
           "DY": "%a", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M", "SS": "%S", "FFF": "%g", "AM": "%p",
           "PM": "%p"}  # fmt: skip
_ORACLE_PART = re.compile("|".join(sorted(_ORACLE, key=len, reverse=True)) + r"|[A-Za-z#09]+|.", re.IGNORECASE)


class Spelled(exp.Expression, exp.Func):
    """DuckDB's text for a call, with places for its arguments."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expressions": False}
    is_var_len_args = True


class Writer(DuckDBGenerator):
    """sqlglot's generator for DuckDB, strict: what is not supported raises `Unsayable`."""

    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **DuckDBGenerator.TRANSFORMS,
        Spelled: lambda self, node: self.spelled(node),
        exp.TsOrDsAdd: lambda self, node: f"CAST({DuckDBGenerator.TRANSFORMS[exp.TsOrDsAdd](self, node)} AS DATE)",
        exp.StrToUnix: lambda self, node: self.unix(node),
        exp.ToChar: lambda self, node: self.to_char(node),
    }

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

    def datatype_sql(self, expression: exp.DataType) -> str:
        """Types that make values by themselves are refused."""
        kind = expression.this.name if isinstance(expression.this, exp.DType) else str(expression.this)
        if kind in {"SERIAL", "BIGSERIAL", "SMALLSERIAL"}:
            raise Unsayable(f"the type {kind} has no counterpart here; use a sequence as the default", expression)
        return str(super().datatype_sql(expression))

    def unsupported(self, message: str) -> None:
        """Never only a warning."""
        raise Unsayable(message.rstrip("."), self._path[-1] if self._path else None)

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        """A function that sqlglot does not know: one of DuckDB's, or a macro that is named with its schema."""
        if not isinstance(expression.parent, exp.Dot):
            _known(expression.name, expression)
        return str(super().anonymous_sql(expression))

    def function_fallback_sql(self, expression: exp.Func) -> str:
        """A function that sqlglot knows, without knowing DuckDB's name for it."""
        _known(self.function_name(expression), expression)
        return str(super().function_fallback_sql(expression))

    def spelled(self, node: Spelled) -> str:
        """By its template."""
        texts = [self.sql(one) for one in node.expressions]
        return str(node.this).format(*texts, all=", ".join(texts))

    def unix(self, node: exp.StrToUnix) -> str:
        """Seconds since 1970, of a timestamp as of its text in the usual form."""
        if "strict" in str(node.args.get("format")) or node.args.get("format") is None:
            return f"CAST(epoch(CAST({self.sql(node, 'this')} AS TIMESTAMP)) AS BIGINT)"
        return f"CAST(epoch(strptime({self.sql(node, 'this')}, {self.format_time(node)})) AS BIGINT)"

    def to_char(self, node: exp.ToChar) -> str:
        """A moment as text, by a pattern such as YYYY-MM-DD HH24:MI:SS."""
        pattern = node.args.get("format")
        if not isinstance(pattern, exp.Literal):
            raise Unsayable("TO_CHAR needs its format as a text", node)
        return f"strftime({self.sql(node, 'this')}, '{_oracle_format(str(pattern.this), node)}')"


def java_format(pattern: str) -> str:
    """yyyy-MM-dd as DuckDB's %Y-%m-%d."""
    return format_time(pattern, Hive.TIME_MAPPING, Hive.TIME_TRIE) or pattern


def _oracle_format(pattern: str, node: exp.Expression) -> str:
    parts = []
    for part in _ORACLE_PART.findall(pattern):
        found = _ORACLE.get(part.upper())
        if found is None and re.fullmatch(r"[A-Za-z#09]+", part) and part.upper() != "T":
            raise Unsayable(f"TO_CHAR with {part!r} in its format has no counterpart here", node)
        parts.append(found or part.replace("'", "''").replace("%", "%%"))
    return "".join(parts)


def _known(name: str, node: Any) -> None:
    if name.lower() not in allowed_functions() and name.lower() not in _GRAMMAR:
        raise Unsayable(f"the function {name} has no counterpart here", node)


def _title(node: exp.Expression) -> str:
    return type(node).__name__.upper()
