"""Schedules through the public API, the client library and the command line of a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runyard.client.client import Client
from runyard.core.model import JobSpec
from tests.api.helpers import SOURCE, Api, Server, shell, spec


@pytest.fixture
def job(api: Api) -> dict[str, Any]:
    schedule = {"cron": "30 6 * * MON-FRI", "time_zone": "Europe/Berlin"}
    return dict(api.call("POST", "/jobs", 201, json=spec(shell(), schedule=schedule)))


def test_a_job_shows_its_next_three_fire_times(api: Api, job: dict[str, Any]) -> None:
    shown = api.call("GET", f"/jobs/{job['id']}")
    assert shown == job
    assert shown["schedule"]["paused"] is False
    assert len(shown["schedule"]["next"]) == 3
    assert all(at[14:] == "30:00.000Z" for at in shown["schedule"]["next"])
    assert "schedule" not in api.call("GET", "/jobs?limit=1")["items"][0]


def test_as_many_fire_times_are_shown_as_asked_for(api: Api, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['id']}/schedule"
    times = api.call("GET", f"{path}?count=100")["next"]
    assert (len(times), times) == (100, sorted(times))
    for count in ("0", "101", "x"):
        api.refused("GET", f"{path}?count={count}", 400)


def test_pause_and_resume(api: Api, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['id']}/schedule"
    assert api.call("POST", f"{path}/pause")["next"] == []
    assert api.call("GET", f"/jobs/{job['id']}")["schedule"]["paused"] is True
    assert len(api.call("POST", f"{path}/resume")["next"]) == 5


def test_a_job_without_a_schedule_says_so(api: Api) -> None:
    bare = api.call("POST", "/jobs", 201, json=spec())
    assert "schedule" not in bare
    for method, path in (("GET", "schedule"), ("POST", "schedule/pause"), ("POST", "schedule/resume")):
        assert "no schedule" in api.refused(method, f"/jobs/{bare['id']}/{path}", 409)["detail"]
        api.refused(method, f"/jobs/1/{path}", 404)


def test_a_wrong_schedule_is_refused_with_its_field_and_near_fire_times(api: Api) -> None:
    wrong = spec(shell(), schedule={"cron": "0 25 * * *"})
    problem = api.refused("POST", "/jobs", 400, json=wrong)
    assert problem["field"] == "schedule.cron"
    assert (
        "the hour field is '25': 25 is outside 0 to 23. Did you mean '0 23 * * *'? It would fire at"
        in problem["detail"]
    )
    for schedule in ({"cron": "* * * * *", "flavour": "vixie"}, {"every": 5, "evry": 6}, {"every": "5"}, "* * * * *"):
        api.refused("POST", "/jobs", 400, json=spec(shell(), schedule=schedule))


def test_a_schedule_runs_its_job(api: Api) -> None:
    job = api.call("POST", "/jobs", 201, json=spec(shell(), schedule={"every": 1}))
    deadline = time.monotonic() + 20
    while not (runs := api.call("GET", f"/runs?job={job['id']}&state=succeeded")["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    api.call("POST", f"/jobs/{job['id']}/schedule/pause")
    assert (runs[-1]["trigger"], runs[-1]["submitted_by"]) == ("schedule", "admin")
    ticks = {tick["run_id"]: tick["at"] for tick in api.call("GET", f"/jobs/{job['id']}/schedule")["ticks"]}
    assert ticks[runs[-1]["id"]] == runs[-1]["scheduled_at"]


def test_a_backfill_answers_with_ticks_and_runs(api: Api, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['id']}/backfill"
    span = {"from": "2026-03-27", "to": "2026-04-01T00:00:00Z"}
    times = ["2026-03-27T05:30:00.000Z", "2026-03-30T04:30:00.000Z", "2026-03-31T04:30:00.000Z"]
    assert api.call("POST", path, json={**span, "dry_run": True}) == {"times": times, "ids": []}
    made = api.call("POST", path, json={**span, "limit": 2})
    assert (made["times"], len(made["ids"]), made["next"]) == (times[:2], 2, times[2])
    run = api.wait({"id": made["ids"][1]})
    assert (run["trigger"], run["scheduled_at"]) == ("backfill", times[1])
    assert api.call("POST", path, json=span)["times"] == times[2:]
    for wrong in (
        {},
        {"from": "x"},
        {"from": "2026-03-27", "to": "2026-03-26"},
        {**span, "limit": 0},
        {**span, "too": 1},
    ):
        api.refused("POST", path, 400, json=wrong)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    api.refused("POST", path, 400, json={"from": "2026-03-27", "to": tomorrow})


def test_the_client_library_speaks_of_schedules(server: Server, job: dict[str, Any]) -> None:
    with Client(server.url, server.admin_token) as client:
        shown = client.job(job["id"]).schedule
        assert shown is not None
        assert len(shown.next) == 3
        assert len(client.schedule(job["id"], count=7).next) == 7
        assert client.pause_job(job["id"]).paused
        assert not client.resume_job(job["id"]).paused
        found = client.backfill(job["id"], "2026-03-27", datetime(2026, 3, 28, tzinfo=UTC))
        assert found.times == [datetime(2026, 3, 27, 5, 30, tzinfo=UTC)]
        run = client.wait(found.ids[0])
        assert (run.trigger, run.scheduled_at) == ("backfill", found.times[0])
        assert isinstance(client.job(job["id"]).spec, JobSpec)


def _runyard(server: Server, *words: str) -> str:
    environment = {
        "RUNYARD_URL": server.url,
        "RUNYARD_TOKEN": server.admin_token,
        "PYTHONPATH": str(SOURCE),
        "TZ": "UTC",
    }
    run = subprocess.run(
        [sys.executable, "-m", "runyard", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_command_line_shows_pauses_resumes_and_backfills(server: Server, job: dict[str, Any]) -> None:
    number = str(job["id"])
    shown = _runyard(server, "jobs", "show", number)
    assert "30 6 * * MON-FRI (unix, Europe/Berlin)" in shown
    assert shown.count(":30:00") == 3
    assert "paused" in _runyard(server, "jobs", "pause", number)
    assert "paused" not in _runyard(server, "jobs", "resume", number)
    dry = _runyard(server, "jobs", "backfill", number, "--from", "2026-03-27", "--to", "2026-03-31", "--dry-run")
    assert dry.count(":30:00") == 2
    filled = _runyard(server, "jobs", "backfill", number, "--from", "2026-03-27", "--to", "2026-03-31", "-n", "1")
    assert "there is more: go on with --from 2026-03-30T04:30:00.000Z" in filled
    assert "2026-03-27 05:30:00" in _runyard(server, "jobs", "schedule", number)
