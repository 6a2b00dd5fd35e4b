"""Who is told of what: points of runs and tasks, warnings of long ones, e-mail only where it can be sent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from runyard.core.commands import Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Notification, Retries, Run
from runyard.engine import mails, webhooks
from runyard.engine.duties import notifier
from runyard.store.base import Delivery

from .bench import Bench, refused, spec, task

HOOK = "https://example.com/hook"
POINTS: list[Any] = ["start", "success", "failure", "cancelled", "skipped", "duration"]
ALL = [Notification(url=HOOK, on=POINTS)]


def told(bench: Bench, ahead: float = 0) -> list[str]:
    """The events that are due by then, in the order in which they were owed."""
    with bench.store.reading() as reads:
        due = reads.deliveries(bench.clock.at + round(ahead * 1000))
    return [one.event for one in sorted(due, key=lambda one: one.id)]


def owed(bench: Bench) -> list[Delivery]:
    with bench.store.reading() as reads:
        return reads.deliveries(1 << 52)


# --- runs and tasks ---


@pytest.mark.parametrize(("result", "point"), [("succeeded", "success"), ("failed", "failure")])
def test_a_run_tells_of_its_start_and_its_end(result: str, point: str) -> None:
    bench = Bench()
    run = bench.submit(spec(notifications=ALL))
    bench.finish(run, result=result)
    assert told(bench) == ["run.start", f"run.{point}"]


def test_a_cancelled_run_and_a_skipped_one_are_told_where_asked() -> None:
    bench = Bench()
    job = bench.job(notifications=ALL, max_concurrent_runs=1, on_limit="skip")
    run = bench.submit(job)
    bench.submit(job)
    bench.cancel(run)
    bench.finish(run, result="stopped")
    assert told(bench) == ["run.start", "run.skipped", "run.cancelled"]


def test_nothing_is_told_that_was_not_asked_for() -> None:
    bench = Bench()
    run = bench.submit(spec(notifications=[Notification(url=HOOK)]))
    bench.finish(run)
    assert told(bench) == []


def test_a_task_tells_of_every_attempt_or_of_the_last_end_only() -> None:
    bench = Bench()
    a = task("a", retries=Retries(max=1), notifications=[Notification(url=HOOK, on=["start", "failure"])])
    b = task("b", retries=Retries(max=1), notifications=[
        Notification(url=HOOK, on=["start", "failure"], every_attempt=False)
    ])  # fmt: skip
    first, second = bench.submit(spec(a)), bench.submit(spec(b))
    for run, key in ((first, "a"), (second, "b")):
        for _ in range(2):
            bench.begin(run, key)
            bench.finish(run, key, result="failed")
    events = {run.id: [one.event for one in owed(bench) if one.run_id == run.id] for run in (first, second)}
    assert sorted(events[first.id]) == ["task.failure", "task.failure", "task.start", "task.start"]
    assert sorted(events[second.id]) == ["task.failure", "task.start"]
    body = json.loads(owed(bench)[0].body)
    assert (body["run"]["id"], body["task_run"]["key"]) == (first.id, "a")


# --- what takes too long ---


def sent(**options: Any) -> tuple[Bench, list[Delivery]]:
    """A bench that keeps what it sends."""
    kept: list[Delivery] = []

    def post(delivery: Delivery) -> str:
        kept.append(delivery)
        return ""

    return Bench(post=post, **options), kept


def settle(bench: Bench) -> None:
    """Lets the senders finish what they have."""
    notifier_ = bench.engine._notifier
    assert notifier_ is not None
    notifier_._senders.shutdown(wait=True)


def test_a_run_that_takes_longer_than_its_limit_is_told_once() -> None:
    bench, kept = sent()
    run = bench.submit(spec(notifications=[Notification(url=HOOK, on=["duration"])], warn_after=60))
    bench.later(59)
    assert told(bench) == []
    bench.later(1)
    settle(bench)
    assert [one.event for one in kept] == ["run.duration"]
    assert json.loads(kept[0].body)["limit_seconds"] == 60
    assert bench.run(run).ended_at is None


def test_a_run_that_ended_in_time_is_not_told_of_and_owes_nothing_more() -> None:
    bench, kept = sent()
    run = bench.submit(spec(notifications=[Notification(url=HOOK, on=["duration"])], warn_after=60))
    bench.finish(run)
    bench.later(60)
    settle(bench)
    assert kept == []
    assert owed(bench) == []


def test_a_task_that_takes_longer_than_its_limit_is_told_of() -> None:
    bench, kept = sent()
    slow = task("a", warn_after=5, notifications=[Notification(url=HOOK, on=["duration"])])
    run = bench.submit(spec(slow, task("b", warn_after=5, notifications=slow.notifications)))
    bench.begin(run, "a")
    bench.begin(run, "b")
    bench.finish(run, "b")
    bench.later(5)
    settle(bench)
    assert [json.loads(one.body)["task_run"]["key"] for one in kept] == ["a"]


def test_a_warning_of_an_earlier_round_is_not_sent_in_a_later_one() -> None:
    bench = Bench()
    run = bench.submit(spec(notifications=[Notification(url=HOOK, on=["duration"])], warn_after=60))
    [earlier] = owed(bench)
    bench.finish(run, result="failed")
    bench.repair(run)
    with bench.store.reading() as reads:
        assert not notifier.needed(reads, earlier)
        assert [notifier.needed(reads, one) for one in owed(bench)] == [False, True]


# --- a body of one's own ---


def test_a_webhook_may_have_a_body_of_its_own() -> None:
    form = {"kind": "jobs.on_failure", "run": {"run_id": "{{ run.id }}"}, "text": "{{ job.name }}: {{ run.event }}"}
    bench = Bench()
    run = bench.submit(spec(notifications=[Notification(url=HOOK, body=form)], name="nightly"))
    bench.finish(run, result="failed")
    assert json.loads(webhooks._body(owed(bench)[0])) == {
        "kind": "jobs.on_failure",
        "run": {"run_id": run.id},
        "text": "nightly: run.failure",
    }


def test_a_body_of_ones_own_does_not_keep_a_warning_from_being_dropped() -> None:
    bench = Bench()
    own = [Notification(url=HOOK, on=["duration"], body={"task": "{{ task.key }}"})]
    run = bench.submit(spec(task("a", warn_after=5, notifications=own)))
    bench.begin(run)
    [warning] = owed(bench)
    assert json.loads(webhooks._body(warning)) == {"task": "a"}
    bench.finish(run)
    with bench.store.reading() as reads:
        assert not notifier.needed(reads, warning)


# --- definitions ---


def test_e_mail_is_refused_where_no_mail_server_is_set() -> None:
    mailing = spec(task("a", notifications=[Notification(email=["ann@example.com"])]))
    bench = Bench()
    for ask in (
        lambda: bench.registry.create_job(mailing, by="ann"),
        lambda: bench.registry.update_job(bench.job().id, mailing, by="ann"),
        lambda: bench.runs.submit(Submit(spec=mailing), "ann"),
        lambda: bench.runs.submit_many([Submit(spec=mailing)], "ann"),
    ):
        error = refused(ask, Code.INVALID, "smtp_url")
        assert error.field == "tasks[0].notifications[0].email"
    assert Bench(mail=True).registry.create_job(mailing, by="ann").result().spec == mailing


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Notification(), "notifications[0]"),
        (Notification(url=HOOK, email=["a@b"]), "notifications[0]"),
        (Notification(url="file:///etc/passwd"), "notifications[0].url"),
        (Notification(email=["not an address"]), "notifications[0].email"),
        (Notification(email=["a@b>\r\nBcc: c@d"]), "notifications[0].email"),
        (Notification(url=HOOK, on=[]), "notifications[0].on"),
        (Notification(email=["a@b"], body={}), "notifications[0].body"),
        (Notification(url=HOOK, body={"x": "{{ run.secret }}"}), "notifications[0].body"),
        (Notification(url=HOOK, body={"x": "{{ parameters.day }}"}), "notifications[0].body"),
    ],
)
def test_a_notification_that_reaches_nobody_is_refused(wrong: Notification, field: str) -> None:
    bench = Bench(mail=True)
    error = refused(lambda: bench.registry.create_job(spec(notifications=[wrong]), by="ann"), Code.INVALID)
    assert error.field == field


# --- a real mail server ---


class Inbox:
    """Keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.got.append(envelope)
        return self.answer


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, mails.MailServer]]:
    handler = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:  # the controller must be told its port
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler, mails.mail_server(f"smtp://127.0.0.1:{port}", "runyard@example.com")
    finally:
        controller.stop()


