"""Parses a command line, runs its command, and turns every refusal into one line and an exit code."""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from runyard.cli import exits
from runyard.cli.commands import GROUPS
from runyard.cli.options import STDIN
from runyard.core.errors import RunyardError


def build() -> App:
    """The parser over all commands; each is imported when it is called."""
    app = App(name="runyard", version_flags=[], help_flags=["--help", "-h"], help_format="plaintext")
    for title, commands in GROUPS.items():
        for command in commands:
            app.command(command.home, name=command.name, group=title)
    return app


def dispatch(words: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        given = [STDIN if word == "-" else word for word in words]
        result = build()(given, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else exits.SUCCEEDED
    except CycloptsError as error:
        return _say(exits.USAGE, f"{_one_line(error)} See `runyard {_command(words)}--help`.")
    except exits.Exit as error:
        return _say(error.code, str(error))
    except RunyardError as error:
        return _say(exits.of_error(error), _with_field(error))
    except KeyboardInterrupt:
        return _say(exits.INTERRUPTED, "interrupted")
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.SUCCEEDED


def _say(code: int, message: str) -> int:
    print(f"runyard: {message}", file=sys.stderr)
    return code


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split())


def _command(words: list[str]) -> str:
    known = {command.name for commands in GROUPS.values() for command in commands}
    return f"{words[0]} " if words[0] in known else ""


def _with_field(error: RunyardError) -> str:
    shown = error.field and error.field not in error.message and not hasattr(error, "line")
    return f"{error.message} (at {error.field})" if shown else error.message
