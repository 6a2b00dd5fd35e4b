"""Runs through the public API of a real server."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.api.helpers import Api, shell, spec


def test_a_run_is_submitted_runs_and_is_told_with_its_tasks(api: Api) -> None:
    run = api.submit(shell("second", needs=[{"task": "first"}]), shell("first"), parameters={})
    assert run["submitted_by"] == "admin"
    done = api.wait(run)
    assert (done["state"], done["ended_at"] >= done["started_at"]) == ("succeeded", True)
    assert [(task["task_key"], task["kind"], task["state"]) for task in done["tasks"]] == [
        ("second", "shell", "succeeded"),
        ("first", "shell", "succeeded"),
    ]
    assert done["tasks"][0]["needs"] == [{"task": "first"}]
    assert "spec" not in done


def test_the_definition_of_a_run_is_given_when_asked_for(api: Api) -> None:
    run = api.submit(shell("only"))
    assert api.call("GET", f"/runs/{run['id']}?include=spec")["spec"]["tasks"][0]["key"] == "only"


def test_a_submission_tells_where_the_run_is(api: Api) -> None:
    answer = api.http.post("/api/v1/runs", json={"spec": spec()})
    assert api.http.get(answer.headers["location"]).json()["id"] == answer.json()["id"]


def test_the_same_idempotency_key_and_body_answer_with_the_first_run(api: Api) -> None:
    headers = {"Idempotency-Key": f"key {time.monotonic_ns()}"}
    first = api.call("POST", "/runs", 201, json={"spec": spec()}, headers=headers)
    assert api.call("POST", "/runs", 200, json={"spec": spec()}, headers=headers)["id"] == first["id"]
    api.refused("POST", "/runs", 409, json={"spec": spec(shell("other"))}, headers=headers)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_of_the_wrong_length_is_refused(api: Api, key: str) -> None:
    problem = api.refused("POST", "/runs", 400, json={"spec": spec()}, headers={"Idempotency-Key": key})
    assert problem["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "job"),
        ({"job": 1, "spec": spec()}, "job"),
        ({"spec": spec(), "prameters": {}}, "prameters"),
        ({"spec": spec(), "priority": "high"}, "priority"),
        ({"spec": {**spec(), "taks": []}}, "spec.taks"),
        ({"spec": spec(), "parameters": {"n": 2**70}}, "parameters.n"),
        ({"spec": spec(), "priority": 2**65}, "priority"),
    ],
)
def test_a_wrong_submission_names_its_place(api: Api, body: Any, field: str) -> None:
    assert api.refused("POST", "/runs", 400, json=body)["field"] == field


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [shell("a"), shell("a")],
        [shell("a", needs=[{"task": "none"}])],
        [shell("a", needs=[{"task": "b"}]), shell("b", needs=[{"task": "a"}])],
    ],
    ids=["no task", "a key twice", "an unknown task", "a cycle"],
)
def test_a_definition_that_cannot_run_is_refused(api: Api, tasks: list[dict[str, Any]]) -> None:
    api.refused("POST", "/runs", 400, json={"spec": {"name": "x", "tasks": tasks}})


def test_a_run_of_an_unknown_job_is_not_found(api: Api) -> None:
    api.refused("POST", "/runs", 404, json={"job": 123})


def test_a_batch_is_taken_whole_or_not_at_all(api: Api) -> None:
    name = f"batch {time.monotonic_ns()}"
    good = {"spec": spec(), "name": name}
    assert len(api.call("POST", "/runs:batch", 201, json={"runs": [good, good]})["ids"]) == 2
    api.refused("POST", "/runs:batch", 404, json={"runs": [good, {"job": 123}]})
    problem = api.refused("POST", "/runs:batch", 400, json={"runs": [good, {}]})
    assert problem["field"] == "runs[1].job"
    assert len(api.call("GET", "/runs", params={"name": name})["items"]) == 2


@pytest.mark.parametrize("runs", [[], [{"spec": spec()}] * 1001], ids=["empty", "over 1000"])
def test_a_batch_has_1_to_1000_submissions(api: Api, runs: list[Any]) -> None:
    assert api.refused("POST", "/runs:batch", 400, json={"runs": runs})["field"] == "runs"


def test_a_list_is_paged_newest_first_without_gaps(api: Api) -> None:
    name = f"paged {time.monotonic_ns()}"
    ids = [api.submit(name=name)["id"] for _ in range(5)]
    seen: list[int] = []
    cursor = None
    while True:
        page = api.call("GET", "/runs", params={"name": name, "limit": 2, **({"cursor": cursor} if cursor else {})})
        seen += [run["id"] for run in page["items"]]
        cursor = page.get("next")
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_each_filter_restricts_the_list(api: Api) -> None:
    name = f"filtered {time.monotonic_ns()}"
    given = {"day": "a=b", "outer": {"n": 5}}
    body = {"spec": spec(shell("a", "exit 1"), parameters=given), "name": name, "queue": "default"}
    run = api.wait(api.call("POST", "/runs", 201, json={**body, "tags": {"team": "a=b"}}))
    matching = {
        "state": "failed,queued",
        "name": name,
        "origin": "native",
        "workspace": "default",
        "queue": "default",
        "submitted_by": "admin",
        "trigger": "manual",
        "tag": "team=a=b",
        "parameter": "day=a=b",
        "reason": run["reason"],
        "created_after": run["created_at"],
        "ended_after": run["ended_at"],
        "created_before": "9000-01-01",
        "ended_before": "9000-01-01T00:00:00Z",
    }
    assert [one["id"] for one in api.call("GET", "/runs", params=matching)["items"]] == [run["id"]]
    other = {
        "state": "succeeded",
        "origin": "glue",
        "workspace": "none",
        "queue": "none",
        "submitted_by": "none",
        "trigger": "none",
        "tag": "team=c",
        "parameter": "day=b",
        "reason": "none",
        "created_after": "9000-01-01",
        "ended_after": "9000-01-01",
        "created_before": run["created_at"],
        "ended_before": run["ended_at"],
        "job": 123,
    }
    for field, value in other.items():
        assert api.call("GET", "/runs", params={"name": name, field: value})["items"] == [], field

    inner = {"name": name, "parameter": "outer.n=5"}
    assert [one["id"] for one in api.call("GET", "/runs", params=inner)["items"]] == [run["id"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("cursor=%21", "cursor"),
        ("state=asleep", "state[0]"),
        ("created_after=yesterday", "created_after"),
        ("tag=x", "tag"),
        ("parameter=x", "parameter"),
        ("parameter=%22x=1", "parameter"),
        ("colour=red", "colour"),
        ("name=a&name=b", "name"),
    ],
)
def test_a_wrong_filter_names_its_place(api: Api, query: Any, field: str) -> None:
    assert api.refused("GET", f"/runs?{query}", 400)["field"] == field


def test_an_unknown_filter_is_answered_with_the_known_ones(api: Api) -> None:
    assert "ended_before" in api.refused("GET", "/runs?colour=red", 400)["detail"]


@pytest.mark.parametrize("name", ["0", "-1", "abc", "1e3", "9" * 40, "%00", "%FF"])
@pytest.mark.parametrize("family", ["runs", "task-runs", "jobs"])
def test_what_cannot_be_an_id_is_not_found(api: Api, family: str, name: str) -> None:
    api.refused("GET", f"/{family}/{name}", 404)


def test_a_running_run_is_cancelled_and_then_cannot_be_again(api: Api) -> None:
    run = api.submit(shell("a", "sleep 30"))
    api.wait(run, "running")
    api.call("POST", f"/runs/{run['id']}/cancel", json={"detail": "enough"})
    assert api.wait(run)["state"] == "cancelled"
    assert api.refused("POST", f"/runs/{run['id']}/cancel", 409)["code"] == "conflict"


def test_one_task_run_is_cancelled_by_its_own_id(api: Api) -> None:
    run = api.submit(shell("long", "sleep 30"), shell("short"))
    task = api.wait(run, "running")["tasks"][0]
    api.call("POST", f"/task-runs/{task['id']}/cancel", json={})
    states = {one["task_key"]: one["state"] for one in api.wait(run)["tasks"]}
    assert states == {"long": "cancelled", "short": "succeeded"}


def test_a_failed_run_is_repaired_and_keeps_all_attempts(api: Api, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    run = api.wait(api.submit(shell("good"), shell("bad", f"test -e {flag}")))
    assert run["state"] == "failed"
    flag.touch()
    again = api.call("POST", f"/runs/{run['id']}/repair", json={"after_round": 0})
    assert again["round"] == 1
    assert api.wait(run)["state"] == "succeeded"
    attempts = api.call("GET", f"/runs/{run['id']}?all_attempts=true")["tasks"]
    assert [(one["task_key"], one["state"]) for one in attempts] == [
        ("good", "succeeded"),
        ("bad", "failed"),
        ("bad", "succeeded"),
    ]
    api.refused("POST", f"/runs/{run['id']}/repair", 409, json={"after_round": 0})


def test_an_unknown_task_cannot_be_repaired(api: Api) -> None:
    run = api.wait(api.submit(shell("a", "false")))
    api.refused("POST", f"/runs/{run['id']}/repair", 400, json={"tasks": ["none"]})


def test_a_rerun_is_a_new_run_that_names_the_earlier_one(api: Api) -> None:
    run = api.wait(api.submit())
    again = api.call("POST", f"/runs/{run['id']}/rerun", 201)
    assert (again["rerun_of"], again["trigger"]) == (run["id"], "rerun")
    assert api.wait(again)["state"] == "succeeded"


def test_a_finished_run_is_deleted_and_an_active_one_is_not(api: Api) -> None:
    run = api.submit(shell("a", "sleep 30"))
    api.refused("DELETE", f"/runs/{run['id']}", 409)
    api.call("POST", f"/runs/{run['id']}/cancel")
    api.wait(run)
    assert api.call("DELETE", f"/runs/{run['id']}", 204) is None
    api.refused("GET", f"/runs/{run['id']}", 404)


def test_a_queued_run_says_why_it_waits(api: Api) -> None:
    queue = f"closed-{time.monotonic_ns()}"
    api.call("PUT", f"/queues/{queue}", json={"paused": True})
    run = api.submit(shell("a"), queue=queue)
    told = api.call("GET", f"/runs/{run['id']}")
    assert "paused" in told["waiting"]
    assert told["tasks"][0]["waiting"]
    api.call("POST", f"/runs/{run['id']}/cancel")


def test_an_output_is_given_as_it_was_and_its_absence_is_not_found(api: Api) -> None:
    sql = {"key": "a", "action": {"kind": "sql", "statement": "select 1 as x"}}
    run = api.wait(api.submit(sql, shell("b")))
    with_output, without = run["tasks"]
    assert api.call("GET", f"/task-runs/{with_output['id']}/output")["rows"] == [[1]]
    api.refused("GET", f"/task-runs/{without['id']}/output", 404)


def test_a_task_run_is_told_alone_as_it_is_within_its_run(api: Api) -> None:
    run = api.wait(api.submit(shell("a"), shell("b", needs=[{"task": "a"}])))
    for task in run["tasks"]:
        assert api.call("GET", f"/task-runs/{task['id']}") == task
