"""Short ways to make values, and to write them in transactions of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from runyard.core.actions import Sql
from runyard.core.changes import Changes
from runyard.core.ids import IdSource
from runyard.core.model import Event, Job, JobSpec, JobVersion, Run, Task, TaskRun
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.store.base import Record, Session, Store

NOW = 1_790_000_000_000
"""A moment in 2026."""
SPEC = JobSpec(name="nightly", tasks=[Task(key="only", action=Sql(statement="SELECT 1"))])
IDS = IdSource()


def new_id(at: int = NOW) -> int:
    """Larger than all before it."""
    return IDS.draw(at)


def a_run(**fields: Any) -> Run:
    values: dict[str, Any] = {
        "id": 0, "job_id": None, "job_version": None, "name": "nightly", "workspace": "default", "origin": "native",
        "state": State.QUEUED, "created_at": NOW, "submitted_by": "ann", "seq": 1,
    }  # fmt: skip
    run = Run(**{**values, **fields})
    return run if run.id else replace(run, id=new_id(run.created_at))


def a_task_run(run: Run | int, **fields: Any) -> TaskRun:
    values: dict[str, Any] = {
        "id": 0, "run_id": run if isinstance(run, int) else run.id, "task_key": "only", "state": State.QUEUED,
        "executor": "warehouse", "queue": "default", "priority": 0, "created_at": NOW,
    }  # fmt: skip
    one = TaskRun(**{**values, **fields})
    return one if one.id else replace(one, id=new_id(one.created_at))


def an_event(run: Run, seq: int, **fields: Any) -> Event:
    return Event(**{"run_id": run.id, "seq": seq, "at": NOW, "kind": "state", **fields})


def a_job(**fields: Any) -> Job:
    values: dict[str, Any] = {
        "id": 0, "version": 1, "spec": SPEC, "workspace": "default", "origin": "native", "key": None, "owner": "ann",
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    job = Job(**{**values, **fields})
    return job if job.id else replace(job, id=new_id())


def added(run: Run, *task_runs: TaskRun, events: Iterable[Event] = ()) -> Changes:
    """The changes that make a new run."""
    changes = Changes(run)
    changes.new_run = True
    changes.added = {one.id: one for one in task_runs}
    changes.events = list(events)
    return changes


def changed(run: Run, *task_runs: TaskRun, events: Iterable[Event] = (), outputs: Any = None) -> Changes:
    """The changes that move a kept run and task runs of it."""
    changes = Changes(run)
    changes.run_changed = True
    changes.updated = {one.id: one for one in task_runs}
    changes.events = list(events)
    changes.outputs = outputs or {}
    return changes


@contextmanager
def transaction(store: Store) -> Iterator[Session]:
    """One command in one transaction."""
    store.writer.begin()
    try:
        store.writer.mark()
        yield store.writer
        store.writer.keep()
        store.writer.commit()
    except BaseException:
        store.writer.rollback()
        raise


def write(store: Store, *things: Changes | Run | Record, spec: JobSpec | None = SPEC) -> None:
    """Writes everything in one transaction; a bare run becomes a new one, a job brings its version."""
    with transaction(store) as session:
        for thing in things:
            if isinstance(thing, Run):
                session.apply(added(thing), spec)
            elif isinstance(thing, Changes):
                session.apply(thing, spec if thing.new_run else None)
            else:
                session.put(thing)
                if isinstance(thing, Job):
                    session.put(JobVersion(job_id=thing.id, version=thing.version, spec=thing.spec,
                                           created_at=thing.created_at, created_by=thing.owner))  # fmt: skip


def clear(store: Store) -> None:
    """Removes every run: examples of one test share a store."""
    with transaction(store) as session:
        for run in session.runs(RunFilter(), 1000, None):
            session.delete(run)
