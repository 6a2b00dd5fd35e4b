"""The tables of the Databricks dialect's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runyard.core.states import State
from runyard.dialects.databricks import errors, routes, spark, tables
from runyard.engine.engine import Engine
from runyard.store.sqlite import SqliteStore

from .markdown import rows


def _calls() -> Iterator[tuple[str, str, str]]:
    engine = Engine(SqliteStore(":memory:"), [])
    for route in routes.card(engine, Path("data")).routes:
        path = route.path.removeprefix("/api/2.2")
        if not route.path.startswith(("/api/2.0", "/api/2.1")):
            said = (route.handler.__doc__ or "").partition(": ")[2]
            yield f"`{route.method} {path}`", route.scope, said


def _states() -> Iterator[tuple[str, ...]]:
    found = [(f"task {state.value}", one) for state, one in tables.TASK_STATES.items()]
    found.append(("run failed", tables.RUN_STATES[State.FAILED]))
    found.append(("run queued by its job's limit", tables.QUEUED))
    found += [(f"{state.value}, {reason}", one) for (state, reason), one in tables.BY_REASON.items()]
    for ours, one in found:
        yield ours, one.life_cycle, one.result or "", one.status, one.code or "", one.type or ""


def page() -> str:
    """The tables of the Databricks dialect."""
    codes = ((f"`{code.value}`", str(status), f"`{word}`") for code, (status, word) in errors.TABLE.items())
    heads = ("ours", "life_cycle_state", "result_state", "status.state", "code", "type")
    parts = [
        "## Calls\n\nUnder each of `/api/2.0`, `/api/2.1` and `/api/2.2`.\n",
        rows(("call", "scope", "note"), _calls()),
        "## Kinds of tasks\n",
        rows(("task", "here"), ((f"`{name}`", said) for name, said in tables.TASK_TYPES.items())),
        "With the setting `record_only` those that cannot run are kept, shown and passed over as disabled.\n",
        "## Options\n\n`RUNYARD_OPTIONS=databricks.NAME=VALUE:databricks.NAME=VALUE`\n",
        rows(("option", "what it does"), ((f"`{name}`", said) for name, said in spark.OPTIONS.items())),
        "## States\n",
        rows(heads, _states()),
        "## Triggers\n",
        rows(("ours", "trigger"), ((f"`{ours}`", f"`{theirs}`") for ours, theirs in tables.TRIGGERS.items())),
        "## Fields that do nothing here\n",
        "All other fields of the published schema do what they say. Below a cluster's specification, and below a kind\n"
        "of task that cannot run, fields are kept as they come; unknown ones are left out.\n",
        rows(("field", "why"), ((f"`{name}`", why) for name, why in tables.KEPT.items())),
        "## Fields of answers that are never sent\n",
        rows(("field", "why"), ((f"`{name}`", why) for name, why in tables.NEVER_SENT.items())),
        "## Limits\n",
        rows(("limit", "value"), ((name.replace("_", " "), f"{n:,}") for name, n in tables.LIMITS.items())),
        "## Errors\n",
        rows(("our code", "status", "error_code"), codes),
    ]
    return "\n" + "\n".join(parts) + "\n"
