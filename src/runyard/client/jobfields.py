"""What may stand in a job file: one table a section, each entry naming how its value is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from runyard.client.nodes import Field, Item
from runyard.client.words import nearest_word
from runyard.core.actions import (
    Checkout,
    Condition,
    Copy,
    Dbt,
    Delete,
    Export,
    ForEach,
    Load,
    Materialize,
    Notebook,
    Python,
    RunJob,
    Shell,
    Sql,
    SqlDialect,
    Truncate,
    Wheel,
)
from runyard.core.cron import Flavour
from runyard.core.model import Dependency, JobSpec, Limits, Notification, OnLimit, Retries, RunIf, Task
from runyard.core.schedule import Schedule
from runyard.core.states import TERMINAL, State
from runyard.core.triggers import (
    AfterRuns,
    Continuous,
    FileArrival,
    JobTrigger,
    Manual,
    OnSchedule,
    TableUpdate,
    Watched,
)

A = TypeVar("A", bound=msgspec.Struct)

MAX_FILE = 4 * 1024 * 1024
_COMPARISON = re.compile(r"(?P<left>.+?)\s*(?P<op>==|!=|>=|<=|>|<)\s*(?P<right>.+)", re.DOTALL)
_OPERATORS = ("==", "!=", ">", ">=", "<", "<=")


def _choice(*words: str) -> Any:
    return lambda item: item.choice(*words)


def read_beside(item: Item) -> str:
    """The text of a file named relative to the job file; it is read now, since the server may be elsewhere."""
    name, folder = item.text("the name of a file"), item.document.folder
    if folder is None:
        raise item.error(f"{name!r} cannot be found: this job was not read from a file, so it lies in no folder")
    try:
        path = folder / name
        if path.is_file() and path.stat().st_size > MAX_FILE:
            raise item.error(f"{name!r} is larger than {MAX_FILE} bytes")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise item.error(f"{name!r} is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise item.error(f"cannot read {name!r}: {reason}{_similar_file(folder, name)}") from None


def _similar_file(folder: Path, name: str) -> str:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())[:1000]
    except OSError:
        return ""
    hint = nearest_word(name, names)
    return hint.partition("?")[0] + "?" if "did you mean" in hint else ""


# --- kinds of work ----------------------------------------------------------------------------------------

CHECKOUT = {
    "url": Field(Item.text),
    "branch": Field(Item.text),
    "tag": Field(Item.text),
    "commit": Field(Item.text),
}


def _checkout(item: Item) -> Checkout:
    values = {"url": item.text()} if item.is_text() else item.fields(CHECKOUT, "a checkout")
    if "url" not in values:
        raise item.error("a checkout needs the 'url' of a repository")
    return Checkout(**values)


STATEMENT = {
    "statement": Field(Item.text),
    "dialect": Field(_choice(*get_args(SqlDialect))),
    "parameters": Field(Item.value_map),
    "schema": Field(Item.text),
}
SQL = {
    **STATEMENT,
    "file": Field(read_beside, "statement"),
    "reads": Field(Item.texts),
    "writes": Field(Item.texts),
    "max_rows": Field(Item.integer),
    "max_bytes": Field(Item.integer),
}
LOAD = {
    "source": Field(Item.text),
    "table": Field(Item.text),
    "format": Field(_choice("auto", "csv", "ndjson", "parquet")),
    "mode": Field(_choice("create", "append", "replace", "replace_where")),
    "where": Field(Item.text),
    "schema": Field(Item.text),
    "columns": Field(Item.text_map),
    "options": Field(Item.value_map),
    "max_bad_rows": Field(Item.integer),
    "partition_by": Field(Item.text),
    "dialect": Field(_choice(*get_args(SqlDialect))),
}
QUERY = {**STATEMENT, "file": Field(read_beside, "statement"), "reads": Field(Item.texts)}
COPY = {
    **QUERY,
    "table": Field(Item.text),
    "mode": Field(_choice("append", "replace")),
    "partition_by": Field(Item.text),
}
TRUNCATE = {"table": Field(Item.text), "schema": Field(Item.text)}
DELETE = {
    **TRUNCATE,
    "where": Field(Item.text),
    "parameters": Field(Item.value_map),
    "dry_run": Field(Item.boolean),
    "dialect": Field(_choice(*get_args(SqlDialect))),
}
EXPORT = {
    **QUERY,
    "target": Field(Item.text),
    "format": Field(_choice("auto", "csv", "ndjson", "parquet", "arrow")),
    "compression": Field(_choice("auto", "none", "gzip", "zstd")),
}
MATERIALIZE = {
    "view": Field(Item.text),
    "where": Field(Item.text),
    "sample": Field(Item.number),
    "truncate": Field(Item.boolean),
    "partition_by": Field(Item.text),
    "chunk_rows": Field(Item.integer),
    "dialect": Field(_choice(*get_args(SqlDialect))),
}
PYTHON = {
    "source": Field(Item.text),
    "file": Field(read_beside, "source"),
    "module": Field(Item.text),
    "arguments": Field(Item.texts),
    "environment": Field(Item.text_map),
    "interpreter": Field(Item.text),
    "requirements": Field(Item.texts),
    "checkout": Field(_checkout),
    "working_directory": Field(Item.text),
}
NOTEBOOK = {
    "path": Field(Item.text),
    "source": Field(Item.text),
    "file": Field(read_beside, "source"),
    "language": Field(_choice("python", "sql", "shell")),
    "format": Field(_choice("source", "jupyter")),
    "parameters": Field(Item.text_map),
    "root": Field(Item.text),
    "environment": Field(Item.text_map),
    "interpreter": Field(Item.text),
    "requirements": Field(Item.texts),
    "checkout": Field(_checkout),
    "working_directory": Field(Item.text),
}
WHEEL = {
    "package": Field(Item.text),
    "entry_point": Field(Item.text),
    "arguments": Field(Item.texts),
    "wheels": Field(Item.texts),
    "requirements": Field(Item.texts),
    "index": Field(Item.boolean),
    "environment": Field(Item.text_map),
    "working_directory": Field(Item.text),
}
DBT = {
    "commands": Field(Item.texts),
    "project": Field(Item.text),
    "schema": Field(Item.text),
    "requirements": Field(Item.texts),
    "environment": Field(Item.text_map),
    "checkout": Field(_checkout),
}
SHELL = {
    "command": Field(lambda item: item.texts() if item.is_list() else item.text()),
    "environment": Field(Item.text_map),
    "checkout": Field(_checkout),
    "working_directory": Field(Item.text),
}
CONDITION = {"left": Field(Item.value), "op": Field(_choice(*_OPERATORS)), "right": Field(Item.value)}
RUN_JOB = {"job": Field(Item.integer), "parameters": Field(Item.value_map)}


def _leaf(item: Item) -> Any:
    names = list(item.entries("a mapping with the work to do, such as sql: ..."))
    if len(names) != 1:
        raise item.error(f"do must hold exactly one kind of work ({', '.join(LEAVES)}); found {names or 'none'}")
    return item.fields(LEAVES, "do")["action"]


FOR_EACH = {
    "inputs": Field(lambda item: [one.value() for one in item.elements()] if item.is_list() else item.text()),
    "do": Field(_leaf, "action"),
    "concurrency": Field(Item.integer),
}


def _sql(item: Item) -> Sql:
    return Sql(statement=item.text()) if item.is_text() else _build(item, Sql, SQL, "statement")


def _load(item: Item) -> Load:
    return _build(item, Load, LOAD, "source", "table")


def _copy(item: Item) -> Copy:
    return _build(item, Copy, COPY, "statement", "table")


def _truncate(item: Item) -> Truncate:
    return Truncate(table=item.text()) if item.is_text() else _build(item, Truncate, TRUNCATE, "table")


def _delete(item: Item) -> Delete:
    return _build(item, Delete, DELETE, "table", "where")


def _materialize(item: Item) -> Materialize:
    return Materialize(view=item.text()) if item.is_text() else _build(item, Materialize, MATERIALIZE, "view")


def _export(item: Item) -> Export:
    return _build(item, Export, EXPORT, "statement", "target")


def _python(item: Item) -> Python:
    if not item.is_text():
        return _build(item, Python, PYTHON)
    source = item.text()
    if re.fullmatch(r"[\w./ -]+\.py", source.strip()):
        raise item.error(f"this is the program itself, not its file; write python: {{file: {source.strip()}}}")
    return Python(source=source)


def _notebook(item: Item) -> Notebook:
    if item.is_text():
        return Notebook(path=item.text())
    given = _build(item, Notebook, NOTEBOOK)
    file = item.entries().get("file")
    name = "" if file is None else str(file.value)
    if name.endswith(".ipynb"):
        return msgspec.structs.replace(given, format="jupyter")
    return msgspec.structs.replace(given, language="sql") if name.endswith(".sql") else given


def _wheel(item: Item) -> Wheel:
    return _build(item, Wheel, WHEEL, "package", "entry_point")


def _dbt(item: Item) -> Dbt:
    return _build(item, Dbt, DBT, "commands")


def _shell(item: Item) -> Shell:
    if item.is_mapping():
        return _build(item, Shell, SHELL, "command")
    return Shell(command=item.texts() if item.is_list() else item.text())


def _condition(item: Item) -> Condition:
    if not item.is_text():
        return _build(item, Condition, CONDITION, "left", "op", "right")
    match = _COMPARISON.fullmatch(item.text().strip())
    if match is None:
        raise item.wanted(f"a comparison such as '{{{{ parameters.day }}}} == monday' with one of {_OPERATORS}")
    sides: dict[str, Any] = match.groupdict()
    return Condition(**sides)


def _run_job(item: Item) -> RunJob:
    return RunJob(job=item.integer()) if item.is_text() else _build(item, RunJob, RUN_JOB, "job")


def _for_each(item: Item) -> ForEach:
    return _build(item, ForEach, FOR_EACH, "inputs", "action")


LEAVES = {
    "sql": Field(_sql, "action"),
    "load": Field(_load, "action"),
    "copy": Field(_copy, "action"),
    "truncate": Field(_truncate, "action"),
    "delete": Field(_delete, "action"),
    "materialize": Field(_materialize, "action"),
    "export": Field(_export, "action"),
    "python": Field(_python, "action"),
    "notebook": Field(_notebook, "action"),
    "wheel": Field(_wheel, "action"),
    "dbt": Field(_dbt, "action"),
    "shell": Field(_shell, "action"),
    "run_job": Field(_run_job, "action"),
}
KINDS = {**LEAVES, "condition": Field(_condition, "action"), "for_each": Field(_for_each, "action")}


def _build(item: Item, kind: type[A], table: dict[str, Field], *needed: str) -> A:
    name = str(kind.__struct_config__.tag)
    _refuse_both(item, "statement" if kind is Sql else "source", "file")
    values = item.fields(table, f"{name!r}")
    shown = {field.core or key: key for key, field in reversed(table.items())}
    for core in needed:
        if core not in values:
            raise item.error(f"{name} needs {shown[core]!r}, which is missing")
    return kind(**values)


def _refuse_both(item: Item, first: str, second: str) -> None:
    if {first, second} <= set(item.entries()):
        raise item.error(f"{first} and {second} exclude each other; keep one of them")


# --- tasks and jobs ---------------------------------------------------------------------------------------

RETRIES = {
    "max": Field(Item.integer),
    "delay": Field(Item.duration),
    "backoff": Field(Item.number),
    "max_delay": Field(Item.duration),
    "on_timeout": Field(Item.boolean),
    "measure": Field(_choice("end", "start")),
}
LIMITS = {
    "memory": Field(Item.size, "memory_bytes"),
    "cpu": Field(lambda item: round(item.duration()), "cpu_seconds"),
    "log": Field(Item.size, "log_bytes"),
}
NEED = {"task": Field(Item.text), "outcome": Field(_choice("true", "false"))}


def _points(item: Item) -> list[str]:
    points = item.elements() if item.is_list() else [item]
    return [point.choice("start", "success", "failure", "cancelled", "skipped", "duration") for point in points]


NOTIFICATION = {
    "url": Field(Item.text),
    "email": Field(lambda item: item.texts() if item.is_list() else [item.text()]),
    "on": Field(_points),
    "every_attempt": Field(Item.boolean),
    "body": Field(Item.value_map),
}


SCHEDULE = {
    "cron": Field(Item.text),
    "every": Field(Item.duration),
    "flavour": Field(lambda item: Flavour(item.choice(*Flavour))),
    "time_zone": Field(Item.text),
    "paused": Field(Item.boolean),
    "misfire": Field(_choice("skip", "catch_up")),
    "catch_up_limit": Field(Item.integer),
    "parameters": Field(Item.value_map),
}


def _schedule(item: Item) -> Schedule:
    if not item.is_mapping():
        return Schedule(cron=item.text("a cron expression, or a mapping with cron or every"))
    return Schedule(**item.fields(SCHEDULE, "a schedule"))


def _needs(item: Item) -> list[Dependency]:
    if item.is_null():
        return []
    if item.is_list():
        return [_need(element) for element in item.elements()]
    return [_need(item.inside(f"{item.path}[0]", item.node))]


def _need(item: Item) -> Dependency:
    if not item.is_mapping():
        return Dependency(task=item.text("a task's name, or a mapping with task and outcome"))
    values = item.fields(NEED, "an entry of needs")
    if "task" not in values:
        raise item.error("an entry of needs must name its 'task'")
    return Dependency(**values)


def _retries(item: Item) -> Retries:
    return Retries(**item.fields(RETRIES, "retries")) if item.is_mapping() else Retries(max=item.integer())


def _limits(item: Item) -> Limits:
    return Limits(**item.fields(LIMITS, "limits"))


def _notifications(item: Item) -> list[Notification]:
    return [_notification(element) for element in item.elements("a list of mappings with url and on")]


def _notification(item: Item) -> Notification:
    values = item.fields(NOTIFICATION, "a notification")
    if ("url" in values) == ("email" in values):
        raise item.error("a notification needs either 'url' or 'email'")
    return Notification(**values)


TASK: dict[str, Field] = {
    "needs": Field(_needs),
    **KINDS,
    "run_if": Field(lambda item: RunIf(item.choice(*RunIf))),
    "retries": Field(_retries),
    "timeout": Field(Item.duration),
    "warn_after": Field(Item.duration),
    "notifications": Field(_notifications),
    "queue": Field(Item.text),
    "priority": Field(Item.integer),
    "limits": Field(_limits),
    "disabled": Field(Item.boolean),
    "description": Field(Item.text),
}


def _task(item: Item, key: str) -> Task:
    kinds = [name for name in item.entries("a mapping with what the task does, such as sql: ...") if name in KINDS]
    if len(kinds) > 1:
        raise item.error(f"task {key!r} has {' and '.join(kinds)}; a task does one of them")
    values = item.fields(TASK, f"task {key!r}")
    if not kinds:
        raise item.error(f"task {key!r} does not say what it does; give it one of {', '.join(KINDS)}")
    return Task(key=key, **values)


def _tasks(item: Item) -> list[Task]:
    tasks = item.entries("a mapping of task names to what they do")
    return [_task(item.inside(f"{item.path}[{i}]", node), key) for i, (key, node) in enumerate(tasks.items())]


# --- triggers ---------------------------------------------------------------------------------------------


def job_named(item: Item) -> int | str:
    """A job's id or key."""
    value = item.scalar() if item.is_text() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else item.text("a job's id or key")


