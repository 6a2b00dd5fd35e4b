"""The published page of the resource `job_runs`, line by line: its fields, methods, parameters, values and calls.

What works elsewhere in these tests is not told again: repairs in test_graphs, triggers in test_triggers, states in
test_tables, and what is never done on the dialect's page.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import pytest

from .conftest import OVER, Rest, broken, condition, needs

FIELDS = re.findall(
    r"\w+",
    """effective_usage_policy_id job_id job_run_id original_attempt_run_id run_id creator_user_name run_name
attempt_number cleanup_duration cluster_instance cluster_spec description effective_performance_target end_time
execution_duration git_source has_more iterations job_clusters job_parameters next_page_token number_in_job
overriding_parameters queue_duration repair_history run_duration run_page_url run_type schedule setup_duration
start_time state status tasks trigger trigger_info""",
)
SLOW = "import time\ntime.sleep(60)"


@pytest.fixture(scope="module")
def seen(rest: Rest, rest20: Rest) -> dict[str, Any]:
    """Every field that runs showed, with one of its values, from a few runs that have something to show."""
    found: dict[str, Any] = {}

    def look(run_id: int, version: Rest = rest, **query: Any) -> dict[str, Any]:
        run = version.run(run_id, **query)
        found.update(run)
        return run

    cluster = {"job_cluster_key": "c", "new_cluster": {"num_workers": 1}}
    many = [condition(f"t{n}") for n in range(101)]
    submitted = rest.post(
        "/jobs/runs/submit",
        run_name="published",
        tasks=many,
        budget_policy_id="b",
        usage_policy_id="u",
        performance_target="PERFORMANCE_OPTIMIZED",
        git_source={"git_url": "https://git.example.com/x.git", "git_provider": "gitHub", "git_branch": "main"},
    )["run_id"]
    rest.until(submitted)
    look(submitted)
    each = {"inputs": "[1]", "task": {**rest.python("one"), "task_key": "one"}}
    job = rest.create(
        {"task_key": "each", "for_each_task": each},
        description="what it does",
        job_clusters=[cluster],
        parameters=[{"name": "p", "default": "1"}],
    )
    run = rest.until(rest.start(job, python_params=["x"]))
    look(run["run_id"], include_history="true")
    look(rest.run(run["run_id"])["tasks"][0]["run_id"])
    single = rest20.post("/jobs/create", name="single", **_single(rest, "print(1)"))["job_id"]
    look(rest20.until(rest20.start(single))["run_id"], rest20)
    look(_queued(rest))
    look(_child(rest))
    look(_periodic(rest))
    return found


def _single(rest: Rest, text: str) -> dict[str, Any]:
    task = rest.python("single", text)
    return {"spark_python_task": task["spark_python_task"], "existing_cluster_id": "abc"}


def _queued(rest: Rest) -> int:
    job = rest.create(rest.python("slow", SLOW), max_concurrent_runs=1)
    first, second = rest.start(job), rest.start(job)
    time.sleep(0.05)
    rest.post("/jobs/runs/cancel", run_id=first)
    rest.until(second, "RUNNING")
    rest.post("/jobs/runs/cancel", run_id=second)
    return int(rest.until(second)["run_id"])


def _child(rest: Rest) -> int:
    inner = rest.create(condition("c"))
    run = rest.ended(rest.create({"task_key": "call", "run_job_task": {"job_id": inner}}))
    output = rest.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])
    return int(output["run_job_output"]["run_id"])


def _periodic(rest: Rest) -> int:
    job = rest.create(condition("c"), schedule={"quartz_cron_expression": "* * * * * ?", "timezone_id": "UTC"})
    deadline = time.monotonic() + 15
    while not (runs := rest.get("/jobs/runs/list", job_id=job).get("runs")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    rest.post("/jobs/delete", job_id=job)
    return int(runs[0]["run_id"])


@pytest.mark.parametrize("field", FIELDS)
def test_a_run_shows_the_field(seen: dict[str, Any], field: str) -> None:
    assert field in seen


def test_what_the_page_says_of_ids_holds(rest: Rest) -> None:
    run = rest.ended(rest.create(rest.python("main", "raise SystemExit(1)", max_retries=1)))
    whole = rest.run(run["run_id"])
    assert whole["number_in_job"] == whole["job_run_id"] == whole["original_attempt_run_id"] == run["run_id"]
    first, second = sorted(whole["tasks"], key=lambda one: one["attempt_number"])
    task_run = rest.run(second["run_id"])
    assert (task_run["job_run_id"], task_run["original_attempt_run_id"]) == (run["run_id"], first["run_id"])
    assert (first["attempt_number"], second["attempt_number"]) == (0, 1)


def test_what_the_page_says_of_durations_holds(rest: Rest) -> None:
    slow = rest.python("a", "import time\ntime.sleep(0.05)")
    run = rest.ended(rest.create(slow, rest.python("b", "print(1)", depends_on=needs("a"))))
    assert (run["setup_duration"], run["execution_duration"], run["cleanup_duration"]) == (0, 0, 0)
    assert run["run_duration"] == run["end_time"] - run["start_time"]
    live = rest.start(rest.create(rest.python("slow", SLOW)))
    assert rest.until(live, "RUNNING")["end_time"] == 0
    rest.post("/jobs/runs/cancel", run_id=live)
    for task in run["tasks"]:
        whole = task["setup_duration"] + task["execution_duration"] + task["cleanup_duration"]
        assert whole == task["end_time"] - task["start_time"]


@pytest.mark.parametrize("target", ["STANDARD", "PERFORMANCE_OPTIMIZED"])
def test_the_performance_target_is_shown_as_the_effective_one(rest: Rest, target: str) -> None:
    run_id = rest.post("/jobs/runs/submit", tasks=[condition("c")], performance_target=target)["run_id"]
    run = rest.run(run_id)
    assert run["effective_performance_target"] == run["tasks"][0]["effective_performance_target"] == target


def test_a_rerun_of_a_failed_run_is_a_retry(rest: Rest) -> None:
    run = rest.ended(rest.create(broken("a")))
    again = rest.http.post(f"/api/v1/runs/{run['run_id']}/rerun", json={})
    assert rest.run(again.json()["id"])["trigger"] == "RETRY"


def test_the_run_types_are_told_apart_in_lists(rest: Rest) -> None:
    job_run = rest.start(rest.create(condition("c")))
    submission = rest.post("/jobs/runs/submit", tasks=[condition("c")])["run_id"]
    put = base64.b64encode(b"# Databricks notebook source\ndbutils.notebook.run('/Users/dev/leaf', 60)").decode()
    leaf = base64.b64encode(b"# Databricks notebook source\nprint(1)").decode()
    for path, content in (("/Users/dev/leaf", leaf), ("/Users/dev/root", put)):
        given = {"path": path, "content": content, "format": "SOURCE", "language": "PYTHON", "overwrite": True}
        rest.call("POST", "/workspace/import", json=given)
    rest.ended(rest.create({"task_key": "n", "notebook_task": {"notebook_path": "/Users/dev/root"}}))
    for type_, run_id in (("JOB_RUN", job_run), ("SUBMIT_RUN", submission), ("WORKFLOW_RUN", None)):
        runs = rest.get("/jobs/runs/list", run_type=type_, limit=26)["runs"]
        assert {run["run_type"] for run in runs} == {type_}
        assert run_id is None or run_id in {run["run_id"] for run in runs}


def test_lists_are_descending_and_their_filters_hold_together(rest: Rest) -> None:
    job = rest.create(condition("c"))
    runs = [rest.ended(job) for _ in range(3)]
    times = [one["start_time"] for one in rest.get("/jobs/runs/list", job_id=job)["runs"]]
    assert times == sorted(times, reverse=True)
    middle = runs[1]["start_time"]
    asked = {"job_id": job, "completed_only": "true", "start_time_from": middle, "start_time_to": middle, "limit": 5}
    found = rest.get("/jobs/runs/list", **asked, offset=0, expand_tasks="true", run_type="JOB_RUN")["runs"]
    assert [one["run_id"] for one in found] == [runs[1]["run_id"]]
    assert found[0]["tasks"][0]["task_key"] == "c"
    assert "runs" not in rest.get("/jobs/runs/list", job_id=job, active_only="true")
    rest.call("GET", "/jobs/runs/list", 400, params={"active_only": "true", "completed_only": "true"})


def test_a_limit_of_0_is_the_most(rest: Rest) -> None:
    job = rest.create(condition("c"), max_concurrent_runs=1000)
    for _ in range(27):
        rest.start(job)
    assert len(rest.get("/jobs/runs/list", job_id=job, limit=0)["runs"]) == 26
    assert len(rest.get("/jobs/runs/list", job_id=job)["runs"]) == 20


def test_a_submission_takes_every_field_of_the_page(rest: Rest) -> None:
    given: dict[str, Any] = {
        "access_control_list": [{"user_name": "ann", "permission_level": "CAN_VIEW"}],
        "budget_policy_id": "b",
        "email_notifications": {"no_alert_for_skipped_runs": True},
        "environments": [{"environment_key": "e", "spec": {"client": "1", "dependencies": []}}],
        "git_source": {"git_url": "https://git.example.com/x.git", "git_provider": "gitHub", "git_tag": "v1"},
        "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 10}]},
        "idempotency_token": f"page-{time.time()}",
        "notification_settings": {"no_alert_for_canceled_runs": True},
        "queue": {"enabled": True},
        "run_as": {"user_name": "ann"},
        "run_name": "n" * 4096,
        "tasks": [condition("c")],
        "timeout_seconds": 60,
        "usage_policy_id": "u",
        "webhook_notifications": {},
    }
    run_id = rest.post("/jobs/runs/submit", **given)["run_id"]
    run = rest.until(run_id)
    assert (run["run_name"], run["effective_usage_policy_id"], run["trigger"]) == (given["run_name"], "u", "ONE_TIME")
    assert run["state"]["result_state"] == "SUCCESS"
    rest.refused("/jobs/runs/submit", **{**given, "run_name": "n" * 4097, "idempotency_token": "other"})


@pytest.mark.parametrize(("views", "count"), [("CODE", 1), ("ALL", 1), ("DASHBOARDS", 0)])
def test_the_views_of_an_export_are_those_that_are_asked_for(rest: Rest, views: str, count: int) -> None:
    run = rest.ended(rest.create(rest.python("main")))
    found = rest.get("/jobs/runs/export", run_id=run["tasks"][0]["run_id"], views_to_export=views)["views"]
    assert len(found) == count


def test_an_active_run_is_not_deleted_and_one_that_is_over_is(rest: Rest) -> None:
    run_id = rest.start(rest.create(rest.python("slow", SLOW)))
    rest.refused("/jobs/runs/delete", "INVALID_STATE", run_id=run_id)
    rest.post("/jobs/runs/cancel", run_id=run_id)
    rest.until(run_id, *OVER)
    assert rest.post("/jobs/runs/delete", run_id=run_id) == {}
    rest.call("GET", "/jobs/runs/get", 400, params={"run_id": run_id})


def test_cancel_all_ends_the_runs_of_a_job_or_those_that_are_queued(rest: Rest) -> None:
    job = rest.create(rest.python("slow", SLOW), max_concurrent_runs=1)
    first, second, third = rest.start(job), rest.start(job), rest.start(job)
    rest.until(second, "QUEUED")
    rest.post("/jobs/runs/cancel-all", job_id=job, all_queued_runs=True)
    for run_id in (second, third):
        assert rest.until(run_id)["state"]["result_state"] == "CANCELED"
    assert rest.until(first, "RUNNING")
    rest.post("/jobs/runs/cancel-all", job_id=job)
    assert rest.until(first)["state"]["result_state"] == "CANCELED"
    assert rest.start(job)  # new runs are not prevented
    rest.post("/jobs/runs/cancel-all", job_id=job)
