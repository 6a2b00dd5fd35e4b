"""A script's view of its own attempt: parameters in, values and progress out.

Outside an attempt it is empty: `parameters()` is `{}` and what is published goes nowhere, so a script can be
tried by hand.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec

from runyard.core.actions import SqlDialect
from runyard.core.launch import NOTES

VALUE_BYTES = 48 * 1024
TOTAL_BYTES = 128 * 1024
PROGRESS_BYTES = 8 * 1024
OUTPUT_BYTES = 64 * 1024


class TableError(RuntimeError):
    """A table could not be read or written; its text is one sentence that says why."""


_encode = msgspec.json.Encoder().encode
_facts: dict[str, Any] | None = None
_folder = ""
_values: dict[str, Any] = {}


def install(facts: dict[str, Any], folder: str) -> None:
    """Called by the launcher in a process that it forked; others read the environment."""
    global _facts, _folder
    _facts, _folder = facts, folder


def from_file(path: str) -> dict[str, Any]:
    """What `install` takes, from the file that the environment names."""
    with open(path, "rb") as file:
        facts: dict[str, Any] = msgspec.json.decode(file.read())
    return facts


def _known() -> dict[str, Any]:
    if _facts is None:
        path = os.environ.get("RUNYARD_CONTEXT", "")
        if not path:
            return {}
        install(from_file(path), os.path.dirname(path))
    assert _facts is not None
    return _facts


def parameters() -> dict[str, Any]:
    """The run's parameters."""
    return dict(_known().get("parameters", {}))


def parameter(name: str, default: Any = None) -> Any:
    """One parameter of the run, or the default."""
    return _known().get("parameters", {}).get(name, default)


def task_input() -> Any:
    """The element of a for-each task that this attempt works on."""
    return _known().get("input")


def run_id() -> int | None:
    """The id of the run."""
    return _known().get("run_id")


def task_run_id() -> int | None:
    """The id of this attempt."""
    return _known().get("task_run_id")


def attempt() -> int:
    """0 for the first attempt, then counting."""
    return int(_known().get("attempt", 0))


def world() -> dict[str, Any]:
    """What the server told of the place where this attempt runs."""
    return dict(_known().get("world", {}))


def set_value(name: str, value: Any) -> None:
    """Publishes a JSON value that later tasks can refer to as `{{ tasks.KEY.values.NAME }}`.

    Raises ValueError when it is over 48 KiB of JSON (128 KiB for all values together), TypeError when it is
    no JSON.
    """
    size = len(_encode(value))
    if size > VALUE_BYTES:
        raise ValueError(f"The value {name!r} has {size} bytes of JSON; {VALUE_BYTES} are allowed.")
    total = len(_encode({**_values, name: value}))
    if total > TOTAL_BYTES:
        raise ValueError(f"All values together have {total} bytes of JSON; {TOTAL_BYTES} are allowed.")
    _values[name] = value
    _send({"values": {name: value}})


def set_output(output: Any) -> None:
    """Says what this attempt gives back, as JSON: `GET /task-runs/ID/output` shows it. The last call counts.

    Raises ValueError when it is over 64 KiB of JSON, TypeError when it is no JSON.
    """
    size = len(_encode(output))
    if size > OUTPUT_BYTES:
        raise ValueError(f"The output has {size} bytes of JSON; {OUTPUT_BYTES} are allowed.")
    _send({"output": output})


def set_metrics(**metrics: int | float | str) -> None:
    """Facts that are kept with the attempt, such as rows=10; 8 KiB of JSON at most."""
    if (size := len(_encode(metrics))) > PROGRESS_BYTES:
        raise ValueError(f"The metrics have {size} bytes of JSON; {PROGRESS_BYTES} are allowed.")
    _send({"metrics": metrics})


def fact(name: str) -> Any:
    """What the server said of this attempt under this name; None when it said nothing."""
    return _known().get(name)


def get_value(name: str, default: Any = None) -> Any:
    """A value that this attempt published."""
    return _values.get(name, default)


def task_value(task: str, name: str, default: Any = None) -> Any:
    """A value that a task before this one published, or the default."""
    return (_known().get("before") or {}).get(task, {}).get(name, default)


def bookmark() -> dict[str, Any]:
    """What the job had already processed when this attempt began; empty the first time, or after a reset."""
    return dict(_known().get("bookmark", {}))


def set_bookmark(state: dict[str, Any]) -> None:
    """Says what the job has processed now. It is kept if this attempt succeeds, in the same transaction.

    The last call counts. If another run of the job moved the bookmark meanwhile, this attempt fails instead.
    Raises ValueError when it is over 48 KiB of JSON, TypeError when it is no JSON object.
    """
    if not isinstance(state, dict):
        raise TypeError(f"A bookmark is a dict; found {type(state).__name__}.")
    size = len(_encode(state))
    if size > VALUE_BYTES:
        raise ValueError(f"The bookmark has {size} bytes of JSON; {VALUE_BYTES} are allowed.")
    _send({"bookmark": state})


def progress(fraction: float | None = None, message: str | None = None, **counts: int) -> None:
    """Tells how far the work is: `fraction` from 0 to 1, a sentence, counts such as rows=10.

    Raises ValueError when it is over 8 KiB of JSON.
    """
    told = {"fraction": fraction, "message": message, **counts}
    known = {key: value for key, value in told.items() if value is not None}
    if (size := len(_encode(known))) > PROGRESS_BYTES:
        raise ValueError(f"The progress has {size} bytes of JSON; {PROGRESS_BYTES} are allowed.")
    _send({"progress": known})


def read_table(name_or_sql: str, parameters: dict[str, Any] | None = None, dialect: SqlDialect = "duckdb") -> Any:
    """A warehouse table, or the rows of one SELECT, as a pyarrow.Table: one state of all tables that it names.

    `parameters` are bound to `$name`; `dialect` is the language of the SELECT. Raises `TableError`.
    """
    access = _access("read_table")
    from runyard.runtime import tables  # as heavy as pyarrow

    return tables.read(access, name_or_sql, parameters or {}, dialect)


def write_table(name: str, data: Any, mode: str = "append") -> int:
    """Writes a pyarrow Table, a dict of columns, or record batches into a warehouse table, whole or not at all.

    `mode` is append (makes a table that is not there), replace or create. Returns the number of rows. A repeated
    attempt's n-th write of a table is the same effect as the first attempt's: it changes nothing and returns the
    number recorded. Raises `TableError`; ValueError or TypeError for what can be no table.
    """
    access = _access("write_table")
    from runyard.runtime import tables

    rows = tables.write(access, _folder, name, data, mode)
    _send({"metrics": {"tables_written": [name]}})
    return rows


def _access(function: str) -> dict[str, Any]:
    access: dict[str, Any] | None = _known().get("tables")
    if not access:
        raise TableError(f"{function} works only inside an attempt: run the program as a task of a job.")
    return access


def _send(note: dict[str, Any]) -> None:
    if not _known():
        return
    # Nothing stays open between notes: the script may close files as it likes, fork and start threads.
    folder = os.open(_folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            # Through the open folder: a socket's path may have 107 bytes only.
            channel.sendto(_encode(note), f"/proc/self/fd/{folder}/{NOTES}")
    finally:
        os.close(folder)
