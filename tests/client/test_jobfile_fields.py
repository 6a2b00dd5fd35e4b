"""The tables of a job file keep up with the core: what a definition can say, a file can say."""

from __future__ import annotations

import typing

import msgspec
import pytest

from runyard.client import jobfields as tables
from runyard.client.nodes import Field
from runyard.core import actions, model, triggers

PAIRS: list[tuple[dict[str, Field], type[msgspec.Struct]]] = [
    (tables.JOB, model.JobSpec),
    (tables.TASK, model.Task),
    (tables.RETRIES, model.Retries),
    (tables.LIMITS, model.Limits),
    (tables.NEED, model.Dependency),
    (tables.NOTIFICATION, model.Notification),
    (tables.SQL, actions.Sql),
    (tables.LOAD, actions.Load),
    (tables.COPY, actions.Copy),
    (tables.TRUNCATE, actions.Truncate),
    (tables.DELETE, actions.Delete),
    (tables.MATERIALIZE, actions.Materialize),
    (tables.EXPORT, actions.Export),
    (tables.PYTHON, actions.Python),
    (tables.NOTEBOOK, actions.Notebook),
    (tables.DBT, actions.Dbt),
    (tables.WHEEL, actions.Wheel),
    (tables.CHECKOUT, actions.Checkout),
    (tables.SHELL, actions.Shell),
    (tables.CONDITION, actions.Condition),
    (tables.RUN_JOB, actions.RunJob),
    (tables.FOR_EACH, actions.ForEach),
    (tables.TRIGGER, triggers.JobTrigger),
    (tables.WATCHED, triggers.Watched),
    (tables.AFTER_RUNS, triggers.AfterRuns),
    (tables.FILE_ARRIVAL, triggers.FileArrival),
    (tables.TABLE_UPDATE, triggers.TableUpdate),
    (tables.CONTINUOUS, triggers.Continuous),
    (tables.MANUAL, triggers.Manual),
]
NAMES = [kind.__struct_config__.tag for kind in typing.get_args(actions.Action)]
NOT_OF_THE_CORE = {"key"}  # of a job: the name under which `jobs apply` keeps it; of a task: its place in the mapping
NOT_OF_A_FILE = {
    "key",
    "file",
    "extras",
}  # a program's file is read where it lies and sent as source; extras are a face's


@pytest.mark.parametrize(("table", "struct"), PAIRS, ids=lambda one: getattr(one, "__name__", ""))
def test_every_field_of_a_definition_can_be_written(table: dict[str, Field], struct: type[msgspec.Struct]) -> None:
    written = {field.core or name for name, field in table.items()} - NOT_OF_THE_CORE
    assert written == set(struct.__struct_fields__) - NOT_OF_A_FILE


def test_every_kind_of_work_can_be_written() -> None:
    assert set(tables.KINDS) == set(NAMES)
