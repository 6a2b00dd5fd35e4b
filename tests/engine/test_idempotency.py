"""Idempotency keys: the same request again gives the same run, another request is refused."""

from __future__ import annotations

import pytest

from runyard.core.commands import Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.query import RunFilter
from runyard.engine.runs import Submitted

from .bench import Bench, refused, spec, task


def submit(bench: Bench, **fields: object) -> Submitted:
    values = {"spec": spec(), "idempotency_key": "k", **fields}
    return bench.runs.submit(Submit(**values), "ann").result()  # type: ignore[arg-type]  # fields by name


def test_the_same_key_and_payload_give_one_run() -> None:
    bench = Bench()
    first, second = submit(bench), submit(bench)
    assert (first.run.id, first.created, second.created) == (second.run.id, True, False)
    assert len(bench.runs.find(RunFilter()).items) == 1
    assert len(bench.hand.started) == 1


def test_a_repeated_submission_answers_with_the_run_as_it_stands() -> None:
    bench = Bench()
    first = submit(bench).run
    bench.finish(first)
    assert submit(bench).run == bench.run(first)


@pytest.mark.parametrize(
    "change",
    [{"spec": spec(task("b"))}, {"parameters": {"x": 2}}, {"name": "n"}, {"priority": 1}, {"only": ["a"]}],
)
def test_the_same_key_with_another_payload_is_refused(change: dict[str, object]) -> None:
    bench = Bench()
    base = {"spec": spec(parameters={"x": 1})}
    first = submit(bench, **base)
    values = {**base, "idempotency_key": "k", **change}
    command = Submit(**values)  # type: ignore[arg-type]  # fields by name
    error = refused(lambda: bench.runs.submit(command, "ann"), Code.ALREADY_EXISTS, "'k'", str(first.run.id))
    assert error.details == {"run_id": first.run.id}
    assert len(bench.runs.find(RunFilter()).items) == 1


def test_the_order_of_names_in_a_payload_does_not_matter() -> None:
    bench = Bench()
    definition = spec(parameters={"x": 1, "y": 2})
    first = submit(bench, spec=definition, parameters={"x": 5, "y": 6})
    second = submit(bench, spec=definition, parameters={"y": 6, "x": 5})
    assert first.run.id == second.run.id


@pytest.mark.parametrize("change", [{"origin": "glue"}, {"workspace": "other"}])
def test_the_same_key_elsewhere_is_another_key(change: dict[str, object]) -> None:
    bench = Bench()
    assert submit(bench).run.id != submit(bench, **change).run.id


def test_a_key_holds_after_a_restart() -> None:
    bench = Bench()
    first = submit(bench)
    assert submit(bench.restart()).run.id == first.run.id


def test_a_key_of_a_deleted_run_is_refused() -> None:
    bench = Bench()
    first = submit(bench).run
    bench.finish(first)
    bench.runs.delete(first.id, "ann").result()
    refused(lambda: bench.runs.submit(Submit(spec=spec(), idempotency_key="k"), "ann"), Code.CONFLICT, "deleted")
    assert bench.runs.find(RunFilter()).items == []


def test_a_refused_submission_uses_no_key_up() -> None:
    bench = Bench()
    command = Submit(spec=spec(), parameters={"zz": 1}, idempotency_key="k")
    refused(lambda: bench.runs.submit(command, "ann"), Code.INVALID, "'zz'")
    assert submit(bench).created


def test_a_key_for_a_job_means_the_job_and_not_its_version() -> None:
    bench = Bench()
    job = bench.job()
    first = submit(bench, spec=None, job_id=job.id)
    bench.registry.update_job(job.id, spec(task("b")), by="ann").result()
    assert submit(bench, spec=None, job_id=job.id).run.id == first.run.id


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_a_key_of_no_or_too_many_characters_is_refused(key: str) -> None:
    with pytest.raises(RunyardError, match="1 to 256") as caught:
        submit(Bench(), idempotency_key=key)
    assert caught.value.field == "idempotency_key"


def test_the_same_key_twice_in_one_request_gives_one_run() -> None:
    bench = Bench()
    commands = [Submit(spec=spec(), idempotency_key="k")] * 3
    runs = bench.runs.submit_many(commands, "ann").result()
    assert len({run.id for run in runs}) == 1
