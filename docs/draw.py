"""Draws the pages that follow from the code: `python docs/draw.py` writes them, a test compares them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
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
from runyard.dialects.databricks import errors as databricks_errors
from runyard.dialects.databricks import routes as databricks_routes
from runyard.dialects.databricks import spark as databricks_spark
from runyard.dialects.databricks import tables as databricks
from runyard.dialects.glue import errors, support, tables
from runyard.dialects.tinybird import errors as tinybird_errors
from runyard.dialects.tinybird import service_rows as tinybird_service
from runyard.dialects.tinybird import support as tinybird_support
from runyard.dialects.tinybird import tables as tinybird
from runyard.dialects.tinybird.template import functions as tinybird_functions
from runyard.engine.engine import Engine
from runyard.http.card import Operation
from runyard.http.counters import Counters
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens
from runyard.store.sqlite import SqliteStore
from runyard.warehouse.dialects.clickhouse_aggregates import AGGREGATES, COMBINATORS
from runyard.warehouse.dialects.clickhouse_scalars import SCALARS
from runyard.warehouse.dialects.clickhouse_special import NAMED
from runyard.warehouse.dialects.functions import FUNCTIONS

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


GLUE = """# AWS Glue

*The tables of this page are drawn from `src/runyard/dialects/glue/` by `python docs/draw.py`; a test compares the two.*

Code for AWS Glue's jobs, runs, bookmarks, triggers and workflows runs against this server as it is: boto3, the AWS
CLI, Airflow's operators, Dagster's pipes. The scripts really run.

```console
$ runyard up --dev
$ eval "$(runyard connect glue)"
$ aws glue create-job --name hello --role any --command Name=pythonshell,ScriptLocation=$PWD/hello.py
$ aws glue start-job-run --job-name hello
```

`runyard connect glue` prints AWS_ENDPOINT_URL_GLUE (and _CLOUDWATCH_LOGS, _STS, _IAM), a region and a key pair. The
secret key is the token that you use with Runyard, and the key id is the token without its last part; the signature of
each request is verified ([decision 9](../decisions/0009-signed-requests.md)). With `--dev` any key will do.

