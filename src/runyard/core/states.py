"""The states of runs and task runs, and the one table of transitions that moves them.

Read the table as: in this state, on this event, the next state. What is not in it is illegal: `advance`
raises and nothing changes. `docs/states.md` is drawn from this module, and the tests walk every pair.
"""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """Where a run or a task run stands. A `reason` code and a `detail` sentence go with it."""

    QUEUED = "queued"
    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    WAITING = "waiting_to_retry"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    LOST = "lost"


class Move(enum.StrEnum):
    """What can happen to a run or a task run."""

    UNBLOCK = "unblock"  # everything it waited for is settled
    CLAIM = "claim"  # a worker took it
    START = "start"  # its first instruction runs (for a run: its first task was claimed)
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"  # somebody asked for its end
    EXPIRE = "expire"  # its time is over
    STOP = "stop"  # the work ended because of a cancel
    STOP_EXPIRED = "stop_expired"  # the work ended because its time was over
    RELEASE = "release"  # its worker gave it back unharmed; no attempt is used up
    LOSE = "lose"  # its worker vanished
    DUE = "due"  # its back-off is over
    SKIP = "skip"  # excluded, disabled, or refused by a limit
    UPSTREAM = "upstream"  # what it depends on ended in a way that forbids it
    REPAIR = "repair"  # a new repair round of a finished run


_S, _M = State, Move

TERMINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.TIMED_OUT, _S.SKIPPED, _S.UPSTREAM_FAILED, _S.LOST})
"""States that a task run never leaves, and that a run leaves only by a repair."""

ACTIVE = frozenset({_S.STARTING, _S.RUNNING, _S.CANCELLING})
"""States in which a worker may hold the task run: these count against the slots of a queue."""

TASK_MOVES: dict[tuple[State, Move], State] = {
    (_S.BLOCKED, _M.UNBLOCK): _S.QUEUED,
    (_S.BLOCKED, _M.START): _S.RUNNING,  # control flow, which the engine decides itself
    (_S.BLOCKED, _M.CANCEL): _S.CANCELLED,
    (_S.BLOCKED, _M.FAIL): _S.FAILED,  # control flow that could not be decided
    (_S.BLOCKED, _M.SKIP): _S.SKIPPED,
    (_S.BLOCKED, _M.UPSTREAM): _S.UPSTREAM_FAILED,
    (_S.QUEUED, _M.CLAIM): _S.STARTING,
    (_S.QUEUED, _M.START): _S.RUNNING,  # control flow that is tried again
    (_S.QUEUED, _M.CANCEL): _S.CANCELLED,
    (_S.QUEUED, _M.FAIL): _S.FAILED,  # a reference that cannot be resolved: no worker is asked
    (_S.STARTING, _M.START): _S.RUNNING,
    (_S.STARTING, _M.SUCCEED): _S.SUCCEEDED,
    (_S.STARTING, _M.FAIL): _S.FAILED,
    (_S.STARTING, _M.CANCEL): _S.CANCELLING,
    (_S.STARTING, _M.EXPIRE): _S.CANCELLING,
    (_S.STARTING, _M.RELEASE): _S.QUEUED,
    (_S.STARTING, _M.LOSE): _S.LOST,
    (_S.RUNNING, _M.SUCCEED): _S.SUCCEEDED,
    (_S.RUNNING, _M.FAIL): _S.FAILED,
    (_S.RUNNING, _M.CANCEL): _S.CANCELLING,
    (_S.RUNNING, _M.EXPIRE): _S.CANCELLING,
    (_S.RUNNING, _M.RELEASE): _S.QUEUED,
    (_S.RUNNING, _M.LOSE): _S.LOST,
    # What the work really did wins over what was asked: a success that came before the stop is a success,
    # or a repair would apply its effects twice.
    (_S.CANCELLING, _M.SUCCEED): _S.SUCCEEDED,
    (_S.CANCELLING, _M.FAIL): _S.FAILED,
    (_S.CANCELLING, _M.STOP): _S.CANCELLED,
    (_S.CANCELLING, _M.STOP_EXPIRED): _S.TIMED_OUT,
    (_S.WAITING, _M.DUE): _S.QUEUED,
    (_S.WAITING, _M.CANCEL): _S.CANCELLED,
}

