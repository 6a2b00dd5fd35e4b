"""Runyard: one self-hosted job service that answers on the job APIs data teams already use.

    import runyard

    client = runyard.Client()
    task = runyard.Task(key="one", action=runyard.Sql(statement="select 1"))
    run = client.run(runyard.Job(name="hello", tasks=[task]))
    print(run.state, client.output(run.task("one").id).rows)

Names are imported when they are first used, so that `import runyard` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runyard.client.client import Client
    from runyard.client.define import needs
    from runyard.client.errors import Error
    from runyard.client.jobfile import JobFileError
    from runyard.client.jobfile import load as load_job
    from runyard.client.views import Event, Result, Run, TaskRun
    from runyard.core.actions import (
        Checkout,
        Condition,
        Copy,
        Dbt,
        Delete,
        Export,
        ForEach,
        Load,
        Materialize,
        Notebook,
        Python,
        RunJob,
        Shell,
        Sql,
        Truncate,
        Wheel,
    )
    from runyard.core.model import Dependency as Need
    from runyard.core.model import JobSpec as Job
    from runyard.core.model import Limits, Notification, OnLimit, Retries, RunIf, Task
    from runyard.core.states import State

__all__ = [
    "Checkout",
    "Client",
    "Condition",
    "Copy",
    "Dbt",
    "Delete",
    "Error",
    "Event",
    "Export",
    "ForEach",
    "Job",
    "JobFileError",
    "Limits",
    "Load",
    "Materialize",
    "Need",
    "Notebook",
    "Notification",
    "OnLimit",
    "Python",
    "Result",
    "Retries",
    "Run",
    "RunIf",
    "RunJob",
    "Shell",
    "Sql",
    "State",
    "Task",
    "TaskRun",
    "Truncate",
    "Wheel",
    "__version__",
    "load_job",
    "needs",
]

__version__ = "0.1.0"

_ACTIONS = (
    "Checkout",
    "Condition",
    "Copy",
    "Dbt",
    "Delete",
    "Export",
    "ForEach",
    "Load",
    "Materialize",
    "Notebook",
    "Python",
    "RunJob",
    "Shell",
    "Sql",
    "Truncate",
    "Wheel",
)
_MODEL = ("Limits", "Notification", "OnLimit", "Retries", "RunIf", "Task")
_VIEWS = ("Event", "Result", "Run", "TaskRun")

_HOME: dict[str, tuple[str, str]] = {
    "Client": ("runyard.client.client", "Client"),
    "Error": ("runyard.client.errors", "Error"),
    "Job": ("runyard.core.model", "JobSpec"),
    "JobFileError": ("runyard.client.jobfile", "JobFileError"),
    "Need": ("runyard.core.model", "Dependency"),
    "State": ("runyard.core.states", "State"),
    "load_job": ("runyard.client.jobfile", "load"),
    "needs": ("runyard.client.define", "needs"),
    **{name: ("runyard.core.actions", name) for name in _ACTIONS},
    **{name: ("runyard.core.model", name) for name in _MODEL},
    **{name: ("runyard.client.views", name) for name in _VIEWS},
}


def __getattr__(name: str) -> object:
    """Imports a public name from its home when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'runyard' has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
