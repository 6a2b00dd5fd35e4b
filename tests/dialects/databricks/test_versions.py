"""How 2.0, 2.1 and 2.2 differ, told by plain calls, and what is shown that was not sent."""

from __future__ import annotations

import httpx
import pytest

from .conftest import Rest, broken, condition, needs


def test_arrays_come_in_pages_of_100_in_2_2_and_whole_before(rest: Rest, rest21: Rest) -> None:
    job_id = rest.create(*[condition(f"t{n}") for n in range(150)])
    first = rest.get("/jobs/get", job_id=job_id)
    second = rest.get("/jobs/get", job_id=job_id, page_token=first["next_page_token"])
    assert (len(first["settings"]["tasks"]), len(second["settings"]["tasks"])) == (100, 50)
    assert second["settings"]["name"] == "job"
    assert "next_page_token" not in second
    assert len(rest21.get("/jobs/get", job_id=job_id)["settings"]["tasks"]) == 150
    run_id = rest.ended(job_id)["run_id"]
    first = rest.run(run_id)
    second = rest.run(run_id, page_token=first["next_page_token"])
    assert (len(first["tasks"]), len(second["tasks"])) == (100, 50)
    listed = rest.get("/jobs/runs/list", job_id=job_id, expand_tasks="true")["runs"][0]
    assert (len(listed["tasks"]), listed["has_more"]) == (100, True)
    assert len(rest21.run(run_id)["tasks"]) == 150


def test_lists_say_has_more_until_2_1_only(rest: Rest, rest21: Rest) -> None:
    job_id = rest.create(condition("c"), max_concurrent_runs=5)
    runs = [rest.start(job_id) for _ in range(3)]
    old = rest21.get("/jobs/runs/list", job_id=job_id, limit=2)
    assert (old["has_more"], [one["run_id"] for one in old["runs"]]) == (True, runs[:0:-1])
    new = rest.get("/jobs/runs/list", job_id=job_id, limit=2)
    assert "has_more" not in new
    last = rest.get("/jobs/runs/list", job_id=job_id, limit=2, page_token=new["next_page_token"])
    assert [one["run_id"] for one in last["runs"]] == runs[:1]
    assert "next_page_token" not in last


def test_a_page_leads_back_to_the_one_before(rest: Rest) -> None:
    job_id = rest.create(condition("c"), max_concurrent_runs=9)
    runs = [rest.start(job_id) for _ in range(5)][::-1]

    def page(token: str | None = None) -> tuple[list[int], str | None, str | None]:
        more = {"page_token": token} if token else {}
        body = rest.get("/jobs/runs/list", job_id=job_id, limit=2, **more)
        return [one["run_id"] for one in body["runs"]], body.get("next_page_token"), body.get("prev_page_token")

    first, following, before = page()
    assert (first, before) == (runs[:2], None)
    second, following, before = page(following)
    assert second == runs[2:4]
    assert page(following)[0] == runs[4:]
    again, _, before = page(before)
    assert (again, before) == (runs[:2], None)


def test_later_runs_do_not_shift_a_page(rest: Rest) -> None:
    job_id = rest.create(condition("c"), max_concurrent_runs=9)
    runs = [rest.start(job_id) for _ in range(3)][::-1]
    token = rest.get("/jobs/runs/list", job_id=job_id, limit=1)["next_page_token"]
    rest.start(job_id)
    assert [
        one["run_id"] for one in rest.get("/jobs/runs/list", job_id=job_id, limit=5, page_token=token)["runs"]
    ] == runs[1:]


def test_offsets_still_work_until_their_limit(rest: Rest) -> None:
    job_id = rest.create(condition("c"), max_concurrent_runs=9)
    runs = [rest.start(job_id) for _ in range(3)][::-1]
    assert [one["run_id"] for one in rest.get("/jobs/runs/list", job_id=job_id, offset=1)["runs"]] == runs[1:]
    found = rest.call("GET", "/jobs/runs/list", 400, params={"offset": 10_020})
    assert found["message"].startswith(
        "The supplied offset 10020 has exceeded the value of 10000 allowed for this parameter."
        "Please use the page_token parameter to paginate:"
    )


def test_the_size_of_a_page_of_runs_has_a_limit_of_its_version(rest: Rest, rest20: Rest) -> None:
    found = rest.call("GET", "/jobs/runs/list", 400, params={"limit": 27})
    assert found["message"] == "Invalid limit 27 - it has to be no more than 26."
    job_id = rest.create(condition("c"), max_concurrent_runs=1000)
    for _ in range(28):
        rest.start(job_id)
    assert len(rest.get("/jobs/runs/list", job_id=job_id)["runs"]) == 20
    assert len(rest.get("/jobs/runs/list", job_id=job_id, limit=0)["runs"]) == 26
    assert len(rest20.get("/jobs/runs/list", job_id=job_id, limit=1000)["runs"]) == 28


