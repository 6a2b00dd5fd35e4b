"""Kept jobs through the public API of a real server."""

import time
from typing import Any

import pytest

from tests.api.helpers import Api, shell, spec


@pytest.fixture
def job(api: Api) -> dict[str, Any]:
    return dict(api.call("POST", "/jobs", 201, json=spec(shell("a"), parameters={"day": "1"})))


def test_a_job_is_kept_and_told_as_it_was_given(api: Api, job: dict[str, Any]) -> None:
    assert api.call("GET", f"/jobs/{job['id']}") == job
    assert (job["version"], job["name"], job["owner"], job["origin"]) == (1, "job", "admin", "native")
    assert job["spec"]["parameters"] == {"day": "1"}


def test_a_job_runs_by_its_id_with_parameters_over_its_own(api: Api, job: dict[str, Any]) -> None:
    run = api.call("POST", "/runs", 201, json={"job": job["id"], "parameters": {"day": "2"}})
    assert (run["job_id"], run["job_version"], run["parameters"]) == (job["id"], 1, {"day": "2"})
    api.wait(run)
    assert [one["id"] for one in api.call("GET", f"/runs?job={job['id']}")["items"]] == [run["id"]]


def test_an_unknown_parameter_is_refused(api: Api, job: dict[str, Any]) -> None:
    problem = api.refused("POST", "/runs", 400, json={"job": job["id"], "parameters": {"dy": "2"}})
    assert "dy" in problem["detail"]


def test_a_change_makes_a_version_and_a_stale_one_is_refused(api: Api, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['id']}"
    assert api.http.get(f"/api/v1{path}").headers["etag"] == '"1"'
    changed = api.call("PUT", path, json=spec(shell("b")), headers={"If-Match": '"1"'})
    assert (changed["version"], changed["spec"]["tasks"][0]["key"]) == (2, "b")
    api.refused("PUT", path, 409, json=spec(shell("c")), headers={"If-Match": "1"})
    versions = api.call("GET", f"{path}/versions")["items"]
    assert [one["version"] for one in versions] == [2, 1]
    assert api.call("GET", f"{path}/versions/1")["spec"]["tasks"][0]["key"] == "a"
    api.refused("GET", f"{path}/versions/3", 404)


def test_a_wrong_if_match_names_the_header(api: Api, job: dict[str, Any]) -> None:
    problem = api.refused("PUT", f"/jobs/{job['id']}", 400, json=spec(), headers={"If-Match": "newest"})
    assert problem["field"] == "If-Match"


def test_a_key_finds_its_job_and_is_taken_once(api: Api) -> None:
    key = f"key/{time.monotonic_ns()}"
    job = api.call("POST", "/jobs", 201, params={"key": key}, json=spec())
    assert [one["id"] for one in api.call("GET", "/jobs", params={"key": key})["items"]] == [job["id"]]
    assert api.refused("POST", "/jobs", 409, params={"key": key}, json=spec())["code"] == "already_exists"


def test_jobs_are_paged_newest_first(api: Api) -> None:
    name = f"job {time.monotonic_ns()}"
    ids = [api.call("POST", "/jobs", 201, json={**spec(), "name": name})["id"] for _ in range(3)]
    first = api.call("GET", "/jobs", params={"name": name, "limit": 2})
    rest = api.call("GET", "/jobs", params={"name": name, "limit": 2, "cursor": first["next"]})
    assert [one["id"] for one in first["items"] + rest["items"]] == ids[::-1]
    assert "next" not in rest


def test_a_deleted_job_is_gone_and_its_runs_stay(api: Api, job: dict[str, Any]) -> None:
    run = api.wait(api.call("POST", "/runs", 201, json={"job": job["id"]}))
    api.call("DELETE", f"/jobs/{job['id']}", 204)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel-runs")):
        if path == "":
            api.refused(method, f"/jobs/{job['id']}{path}", 404)
    api.refused("PUT", f"/jobs/{job['id']}", 404, json=spec())
    api.refused("POST", "/runs", 404, json={"job": job["id"]})
    assert api.call("GET", f"/runs/{run['id']}")["state"] == "succeeded"


def test_all_runs_of_a_job_are_cancelled(api: Api) -> None:
    job = api.call("POST", "/jobs", 201, json=spec(shell("a", "sleep 30")))
    runs = [api.call("POST", "/runs", 201, json={"job": job["id"]}) for _ in range(3)]
    assert api.call("POST", f"/jobs/{job['id']}/cancel-runs") == {"cancelled": 3}
    assert {api.wait(run)["state"] for run in runs} == {"cancelled"}


def test_a_wrong_definition_is_refused_and_nothing_is_kept(api: Api) -> None:
    name = f"wrong {time.monotonic_ns()}"
    problem = api.refused("POST", "/jobs", 400, json={"name": name, "tasks": [shell("a", needs=[{"task": "b"}])]})
    assert problem["field"].startswith("tasks[0].needs")
    api.refused("POST", "/jobs?kye=x", 400, json={"name": name, "tasks": [shell()]})
    assert api.call("GET", "/jobs", params={"name": name})["items"] == []
