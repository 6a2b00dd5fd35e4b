"""`dbutils.notebook` and `dbutils.jobs`: ends, runs of other notebooks, values for later tasks."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from runyard.core.actions import Notebook
from runyard.runtime import context

_MISSING = object()


class NotebookExit(BaseException):
    """Ends the notebook as a success. No `except Exception` of the notebook catches it."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class Notebooks:
    """`dbutils.notebook`."""

    def __init__(self, action: Notebook, here: str, root: str) -> None:
        self._action, self._here, self._root = action, here, root

    def exit(self, value: Any = "") -> None:
        """Ends the notebook; the value, as text, is the run's result."""
        raise NotebookExit(str(value))

    def run(self, path: str, timeout_seconds: float = 0, arguments: dict[str, Any] | None = None) -> str:
        """Runs another notebook as a run of its own and gives the value that it exits with.

        `./x` and `x` lie beside this notebook, `/x` below its root. 0 seconds: no limit. Raises
        `children.ChildFailed` when it does not succeed.
        """
        from runyard.runtime import children

        child = msgspec.structs.replace(
            self._action,
            path=path if path.startswith("/") else os.path.join(os.path.realpath(self._here), path),
            source=None,
            root=self._root,
            language="python",
            format="source",
            checkout=None,  # the root is in the parent's tree, and its interpreter is that of its requirements
            requirements=[],
            parameters={name: str(value) for name, value in (arguments or {}).items()},
        )
        output = children.run(child, path, timeout_seconds or None)
        return str(output["result"]) if isinstance(output, dict) and "result" in output else ""

    def getContext(self) -> dict[str, Any]:
        """Which run this is: {"runId", "jobId", "jobName", "taskKey", "notebookPath"}."""
        return {
            "runId": context.task_run_id(),
            "jobId": context.fact("job_id"),
            "jobName": context.fact("job_name"),
            "taskKey": context.fact("task"),
            "notebookPath": self._action.path,
        }


class Jobs:
    """`dbutils.jobs`."""

    def __init__(self) -> None:
        self.taskValues = TaskValues()


class TaskValues:
    """`dbutils.jobs.taskValues`: small JSON values from one task to later ones."""

    def set(self, key: str, value: Any) -> None:
        """Publishes a value; raises ValueError when it is over 48 KiB of JSON."""
        context.set_value(key, value)

    def get(self, taskKey: str, key: str, default: Any = _MISSING, debugValue: Any = _MISSING) -> Any:
        """The value that an earlier task of this run published under this key, or the default.

        Outside a run it is `debugValue`. Raises ValueError where there is neither.
        """
        if context.run_id() is None:
            if debugValue is _MISSING:
                raise TypeError("Outside a run, taskValues.get needs a debugValue.")
            return debugValue
        tasks = context.fact("before") or {}
        if key in tasks.get(taskKey, {}):
            return tasks[taskKey][key]
        if default is _MISSING:
            found = f"its values are: {', '.join(sorted(tasks[taskKey])) or 'none'}" if taskKey in tasks else (
                f"this task comes after: {', '.join(sorted(tasks)) or 'none'}"
            )  # fmt: skip
            raise ValueError(f"The task {taskKey!r} published no value {key!r} before this one; {found}.")
        return default