def test_runs_are_filtered_by_time_and_by_whether_they_are_over(rest: Rest) -> None:
    job_id = rest.create(condition("c"), max_concurrent_runs=9)
    first, second = rest.ended(job_id), rest.ended(job_id)
    moment = second["start_time"]

    def found(**query: object) -> list[int]:
        return [one["run_id"] for one in rest.get("/jobs/runs/list", job_id=job_id, **query).get("runs", [])]

    assert found(start_time_from=moment) == [second["run_id"]]
    assert found(start_time_to=first["start_time"]) == [first["run_id"]]
    assert found(start_time_from=first["start_time"], start_time_to=moment) == [second["run_id"], first["run_id"]]
    assert found(completed_only="true") == [second["run_id"], first["run_id"]]
    assert found(active_only="true") == []
    both = {"active_only": "true", "completed_only": "true"}
    assert rest.call("GET", "/jobs/runs/list", 400, params=both)["error_code"] == "INVALID_PARAMETER_VALUE"


def test_2_0_has_single_tasks_and_lists_without_pages(rest: Rest, rest20: Rest) -> None:
    path = rest.script("single.py", "print('single')")
    settings = {
        "name": "single of 2.0",
        "spark_python_task": {"python_file": path},
        "existing_cluster_id": "abc",
        "max_retries": 1,
    }
    job_id = rest20.post("/jobs/create", **settings)["job_id"]
    shown = rest20.get("/jobs/get", job_id=job_id)["settings"]
    assert shown["format"] == "SINGLE_TASK"
    assert (shown["spark_python_task"]["python_file"], shown["existing_cluster_id"]) == (path, "abc")
    assert "tasks" not in shown
    newer = rest.get("/jobs/get", job_id=job_id)["settings"]
    assert newer["tasks"][0]["task_key"] == "main"
    run = rest20.until(rest20.start(job_id))
    assert run["task"]["spark_python_task"]["python_file"] == path
    assert run["cluster_spec"] == {"existing_cluster_id": "abc"}
    assert run["cluster_instance"]["cluster_id"] == "abc"
    for number in range(25):
        rest20.post("/jobs/create", **{**settings, "name": f"single {number}"})
    assert len(rest20.get("/jobs/list")["jobs"]) >= 26
    submitted = rest20.post("/jobs/runs/submit", run_name="one", spark_python_task={"python_file": path})
    assert rest20.until(submitted["run_id"])["state"]["result_state"] == "SUCCESS"
    changed = {"max_retries": 2, "timeout_seconds": 60}
    rest20.post("/jobs/update", job_id=job_id, new_settings=changed, fields_to_remove=["existing_cluster_id"])
    shown = rest20.get("/jobs/get", job_id=job_id)["settings"]
    assert (shown["max_retries"], shown["timeout_seconds"], shown["format"]) == (2, 60, "SINGLE_TASK")
    assert "existing_cluster_id" not in shown
    assert rest20.call("POST", "/jobs/create", 400, json={})["message"] == "Run settings must be specified."


def test_a_job_shows_the_services_defaults(rest: Rest) -> None:
    settings = {
        "git_source": {"git_url": "https://example.com/x.git", "git_provider": "GITHUB", "git_branch": "main"},
        "tasks": [
            {**condition("b"), "depends_on": needs("c", "a")},
            {**condition("a"), "new_cluster": {"num_workers": 1, "apply_policy_default_values": True}},
            condition("c"),
        ],
        "schedule": {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "Europe/Berlin"},
    }
    job = rest.get("/jobs/get", job_id=rest.post("/jobs/create", **settings)["job_id"])
    shown = job["settings"]
    assert (shown["format"], shown["timeout_seconds"], shown["max_concurrent_runs"]) == ("MULTI_TASK", 0, 1)
    assert (shown["email_notifications"], shown["webhook_notifications"]) == ({}, {})
    assert shown["name"] == "Untitled"
    assert shown["schedule"]["pause_status"] == "UNPAUSED"
    assert shown["git_source"]["git_provider"] == "gitHub"
    first = shown["tasks"][0]
    assert (first["run_if"], first["timeout_seconds"], first["email_notifications"]) == ("ALL_SUCCESS", 0, {})
    assert [one["task_key"] for one in first["depends_on"]] == ["a", "c"]
    assert shown["tasks"][1]["new_cluster"] == {"num_workers": 1}
    assert job["creator_user_name"] == job["run_as_user_name"] == "dev"
    assert job["created_time"] > 0


