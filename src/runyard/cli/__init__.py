"""The `runyard` command. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_HELP = {"--help", "-h", "help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    from runyard.cli import commands

    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (len(words) == 1 and words[0] in _HELP):
        print(commands.overview())
        return 0
    if words == ["--version"]:
        import runyard

        print(runyard.__version__)
        return 0
    from runyard.cli.dispatch import dispatch

    return dispatch(words)
