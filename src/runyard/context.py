"""`from runyard import context`: what a script in an attempt can ask and tell."""

from runyard.runtime.context import (
    TableError,
    attempt,
    bookmark,
    get_value,
    parameter,
    parameters,
    progress,
    read_table,
    run_id,
    set_bookmark,
    set_value,
    task_input,
    task_run_id,
    write_table,
)

__all__ = [
    "TableError",
    "attempt",
    "bookmark",
    "get_value",
    "parameter",
    "parameters",
    "progress",
    "read_table",
    "run_id",
    "set_bookmark",
    "set_value",
    "task_input",
    "task_run_id",
    "write_table",
]
