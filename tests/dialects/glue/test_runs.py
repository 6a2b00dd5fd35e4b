"""The life of job runs through boto3: succeed, fail, retry, stop, wait, time out, list, not found."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.dialects.glue.world import World

ECHO = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"


def pairs(lines: list[str]) -> dict[str, str]:
    words = json.loads(lines[0])
    return dict(zip(words[::2], words[1::2], strict=True))


def test_a_run_succeeds_with_all_that_a_run_shows(glue: World) -> None:
    job = glue.job()
    before = datetime.now(UTC)
    run = glue.run(job, Arguments={"--a": "1"})
    assert re.fullmatch("jr_[0-9a-f]{64}", run["Id"])
    assert (run["JobRunState"], run["Attempt"], run["JobName"]) == ("SUCCEEDED", 0, job)
    assert run["Arguments"] == {"--a": "1"}
    assert (run["PredecessorRuns"], run["Timeout"]) == ([], 2880)
    assert (run["AllocatedCapacity"], run["MaxCapacity"]) == (0, 0.0625)
    assert run["LogGroupName"] == "/aws-glue/python-jobs"
    assert run["LastModifiedOn"] == run["CompletedOn"] >= run["StartedOn"]
    assert abs((run["StartedOn"] - before).total_seconds()) < 5
    assert not {"ErrorMessage", "PreviousRunId", "TriggerName", "StateDetail"} & set(run)


def test_arguments_follow_the_documented_precedence_and_reach_the_script(glue: World) -> None:
    job = glue.job(
        ECHO,
        DefaultArguments={"--day": "default", "--mode2": "default", "--fixed": "default"},
        NonOverridableArguments={"--fixed": "always"},
    )
    run = glue.run(job, Arguments={"--day": "run", "--fixed": "run", "--empty": ""})
    merged = {"--day": "run", "--mode2": "default", "--fixed": "always", "--empty": ""}
    assert run["Arguments"] == merged
    seen = pairs(glue.output(run))
    assert {key: seen[key] for key in merged} == merged
    assert (seen["--JOB_NAME"], seen["--JOB_RUN_ID"]) == (job, run["Id"])
    assert re.fullmatch("j_[0-9a-f]{64}", seen["--JOB_ID"])


def test_reserved_arguments_of_a_caller_do_not_reach_the_script(glue: World) -> None:
    job = glue.job(ECHO)
    run = glue.run(job, Arguments={"--JOB_NAME": "forged", "--debug": "x", "--endpoint": "y", "--mode": "z"})
    seen = pairs(glue.output(run))
    assert seen["--JOB_NAME"] == job
    assert not {"--debug", "--endpoint", "--mode"} & set(seen)


def test_a_failure_says_the_last_line_of_the_traceback(glue: World) -> None:
    run = glue.run(glue.job("def load():\n    raise KeyError('no such day')\nload()\n"))
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "KeyError: 'no such day'")
    trace = glue.output(run, "error")
    assert trace[0] == "Traceback (most recent call last):"
    assert "glue_script" not in "".join(trace)
    assert "in load" in "".join(trace)


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        ("import sys; sys.exit(0)", "SUCCEEDED", None),
        ("import sys; sys.exit(3)", "FAILED", "exit code 3"),
        ("import sys; sys.exit('no input today')", "FAILED", "exit code 1: no input today"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "FAILED", "killed by SIGKILL"),
        ("this is no python", "FAILED", "SyntaxError"),
        ("import not_there_at_all", "FAILED", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    ],
)
def test_an_end_of_any_kind_gives_its_state_and_message(glue: World, text: str, state: str, said: str | None) -> None:
    run = glue.run(glue.job(text))
    assert run["JobRunState"] == state
    assert (said or "") in run.get("ErrorMessage", "")


def test_retries_are_runs_of_their_own_and_the_first_stays_failed(glue: World) -> None:
    job = glue.job("raise ValueError('again')", MaxRetries=2)
    first = glue.run(job)
    assert first["JobRunState"] == "FAILED"
    last = glue.until(
        lambda: glue.client.get_job_runs(JobName=job)["JobRuns"],
        lambda runs: len(runs) == 3 and runs[0]["JobRunState"] == "FAILED",
    )
    assert [run["Id"] for run in last] == [f"{first['Id']}_attempt_2", f"{first['Id']}_attempt_1", first["Id"]]
    assert [run["Attempt"] for run in last] == [2, 1, 0]
    assert [run.get("PreviousRunId") for run in last] == [f"{first['Id']}_attempt_1", first["Id"], None]
    assert glue.get(job, first["Id"])["JobRunState"] == "FAILED"


def test_a_retry_passes_its_own_run_id_to_the_script(glue: World) -> None:
    mark = glue.files / "mark"
    text = (
        f"import os\n{ECHO}if not os.path.exists({str(mark)!r}):\n    open({str(mark)!r}, 'w'); raise SystemExit(1)\n"
    )
    job = glue.job(text, MaxRetries=1)
    first = glue.run(job)
    second = glue.until(
        lambda: glue.client.get_job_runs(JobName=job)["JobRuns"][0],
        lambda run: run["Attempt"] == 1 and run["JobRunState"] == "SUCCEEDED",
    )
    assert pairs(glue.output(second))["--JOB_RUN_ID"] == f"{first['Id']}_attempt_1"


def test_a_start_follows_the_job_as_it_is_now_not_as_it_was_when_last_started(glue: World) -> None:
    job = glue.job("print('one')")
    assert glue.output(glue.run(job)) == ["one"]
    command = {"Name": "glueetl", "ScriptLocation": glue.script("print('two')")}
    glue.client.update_job(JobName=job, JobUpdate={"Role": "r", "Command": command})
    run = glue.run(job, AllocatedCapacity=10)  # which a Python shell job could not have
    assert (glue.output(run), run["AllocatedCapacity"]) == (["two"], 10)
    glue.client.delete_job(JobName=job)
    assert glue.refused("EntityNotFoundException", glue.client.start_job_run, JobName=job) == f"Job {job} not found."
    glue.job("print('three')", Name=job)
    assert glue.output(glue.run(job)) == ["three"]
    assert len(glue.client.get_job_runs(JobName=job)["JobRuns"]) == 1


def test_over_the_limit_a_start_is_refused_and_nothing_is_kept(glue: World) -> None:
    job = glue.job(SLEEP)
    glue.start(job)
    said = glue.refused("ConcurrentRunsExceededException", glue.client.start_job_run, JobName=job)
    assert said == f"Concurrent runs exceeded for {job}"
    assert len(glue.client.get_job_runs(JobName=job)["JobRuns"]) == 1


def test_with_queuing_a_run_waits_and_says_why(glue: World) -> None:
    job = glue.job(SLEEP, JobRunQueuingEnabled=True)
    first, second = glue.start(job), glue.start(job)
    waiting = glue.get(job, second)
    assert (waiting["JobRunState"], waiting["StateDetail"]) == ("WAITING", "max concurrent job runs per job exceeded")
    assert waiting["ExecutionTime"] == 0
    glue.client.batch_stop_job_run(JobName=job, JobRunIds=[first])
    assert "StateDetail" not in glue.in_state(job, second, "RUNNING")


@pytest.mark.parametrize(("on_job", "on_run"), [(False, True), (True, False)])
def test_a_runs_own_queuing_wins_over_the_jobs(glue: World, on_job: bool, on_run: bool) -> None:
    job = glue.job(SLEEP, JobRunQueuingEnabled=on_job)
    glue.start(job)
    if on_run:
        assert glue.get(job, glue.start(job, JobRunQueuingEnabled=True))["JobRunState"] == "WAITING"
    else:
        glue.refused(
            "ConcurrentRunsExceededException", glue.client.start_job_run, JobName=job, JobRunQueuingEnabled=False
        )


def test_a_waiting_run_can_be_stopped(glue: World) -> None:
    job = glue.job(SLEEP, JobRunQueuingEnabled=True)
    glue.start(job)
    second = glue.start(job)
    assert glue.client.batch_stop_job_run(JobName=job, JobRunIds=[second])["SuccessfulSubmissions"]
    run = glue.ended(job, second)
    assert (run["JobRunState"], run["ErrorMessage"]) == ("STOPPED", "Stopped by dev (BatchStopJobRun).")
    assert run["ExecutionTime"] == 0


def test_a_running_run_is_stopped_with_all_its_processes(glue: World) -> None:
    pid_file = glue.files / "child"
    text = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"
    )
    job = glue.job(text)
    run_id = glue.start(job)
    pid = glue.until(lambda: pid_file.read_text() if pid_file.exists() else "", bool)
    glue.client.batch_stop_job_run(JobName=job, JobRunIds=[run_id])
    run = glue.ended(job, run_id)
    assert run["JobRunState"] == "STOPPED"
    assert "Stopped by dev" in run["StateDetail"]
    glue.until(lambda: _alive(pid), lambda alive: not alive)


def _alive(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stop_answers_for_each_run_by_itself(glue: World) -> None:
    job, other = glue.job(SLEEP), glue.job()
    live, done = glue.start(job), glue.run(other)["Id"]
    unknown = "jr_" + "0" * 64
    answer = glue.client.batch_stop_job_run(JobName=job, JobRunIds=[live, unknown, done, "no id"])
    assert answer["SuccessfulSubmissions"] == [{"JobName": job, "JobRunId": live}]
    errors = {one["JobRunId"]: one["ErrorDetail"]["ErrorCode"] for one in answer["Errors"]}
    assert errors == dict.fromkeys([unknown, done, "no id"], "EntityNotFoundException")
    assert all(one["JobName"] == job and one["ErrorDetail"]["ErrorMessage"] for one in answer["Errors"])
    finished = glue.client.batch_stop_job_run(JobName=other, JobRunIds=[done])
    assert (finished["SuccessfulSubmissions"], len(finished["Errors"])) == ([], 1)
    assert finished["Errors"][0]["ErrorDetail"]["ErrorCode"] == "JobRunInTerminalStateException"


def test_stop_for_an_unknown_job_answers_for_each_run(glue: World) -> None:
    answer = glue.client.batch_stop_job_run(JobName="nobody", JobRunIds=["jr_x"])
    assert answer["SuccessfulSubmissions"] == []
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"


def test_the_runs_timeout_in_minutes_overrides_the_jobs(glue: World) -> None:
    job = glue.job(Timeout=5)
    assert glue.run(job)["Timeout"] == 5
    assert glue.run(job, Timeout=7)["Timeout"] == 7
    glue.refused("InvalidInputException", glue.client.start_job_run, JobName=job, Timeout=10_081)


@pytest.mark.long
def test_a_timed_out_run_is_killed_and_not_tried_again(glue: World) -> None:
    job = glue.job("import time\ntime.sleep(300)\n", MaxRetries=1)
    run_id = glue.start(job, Timeout=1)
    run = glue.until(lambda: glue.get(job, run_id), lambda run: run["JobRunState"] == "TIMEOUT", 90)
    assert "timeout" in run["ErrorMessage"]
    assert 59 <= run["ExecutionTime"] <= 75
    assert len(glue.client.get_job_runs(JobName=job)["JobRuns"]) == 1


def test_the_execution_time_is_the_scripts_alone(glue: World) -> None:
    run = glue.run(glue.job("import time\ntime.sleep(1.2)\n"))
    assert run["ExecutionTime"] == 1


def test_runs_are_listed_newest_first_in_pages(glue: World) -> None:
    job = glue.job(ExecutionProperty={"MaxConcurrentRuns": 10})
    started = [glue.start(job) for _ in range(5)]
    pages = list(glue.client.get_paginator("get_job_runs").paginate(JobName=job, PaginationConfig={"PageSize": 2}))
    assert [len(page["JobRuns"]) for page in pages] == [2, 2, 1]
    assert [run["Id"] for page in pages for run in page["JobRuns"]] == started[::-1]
    assert "NextToken" not in pages[-1]
    assert "NextToken" not in glue.client.get_job_runs(JobName=job)
    for run_id in started:
        glue.ended(job, run_id)


def test_the_next_page_is_not_moved_by_newer_runs(glue: World) -> None:
    job = glue.job(ExecutionProperty={"MaxConcurrentRuns": 10})
    started = [glue.start(job) for _ in range(3)]
    first = glue.client.get_job_runs(JobName=job, MaxResults=2)
    glue.start(job)
    second = glue.client.get_job_runs(JobName=job, NextToken=first["NextToken"])
    assert [run["Id"] for run in second["JobRuns"]] == [started[0]]


def test_the_native_side_finds_runs_of_all_jobs_by_an_argument(glue: World) -> None:
    day = f"day {time.monotonic_ns()}"
    jobs = [glue.job(ExecutionProperty={"MaxConcurrentRuns": 2}) for _ in range(2)]
    for job in jobs:
        glue.start(job, Arguments={"--day": day})
        glue.start(job, Arguments={"--day": "another"})
    found = glue.http.get("/api/v1/runs", params={"origin": "glue", "parameter": f"arguments.--day={day}"}).json()
    assert sorted(run["name"] for run in found["items"]) == sorted(jobs)


def test_runs_of_an_unknown_job_are_not_found(glue: World) -> None:
    said = glue.refused("EntityNotFoundException", glue.client.get_job_runs, JobName="nobody")
    assert said == "Job nobody not found."
    glue.refused("EntityNotFoundException", glue.client.start_job_run, JobName="nobody")


def test_an_unknown_run_is_not_found(glue: World) -> None:
    job = glue.job()
    run = glue.run(job)
    for text in (
        "jr_" + "0" * 64,
        "jr_x",
        run["Id"][:-1] + ("0" if run["Id"][-1] != "0" else "1"),
        f"{run['Id']}_attempt_1",
    ):
        said = glue.refused("EntityNotFoundException", glue.client.get_job_run, JobName=job, RunId=text)
        assert said == f"Job run {text} not found."


def test_a_run_is_found_under_its_own_job_only(glue: World) -> None:
    job, other = glue.job(), glue.job()
    run = glue.run(job)
    glue.refused("EntityNotFoundException", glue.client.get_job_run, JobName=other, RunId=run["Id"])


def test_predecessors_may_be_asked_for(glue: World) -> None:
    job = glue.job()
    run_id = glue.run(job)["Id"]
    run = glue.client.get_job_run(JobName=job, RunId=run_id, PredecessorsIncluded=True)["JobRun"]
    assert run["PredecessorRuns"] == []


def test_a_run_by_the_id_of_an_earlier_one_takes_its_arguments(glue: World) -> None:
    job = glue.job(DefaultArguments={"--a": "default"})
    first = glue.run(job, Arguments={"--a": "1"})
    again = glue.run(job, JobRunId=first["Id"])
    assert (again["PreviousRunId"], again["Attempt"], again["Arguments"]) == (first["Id"], 0, {"--a": "1"})
    other = glue.run(job, JobRunId=first["Id"], Arguments={"--b": "2"})
    assert other["Arguments"] == {"--a": "default", "--b": "2"}
    glue.refused("EntityNotFoundException", glue.client.start_job_run, JobName=job, JobRunId="jr_" + "0" * 64)
    glue.refused("EntityNotFoundException", glue.client.start_job_run, JobName=glue.job(), JobRunId=first["Id"])


def test_capacity_fields_of_a_run_are_kept_and_shown(glue: World) -> None:
    job = glue.job(command="glueetl")
    asked: dict[str, Any] = {
        "WorkerType": "G.2X",
        "NumberOfWorkers": 3,
        "SecurityConfiguration": "sec",
        "NotificationProperty": {"NotifyDelayAfter": 2},
        "ExecutionClass": "FLEX",
        "ExecutionRoleSessionPolicy": "{}",
    }
    run = glue.run(job, **asked)
    assert {key: run[key] for key in asked} == asked
    assert (run["MaxCapacity"], run["AllocatedCapacity"], run["LogGroupName"]) == (6.0, 6, "/aws-glue/jobs")


@pytest.mark.parametrize("dpu", [2, 100])
def test_allocated_capacity_at_its_bounds_is_taken(glue: World, dpu: int) -> None:
    run = glue.run(glue.job(command="glueetl"), AllocatedCapacity=dpu)
    assert (run["AllocatedCapacity"], run["MaxCapacity"]) == (dpu, float(dpu))


@pytest.mark.parametrize("dpu", [1, 101, -5])
def test_allocated_capacity_outside_its_bounds_is_refused(glue: World, dpu: int) -> None:
    job = glue.job(command="glueetl")
    glue.refused("InvalidInputException", glue.client.start_job_run, JobName=job, AllocatedCapacity=dpu)
    assert glue.client.get_job_runs(JobName=job)["JobRuns"] == []


def test_both_capacities_at_once_are_refused_in_glues_words(glue: World) -> None:
    job = glue.job(command="glueetl")
    said = glue.refused(
        "InvalidInputException", glue.client.start_job_run, JobName=job, AllocatedCapacity=2, MaxCapacity=2.0
    )
    assert said == "Please set only Allocated Capacity or Max Capacity"


def test_arguments_over_the_size_limit_are_refused(glue: World) -> None:
    job = glue.job()
    said = glue.refused(
        "InvalidInputException", glue.client.start_job_run, JobName=job, Arguments={"--a": "x" * 270_000}
    )
    assert said.startswith("Request size limit exceeded")


def test_the_history_of_a_deleted_job_can_still_be_asked_for_by_id(glue: World) -> None:
    job = glue.job()
    run = glue.run(job)
    glue.client.delete_job(JobName=job)
    assert glue.get(job, run["Id"])["JobRunState"] == "SUCCEEDED"
    glue.refused("EntityNotFoundException", glue.client.get_job_runs, JobName=job)


def test_a_native_client_sees_the_run_too(glue: World) -> None:
    job = glue.job()
    glue.run(job, Arguments={"--a": "1"})
    found = glue.http.get("/api/v1/runs", params={"origin": "glue", "name": job}).json()["items"]
    assert [run["state"] for run in found] == ["succeeded"]
    assert found[0]["parameters"]["arguments"] == {"--a": "1"}


def test_over_the_accounts_limit_a_start_without_queuing_is_refused(glue: World) -> None:
    job = glue.job(ExecutionProperty={"MaxConcurrentRuns": 100})
    glue.http.put("/api/v1/queues/default", json={"paused": True})
    try:
        started = [glue.start(job) for _ in range(50)]
        said = glue.refused("ResourceNumberLimitExceededException", glue.client.start_job_run, JobName=job)
        assert "50 concurrent job runs" in said
        assert glue.get(job, glue.start(job, JobRunQueuingEnabled=True))["JobRunState"] == "WAITING"
        assert len(glue.client.get_job_runs(JobName=job)["JobRuns"]) == len(started) + 1
    finally:
        glue.stop_all()
        glue.http.put("/api/v1/queues/default", json={"paused": False})
