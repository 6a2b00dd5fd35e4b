"""Commands that read runs: lists, one run, logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runyard.cli import exits, words
from runyard.cli.following import watch
from runyard.cli.options import COMMON, Common, one_of
from runyard.cli.render import Column, clean, clean_log, elapsed, emit, emit_one, paint, print_table, when
from runyard.cli.runs import Follow, find_task, finish
from runyard.cli.timeline import print_timeline
from runyard.client.client import Client
from runyard.client.errors import Error
from runyard.client.follow import follow as follow_run
from runyard.client.views import Run, TaskRun
from runyard.core.errors import Code
from runyard.core.states import State

RUNS = [
    Column("ID", lambda run: run.id),
    Column("NAME", lambda run: run.name),
    Column("STATE", lambda run: run.state.value),
    Column("CREATED", lambda run: when(run.created_at)),
    Column("TOOK", lambda run: elapsed(run.started_at, run.ended_at), right=True),
    Column("BY", lambda run: run.submitted_by),
    Column("DETAIL", lambda run: run.waiting or run.detail or run.reason),
]
TASKS = [
    Column("TASK", words.label),
    Column("KIND", lambda task: task.kind),
    Column("STATE", lambda task: task.state.value),
    Column("TOOK", lambda task: elapsed(task.started_at, task.ended_at), right=True),
    Column("ATTEMPT", words.attempt),
    Column("DETAIL", words.remark),
]


def runs(
    *,
    state: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, help="may be given often")] = (),
    job: Annotated[int | None, Parameter(help="id of a kept job")] = None,
    name: str | None = None,
    origin: Annotated[str | None, Parameter(help="the face it came through: native, glue ...")] = None,
    queue: str | None = None,
    by: Annotated[str | None, Parameter(help="who submitted it")] = None,
    trigger: str | None = None,
    reason: str | None = None,
    tag: Annotated[str | None, Parameter(help="KEY=VALUE")] = None,
    param: Annotated[str | None, Parameter(help="KEY=VALUE, or OUTER.KEY=VALUE")] = None,
    created_after: Annotated[str | None, Parameter(help="a date or RFC 3339 time")] = None,
    created_before: str | None = None,
    ended_after: str | None = None,
    ended_before: str | None = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="how many")] = 25,
    common: Common = COMMON,
) -> None:
    """List runs, newest first. Filters hold together."""
    filters: dict[str, Any] = {
        "state": ",".join(one_of(word, State, "state") for word in state) or None,
        "job": job,
        "name": name,
        "origin": origin,
        "queue": queue,
        "submitted_by": by,
        "trigger": trigger,
        "reason": reason,
        "tag": tag,
        "parameter": param,
        "created_after": created_after,
        "created_before": created_before,
        "ended_after": ended_after,
        "ended_before": ended_before,
    }
    with common.client() as client:
        emit(client.list(limit=limit, **filters), RUNS, common.output)


def show(
    run_id: int,
    /,
    *,
    spec: Annotated[bool, Parameter(negative="", help="also the definition that it ran (json)")] = False,
    follow: Follow = False,
    common: Common = COMMON,
) -> int | None:
    """One run: its tasks, its timeline, why it waits or failed. With --follow the exit code tells how it ended."""
    with common.client() as client:
        run = client.get(run_id, spec=spec)
        if follow and not run.finished:
            return finish(client, watch(client, run_id, after=run.seq), common)
        emit_one(run, common.output, lambda: _print_run(client, run))
        return exits.of_state(run.state) if follow else None


def _print_run(client: Client, run: Run) -> None:
    print(f"run {run.id}  {clean(run.name)}  {paint(run.state.value, run.state, sys.stdout)}")
    _print_facts(run)
    print()
    print_table(TASKS, run.tasks)
    print()
    print_timeline(client.get(run.id, all_attempts=True))
    if run.finished and not run.succeeded:
        print(f"\n{words.why(run)}")


def _cause(kept: Any) -> str:
    """Which trigger started the run, and after which runs."""
    if not isinstance(kept, dict) or "firing" not in kept:
        return ""
    after = f", after {', '.join(map(str, kept['after']))}" if kept.get("after") else ""
    return f"trigger {kept['id']} {kept.get('name') or ''}".rstrip() + f", chain {kept.get('chain')}{after}"


def _print_facts(run: Run) -> None:
    facts = {
        "created": f"{when(run.created_at)} by {run.submitted_by} ({run.trigger}, {run.origin})",
        "started": when(run.started_at),
        "ended": f"{when(run.ended_at)} after {elapsed(run.started_at, run.ended_at)}" if run.ended_at else "",
        "job": f"{run.job_id} version {run.job_version}" if run.job_id else "",
        "fired by": _cause(run.extras.get("trigger")),
        "queue": run.queue,
        "parameters": run.parameters or "",
        "tags": run.tags or "",
        "repaired": {0: "", 1: "once"}.get(run.round, f"{run.round} times"),
        "rerun of": run.rerun_of or "",
        "waiting": run.waiting or "",
        "detail": run.detail,
    }
    for name, value in facts.items():
        if value:
            print(f"  {name:<11} {clean(value)}")


def logs(
    run_id: Annotated[int, Parameter(help="a run, or one task run")],
    task: Annotated[str | None, Parameter(help="just this task")] = None,
    /,
    *,
    follow: Follow = False,
    common: Common = COMMON,
) -> None:
    """What a run's tasks wrote."""
    with common.client() as client:
        run = _run_of(client, run_id)
        if run is None:
            _print_log(client, client.task_run(run_id), common, follow=follow)
        elif task is not None:
            _print_log(client, find_task(run, task), common, follow=follow)
        elif follow and not run.finished:
            _follow_all(client, run_id, common)
        else:
            _print_all(client, run, common)


