"""dbt commands, in the Python of their environment."""

from __future__ import annotations

import json
import os

from runyard.core.actions import Dbt
from runyard.core.launch import ARTIFACTS

_PROGRAM = os.path.join(os.path.dirname(__file__), "dbtrun.py")


def command(action: Dbt, python: str, folder: str, environment: dict[str, str]) -> list[str]:
    """The argument list that is exec'd; `folder` is the attempt's."""
    environment.setdefault("PYTHONUNBUFFERED", "1")
    os.stat(os.path.join(action.project, "dbt_project.yml"))  # what is not there is told before anything is started
    request = {
        "project": action.project,
        "commands": action.commands,
        "schema": action.schema,
        "artifacts": os.path.join(folder, ARTIFACTS),
    }
    return [python, "-P", _PROGRAM, json.dumps(request)]
