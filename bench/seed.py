"""Fills a store with a plausible past: `python -m bench.seed FILE --runs 200000`.

Most runs succeeded, a few jobs make most of them, some jobs always fail; what a job is decides its name,
workspace, queue, origin and owner, so filters are correlated as in life. Rows go in by SQL, indexes after them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
from msgspec.structs import replace

from runyard.core.actions import Sql
from runyard.core.ids import IdSource
from runyard.core.model import Event, Job, JobSpec, Run, Task, TaskRun
from runyard.core.states import State
from runyard.store import rows
from runyard.store.sqlite import SqliteStore

DAYS = 90
LIVE = 300
"""How many of the newest runs are still queued or running."""
JOBS = 400
_SPEC = JobSpec(name="one-time", tasks=[Task(key=f"task-{n}", action=Sql(statement="SELECT 1")) for n in range(5)])
_ENDS = [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.SKIPPED]
_CHUNK = 5_000


class _Kind:
    """What the runs of one job have in common."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.job_id = number if chance.random() < 0.8 else None
        self.name = f"job-{number}"
        self.workspace = chance.choices(["default", "sales", "ops", "lab", "old"], [80, 10, 6, 3.5, 0.5])[0]
        self.origin = chance.choices(["native", "glue", "databricks", "dremio", "tinybird"], [50, 30, 15, 4, 1])[0]
        self.queue = chance.choices(["default", "big", "etl", "adhoc", "night"], [70, 15, 10, 4, 1])[0]
        self.by = f"user-{int(chance.paretovariate(1)) % 40}"
        self.trigger = chance.choices(["cron", "manual", "run_job", "after_runs"], [60, 30, 8, 2])[0]
        self.tags = {"team": f"team-{number % 12}", "tier": chance.choice("abc")} if chance.random() < 0.6 else {}
        weights = [2, 90, 4, 4, 0] if chance.random() < 0.03 else [95, 3, 1, 0.8, 0.2]
        self.ends = weights
        self.tasks = chance.choices([1, 2, 5], [80, 15, 5])[0]


def fill(path: Path, runs: int, *, seed: int = 1, now: int | None = None) -> None:
    """Adds that many runs, with their task runs, events and tags, ending now."""
    SqliteStore(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000")
    indexes = [*connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")]
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    history = _history(runs, random.Random(seed), now or time.time_ns() // 1_000_000)
    with connection:
        _insert(connection, _definitions())
        for one in _chunks(history):
            _insert(connection, one)
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _insert(connection: apsw.Connection, gathered: dict[str, list[rows.Row]]) -> None:
    for table, values in gathered.items():
        marks = ",".join("?" * len(values[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)


def _definitions() -> dict[str, list[rows.Row]]:
    """The jobs that the runs are of."""
    jobs = [
        Job(id=number, version=1, spec=replace(_SPEC, name=f"job-{number}"), workspace="default", origin="native",
            key=None, owner="ann", created_at=0, updated_at=0)
        for number in range(1, JOBS + 1)
    ]  # fmt: skip
    versions = [(job.id, 1, rows.spec_json(job.spec), 0, "ann") for job in jobs]
    return {"job": [rows.job_row(job) for job in jobs], "job_version": versions}


def _chunks(history: Iterator[dict[str, list[rows.Row]]]) -> Iterator[dict[str, list[rows.Row]]]:
    gathered: dict[str, list[rows.Row]] = {}
    for one in history:
        for table, values in one.items():
            if values:
                gathered.setdefault(table, []).extend(values)
        if len(gathered["run"]) >= _CHUNK:
            yield gathered
            gathered = {}
    if gathered:
        yield gathered


def _history(count: int, chance: random.Random, now: int) -> Iterator[dict[str, list[rows.Row]]]:
    kinds = [_Kind(number, chance) for number in range(1, JOBS + 1)]
    shares = [1 / (rank + 1) for rank in range(len(kinds))]
    chance.shuffle(kinds)
    ids = IdSource()
    spec = rows.spec_json(_SPEC)
    step = DAYS * 86_400_000 / count
    for number in range(count):
        kind = chance.choices(kinds, shares)[0]
        yield _one(kind, round(now - (count - number) * step), count - number <= LIVE, ids, chance, spec)


def _one(
    kind: _Kind, at: int, live: bool, ids: IdSource, chance: random.Random, spec: str
) -> dict[str, list[rows.Row]]:
    state = chance.choices([State.QUEUED, State.RUNNING], [8, 2])[0] if live else chance.choices(_ENDS, kind.ends)[0]
    ended = None if live else at + round(chance.lognormvariate(9, 1.5))
    reason = {State.FAILED: "task_failed", State.CANCELLED: "user_cancel", State.TIMED_OUT: "run_timeout"}.get(
        state, ""
    )
    run = Run(
        id=ids.draw(at),
        job_id=kind.job_id,
        job_version=1 if kind.job_id else None,
        name=kind.name,
        workspace=kind.workspace,
        origin=kind.origin,
        state=state,
        created_at=at,
        submitted_by=kind.by,
        reason=reason,
        queue=kind.queue,
        trigger=kind.trigger,
        tags=kind.tags,
        parameters={"day": at // 86_400_000},
        admitted_at=at,
        started_at=None if state is State.QUEUED else at + 20,
        ended_at=ended,
        parent_task_run_id=at if kind.trigger == "run_job" else None,
        seq=1 + 3 * kind.tasks,
    )
    task_runs = [_task_run(run, number, ids) for number in range(kind.tasks)]
    return {
        "run": [rows.run_insert(run, None if kind.job_id else spec)],
        "run_tag": [(key, value, run.id) for key, value in kind.tags.items()],
        "task_run": [rows.task_run_insert(one, '{"rows":[[1]]}') for one in task_runs],
        "event": [rows.event_row(event) for event in _events(run, task_runs)],
    }


def _task_run(run: Run, number: int, ids: IdSource) -> TaskRun:
    done = run.ended_at is not None
    return TaskRun(
        id=ids.draw(run.created_at),
        run_id=run.id,
        task_key=f"task-{number}",
        state=run.state if done else State.QUEUED,
        executor="warehouse",
        queue=run.queue,
        priority=0,
        created_at=run.created_at,
        queued_at=run.created_at,
        claimed_at=run.started_at if done else None,
        started_at=run.started_at if done else None,
        ended_at=run.ended_at,
        worker="local" if done else None,
        token=run.id,
        reason=run.reason,
    )


def _events(run: Run, task_runs: list[TaskRun]) -> Iterator[Event]:
    def event(seq: int, **fields: Any) -> Event:
        return Event(run_id=run.id, seq=seq, at=run.created_at + seq, **fields)

    yield event(1, kind="submitted", state=State.QUEUED, by=run.submitted_by)
    states = [State.STARTING, State.RUNNING, run.state]
    for place, one in enumerate(task_runs):
        for offset, state in enumerate(states):
            yield event(2 + 3 * place + offset, kind="state", task_run_id=one.id, state=state)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fill a store with a past.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=200_000)
    arguments = parser.parse_args()
    began = time.perf_counter()
    fill(arguments.file, arguments.runs)
    size = arguments.file.stat().st_size / 1e6
    print(f"{arguments.runs:,} runs in {time.perf_counter() - began:.1f} s, {size:,.0f} MB")


if __name__ == "__main__":
    main()
