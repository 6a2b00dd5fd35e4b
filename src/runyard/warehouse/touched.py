"""What one piece of work read and changed, gathered while it runs: for lineage, triggers and the views that follow."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Name = tuple[str, str]
"""Schema and table, in lower case."""


def named(schema: str, table: str) -> Name:
    """The name under which a table is compared."""
    return schema.lower(), table.lower()


class Touched(msgspec.Struct):
    """Tables by what happened to them."""

    appended: set[Name] = msgspec.field(default_factory=set)
    """Got new rows."""
    replaced: dict[Name, str] = msgspec.field(default_factory=dict)
    """Lost all rows (""), or those that match a condition, and got new ones instead."""
    changed: set[Name] = msgspec.field(default_factory=set)
    """Anything else: rows were deleted or updated, the table itself was made or altered."""
    read: set[Name] = msgspec.field(default_factory=set)
    suspects: frozenset[str] | None = frozenset()
    """Unqualified names of tables that may have got rows, by SQL that we did not write; None: any."""
    reshaped: bool = False
    """Whether tables may have been dropped or changed in their shape."""

    def written(self) -> list[str]:
        """Every table that was written, as `schema.table`, in order."""
        return spelled(self.appended | self.replaced.keys() | self.changed)


def spelled(names: Iterable[Name]) -> list[str]:
    """Names as they stand in metrics and lineage."""
    return sorted(f"{schema}.{table}" for schema, table in names)
