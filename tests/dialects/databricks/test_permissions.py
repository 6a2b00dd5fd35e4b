"""Lists of who may do what with a job: held for whoever is no administrator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live_server import live_server

from .conftest import Rest, condition

SCOPES = ["jobs:read", "jobs:write", "runs:read", "runs:write"]
ADMIN = "the-operator"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("permissions")


@pytest.fixture(scope="module")
def people(folder: Path) -> Iterator[dict[str, Rest]]:
    """The operator, and four who hold all scopes of jobs and runs."""
    with live_server(folder, "--token", ADMIN) as url, httpx.Client(base_url=url, timeout=30) as http:
        http.headers["Authorization"] = f"Bearer {ADMIN}"
        found = {"admin": Rest(http, "2.2", folder)}
        for name in ("owner", "manager", "runner", "viewer", "nobody"):
            made = http.post("/api/v1/principals", json={"name": name, "scopes": SCOPES}).json()
            client = httpx.Client(base_url=url, timeout=30, headers={"Authorization": f"Bearer {made['token']}"})
            found[name] = Rest(client, "2.2", folder)
        yield found
        for rest in found.values():
            rest.http.close()


ACCESS = [
    {"user_name": "manager", "permission_level": "CAN_MANAGE"},
    {"user_name": "runner", "permission_level": "CAN_MANAGE_RUN"},
    {"service_principal_name": "viewer", "permission_level": "CAN_VIEW"},
]


@pytest.fixture(scope="module")
def job(people: dict[str, Rest]) -> int:
    return people["owner"].create(condition("c"), name="guarded", access_control_list=ACCESS)


CALLS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("GET", "/jobs/get", {}, ["admin", "owner", "manager", "runner", "viewer"]),
    ("GET", "/permissions/jobs/{job}", {}, ["admin", "owner", "manager", "runner", "viewer"]),
    ("POST", "/jobs/run-now", {}, ["admin", "owner", "manager", "runner"]),
    ("POST", "/jobs/runs/cancel-all", {}, ["admin", "owner", "manager", "runner"]),
    ("POST", "/jobs/update", {"new_settings": {"description": "d"}}, ["admin", "owner", "manager"]),
    ("POST", "/jobs/reset", {"new_settings": {"name": "guarded", "tasks": [condition("c")]}},
     ["admin", "owner", "manager"]),
    ("PATCH", "/permissions/jobs/{job}", {"access_control_list": [ACCESS[2]]}, ["admin", "owner", "manager"]),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "allowed"), CALLS, ids=lambda one: str(one)[:30])
def test_each_call_asks_for_its_level(
    people: dict[str, Rest], job: int, method: str, path: str, body: dict[str, Any], allowed: list[str]
) -> None:
    for name, rest in people.items():
        given = {"job_id": job, **body}
        asked: dict[str, Any] = {"params": given} if method == "GET" else {"json": given}
        answer = rest.http.request(method, f"/api/2.2{path.format(job=job)}", **asked)
        assert answer.status_code == (200 if name in allowed else 403), (name, answer.text)
        if name not in allowed:
            assert answer.json()["error_code"] == "PERMISSION_DENIED"


def test_the_words_of_a_refusal_are_the_services(people: dict[str, Rest], job: int) -> None:
    nobody = people["nobody"]
    found = nobody.call("GET", "/jobs/get", 403, params={"job_id": job})["message"]
    assert found == f"User nobody does not have View or Admin or Manage Run or Owner permissions on job {job}"
    found = nobody.refused("/jobs/delete", "PERMISSION_DENIED", 403, job_id=job)
    assert found == f"User nobody does not have Admin or Owner permissions on job {job}"
    found = nobody.call("PATCH", f"/permissions/jobs/{job}", 403, json={"access_control_list": ACCESS})["message"]
    assert found.startswith(f"nobody does not have Manage permissions on Job with ID: ElasticJobId({job}).")


def test_runs_belong_to_their_job(people: dict[str, Rest], job: int) -> None:
    run = people["runner"].until(people["runner"].start(job))
    task_run = run["tasks"][0]["run_id"]
    for run_id in (run["run_id"], task_run):
        assert people["viewer"].run(run_id)
        people["nobody"].call("GET", "/jobs/runs/get", 403, params={"run_id": run_id})
        people["viewer"].refused("/jobs/runs/cancel", "PERMISSION_DENIED", 403, run_id=run_id)
    people["nobody"].call("GET", "/jobs/runs/get-output", 403, params={"run_id": task_run})
    people["nobody"].call("GET", "/jobs/runs/export", 403, params={"run_id": task_run})
    people["viewer"].refused("/jobs/runs/repair", "PERMISSION_DENIED", 403, run_id=run["run_id"], rerun_tasks=["c"])
    people["runner"].refused("/jobs/runs/delete", "PERMISSION_DENIED", 403, run_id=run["run_id"])
    assert people["manager"].post("/jobs/runs/delete", run_id=run["run_id"]) == {}


def test_lists_leave_out_what_a_caller_may_not_see(people: dict[str, Rest], job: int) -> None:
    people["runner"].until(people["runner"].start(job))
    free = people["owner"].create(condition("c"), name="free")
    for name, seen in (("viewer", True), ("nobody", False)):
        ids = {one["job_id"] for one in people[name].get("/jobs/list")["jobs"]}
        assert (job in ids, free in ids) == (seen, True)
        runs = people[name].get("/jobs/runs/list").get("runs", [])
        assert any(run["job_id"] == job for run in runs) is seen


def test_a_submission_can_be_kept_to_some_too(people: dict[str, Rest]) -> None:
    run_id = people["owner"].post("/jobs/runs/submit", tasks=[condition("c")], access_control_list=[ACCESS[2]])[
        "run_id"
    ]
    assert people["viewer"].run(run_id)
    people["nobody"].call("GET", "/jobs/runs/get", 403, params={"run_id": run_id})


def test_nobody_starts_a_job_through_a_job_of_their_own(people: dict[str, Rest], job: int) -> None:
    task = {"task_key": "t", "run_job_task": {"job_id": job}}
    people["viewer"].refused("/jobs/create", "PERMISSION_DENIED", 403, name="sly", tasks=[task])
    people["viewer"].refused("/jobs/runs/submit", "PERMISSION_DENIED", 403, tasks=[task])
    own = people["viewer"].create(condition("c"))
    people["viewer"].refused("/jobs/update", "PERMISSION_DENIED", 403, job_id=own, new_settings={"tasks": [task]})
    assert people["runner"].create(task)


def test_only_the_owner_or_an_administrator_gives_a_job_away(people: dict[str, Rest]) -> None:
    job = people["owner"].create(condition("c"), access_control_list=ACCESS)
    own = {"access_control_list": [{"user_name": "manager", "permission_level": "IS_OWNER"}]}
    people["manager"].call("PATCH", f"/permissions/jobs/{job}", 403, json=own)
    people["manager"].call("PUT", f"/permissions/jobs/{job}", 403, json=own)
    assert people["owner"].call("PATCH", f"/permissions/jobs/{job}", json=own)
    people["owner"].call("GET", "/jobs/get", 403, params={"job_id": job})


def test_the_group_of_all_users_is_everybody(people: dict[str, Rest]) -> None:
    everybody = [{"group_name": "users", "permission_level": "CAN_VIEW"}]
    job = people["owner"].create(condition("c"), access_control_list=everybody)
    assert people["nobody"].get("/jobs/get", job_id=job)
    people["nobody"].refused("/jobs/run-now", "PERMISSION_DENIED", 403, job_id=job)
