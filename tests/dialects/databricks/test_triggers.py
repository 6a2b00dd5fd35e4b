"""What starts jobs by itself: schedules, intervals, files, tables, and jobs that keep running."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .conftest import OVER, Rest, condition

SLOW = "import time\ntime.sleep(60)"


def first_run(rest: Rest, job_id: int, seconds: float = 15) -> dict[str, Any]:
    """The first run of a job that nobody starts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = rest.get("/jobs/runs/list", job_id=job_id).get("runs", [])
        if found:
            return dict(found[-1])
        time.sleep(0.1)
    raise AssertionError("no run came")


def test_a_schedule_starts_runs_that_show_it(rest: Rest) -> None:
    schedule = {"quartz_cron_expression": "* * * * * ?", "timezone_id": "Europe/Berlin"}
    job_id = rest.create(condition("c", "{{job.trigger.type}}", "periodic"), schedule=schedule)
    run = first_run(rest, job_id)
    rest.post("/jobs/delete", job_id=job_id)
    assert (run["trigger"], run["schedule"]["timezone_id"]) == ("PERIODIC", "Europe/Berlin")
    tasks = rest.run(run["run_id"])["tasks"]
    assert tasks[0]["condition_task"]["outcome"] == "true"


def test_a_paused_schedule_starts_nothing_until_it_is_resumed(rest: Rest) -> None:
    schedule = {"quartz_cron_expression": "* * * * * ?", "timezone_id": "UTC", "pause_status": "PAUSED"}
    job_id = rest.create(condition("c"), schedule=schedule)
    time.sleep(1.3)
    assert "runs" not in rest.get("/jobs/runs/list", job_id=job_id)
    rest.post("/jobs/update", job_id=job_id, new_settings={"schedule": {**schedule, "pause_status": "UNPAUSED"}})
    first_run(rest, job_id)
    rest.post("/jobs/delete", job_id=job_id)


def test_an_interval_is_kept_and_shown(rest: Rest) -> None:
    job_id = rest.create(condition("c"), trigger={"periodic": {"interval": 2, "unit": "HOURS"}})
    shown = rest.get("/jobs/get", job_id=job_id)["settings"]["trigger"]
    assert shown == {"pause_status": "UNPAUSED", "periodic": {"interval": 2, "unit": "HOURS"}}
    outlook = rest.http.get(f"/api/v1/jobs/{job_id}").json()["spec"]["schedule"]
    assert outlook["every"] == 7200


def test_a_new_file_starts_a_run(rest: Rest, folder: Path) -> None:
    place = folder / "data" / "files" / "landing"
    place.mkdir(parents=True)
    check = condition("c", "{{job.trigger.file_arrival.location}}", "dbfs:/landing")
    job_id = rest.create(check, trigger={"file_arrival": {"url": "dbfs:/landing"}})
    time.sleep(0.3)
    (place / "new.csv").write_text("a\n1\n")
    run = first_run(rest, job_id)
    rest.post("/jobs/delete", job_id=job_id)
    assert run["trigger"] == "FILE_ARRIVAL"
    assert rest.run(run["run_id"])["tasks"][0]["condition_task"]["outcome"] == "true"


def test_a_changed_table_starts_a_run(rest: Rest) -> None:
    trigger = {"table_update": {"table_names": ["main.watched"], "condition": "ANY_UPDATED"}}
    job_id = rest.create(condition("c"), trigger=trigger)
    state = rest.get("/jobs/get", job_id=job_id, include_trigger_state="true")["trigger_state"]["table"]
    assert state["last_seen_table_states"] == [{"table_name": "main.watched", "has_seen_updates": False}]
    statement = "CREATE TABLE IF NOT EXISTS watched (n INT); INSERT INTO watched VALUES (1)"
    spec = {"name": "writes", "tasks": [{"key": "a", "action": {"kind": "sql", "statement": statement}}]}
    assert rest.http.post("/api/v1/runs", json={"spec": spec}).status_code == 201
    run = first_run(rest, job_id)
    rest.post("/jobs/delete", job_id=job_id)
    assert run["trigger"] == "TABLE"


def test_a_continuous_job_keeps_running_and_is_restarted_by_hand(rest: Rest) -> None:
    job_id = rest.create(rest.python("main", SLOW), continuous={"pause_status": "UNPAUSED"})
    first = first_run(rest, job_id)
    assert first["trigger"] == "CONTINUOUS"
    second = rest.start(job_id)
    assert rest.until(first["run_id"], *OVER)["state"]["result_state"] == "CANCELED"
    restarted = rest.until(second, "RUNNING")
    assert restarted["trigger"] == "CONTINUOUS_RESTART"
    time.sleep(1.5)
    assert len(rest.get("/jobs/runs/list", job_id=job_id)["runs"]) == 2
    rest.post("/jobs/delete", job_id=job_id)
    rest.post("/jobs/runs/cancel", run_id=second)
    rest.until(second, *OVER)


def test_triggers_that_cannot_be_are_refused(rest: Rest) -> None:
    def refused(**settings: Any) -> str:
        return rest.refused("/jobs/create", tasks=[condition("c")], **settings)

    assert "no model registry" in refused(trigger={"model": {"condition": "MODEL_CREATED"}})
    assert "60 or more" in refused(trigger={"file_arrival": {"url": "dbfs:/x", "min_time_between_triggers_seconds": 5}})
    assert "1 to 10" in refused(trigger={"table_update": {"table_names": [f"t{n}" for n in range(11)]}})
    assert "cannot be mixed" in refused(
        triggers=[{"continuous": {}}], schedule={"quartz_cron_expression": "0 0 1 * * ?", "timezone_id": "UTC"}
    )
    tasks = [condition("a"), condition("b", depends_on=[{"task_key": "a"}])]
    said = rest.refused("/jobs/create", tasks=tasks, continuous={"pause_status": "PAUSED"})
    assert said == "Continuous jobs do not support task dependencies."
