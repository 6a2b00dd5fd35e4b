"""The pages of the native face: states, settings, the command line, calls, fields."""

from __future__ import annotations

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
from runyard.engine.engine import Engine
from runyard.http.card import Operation
from runyard.http.counters import Counters
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore

STATES = """# States

*This page is drawn from `src/runyard/core/states.py` by `python -m docs.draw`; a test compares the two.*

A **task run** is one attempt of one task. Its terminal states are final: a retry or a repair adds a task run.
A **run** is final in each repair round; `repair` is the one move out of its terminal states. A move that a
table does not have is refused and changes nothing.

What the work really did wins over what was asked of it: a task that succeeded before a cancel reached it is
`succeeded`, because a repair would otherwise apply its effects a second time.
"""

SETTINGS = """# Settings

*This page is drawn from `src/runyard/config.py` by `python -m docs.draw`; a test compares the two.*

`runyard up` takes each as an option or from the environment, `RUNYARD_` and the name in capitals. An option wins
over the environment. Sizes are in bytes, times in seconds.
"""


CLI = """# The command line

*This page is drawn from `src/runyard/cli/commands.py` by `python -m docs.draw`; a test compares the two.*

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
    rows: list[tuple[str, type[msgspec.Struct]]] = [("a job", JobSpec), ("a task", Task), ("`retries`", Retries)]
    rows += [("`limits`", Limits)]
    rows += [("`notifications`", Notification), ("`schedule`", Schedule), ("an entry of `triggers`", JobTrigger)]
    lines = ["| part | its fields |", "|---|---|"]
    rows += [(f"`{kind.__struct_config__.tag}`", kind) for kind in EXECUTOR]  # type: ignore[attr-defined]
    lines += [f"| {name} | {_fields(struct)} |" for name, struct in rows]
    rules = ", ".join(f"`{rule.value}`" for rule in RunIf)
    return "\n".join(lines) + f"\n\n`run_if` is one of {rules}.\n"
