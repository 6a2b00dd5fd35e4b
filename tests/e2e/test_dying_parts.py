"""Launcher, work, fork server, warehouse process and downloader die before and after each step of their lives.

Each point is met once, by whoever comes there first. Whatever dies, the runs end as they should, the work of two
attempts never overlaps, nothing of it stays alive, and every effect on tables is there once.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dying_parts import PARTS, STEPS, points, steps
from tests.e2e.service import Service, processes_with, python, shell, sql, wait
from tests.e2e.test_data_kills import processes
from tests.warehouse.server import Files

WORKS = """
import fcntl, os, time
def tell(word):
    with open({diary!r}, "a") as diary:
        diary.write(os.environ["RUNYARD_TASK_RUN_ID"] + " " + word + "\\n")
with open({diary!r} + ".lock", "a") as lock:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("overlaps")
    tell("begins")
    time.sleep({seconds})
    tell("ends")
"""
LEAVES = "nohup setsid sleep 61.{number} >/dev/null 2>&1 & echo $RUNYARD_TASK_RUN_ID begins >> {diary}"
"""Something below it has to be killed at its end."""
ENDLESS_SQL = "select sum(sqrt(i)) from range(60000_000_000) t(i)"
AGAIN: dict[str, Any] = {"retries": {"max": 3, "delay": 0}}
STOPS = ("_stop", "tree.tell", "warehouse.stop")
"""Steps that are taken when somebody asks for an end."""
OPENS = ("holder.take", "__init__")
"""Steps of a warehouse process that starts."""
FEW = {
    "forkserver": ["forkserver._fork.before", "forkserver._fork.after"],
    "launcher": [
        "launcher._order.after",
        "launcher.flock.after",
        "launcher._clear.before",
        "launcher.__init__.before",  # the mark is written, the work not begun
        "launcher.Spare.tell.before",
        "launcher.Spare.tell.after",
        "launcher._stop.before",
        "launcher.end.before",
        "launcher.rename.before",  # an outcome half written
        "launcher._keep.after",  # the outcome written, and not told
        "launcher.run.after",
        "launcher.serve.after",
    ],
    "child": ["child._streams.after", "child._told.after", "child._exec.before", "child.run_here.after"],
    "warehouse": [
        "warehouse._keep.after",  # the effect's row, and no commit
        "warehouse._commit.after",
        "warehouse.put.after",
        "warehouse.Outbox._write.before",  # the answer
    ],
}
"""Where most can be torn apart; `make test-all` tries them all."""
FEW_ROWS, MANY_ROWS = 100, 300_000
"""Of a load; the many are more than the downloader takes at once."""
PLACES = 6
"""More than launchers stay ready."""
_numbers = itertools.count(1000)


class Frail(Service):
    """A server whose parts die where they are told to."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.arms = folder / "arms"
        self.arms.mkdir()
        super().__init__(folder, **settings)

    def launch(self, program: list[str]) -> Any:
        return super().launch([program[0], "-m", "tests.e2e.dying_parts", str(self.arms)])

    def arm(self, point: str) -> None:
        (self.arms / point).touch()

    def died(self, point: str) -> bool:
        return not (self.arms / point).exists()


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[Frail]:
    one = Frail(tmp_path, grace=0.3, process_capacity=PLACES)
    with one:
        yield one


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


