"""The changes of a transaction that no statement has written yet, so that they are written together.

Sixteen submissions in one transaction are then four statements with many rows each instead of eighty, and a
run that is changed twice is written once. Whoever reads in between writes them first.
"""

from __future__ import annotations

from collections.abc import Iterable

from runyard.core.changes import Changes
from runyard.core.model import JobSpec, Run, TaskRun
from runyard.core.states import State
from runyard.store import rows

Kept = tuple[Changes, JobSpec | None]


class Gathered:
    """The rows of some decisions, by statement. Later values of a run or task run stand in for earlier ones."""

    __slots__ = (
        "_changed_specs",
        "_events",
        "_new_runs",
        "_new_task_runs",
        "_outputs",
        "_runs",
        "_specs",
        "_task_runs",
    )

    def __init__(self, decisions: Iterable[Kept]) -> None:
        self._new_runs: dict[int, Run] = {}
        self._specs: dict[int, str | None] = {}
        self._runs: dict[int, Run] = {}
        self._new_task_runs: dict[int, TaskRun] = {}
        self._task_runs: dict[int, TaskRun] = {}
        self._events: list[rows.Row] = []
        self._outputs: dict[int, str] = {}
        self._changed_specs: dict[int, str] = {}
        for changes, spec in decisions:
            self._add(changes, spec)

    def _add(self, changes: Changes, spec: JobSpec | None) -> None:
        run = changes.run
        if changes.new_run:
            self._new_runs[run.id] = run
            self._specs[run.id] = rows.spec_json(spec) if spec is not None else None
        elif changes.run_changed:
            (self._new_runs if run.id in self._new_runs else self._runs)[run.id] = run
        if changes.spec is not None:
            (self._specs if run.id in self._new_runs else self._changed_specs)[run.id] = rows.spec_json(changes.spec)
        self._new_task_runs.update(changes.added)
        for key, one in changes.updated.items():
            (self._new_task_runs if key in self._new_task_runs else self._task_runs)[key] = one
        self._events += map(rows.event_row, changes.events)
        for key, output in changes.outputs.items():
            self._outputs[key] = output.decode()

    def statements(self) -> list[tuple[str, list[rows.Row]]]:
        """Names of statements and the rows of each, in the order in which they are to be executed."""
        new_runs, output = self._new_runs.values(), self._outputs.get
        released = any(one.state is State.QUEUED and not one.token for one in self._task_runs.values())
        named: list[tuple[str, list[rows.Row]]] = [
            ("keep_last_id", [()] if released else []),
            ("insert_run", [rows.run_insert(run, self._specs[run.id]) for run in new_runs]),
            ("insert_tag", [(key, value, run.id) for run in new_runs for key, value in run.tags.items()]),
            ("update_run", [*map(rows.run_update, self._runs.values())]),
            ("update_run_spec", [(spec, key) for key, spec in self._changed_specs.items()]),
            ("insert_task_run", [rows.task_run_insert(one, output(one.id)) for one in self._new_task_runs.values()]),
            ("update_task_run", [rows.task_run_update(one, output(one.id)) for one in self._task_runs.values()]),
            ("insert_event", self._events),
        ]
        return [(name, values) for name, values in named if values]
