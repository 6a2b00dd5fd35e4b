"""From the end of a process to the outcome of its attempt."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.work.child import CANNOT_START
from runyard.work.prepare import CheckoutFailed, EnvironmentFailed

_HEAD = re.compile(r"^(?:  \+ Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)
_START = "runyard: the task cannot be started: "
_UNPREPARED = {EnvironmentFailed.mark: Reason.ENVIRONMENT, CheckoutFailed.mark: Reason.CHECKOUT}
_TYPE = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)
_GROUP_MARGIN = re.compile(r"^  [|+] ?", re.MULTILINE)


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
    for begin, why in _UNPREPARED.items():
        if code == CANNOT_START and begin in text:
            return Outcome(result="failed", reason=why, detail=text.rsplit(begin, 1)[1], **facts)
    if code == 1 and (heads := list(_HEAD.finditer(text))):  # an exception that nobody caught
        return _by_exception(text[heads[-1].start() :], facts)
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


def _by_exception(trace: str, facts: dict[str, Any]) -> Outcome:
    said = _what_it_says(trace)
    found = _TYPE.match(said)
    kind, message = (found.group(1), found.group(2) or "") if found else ("", said)
    reason = Reason.MEMORY if kind.endswith("MemoryError") else Reason.EXCEPTION
    error = {"type": kind, "message": message, "trace": trace}
    return Outcome(result="failed", reason=reason, detail=said.split("\n")[0][:500], exit_code=1, error=error, **facts)


def _what_it_says(trace: str) -> str:
    """The exception's type and message, of as many lines as it has: all after the indented frames."""
    if trace.startswith(" "):  # an exception group: a margin before each line, and its members below
        trace = _GROUP_MARGIN.sub("", trace.partition("\n  +-")[0])
    lines = trace.splitlines()[1:]
    for place, line in enumerate(lines):
        if line and not line[0].isspace():
            return "\n".join(lines[place:])
    return lines[-1].strip() if lines else ""
