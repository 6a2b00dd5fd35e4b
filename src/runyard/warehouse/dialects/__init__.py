"""SQL of other systems, as DuckDB's: read, rewritten and written again by sqlglot, in the warehouse process only.

sqlglot is loaded with the first text that needs it, so that a warehouse that only hears DuckDB's SQL stays small.
"""

from __future__ import annotations

import functools

from runyard.core.actions import SqlDialect
from runyard.warehouse.dialects.macros import CATALOG, OURS
from runyard.warehouse.refused import Refused

MAX_TEXT = 256 * 1024
"""Longer texts take seconds to rewrite, in which no other attempt could begin."""


def translated(text: str, dialect: SqlDialect) -> str:
    """A text of `dialect` as DuckDB's; raises `Refused` with the construct that cannot be said and its place."""
    found = _translated(text, dialect)
    if CATALOG in found:
        OURS.need()  # whoever runs this text, or keeps it
    return found


@functools.lru_cache(maxsize=2048)
def _translated(text: str, dialect: SqlDialect) -> str:
    if len(text) > MAX_TEXT:
        raise Refused(
            f"The text has {len(text)} characters; in the dialect {dialect} it may have {MAX_TEXT}. "
            "Load large data with a load task, or write the statement in DuckDB's SQL."
        )
    from runyard.warehouse.dialects.translate import translate

    return translate(text, dialect)
