"""Runs through the command line, against a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import JOBS, Run, command, runyard
from tests.live_server import environment, live_server

Job = Callable[[str], str]


def submitted(here: Run, path: str, *words: str) -> str:
    done = here("submit", path, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(here: Run, run_id: str, state: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while True:
        found: dict[str, Any] = json.loads(here("show", run_id, "-o", "json").stdout)
        if found["state"] == state:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


# --- how a run ended --------------------------------------------------------------------------------------


def test_a_good_run_exits_with_0_and_prints_its_result(here: Run, job: Job) -> None:
    done = here("run", job("good"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answer\n    42\n"
    assert "say | from the shell" in done.stderr
    assert "succeeded after" in done.stderr


def test_the_command_as_a_process_keeps_its_word(server: str, job: Job) -> None:
    done = runyard("run", job("bad"), "-o", "json", url=server)
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "failed"
    assert "task 'say' failed: " in done.stderr


def test_a_failed_run_exits_with_1_and_its_last_line_says_why(here: Run, job: Job) -> None:
    done = here("run", job("bad"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "say | so it goes" in done.stderr
    assert "failed after" in done.stderr.splitlines()[-1]
    assert "task 'say' failed: " in done.stderr.splitlines()[-1]
    assert "one upstream_failed" in done.stderr


def test_a_run_over_its_time_exits_with_4(here: Run, job: Job) -> None:
    done = here("run", job("late"))
    assert "timed out" in done.stderr
    assert done.returncode == 4


def test_a_cancelled_run_exits_with_3(here: Run, job: Job, server: str) -> None:
    run_id = submitted(here, job("slow"))
    until(here, run_id, "running")
    with subprocess.Popen(
        command("show", run_id, "--follow"), stdout=subprocess.DEVNULL, env=environment(RUNYARD_URL=server)
    ) as following:
        assert here("cancel", run_id, "--detail", "enough").returncode == 0
        following.wait(30)
    assert following.returncode == 3
    assert here("show", run_id, "--follow").returncode == 3


def test_a_finished_run_is_not_cancelled(here: Run, job: Job) -> None:
    run_id = submitted(here, job("good"))
    until(here, run_id, "succeeded")
    done = here("cancel", run_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert "succeeded" in done.stderr


def test_control_c_detaches_and_the_run_goes_on(here: Run, job: Job, server: str) -> None:
    with subprocess.Popen(
        command("run", job("slow")), stderr=subprocess.PIPE, text=True, env=environment(RUNYARD_URL=server)
    ) as process:
        assert process.stderr
        lines: list[str] = []
        while "begun" not in (line := process.stderr.readline()):
            assert line, lines
            lines.append(line)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    run_id = lines[0].split()[1]
    assert process.returncode == 130
    assert f"`runyard show {run_id} --follow`" in said
    assert f"`runyard cancel {run_id}`" in said
    assert "Traceback" not in said
    until(here, run_id, "running")
    assert here("cancel", run_id).returncode == 0


def test_a_run_that_does_not_exist_exits_with_2(here: Run) -> None:
    done = here("show", "12345")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no run 12345" in done.stderr


def test_who_is_not_allowed_exits_with_5(tmp_path: Path, at: Run, job: Job) -> None:
    with live_server(tmp_path, "--token", "a-token-for-this-test") as url:
        for words in (["runs"], ["run", job("good")], ["doctor"]):
            done = at(url, *words, token="wrong")
            assert done.returncode == 5, done.stderr
        done = at(url, "runs", "--token", "a-token-for-this-test")
        assert done.returncode == 0, done.stderr


def test_a_definition_that_the_server_refuses_exits_with_2_and_names_the_place(here: Run, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOBS["fixable"])
    done = here("run", str(path), "--param", "cod=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'cod'" in done.stderr


# --- repair and rerun -------------------------------------------------------------------------------------


def test_a_repair_runs_the_failed_part_and_what_depends_on_it(here: Run, job: Job) -> None:
    assert here("run", job("fixable"), "--param", "code=3").returncode == 1
    run_id = here("runs", "--name", "fixable", "--limit", "1", "-o", "jsonl").stdout
    run_id = str(json.loads(run_id)["id"])
    done = here("repair", run_id, "--param", "code=0", "--follow")
    assert (done.returncode, done.stdout) == (0, "n\n1\n")
    assert "first  succeeded (kept from before the repair)" in done.stderr
    assert "second succeeded (repair 1" in done.stderr
    assert "once" not in done.stderr
    shown = here("show", run_id).stdout
    assert "second (repair 1)" in shown
    assert "repaired    once" in shown
    assert here("logs", run_id, "first").stdout == "once\n"


def test_a_rerun_is_a_new_run_with_other_parameters(here: Run, job: Job) -> None:
    run_id = submitted(here, job("fixable"), "--param", "code=3")
    until(here, run_id, "failed")
    done = here("rerun", run_id, "--param", "code=0", "--follow", "-o", "json")
    body = json.loads(done.stdout)
    assert done.returncode == 0
    assert (body["rerun_of"], body["parameters"]) == (int(run_id), {"code": 0})


def test_only_the_tasks_that_are_named_run(here: Run, job: Job) -> None:
    done = here("run", job("good"), "--only", "say", "-o", "json")
    states = {task["task_key"]: task["state"] for task in json.loads(done.stdout)["tasks"]}
    assert states == {"say": "succeeded", "one": "skipped"}


def test_the_same_key_gives_the_same_run(here: Run, job: Job) -> None:
    path = job("good")
    assert submitted(here, path, "--key", "k-1") == submitted(here, path, "--key", "k-1")


def test_a_job_may_come_from_standard_input(here: Run) -> None:
    done = here("run", "-", stdin=JOBS["good"])
    assert (done.returncode, done.stdout) == (0, "answer\n    42\n")


# --- forms of output --------------------------------------------------------------------------------------


def test_in_json_mode_standard_output_is_one_document(here: Run, job: Job) -> None:
    done = here("run", job("good"), "-o", "json")
    body = json.loads(done.stdout)
    assert body["state"] == "succeeded"
    assert [task["task_key"] for task in body["tasks"]] == ["say", "one"]
    assert body["created_at"].endswith("Z")


def test_in_jsonl_mode_each_run_is_one_line(here: Run, job: Job) -> None:
    for _ in range(3):
        submitted(here, job("good"), "--tag", "form=jsonl")
    lines = here("runs", "--tag", "form=jsonl", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["tags"] for line in lines] == [{"form": "jsonl"}] * 3
    assert len(here("runs", "--tag", "form=jsonl", "-n", "2", "-o", "jsonl").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    "words", [["runs"], ["jobs"], ["queues"], ["tables"], ["query", "select 1 as n"], ["connect", "native"], ["doctor"]]
)
def test_every_answer_can_be_had_as_json(here: Run, words: list[str]) -> None:
    done = here(*words, "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    json.loads(done.stdout)


def test_a_list_is_paged_through_to_its_end(here: Run, job: Job) -> None:
    path = job("good")
    ids = [submitted(here, path, "--tag", "form=pages") for _ in range(3)]
    listed = here("runs", "--tag", "form=pages", "-o", "json").stdout
    assert [str(run["id"]) for run in json.loads(listed)] == ids[::-1]


def test_a_query_gives_rows_as_objects(here: Run) -> None:
    done = here("query", "select $a as a, 'x' as b", "--param", "a=5", "-o", "jsonl")
    assert done.stdout == '{"a":5,"b":"x"}\n'


# --- jobs and queues --------------------------------------------------------------------------------------


def test_applying_a_file_creates_then_changes_then_leaves_alone(here: Run, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(f"{JOBS['good']}---\n{JOBS['slow']}")
    assert [one["change"] for one in json.loads(here("jobs", "apply", str(path), "-o", "json").stdout)] == [
        "created"
    ] * 2
    path.write_text(f"{JOBS['good'].replace('42', '43')}---\n{JOBS['slow']}")
    applied = json.loads(here("jobs", "apply", str(path), "-o", "json").stdout)
    assert [(one["change"], one["version"]) for one in applied] == [("updated", 2), ("unchanged", 1)]
    job_id = str(applied[0]["id"])
    assert here("run", job_id).stdout == "answer\n    43\n"
    assert "say" in here("jobs", "show", job_id).stdout
    for one in applied:
        assert here("jobs", "delete", str(one["id"])).returncode == 0
    assert here("run", job_id).returncode == 2


def test_a_queue_is_set_and_deleted(here: Run) -> None:
    assert here("queues", "set", "narrow", "--slots", "2", "--paused").returncode == 0
    kept = {queue["name"]: queue for queue in json.loads(here("queues", "-o", "json").stdout)}["narrow"]
    assert (kept["slots"], kept["paused"]) == (2, True)
    assert here("queues", "set", "narrow", "--no-paused").returncode == 0
    kept = {queue["name"]: queue for queue in json.loads(here("queues", "-o", "json").stdout)}["narrow"]
    assert (kept["slots"], kept["paused"]) == (2, False)
    assert here("queues", "delete", "narrow").returncode == 0
    assert "narrow" not in here("queues").stdout


# --- logs -------------------------------------------------------------------------------------------------


def test_logs_are_followed_until_the_attempt_ends(here: Run, tmp_path: Path) -> None:
    path = tmp_path / "count.yaml"
    path.write_text("job: count\ntasks:\n  count: {shell: 'for i in 1 2 3; do echo n$i; sleep 0.2; done'}\n")
    run_id = submitted(here, str(path))
    assert here("logs", run_id, "count", "--follow").stdout == "n1\nn2\nn3\n"
    assert here("logs", run_id).stdout == "n1\nn2\nn3\n"
    bodies = json.loads(here("logs", run_id, "-o", "json").stdout)
    assert [(body["task"], body["text"]) for body in bodies] == [("count", "n1\nn2\nn3\n")]


def test_logs_of_a_task_that_does_not_exist_name_the_nearest(here: Run, job: Job) -> None:
    run_id = submitted(here, job("good"))
    done = here("logs", run_id, "sya")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'say'?" in done.stderr


def test_connect_to_a_dialect_that_is_not_served_exits_with_2(here: Run) -> None:
    done = here("connect", "no-such-dialect")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not serve the dialect 'no-such-dialect'" in done.stderr


def test_tables_of_odd_names_are_shown_and_keyed(here: Run, tmp_path: Path) -> None:
    names = ("two words", "a/b", "50%", "a.b", "..", "\u00fc?#")
    file = tmp_path / "odd.yaml"
    tasks = [f"  t{n}: {{copy: {{statement: SELECT 1 AS n, table: '{odd}'}}}}" for n, odd in enumerate(names)]
    file.write_text("\n".join(["job: odd", "tasks:", *tasks]))
    assert here("run", str(file)).returncode == 0
    for odd in names:
        shown = here("tables", odd)
        assert (shown.returncode, shown.stdout.splitlines()[1].startswith(odd)) == (0, True), shown
        assert "partitioned by: n" in here("tables", odd, "--partition-by", "n").stdout
        assert len(here("tables", odd, "--partitions").stdout.splitlines()) == 2


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_a_query_says_on_the_error_stream_that_there_are_more_rows(here: Run, form: str) -> None:
    cut, whole = (here("query", "from range(5)", "-n", limit, "-o", form) for limit in ("4", "5"))
    assert (cut.returncode, whole.returncode, whole.stderr) == (0, 0, "")
    assert "the first 4 rows; there are more" in cut.stderr
    assert "there are more" not in cut.stdout


def test_a_table_of_a_schema_is_shown_by_the_name_that_the_list_has(here: Run, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "job: s\ntasks:\n  a: {sql: CREATE SCHEMA IF NOT EXISTS sc; CREATE OR REPLACE TABLE sc.t AS SELECT 7 AS n}\n"
    )
    assert here("run", str(file)).returncode == 0
    assert "sc.t" in here("tables").stdout
    for words in (["sc.t"], ["t", "--schema", "sc"], ["SC.T"]):
        assert here("tables", *words).stdout.splitlines()[1].split()[:2] == ["sc.t", "1"]
    assert "partitioned by: n" in here("tables", "sc.t", "--partition-by", "n").stdout
    assert (
        here("tables", "sc.none").returncode == here("tables", "sc.").returncode == here("tables", ".t").returncode != 0
    )


def test_a_tables_partitions_are_set_and_listed(here: Run, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "job: p\ntasks:\n  a: {sql: CREATE OR REPLACE TABLE parted AS SELECT range % 2 AS n FROM range(5)}\n"
    )
    assert here("run", str(file)).returncode == 0
    assert "no partition key" in here("tables", "parted", "--partitions").stderr
    assert "partitioned by: n" in here("tables", "parted", "--partition-by", "n").stdout
    lines = here("tables", "parted", "--partitions").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["PARTITION", "ROWS"], ["0", "3"], ["1", "2"]]
    listed = here("tables", "parted", "--partitions", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["values"] for line in listed] == [[0], [1]]
    assert "no partitions" in here("tables", "parted", "--partition-by", "").stdout
    done = here("tables", "--partitions")
    assert (done.returncode, "name it" in done.stderr) == (2, True)
    assert here("tables", "parted", "--partition-by", "random()").returncode == 2
