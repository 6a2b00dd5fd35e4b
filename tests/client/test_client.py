"""The client library against a real server."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

import runyard
from runyard.client.follow import follow
from runyard.core.errors import Code

QUICK = runyard.Job(
    name="quick",
    tasks=[
        runyard.Task(key="say", action=runyard.Shell(command="echo one; echo two; printf three")),
        runyard.Task(key="ask", action=runyard.Sql(statement="select 6 * 7 as answer"), needs=runyard.needs("say")),
    ],
)
SLOW = runyard.Job(
    name="slow", tasks=[runyard.Task(key="wait", action=runyard.Shell(command="echo begun; exec sleep 60"))]
)
CODE = runyard.Job(
    name="code",
    parameters={"code": 3},
    tasks=[runyard.Task(key="end", action=runyard.Shell(command="echo so; exit {{ parameters.code }}"))],
)


def test_a_job_in_python_runs_and_its_result_is_read(client: runyard.Client) -> None:
    run = client.run(QUICK, timeout=30)
    assert run.succeeded
    assert [task.task_key for task in run.tasks] == ["say", "ask"]
    result = client.output(run.task("ask").id)
    assert isinstance(result, runyard.Result)
    assert result.dicts() == [{"answer": 42}]
    assert client.output(run.task("say").id) is None
    assert "".join(client.logs(run.task("say").id)) == "one\ntwo\nthree"


def test_times_are_datetimes_in_utc(client: runyard.Client) -> None:
    run = client.run(QUICK, timeout=30)
    assert run.created_at and run.started_at and run.ended_at  # noqa: PT018 - one fact
    assert run.created_at <= run.started_at <= run.ended_at
    assert abs(datetime.now(UTC) - run.ended_at) < timedelta(minutes=1)


def test_waiting_gives_up_after_its_time_and_the_run_goes_on(client: runyard.Client) -> None:
    run = client.submit(SLOW)
    with pytest.raises(TimeoutError, match="it goes on"):
        client.wait(run.id, timeout=0.3)
    assert client.cancel(run.id, detail="enough").id == run.id
    ended = client.wait(run.id, timeout=20)
    assert ended.state is runyard.State.CANCELLED


def test_a_failed_run_is_no_exception(client: runyard.Client) -> None:
    run = client.run(CODE, timeout=30)
    assert (run.state, run.task("end").exit_code) == (runyard.State.FAILED, 3)


def test_a_repair_and_a_rerun_take_other_parameters(client: runyard.Client) -> None:
    run = client.run(CODE, timeout=30)
    assert client.wait(client.repair(run.id, parameters={"code": 0}).id, timeout=30).succeeded
    again = client.wait(client.rerun(run.id, parameters={"code": 4}).id, timeout=30)
    assert (again.rerun_of, again.task("end").exit_code) == (run.id, 4)
    assert len(client.get(run.id, all_attempts=True).tasks) == 2


def test_events_tell_the_run_from_its_beginning_to_its_end(client: runyard.Client) -> None:
    run = client.submit(QUICK)
    followed = [event.seq for event in client.events(run.id, follow=True)]
    assert followed == sorted(set(followed))
    assert followed[-1] == client.get(run.id).seq
    assert [event.seq for event in client.events(run.id)] == followed
    assert [event.seq for event in client.events(run.id, after=followed[1])] == followed[2:]
    assert [event.seq for event in client.events(run.id, after=followed[1], follow=True)] == followed[2:]


def test_a_log_is_followed_to_its_end_and_read_by_range(client: runyard.Client) -> None:
    run = client.submit(QUICK)
    log = "".join(client.logs(client.get(run.id).task("say").id, follow=True))
    assert log == "one\ntwo\nthree"
    say = client.get(run.id).task("say").id
    assert client.log(say, 4, 7) == b"two"
    assert client.log(say, 8) == b"three"
    assert client.log(say, 13) == client.log(say, 99) == client.log(say, 5, 5) == b""
    assert "".join(client.logs(say, follow=True, start=8)) == "three"


def test_following_gives_every_line_once_and_ends_with_the_end(client: runyard.Client) -> None:
    updates = list(follow(client, client.submit(QUICK).id))
    lines = [(line.task.task_key, line.text) for update in updates for line in update.lines]
    assert lines == [("say", "one"), ("say", "two"), ("say", "three")]
    assert updates[-1].run.succeeded
    seqs = [event.seq for update in updates for event in update.events]
    assert seqs == list(range(1, updates[-1].run.seq + 1))


def test_following_a_finished_run_ends_at_once(client: runyard.Client) -> None:
    run = client.run(QUICK, timeout=30)
    begun = time.monotonic()
    updates = list(follow(client, run.id, after=run.seq))
    assert updates[-1].run.finished
    assert time.monotonic() - begun < 5


def test_runs_are_listed_by_any_filter_over_all_pages(client: runyard.Client) -> None:
    ids = [client.submit(QUICK, tags={"of": "pages"}).id for _ in range(3)]
    assert [run.id for run in client.list(tag="of=pages")] == ids[::-1]
    assert [run.id for run in client.list(tag="of=pages", limit=2)] == ids[:0:-1]
    for run_id in ids:
        client.wait(run_id, timeout=30)
    states = [runyard.State.SUCCEEDED, runyard.State.FAILED]
    assert len(list(client.list(tag="of=pages", state=states))) == 3
    assert list(client.list(tag="of=pages", created_after=datetime.now(UTC) + timedelta(hours=1))) == []
    assert len(list(client.list(tag="of=pages", created_after=datetime.now(UTC).date()))) == 3


def test_a_submission_that_is_sent_twice_starts_one_run(client: runyard.Client) -> None:
    first = client.submit(QUICK, idempotency_key="twice")
    assert client.submit(QUICK, idempotency_key="twice").id == first.id
    assert client.submit(QUICK).id != first.id


def test_a_job_is_kept_changed_run_and_deleted(client: runyard.Client) -> None:
    job, change = client.apply_job(QUICK, "kept")
    assert (job.version, change) == (1, "created")
    assert client.apply_job(QUICK, "kept") == (job, "unchanged")
    changed, change = client.apply_job(SLOW, "kept")
    assert (changed.id, changed.version, change) == (job.id, 2, "updated")
    assert sorted(version.version for version in client.job_versions(job.id)) == [1, 2]
    with pytest.raises(runyard.Error) as caught:
        client.update_job(job.id, QUICK, expect_version=1)
    assert caught.value.code is Code.CONFLICT
    begun = client.submit(job.id)
    assert (begun.job_id, begun.job_version) == (job.id, 2)
    assert client.cancel_job_runs(job.id) == 1
    assert client.wait(begun.id, timeout=20).state is runyard.State.CANCELLED
    client.delete_job(job.id)
    assert list(client.jobs(key="kept")) == []


def test_the_warehouse_is_read(client: runyard.Client) -> None:
    make = runyard.Sql(statement="create or replace table of_the_client as select 1 as a, 'x' as b")
    assert client.run(runyard.Job(name="make", tasks=[runyard.Task(key="make", action=make)]), timeout=30).succeeded
    assert client.query("select * from of_the_client where a = $a", {"a": 1}).dicts() == [{"a": 1, "b": "x"}]
    table = next(table for table in client.tables() if table.name == "of_the_client")
    assert [column.name for column in table.columns] == ["a", "b"]


def test_queues_are_changed_field_by_field(client: runyard.Client) -> None:
    assert client.put_queue("narrow", slots=2).slots == 2
    assert client.put_queue("narrow", paused=True).slots == 2
    assert client.put_queue("narrow", slots="any", paused=False).slots is None
    client.delete_queue("narrow")
    assert "narrow" not in [queue.name for queue in client.queues()]


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_refusal_carries_code_status_and_field(client: runyard.Client) -> None:
    wrong = runyard.Job(
        name="wrong", tasks=[runyard.Task(key="a", action=QUICK.tasks[0].action, needs=runyard.needs("b"))]
    )
    with pytest.raises(runyard.Error, match="'b'") as caught:
        client.submit(wrong)
    assert (caught.value.code, caught.value.status) == (Code.INVALID, 400)
    assert (caught.value.field or "").endswith("tasks[0].needs[0]")


def test_what_does_not_exist_is_not_found(client: runyard.Client) -> None:
    with pytest.raises(runyard.Error) as caught:
        client.get(12345)
    assert (caught.value.code, caught.value.status) == (Code.NOT_FOUND, 404)


def test_values_that_json_cannot_hold_are_refused_before_they_are_sent(client: runyard.Client) -> None:
    for value in (object(), "\ud800"):
        with pytest.raises(runyard.Error, match="cannot be written as JSON"):
            client.submit(QUICK, parameters={"a": value})


def test_no_server_is_an_error_without_a_status() -> None:
    with runyard.Client("http://127.0.0.1:9") as client, pytest.raises(runyard.Error, match="runyard up") as caught:
        client.info()
    assert (caught.value.code, caught.value.status) == (Code.UNAVAILABLE, None)


def test_several_threads_may_share_a_client(client: runyard.Client) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(client.run(QUICK, timeout=30).succeeded)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
