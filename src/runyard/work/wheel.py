"""A package's entry point, in its environment's Python."""

from __future__ import annotations

import os

from runyard.core.actions import Wheel

_ENTRY = os.path.join(os.path.dirname(__file__), "entry.py")


def command(action: Wheel, python: str, environment: dict[str, str]) -> list[str]:
    """The argument list that is exec'd."""
    environment.setdefault("PYTHONUNBUFFERED", "1")
    # -P: the folder of our own program must not be where its imports are looked for.
    return [python, "-P", _ENTRY, action.package, action.entry_point, *action.arguments]