class Diary:
    """What work wrote of itself."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def work(self, seconds: float = 0.02) -> dict[str, Any]:
        return python(WORKS.format(diary=str(self.file), seconds=seconds))

    def lines(self, word: str) -> list[str]:
        """The attempts that wrote it."""
        text = self.file.read_text() if self.file.exists() else ""
        return [line.split()[0] for line in text.splitlines() if line.endswith(f" {word}")]


def processes_die(frail: Frail, folder: Path, point: str, *, server: str = "lives") -> None:
    """A program, a command that leaves a daemon, and one that is cancelled, while something dies at the point."""
    number = next(_numbers)
    diaries = [Diary(folder / f"diary{number}.{place}") for place in range(3)]
    many = 0
    if point.startswith("forkserver"):
        time.sleep(1.5)  # until few launchers are ready
        many = PLACES
    frail.arm(point)
    runs = [
        *(frail.submit(shell("sleep 1"), **AGAIN) for _ in range(many)),
        frail.submit(diaries[0].work(), **AGAIN),
        frail.submit(shell(LEAVES.format(number=number, diary=diaries[1].file)), **AGAIN),
    ]
    if server == "dies too":
        for _ in range(3):  # also what is taken only when the next attempt comes
            wait(lambda: frail.died(point) or all(frail.run(one)["state"] == "succeeded" for one in runs))
            if not frail.died(point):
                runs.append(frail.submit(Diary(folder / f"diary{number}.{len(runs) + 2}").work(), **AGAIN))
        frail.kill()
        frail.start()
    if stops(point):
        runs.append(frail.submit(diaries[2].work(60), **AGAIN))
        wait(lambda: diaries[2].lines("begins"))
        frail.http.post(f"/runs/{runs[-1]}/cancel", json={})
    for run_id in runs:
        ends_well(frail, run_id, {"cancelled"} if stops(point) and run_id == runs[-1] else None)
    if not frail.died(point):  # a step that is taken when the next attempt comes
        ends_well(frail, frail.submit(Diary(folder / f"diary{number}.9").work(), **AGAIN))
    assert frail.died(point), f"{point} was never reached"
    for diary in diaries:
        begun = diary.lines("begins")
        assert len(begun) == len(set(begun)), f"{point}: given back, though it had begun: {begun}"
        assert not diary.lines("overlaps"), point
    assert len(diaries[0].lines("ends")) >= 1
    assert not processes_with(f"sleep 61.{number}"), point


def stops(point: str) -> bool:
    return any(step in point for step in STOPS)


def ends_well(frail: Frail, run_id: int, states: set[str] | None = None) -> None:
    run = frail.ended(run_id)
    assert run["state"] in (states or {"succeeded"}), (run, frail.attempts(run_id))
    assert len(frail.terminal_events(run_id)) == 1


def loads(frail: Frail, files: Files, number: int, rows: int = FEW_ROWS) -> int:
    source = files.serve(f"/{number}.csv", b"n\n" + b"%d\n" % number * rows)
    return frail.submit({"kind": "load", "source": source, "table": "loaded", "mode": "append"}, **AGAIN)


def warehouse_dies(frail: Frail, files: Files, point: str) -> int:
    """An insert, an export, a load and one that is cancelled, while the warehouse dies at the point; their number."""
    number = next(_numbers)
    frail.arm(point)
    if any(step in point for step in OPENS):
        for pid in processes("runyard.warehouse.process", frail.data):
            os.kill(pid, signal.SIGKILL)
    runs = [
        frail.submit(sql(f"insert into hits values ({number})"), **AGAIN),
        frail.submit(
            {"kind": "export", "statement": f"select {number} as n from range(10)", "target": f"{number}.csv"}, **AGAIN
        ),
        loads(frail, files, number),
    ]
    if stops(point):
        endless = frail.submit(sql(ENDLESS_SQL))
        frail.in_state(endless, "running")
        frail.http.post(f"/runs/{endless}/cancel", json={})
        ends_well(frail, endless, {"cancelled"})
    for run_id in runs:
        ends_well(frail, run_id)
    assert frail.died(point), f"{point} was never reached"
    return number


def loaded(frail: Frail) -> list[list[int]]:
    """How often each number was loaded. What was downloaded is gone."""
    assert not list((frail.data / "warehouse").glob("default.spool/*/*"))
    return frail.rows("select n, count(*) from loaded group by n order by n")


OF_PROCESSES = ("forkserver", "launcher", "child")


def all_points(*parts: str) -> list[str]:
    return [point for part in parts for point in points(part)]


def test_processes_die_where_most_can_be_torn_apart_and_every_run_ends_well(frail: Frail, tmp_path: Path) -> None:
    for point in [point for part in OF_PROCESSES for point in FEW[part]]:
        processes_die(frail, tmp_path, point)


@pytest.mark.long
@pytest.mark.parametrize("server", ["lives", "dies too"])
def test_processes_die_before_and_after_each_step_and_every_run_ends_well(
    frail: Frail, tmp_path: Path, server: str
) -> None:
    for point in all_points(*OF_PROCESSES):
        if server == "lives" or not stops(point):
            processes_die(frail, tmp_path, point, server=server)


@pytest.mark.parametrize("chosen", [FEW["warehouse"], pytest.param(points("warehouse"), marks=pytest.mark.long)])
def test_the_warehouse_dies_at_its_steps_and_every_effect_is_there_once(
    frail: Frail, files: Files, chosen: list[str]
) -> None:
    frail.rows("create table hits (n integer)")
    frail.rows("create table loaded (n integer)")
    numbers = [warehouse_dies(frail, files, point) for point in chosen]
    assert frail.rows("select n, count(*) from hits group by n order by n") == [[n, 1] for n in numbers]
    assert loaded(frail) == [[n, FEW_ROWS] for n in numbers]
    out = frail.data / "files"
    assert sorted(path.name for path in out.iterdir()) == [f"{n}.csv" for n in numbers]
    assert {path.read_text().count("\n") for path in out.iterdir()} == {11}


@pytest.mark.parametrize("server", ["lives", "dies too"])
@pytest.mark.parametrize(("point", "state"), [("_commit.before", "cancelled"), ("_commit.after", "succeeded")])
def test_a_cancel_that_meets_the_death_of_the_warehouse_tells_what_was_committed(
    frail: Frail, server: str, point: str, state: str
) -> None:
    frail.rows("create table met (n integer)")
    frail.arm(f"warehouse.{point}!")
    run_id = frail.submit(sql("insert into met values (1)"), **AGAIN)
    (pid,) = wait(lambda: [pid for pid in processes("runyard.warehouse.process", frail.data) if frozen(pid)])
    assert frail.post(f"/runs/{run_id}/cancel")["state"] == "cancelling"
    if server == "dies too":
        frail.kill()
        frail.start()
    else:
        os.kill(pid, signal.SIGKILL)
    ends_well(frail, run_id, {state})
    assert len(frail.attempts(run_id)) == 1
    assert frail.rows("select count(*) from met") == [[int(state == "succeeded")]]
    again = frail.http.post(f"/runs/{run_id}/repair", json={})
    assert again.is_success == (state == "cancelled"), again.text
    assert frail.ended(run_id)["state"] == "succeeded"
    assert frail.rows("select n from met") == [[1]]


def test_what_was_committed_is_not_lost_to_a_cancel_that_comes_after_a_restart(frail: Frail) -> None:
    """The work of the killed server is in the tables: it has succeeded before anybody can ask for its end."""
    frail.rows("create table met (n integer)")
    frail.arm("warehouse._commit.after!")
    run_id = frail.submit(sql("insert into met values (1)"), **AGAIN)
    wait(lambda: [pid for pid in processes("runyard.warehouse.process", frail.data) if frozen(pid)])
    frail.kill()
    frail.start()
    frail.http.post(f"/runs/{run_id}/cancel", json={})
    ends_well(frail, run_id)
    assert len(frail.attempts(run_id)) == 1
    assert frail.rows("select n from met") == [[1]]


def frozen(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_the_downloader_dies_before_and_after_each_step_and_every_load_is_there_once(
    frail: Frail, files: Files
) -> None:
    frail.rows("create table loaded (n integer)")
    numbers = []
    for point in points("download"):
        number = next(_numbers)
        numbers.append(number)
        frail.arm(f"{point}~" if "_check" in point else point)  # at the first bytes, not before them
        ends_well(frail, loads(frail, files, number, MANY_ROWS))
        assert not (frail.arms / point).exists(), f"{point} was never reached"
        assert not (frail.arms / f"{point}~").exists()
    assert loaded(frail) == [[n, MANY_ROWS] for n in numbers]


def test_every_part_that_is_started_has_steps_and_every_chosen_point_is_one() -> None:
    assert {part for parts in PARTS.values() for part in parts} == STEPS.keys()
    for part, chosen in FEW.items():
        assert set(chosen) <= set(points(part)), set(chosen) - set(points(part))
        names = [step for _, _, step in steps(part)]
        assert len(names) == len(set(names))
