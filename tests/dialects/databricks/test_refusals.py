"""Bad input: the service's shape and, where it is known, its words; nothing is stored."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live_server import live_server

from .conftest import Rest, condition, needs

PYTHON = {"spark_python_task": {"python_file": "/tmp/x.py"}}

WRONG_JOBS: list[tuple[dict[str, Any], str]] = [
    ({"tasks": [condition("a", depends_on=needs("a"))]}, "needs itself"),
    ({"tasks": [condition("a", depends_on=needs("b")), condition("b", depends_on=needs("a"))]}, "circle"),
    ({"tasks": [condition("a"), condition("a")]}, "task_key 'a'"),
    ({"tasks": [condition("a", depends_on=needs("x"))]}, "'x'"),
    ({"tasks": [{"task_key": "a"}]}, "exactly one kind of work"),
    ({"tasks": [{"task_key": "a", **PYTHON, "condition_task": {}}]}, "exactly one kind of work"),
    ({"tasks": [PYTHON]}, "needs a task_key"),
    ({"tasks": [{"task_key": "a", **PYTHON, "job_cluster_key": "none"}]}, "job_cluster_key 'none'"),
    ({"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "s3://b/x.py"}}]}, "cannot be read here"),
    ({"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "dbfs:/../x"}}]}, "may not hold '..'"),
    ({"tasks": [{"task_key": "a", "pipeline_task": {"pipeline_id": "p"}}]}, "record_only"),
    ({"tasks": [{"task_key": "a", "for_each_task": {"inputs": "{}", "task": PYTHON}}]}, "JSON array"),
    (
        {"tasks": [{"task_key": "a", "for_each_task": {"inputs": "[]", "concurrency": 101, "task": PYTHON}}]},
        "1 to 100",
    ),
    ({"tasks": [condition(f"t{n}") for n in range(1001)]}, "1000 tasks"),
    ({"name": "x" * 4097}, "4096 bytes"),
    ({"description": "x" * 27_701}, "27700 characters"),
    ({"tags": {str(n): "" for n in range(26)}}, "25 tags"),
    ({"max_concurrent_runs": 1001}, "cannot exceed 1000"),
    ({"timeout_seconds": -1}, "0 or more"),
    (
        {"job_clusters": [{"job_cluster_key": "c", "new_cluster": {}}]},
        "Shared job cluster feature is only supported in multi-task jobs.",
    ),
    ({"job_clusters": [{"job_cluster_key": "c", "libraries": [{"whl": "x"}]}]}, "Libraries cannot be declared"),
    (
        {"git_source": {"git_url": "https://x/y.git"}},
        "git_source.git_provider must be one of: github,gitlab,bitbucketcloud,gitlabenterpriseedition,"
        "bitbucketserver,azuredevopsservices,githubenterprise,awscodecommit",
    ),
    ({"git_source": {"git_url": "https://x/y", "git_provider": "gitHub", "git_branch": "--upload-pack=x"}}, "no name"),
    ({"schedule": {"quartz_cron_expression": "0 0 12 * * ?"}}, "timezone_id"),
    (
        {"schedule": {"quartz_cron_expression": "0 12 * * *", "timezone_id": "UTC"}},
        "Invalid quartz_cron_expression: 0 12 * * *. Databricks uses Quartz cron syntax, which is different from the "
        "standard cron syntax. See http://www.quartz-scheduler.org/documentation/quartz-2.1.x/tutorials/"
        "crontrigger.html for more details.",
    ),
    (
        {"schedule": {"quartz_cron_expression": "0 1 0 8 Apr ? 2021", "timezone_id": "UTC"}},
        "The provided cron expression: 0 1 0 8 Apr ? 2021 will never fire.",
    ),
    (
        {"schedule": {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "Mars/One"}},
        "Invalid timezone_id: Mars/One.",
    ),
    (
        {
            "schedule": {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC"},
            "continuous": {"pause_status": "PAUSED"},
        },
        "only one of",
    ),
    ({"parameters": [{"name": "p"}, {"name": "p"}]}, "needs its own"),
]


@pytest.mark.parametrize(("settings", "said"), WRONG_JOBS, ids=lambda one: one[:40] if isinstance(one, str) else "")
def test_a_wrong_job_is_refused_and_nothing_is_kept(rest: Rest, settings: dict[str, Any], said: str) -> None:
    before = rest.get("/jobs/list", limit=1)["jobs"][0]["job_id"] if rest.get("/jobs/list", limit=1) else 0
    assert said in rest.refused("/jobs/create", **settings)
    assert (rest.get("/jobs/list", limit=1).get("jobs") or [{"job_id": 0}])[0]["job_id"] == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"job_id": 1, "notebook_params": "text"},
            "Could not parse request object: Expected object for field notebook_params, found STRING",
        ),
        ({"job_id": "abc"}, "Could not parse request object: Expected number for field job_id, found STRING"),
        ({"job_id": [1]}, "Could not parse request object: Expected number for field job_id, found LIST"),
        ({"job_id": 1, "only": {}}, "Could not parse request object: Expected list for field only, found OBJECT"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_malformed_request(rest: Rest, body: dict[str, Any], said: str) -> None:
    assert rest.refused("/jobs/run-now", "MALFORMED_REQUEST", **body) == said


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "\x00"])
def test_a_body_that_is_no_object_is_a_malformed_request(rest: Rest, content: str) -> None:
    assert rest.call("POST", "/jobs/create", 400, content=content)["error_code"] == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/run-now", {}),
        ("/jobs/delete", {}),
        ("/jobs/reset", {"new_settings": {}}),
        ("/jobs/runs/cancel", {}),
        ("/jobs/runs/delete", {}),
        ("/jobs/runs/repair", {}),
        ("/jobs/runs/cancel-all", {}),
    ],
)
def test_a_missing_field_is_named(rest: Rest, path: str, body: dict[str, Any]) -> None:
    assert "Missing required field" in rest.refused(path, **body)


@pytest.mark.parametrize("token", ["x", "AAAA", "CAEQ97q7kfwx", "eA=="])
def test_a_page_token_that_is_not_ours_is_refused(rest: Rest, token: str) -> None:
    for path in ("/jobs/list", "/jobs/runs/list"):
        assert rest.call("GET", path, 400, params={"page_token": token})["message"].startswith("Invalid page token")


def test_an_unknown_word_names_those_that_are_known(rest: Rest) -> None:
    said = rest.refused("/jobs/create", tasks=[condition("a", run_if="SOMETIMES")])
    assert "ALL_DONE, ALL_FAILED, ALL_SUCCESS" in said


def test_what_is_active_is_neither_deleted_nor_repaired(rest: Rest) -> None:
    run_id = rest.start(rest.create(rest.python("slow", "import time\ntime.sleep(60)")))
    assert "cancel it" in rest.refused("/jobs/runs/delete", "INVALID_STATE", run_id=run_id)
    assert "still active" in rest.refused("/jobs/runs/repair", "INVALID_STATE", run_id=run_id, rerun_tasks=["slow"])
    rest.post("/jobs/runs/cancel", run_id=run_id)
    rest.until(run_id)


def test_a_missing_program_is_told_when_it_runs(rest: Rest) -> None:
    task = {"task_key": "a", "spark_python_task": {"python_file": "dbfs:/no/such.py"}}
    run = rest.ended(rest.create(task))
    assert run["tasks"][0]["status"]["termination_details"]["code"] == "RESOURCE_NOT_FOUND"
    assert "No such file" in rest.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])["error"]


def test_a_call_without_a_token_is_unauthenticated_and_the_first_question_is_not(tmp_path: Path) -> None:
    with live_server(tmp_path, "--token", "secret") as url:
        answer = httpx.get(f"{url}/api/2.2/jobs/list")
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
        assert httpx.get(f"{url}/.well-known/databricks-config").status_code == 200
        for auth in ({"Authorization": "Bearer secret"}, {"Authorization": "Basic dG9rZW46c2VjcmV0"}):
            assert httpx.get(f"{url}/api/2.2/jobs/list", headers=auth).json() == {}
        # Some clients send the whole address on the first line, as to a proxy: their own drops the port otherwise.
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as plain:
            head = "GET http://jobs.local/api/2.1/jobs/list HTTP/1.1\r\nHost: jobs.local\r\n"
            plain.sendall(f"{head}Authorization: Bearer secret\r\nConnection: close\r\n\r\n".encode())
            with plain.makefile("rb") as whole:
                assert whole.read().endswith(b'{"has_more":false}')
