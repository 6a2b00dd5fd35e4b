"""Bodies as real AWS sends them, kept with their source: ours have the same members of the same kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.glue.world import World

GOLDEN = Path(__file__).parent / "golden"
# Where capacity was given by workers or the run was not: said in the file's own `note`.
FILES = sorted(GOLDEN.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{name}.json").read_text()))


def kinds(value: Any) -> Any:
    """The shape of a body: members and their JSON kinds."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_golden_body_names_its_source(path: Path) -> None:
    kept = json.loads(path.read_text())
    assert kept["source"]
    assert kept["date"]


def body(world: World, operation: str, **asked: Any) -> dict[str, Any]:
    answer = world.raw(operation, asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_retried_run_looks_as_aws_recorded_one(glue: World) -> None:
    golden = load("get-job-runs")
    job = glue.job(
        "raise SystemExit('no')",
        command="glueetl",
        MaxRetries=1,
        DefaultArguments={"--enable-metrics": "", "--job-language": "python"},
        WorkerType="G.1X",
        NumberOfWorkers=10,
        GlueVersion="2.0",
    )
    glue.run(job)
    runs = glue.until(
        lambda: body(glue, "GetJobRuns", JobName=job)["JobRuns"],
        lambda found: len(found) == 2 and "CompletedOn" in found[0],
    )
    for ours, theirs in zip(runs, golden["body"]["JobRuns"], strict=True):
        missing = set(theirs) - set(ours)
        assert not missing
        wanted = kinds({name: value for name, value in theirs.items() if name != "Arguments"})
        assert {name: kinds(ours[name]) for name in wanted} == wanted
        assert set(ours) - set(theirs) <= set(golden["since"])
    retry, first = runs
    assert retry["Id"] == f"{first['Id']}_attempt_1"
    assert (retry["MaxCapacity"], retry["AllocatedCapacity"]) == (10.0, 10)


def test_a_stop_looks_as_aws_recorded_one(glue: World) -> None:
    golden = load("batch-stop-job-run")
    job = glue.job("import time; time.sleep(60)")
    run_id = glue.start(job)
    ours = body(glue, "BatchStopJobRun", JobName=job, JobRunIds=[run_id])
    assert {name: kinds(ours[name]) for name in golden["body"]} == {
        "SuccessfulSubmissions": kinds(golden["body"]["SuccessfulSubmissions"]),
        "Errors": [],
    }


def test_a_refusal_looks_as_clients_read_it(glue: World) -> None:
    golden = load("concurrent-runs-exceeded")
    job = glue.job("import time; time.sleep(60)")
    glue.start(job)
    answer = glue.raw("StartJobRun", {"JobName": job})
    assert answer.status_code == golden["status"]
    assert answer.json() == {**golden["body"], "Message": golden["body"]["Message"].replace("JOB", job)}
