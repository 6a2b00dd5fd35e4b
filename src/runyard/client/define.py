"""Small helpers for jobs that are defined in Python."""

from __future__ import annotations

from runyard.core.model import Dependency


def needs(*tasks: str | Dependency) -> list[Dependency]:
    """The tasks that a task depends on: `needs("load", Need(task="is_big", outcome="true"))`."""
    return [Dependency(task=task) if isinstance(task, str) else task for task in tasks]
