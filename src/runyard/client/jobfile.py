"""Job files: YAML that reads naturally, turned into the core's definitions.

    job: flights
    parameters: {day: null}
    tasks:
      load:
        load: {source: "https://example.org/flights.csv", table: flights, mode: replace}
      delays:
        needs: load
        sql: create or replace table delays as select * from flights where dep_delay > 60
        retries: 2
        timeout: 5m

Every refusal is a `JobFileError` whose text begins with `file:line:column`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

from runyard.client.jobfields import read_job
from runyard.client.nodes import MAX_BYTES, MAX_DEPTH, Document, Item, JobFileError, Place, place_of
from runyard.core import graph
from runyard.core.errors import RunyardError
from runyard.core.model import JobSpec

__all__ = ["JobDocument", "JobFileError", "load", "load_all", "parse", "parse_all"]


class JobDocument(msgspec.Struct, frozen=True):
    """One job of a file. `key` is the name under which `runyard jobs apply` keeps it."""

    spec: JobSpec
    key: str
    place: Place


def load(path: str | Path) -> JobSpec:
    """The one job of a file; scripts that it names are read from beside it."""
    return _only(load_all(path), str(path)).spec


def load_all(path: str | Path) -> list[JobDocument]:
    """The jobs of a file, divided by `---`."""
    path = Path(path)
    return parse_all(read_text(path), source=str(path), folder=path.parent)


def parse(text: str, *, source: str = "job", folder: Path | None = None) -> JobSpec:
    """The one job of a text; `folder` is where the scripts that it names lie."""
    return _only(parse_all(text, source=source, folder=folder), source).spec


def parse_all(text: str, *, source: str = "job", folder: Path | None = None) -> list[JobDocument]:
    """The jobs of a text, divided by `---`."""
    if len(text) > MAX_BYTES:
        raise JobFileError(source, Place(1, 1), f"a job file may have {MAX_BYTES} characters; this has {len(text)}")
    jobs = [_job(node, source, folder) for node in compose(text, source)]
    if not jobs:
        raise JobFileError(source, Place(1, 1), "the file is empty; a job file needs 'job' and 'tasks'")
    return jobs


def _only(jobs: list[JobDocument], source: str) -> JobDocument:
    if len(jobs) > 1:
        found = f"this is job {jobs[1].spec.name!r}, the second of {len(jobs)} in the file"
        problem = f"{found}; one is run at a time. `runyard jobs apply` takes files with several"
        raise JobFileError(source, jobs[1].place, problem)
    return jobs[0]


def read_text(path: Path) -> str:
    """What a file says; refuses one that is too large or is not text."""
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise JobFileError(str(path), Place(1, 1), f"a job file may have {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise JobFileError(str(path), Place(1, 1), f"the file is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobFileError(str(path), Place(1, 1), f"cannot read the file: {reason}") from None


def compose(text: str, source: str) -> Iterator[yaml.Node]:
    """The documents of a text, divided by `---`."""
    try:
        # The loader without implicit types: what a plain word means is decided in nodes.py.
        yield from (node for node in yaml.compose_all(text, yaml.BaseLoader) if node is not None and node.value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise JobFileError(source, place, f"this is not YAML: {_sentence(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character {error.character!r} cannot stand in YAML"
        raise JobFileError(source, Place(line, 1), problem) from None
    except RecursionError:
        raise JobFileError(source, Place(1, 1), f"nested deeper than {MAX_DEPTH} levels") from None
    except (ValueError, OverflowError) as error:
        # The scanner lets these escape for impossible character escapes such as "\UFFFFFFFF".
        raise JobFileError(source, Place(1, 1), f"this is not YAML: {error}") from None


def _sentence(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{said}; a text that begins with * stands in quotes" if "scanning an alias" in said else said


def _job(node: yaml.Node, source: str, folder: Path | None) -> JobDocument:
    document = Document(source, folder)
    spec, key = read_job(Item(document, node))
    try:
        graph.validate(spec)
    except RunyardError as error:
        place = document.nearest(error.field or "")
        raise JobFileError(source, place, error.message + _hint(error.message, spec), field=error.field) from None
    return JobDocument(spec, key or spec.name, place_of(node))


def _hint(message: str, spec: JobSpec) -> str:
    """The nearest task or parameter when the message quotes one that the job does not have."""
    known = [task.key for task in spec.tasks] + list(spec.parameters)
    for word in re.findall(r"'([^']+)'", message):
        close = difflib.get_close_matches(word, known, n=1) if word not in known else []
        if close:
            return f" Did you mean {close[0]!r}?"
    return ""
