"""Triggers through the public API, the client library and the command line of a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from runyard.client.client import Client
from runyard.core.triggers import AfterRuns, StartRun, TriggerSpec, Watched
from tests.api.helpers import SOURCE, Api, Server, shell, spec


@pytest.fixture
def job(api: Api) -> dict[str, Any]:
    return dict(api.call("POST", "/jobs", 201, json=spec(shell(), parameters={"day": "x"})))


@pytest.fixture
def trigger(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    given = {"source": {"kind": "manual"}, "actions": [{"job": job["id"], "parameters": {"day": "y"}}]}
    return dict(api.call("POST", "/triggers", 201, json=given))


def eventually(ask: Any) -> Any:
    deadline = time.monotonic() + 20
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_a_trigger_is_kept_shown_listed_changed_and_deleted(api: Api, trigger: dict[str, Any]) -> None:
    path = f"/triggers/{trigger['id']}"
    assert api.call("GET", path) == trigger
    assert (trigger["kind"], trigger["active"], trigger["fired"], trigger["version"]) == ("manual", True, 0, 1)
    assert trigger in api.call("GET", "/triggers?kind=manual")["items"]
    assert api.call("GET", "/triggers?kind=schedule&key=nobody")["items"] == []
    given = {**trigger["spec"], "source": {"kind": "schedule", "schedule": {"every": 3600}}}
    changed = api.call("PUT", path, json=given, headers={"If-Match": "1"})
    assert (changed["kind"], changed["version"], "next_at" in changed) == ("schedule", 2, True)
    api.refused("PUT", path, 409, json=given, headers={"If-Match": "1"})
    assert api.call("POST", f"{path}/pause")["active"] is False
    assert api.call("POST", f"{path}/resume")["active"] is True
    api.call("DELETE", path, 204)
    api.refused("GET", path, 404)


def test_a_wrong_trigger_is_refused_with_its_field(api: Api, job: dict[str, Any]) -> None:
    actions = [{"job": job["id"]}]
    for given, field in (
        ({"source": {"kind": "after_runs", "watch": []}, "actions": actions}, "source.watch"),
        ({"source": {"kind": "manual"}, "actions": []}, "actions"),
        ({"source": {"kind": "manual"}, "actions": [{"job": job["id"], "parameters": {"x": 1}}]}, None),
        ({"source": {"kind": "weather"}, "actions": actions}, None),
        ({"source": {"kind": "manual", "x": 1}, "actions": actions}, None),
    ):
        problem = api.refused("POST", "/triggers", 400, json=given)
        assert field is None or problem["field"] == field
    api.refused("POST", "/triggers", 404, json={"source": {"kind": "manual"}, "actions": [{"job": 1}]})


def test_a_firing_starts_runs_and_stands_in_the_history(api: Api, trigger: dict[str, Any], job: dict[str, Any]) -> None:
    path = f"/triggers/{trigger['id']}"
    preview = api.call("GET", f"{path}/dry-run")
    assert preview["starts"] == [{"job_id": job["id"], "name": job["name"], "parameters": {"day": "y"}}]
    firing = api.call("POST", f"{path}/fire", 201, json={"parameters": {"day": "z"}})
    run = api.call("GET", f"/runs/{firing['runs'][0]}")
    assert (run["parameters"], run["submitted_by"]) == ({"day": "z"}, "admin")
    assert run["extras"]["trigger"]["firing"] == firing["id"]
    assert api.call("GET", f"{path}/firings")["items"] == [firing]
    assert api.call("GET", path)["fired"] == 1


def test_a_chain_runs_to_its_end_on_a_real_server(server: Server, api: Api, job: dict[str, Any]) -> None:
    with Client(server.url, server.admin_token) as client:
        jobs = [client.job(job["id"]), *(client.create_job(client.job(job["id"]).spec) for _ in range(3))]
        root = client.create_trigger(
            TriggerSpec(source=AfterRuns(watch=[Watched(job=jobs[0].id)], by_hand=True),
                        actions=[StartRun(job=jobs[1].id), StartRun(job=jobs[2].id)])
        )  # fmt: skip
        watch = [Watched(job=jobs[1].id), Watched(job=jobs[2].id)]
        last = client.create_trigger(TriggerSpec(source=AfterRuns(watch=watch), actions=[StartRun(job=jobs[3].id)]))
        begun = client.submit(jobs[0])
        [firing] = eventually(lambda: list(client.firings(last.id)))
        [first] = client.firings(root.id)
        assert (first.chain, first.after, firing.chain) == (begun.id, [begun.id], begun.id)
        assert sorted(firing.after) == sorted(first.runs)
        assert client.wait(firing.runs[0], timeout=20).trigger == "after_runs"
        assert client.dry_run(root.id, run=begun.id).fires is False
        for one in (root, last):
            client.delete_trigger(one.id)


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


def test_the_command_line_fires_pauses_and_tells(server: Server, trigger: dict[str, Any]) -> None:
    number = str(trigger["id"])
    assert '"y"' in _runyard(server, "triggers", "dry-run", number)
    _runyard(server, "triggers", "fire", number, "-p", "day=z")
    assert "manual" in _runyard(server, "triggers", "history", number)
    with Client(server.url, server.admin_token) as client:
        [firing] = client.firings(trigger["id"])
    assert f"trigger {number}, chain {firing.chain}" in _runyard(server, "show", str(firing.runs[0]))
    assert "paused" in _runyard(server, "triggers", "pause", number)
    assert "manual, active" in _runyard(server, "triggers", "resume", number)
