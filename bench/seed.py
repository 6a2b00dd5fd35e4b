"""Fills a store with a plausible past: `python -m bench.seed FILE-OR-URL --runs 200000`.

Most runs succeeded, a few jobs make most of them, some jobs always fail; what a job is decides its name,
workspace, queue, origin and owner, so filters are correlated as in life. Ten thousand runs are made one by one;
the database copies them to other times until there are enough, so that a million take it a minute. The newest
are made one by one again, and the last of them are still live. Indexes come after the rows.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
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
"""How many of the newest runs are still queued or running; their queues are paused."""
JOBS = 400
_SPEC = JobSpec(name="one-time", tasks=[Task(key=f"task-{n}", action=Sql(statement="SELECT 1")) for n in range(5)])
_ENDS = [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.SKIPPED]
_QUEUES = ["default", "big", "etl", "adhoc", "night"]
_CHUNK = 5_000
_BLOCK = 10_000
"""How many runs are made one by one before they are copied."""
_IDS = {"run": ("id",), "task_run": ("id", "run_id", "token"), "event": ("run_id", "task_run_id"),
        "run_tag": ("run_id",)}  # fmt: skip
_TIMES = {
    "run": ("created_at", "admitted_at", "started_at", "ended_at", "parent_task_run_id"),
    "task_run": ("created_at", "queued_at", "claimed_at", "started_at", "ended_at"),
    "event": ("at",),
    "run_tag": (),
}
"""The columns that move with the time to which a run is copied: milliseconds, or ids, which begin with them."""
Rows = dict[str, list[rows.Row]]


class _Kind:
    """What the runs of one job have in common."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.job_id = number if chance.random() < 0.8 else None
        self.name = f"job-{number}"
        self.workspace = chance.choices(["default", "sales", "ops", "lab", "old"], [80, 10, 6, 3.5, 0.5])[0]
        self.origin = chance.choices(["native", "glue", "databricks", "dremio", "tinybird"], [50, 30, 15, 4, 1])[0]
        self.queue = chance.choices(_QUEUES, [70, 15, 10, 4, 1])[0]
        self.by = f"user-{int(chance.paretovariate(1)) % 40}"
        self.trigger = chance.choices(["cron", "manual", "run_job", "after_runs"], [60, 30, 8, 2])[0]
        self.tags = {"team": f"team-{number % 12}", "tier": chance.choice("abc")} if chance.random() < 0.6 else {}
        weights = [2, 90, 4, 4, 0] if chance.random() < 0.03 else [95, 3, 1, 0.8, 0.2]
        self.ends = weights
        self.tasks = chance.choices([1, 2, 5], [80, 15, 5])[0]


def fill(path: Path, runs: int, *, seed: int = 1, now: int | None = None) -> None:
    """Adds that many runs, with their task runs, events and tags, ending now, to a SQLite store."""
    SqliteStore(path).close()
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000")
        indexes = [*connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")]
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")

        def insert(table: str, values: list[rows.Row]) -> None:
            connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(values[0]))})", values)

        def columns(table: str) -> list[str]:
            return [f'"{row[1]}"' for row in connection.execute(f"PRAGMA table_info({table})")]

        with connection:
            _fill(runs, seed, now, insert, connection.execute, columns)
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("PRAGMA journal_mode=WAL")


def fill_postgres(url: str, runs: int, *, seed: int = 1, now: int | None = None) -> None:
    """The same for a PostgreSQL store, with COPY and statistics."""
    import psycopg

    from runyard.store.postgres import PostgresStore

    PostgresStore(url, readers=0).close()
    with psycopg.connect(url, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT IN "
            "(SELECT conname FROM pg_constraint) AND tablename <> 'migration'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")

        def insert(table: str, values: list[rows.Row]) -> None:
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)

        def columns(table: str) -> list[str]:
            found = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or ()
            return [f'"{one.name}"' for one in found]

        with connection.transaction():
            _fill(runs, seed, now, insert, connection.execute, columns)
        connection.execute("SET maintenance_work_mem = '256MB'")
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    connection.close()


