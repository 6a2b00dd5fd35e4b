"""Commands for kept jobs."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, Any

from cyclopts import App, Parameter

from runyard.cli.options import COMMON, Common
from runyard.cli.render import Column, clean, emit, emit_one, print_table, seconds, when
from runyard.client import jobfile
from runyard.client.views import Backfill, Job, Schedule, plain
from runyard.core.actions import kind_of
from runyard.core.schedule import Schedule as ScheduleSpec

app = App(name="jobs", help="Jobs that the server keeps.", version_flags=[], help_format="plaintext")

JOBS = [
    Column("ID", lambda job: job.id),
    Column("NAME", lambda job: job.name),
    Column("KEY", lambda job: job.key),
    Column("VERSION", lambda job: job.version, right=True),
    Column("TASKS", lambda job: len(job.spec.tasks), right=True),
    Column("UPDATED", lambda job: when(job.updated_at)),
    Column("OWNER", lambda job: job.owner),
]
APPLIED = [
    Column("ID", lambda one: one["id"]),
    Column("NAME", lambda one: one["name"]),
    Column("VERSION", lambda one: one["version"], right=True),
    Column("CHANGE", lambda one: one["change"]),
]
TASKS = [
    Column("TASK", lambda task: task.key),
    Column("KIND", lambda task: kind_of(task.action)),
    Column("NEEDS", lambda task: ", ".join(need.task for need in task.needs)),
    Column("DESCRIPTION", lambda task: task.description),
]
TICKS = [
    Column("TICK", lambda tick: when(tick.at)),
    Column("RUN", lambda tick: tick.run_id),
    Column("DETAIL", lambda tick: tick.detail),
]
FILLED = [Column("TICK", lambda pair: when(pair[0])), Column("RUN", lambda pair: pair[1])]


@app.default
@app.command(name="list")
def list_jobs(
    *,
    name: str | None = None,
    key: str | None = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="how many")] = 100,
    common: Common = COMMON,
) -> None:
    """List jobs, newest first."""
    with common.client() as client:
        emit(client.jobs(name=name, key=key, limit=limit), JOBS, common.output)


@app.command
def apply(
    file: Annotated[str, Parameter(help="a job file; it may hold several jobs divided by ---")],
    /,
    *,
    common: Common = COMMON,
) -> None:
    """Make the server's jobs be as the file says: new ones are created, changed ones get a new version."""
    documents = jobfile.load_all(file)
    applied: list[dict[str, Any]] = []
    with common.client() as client:
        for document in documents:
            job, change = client.apply_job(document.spec, document.key)
            one = {"id": job.id, "name": job.name, "key": job.key, "version": job.version, "change": change}
            applied.append(one)
    emit(applied, APPLIED, common.output)


@app.command
def show(job_id: int, /, *, common: Common = COMMON) -> None:
    """One job and its tasks."""
    with common.client() as client:
        job = client.job(job_id)
    emit_one(job, common.output, lambda: _print_job(job))


def _print_job(job: Job) -> None:
    print(f"job {job.id}  {clean(job.name)}  version {job.version}, {when(job.updated_at)}")
    for name, value in {"key": job.key, "owner": job.owner, "parameters": job.spec.parameters}.items():
        if value:
            print(f"  {name:<11} {clean(value)}")
    if job.schedule:
        _print_schedule(job.schedule)
    print()
    print_table(TASKS, job.spec.tasks)


def _print_schedule(state: Schedule) -> None:
    print(f"  {'schedule':<11} {clean(_said(state.schedule))}")
    following = ", ".join(when(at) for at in state.next)
    print(f"  {'next':<11} {'paused' if state.paused else following or 'never again'}")
    if state.last_at:
        print(f"  {'last':<11} {when(state.last_at)}")


def _said(spec: ScheduleSpec) -> str:
    if spec.cron is None:
        return f"every {seconds(spec.every or 0)}"
    return f"{spec.cron} ({spec.flavour.value}, {spec.time_zone})"


@app.command
def schedule(
    job_id: int,
    /,
    *,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="how many of the next ticks")] = 5,
    common: Common = COMMON,
) -> None:
    """When a job runs next, and what became of its newest ticks."""
    with common.client() as client:
        state = client.schedule(job_id, count=count)
    emit_one(state, common.output, lambda: _print_ticks(state))


def _print_ticks(state: Schedule) -> None:
    _print_schedule(state)
    if state.ticks:
        print()
        print_table(TICKS, state.ticks)


@app.command
def pause(job_id: int, /, *, common: Common = COMMON) -> None:
    """Stop a job's schedule; its runs go on."""
    with common.client() as client:
        state = client.pause_job(job_id)
    emit_one(state, common.output, lambda: _print_schedule(state))


@app.command
def resume(job_id: int, /, *, common: Common = COMMON) -> None:
    """Let a job's schedule go on with its next tick."""
    with common.client() as client:
        state = client.resume_job(job_id)
    emit_one(state, common.output, lambda: _print_schedule(state))


@app.command
def backfill(
    job_id: int,
    /,
    *,
    start: Annotated[str, Parameter(name="--from", help="a date or RFC 3339 time")],
    end: Annotated[str | None, Parameter(name="--to", help="not included; now, if left out")] = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="at most so many runs")] = 100,
    dry_run: Annotated[bool, Parameter(negative="", help="only say which ticks these are")] = False,
    common: Common = COMMON,
) -> None:
    """Give past ticks of a job's schedule the runs that they lack."""
    with common.client() as client:
        found = client.backfill(job_id, start, end, limit=limit, dry_run=dry_run)
    emit_one(found, common.output, lambda: _print_backfill(found))


def _print_backfill(found: Backfill) -> None:
    print_table(FILLED, list(zip_longest(found.times, found.ids)))
    if found.next:
        print(f"there is more: go on with --from {plain(found.next)}")


@app.command
def delete(job_id: int, /, *, common: Common = COMMON) -> None:
    """Remove a job; its runs stay."""
    with common.client() as client:
        client.delete_job(job_id)
    emit_one({"deleted": job_id}, common.output, lambda: print(f"job {job_id} deleted"))
