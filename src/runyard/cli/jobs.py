"""Commands for kept jobs."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from runyard.cli.options import COMMON, Common
from runyard.cli.render import Column, clean, emit, emit_one, print_table, when
from runyard.client import jobfile
from runyard.client.views import Job
from runyard.core.actions import kind_of

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
    print()
    print_table(TASKS, job.spec.tasks)


@app.command
def delete(job_id: int, /, *, common: Common = COMMON) -> None:
    """Remove a job; its runs stay."""
    with common.client() as client:
        client.delete_job(job_id)
    emit_one({"deleted": job_id}, common.output, lambda: print(f"job {job_id} deleted"))
