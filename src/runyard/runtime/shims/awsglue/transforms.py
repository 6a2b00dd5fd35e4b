"""The transforms as classes: `ApplyMapping.apply(frame=..., mappings=...)` is `frame.apply_mapping(...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .dynamicframe import DynamicFrame

__all__ = [
    "ApplyMapping", "DropFields", "DropNullFields", "Filter", "Join", "Map", "RenameField", "ResolveChoice",
    "SelectFields",
]  # fmt: skip


class ApplyMapping:
    """Columns by (source, source type, target, target type)."""

    @staticmethod
    def apply(frame: DynamicFrame, mappings: Sequence[Any], **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.apply_mapping(mappings)


class SelectFields:
    """Only these columns."""

    @staticmethod
    def apply(frame: DynamicFrame, paths: Sequence[str], **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.select_fields(paths)


class DropFields:
    """All but these columns."""

    @staticmethod
    def apply(frame: DynamicFrame, paths: Sequence[str], **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.drop_fields(paths)


class DropNullFields:
    """Leaves out columns that hold nothing but null."""

    @staticmethod
    def apply(frame: DynamicFrame, **_: Any) -> DynamicFrame:
        """Applies it."""
        table = frame.to_arrow()
        empty = [name for name in table.column_names if table[name].null_count == table.num_rows]
        return frame.drop_fields(empty) if table.num_rows else frame


class RenameField:
    """One column under another name."""

    @staticmethod
    def apply(frame: DynamicFrame, old_name: str, new_name: str, **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.rename_field(old_name, new_name)


class Filter:
    """The rows for which `f` is true."""

    @staticmethod
    def apply(frame: DynamicFrame, f: Callable[[dict[str, Any]], bool], **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.filter(f)


class Map:
    """Each row as `f` makes it."""

    @staticmethod
    def apply(frame: DynamicFrame, f: Callable[[dict[str, Any]], dict[str, Any]], **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.map(f)


class ResolveChoice:
    """Casts columns."""

    @staticmethod
    def apply(frame: DynamicFrame, specs: Any = None, choice: str = "", **_: Any) -> DynamicFrame:
        """Applies it."""
        return frame.resolveChoice(specs, choice)


class Join:
    """The rows of both frames whose keys are equal."""

    @staticmethod
    def apply(
        frame1: DynamicFrame, frame2: DynamicFrame, keys1: Sequence[str], keys2: Sequence[str], **_: Any
    ) -> DynamicFrame:
        """Applies it."""
        return frame1.join(keys1, keys2, frame2)
