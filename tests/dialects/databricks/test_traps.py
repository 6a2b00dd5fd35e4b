"""What breaks clients first when it is wrong: one test each."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from .conftest import Rest, broken, condition, needs, results, tasks_of

SLOW = "import time\ntime.sleep(60)"


def test_a_failed_run_is_an_internal_error_and_its_task_is_terminated(rest: Rest) -> None:
    run = rest.ended(rest.create(rest.python("main", "raise SystemExit(3)")))
    assert run["state"] == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": "Task main failed with message: Workload failed, see run output for details.",
        "user_cancelled_or_timedout": False,
    }
    task = run["tasks"][0]
    assert task["state"]["life_cycle_state"] == "TERMINATED"
    assert task["state"]["state_message"] == "Workload failed, see run output for details"


def test_state_and_status_are_always_both_there(rest: Rest) -> None:
    job_id = rest.create(rest.python("a", SLOW), rest.python("b", "print(1)", depends_on=needs("a")))
    run_id = rest.start(job_id)
    live = rest.until(run_id, "RUNNING")
    rest.post("/jobs/runs/cancel", run_id=run_id)
    for run in (live, rest.until(run_id)):
        for one in (run, *run["tasks"]):
            assert one["state"]["life_cycle_state"]
            assert one["status"]["state"]
    assert live["tasks"][1]["state"]["life_cycle_state"] == live["tasks"][1]["status"]["state"] == "BLOCKED"


def test_a_run_that_is_over_at_once_is_seen_running_first(rest: Rest) -> None:
    run_id = rest.start(rest.create(condition("c")))
    first = rest.run(run_id)
    assert first["state"]["life_cycle_state"] == "RUNNING"
    assert first["end_time"] == 0
    time.sleep(1.1)
    assert rest.run(run_id)["state"]["life_cycle_state"] == "TERMINATED"


def test_ids_and_truth_values_may_be_texts_whatever_the_content_type(http: httpx.Client, rest: Rest) -> None:
    job_id = rest.create(condition("c"))
    body = f'{{"job_id": "{job_id}", "queue": {{"enabled": "True"}}}}'
    started = http.post("/api/2.2/jobs/run-now", content=body, headers={"Content-Type": "text/json"})
    assert started.status_code == 200
    run_id = started.json()["run_id"]
    assert (
        rest.get("/jobs/runs/list", job_id=str(job_id), active_only="False", limit="5")["runs"][0]["run_id"] == run_id
    )


def test_an_empty_page_token_and_unknown_parameters_mean_nothing(rest: Rest) -> None:
    job_id = rest.create(condition("c"), name="tokens")
    asked = {"limit": 25, "expand_tasks": "False", "include_user_names": "False", "page_token": "", "name": "tokens"}
    assert rest.get("/jobs/list", **asked)["jobs"][0]["job_id"] == job_id


def test_empty_parameters_of_the_older_kinds_are_as_good_as_absent(rest: Rest) -> None:
    job_id = rest.create(condition("c"), parameters=[{"name": "p", "default": "1"}])
    empty: dict[str, Any] = {"jar_params": [], "notebook_params": {}, "python_params": [], "spark_submit_params": []}
    run_id = rest.start(job_id, job_parameters={"p": "2"}, **empty)
    run = rest.run(run_id)
    assert "overriding_parameters" not in run
    assert run["job_parameters"] == [{"name": "p", "default": "1", "value": "2"}]


def test_there_is_no_empty_page_token(rest: Rest) -> None:
    job_id = rest.create(condition("c"))
    rest.start(job_id)
    answers = [
        rest.get("/jobs/get", job_id=job_id),
        rest.get("/jobs/list", name="nobody has this name"),
        rest.get("/jobs/runs/list", job_id=job_id),
    ]
    assert all("next_page_token" not in one for one in answers)
    assert "jobs" not in answers[1]


def test_a_task_runs_id_is_good_for_every_call(rest: Rest) -> None:
    job_id = rest.create(rest.python("main", "print('hi')"), rest.python("slow", SLOW))
    run_id = rest.start(job_id)
    tasks = tasks_of(rest.until(run_id, "RUNNING"))
    one = rest.run(tasks["main"]["run_id"])
    assert (one["run_id"], one["job_run_id"], one["parent_run_id"], one["task_key"]) == (
        tasks["main"]["run_id"],
        run_id,
        run_id,
        "main",
    )
    assert [entry["run_id"] for entry in one["tasks"]] == [one["run_id"]]
    rest.until(one["run_id"])
    assert rest.get("/jobs/runs/get-output", run_id=one["run_id"])["logs"] == "hi\n"
    assert rest.get("/jobs/runs/export", run_id=one["run_id"])["views"][0]["type"] == "NOTEBOOK"
    assert rest.post("/jobs/runs/cancel", run_id=tasks["slow"]["run_id"]) == {}
    assert results(rest.until(run_id)) == {"main": "SUCCESS", "slow": "CANCELED"}


def test_a_retried_task_has_an_entry_for_each_attempt(rest: Rest) -> None:
    run = rest.ended(rest.create(rest.python("main", "raise SystemExit(1)", max_retries=1)))
    first, second = sorted(run["tasks"], key=lambda one: one["attempt_number"])
    assert [first["attempt_number"], second["attempt_number"]] == [0, 1]
    assert first["run_id"] != second["run_id"]
    assert all(one["start_time"] > 0 for one in (first, second))
    assert rest.run(second["run_id"])["original_attempt_run_id"] == first["run_id"]


def test_the_output_of_a_job_run_is_refused_even_with_one_task(rest: Rest) -> None:
    run_id = rest.start(rest.create(condition("c")))
    found = rest.call("GET", "/jobs/runs/get-output", 400, params={"run_id": run_id})
    assert found["error_code"] == "INVALID_PARAMETER_VALUE"
    assert found["message"] == (
        "Retrieving the output of runs with multiple tasks is not supported. "
        "Please retrieve the output of each individual task run instead."
    )


def test_the_history_of_repairs_begins_with_the_original_which_has_no_id(rest: Rest) -> None:
    run = rest.ended(rest.create(broken("a"), condition("b")))
    assert "repair_history" not in run
    history = rest.run(run["run_id"], include_history="true")["repair_history"]
    assert [one["type"] for one in history] == ["ORIGINAL"]
    assert "id" not in history[0]
    repair_id = rest.post("/jobs/runs/repair", run_id=run["run_id"], rerun_all_failed_tasks=True)["repair_id"]
    rest.until(run["run_id"])
    history = rest.run(run["run_id"], include_history="true")["repair_history"]
    assert [(one["type"], one.get("id")) for one in history] == [("ORIGINAL", None), ("REPAIR", repair_id)]
    assert [len(one["task_run_ids"]) for one in history] == [2, 1]


def test_what_has_nothing_to_say_answers_an_empty_object(rest: Rest) -> None:
    job_id = rest.create(condition("c"))
    run = rest.ended(job_id)
    assert rest.post("/jobs/update", job_id=job_id, new_settings={"name": "n"}) == {}
    assert rest.post("/jobs/reset", job_id=job_id, new_settings={"name": "n"}) == {}
    assert rest.post("/jobs/runs/cancel", run_id=run["run_id"]) == {}
    assert rest.post("/jobs/runs/cancel-all", job_id=job_id) == {}
    assert rest.post("/jobs/runs/delete", run_id=run["run_id"]) == {}
    assert rest.post("/jobs/delete", job_id=job_id) == {}


@pytest.mark.parametrize("what", ["get", "runs/get"])
def test_what_is_unknown_is_told_in_the_words_that_clients_look_for(rest: Rest, what: str) -> None:
    name, word = ("job_id", "Job") if what == "get" else ("run_id", "Run")
    found = rest.call("GET", f"/jobs/{what}", 400, params={name: 567})
    assert found == {"error_code": "INVALID_PARAMETER_VALUE", "message": f"{word} 567 does not exist.", "details": []}


def test_no_refusal_is_one_that_clients_try_again_for_minutes(rest: Rest) -> None:
    job_id = rest.create(rest.python("slow", SLOW), queue={"enabled": False}, max_concurrent_runs=1)
    first, second = rest.start(job_id), rest.start(job_id)
    assert rest.until(second)["state"]["result_state"] == "MAXIMUM_CONCURRENT_RUNS_REACHED"
    for path, body in (
        ("/jobs/runs/delete", {"run_id": first}),
        ("/jobs/runs/repair", {"run_id": first, "rerun_all_failed_tasks": True}),
    ):
        rest.refused(path, "INVALID_STATE", 400, **body)
    rest.post("/jobs/runs/cancel-all", job_id=job_id)
