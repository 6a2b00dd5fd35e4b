"""Webhook messages: owed with the change that they tell, delivered at least once, only to allowed addresses."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from runyard.core.actions import Shell
from runyard.core.attempts import Outcome
from runyard.core.commands import Submit
from runyard.core.model import JobSpec, Notification, Task
from runyard.engine import webhooks
from runyard.engine.duties import notifier
from runyard.engine.engine import Engine
from runyard.store.base import Delivery
from runyard.store.sqlite import SqliteStore

from .fakes import HandExecutor


class Receiver:
    """A real HTTP server on loopback that keeps what it gets and answers what it is told."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(json.loads(body))
                outer.headers.append(dict(self.headers))
                outer.bodies.append(body.decode())
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def failed_run(url: str, post: Callable[[Delivery], str]) -> Engine:
    executor = HandExecutor()
    executor.on_start = lambda one: executor.end(
        one, Outcome(result="failed", reason="exit_code", detail="exit code 1")
    )
    engine = Engine(SqliteStore(":memory:"), [executor], post=post)
    engine.start()
    spec = JobSpec(
        name="nightly", tasks=[Task(key="a", action=Shell(command="false"))], notifications=[Notification(url=url)]
    )
    engine.runs.submit(Submit(spec=spec), "me").result()
    return engine


def owed(engine: Engine) -> list[Delivery]:
    with engine.store.reading() as reads:
        return reads.deliveries(engine.clock.now() + 10**9)


def test_a_failure_is_told_with_its_reason(receiver: Receiver) -> None:
    engine = failed_run(receiver.url, lambda delivery: "")
    (delivery,) = owed(engine)
    assert webhooks.post(delivery, allow_private=True) == ""
    assert receiver.got[0]["event"] == "run.failure"
    assert receiver.got[0]["run"]["state"] == "failed"
    assert "exit code 1" in receiver.got[0]["run"]["detail"]


def test_a_message_is_signed_over_its_time_and_body_with_the_key_of_its_url(receiver: Receiver) -> None:
    (delivery,) = owed(failed_run(receiver.url, lambda delivery: ""))
    assert webhooks.post(delivery, allow_private=True, key=lambda url: f"key of {url}") == ""
    [headers], [body] = receiver.headers, receiver.bodies
    signed = f"{headers['Runyard-Sent-At']}.{body}".encode()
    expected = hmac.new(f"key of {receiver.url}".encode(), signed, hashlib.sha256).hexdigest()
    assert headers["Runyard-Signature"] == f"sha256={expected}"
    assert (headers["Runyard-Event"], headers["Runyard-Delivery"]) == ("run.failure", str(delivery.id))


def test_a_private_address_is_refused_by_default(receiver: Receiver) -> None:
    (delivery,) = owed(failed_run(receiver.url, lambda delivery: ""))
    assert "not public" in webhooks.post(delivery, allow_private=False)
    assert receiver.got == []


def test_a_message_that_was_taken_is_not_owed_any_more(receiver: Receiver) -> None:
    engine = failed_run(receiver.url, lambda delivery: "")
    (delivery,) = owed(engine)
    engine.writer.execute(lambda ledger: notifier.settle(ledger, delivery, "")).result()
    assert owed(engine) == []


def test_a_receiver_that_answers_500_is_tried_again_later(receiver: Receiver) -> None:
    receiver.status = 500
    engine = failed_run(receiver.url, lambda delivery: "")
    (delivery,) = owed(engine)
    trouble = webhooks.post(delivery, allow_private=True)
    assert "500" in trouble
    engine.writer.execute(lambda ledger: notifier.settle(ledger, delivery, trouble)).result()
    (again,) = owed(engine)
    assert again.attempts == 1
    assert again.error == trouble
    assert again.due_at is not None
    assert again.due_at > (delivery.due_at or 0)


def test_a_message_is_given_up_after_its_last_attempt(receiver: Receiver) -> None:
    engine = failed_run(receiver.url, lambda delivery: "")
    for _ in range(notifier.MAX_ATTEMPTS):
        (delivery,) = owed(engine)
        engine.writer.execute(partial(notifier.settle, delivery=delivery, trouble="down")).result()
    assert owed(engine) == []
