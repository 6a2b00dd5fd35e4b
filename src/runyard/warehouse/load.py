"""Loads files and URLs into tables. (Under construction.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from runyard.core.actions import Load
from runyard.core.attempts import Outcome
from runyard.warehouse.settings import Settings
from runyard.warehouse.tasks import Task


class LoadFailed(Exception):
    """A load that cannot be done; nothing was changed."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class Loader:
    """Loads into the tables of one database."""

    def __init__(self, spool: Path, settings: Settings) -> None:
        self._spool, self._settings = spool, settings

    def tables(self, action: Load) -> frozenset[str]:
        """The tables that a load writes."""
        return frozenset({action.table.lower(), f"{action.table.lower()}_quarantine"})

    def run(
        self, task: Task, action: Load, cursor: duckdb.DuckDBPyConnection, tell: Callable[[Task, dict[str, Any]], None]
    ) -> Outcome:
        """Loads, or raises `LoadFailed`."""
        raise LoadFailed("Loads are not there yet.", retry=False)