RUN_MOVES: dict[tuple[State, Move], State] = {
    (_S.QUEUED, _M.START): _S.RUNNING,
    (_S.QUEUED, _M.SKIP): _S.SKIPPED,
    (_S.QUEUED, _M.CANCEL): _S.CANCELLING,
    (_S.QUEUED, _M.EXPIRE): _S.CANCELLING,
    (_S.QUEUED, _M.SUCCEED): _S.SUCCEEDED,
    (_S.QUEUED, _M.FAIL): _S.FAILED,
    (_S.QUEUED, _M.STOP): _S.CANCELLED,  # each of its tasks was cancelled one by one
    (_S.RUNNING, _M.CANCEL): _S.CANCELLING,
    (_S.RUNNING, _M.EXPIRE): _S.CANCELLING,
    (_S.RUNNING, _M.SUCCEED): _S.SUCCEEDED,
    (_S.RUNNING, _M.FAIL): _S.FAILED,
    (_S.RUNNING, _M.STOP): _S.CANCELLED,
    (_S.RUNNING, _M.STOP_EXPIRED): _S.TIMED_OUT,
    (_S.CANCELLING, _M.SUCCEED): _S.SUCCEEDED,
    (_S.CANCELLING, _M.FAIL): _S.FAILED,
    (_S.CANCELLING, _M.STOP): _S.CANCELLED,
    (_S.CANCELLING, _M.STOP_EXPIRED): _S.TIMED_OUT,
    (_S.SUCCEEDED, _M.REPAIR): _S.QUEUED,
    (_S.FAILED, _M.REPAIR): _S.QUEUED,
    (_S.CANCELLED, _M.REPAIR): _S.QUEUED,
    (_S.TIMED_OUT, _M.REPAIR): _S.QUEUED,
}


class IllegalMove(Exception):
    """An event that the table does not know in this state: a defect of the caller, never of a user."""


def advance(table: dict[tuple[State, Move], State], state: State, move: Move) -> State:
    """The next state; raises `IllegalMove` (and so changes nothing) if the table has none."""
    try:
        return table[state, move]
    except KeyError:
        raise IllegalMove(f"{move.value} in state {state.value}") from None


class Reason(enum.StrEnum):
    """Why something is in its state, as a code. The `detail` beside it is the sentence for people."""

    NONE = ""
    JOB_LIMIT = "job_limit"
    """The job's max_concurrent_runs is reached."""
    UPSTREAM = "upstream"
    """It waits for the tasks that it depends on."""
    BACKOFF = "backoff"
    RETRY = "retry"
    REPAIRED = "repaired"
    REQUEUED = "requeued"
    """Its worker shut down in good order and gave it back."""
    USER_CANCEL = "user_cancel"
    RUN_CANCELLED = "run_cancelled"
    PARENT_CANCELLED = "parent_cancelled"
    TIMEOUT = "timeout"
    RUN_TIMEOUT = "run_timeout"
    EXIT_CODE = "exit_code"
    EXCEPTION = "exception"
    SIGNAL = "signal"
    MEMORY = "memory"
    CPU_TIME = "cpu_time"
    SQL_ERROR = "sql_error"
    LOAD_ERROR = "load_error"
    START_ERROR = "start_error"
    """The work could not be started: a missing file, interpreter or directory."""
    ENVIRONMENT = "environment"
    """What the work requires could not be installed."""
    CHECKOUT = "checkout"
    """The repository could not be checked out."""
    BAD_REFERENCE = "bad_reference"
    LOST_WORKER = "lost_worker"
    CHILD_RUN = "child_run"
    """A run-job task that waits for its run, or whose run did not succeed."""
    ITERATIONS = "iterations"
    BOOKMARK = "bookmark"
    """Another run of the job moved its bookmark while this one worked."""
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_CANCELLED = "upstream_cancelled"
    EXCLUDED = "excluded"
    DISABLED = "disabled"
    TASK_FAILED = "task_failed"
    WITH_FAILURES = "with_failures"
    """The run succeeded by its leaf tasks although another task failed."""
    INTERNAL = "internal"
