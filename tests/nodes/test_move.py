"""Everything moves from SQLite to PostgreSQL with one command, or nothing does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from runyard import app
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Bookmark, Document, Principal, Queue, Tick, Timetable
from runyard.core.query import JobFilter, RunFilter
from runyard.core.states import State
from runyard.store.base import Delivery, Reads, Submission
from runyard.store.sqlite import SqliteStore
from tests import postgres
from tests.live_server import environment
from tests.store.make import NOW, SPEC, a_job, a_run, a_task_run, added, an_event, changed, write


def _filled(folder: Path) -> tuple[SqliteStore, int, int]:
    folder.mkdir(mode=0o700)
    store = SqliteStore(folder / "runyard.db")
    job = a_job(key="k\x00ä", extras={"glue": {"x": [1, None]}})
    run = a_run(job_id=job.id, job_version=1, tags={"a": "b"}, parameters={"p": "\x00"}, detail="nul \x00 and \x01")
    one = a_task_run(run)
    write(store, job, Queue(name="q", slots=3), Principal(id=5, name="ann", scopes=["admin"], created_at=NOW))
    write(store, added(run, one, events=[an_event(run, 1)]), spec=None)
    ended = replace(one, state=State.SUCCEEDED, ended_at=NOW, token=9)
    write(
        store,
        changed(replace(run, state=State.SUCCEEDED, seq=2), ended, events=[an_event(run, 2)], outputs={one.id: b"[1]"}),
    )
    write(store, *(a_run(name=f"r{n}") for n in range(50)), spec=SPEC)
    write(
        store, Submission("s", "k", b"\x00\xff", run.id, NOW), Delivery(8, run.id, "http://a/", "start", "{}", 0, NOW)
    )
    write(store, Bookmark(job_key="b", version=1, run_id=run.id, attempt=0, state={"n": 1}, created_at=NOW))
    write(store, Document(workspace="w", dialect="d", kind="k", key="x", version=1, body={"a": 1}, created_at=NOW,
                          updated_at=NOW, updated_by="ann"))  # fmt: skip
    write(store, Timetable(job_id=job.id, anchor_at=NOW), Tick(job_id=job.id, at=NOW, run_id=run.id))
    log = folder / "attempts" / str(run.id) / str(one.id) / "log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 300_000 + b"end\n")
    return store, run.id, one.id


def _all(reads: Reads, run_id: int, task_run_id: int) -> list[object]:
    runs = reads.runs(RunFilter(), 200, None)
    return [
        runs, [reads.run_spec(run.id) for run in runs], reads.task_runs(run_id), reads.output(task_run_id),
        reads.events(run_id, 0, 100), reads.jobs(JobFilter(), 100, None), reads.queues(), reads.principals(),
        reads.submission("s", "k"), reads.deliveries(NOW), reads.bookmark("b", None),
        reads.documents("w", "d", "k", "", None, 10), reads.due_timetables(NOW, 10),
        reads.ticks(runs[-1].job_id or 0, 0, NOW + 1, 10), reads.runs(RunFilter(tag=("a", "b")), 10, None),
    ]  # fmt: skip


def test_everything_that_sqlite_kept_is_read_back_from_postgresql(tmp_path: Path) -> None:
    from runyard.store.postgres import PostgresStore

    store, run_id, task_run_id = _filled(tmp_path / "data")
    with store.reading() as reads:
        wanted = _all(reads, run_id, task_run_id)
    last = store.last_id
    store.close()
    url = postgres.fresh_url()
    command = [sys.executable, "-m", "runyard", "move", "--from", str(tmp_path / "data"), "--to", url]
    said = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stdout
    assert "51 run" in said
    target = PostgresStore(url)
    with target.reading() as found:
        assert _all(found, run_id, task_run_id) == wanted
        assert found.log(run_id, task_run_id, 299_999, None) == (b"xend\n", 300_004)
        assert found.log(run_id, task_run_id, 10, 20) == (b"x" * 10, 300_004)
    assert target.last_id >= last
    target.close()
    with pytest.raises(RunyardError, match="not empty") as refused:
        app.move(tmp_path / "data", url)
    assert refused.value.code is Code.CONFLICT


def test_nothing_moves_while_a_server_uses_the_folder_or_work_is_held(tmp_path: Path) -> None:
    store, _, _ = _filled(tmp_path / "data")
    run = a_run()
    write(store, added(run, a_task_run(run, state=State.RUNNING, token=7)))
    store.close()
    url = postgres.fresh_url()
    with pytest.raises(RunyardError, match="still held"):
        app.move(tmp_path / "data", url)
    held = f"claim_folder(Path({str(tmp_path / 'data')!r}))"
    command = [sys.executable, "-c", f"from runyard.app import *; lock = {held}; print('on', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunyardError, match="Another server"):
            app.move(tmp_path / "data", url)
        other.communicate(b"\n")
    with pytest.raises(RunyardError, match="There is no"):
        app.move(tmp_path / "nothing", url)
