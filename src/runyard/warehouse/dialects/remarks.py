"""Remarks that a translation leaves in DuckDB's text, for `warehouse.remarks` to carry out."""

from __future__ import annotations

from runyard.warehouse.dialects.places import Unsayable

PARTITIONED = "/* runyard: partitioned by "
SHOW = "/* runyard: show partitions */"
DESCRIBE = "/* runyard: describe */"


def partitioned(create: str, key: list[str]) -> str:
    """A CREATE statement with the partition key of its table; raises `Unsayable` for one that would end the remark."""
    if any(mark in one for one in key for mark in ("/*", "*/")):
        raise Unsayable("a partition key with a comment's marks has no counterpart here")
    return f"CREATE {PARTITIONED}({', '.join(key)}) */{create.removeprefix('CREATE')}"
