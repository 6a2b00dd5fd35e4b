"""From the end of a process to the outcome of its attempt."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.work.child import CANNOT_START

_HEAD = "Traceback (most recent call last):"
_START = "runyard: the task cannot be started: "
_TYPE = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$")


def of(status: int, tail: bytes, facts: dict[str, Any]) -> Outcome:
    """The outcome of work that ended by itself, by its wait status and the end of its standard error."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return Outcome(result="succeeded", exit_code=0, **facts)
    text = tail.decode("utf-8", "replace").rstrip()
    if code < 0:
        return _by_signal(-code, text, facts)
    if code == CANNOT_START and _START in text:
        detail = text.rsplit(_START, 1)[1]
        return Outcome(
            result="failed", reason=Reason.START_ERROR, detail=f"Cannot be started: {detail}", retry=False, **facts
        )
    if _HEAD in text:
        return _by_exception(code, text, facts)
    last = text.splitlines()[-1].strip()[:500] if text else ""
    if last.endswith("MemoryError"):
        return Outcome(result="failed", reason=Reason.MEMORY, detail="It ran out of memory.", exit_code=code, **facts)
    detail = f"exit code {code}" + (f": {last}" if last else "")
    return Outcome(result="failed", reason=Reason.EXIT_CODE, detail=detail, exit_code=code, **facts)


def _by_signal(number: int, text: str, facts: dict[str, Any]) -> Outcome:
    name = signal.Signals(number).name if number in signal.Signals._value2member_map_ else f"signal {number}"
    reason, detail = Reason.SIGNAL, f"killed by {name}"
    if number == signal.SIGXCPU:
        reason, detail = Reason.CPU_TIME, "it used up its CPU time (killed by SIGXCPU)"
    elif "MemoryError" in text[-200:] or "bad_alloc" in text[-200:]:
        reason, detail = Reason.MEMORY, f"it ran out of memory (killed by {name})"
    return Outcome(result="failed", reason=reason, detail=detail, exit_code=128 + number, **facts)


def _by_exception(code: int, text: str, facts: dict[str, Any]) -> Outcome:
    trace = text[text.rindex(_HEAD) :]
    line = _last_error_line(trace)
    found = _TYPE.match(line)
    kind, message = (found.group(1), found.group(2) or "") if found else ("", line)
    reason = Reason.MEMORY if kind == "MemoryError" else Reason.EXCEPTION
    error = {"type": kind, "message": message, "trace": trace}
    return Outcome(result="failed", reason=reason, detail=line[:500], exit_code=code, error=error, **facts)


def _last_error_line(trace: str) -> str:
    """The exception's own line: the first unindented one after the frames (its message may go on below)."""
    for line in trace.splitlines()[1:]:
        if line and not line[0].isspace():
            return line
    return trace.splitlines()[-1].strip()
