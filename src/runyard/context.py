"""`from runyard import context`: what a script in an attempt can ask and tell."""

from runyard.runtime.context import (
    attempt,
    bookmark,
    get_value,
    parameter,
    parameters,
    progress,
    run_id,
    set_bookmark,
    set_value,
    task_input,
    task_run_id,
)

__all__ = [
    "attempt",
    "bookmark",
    "get_value",
    "parameter",
    "parameters",
    "progress",
    "run_id",
    "set_bookmark",
    "set_value",
    "task_input",
    "task_run_id",
]
