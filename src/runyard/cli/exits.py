"""Exit codes: what a script that calls `runyard` may rely on."""

from __future__ import annotations

from runyard.core.errors import Code, RunyardError
from runyard.core.states import State

SUCCEEDED, FAILED, USAGE, CANCELLED, TIMED_OUT, NOT_ALLOWED, NO_SERVER = range(7)
INTERRUPTED = 130
"""Ctrl-C, as shells count it: the command ended, the run goes on."""

_OF_STATE = {State.SUCCEEDED: SUCCEEDED, State.CANCELLED: CANCELLED, State.TIMED_OUT: TIMED_OUT}
_OF_CODE = {
    Code.INVALID: USAGE,
    Code.TOO_LARGE: USAGE,
    Code.NOT_FOUND: USAGE,
    Code.ALREADY_EXISTS: USAGE,
    Code.UNAUTHENTICATED: NOT_ALLOWED,
    Code.DENIED: NOT_ALLOWED,
    Code.UNAVAILABLE: NO_SERVER,
}


class Exit(Exception):
    """Ends the command with a code and one line on standard error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def of_state(state: State) -> int:
    """The code that tells how a run ended."""
    return _OF_STATE.get(state, FAILED)


def of_error(error: RunyardError) -> int:
    """The code for a refusal."""
    return _OF_CODE.get(error.code, FAILED)
