"""Remarks that a translation leaves in DuckDB's text, for `warehouse.remarks` to carry out."""

from __future__ import annotations

PARTITIONED = "/* runyard: partitioned by "
SHOW = "/* runyard: show partitions */"
DESCRIBE = "/* runyard: describe */"


def partitioned(create: str, key: list[str]) -> str:
    """A CREATE statement with the partition key of its table."""
    return f"CREATE {PARTITIONED}({', '.join(key)}) */{create.removeprefix('CREATE')}"
