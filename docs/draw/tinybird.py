"""The tables of the Tinybird dialect's page."""

from __future__ import annotations

from runyard.dialects.tinybird import errors, service_rows, support, tables
from runyard.dialects.tinybird.template import functions


def _answered(rows: list[tables.Support]) -> str:
    lines = ["| call | answered | note |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{one.call}` | {one.state} | {one.note} |" for one in rows)])


def page() -> str:
    """The tables of the Tinybird dialect."""
    parts = [""]
    parts += [f"## {title}\n\n{_answered(rows)}\n" for title, rows in support.FAMILIES.items()]
    listed = "\n".join(f"| `{one.call}` | {one.state} | {one.note} |" for one in support.MISSING)
    parts.append(f"## What is not there\n\n| what | state | why, and what to do |\n|---|---|---|\n{listed}\n")
    states = "\n".join(f"| {state.value} | {said} |" for state, said in tables.STATES.items())
    parts.append(f"## Statuses\n\n| state of a run | status of a job |\n|---|---|\n{states}\n")
    kinds = "\n".join(f"| `{kind}` | {said} |" for kind, said in tables.KINDS.items())
    parts.append(f"## Kinds of jobs\n\n| kind | what it does |\n|---|---|\n{kinds}\n")
    codes = "\n".join(f"| `{code.value}` | {status} |" for code, status in errors.STATUS.items())
    said = "Every body is JSON with `error`."
    parts.append(f"## Errors\n\n{said}\n\n| code | status |\n|---|---|\n{codes}\n")
    defaults = tables.Options()
    options = "\n".join(
        f"| `{key}` | `{getattr(defaults, key)}` | {said} |" for key, said in tables.OPTION_HELP.items()
    )
    said = "`RUNYARD_OPTIONS=tinybird.NAME=VALUE:tinybird.NAME=VALUE`"
    parts.append(f"## Options\n\n{said}\n\n| option | default | what it does |\n|---|---|---|\n{options}\n")
    kept = "\n".join(f"| `tinybird.{name}` | {', '.join(columns)} |" for name, columns in service_rows.TABLES.items())
    views = ", ".join(f"`tinybird.{name}`" for name in service_rows.VIEWS)
    parts.append(f"## Service Data Sources\n\n| name | columns |\n|---|---|\n{kept}\n\nFrom the last: {views}.\n")
    told = "\n".join(f"- {one}" for one in support.DIFFERENCES)
    parts.append(f"## How it differs\n\n{told}\n")
    names = ", ".join(f"`{name}`" for name in sorted([*functions.OF_PARAMETER, *functions.PLAIN]))
    parts.append(f"## Templates\n\n`if`, `elif`, `else`, `for`, `set`, `comment`, `end`, and these: {names}.\n")
    return "\n".join(parts)
