"""A script's view of its own attempt: parameters in, values and progress out.

Outside an attempt it is empty: `parameters()` is `{}` and what is published goes nowhere, so a script can be
tried by hand.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

VALUE_BYTES = 48 * 1024
TOTAL_BYTES = 128 * 1024

_encode = msgspec.json.Encoder().encode
_facts: dict[str, Any] | None = None
_fd = -1
_values: dict[str, Any] = {}


def install(facts: dict[str, Any], fd: int) -> None:
    """Called by the launcher in a process that it forked; others read the environment."""
    global _facts, _fd
    _facts, _fd = facts, fd


def _known() -> dict[str, Any]:
    global _facts, _fd
    if _facts is None:
        path = os.environ.get("RUNYARD_CONTEXT")
        if path:
            with open(path, "rb") as file:
                _facts = msgspec.json.decode(file.read())
            _fd = int(os.environ.get("RUNYARD_CONTEXT_FD", "-1"))
    return _facts if _facts is not None else {}


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


def get_value(name: str, default: Any = None) -> Any:
    """A value that this attempt published."""
    return _values.get(name, default)


def progress(fraction: float | None = None, message: str | None = None, **counts: int) -> None:
    """Tells how far the work is: `fraction` from 0 to 1, a sentence, counts such as rows=10."""
    told = {"fraction": fraction, "message": message, **counts}
    _send({"progress": {key: value for key, value in told.items() if value is not None}})


def _send(note: dict[str, Any]) -> None:
    _known()
    if _fd >= 0:
        os.write(_fd, _encode(note))