def _states(item: Item) -> list[State]:
    ends = [state.value for state in State if state in TERMINAL]
    states = item.elements() if item.is_list() else [item]
    return [State(state.choice(*ends)) for state in states]


def _watch(item: Item) -> list[Watched]:
    return [_watched(element) for element in item.elements("a list of jobs")]


def _watched(item: Item) -> Watched:
    return Watched(**item.fields(WATCHED, "an entry of watch")) if item.is_mapping() else Watched(job=job_named(item))


WATCHED = {"job": Field(job_named), "states": Field(_states)}
AFTER_RUNS = {"watch": Field(_watch), "match": Field(_choice("all", "any")), "by_hand": Field(Item.boolean)}
_SETTLE = {
    "wait_after_last_change": Field(Item.duration),
    "min_time_between": Field(Item.duration),
    "batch_size": Field(Item.integer),
    "batch_window": Field(Item.duration),
}
FILE_ARRIVAL = {"location": Field(Item.text), "pattern": Field(Item.text), **_SETTLE}
TABLE_UPDATE = {"tables": Field(Item.texts), "match": Field(_choice("all", "any")), **_SETTLE}
CONTINUOUS = {
    "delay": Field(Item.duration),
    "backoff": Field(Item.number),
    "max_delay": Field(Item.duration),
}
MANUAL: dict[str, Field] = {}