def failed(bench: Bench) -> Run:
    mailing = [Notification(email=["ann@example.com", "bob@example.com"])]
    run = bench.submit(spec(notifications=mailing, name="nightly\r\nBcc: eve@example.com"))
    bench.finish(run, result="failed", detail="exit code 1")
    return run


def test_a_mail_goes_to_each_address_and_says_what_happened(inbox: tuple[Inbox, mails.MailServer]) -> None:
    handler, server = inbox
    bench = Bench(mail=True)
    run = failed(bench)
    assert [mails.post(one, server) for one in owed(bench)] == ["", ""]
    assert sorted(one.rcpt_tos[0] for one in handler.got) == ["ann@example.com", "bob@example.com"]
    assert {one.mail_from for one in handler.got} == {"runyard@example.com"}
    text = handler.got[0].content.decode()
    assert f"(run {run.id})" in text.replace("\r\n ", " ")
    assert "exit code 1" in text
    assert "\r\nBcc:" not in text


def test_a_mail_that_is_refused_is_tried_again(inbox: tuple[Inbox, mails.MailServer]) -> None:
    handler, server = inbox
    bench = Bench(mail=True)
    failed(bench)
    handler.answer = "451 not now"
    delivery, _ = owed(bench)
    trouble = mails.post(delivery, server)
    assert "refused" in trouble
    bench.engine.writer.execute(lambda ledger: notifier.settle(ledger, delivery, trouble)).result()
    assert [one.attempts for one in owed(bench) if one.id == delivery.id] == [1]


def test_a_mail_server_that_is_down_is_a_sentence_and_no_error() -> None:
    bench = Bench(mail=True)
    failed(bench)
    server = mails.mail_server("smtp://127.0.0.1:9", "runyard@example.com")
    assert "cannot be reached" in mails.post(owed(bench)[0], server)


def test_a_password_is_not_sent_without_encryption(inbox: tuple[Inbox, mails.MailServer]) -> None:
    handler, open_ = inbox
    bench = Bench(mail=True)
    failed(bench)
    server = mails.mail_server(f"smtp://ann:secret@{open_.host}:{open_.port}", "runyard@example.com")
    assert "no encryption" in mails.post(owed(bench)[0], server)
    assert handler.got == []


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://h:99999", "nonsense"])
def test_a_wrong_mail_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RunyardError) as caught:
        mails.mail_server(url, "a@b")
    assert caught.value.field == "smtp_url"
    with pytest.raises(RunyardError) as caught:
        mails.mail_server("smtps://u:secret@h", "")
    assert caught.value.field == "mail_from"
    assert "secret" not in caught.value.message
