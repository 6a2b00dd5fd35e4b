"""Reads ClickHouse's SQL: every call is kept as it was written, with its place, to be looked up in our tables."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects import clickhouse
from sqlglot.parser import Parser
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

_KEPT = ("AND", "CAST", "COLUMNS", "EXTRACT", "OR", "POSITION", "SUBSTRING", "TRIM", "TRY_CAST", "XOR")


class Call(exp.Expression, exp.Func):
    """A call of one of ClickHouse's functions; `parameters` are those of `quantile(0.5)(x)`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expressions": False, "parameters": False}
    is_var_len_args = True


class ClickHouse(clickhouse.ClickHouse):
    """ClickHouse's SQL, without its $heredoc$ strings: `$name` stands for a bound value."""

    class Tokenizer(clickhouse.ClickHouse.Tokenizer):
        HEREDOC_STRINGS: ClassVar[list[str | tuple[str, str]]] = []
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **clickhouse.ClickHouse.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }

    class Parser(ClickHouseParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: parse for name, parse in ClickHouseParser.FUNCTION_PARSERS.items() if name in _KEPT
        }
        QUERY_MODIFIER_PARSERS: ClassVar[dict[TokenType, Any]] = {
            **ClickHouseParser.QUERY_MODIFIER_PARSERS,
            TokenType.LIMIT: lambda self: self._limit(),
        }

        def _limit(self) -> tuple[str, Any]:
            """`LIMIT n BY x` may stand before the ordinary LIMIT of the same statement."""
            limit: Any = self._parse_limit()
            return ("limit_by" if limit and limit.expressions else "limit"), limit

        def _parse_function(self, *args: Any, **kwargs: Any) -> Any:
            found = Parser._parse_function(self, *args, **kwargs)
            inner = found
            while isinstance(inner, exp.Window | exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
                inner = inner.this
            if type(inner) is not exp.Anonymous:
                return found
            call = Call(this=inner.name, expressions=inner.expressions)
            call._meta = inner._meta
            if inner is not found:
                inner.replace(call)
                return found
            if self._curr and self._curr.token_type is TokenType.L_PAREN:
                call.set("parameters", call.expressions)
                call.set("expressions", self._parse_func_params(call))
                return self._parse_window(call)
            return call
