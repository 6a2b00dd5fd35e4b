"""How a graph of tasks runs: edges, conditions, for-each, other jobs, retries, limits, parts of a job, repairs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .conftest import Rest, broken, condition, needs, results, tasks_of

SLOW = "import time\ntime.sleep(60)"


def excluded(key: str) -> list[dict[str, Any]]:
    """A task that is excluded: its condition has the other outcome."""
    return [condition(f"{key}_no", "1", "2"), condition(key, depends_on=needs(f"{key}_no:true"))]


# --- edges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_if", "ends"),
    [
        ("ALL_SUCCESS", {"ss": "SUCCESS", "sf": "UPSTREAM_FAILED", "ff": "UPSTREAM_FAILED", "sx": "SUCCESS"}),
        ("AT_LEAST_ONE_SUCCESS", {"ss": "SUCCESS", "sf": "SUCCESS", "ff": "UPSTREAM_FAILED", "sx": "SUCCESS"}),
        ("NONE_FAILED", {"ss": "SUCCESS", "sf": "UPSTREAM_FAILED", "ff": "UPSTREAM_FAILED", "sx": "SUCCESS"}),
        ("ALL_DONE", {"ss": "SUCCESS", "sf": "SUCCESS", "ff": "SUCCESS", "sx": "SUCCESS"}),
        ("AT_LEAST_ONE_FAILED", {"ss": "EXCLUDED", "sf": "SUCCESS", "ff": "SUCCESS", "sx": "EXCLUDED"}),
        ("ALL_FAILED", {"ss": "EXCLUDED", "sf": "EXCLUDED", "ff": "SUCCESS", "sx": "EXCLUDED"}),
    ],
)
def test_a_task_runs_as_its_run_if_says(rest: Rest, run_if: str, ends: dict[str, str]) -> None:
    before = [condition("s1"), condition("s2"), broken("f1"), broken("f2"), *excluded("x1"), *excluded("x2")]
    pairs = {"ss": ("s1", "s2"), "sf": ("s1", "f1"), "ff": ("f1", "f2"), "sx": ("s1", "x1"), "xx": ("x1", "x2")}
    judged = [condition(key, depends_on=needs(*pair), run_if=run_if) for key, pair in pairs.items()]
    run = rest.ended(rest.create(*before, *judged))
    assert {key: results(run)[key] for key in pairs} == {**ends, "xx": "EXCLUDED"}


@pytest.mark.parametrize(
    ("op", "left", "right", "outcome"),
    [
        ("EQUAL_TO", "12.0", "12", "false"),
        ("NOT_EQUAL", "12.0", "12", "true"),
        ("GREATER_THAN_OR_EQUAL", "12.0", "12", "true"),
        ("GREATER_THAN", "9", "10", "false"),
        ("LESS_THAN", "9", "10", "true"),
        ("LESS_THAN_OR_EQUAL", "10", "9", "false"),
    ],
)
def test_a_condition_compares_and_chooses(rest: Rest, op: str, left: str, right: str, outcome: str) -> None:
    other = "false" if outcome == "true" else "true"
    yes, no = condition("yes", depends_on=needs(f"c:{outcome}")), condition("no", depends_on=needs(f"c:{other}"))
    run = rest.ended(rest.create(condition("c", left, right, op), yes, no))
    assert tasks_of(run)["c"]["condition_task"]["outcome"] == outcome
    assert results(run) == {"c": "SUCCESS", "yes": "SUCCESS", "no": "EXCLUDED"}
    assert tasks_of(run)["no"]["status"]["termination_details"]["code"] == "SKIPPED"


def test_leaves_decide_a_run_with_failures(rest: Rest) -> None:
    run = rest.ended(rest.create(broken("a"), condition("b", depends_on=needs("a"), run_if="ALL_DONE")))
    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("TERMINATED", "SUCCESS_WITH_FAILURES")
    assert run["status"]["termination_details"]["code"] == "SUCCESS_WITH_FAILURES"


def test_a_disabled_task_is_passed_over_and_the_order_stays(rest: Rest) -> None:
    tasks = [
        rest.python("a", "import time\ntime.sleep(0.3)"),
        condition("off", depends_on=needs("a"), disabled=True),
        condition("c", depends_on=needs("off")),
    ]
    run = rest.ended(rest.create(*tasks))
    assert results(run) == {"a": "SUCCESS", "off": "DISABLED", "c": "SUCCESS"}
    assert tasks_of(run)["c"]["start_time"] >= tasks_of(run)["a"]["end_time"]


@pytest.mark.parametrize(
    ("only", "runs"), [(["b"], "b"), (["+b"], "ab"), (["b+"], "bc"), (["+b+"], "abc"), (["a", "d"], "ad")]
)
def test_only_chooses_tasks_with_what_they_need_or_what_needs_them(rest: Rest, only: list[str], runs: str) -> None:
    chain = [condition("a"), condition("b", depends_on=needs("a")), condition("c", depends_on=needs("b"))]
    run = rest.ended(rest.create(*chain, condition("d")), only=only)
    assert {key for key, result in results(run).items() if result == "SUCCESS"} == set(runs)


def test_a_cancelled_task_is_told_downstream_unless_that_handles_failure(rest: Rest) -> None:
    tasks = [
        rest.python("a", SLOW),
        condition("b", depends_on=needs("a")),
        condition("c", depends_on=needs("a"), run_if="AT_LEAST_ONE_FAILED"),
    ]
    run_id = rest.start(rest.create(*tasks))
    rest.post("/jobs/runs/cancel", run_id=tasks_of(rest.until(run_id, "RUNNING"))["a"]["run_id"])
    assert results(rest.until(run_id)) == {"a": "CANCELED", "b": "UPSTREAM_CANCELED", "c": "SUCCESS"}


# --- for-each and run-job ---------------------------------------------------------------------------------


def test_a_for_each_has_iterations_of_their_own_and_tells_how_far_they_are(rest: Rest) -> None:
    text = "import sys\nprint(sys.argv[1:])\nassert sys.argv[1] != 'bad', 'bad input'"
    inner = rest.python("each", text, "{{input.name}}")
    inputs = json.dumps([{"name": "good"}, {"name": "bad"}, {"name": "fine"}])
    loop = {"task_key": "loop", "for_each_task": {"inputs": inputs, "concurrency": 2, "task": inner}}
    run = rest.ended(rest.create(loop))
    assert [one["task_key"] for one in run["tasks"]] == ["loop"]
    stats = run["tasks"][0]["for_each_task"]["stats"]
    assert stats["task_run_stats"] == {
        "total_iterations": 3,
        "scheduled_iterations": 3,
        "active_iterations": 0,
        "completed_iterations": 3,
        "succeeded_iterations": 2,
        "failed_iterations": 1,
    }
    assert stats["error_message_stats"][0]["error_message"] == "AssertionError: bad input"
    whole = rest.run(run["tasks"][0]["run_id"])
    assert [one["task_key"] for one in whole["tasks"]] == ["loop"]
    assert [one["state"]["result_state"] for one in whole["iterations"]] == ["SUCCESS", "FAILED", "SUCCESS"]
    logs = [rest.get("/jobs/runs/get-output", run_id=one["run_id"])["logs"] for one in whole["iterations"]]
    assert logs[0] == "['good']\n"


def test_iterations_come_in_pages_of_100(rest: Rest) -> None:
    inner = {"task_key": "each", "run_job_task": {"job_id": rest.create(condition("c"), max_concurrent_runs=1000)}}
    loop = {"inputs": json.dumps(list(range(120))), "concurrency": 100, "task": inner}
    run = rest.ended(rest.create({"task_key": "loop", "for_each_task": loop}))
    task_run_id = run["tasks"][0]["run_id"]
    first = rest.run(task_run_id)
    second = rest.run(task_run_id, page_token=first["next_page_token"])
    assert (len(first["iterations"]), len(second["iterations"])) == (100, 20)
    assert "next_page_token" not in second
    assert first["iterations"][0]["run_job_task"] == inner["run_job_task"]


def test_a_run_job_task_starts_a_run_with_parameters_and_says_which(rest: Rest) -> None:
    child = rest.create(condition("c", "{{job.parameters.p}}", "given"), parameters=[{"name": "p", "default": "d"}])
    task = {"task_key": "call", "run_job_task": {"job_id": child, "job_parameters": {"p": "given"}}}
    run = rest.ended(rest.create(task))
    task_run_id = run["tasks"][0]["run_id"]
    child_run = rest.run(rest.get("/jobs/runs/get-output", run_id=task_run_id)["run_job_output"]["run_id"])
    assert (child_run["trigger"], child_run["trigger_info"]) == ("RUN_JOB_TASK", {"run_id": task_run_id})
    assert child_run["tasks"][0]["condition_task"]["outcome"] == "true"


def test_jobs_that_run_each_other_in_a_circle_or_too_deep_are_refused(rest: Rest) -> None:
    def caller(job_id: int) -> dict[str, Any]:
        return {"task_key": "call", "run_job_task": {"job_id": job_id}}

    bottom = rest.create(condition("c"))
    first = rest.create(caller(bottom))
    assert "without end" in rest.refused("/jobs/update", job_id=bottom, new_settings={"tasks": [caller(first)]})
    third = rest.create(caller(rest.create(caller(first))))
    assert "nest 3 deep" in rest.refused("/jobs/create", tasks=[caller(third)])
    assert "does not exist" in rest.refused("/jobs/create", tasks=[caller(12345)])


# --- retries, limits of time and number -------------------------------------------------------------------


def test_a_retry_waits_from_the_start_of_the_failed_attempt(rest: Rest) -> None:
    task = rest.python("main", "import time\ntime.sleep(0.5)\nassert False", max_retries=1)
    run = rest.ended(rest.create({**task, "min_retry_interval_millis": 900}))
    first, second = sorted(run["tasks"], key=lambda one: one["attempt_number"])
    started = first["start_time"] + first["setup_duration"]
    assert 850 <= second["start_time"] - started < 1800


def test_a_timeout_ends_an_attempt_and_is_tried_again_only_when_asked(rest: Rest) -> None:
    def tasks(again: bool) -> dict[str, Any]:
        return rest.python("main", SLOW, timeout_seconds=1, max_retries=1, retry_on_timeout=again)

    run = rest.ended(rest.create(tasks(False)))
    assert len(run["tasks"]) == 1
    assert run["state"]["result_state"] == run["tasks"][0]["state"]["result_state"] == "TIMEDOUT"
    assert run["state"]["user_cancelled_or_timedout"]
    assert run["tasks"][0]["status"]["termination_details"]["code"] == "CANCELED"
    assert len(rest.ended(rest.create(tasks(True)))["tasks"]) == 2


def test_a_run_over_its_time_is_ended(rest: Rest) -> None:
    run = rest.ended(rest.create(rest.python("main", SLOW), timeout_seconds=1))
    assert (run["state"]["life_cycle_state"], run["state"]["result_state"]) == ("TERMINATED", "TIMEDOUT")
    assert run["tasks"][0]["status"]["termination_details"]["code"] == "CANCELED"


def test_over_the_limit_a_run_is_skipped_or_queued_as_the_job_or_the_request_says(rest: Rest) -> None:
    job_id = rest.create(rest.python("main", SLOW), queue={"enabled": False})
    first, skipped = rest.start(job_id), rest.start(job_id)
    queued = rest.start(job_id, queue={"enabled": True})
    body = rest.run(skipped)
    assert body["state"] == {
        "life_cycle_state": "SKIPPED",
        "result_state": "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "state_message": "Skipping this run because the limit of 1 maximum concurrent runs has been reached.",
        "user_cancelled_or_timedout": False,
    }
    assert body["status"]["termination_details"]["code"] == "MAX_CONCURRENT_RUNS_EXCEEDED"
    body = rest.run(queued)
    assert body["state"]["life_cycle_state"] == "QUEUED"
    assert body["state"]["queue_reason"] == "Queued due to reaching maximum concurrent runs of 1."
    assert body["status"]["queue_details"]["code"] == "MAX_CONCURRENT_RUNS_REACHED"
    rest.post("/jobs/runs/cancel-all", job_id=job_id, all_queued_runs=True)
    assert rest.until(queued)["state"]["result_state"] == "CANCELED"
    assert rest.run(first)["state"]["life_cycle_state"] in ("PENDING", "RUNNING")
    rest.post("/jobs/runs/cancel-all", job_id=job_id)
    rest.until(first)


def test_jobs_queue_by_default_in_2_2_only_and_none_may_mean_none_at_all(rest: Rest, rest21: Rest) -> None:
    new, old = rest.create(condition("c")), rest21.create(condition("c"))
    assert rest.get("/jobs/get", job_id=new)["settings"]["queue"] == {"enabled": True}
    assert "queue" not in rest.get("/jobs/get", job_id=old)["settings"]
    none = rest.create(condition("c"), max_concurrent_runs=0, queue={"enabled": False})
    assert rest.ended(none)["state"]["life_cycle_state"] == "SKIPPED"


def test_the_same_token_gives_the_same_run(rest: Rest) -> None:
    job_id = rest.create(condition("c"))
    first = rest.start(job_id, idempotency_token="once")
    assert rest.start(job_id, idempotency_token="once", job_parameters={"other": "1"}) == first
    assert "64 characters" in rest.refused("/jobs/run-now", job_id=job_id, idempotency_token="x" * 65)
    rest.until(first)
    rest.post("/jobs/runs/delete", run_id=first)
    assert "was deleted" in rest.refused("/jobs/run-now", "INVALID_STATE", job_id=job_id, idempotency_token="once")


# --- parameters and references ----------------------------------------------------------------------------


def test_parameters_of_one_run_reach_its_tasks(rest: Rest) -> None:
    say = "import sys\nprint(*sys.argv[1:])"
    task = rest.python("main", say, "{{job.parameters.p}}", "{{task.name}}", "{{job.trigger.type}}")
    job_id = rest.create(task, parameters=[{"name": "p", "default": "d"}])

    def said(**more: Any) -> str:
        run = rest.ended(job_id, **more)
        return str(rest.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])["logs"])

    assert said() == "d main one_time\n"
    assert said(job_parameters={"p": "given"}) == "given main one_time\n"
    assert said(python_params=["other", "{{job.parameters.p}}"]) == "other d\n"


def test_older_parameters_are_shown_and_undefined_ones_have_no_default(rest: Rest) -> None:
    task = rest.python("main", "print(1)")
    job_id = rest.create(task, parameters=[{"name": "p", "default": "d"}])
    run = rest.run(rest.start(job_id, python_params=["x"]))
    assert run["overriding_parameters"] == {"python_params": ["x"]}
    assert run["tasks"][0]["spark_python_task"]["parameters"] == ["x"]
    run = rest.run(rest.start(job_id, job_parameters={"more": "m"}))
    assert run["job_parameters"] == [
        {"name": "p", "default": "d", "value": "d"},
        {"name": "more", "value": "m"},
    ]
    rest.post("/jobs/runs/cancel-all", job_id=job_id)


@pytest.mark.parametrize(
    "given",
    [
        {"job_parameters": {"a": "1"}, "notebook_params": {"b": "2"}},
        {"job_parameters": {"a": "1"}, "python_params": ["2"]},
        {"notebook_params": {"b": "2"}, "jar_params": ["x"]},
        {"notebook_params": {"b": "x" * 10_000}},
    ],
)
def test_parameters_that_do_not_go_together_are_refused(rest: Rest, given: dict[str, Any]) -> None:
    rest.refused("/jobs/run-now", job_id=rest.create(condition("c")), **given)


def test_references_tell_of_the_run_its_tasks_and_its_times(rest: Rest) -> None:
    text = "{{job.id}} {{job.run_id}} {{job.repair_count}} {{tasks.a.result_state}} {{tasks.a.execution_count}}"
    times = "{{job.start_time.iso_date}} {{job.trigger.time.year}} {{start_date}}"
    left = f"{text} {times} {{{{workspace.id}}}} {{{{ not.ours }}}} {{{{ run.id }}}} {{{{task_key}}}}"
    tasks = [condition("a"), condition("b", left, "x", depends_on=needs("a"))]
    run = rest.ended(rest.create(*tasks))
    resolved = tasks_of(rest.run(run["run_id"], include_resolved_values="true"))["b"]["resolved_values"]
    day = time.strftime("%Y-%m-%d", time.gmtime(run["start_time"] / 1000))
    said = resolved["condition_task"]["left"]
    assert said == (
        f"{run['job_id']} {run['run_id']} 0 success 1 {day} {day[:4]} {day} 1 {{{{ not.ours }}}} {{{{ run.id }}}} b"
    )


@pytest.mark.parametrize(
    "text", ["{{job.naem}}", "{{tasks.a.valeus.x}}", "{{job.start_time.century}}", "{{job.parameters.q}}", "{{task.x}}"]
)
def test_an_unknown_key_of_a_known_namespace_is_refused_on_save(rest: Rest, text: str) -> None:
    rest.refused("/jobs/create", tasks=[condition("a"), condition("b", text, depends_on=needs("a"))])


# --- repairs ----------------------------------------------------------------------------------------------


def test_a_repair_follows_the_jobs_settings_of_today(rest: Rest) -> None:
    job_id = rest.create(condition("ok"), broken("a", depends_on=needs("ok")), condition("b", depends_on=needs("a")))
    run_id = rest.ended(job_id)["run_id"]
    fixed = [condition("a", "1", "2", "LESS_THAN", depends_on=needs("ok"))]
    rest.post("/jobs/update", job_id=job_id, new_settings={"tasks": fixed})
    rest.post("/jobs/runs/repair", run_id=run_id, rerun_all_failed_tasks=True)
    run = rest.until(run_id)
    assert results(run) == {"ok": "SUCCESS", "a": "SUCCESS", "b": "SUCCESS"}
    assert run["state"]["result_state"] == "SUCCESS"
    assert tasks_of(run)["a"]["condition_task"]["left"] == "1"


def test_a_repair_runs_dependents_only_when_asked(rest: Rest) -> None:
    tasks = [condition("a"), condition("b", depends_on=needs("a")), condition("c", depends_on=needs("b"))]
    run_id = rest.ended(rest.create(*tasks))["run_id"]
    repair_id = rest.post("/jobs/runs/repair", run_id=run_id, rerun_tasks=["a"])["repair_id"]
    assert len(rest.until(run_id)["tasks"]) == 4
    rest.post(
        "/jobs/runs/repair", run_id=run_id, rerun_tasks=["b"], rerun_dependent_tasks=True, latest_repair_id=repair_id
    )
    assert len(rest.until(run_id)["tasks"]) == 6


def test_a_repair_drops_parameters_that_are_not_sent_again(rest: Rest) -> None:
    job_id = rest.create(condition("a", "{{job.parameters.p}}", "x"), parameters=[{"name": "p", "default": "d"}])
    run = rest.ended(job_id, job_parameters={"p": "x"})
    assert run["tasks"][0]["condition_task"]["outcome"] == "true"
    rest.post("/jobs/runs/repair", run_id=run["run_id"], rerun_tasks=["a"])
    assert tasks_of(rest.until(run["run_id"]))["a"]["condition_task"]["outcome"] == "false"


def test_repairs_that_make_no_sense_are_refused(rest: Rest) -> None:
    run_id = rest.ended(rest.create(condition("a"), broken("b")))["run_id"]
    path = "/jobs/runs/repair"
    assert (
        rest.refused(path, run_id=run_id, rerun_tasks=["a", "a"]) == "rerun_tasks cannot contain duplicate task keys."
    )
    rest.refused(path, run_id=run_id)
    rest.refused(path, run_id=run_id, rerun_tasks=["a"], rerun_all_failed_tasks=True)
    rest.refused(path, run_id=run_id, rerun_tasks=["nobody"])
    rest.post(path, run_id=run_id, rerun_tasks=["a"])
    rest.until(run_id)
    said = rest.refused(path, run_id=run_id, rerun_tasks=["a"], latest_repair_id=1)
    assert said == "The latest repair ID needs to be provided in order to create a new repair"
