"""Who is told of runs: real webhooks to a server beside the test, and what e-mail settings become."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks.parts import Surroundings
from runyard.dialects.databricks.paths import Roots

from .conftest import Rest, broken, condition

Inbox = queue.Queue[dict[str, Any]]


@pytest.fixture
def receiver() -> Iterator[tuple[str, Inbox]]:
    inbox: Inbox = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", inbox
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def destination(rest: Rest, url: str) -> str:
    body = rest.post("/notification-destinations", display_name="hook", config={"generic_webhook": {"url": url}})
    assert body["destination_type"] == "WEBHOOK"
    return str(body["id"])


def test_a_webhook_is_told_of_start_failure_and_a_long_run(rest: Rest, receiver: tuple[str, Inbox]) -> None:
    url, inbox = receiver
    told = [{"id": destination(rest, url)}]
    events = ("on_start", "on_failure", "on_duration_warning_threshold_exceeded")
    rules = [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 1}]
    job_id = rest.create(
        rest.python("main", "import time\ntime.sleep(2)\nassert False"),
        name="told",
        webhook_notifications=dict.fromkeys(events, told),
        health={"rules": rules},
    )
    run_id = rest.ended(job_id)["run_id"]
    found = [inbox.get(timeout=10) for _ in events]
    assert {one["event_type"] for one in found} == {f"jobs.{event}" for event in events}
    for one in found:
        assert one["run"] == {"run_id": run_id}
        assert one["job"] == {"job_id": job_id, "name": "told"}
        assert one["workspace_id"] == "1"


def test_a_task_has_webhooks_of_its_own(rest: Rest, receiver: tuple[str, Inbox]) -> None:
    url, inbox = receiver
    hooks = {"on_success": [{"id": destination(rest, url)}]}
    run = rest.ended(rest.create(condition("a", webhook_notifications=hooks), condition("b")))
    found = inbox.get(timeout=10)
    assert (found["event_type"], found["task"]["task_key"]) == ("jobs.on_success", "a")
    assert found["run"]["run_id"] == run["run_id"]


def test_no_alert_is_sent_of_skipped_runs_when_that_is_asked(rest: Rest, receiver: tuple[str, Inbox]) -> None:
    url, inbox = receiver
    hooks = {"on_failure": [{"id": destination(rest, url)}]}
    limit: dict[str, Any] = {"max_concurrent_runs": 0, "queue": {"enabled": False}, "webhook_notifications": hooks}
    quiet = {"no_alert_for_skipped_runs": True}
    rest.ended(rest.create(broken("a"), notification_settings=quiet, **limit))
    loud = rest.ended(rest.create(broken("a"), **limit))
    assert inbox.get(timeout=10)["run"]["run_id"] == loud["run_id"]
    assert inbox.empty()


def test_an_unknown_destination_is_refused(rest: Rest) -> None:
    hooks = {"on_failure": [{"id": "nobody"}]}
    said = rest.refused("/jobs/create", tasks=[condition("a")], webhook_notifications=hooks)
    assert said == "There is no notification destination 'nobody'."
    four = {"on_failure": [{"id": str(n)} for n in range(4)]}
    assert "may name 3" in rest.refused("/jobs/create", tasks=[condition("a")], webhook_notifications=four)


def test_destinations_are_kept_changed_and_removed(rest: Rest) -> None:
    key = destination(rest, "http://127.0.0.1:1/a")
    path = f"/notification-destinations/{key}"
    rest.call("PATCH", path, json={"display_name": "other"})
    assert rest.get(path)["display_name"] == "other"
    assert key in {one["id"] for one in rest.get("/notification-destinations")["results"]}
    assert rest.call("DELETE", path) == {}
    assert rest.call("GET", path, 404)["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_email_goes_out_where_there_is_a_mail_server_only() -> None:
    settings = {
        "email_notifications": {"on_failure": ["ann@example.com"], "no_alert_for_skipped_runs": True},
        "tasks": [
            condition(
                "a",
                email_notifications={"on_start": ["bob@example.com"]},
                notification_settings={"alert_on_last_attempt": True},
            )
        ],
    }
    roots = Roots.below("/data")
    with_mail = compiling.job(settings, Surroundings(roots=roots, mail=True))
    assert [(one.email, one.on) for one in with_mail.notifications] == [(["ann@example.com"], ["failure", "cancelled"])]
    [task] = with_mail.tasks[0].notifications
    assert (task.email, task.on, task.every_attempt) == (["bob@example.com"], ["start"], False)
    without = compiling.job(settings, Surroundings(roots=roots))
    assert (without.notifications, without.tasks[0].notifications) == ([], [])