def _source(kind: type[A], table: dict[str, Field], *needed: str) -> Field:
    def read(item: Item) -> A:
        values = {} if item.is_null() else item.fields(table, f"{kind.__struct_config__.tag!r}")
        for name in needed:
            if name not in values:
                raise item.error(f"{kind.__struct_config__.tag} needs {name!r}, which is missing")
        return kind(**values)

    return Field(read, "source")


SOURCES = {
    "schedule": Field(lambda item: OnSchedule(schedule=_schedule(item)), "source"),
    "after_runs": _source(AfterRuns, AFTER_RUNS, "watch"),
    "file_arrival": _source(FileArrival, FILE_ARRIVAL, "location"),
    "table_update": _source(TableUpdate, TABLE_UPDATE, "tables"),
    "continuous": _source(Continuous, CONTINUOUS),
    "manual": _source(Manual, MANUAL),
}
TRIGGER = {**SOURCES, "parameters": Field(Item.value_map), "paused": Field(Item.boolean)}


def _trigger(item: Item, key: str) -> JobTrigger:
    kinds = [kind for kind in item.entries("a mapping with when it fires, such as schedule: ...") if kind in SOURCES]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise item.error(f"trigger {key!r} must have exactly one of {', '.join(SOURCES)}; found {found}")
    return JobTrigger(key=key, **item.fields(TRIGGER, f"trigger {key!r}"))