A script may lie on the server's disk (below `allowed_paths` or the data folder's `files`; anywhere with `--dev`), at
an http(s) URL, or on `s3://`: in the service that the setting `s3_endpoint` names, or below the folder `s3_root`,
where `s3://bucket/key` is the file `bucket/key` (by default in the data folder's `s3`). `glueetl` scripts run as plain
Python, and on Spark where the server's Python has `pyspark`; a Spark cluster is still to come. In a script, boto3
speaks to this server by itself, with the key of its attempt: it may read and write the properties of its own workflow
run; for more it needs a key of its own.
"""


def glue() -> str:
    """The page of the Glue dialect."""
    table = app.build_table(Engine(SqliteStore(":memory:"), []), Tokens(b"x" * 32), Streams(), Counters())
    answered: dict[str, list[tuple[str, str]]] = {}
    for card, route in table.routes():
        if card.name == "glue" and route.header is not None:
            service, _, name = route.header[1].partition(".")
            answered.setdefault(service, []).append((name, route.scope))
    parts = [GLUE, "## Operations", "| operation | scope |", "|---|---|"]
    parts += [f"| {name} | {scope} |" for name, scope in answered["AWSGlue"]]
    parts += [f"| CloudWatch Logs: {name} | {scope} |" for name, scope in answered["Logs_20140328"]]
    parts += ["| STS: GetCallerIdentity | signed-in |", "| IAM: GetRole | signed-in |", "", "## Never", ""]
    parts += _two("what", "why", support.NEVER_OPERATIONS)
    parts += [
        "",
        "## Fields that are kept",
        "",
        *_two("field", "what becomes of it", support.KEPT),
        "",
        "## States",
        "",
    ]
    parts += ["| ours | JobRunState |", "|---|---|"]
    parts += [f"| {state.value} | {word} |" for state, word in tables.STATES.items()]
    parts += ["", "WAITING is said where queuing is on and a limit holds a run back.", "", "## Errors", ""]
    parts += ["| code | exception | status |", "|---|---|---|"]
    parts += [f"| `{code.value}` | {name} | {status} |" for code, (name, status) in errors.EXCEPTIONS.items()]
    parts += ["", "## Arguments that Glue consumes", "", *_two("argument", "what it does", support.SPECIAL)]
    parts += ["", "## What scripts may import", "", *_two("module", "what is there", support.AWSGLUE)]
    parts += ["", "Frames hold an Arrow table without Spark (`toDF()` gives it) and a Spark DataFrame with it.", ""]
    parts += ["## Where AWS leaves it open, or we differ", "", *[f"- {one}" for one in support.CHOICES]]
    return "\n".join(parts) + "\n"


def _two(left: str, right: str, rows: dict[str, str]) -> list[str]:
    return [f"| {left} | {right} |", "|---|---|", *[f"| {key} | {value} |" for key, value in rows.items()]]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _databricks_calls() -> Iterator[tuple[str, str, str]]:
    engine = Engine(SqliteStore(":memory:"), [])
    for route in databricks_routes.card(engine, Path("data")).routes:
        path = route.path.removeprefix("/api/2.2")
        if not route.path.startswith(("/api/2.0", "/api/2.1")):
            said = (route.handler.__doc__ or "").partition(": ")[2]
            yield f"`{route.method} {path}`", route.scope, said


def _databricks_states() -> Iterator[tuple[str, ...]]:
    rows = [(f"task {state.value}", one) for state, one in databricks.TASK_STATES.items()]
    rows.append(("run failed", databricks.RUN_STATES[State.FAILED]))
    rows.append(("run queued by its job's limit", databricks.QUEUED))
    rows += [(f"{state.value}, {reason}", one) for (state, reason), one in databricks.BY_REASON.items()]
    for ours, one in rows:
        yield ours, one.life_cycle, one.result or "", one.status, one.code or "", one.type or ""


def databricks_page() -> str:
    """The tables of the Databricks dialect."""
    errors = ((f"`{code.value}`", str(status), f"`{word}`") for code, (status, word) in databricks_errors.TABLE.items())
    heads = ("ours", "life_cycle_state", "result_state", "status.state", "code", "type")
    parts = [
        "## Calls\n\nUnder each of `/api/2.0`, `/api/2.1` and `/api/2.2`.\n",
        _table(("call", "scope", "note"), _databricks_calls()),
        "## Kinds of tasks\n",
        _table(("task", "here"), ((f"`{name}`", said) for name, said in databricks.TASK_TYPES.items())),
        "With the setting `record_only` those that cannot run are kept, shown and passed over as disabled.\n",
        "## Options\n\n`RUNYARD_OPTIONS=databricks.NAME=VALUE:databricks.NAME=VALUE`\n",
        _table(("option", "what it does"), ((f"`{name}`", said) for name, said in databricks_spark.OPTIONS.items())),
        "## States\n",
        _table(heads, _databricks_states()),
        "## Triggers\n",
        _table(("ours", "trigger"), ((f"`{ours}`", f"`{theirs}`") for ours, theirs in databricks.TRIGGERS.items())),
        "## Fields that do nothing here\n",
        "All other fields of the published schema do what they say. Below a cluster's specification, and below a kind\n"
        "of task that cannot run, fields are kept as they come; unknown ones are left out.\n",
        _table(("field", "why"), ((f"`{name}`", why) for name, why in databricks.KEPT.items())),
        "## Fields of answers that are never sent\n",
        _table(("field", "why"), ((f"`{name}`", why) for name, why in databricks.NEVER_SENT.items())),
        "## Limits\n",
        _table(("limit", "value"), ((name.replace("_", " "), f"{n:,}") for name, n in databricks.LIMITS.items())),
        "## Errors\n",
        _table(("our code", "status", "error_code"), errors),
    ]
    return "\n" + "\n".join(parts) + "\n"


def sql() -> str:
    """What is understood of ClickHouse's SQL and of others, for docs/sql.md."""
    lines = ["### Scalar functions", ""]
    for group, rows in SCALARS.items():
        differs = {one.call: one.differs for one in rows if one.differs}
        lines += [f"**{group}**: " + ", ".join(f"`{one.call}`" for one in rows) + ".", ""]
        if differs:
            lines += ["Not quite: " + "; ".join(f"`{call}` ({why})" for call, why in differs.items()) + ".", ""]
    refused = [name for name, write in NAMED.items() if write.__name__ == "_refused"]
    lines += ["**With arguments that are looked at**: " + ", ".join(f"`{n}`" for n in NAMED if n not in refused) + "."]
    lines += ["", "Refused by name: " + ", ".join(f"`{name}`" for name in refused) + ".", "", "### Aggregates", ""]
    lines += ["| function | state and merge | differs |", "|---|---|---|"]
    for one in AGGREGATES:
        call = one.call.replace("(", f"({one.parameters})(", 1) if one.parameters else one.call
        lines.append(f"| `{call}` | {'yes' if one.merge else 'no'} | {one.differs} |")
    lines += ["", "| combinator | meaning |", "|---|---|"]
    lines += [f"| `-{name}` | {meaning} |" for name, meaning in COMBINATORS.items()]
    lines += [
        "",
        "## Functions added for the others",
        "",
        "| dialect | functions that sqlglot does not bring |",
        "|---|---|",
    ]
    titles = {"databricks": "Databricks", "dremio": "Dremio", "trino": "Trino, Athena", "postgres": "PostgreSQL"}
    lines += [
        f"| {title} | {', '.join(f'`{function}`' for function in sorted(FUNCTIONS[name]))} |"
        for name, title in titles.items()
    ]
    return "\n".join(lines) + "\n"


TINYBIRD = """# Tinybird

*This page is drawn from `src/runyard/dialects/tinybird/` by `python docs/draw.py`; a test compares the two.*

Both `tb` command lines and plain HTTP calls work against this server:

```console
$ eval "$(runyard connect tinybird)"
$ tb --host $TB_HOST --token $TB_TOKEN auth     # the Classic client; the newer one reads the environment
```

`yes`: answered as the platform does. `partly`: with what the note says. `notyet`: ours to do. `never`: with the reason.
"""


def _answered(rows: list[tinybird.Support]) -> str:
    lines = ["| call | answered | note |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{one.call}` | {one.state} | {one.note} |" for one in rows)])


