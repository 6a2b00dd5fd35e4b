"""Draws the pages that follow from the code: `python docs/draw.py` writes them, a test compares them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from runyard import app
from runyard.api.errors import STATUS
from runyard.cli.commands import GROUPS, overview
from runyard.config import Settings
from runyard.core.actions import EXECUTOR
from runyard.core.errors import Code
from runyard.core.model import JobSpec, Limits, Notification, Retries, RunIf, Task
from runyard.core.schedule import Schedule
from runyard.core.states import RUN_MOVES, TASK_MOVES, TERMINAL, Move, Reason, State
from runyard.core.triggers import JobTrigger
from runyard.dialects.tinybird import errors, service_rows, support, tables
from runyard.dialects.tinybird.tables import Support
from runyard.dialects.tinybird.template import functions
from runyard.engine.engine import Engine
from runyard.http.card import Operation
from runyard.http.counters import Counters
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore

HERE = Path(__file__).parent

STATES = """# States

*This page is drawn from `src/runyard/core/states.py` by `python docs/draw.py`; a test compares the two.*

A **task run** is one attempt of one task. Its terminal states are final: a retry or a repair adds a task run.
A **run** is final in each repair round; `repair` is the one move out of its terminal states. A move that a
table does not have is refused and changes nothing.

What the work really did wins over what was asked of it: a task that succeeded before a cancel reached it is
`succeeded`, because a repair would otherwise apply its effects a second time.
"""

SETTINGS = """# Settings

*This page is drawn from `src/runyard/config.py` by `python docs/draw.py`; a test compares the two.*

`runyard up` takes each as an option or from the environment, `RUNYARD_` and the name in capitals. An option wins
over the environment. Sizes are in bytes, times in seconds.
"""


CLI = """# The command line

*This page is drawn from `src/runyard/cli/commands.py` by `python docs/draw.py`; a test compares the two.*

Every command explains itself with `--help`. `-o json` and `-o jsonl` write nothing else to standard output;
progress goes to standard error. Colours follow NO_COLOR and the terminal. Ctrl-C detaches from a run, which goes on.
"""


def _diagram(table: dict[tuple[State, Move], State]) -> str:
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, move), after in table.items():
        edges.setdefault((state.value, after.value), []).append(move.value)
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {start} --> {end}: {', '.join(moves)}" for (start, end), moves in edges.items()]
    ends = sorted({after.value for after in table.values() if after in TERMINAL})
    lines += [f"    {state} --> [*]" for state in ends]
    return "\n".join([*lines, "```"])


def _moves(table: dict[tuple[State, Move], State]) -> str:
    lines = ["| in | on | goes to |", "|---|---|---|"]
    lines += [f"| {state.value} | {move.value} | {after.value} |" for (state, move), after in table.items()]
    return "\n".join(lines)


def states() -> str:
    """The states and their moves."""
    reasons = ", ".join(f"`{reason.value}`" for reason in Reason if reason.value)
    tasks, runs = (f"{_diagram(table)}\n\n{_moves(table)}" for table in (TASK_MOVES, RUN_MOVES))
    told = f"A state goes with a reason code and a sentence. The codes: {reasons}."
    return f"{STATES}\n## Task runs\n\n{tasks}\n\n## Runs\n\n{runs}\n\n## Reasons\n\n{told}\n"


def settings() -> str:
    """Every setting with its default."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    for field in msgspec.inspect.type_info(Settings).fields:  # type: ignore[attr-defined]  # a struct's type info
        default = field.default if field.default is not msgspec.NODEFAULT else []
        shown = f"`{default}`" if default not in ("", []) else "none"
        lines.append(f"| `{field.name}` | {shown} | {field.type.extra_json_schema['description']} |")
    return f"{SETTINGS}\n" + "\n".join(lines) + "\n"


def cli() -> str:
    """Every command with what it does."""
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `runyard {one.name}` | {one.summary} |" for commands in GROUPS.values() for one in commands]
    return f"{CLI}\n" + "\n".join(lines) + f"\n\n```console\n$ runyard --help\n{overview()}\n```\n"


def operations() -> list[tuple[str, str, str, str]]:
    """(method, path, scope, summary) of every route of the native face."""
    engine = Engine(SqliteStore(":memory:"), [])
    table = app.build_table(engine, Tokens(b"x" * 32), Streams(), Counters())
    found = []
    for card, route in table.routes():
        if card.name != "native":
            continue
        about = route.operation
        assert isinstance(about, Operation)
        found.append((route.method, route.path, route.scope, about.summary))
    return found


def routes() -> str:
    """Every route as a table, for docs/api.md."""
    lines = ["| call | scope | what it does |", "|---|---|---|"]
    lines += [f"| `{method} {path}` | {scope} | {summary} |" for method, path, scope, summary in operations()]
    lines += ["", "| code | status |", "|---|---|"]
    lines += [f"| `{code.value}` | {STATUS[code]} |" for code in Code]
    return "\n".join(lines) + "\n"


def _fields(struct: type[msgspec.Struct]) -> str:
    names = [f"`{name}`" for name in struct.__struct_fields__]
    return ", ".join(names)


def fields() -> str:
    """The fields of a definition, for docs/jobs.md."""
    rows = [("a job", JobSpec), ("a task", Task), ("`retries`", Retries), ("`limits`", Limits)]
    rows += [("`notifications`", Notification), ("`schedule`", Schedule), ("an entry of `triggers`", JobTrigger)]
    lines = ["| part | its fields |", "|---|---|"]
    lines += [f"| {name} | {_fields(struct)} |" for name, struct in rows]
    lines += [f"| `{kind.__struct_config__.tag}` | {_fields(kind)} |" for kind in EXECUTOR]  # type: ignore[attr-defined]
    rules = ", ".join(f"`{rule.value}`" for rule in RunIf)
    return "\n".join(lines) + f"\n\n`run_if` is one of {rules}.\n"


TINYBIRD = """# Tinybird

*This page is drawn from `src/runyard/dialects/tinybird/` by `python docs/draw.py`; a test compares the two.*

Both `tb` command lines and plain HTTP calls work against this server:

```console
$ eval "$(runyard connect tinybird)"
$ tb --host $TB_HOST --token $TB_TOKEN auth     # the Classic client; the newer one reads the environment
```

`yes`: answered as the platform does. `partly`: with what the note says. `notyet`: ours to do. `never`: with the reason.
"""


def _support(rows: list[Support]) -> str:
    lines = ["| call | answered | note |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{one.call}` | {one.state} | {one.note} |" for one in rows)])


def tinybird() -> str:
    """The page of the Tinybird dialect."""
    parts = [TINYBIRD]
    parts += [f"## {title}\n\n{_support(rows)}\n" for title, rows in support.FAMILIES.items()]
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


WHOLE: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "states.md": states,
    "settings.md": settings,
    "dialects/tinybird.md": tinybird,
}
PARTS: dict[str, Callable[[], str]] = {"api.md": routes, "jobs.md": fields}
BEGIN, END = "<!-- drawn -->\n", "<!-- /drawn -->\n"


def with_part(page: str, part: str) -> str:
    """The page with its drawn part replaced."""
    head, rest = page.split(BEGIN, 1)
    return head + BEGIN + part + END + rest.split(END, 1)[1]


async def draw() -> None:
    """Writes every page."""
    for name, make in WHOLE.items():
        (HERE / name).write_text(make())
    for name, make in PARTS.items():
        path = HERE / name
        path.write_text(with_part(path.read_text(), make()))


if __name__ == "__main__":
    asyncio.run(draw())
