"""A command line, or an argument list."""

from __future__ import annotations

from runyard.core.actions import Shell


def command(action: Shell) -> list[str]:
    """The argument list that is exec'd."""
    if isinstance(action.command, str):
        return ["/bin/sh", "-c", action.command]
    return action.command
