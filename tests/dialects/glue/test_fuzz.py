"""Requests as no client would send them: whatever comes, the answer is one of AWS's, and a refusal leaves no trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.dialects.glue import requests, shapes
from tests.dialects.glue.world import World

GETS = {
    "CreateJob": ("GetJob", "JobName"),
    "CreateTrigger": ("GetTrigger", "Name"),
    "CreateWorkflow": ("GetWorkflow", "Name"),
}
KNOWN = {
    "AlreadyExistsException",
    "ConcurrentModificationException",
    "ConcurrentRunsExceededException",
    "EntityNotFoundException",
    "IdempotentParameterMismatchException",
    "IllegalWorkflowStateException",
    "InvalidInputException",
    "InvalidParameterException",
    "ResourceNotFoundException",
    "ResourceNumberLimitExceededException",
    "SerializationException",
    "ValidationException",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


class Pool:
    """Things that are there, so that a request may get further than its first name."""

    def __init__(self, world: World) -> None:
        job = world.job("print(1)")
        run = world.run(job)["Id"]
        flow, trigger = "fuzzed flow", "fuzzed trigger"
        world.client.create_workflow(Name=flow)
        world.client.create_trigger(Name=trigger, Type="ON_DEMAND", WorkflowName=flow, Actions=[{"JobName": job}])
        flow_run = world.client.start_workflow_run(Name=flow)["RunId"]
        node = world.client.get_workflow(Name=flow, IncludeGraph=True)["Workflow"]["Graph"]["Nodes"][0]["UniqueId"]
        self.texts = [job, run, flow, trigger, flow_run, node, world.arn("job", job), "/aws-glue/python-jobs/output"]
        self.made: set[tuple[str, str]] = {("CreateJob", job), ("CreateTrigger", trigger), ("CreateWorkflow", flow)}


@pytest.fixture(scope="module")
def pool(world: World) -> Pool:
    return Pool(world)


def likely(shape: Any, pool: Pool) -> st.SearchStrategy[Any]:
    """Values of a shape that are right, nearly right, or on a boundary."""
    if isinstance(shape, shapes.Text):
        edges = ["a" * one for one in {shape.min, shape.max or 0} if one < 3000]
        return st.sampled_from([*pool.texts, *shape.enum, *edges, "cron(0 6 * * ? *)", "\u0000", "é\U0001f600"])
    if isinstance(shape, (shapes.Int, shapes.Real)):
        bounds = {-1, 0, 1, shape.min or 0, getattr(shape, "max", None) or 2}
        return st.sampled_from(sorted({one + step for one in bounds for step in (-1, 0, 1)})) | st.floats(-5, 5)
    if isinstance(shape, shapes.Flag):
        return st.booleans()
    if isinstance(shape, shapes.Many):
        return st.lists(likely(shape.item, pool), max_size=3)
    if isinstance(shape, shapes.Map):
        return st.dictionaries(st.text(max_size=5), likely(shape.value, pool), max_size=3)
    if isinstance(shape, shapes.Blob):
        return st.dictionaries(st.text(max_size=3), JSON, max_size=2)
    return group(shape, pool)


def group(shape: shapes.Group, pool: Pool) -> st.SearchStrategy[dict[str, Any]]:
    """An object, mostly with what is required and a few other members, some of which are anything."""
    members = {name: likely(one, pool) | likely(one, pool) | JSON for name, one in shape.members.items()}
    required = {name: members[name] for name in shape.required}
    optional = st.lists(st.sampled_from(sorted(members)), max_size=3).flatmap(
        lambda names: st.fixed_dictionaries({name: members[name] for name in names})
    )
    return st.builds(lambda one, two: {**one, **two}, st.fixed_dictionaries(required), optional)


@pytest.mark.parametrize("name", [*requests.REQUESTS, *requests.LOG_REQUESTS])
def test_whatever_is_sent_gets_an_answer_of_awss(world: World, pool: Pool, name: str) -> None:
    service = "AWSGlue" if name in requests.REQUESTS else "Logs_20140328"
    shape = (requests.REQUESTS | requests.LOG_REQUESTS)[name]

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(group(shape, pool) | st.dictionaries(st.sampled_from(sorted(shape.members)), JSON, max_size=3))
    def ask(body: dict[str, Any]) -> None:
        answer = world.raw(name, body, **{"X-Amz-Target": f"{service}.{name}"})
        found = answer.json()
        if answer.status_code == 200:
            pool.made.add((name, str(body.get("Name"))))
            return
        assert (answer.status_code, found["__type"] in KNOWN) == (400, True), (body, found)
        assert found["Message"]
        if name in GETS and (name, str(body.get("Name"))) not in pool.made:
            operation, member = GETS[name]
            assert world.raw(operation, {member: body.get("Name")}).status_code == 400, (body, found)

    ask()


@pytest.mark.parametrize(
    "body",
    [
        b'{"JobName": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"JobName": "\\ud800"}',
        b'{"JobName": "\xff"}',
        b'{"JobName": NaN}',
        b'{"JobName": 1e999}',
        b'{"JobName": "x", "JobName": 2}',
        b'{"JobName": "x"} trailing',
        json.dumps({"JobName": "x", "MaxResults": 10**40}).encode(),
    ],
)
def test_a_body_that_is_hardly_json_is_refused_in_shape(world: World, body: bytes) -> None:
    answer = world.raw("GetJobRuns", body)
    assert answer.status_code == 400
    assert answer.json()["__type"] in ("SerializationException", "InvalidInputException")