def test_a_job_may_have_a_name_alone_but_is_not_run_so(rest: Rest) -> None:
    job_id = rest.post("/jobs/create", name="abc")["job_id"]
    assert rest.get("/jobs/get", job_id=job_id)["settings"]["name"] == "abc"
    assert "tasks" not in rest.get("/jobs/get", job_id=job_id)["settings"]
    assert "no tasks" in rest.refused("/jobs/run-now", job_id=job_id)


def test_an_update_replaces_fields_merges_arrays_by_key_and_removes(rest: Rest) -> None:
    job_id = rest.create(
        condition("a"), condition("b"), tags={"x": "1", "y": "2"}, parameters=[{"name": "p", "default": "1"}]
    )
    rest.post(
        "/jobs/update",
        job_id=job_id,
        new_settings={"tags": {"z": "3"}, "tasks": [condition("b", "5"), condition("c")]},
        fields_to_remove=["tasks/a", "parameters"],
    )
    shown = rest.get("/jobs/get", job_id=job_id)["settings"]
    assert [(one["task_key"], one["condition_task"]["left"]) for one in shown["tasks"]] == [("b", "5"), ("c", "1")]
    assert shown["tags"] == {"z": "3"}
    assert "parameters" not in shown


def test_a_reset_keeps_who_the_job_runs_as(rest: Rest) -> None:
    job_id = rest.create(condition("a"), run_as={"user_name": "ann"})
    rest.post("/jobs/reset", job_id=job_id, new_settings={"name": "anew"})
    job = rest.get("/jobs/get", job_id=job_id)
    assert (job["settings"]["run_as"], job["run_as_user_name"]) == ({"user_name": "ann"}, "ann")


def test_the_page_of_a_run_is_named(rest: Rest, url: str) -> None:
    job_id = rest.create(broken("c"))
    run_id = rest.start(job_id)
    assert rest.run(run_id)["run_page_url"] == f"{url}/?o=1#job/{job_id}/run/{run_id}"


def test_a_submissions_job_id_finds_its_run(rest: Rest) -> None:
    run_id = rest.post("/jobs/runs/submit", run_name="once", tasks=[condition("c")])["run_id"]
    run = rest.until(run_id)
    assert (run["run_type"], run["run_name"]) == ("SUBMIT_RUN", "once")
    assert [one["run_id"] for one in rest.get("/jobs/runs/list", job_id=run["job_id"])["runs"]] == [run_id]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_told_in_the_services_shape(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/api/2.2/jobs/nothing")
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert answer.json()["message"] == f"No API found for '{method} /api/2.2/jobs/nothing'"


def test_the_first_question_of_clients_is_answered_without_a_credential(http: httpx.Client, url: str) -> None:
    assert httpx.get(f"{url}/.well-known/databricks-config").json() == {
        "oidc_endpoint": f"{url}/oidc",
        "workspace_id": "1",
    }


def test_a_run_of_another_face_can_be_seen_by_its_id_and_is_in_no_list(rest: Rest) -> None:
    tasks = [
        {"key": "a", "action": {"kind": "sql", "statement": "SELECT 1"}},
        {"key": "b", "action": {"kind": "condition", "op": "==", "left": 1, "right": 1}, "needs": [{"task": "a"}]},
    ]
    run_id = rest.http.post("/api/v1/runs", json={"spec": {"name": "native", "tasks": tasks}}).json()["id"]
    run = rest.until(run_id, "TERMINATED", "INTERNAL_ERROR")
    assert (run["run_name"], run["state"]["result_state"]) == ("native", "SUCCESS")
    assert [one["task_key"] for one in run["tasks"]] == ["a", "b"]
    assert run["tasks"][1]["depends_on"] == [{"task_key": "a"}]
    assert run_id not in {one["run_id"] for one in rest.get("/jobs/runs/list").get("runs", [])}


def test_a_job_of_this_face_can_be_seen_and_run_by_the_native_one(rest: Rest) -> None:
    job_id = rest.create(condition("c"), name="both")
    assert rest.http.get(f"/api/v1/jobs/{job_id}").json()["spec"]["name"] == "both"
    run_id = rest.http.post("/api/v1/runs", json={"job": job_id}).json()["id"]
    assert rest.until(run_id, "TERMINATED")["job_id"] == job_id
