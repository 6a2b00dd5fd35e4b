"""`from runyard import context`: what a script in an attempt can ask and tell."""

from runyard.runtime.context import (
    attempt,
    get_value,
    parameter,
    parameters,
    progress,
    run_id,
    set_value,
    task_input,
    task_run_id,
)

__all__ = [
    "attempt",
    "get_value",
    "parameter",
    "parameters",
    "progress",
    "run_id",
    "set_value",
    "task_input",
    "task_run_id",
]
