"""`from runyard import context`: what a script in an attempt can ask and tell."""

from runyard.runtime.context import (
    TableError,
    attempt,
    get_value,
    parameter,
    parameters,
    progress,
    read_table,
    run_id,
    set_value,
    task_input,
    task_run_id,
    write_table,
)

__all__ = [
    "TableError",
    "attempt",
    "get_value",
    "parameter",
    "parameters",
    "progress",
    "read_table",
    "run_id",
    "set_value",
    "task_input",
    "task_run_id",
    "write_table",
]
