"""The tables of the Glue dialect's page."""

from __future__ import annotations

from runyard import app
from runyard.dialects.glue import errors, support, tables
from runyard.engine.engine import Engine
from runyard.http.counters import Counters
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore

from .markdown import pairs


def _values() -> dict[str, str]:
    return {f"{kind} {one}": why for kind, values in support.NEVER_VALUES.items() for one, why in values.items()}


def page() -> str:
    """The tables of the Glue dialect."""
    table = app.build_table(Engine(SqliteStore(":memory:"), []), Tokens(b"x" * 32), Streams(), Counters())
    answered: dict[str, list[tuple[str, str]]] = {}
    for card, route in table.routes():
        if card.name == "glue" and route.header is not None:
            service, _, name = route.header[1].partition(".")
            answered.setdefault(service, []).append((name, route.scope))
    parts = ["", "## Operations", "", "| operation | scope |", "|---|---|"]
    parts += [f"| {name} | {scope} |" for name, scope in answered["AWSGlue"]]
    parts += [f"| CloudWatch Logs: {name} | {scope} |" for name, scope in answered["Logs_20140328"]]
    parts += ["| STS: GetCallerIdentity | signed-in |", "| IAM: GetRole | signed-in |", "", "## Never", ""]
    parts += pairs("what", "why", support.NEVER_OPERATIONS)
    parts += [
        "",
        "## Fields that are kept",
        "",
        *pairs("field", "what becomes of it", support.KEPT),
        "",
        "## Members and values of answers that are never sent",
        "",
        *pairs("member or value", "why", support.NEVER_MEMBERS | _values()),
        "",
        "## States",
        "",
    ]
    parts += ["| ours | JobRunState |", "|---|---|"]
    parts += [f"| {state.value} | {word} |" for state, word in tables.STATES.items()]
    parts += ["", "WAITING is said where queuing is on and a limit holds a run back.", "", "## Errors", ""]
    parts += ["| code | exception | status |", "|---|---|---|"]
    parts += [f"| `{code.value}` | {name} | {status} |" for code, (name, status) in errors.EXCEPTIONS.items()]
    parts += ["", "## Arguments that Glue consumes", "", *pairs("argument", "what it does", support.SPECIAL)]
    parts += ["", "## What scripts may import", "", *pairs("module", "what is there", support.AWSGLUE)]
    parts += ["", "Frames hold an Arrow table without Spark (`toDF()` gives it) and a Spark DataFrame with it.", ""]
    parts += ["## Where AWS leaves it open, or we differ", "", *[f"- {one}" for one in support.CHOICES]]
    return "\n".join(parts) + "\n"
