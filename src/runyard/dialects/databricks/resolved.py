"""What a task's settings came to in one attempt: `resolved_values`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runyard.core import control, references
from runyard.core.actions import Condition, Dbt, ForEach, Notebook, Python, RunJob, Shell, Sql, Wheel
from runyard.core.graph import Plan, Snapshot
from runyard.core.model import JobSpec, Run, TaskRun
from runyard.core.references import Unresolved
from runyard.core.states import State
from runyard.dialects.databricks.compile import settings_in
from runyard.dialects.databricks.tables import SPARK_TASKS

_UNKNOWN = frozenset({State.BLOCKED, State.SKIPPED, State.UPSTREAM_FAILED})
"""States in which the values are not known, for the task did not begin."""


def resolver(run: Run, spec: JobSpec, task_runs: list[TaskRun]) -> Callable[[TaskRun], dict[str, Any] | None]:
    """Answers the resolved values of a task run, or None where there are none."""
    snapshot = Snapshot(run, Plan(spec), task_runs)
    settings = {settings["task_key"]: settings for settings in settings_in(spec).get("tasks", [])}

    def resolve(one: TaskRun) -> dict[str, Any] | None:
        if one.state in _UNKNOWN:
            return None
        action: Any = snapshot.task_of(one).action
        if isinstance(action, ForEach):
            if one.iteration < 0:
                return None
            action = action.action
        try:
            resolved = references.resolve(action, control.lookup(snapshot, one))
            return _values(resolved, settings.get(one.task_key, {}))
        except Unresolved:
            return None

    return resolve


def _values(action: Any, settings: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(action, Condition):
        left, right = references.as_text(action.left), references.as_text(action.right)
        return {"condition_task": {"left": left, "right": right}}
    if isinstance(action, RunJob):
        values = {name: references.as_text(value) for name, value in action.parameters.items()}
        return {"run_job_task": {"job_parameters": values, "parameters": values}}
    if isinstance(action, Notebook):
        return {"notebook_task": {"base_parameters": action.parameters}}
    if isinstance(action, Dbt):
        return {"dbt_task": {"commands": action.commands}}
    if isinstance(action, Wheel):
        return {"python_wheel_task": {"parameters": action.arguments}}
    if isinstance(action, Python):
        return {"spark_python_task": {"parameters": action.arguments}}
    if isinstance(action, Shell):
        kind, own = _spark_parameters(settings)
        return {kind: {"parameters": action.command[len(action.command) - own :]}} if kind else None
    if isinstance(action, Sql):
        values = {name: references.as_text(value) for name, value in action.parameters.items()}
        return {"sql_task": {"parameters": values}}
    return None


def _spark_parameters(settings: dict[str, Any]) -> tuple[str, int]:
    """The kind of a Spark task, and how many parameters of its own end its command."""
    settings = settings.get("for_each_task", {}).get("task", settings)
    for kind in SPARK_TASKS:
        if kind in settings:
            return kind, len(settings[kind].get("parameters", []))
    return "", 0