def _run_of(client: Client, run_id: int) -> Run | None:
    try:
        return client.get(run_id, all_attempts=True)
    except Error as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None


def _print_log(client: Client, task: TaskRun, common: Common, *, follow: bool) -> None:
    for piece in client.logs(task.id, follow=follow):
        if common.output == "table":
            sys.stdout.write(piece)
            sys.stdout.flush()
        else:
            emit_one({"task_run": task.id, "task": task.task_key, "text": piece}, common.output, lambda: None)


def _print_all(client: Client, run: Run, common: Common) -> None:
    written = [task for task in run.tasks if task.executor in {"process", ""} and task.started_at]
    if common.output == "json":
        emit([_log_of(client, task) for task in written], [], "json")
        return
    for task in written:
        if common.output == "table" and len(written) > 1:
            said = words.attempt(task)
            print(f"==> {words.label(task)}{f' ({said})' if said else ''} <==")
        _print_log(client, task, common, follow=False)


def _log_of(client: Client, task: TaskRun) -> dict[str, Any]:
    return {"task_run": task.id, "task": task.task_key, "text": "".join(client.logs(task.id))}


def _follow_all(client: Client, run_id: int, common: Common) -> None:
    try:
        for update in follow_run(client, run_id):
            for line in update.lines:
                if common.output == "table":
                    print(f"{words.label(line.task)} | {clean_log(line.text)}", flush=True)
                else:
                    body = {"task_run": line.task.id, "task": line.task.task_key, "text": line.text}
                    emit_one(body, "jsonl", lambda: None)
    except KeyboardInterrupt:
        raise exits.Exit(exits.INTERRUPTED, f"detached: run {run_id} goes on.") from None


def export(
    task_run: Annotated[int, Parameter(help="a task run; `show` names them")],
    /,
    *,
    to: Annotated[Path | None, Parameter(name=["--to", "-o"], help="the file; none: standard output")] = None,
    artifact: Annotated[str, Parameter(help="another file that the attempt left")] = "export.html",
    url: Annotated[str | None, Parameter(help="the server (else RUNYARD_URL)")] = None,
    token: Annotated[str | None, Parameter(help="who asks (else RUNYARD_TOKEN)")] = None,
) -> None:
    """A notebook or program with its results, as one HTML file."""
    with Common(url=url, token=token).client() as client:
        data = client.artifact(task_run, artifact)
    if to is not None:
        to.write_bytes(data)
    else:
        sys.stdout.buffer.write(data)