def _triggers(item: Item) -> list[JobTrigger]:
    entries = item.entries("a mapping of trigger names to when they fire")
    return [_trigger(item.inside(f"{item.path}[{i}]", node), key) for i, (key, node) in enumerate(entries.items())]


# --- jobs -------------------------------------------------------------------------------------------------

JOB: dict[str, Field] = {
    "job": Field(Item.text, "name"),
    "key": Field(Item.text),
    "description": Field(Item.text),
    "parameters": Field(Item.value_map),
    "queue": Field(Item.text),
    "priority": Field(Item.integer),
    "timeout": Field(Item.duration),
    "warn_after": Field(Item.duration),
    "max_concurrent_runs": Field(Item.integer),
    "on_limit": Field(lambda item: OnLimit(item.choice(*OnLimit))),
    "notifications": Field(_notifications),
    "schedule": Field(_schedule),
    "triggers": Field(_triggers),
    "tags": Field(Item.text_map),
    "tasks": Field(_tasks),
}


def read_job(item: Item) -> tuple[JobSpec, str | None]:
    """A document's definition and its own `key`, if it gives one."""
    values = item.fields(JOB, "a job")
    for name, core in (("job", "name"), ("tasks", "tasks")):
        if core not in values:
            raise item.error(f"a job file needs {name!r}, which is missing")
    key = values.pop("key", None)
    return JobSpec(**values), key
