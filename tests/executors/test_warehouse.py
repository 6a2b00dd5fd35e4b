"""The warehouse executor: transactions, repeats, stops, and the death of its process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runyard.core.actions import Sql
from runyard.core.attempts import Held
from runyard.warehouse import client
from tests.warehouse.desk import CROSS_JOIN, Desk


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pid: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_a_failing_second_statement_undoes_the_first(shared: Desk) -> None:
    shared.run("CREATE TABLE whole (a INTEGER)")
    outcome = shared.run("INSERT INTO whole VALUES (1); INSERT INTO whole VALUES ('x')")
    assert (outcome.result, outcome.reason) == ("failed", "sql_error")
    assert "\n" not in outcome.detail
    assert shared.rows("SELECT count(*) FROM whole") == [[0]]


def test_a_repeat_returns_the_recorded_outcome_and_applies_nothing(shared: Desk) -> None:
    shared.run("CREATE TABLE once (a INTEGER)")
    first = shared.start("INSERT INTO once SELECT range FROM range(5)")
    before = shared.wait(first)
    after = shared.wait(shared.start("INSERT INTO once SELECT range FROM range(5)", token=2, same_as=first))
    assert after == before
    assert shared.rows("SELECT count(*) FROM once") == [[5]]


def test_another_iteration_or_round_is_another_effect(shared: Desk) -> None:
    shared.run("CREATE TABLE rounds (a INTEGER)")
    first = shared.start("INSERT INTO rounds VALUES (1)")
    shared.wait(first)
    shared.wait(shared.start("INSERT INTO rounds VALUES (1)", same_as=first, round=1))
    shared.wait(shared.start("INSERT INTO rounds VALUES (1)", same_as=first, iteration=0))
    assert shared.rows("SELECT count(*) FROM rounds") == [[3]]


def test_a_failed_attempt_is_not_recorded(shared: Desk) -> None:
    first = shared.start("INSERT INTO later VALUES (1)")
    assert shared.wait(first).result == "failed"
    shared.run("CREATE TABLE later (a INTEGER)")
    assert shared.wait(shared.start("INSERT INTO later VALUES (1)", same_as=first)).result == "succeeded"


def test_a_repeat_after_the_process_was_killed_applies_nothing(desk: Desk) -> None:
    desk.run("CREATE TABLE once (a INTEGER)")
    first = desk.start("INSERT INTO once VALUES (7)")
    before = desk.wait(first)
    os.kill(desk.pid(), signal.SIGKILL)
    after = desk.wait(desk.start("INSERT INTO once VALUES (7)", token=2, same_as=first))
    assert after.result == "lost" or after == before
    again = desk.wait(desk.start("INSERT INTO once VALUES (7)", token=3, same_as=first))
    assert again == before
    assert desk.rows("SELECT a FROM once") == [[7]]


def test_a_newer_token_ends_the_older_attempt_first(shared: Desk) -> None:
    shared.run("CREATE TABLE fenced (a INTEGER)")
    older = shared.start(f"INSERT INTO fenced SELECT 1; {CROSS_JOIN}")
    shared.wait_started(older)
    newer = shared.start("INSERT INTO fenced SELECT 1", token=2, same_as=older)
    assert shared.wait(newer).result == "succeeded"
    assert shared.wait(older).result == "stopped"
    assert shared.rows("SELECT count(*) FROM fenced") == [[1]]


def test_a_newer_claim_begins_when_the_older_one_is_over(shared: Desk) -> None:
    older = shared.start(CROSS_JOIN)
    shared.wait_started(older)
    newer = shared.start("SELECT 1", token=2, same_as=older)
    assert shared.wait(newer).result == "succeeded"
    told = [(one.task_run_id, type(one).__name__) for one in shared.reports if one.task_run_id in (older, newer)]
    told = [one for one in told if one[1] != "Progress"]
    assert told == [(older, "Started"), (older, "Finished"), (newer, "Started"), (newer, "Finished")]


@pytest.mark.parametrize(("why", "result"), [("cancel", "stopped"), ("timeout", "stopped"), ("release", "released")])
def test_a_large_join_is_stopped_within_two_seconds(shared: Desk, why: str, result: str) -> None:
    number = shared.start(CROSS_JOIN)
    shared.wait_started(number)
    time.sleep(0.2)
    began = time.monotonic()
    shared.executor.stop(number, 1, grace=5.0, why=why)  # type: ignore[arg-type]
    assert shared.wait(number).result == result
    assert time.monotonic() - began < 2.0
    assert shared.rows("SELECT count(*) FROM range(3)") == [[3]]


def test_a_stop_undoes_what_was_written(shared: Desk) -> None:
    shared.run("CREATE TABLE undone (a INTEGER)")
    number = shared.start(f"INSERT INTO undone VALUES (1); {CROSS_JOIN}")
    shared.wait_started(number)
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number).result == "stopped"
    assert shared.rows("SELECT count(*) FROM undone") == [[0]]


def test_a_waiting_writer_is_stopped_at_once(shared: Desk) -> None:
    shared.run("CREATE TABLE line (a INTEGER)")
    first = shared.start(f"INSERT INTO line VALUES (1); {CROSS_JOIN}")
    shared.wait_started(first)
    second = shared.start("INSERT INTO line VALUES (2)")
    time.sleep(0.3)
    assert not shared.ended(second)
    assert "earlier writers" in shared.progress(second)[0].data["message"]
    shared.executor.stop(second, 1, grace=0, why="cancel")
    assert shared.wait(second, 1.0).result == "stopped"
    shared.executor.stop(first, 1, grace=0, why="cancel")
    shared.wait(first)


def test_a_stop_of_an_attempt_that_is_not_held_is_ignored(shared: Desk) -> None:
    shared.executor.stop(987654, 1, grace=0, why="cancel")
    assert shared.rows("SELECT 1") == [[1]]


def test_writers_of_one_table_go_in_the_order_in_which_they_were_asked(shared: Desk) -> None:
    shared.run("CREATE TABLE fifo (a INTEGER)")
    numbers = [shared.start(f"INSERT INTO fifo SELECT {n} FROM range(1000)") for n in range(10)]
    numbers.append(shared.start("TRUNCATE fifo"))
    numbers.append(shared.start("INSERT INTO fifo VALUES (99)"))
    assert {shared.wait(number).result for number in numbers} == {"succeeded"}
    assert shared.rows("SELECT a FROM fifo") == [[99]]


def test_writers_of_different_tables_do_not_wait_for_each_other(shared: Desk) -> None:
    shared.run("CREATE TABLE slow (a INTEGER); CREATE TABLE quick (a INTEGER)")
    slow = shared.start(f"INSERT INTO slow {CROSS_JOIN}")
    shared.wait_started(slow)
    assert shared.run("INSERT INTO quick VALUES (1)").result == "succeeded"
    assert not shared.ended(slow)
    shared.executor.stop(slow, 1, grace=0, why="cancel")
    shared.wait(slow)


def test_long_work_tells_its_progress(shared: Desk) -> None:
    number = shared.start("SELECT count(*) FROM range(3000000) a, range(100) b WHERE a.range + b.range = 3")
    shared.wait(number, 20)
    fractions = [one.data["fraction"] for one in shared.progress(number) if "fraction" in one.data]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_every_attempt_starts_before_it_finishes_and_finishes_once(shared: Desk) -> None:
    numbers = [shared.start(f"SELECT {n} FROM range(1)" if n % 3 else f"SELECT {n}") for n in range(60)]
    for number in numbers:
        shared.wait(number)
        kinds = [type(one).__name__ for one in shared.reports if one.task_run_id == number]
        assert kinds == ["Started", "Finished"]


def test_a_killed_process_loses_what_ran_and_the_next_task_works(desk: Desk) -> None:
    pid = desk.pid()
    number = desk.start(CROSS_JOIN)
    desk.wait_started(number)
    os.kill(pid, signal.SIGKILL)
    outcome = desk.wait(number)
    assert (outcome.result, outcome.reason) == ("lost", "lost_worker")
    assert "ended" in (desk.executor.healthy() or "ended")
    assert desk.rows("SELECT 5") == [[5]]
    assert desk.executor.healthy() is None
    assert desk.pid() != pid


def test_a_process_that_is_frozen_is_killed_when_it_does_not_end_what_it_was_told_to(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DEAF_SECONDS", 0.4)
    desk.run("CREATE TABLE frozen (a INTEGER)")
    pid = desk.pid()
    number = desk.start(f"INSERT INTO frozen VALUES (1); {CROSS_JOIN}")
    other = desk.start(CROSS_JOIN)
    for one in (number, other):
        desk.wait_started(one)
    os.kill(pid, signal.SIGSTOP)
    desk.executor.stop(number, 1, grace=0, why="timeout")
    assert {desk.wait(one).result for one in (number, other)} == {"lost"}
    assert desk.rows("SELECT count(*) FROM frozen") == [[0]]
    assert desk.pid() != pid


def test_a_cancel_of_what_died_ends_it_though_the_process_that_is_asked_about_it_is_frozen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DEAF_SECONDS", 0.4)
    pid, warehouse, asked = desk.pid(), desk.executor._warehouses["default"], threading.Event()
    number = desk.start(CROSS_JOIN)
    desk.wait_started(number)
    ask = warehouse._ask_of_doubtful

    def freeze_and_ask() -> None:
        if not asked.is_set():
            assert warehouse.pid
            os.kill(warehouse.pid, signal.SIGSTOP)
        asked.set()
        ask()

    monkeypatch.setattr(warehouse, "_ask_of_doubtful", freeze_and_ask)
    os.kill(pid, signal.SIGKILL)
    assert asked.wait(10)
    assert not desk.ended(number)
    desk.executor.stop(number, 1, grace=0, why="cancel")
    assert desk.wait(number).result == "lost"


def test_a_process_that_ends_what_it_was_told_to_is_not_killed_and_not_watched_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LOOK_SECONDS", 0.05)
    pid, warehouse = desk.pid(), desk.executor._warehouses["default"]
    for _ in range(2):
        number = desk.start(CROSS_JOIN)
        desk.wait_started(number)
        desk.executor.stop(number, 1, grace=0, why="cancel")
        assert desk.wait(number).result == "stopped"
        until = time.monotonic() + 5
        while warehouse._told and time.monotonic() < until:
            time.sleep(0.01)
        assert not warehouse._told
    assert desk.pid() == pid


def test_what_was_not_sent_to_a_dead_process_goes_to_the_next_one(desk: Desk) -> None:
    pid = desk.pid()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    time.sleep(0.05)
    assert [desk.run(f"SELECT {n}").result for n in range(3)] == ["succeeded"] * 3


def test_what_no_process_has_seen_is_not_lost_when_one_dies_before_it_is_ready(desk: Desk) -> None:
    number = desk.start("SELECT 5")
    warehouse = desk.executor._warehouses["default"]
    until = time.monotonic() + 5
    while warehouse.pid is None and time.monotonic() < until:
        time.sleep(0.001)
    assert warehouse.pid is not None
    os.kill(warehouse.pid, signal.SIGKILL)
    assert desk.wait(number).result == "succeeded"


def test_a_query_fails_when_the_process_dies_under_it(desk: Desk) -> None:
    pid = desk.pid()
    future = desk.executor.query("default", CROSS_JOIN)
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    assert "ended" in str(future.exception(5))


def test_each_workspace_has_a_database_of_its_own(desk: Desk) -> None:
    desk.run("CREATE TABLE mine (a INTEGER)", workspace="red")
    assert desk.run("SELECT * FROM mine", workspace="blue").result == "failed"
    assert desk.run("SELECT * FROM mine", workspace="red").result == "succeeded"
    assert desk.run("SELECT 1", workspace="../evil").reason == "start_error"


def test_close_releases_what_runs_and_ends_the_process(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    pid = desk.pid()
    number = desk.start(CROSS_JOIN)
    desk.wait_started(number)
    desk.close()
    assert desk.wait(number).result == "released"
    assert gone(pid)


SERVER = """
import sys, time
from pathlib import Path
from tests.warehouse.desk import CROSS_JOIN, Desk
desk = Desk(Path(sys.argv[1]))
desk.rows("CREATE TABLE IF NOT EXISTS orphan (a INTEGER); SELECT 1")
number = desk.start("INSERT INTO orphan VALUES (1); " + CROSS_JOIN)
desk.wait_started(number)
print(desk.executor._warehouses["default"].pid, flush=True)
time.sleep(60)
"""


def test_the_process_of_a_killed_server_ends_and_commits_nothing(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout:
        pid = int(server.stdout.readline())
    server.kill()
    server.wait()
    assert gone(pid, 2.0)
    desk = Desk(tmp_path)
    elsewhere = Held(3, 30, 1, "running", "t", workspace="nowhere")
    committed, lost = Held(1, 10, 1, "running", "t"), Held(2, 20, 1, "running", "t")
    assert desk.executor.recover([committed, lost, elsewhere]) == [elsewhere]
    assert (desk.wait(10).result, desk.wait(20).result) == ("succeeded", "lost")
    assert desk.rows("SELECT count(*) FROM orphan") == [[0]]
    desk.close()


def test_attempts_are_lost_when_the_database_that_could_tell_cannot_be_opened(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    number = desk.start("CREATE TABLE x AS " + CROSS_JOIN)
    desk.wait_started(number)
    pid = desk.executor._warehouses["default"].pid
    (tmp_path / "warehouse" / "default.duckdb").write_bytes(b"no database" * 1000)
    os.kill(pid or 0, signal.SIGKILL)
    outcome = desk.wait(number)
    assert (outcome.result, outcome.reason) == ("lost", "lost_worker")
    assert "cannot open its database" in (desk.executor.healthy() or "")
    desk.close()


def test_a_new_executor_ends_a_process_that_does_not_notice(tmp_path: Path) -> None:
    """The old process is stopped, so that it cannot see its server's end; it must be dead before the file is opened."""
    old = Desk(tmp_path)
    pid = old.pid()
    os.kill(pid, signal.SIGSTOP)
    old.executor._warehouses["default"]._closing = True  # this server will not start another one
    new = Desk(tmp_path)
    assert gone(pid)
    assert new.rows("SELECT 1") == [[1]]
    new.close()
    old.close()


def test_a_new_executor_ends_the_frozen_processes_of_all_workspaces_though_nobody_asks_for_them(tmp_path: Path) -> None:
    """One that woke up later could commit before it sees that its server is gone."""
    old = Desk(tmp_path)
    old.run("CREATE TABLE mine (a INTEGER)", workspace="red")
    number = old.start(f"INSERT INTO mine VALUES (1); {CROSS_JOIN}", workspace="red")
    old.wait_started(number)
    pid = old.executor._warehouses["red"].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    for warehouse in old.executor._warehouses.values():
        warehouse._closing = True  # this server will not start another one
    new = Desk(tmp_path)
    assert gone(pid)
    new.close()
    old.close()


def test_a_database_that_cannot_be_opened_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "default.duckdb").write_bytes(b"this is no database" * 1000)
    desk = Desk(tmp_path)
    number = desk.start(Sql(statement="SELECT 1"))
    until = time.monotonic() + 5
    while desk.executor.healthy() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert "cannot open its database" in (desk.executor.healthy() or "")
    desk.executor.stop(number, 1, grace=0, why="cancel")
    assert desk.wait(number).result == "stopped"
    desk.close()
