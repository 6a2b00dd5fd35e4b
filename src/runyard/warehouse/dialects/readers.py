"""sqlglot's dialects with what ours add: `$name` stands for a bound value in all of them."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot.dialects import dremio, trino
from sqlglot.parsers.dremio import DremioParser
from sqlglot.tokenizer_core import TokenType


class Dremio(dremio.Dremio):
    """Dremio's SQL."""

    class Tokenizer(dremio.Dremio.Tokenizer):
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **dremio.Dremio.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }

    class Parser(DremioParser):
        # Read as the differences of dates of other systems, with the arguments in another order.
        FUNCTIONS: ClassVar[dict[str, Any]] = {
            name: build
            for name, build in DremioParser.FUNCTIONS.items()
            if name not in {"TIMESTAMPADD", "TIMESTAMPDIFF"}
        }


class Trino(trino.Trino):
    """Trino's SQL, which is also Athena's."""

    class Tokenizer(trino.Trino.Tokenizer):
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **trino.Trino.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }
