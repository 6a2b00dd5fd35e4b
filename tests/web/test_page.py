"""The web page: what it shows, whom it lets in, and that nothing that somebody wrote can run in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live_server import live_server
from tests.web.browser import CHROMIUM, browser

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
TOKEN = "operator-secret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    with live_server(folder, "--token", TOKEN) as url, httpx.Client(base_url=url, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


@pytest.fixture
def stranger(http: httpx.Client) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=http.base_url, timeout=30) as client:
        yield client


def submitted(http: httpx.Client, *tasks: dict[str, Any], **more: Any) -> int:
    answer = http.post("/api/v1/runs", json={"spec": {"name": "job", "tasks": list(tasks), **more}})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def ended(http: httpx.Client, run_id: int) -> int:
    deadline = time.monotonic() + 30
    while (run := http.get(f"/api/v1/runs/{run_id}").json())["ended_at"] is None:
        assert time.monotonic() < deadline, run
        time.sleep(0.05)
    return run_id


def shell(key: str, command: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": {"kind": "shell", "command": command}, **more}


def test_a_run_shows_its_tasks_attempts_messages_and_logs(http: httpx.Client) -> None:
    tasks = [
        shell("first", "echo hello"),
        shell("second", "exit 3", needs=[{"task": "first"}], retries={"max": 1}),
        shell("third", "true", needs=[{"task": "second"}]),
    ]
    run_id = ended(http, submitted(http, *tasks, parameters={"day": "monday"}, tags={"team": "sales"}))
    text = http.get(f"/runs/{run_id}").text
    for said in ("monday", "sales", "after first", "1 earlier", "upstream failed", "operator (manual, native)"):
        assert said in text
    tasks = http.get(f"/api/v1/runs/{run_id}").json()["tasks"]
    assert f'href="/task-runs/{tasks[0]["id"]}/log"' in text
    assert f'href="/task-runs/{tasks[2]["id"]}/log"' not in text
    log = http.get(f"/task-runs/{tasks[0]['id']}/log")
    assert (log.text, log.headers["content-type"]) == ("hello\n", "text/plain; charset=utf-8")
    assert log.headers["content-security-policy"].startswith("sandbox")


def test_whatever_people_write_is_text(http: httpx.Client) -> None:
    task = shell("evil", f"echo '{EVIL}'", description=EVIL)
    run_id = ended(http, submitted(http, task, name=EVIL, parameters={EVIL: EVIL}, tags={"t": EVIL}))
    for address in ("/", f"/runs/{run_id}"):
        answer = http.get(address)
        assert EVIL not in answer.text
        assert "<img" not in answer.text
        assert answer.text.count("<script") == 1  # our own
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_iterations_are_counted_and_what_failed_comes_first(http: httpx.Client) -> None:
    each = {"kind": "for_each", "inputs": list(range(300)), "concurrency": 8}
    each["action"] = {"kind": "sql", "statement": "SELECT 1 / (:n - 299 + 0) AS n", "parameters": {"n": "{{ input }}"}}
    run_id = ended(http, submitted(http, {"key": "each", "action": each}))
    text = http.get(f"/runs/{run_id}").text
    assert "300 iterations" in text
    assert "and 100 more" in text


def test_large_runs_come_in_pages(http: httpx.Client) -> None:
    tasks = [{"key": f"t{n}", "action": {"kind": "condition", "left": 1, "op": "==", "right": 1}} for n in range(201)]
    run_id = ended(http, submitted(http, *tasks))
    first = http.get(f"/runs/{run_id}").text
    assert "<b>t199</b>" in first
    assert "<b>t200</b>" not in first
    later = http.get(f"/runs/{run_id}?first=200").text
    assert "<b>t200</b>" in later
    assert "<b>t199</b>" not in later


def test_the_id_of_a_task_run_leads_to_its_run(http: httpx.Client) -> None:
    run_id = ended(http, submitted(http, shell("one", "true")))
    task = http.get(f"/api/v1/runs/{run_id}").json()["tasks"][0]["id"]
    for address in (f"/runs/{task}", f"/task-runs/{task}", f"/jobs/1/runs/{task}"):
        assert http.get(address).headers["location"] == f"/runs/{run_id}#t{task}"


def test_the_list_goes_on_page_by_page_and_by_state(http: httpx.Client) -> None:
    for n in range(51):
        last = submitted(http, shell("one", "false" if n == 50 else "true"), name=f"run {n}")
    ended(http, last)
    first = http.get("/?o=1").text
    assert "run 50" in first
    older = first.partition('href="/?cursor=')[2].partition('"')[0]
    assert "run 0<" in http.get(f"/?cursor={older}").text
    failed = http.get("/?state=failed").text
    assert "run 50<" in failed
    assert "run 49<" not in failed
    assert http.get("/?state=odd").status_code == 400


def test_a_run_that_is_followed_tells_of_each_change_and_of_its_end(http: httpx.Client) -> None:
    run_id = submitted(http, shell("one", "sleep 0.3"))
    with http.stream("GET", f"/runs/{run_id}/changes", params={"seq": 0}) as answer:
        kinds = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    assert kinds[0] == "change"
    assert kinds[-1] == "end"


@pytest.mark.parametrize(
    "path", ["/", "/?state=live", "/runs/1", "/runs/1/changes", "/jobs/1/runs/1", "/task-runs/1", "/task-runs/1/log"]
)
def test_strangers_get_the_form_and_nothing_else(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert 'action="/sign-in"' in answer.text
    assert "job" not in answer.text.partition("<main")[2].replace("/jobs/1", "")


def test_a_token_that_may_not_read_runs_is_told_so(http: httpx.Client, stranger: httpx.Client) -> None:
    made = http.post("/api/v1/principals", json={"name": "loader", "scopes": ["data:write"]}).json()
    answer = stranger.get("/", headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status_code == 403
    assert "runs:read" in answer.text


def test_a_sign_in_keeps_the_token_where_no_script_and_no_other_site_gets_it(stranger: httpx.Client) -> None:
    answer = stranger.post("/sign-in", data={"token": TOKEN, "next": "/runs/7"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/7")
    kept = answer.headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=Strict" in kept
    assert stranger.get("/").status_code == 200
    assert stranger.get("/api/v1/runs").status_code == 401  # no page can make the browser call the API
    stranger.post("/sign-out")
    assert stranger.get("/").status_code == 401


def test_a_wrong_token_is_told_at_the_form(stranger: httpx.Client) -> None:
    for wrong in ("nonsense", "with space; Path=/x", "", "\r\nSet-Cookie: x=1"):
        stranger.post("/sign-in", data={"token": wrong})
        answer = stranger.get("/")
        assert answer.status_code == 401
    assert "not one that this server issued" in answer.text


@pytest.mark.parametrize(
    "target", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere", "/runs/1\r\nX: y"]
)
def test_a_sign_in_leads_to_no_other_place(stranger: httpx.Client, target: str) -> None:
    assert stranger.post("/sign-in", data={"token": TOKEN, "next": target}).headers["location"] == "/"


def test_a_sign_in_from_another_sites_page_is_refused(stranger: httpx.Client) -> None:
    answer = stranger.post("/sign-in", data={"token": TOKEN}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_page_that_is_not_there_is_told_as_a_page(http: httpx.Client) -> None:
    for path in ("/runs/1", "/runs/x", "/task-runs/1/log", "/assets/secret"):
        answer = http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8"), path


# --- in a browser -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")
def test_a_browser_signs_in_follows_a_run_to_its_end_and_runs_no_script_of_a_job(
    http: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    go = folder / "go"
    waits = shell("waits", f"while [ ! -e {go} ]; do sleep 0.05; done")
    job = http.post("/api/2.2/jobs/create", json={"name": EVIL}).json()["job_id"]
    run_id = submitted(http, waits, shell("after", "true", needs=[{"task": "waits"}]), name=EVIL)
    with browser(tmp_path) as tab:
        tab.size(390, 800, dark=True)
        # The address that the Databricks dialect gives as run_page_url.
        tab.open(f"{http.base_url}/?o=1#job/{job}/run/{run_id}".replace("//?", "/?"))
        tab.until(f"location.pathname === '/runs/{run_id}' && document.querySelector('[name=token]')")
        tab.run(f"document.querySelector('[name=token]').value = '{TOKEN}'; document.forms[0].submit()")
        tab.until("document.querySelector('.tasks .running')")
        assert tab.run("document.title").startswith(EVIL)
        assert tab.run("document.querySelectorAll('img').length") == 0
        assert tab.run("document.documentElement.scrollWidth") <= 390
        assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 29)"
        assert tab.run("document.cookie") == ""
        go.touch()
        tab.until("document.querySelectorAll('.tasks .succeeded').length === 2")
        tab.until("document.querySelector('h1 .succeeded')")
