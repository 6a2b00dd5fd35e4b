"""The page is whole: what AWS's model may send is sent here, or stands as never, with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runyard.dialects.glue as dialect
from runyard.dialects.glue import requests, support
from tests.dialects.glue.test_model import GLUE
from tests.dialects.glue.test_triggers import runs_of, trigger, when
from tests.dialects.glue.world import World

GIVEN_BACK = {"CodeGenConfigurationNodes"}
"""Kept as they came; their members mean nothing to us."""
PAGE = Path(__file__).parents[3] / "docs" / "dialects" / "glue.md"

# The structures of AWS's first page on job runs, member by member.
JOB_RUN = {
    "Id", "Attempt", "PreviousRunId", "TriggerName", "JobName", "StartedOn", "LastModifiedOn", "CompletedOn",
    "JobRunState", "Arguments", "ErrorMessage", "PredecessorRuns", "AllocatedCapacity", "ExecutionTime", "Timeout",
}  # fmt: skip
BOOKMARK = {"JobName", "Version", "Run", "Attempt", "JobBookmark"}


def spelled() -> str:
    """The dialect's source, without the table of what is never sent."""
    folder = Path(str(dialect.__file__)).parent
    return "\n".join(one.read_text() for one in folder.glob("*.py") if one.name != "support.py")


def parts(shape: Any, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """("", member) and (enumeration, value) of all that an answer may hold."""
    if shape.type_name == "structure" and shape.name not in seen:
        for name, inner in shape.members.items():
            yield "", name
            if name not in GIVEN_BACK and name not in support.NEVER_MEMBERS:
                yield from parts(inner, seen | {shape.name})
    elif shape.type_name == "list":
        yield from parts(shape.member, seen)
    elif shape.type_name == "map":
        yield from parts(shape.value, seen)
    yield from ((shape.name, value) for value in shape.metadata.get("enum", ()))


def answered() -> set[tuple[str, str]]:
    shapes = [GLUE.operation_model(name).output_shape for name in requests.REQUESTS]
    return {one for shape in shapes if shape is not None for one in parts(shape)}


def never() -> set[tuple[str, str]]:
    values = {(kind, one) for kind, found in support.NEVER_VALUES.items() for one in found}
    return values | {("", name) for name in support.NEVER_MEMBERS}


def test_every_member_and_value_of_an_answer_is_spelled_here_or_stands_as_never() -> None:
    source = spelled()
    gaps = {(kind, one) for kind, one in answered() - never() if f'"{one}"' not in source and f"{one}=" not in source}
    assert not gaps


def test_what_stands_as_never_is_a_member_or_value_of_the_model_and_on_the_page() -> None:
    assert never() <= answered()
    page = PAGE.read_text()
    for kind, one in never():
        assert f"| {kind} {one}".replace("|  ", "| ") in page


@pytest.mark.parametrize("name", requests.REQUESTS)
def test_every_error_of_an_operation_is_one_that_is_told(name: str) -> None:
    source = spelled()
    assert not [one.name for one in GLUE.operation_model(name).error_shapes if f'"{one.name}"' not in source]


def test_every_member_of_a_job_run_is_shown_by_some_run(glue: World) -> None:
    first, second = glue.job(), glue.job("raise ValueError('again')", MaxRetries=1)
    root = trigger(glue, "ON_DEMAND", [first])
    after = when(glue, {first: "SUCCEEDED"}, [{"JobName": second, "Arguments": {"--a": "1"}, "Timeout": 7}])
    glue.client.start_trigger(Name=root)
    retried, failed = glue.until(
        lambda: runs_of(glue, second), lambda runs: len(runs) == 2 and runs[0]["JobRunState"] == "FAILED"
    )
    assert not JOB_RUN - set(retried)
    assert (retried["PreviousRunId"], retried["Attempt"], retried["TriggerName"]) == (failed["Id"], 1, after)
    assert (retried["Arguments"], retried["Timeout"], retried["ErrorMessage"]) == (
        {"--a": "1"},
        7,
        "ValueError: again",
    )
    (cause,) = runs_of(glue, first)
    assert failed["PredecessorRuns"] == [{"JobName": first, "RunId": cause["Id"]}]
    assert (cause["TriggerName"], cause["PredecessorRuns"]) == (root, [])


def test_every_member_of_a_bookmark_is_shown(glue: World) -> None:
    text = "from awsglue.job import Job\njob = Job(None)\njob.init('x', {})\njob.commit()\n"
    job = glue.job(text, DefaultArguments={"--job-bookmark-option": "job-bookmark-enable"})
    assert glue.run(job)["JobRunState"] == "SUCCEEDED"
    entry = glue.client.reset_job_bookmark(JobName=job)["JobBookmarkEntry"]
    assert not BOOKMARK - set(entry)
    assert (entry["JobName"], entry["Run"], entry["Attempt"], entry["JobBookmark"]) == (job, 0, 0, "{}")