def _fill(
    count: int,
    seed: int,
    now: int | None,
    insert: Callable[[str, list[rows.Row]], None],
    execute: Callable[[str], Any],
    columns: Callable[[str], list[str]],
) -> None:
    past = _Past(count, random.Random(seed), now or time.time_ns() // 1_000_000)
    live = min(LIVE, count)
    copies = -(-(count - live) // _BLOCK)
    block = (count - live) // max(1, copies)
    for table, values in _definitions().items():
        insert(table, values)
    _insert(past.runs(0, block, 0), insert)
    for number in range(1, copies):
        by = round(number * block * past.step)
        for table in _IDS:
            execute(_copied(table, columns(table), by, past.first_id(block)))
        _tell(f"{(number + 1) * block:,} of {count:,} runs", last=number == copies - 1)
    _insert(past.runs(copies * block, count, live), insert)


def _copied(table: str, columns: list[str], by_ms: int, end: int) -> str:
    """The block of runs once more, so much later."""
    moved = dict.fromkeys(_TIMES[table], by_ms) | dict.fromkeys(_IDS[table], by_ms << 12)
    found = ", ".join(f"{name} + {moved[bare]}" if (bare := name.strip('"')) in moved else name for name in columns)
    return f"INSERT INTO {table} SELECT {found} FROM {table} WHERE {_IDS[table][0]} < {end}"


def _insert(history: Iterator[Rows], insert: Callable[[str, list[rows.Row]], None]) -> None:
    for gathered in _chunks(history):
        for table, values in gathered.items():
            insert(table, values)


def _tell(text: str, *, last: bool) -> None:
    print(f"\rseeding: {text}", end="\n" if last else "", file=sys.stderr, flush=True)


def _definitions() -> Rows:
    """The jobs that the runs are of, and their queues."""
    jobs = [
        Job(id=number, version=1, spec=replace(_SPEC, name=f"job-{number}"), workspace="default", origin="native",
            key=None, owner="ann", created_at=0, updated_at=0)
        for number in range(1, JOBS + 1)
    ]  # fmt: skip
    versions = [(job.id, 1, rows.spec_json(job.spec), 0, "ann") for job in jobs]
    queues = [(name, None, 0, 1) for name in _QUEUES]
    return {"job": [rows.job_row(job) for job in jobs], "job_version": versions, "queue": queues}


def _chunks(history: Iterator[Rows]) -> Iterator[Rows]:
    gathered: Rows = {}
    for one in history:
        for table, values in one.items():
            if values:
                gathered.setdefault(table, []).extend(values)
        if len(gathered["run"]) >= _CHUNK:
            yield gathered
            gathered = {}
    if gathered:
        yield gathered


class _Past:
    """So many runs, spread over the days before now."""

    def __init__(self, count: int, chance: random.Random, now: int) -> None:
        self._count, self._chance, self._now = count, chance, now
        self.step = DAYS * 86_400_000 / count
        self._kinds = [_Kind(number, chance) for number in range(1, JOBS + 1)]
        self._shares = [1 / (rank + 1) for rank in range(len(self._kinds))]
        chance.shuffle(self._kinds)
        self._ids = IdSource()
        self._spec = rows.spec_json(_SPEC)

    def _at(self, number: int) -> int:
        return round(self._now - (self._count - number) * self.step)

    def first_id(self, number: int) -> int:
        """An id between those of the runs before this one, and its own."""
        return IdSource().draw(self._at(number) - 1)

    def runs(self, start: int, end: int, live: int) -> Iterator[Rows]:
        """The rows of each; the last are live."""
        for number in range(start, end):
            kind = self._chance.choices(self._kinds, self._shares)[0]
            yield _one(kind, self._at(number), end - number <= live, self._ids, self._chance, self._spec)


def _one(kind: _Kind, at: int, live: bool, ids: IdSource, chance: random.Random, spec: str) -> Rows:
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
    parser.add_argument("store", help="a file, or postgresql://...")
    parser.add_argument("--runs", type=int, default=200_000)
    arguments = parser.parse_args()
    began = time.perf_counter()
    if arguments.store.startswith("postgres"):
        fill_postgres(arguments.store, arguments.runs)
    else:
        fill(Path(arguments.store), arguments.runs)
    print(f"{arguments.runs:,} runs in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
