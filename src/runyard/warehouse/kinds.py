"""What the runner knows of a kind of work: which tables it writes, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import duckdb

from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.warehouse.tasks import Task

Tell = Callable[[Task, dict[str, Any]], None]
"""Reports progress of a task."""


class Kind(Protocol):
    """One kind of work other than SQL of the user's own."""

    @property
    def reason(self) -> Reason:
        """The code of its failures."""

    def tables(self, action: Any) -> frozenset[str]:
        """The tables that it writes, unqualified and in lower case, for the line of writers; none: it only reads.

        Raises `Refused` or duckdb.Error for work that can never be done.
        """

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Does it; raises `Refused`, `LoadFailed`, duckdb.Error, OSError or `Stopped`: then nothing was changed."""
