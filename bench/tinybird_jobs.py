"""Fills a store with a past of Tinybird jobs, over thirty days: most of them imports, a few Data Sources have most."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from runyard.core.actions import Load
from runyard.core.ids import IdSource
from runyard.core.model import Event, JobSpec, Run, Task, TaskRun
from runyard.core.states import State
from runyard.dialects.tinybird import wire
from runyard.store import rows
from runyard.store.sqlite import SqliteStore

DAYS = 30
_KINDS = ["import"] * 70 + ["copy"] * 20 + ["populateview"] * 9 + ["delete_data"]
_CHUNK = 5_000
_SPECS = {
    kind: rows.spec_json(
        JobSpec(name=kind, tasks=[Task(key=kind, action=Load(source="http://files/x.csv", table="visits"))])
    )
    for kind in set(_KINDS)
}
Rows = dict[str, list[rows.Row]]


def fill(path: Path, count: int) -> None:
    """Adds that many jobs that are over, each a run with one task, its events and its tags; indexes come last."""
    SqliteStore(path).close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000")
        indexes = [*connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")]
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        with connection:
            for chunk in _chunks(count, random.Random(1)):
                for table, values in chunk.items():
                    marks = ",".join("?" * len(values[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("PRAGMA journal_mode=WAL")


def _chunks(count: int, chance: random.Random) -> Iterator[Rows]:
    now, step, ids = time.time_ns() // 1_000_000, DAYS * 86_400_000 / count, IdSource()
    for start in range(0, count, _CHUNK):
        gathered: Rows = {"run": [], "run_tag": [], "task_run": [], "event": []}
        for number in range(start, min(start + _CHUNK, count)):
            _one(round(now - (count - number) * step), chance, ids, gathered)
        yield gathered


def _one(at: int, chance: random.Random, ids: IdSource, gathered: Rows) -> None:
    kind, place = chance.choice(_KINDS), min(int(chance.paretovariate(0.7)), 500)
    state = State.FAILED if chance.random() < 0.03 else State.SUCCEEDED
    source = {"id": f"t_{place:032x}", "name": f"visits_{place}"}
    pipe = {"id": f"t_{place + 1000:032x}", "name": f"top_{place}"} if kind in ("copy", "populateview") else None
    tags = wire.tags_of(kind, source, pipe, mode="append")
    run = Run(
        id=ids.draw(at),
        job_id=None,
        job_version=None,
        name=f"{kind} {source['name']}",
        workspace="default",
        origin="tinybird",
        state=state,
        created_at=at,
        submitted_by="admin",
        reason="task_failed" if state is State.FAILED else "",
        queue=f"tinybird.{source['id']}",
        trigger="manual",
        tags=tags,
        admitted_at=at,
        started_at=at + 5,
        ended_at=at + 500,
        seq=2,
    )
    task = TaskRun(
        id=ids.draw(at),
        run_id=run.id,
        task_key=kind,
        state=state,
        executor="warehouse",
        queue=run.queue,
        priority=0,
        created_at=at,
        queued_at=at,
        claimed_at=at + 1,
        started_at=at + 5,
        ended_at=at + 500,
        worker="local",
        token=run.id,
        metrics={"rows": 1000, "bytes": 20_000},
    )
    events = [
        Event(run_id=run.id, seq=1, at=at, kind="submitted", state=State.QUEUED, by="admin"),
        Event(run_id=run.id, seq=2, at=at + 500, kind="state", state=state, task_run_id=task.id),
    ]
    gathered["run"].append(rows.run_insert(run, _SPECS[kind]))
    gathered["run_tag"] += [(key, value, run.id) for key, value in tags.items()]
    gathered["task_run"].append(rows.task_run_insert(task, None))
    gathered["event"] += [rows.event_row(event) for event in events]
