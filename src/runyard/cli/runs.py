"""Commands that start, follow and change runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runyard.cli import exits
from runyard.cli.following import watch
from runyard.cli.options import COMMON, STDIN, Common, Params, Tags, pairs, parameters
from runyard.cli.render import Column, clean, emit_one, print_table
from runyard.client import jobfile
from runyard.client.client import Client
from runyard.client.views import Result, Run
from runyard.core.model import JobSpec

SHOWN_ROWS = 20

JobArgument = Annotated[str, Parameter(help="a job file, - for standard input, or the id of a kept job")]
Only = Annotated[
    tuple[str, ...],
    Parameter(negative="", show_default=False, help="run just this task; +TASK also its needs, TASK+ its dependants"),
]


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """What a submission may say beside its job."""

    param: Params = ()
    only: Only = ()
    name: Annotated[str | None, Parameter(help="call the run this instead of the job's name")] = None
    queue: Annotated[str | None, Parameter(help="wait in this queue instead of the job's")] = None
    priority: Annotated[int | None, Parameter(help="higher goes first")] = None
    tag: Tags = ()

    def options(self) -> dict[str, Any]:
        """The options of `Client.submit`."""
        return {
            "parameters": parameters(self.param),
            "only": list(self.only) or None,
            "name": self.name,
            "queue": self.queue,
            "priority": self.priority,
            "tags": pairs(self.tag, "--tag") or None,
        }


HOW = How()
Follow = Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="stay and watch until it has ended")]


def run(
    job: JobArgument,
    /,
    *,
    how: How = HOW,
    common: Common = COMMON,
) -> int:
    """Submit a job and follow it: progress and logs on standard error, the result on standard output.

    The exit code tells how it ended. Ctrl-C detaches; the run goes on.
    """
    options = how.options()
    with common.client() as client:
        begun = client.submit(_job(job), **options)
        return finish(client, watch(client, begun.id), common)


def submit(
    job: JobArgument,
    /,
    *,
    how: How = HOW,
    key: Annotated[str | None, Parameter(help="the same key again gives the same run, not a second one")] = None,
    common: Common = COMMON,
) -> None:
    """Submit a job and print the run's id."""
    options = how.options()
    with common.client() as client:
        begun = client.submit(_job(job), idempotency_key=key, **options)
        emit_one(begun, common.output, lambda: print(begun.id))


def cancel(
    run_id: int,
    task: Annotated[str | None, Parameter(help="end just this task")] = None,
    /,
    *,
    detail: Annotated[str | None, Parameter(help="why, for whoever reads the history")] = None,
    common: Common = COMMON,
) -> None:
    """End a run, or one task of it."""
    with common.client() as client:
        task_run = find_task(client.get(run_id), task).id if task else None
        ended = client.cancel(run_id, detail=detail, task_run=task_run)
        emit_one(ended, common.output, lambda: print(f"run {ended.id} {ended.state.value}"))


def repair(
    run_id: int,
    /,
    *tasks: Annotated[str, Parameter(help="tasks to run again; none: all that did not succeed")],
    param: Params = (),
    dependents: Annotated[bool, Parameter(help="also run what depends on them")] = True,
    follow: Follow = False,
    common: Common = COMMON,
) -> int:
    """Run the failed part of a finished run again, in the same run."""
    with common.client() as client:
        begun = client.repair(run_id, tasks=tasks or None, dependents=dependents, parameters=parameters(param) or None)
        return _begun(client, begun, common, follow=follow)


def rerun(run_id: int, /, *, param: Params = (), follow: Follow = False, common: Common = COMMON) -> int:
    """Start a new run with the definition and parameters of an earlier one."""
    with common.client() as client:
        return _begun(client, client.rerun(run_id, parameters=parameters(param) or None), common, follow=follow)


def _begun(client: Client, begun: Run, common: Common, *, follow: bool) -> int:
    if follow:
        return finish(client, watch(client, begun.id, after=begun.seq if begun.round else 0), common)
    emit_one(begun, common.output, lambda: print(begun.id))
    return exits.SUCCEEDED


def finish(client: Client, ended: Run, common: Common) -> int:
    """Writes what a followed run gave and returns the exit code that tells how it ended."""
    emit_one(ended, common.output, lambda: _print_results(client, ended))
    return exits.of_state(ended.state)


def _print_results(client: Client, ended: Run) -> None:
    from runyard.cli.following import name_of

    needed = {name_of(need) for task in ended.tasks for need in task.needs}
    for task in ended.tasks:
        if task.task_key not in needed and task.kind in ("sql", "notebook") and ended.succeeded:
            output = client.output(task.id)
            if isinstance(output, dict) and "result" in output:
                print(output["result"])
            if isinstance(output, Result) and output.columns:
                print_result(output)


def print_result(result: Result, rows: int = SHOWN_ROWS) -> None:
    """Writes rows as a table, the first ones when there are many."""
    columns = [
        Column(clean(column.name), itemgetter(i), is_number(result, i)) for i, column in enumerate(result.columns)
    ]
    print_table(columns, result.rows[:rows])
    total = max(result.row_count or 0, len(result.rows))
    if total > rows:
        print(f"... {total:,} rows in all")


def is_number(result: Result, index: int) -> bool:
    """Whether a column holds only numbers (and nulls)."""
    cells = [row[index] for row in result.rows]
    return all(cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)) for cell in cells)


def find_task(run: Run, key: str) -> Any:
    """The newest attempt of a task, or a usage error that names the run's tasks."""
    from runyard.client.words import nearest_word

    try:
        return run.task(key)
    except KeyError:
        hint = nearest_word(key, [task.task_key for task in run.tasks])
        raise exits.Exit(exits.USAGE, f"Run {run.id} has no task {key!r}{hint}") from None


def _job(word: str) -> JobSpec | int:
    if word == STDIN:
        return jobfile.parse(sys.stdin.read(), source="<stdin>", folder=Path.cwd())
    return int(word) if word.isdecimal() and not Path(word).exists() else jobfile.load(word)
