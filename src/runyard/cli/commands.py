"""The table of commands: from it come the overview, which imports nothing, and the parser, which is lazy."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command, the function behind it, and what it does in one line."""

    name: str
    home: str
    summary: str


GROUPS: dict[str, list[Command]] = {
    "Run work": [
        Command("run", "runyard.cli.runs:run", "Submit a job file (or a kept job's id) and follow it to its end"),
        Command("submit", "runyard.cli.runs:submit", "Submit and print the run's id"),
        Command("cancel", "runyard.cli.runs:cancel", "End a run, or one task of it"),
        Command("repair", "runyard.cli.runs:repair", "Run the failed part of a finished run again"),
        Command("rerun", "runyard.cli.runs:rerun", "Start a new run like an earlier one"),
    ],
    "Look": [
        Command("runs", "runyard.cli.look:runs", "List runs, newest first, by any filter"),
        Command("show", "runyard.cli.look:show", "One run: its tasks, its timeline, why it waits or failed"),
        Command("logs", "runyard.cli.look:logs", "What a run's tasks wrote"),
        Command("export", "runyard.cli.look:export", "A notebook or program with its results, as one HTML file"),
        Command("tables", "runyard.cli.data:tables", "The warehouse's tables"),
        Command("query", "runyard.cli.data:query", "Read the warehouse with SQL"),
    ],
    "Keep": [
        Command("jobs", "runyard.cli.jobs:app", "Kept jobs: list, apply, show, pause, resume, backfill, delete"),
        Command(
            "triggers",
            "runyard.cli.triggers:app",
            "Triggers: list, apply, show, fire, pause, resume, history, dry-run, delete",
        ),
        Command("queues", "runyard.cli.queues:app", "List, set and delete queues"),
    ],
    "Serve": [
        Command("up", "runyard.cli.server:up", "Start a server on this machine"),
        Command("worker", "runyard.cli.server:worker", "Run process tasks for servers that share a PostgreSQL"),
        Command("move", "runyard.cli.server:move", "Copy everything from SQLite to PostgreSQL"),
        Command("doctor", "runyard.cli.server:doctor", "Check this machine and the server"),
        Command("connect", "runyard.cli.server:connect", "The environment that points a client here"),
    ],
}

_HEAD = """\
Usage: runyard COMMAND [OPTIONS]

One self-hosted job service that answers on the job APIs you already use.
"""
_TAIL = """\
Every command takes --url, --token and -o table|json|jsonl, and explains itself with --help.
RUNYARD_URL and RUNYARD_TOKEN say which server is meant (http://127.0.0.1:8321 when unset).

Exit codes: 0 succeeded, 1 failed, 2 usage, 3 cancelled, 4 timed out, 5 not allowed, 6 no server."""


def overview() -> str:
    """The text of `runyard --help`."""
    parts = [_HEAD]
    for title, commands in GROUPS.items():
        lines = [f"  {command.name:<9} {command.summary}" for command in commands]
        parts.append("\n".join([f"{title}:", *lines, ""]))
    return "\n".join([*parts, _TAIL])
