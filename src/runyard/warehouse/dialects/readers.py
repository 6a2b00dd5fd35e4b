"""sqlglot's dialects with what ours add: `$name` stands for a bound value in all of them."""

from __future__ import annotations

from typing import ClassVar

from sqlglot.dialects import dremio, trino
from sqlglot.tokenizer_core import TokenType


class Dremio(dremio.Dremio):
    """Dremio's SQL."""

    class Tokenizer(dremio.Dremio.Tokenizer):
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **dremio.Dremio.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }


class Trino(trino.Trino):
    """Trino's SQL, which is also Athena's."""

    class Tokenizer(trino.Trino.Tokenizer):
        SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
            **trino.Trino.Tokenizer.SINGLE_TOKENS,
            "$": TokenType.PARAMETER,
        }
