"""Trigger files: YAML for triggers that stand on their own, read as in a job file.

    trigger: after-load
    after_runs: {watch: [load, clean], match: all}
    start:
      - report
      - {job: mail, parameters: {mode: full}, timeout: 1h}

Every refusal is a `JobFileError` whose text begins with `file:line:column`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from runyard.client.jobfields import SOURCES, job_named
from runyard.client.jobfile import compose, read_text
from runyard.client.nodes import Document, Field, Item, JobFileError, Place
from runyard.core.triggers import StartRun, TriggerSpec


class TriggerDocument(msgspec.Struct, frozen=True):
    """One trigger of a file. `key` is the name under which `runyard triggers apply` keeps it."""

    spec: TriggerSpec
    key: str
    paused: bool


START = {
    "job": Field(job_named),
    "parameters": Field(Item.value_map),
    "name": Field(Item.text),
    "queue": Field(Item.text),
    "priority": Field(Item.integer),
    "timeout": Field(Item.duration),
    "task_timeout": Field(Item.duration),
    "tags": Field(Item.text_map),
}


def _started(item: Item) -> StartRun:
    if not item.is_mapping():
        return StartRun(job=job_named(item))
    values = item.fields(START, "an entry of start")
    if "job" not in values:
        raise item.error("an entry of start needs 'job', which is missing")
    return StartRun(**values)


def _starts(item: Item) -> list[StartRun]:
    return [_started(one) for one in (item.elements() if item.is_list() else [item])]


TRIGGER = {
    "trigger": Field(Item.text, "key"),
    **SOURCES,
    "start": Field(_starts, "actions"),
    "description": Field(Item.text),
    "paused": Field(Item.boolean),
}


def load_all(path: str | Path) -> list[TriggerDocument]:
    """The triggers of a file, divided by `---`."""
    path = Path(path)
    return parse_all(read_text(path), source=str(path))


def parse_all(text: str, *, source: str = "trigger") -> list[TriggerDocument]:
    """The triggers of a text, divided by `---`."""
    found = [_trigger(node, source) for node in compose(text, source)]
    if not found:
        raise JobFileError(source, Place(1, 1), "the file is empty; a trigger file needs 'trigger' and 'start'")
    return found


def _trigger(node: yaml.Node, source: str) -> TriggerDocument:
    item = Item(Document(source, None), node)
    kinds = [kind for kind in item.entries("a mapping with trigger, when it fires, and start") if kind in SOURCES]
    values = item.fields(TRIGGER, "a trigger")
    for name, core in (("trigger", "key"), ("start", "actions")):
        if core not in values:
            raise item.error(f"a trigger file needs {name!r}, which is missing")
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise item.error(f"a trigger must have exactly one of {', '.join(SOURCES)}; found {found}")
    key, paused = values.pop("key"), values.pop("paused", False)
    return TriggerDocument(TriggerSpec(**values), key, paused)
