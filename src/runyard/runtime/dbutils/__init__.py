"""Our own `dbutils` and `spark` for notebooks: what jobs use of them.

The calls are those of the Databricks documentation, "Databricks Utilities (dbutils) reference".

They work inside an attempt. Nothing here is imported before a notebook runs.
"""

from __future__ import annotations

from typing import Any

from runyard.core.actions import Notebook
from runyard.runtime.dbutils.files import Files
from runyard.runtime.dbutils.flow import Jobs, NotebookExit, Notebooks
from runyard.runtime.dbutils.secrets import Secrets
from runyard.runtime.dbutils.spark import Spark
from runyard.runtime.dbutils.widgets import Widgets

__all__ = ["DbUtils", "NotebookExit", "Spark"]

_KNOWN = ("widgets", "notebook", "jobs", "fs", "secrets")


class DbUtils:
    """`dbutils`: `widgets`, `notebook`, `jobs`, `fs`, `secrets`."""

    def __init__(self, action: Notebook, here: str, root: str) -> None:
        """`here` is the folder of the notebook's file, `root` the one that absolute notebook paths begin at."""
        self.widgets = Widgets(action.parameters)
        self.notebook = Notebooks(action, here, root)
        self.jobs = Jobs()
        self.fs = Files()
        self.secrets = Secrets()

    def help(self) -> None:
        """Prints what there is."""
        print(f"dbutils has here: {', '.join(_KNOWN)}")  # noqa: T201  # its purpose

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"dbutils.{name} is not offered here; there are {', '.join(_KNOWN)}.")
