"""`{{...}}` of this service as references of the core. Pure.

A known namespace with an unknown key is refused when the definition is saved; what is malformed or names no
namespace stays literal text. Source: Databricks documentation, "What is a dynamic value reference?"; older forms
without a namespace are still in use.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runyard.core.errors import RunyardError, invalid
from runyard.core.moments import PARTS
from runyard.core.references import path_of

_REFERENCE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_OURS = re.compile(r"\{\{(?=\s*[A-Za-z_][^{}]*?\s*\}\})")
_NAME = re.compile(r"(?:`[^`{}]+`|[A-Za-z0-9_\-]+)(?:\.(?:`[^`{}]+`|[A-Za-z0-9_\-]+))*")
NAMESPACES = ("job", "task", "tasks", "workspace", "backfill", "input")

_OLD = {
    "run_id": "task.id",
    "parent_run_id": "run.id",
    "task_key": "task.key",
    "task_retry_count": "task.attempt",
    "start_date": "run.time.iso_date",
    "start_time": "run.time.timestamp_ms",
}
_TASKS = {
    "run_id": "id",
    "result_state": "result",
    "error_code": "reason",
    "execution_count": "executions",
}
_TRIGGER = {
    ("type",): "run.cause",
    ("table_update", "updated_tables"): "run.tables",
}


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference may name that is known when the definition is saved."""

    url: str = ""
    workspace_id: str = "1"
    one_time: bool = False
    """A submission: its job's id is its run's."""
    notebook_path: str = ""
    location: str = ""
    """Where the job's file arrival trigger looks."""


def compiled(value: Any, around: Around) -> Any:
    """The value with the references in its texts turned into ours; raises invalid for an unknown key."""
    if isinstance(value, str):
        return _text(value, around) if "{{" in value else value
    if isinstance(value, list):
        return [compiled(item, around) for item in value]
    if isinstance(value, dict):
        return {compiled(key, around): compiled(item, around) for key, item in value.items()}
    return value


def _text(text: str, around: Around) -> str:
    parts: list[str] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        parts += [_literal(text[at : match.start()]), _one(match.group(0), match.group(1), around)]
        at = match.end()
    return "".join([*parts, _literal(text[at:])])


def _literal(text: str) -> str:
    """Text in which the core sees no reference."""
    return _OURS.sub("{{ literal.open }}", text)


def _one(whole: str, inside: str, around: Around) -> str:
    if not _NAME.fullmatch(inside):
        return _literal(whole)
    path = path_of(inside)
    if len(path) == 1 and path[0] in ("job_id", *_OLD):
        ours = _job_id(around) if path[0] == "job_id" else _OLD[path[0]]
    elif path[0] not in NAMESPACES:
        return _literal(whole)
    elif path[0] == "workspace":
        return _workspace(whole, path, around)
    elif path == ["job", "trigger", "file_arrival", "location"]:
        return _literal(around.location)
    elif path == ["task", "notebook_path"]:
        return _literal(around.notebook_path)
    else:
        ours = _compiled(whole, path, around)
    return "{{ " + ours + " }}"


def _workspace(whole: str, path: list[str], around: Around) -> str:
    known = {"id": around.workspace_id, "url": around.url}
    if len(path) != 2 or path[1] not in known:
        raise unknown(whole)
    return _literal(known[path[1]])


def _compiled(whole: str, path: list[str], around: Around) -> str:
    head, rest = path[0], path[1:]
    if head == "input":
        return _dotted(path)
    if head == "job" and rest:
        return _job(whole, rest, around)
    if head == "task" and len(rest) == 1 and rest[0] in _TASK:
        return _TASK[rest[0]]
    if head == "tasks" and len(rest) >= 2:
        return _tasks(whole, rest)
    if head == "backfill" and rest in ([part] for part in PARTS):
        return f"run.scheduled.{rest[0]}"
    raise unknown(whole)


_TASK = {"name": "task.key", "run_id": "task.id", "execution_count": "task.executions"}
_JOB = {"name": "job.name", "run_id": "run.id", "repair_count": "run.round"}


def _job_id(around: Around) -> str:
    return "run.id" if around.one_time else "job.id"


def _job(whole: str, rest: list[str], around: Around) -> str:
    if rest == ["id"]:
        return _job_id(around)
    if len(rest) == 1 and rest[0] in _JOB:
        return _JOB[rest[0]]
    if rest[0] == "parameters" and len(rest) == 2:
        return _dotted(["parameters", rest[1]])
    if rest[0] == "start_time" and rest[1:] in ([part] for part in PARTS):
        return f"run.time.{rest[1]}"
    if rest[:2] == ["trigger", "time"] and rest[2:] in ([part] for part in PARTS):
        return f"run.scheduled.{rest[2]}"
    if rest[0] == "trigger" and tuple(rest[1:]) in _TRIGGER:
        return _TRIGGER[tuple(rest[1:])]
    raise unknown(whole)


def _tasks(whole: str, rest: list[str]) -> str:
    name, fact, more = rest[0], rest[1], rest[2:]
    if not more and fact in _TASKS:
        return _dotted(["tasks", name, _TASKS[fact]])
    if fact == "values" and more:
        return _dotted(["tasks", name, "values", *more])
    if fact == "output" and more and more[0] in ("rows", "first_row"):
        return _dotted(["tasks", name, "output", *more])
    raise unknown(whole)


def _dotted(path: list[str]) -> str:
    return ".".join(f"`{name}`" if not re.fullmatch(r"[A-Za-z0-9_\-]+", name) else name for name in path)


def unknown(whole: str) -> RunyardError:
    """A reference to something that the service does not offer."""
    return invalid(f"Invalid dynamic value reference: {whole} names nothing that is known.")
