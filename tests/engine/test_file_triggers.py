"""File triggers over real folders and a real HTTP server: what is new fires once it has settled, and once only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from runyard.core.errors import Code
from runyard.core.model import Job, Run
from runyard.core.query import RunFilter
from runyard.core.triggers import FileArrival, JobTrigger, StartRun, Trigger, TriggerSpec
from runyard.engine.folders import Folders

from .bench import Bench, refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "in"
    found.mkdir()
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An engine whose clock stands at the machine's time: that is what files have."""
    folders = Folders([tmp_path], allow_private_urls=True)
    one = Bench(at=time.time_ns() // 1_000_000, folders=folders, poll_seconds=0.5)
    yield one
    assert one.engine._watcher is not None
    one.engine._watcher.close()


def look(bench: Bench, seconds: float = 1.0) -> None:
    """Time passes; what is due is looked at, and what was found has fired if it had settled."""
    watcher = bench.engine._watcher
    assert watcher is not None
    bench.later(seconds)
    until = time.monotonic() + 10
    while watcher._looking:
        assert time.monotonic() < until
        time.sleep(0.005)
    bench.later(0)


def write(path: Path, text: str = "x") -> None:
    """A file whose inode changed later than any that was looked at."""
    time.sleep(0.02)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def trigger(bench: Bench, location: Path | str, job: Job, **fields: Any) -> Trigger:
    source = FileArrival(location=str(location), **fields)
    return bench.engine.triggers.create(TriggerSpec(source=source, actions=[StartRun(job=job.id)]), "ann").result()


def runs_of(bench: Bench, job: Job) -> list[Run]:
    return bench.runs.find(RunFilter(job_id=job.id), 200).items[::-1]


def files(run: Run) -> list[str]:
    return sorted(run.extras["trigger"]["files"])


# --- folders ---


def test_new_and_changed_files_fire_once_and_older_ones_never(bench: Bench, folder: Path) -> None:
    write(folder / "old.csv")
    time.sleep(0.02)
    bench.clock.at = time.time_ns() // 1_000_000
    job = bench.job()
    one = trigger(bench, folder, job)
    look(bench)
    assert runs_of(bench, job) == []
    write(folder / "a.csv")
    write(folder / "deep" / "b.csv")
    look(bench)
    look(bench)
    [run] = runs_of(bench, job)
    assert (files(run), run.trigger) == (["a.csv", "deep/b.csv"], "file_arrival")
    assert bench.engine.triggers.firings(one.id).items[0].data["files"] == ["a.csv", "deep/b.csv"]
    write(folder / "a.csv", "changed")
    look(bench)
    assert files(runs_of(bench, job)[1]) == ["a.csv"]


def test_a_file_that_was_moved_into_the_folder_is_new_whatever_its_age(
    bench: Bench, folder: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside.csv"
    write(aside)
    os.utime(aside, (1, 1))
    job = bench.job()
    trigger(bench, folder, job)
    look(bench)
    time.sleep(0.02)
    aside.rename(folder / "moved.csv")
    look(bench)
    assert files(runs_of(bench, job)[0]) == ["moved.csv"]


def test_only_files_that_match_the_pattern_count(bench: Bench, folder: Path) -> None:
    job = bench.job()
    trigger(bench, folder, job, pattern="*.csv")
    look(bench)
    write(folder / "a.tmp")
    look(bench)
    assert runs_of(bench, job) == []
    write(folder / "a.csv")
    look(bench)
    assert files(runs_of(bench, job)[0]) == ["a.csv"]


def test_it_fires_when_nothing_has_changed_for_a_while_and_not_too_often(bench: Bench, folder: Path) -> None:
    job = bench.job()
    trigger(bench, folder, job, wait_after_last_change=10, min_time_between=60)
    look(bench)
    write(folder / "a")
    look(bench)
    look(bench, 8)
    write(folder / "b")
    look(bench)
    look(bench, 9)
    assert runs_of(bench, job) == []
    look(bench, 1)
    assert files(runs_of(bench, job)[0]) == ["a", "b"]
    write(folder / "c")
    look(bench, 30)
    look(bench, 29)
    assert len(runs_of(bench, job)) == 1
    look(bench, 1)
    assert files(runs_of(bench, job)[1]) == ["c"]


def test_files_that_came_while_no_server_ran_are_found(bench: Bench, folder: Path, tmp_path: Path) -> None:
    job = bench.job()
    trigger(bench, folder, job)
    write(folder / "a")
    look(bench)
    write(folder / "b")
    again = bench.restart(folders=Folders([tmp_path]), poll_seconds=0.5)
    look(again)
    assert [files(run) for run in runs_of(again, job)] == [["a"], ["b"]]
    assert again.engine._watcher is not None
    again.engine._watcher.close()


def test_a_folder_that_vanished_pauses_its_trigger_with_a_reason(bench: Bench, folder: Path) -> None:
    job = bench.job()
    one = trigger(bench, folder, job)
    look(bench)
    folder.rmdir()
    look(bench)
    paused = bench.engine.triggers.get(one.id)
    assert (paused.active, paused.detail) == (False, f"There is no folder {folder} on this server.")
    assert "no folder" in bench.engine.triggers.dry_run(one.id).result().why
    folder.mkdir()
    resumed = bench.engine.triggers.start(one.id, "ann").result()
    assert (resumed.active, resumed.detail) == (True, "")
    bench.clock.at = time.time_ns() // 1_000_000 + 10_000
    look(bench)
    assert runs_of(bench, job) == []


def test_the_system_tells_of_changes_so_that_nobody_waits_for_a_poll(tmp_path: Path, folder: Path) -> None:
    bench = Bench(at=time.time_ns() // 1_000_000, folders=Folders([tmp_path]), poll_seconds=100_000)
    job = bench.job()
    trigger(bench, folder, job)
    look(bench)
    until = time.monotonic() + 20
    while not runs_of(bench, job):  # the system may need a moment until it listens
        assert time.monotonic() < until
        write(folder / "a")
        look(bench)
    assert bench.engine._watcher is not None
    bench.engine._watcher.close()


def test_only_folders_below_an_allowed_path_may_be_watched(bench: Bench, folder: Path, tmp_path: Path) -> None:
    job = bench.job()
    (folder / "out").symlink_to("/etc")
    for location, said in (
        ("/etc", "allowed paths"),
        (f"{folder}/out", "allowed paths"),
        (f"{folder}/../../..", "allowed paths"),
        (f"{tmp_path}/nowhere", "no folder"),
        ("ftp://example.com/x", "absolute folder"),
        ("http://user:pw@example.com/x", "password"),
    ):
        error = refused(lambda location=location: trigger(bench, location, job), Code.INVALID, said)
        assert error.field == "source.location"
    own = [JobTrigger(key="in", source=FileArrival(location="/etc"))]
    assert refused(lambda: bench.job(triggers=own), Code.INVALID).field == "triggers[0].source.location"


# --- URLs ---


class Site:
    """A real HTTP server with one file whose tag the test sets."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {"ETag": "1"}
        self.status = 200
        self.methods: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                outer.methods.append(self.command)
                self.send_response(outer.status if self.command == "HEAD" else 200)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_HEAD

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/data.csv"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_url_fires_when_its_content_is_another(bench: Bench, site: Site) -> None:
    job = bench.job()
    trigger(bench, site.url, job)
    for headers, count in (({"ETag": "1"}, 0), ({"ETag": "1"}, 0), ({"ETag": "2"}, 1), ({"ETag": "2"}, 1)):
        site.headers = headers
        look(bench)
        assert len(runs_of(bench, job)) == count
    assert files(runs_of(bench, job)[0]) == [site.url]


def test_a_url_that_was_missing_or_down_fires_when_it_is_there(bench: Bench, site: Site) -> None:
    job = bench.job()
    one = trigger(bench, site.url, job)
    for status, count in ((404, 0), (200, 1), (503, 1), (404, 1), (200, 1)):
        site.status = status
        look(bench)
        assert len(runs_of(bench, job)) == count
    assert bench.engine.triggers.get(one.id).active


def test_a_url_is_asked_another_way_where_it_must(bench: Bench, site: Site) -> None:
    job = bench.job()
    trigger(bench, site.url, job)
    site.status = 405
    look(bench)
    site.headers = {"Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
    look(bench)
    assert site.methods == ["HEAD", "GET"] * 2
    assert len(runs_of(bench, job)) == 1


def test_a_url_whose_changes_cannot_be_seen_pauses_its_trigger(bench: Bench, site: Site) -> None:
    one = trigger(bench, site.url, bench.job())
    site.headers = {}
    look(bench)
    assert "cannot be seen" in bench.engine.triggers.get(one.id).detail


def test_a_private_url_pauses_its_trigger_unless_the_settings_allow_it(tmp_path: Path, site: Site) -> None:
    bench = Bench(folders=Folders([tmp_path]), poll_seconds=0.5)
    one = trigger(bench, site.url, bench.job())
    look(bench)
    paused = bench.engine.triggers.get(one.id)
    assert (paused.active, site.methods) == (False, [])
    assert "not public" in paused.detail
    assert bench.engine._watcher is not None
    bench.engine._watcher.close()