def tinybird_page() -> str:
    """The page of the Tinybird dialect."""
    parts = [TINYBIRD]
    parts += [f"## {title}\n\n{_answered(rows)}\n" for title, rows in tinybird_support.FAMILIES.items()]
    listed = "\n".join(f"| `{one.call}` | {one.state} | {one.note} |" for one in tinybird_support.MISSING)
    parts.append(f"## What is not there\n\n| what | state | why, and what to do |\n|---|---|---|\n{listed}\n")
    states = "\n".join(f"| {state.value} | {said} |" for state, said in tinybird.STATES.items())
    parts.append(f"## Statuses\n\n| state of a run | status of a job |\n|---|---|\n{states}\n")
    kinds = "\n".join(f"| `{kind}` | {said} |" for kind, said in tinybird.KINDS.items())
    parts.append(f"## Kinds of jobs\n\n| kind | what it does |\n|---|---|\n{kinds}\n")
    codes = "\n".join(f"| `{code.value}` | {status} |" for code, status in tinybird_errors.STATUS.items())
    said = "Every body is JSON with `error`."
    parts.append(f"## Errors\n\n{said}\n\n| code | status |\n|---|---|\n{codes}\n")
    defaults = tinybird.Options()
    options = "\n".join(
        f"| `{key}` | `{getattr(defaults, key)}` | {said} |" for key, said in tinybird.OPTION_HELP.items()
    )
    said = "`RUNYARD_OPTIONS=tinybird.NAME=VALUE:tinybird.NAME=VALUE`"
    parts.append(f"## Options\n\n{said}\n\n| option | default | what it does |\n|---|---|---|\n{options}\n")
    kept = "\n".join(
        f"| `tinybird.{name}` | {', '.join(columns)} |" for name, columns in tinybird_service.TABLES.items()
    )
    views = ", ".join(f"`tinybird.{name}`" for name in tinybird_service.VIEWS)
    parts.append(f"## Service Data Sources\n\n| name | columns |\n|---|---|\n{kept}\n\nFrom the last: {views}.\n")
    told = "\n".join(f"- {one}" for one in tinybird_support.DIFFERENCES)
    parts.append(f"## How it differs\n\n{told}\n")
    names = ", ".join(f"`{name}`" for name in sorted([*tinybird_functions.OF_PARAMETER, *tinybird_functions.PLAIN]))
    parts.append(f"## Templates\n\n`if`, `elif`, `else`, `for`, `set`, `comment`, `end`, and these: {names}.\n")
    return "\n".join(parts)


WHOLE: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "states.md": states,
    "settings.md": settings,
    "dialects/glue.md": glue,
    "dialects/tinybird.md": tinybird_page,
}
PARTS: dict[str, Callable[[], str]] = {
    "api.md": routes,
    "jobs.md": fields,
    "sql.md": sql,
    "dialects/databricks.md": databricks_page,
}
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
