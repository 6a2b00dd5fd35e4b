"""What is written down of AWS's model agrees with the model itself, as botocore carries it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from runyard.core.errors import Code, RunyardError
from runyard.core.states import State
from runyard.dialects.glue import compile as compiling
from runyard.dialects.glue import errors, requests, shapes, tables
from tests.dialects.glue.world import World

SESSION = botocore.session.get_session()
GLUE, LOGS = SESSION.get_service_model("glue"), SESSION.get_service_model("logs")
OURS = {**requests.REQUESTS, **requests.LOG_REQUESTS}
# The one value of this enumeration is checked by the operation, whose text for it is known.
ELSEWHERE = {"LogicalOperator"}
# AWS's model lists these among the members; they mean nothing to job runs' logs.
UNKNOWN: set[str] = set()


def model_of(name: str) -> Any:
    return (GLUE if name in requests.REQUESTS else LOGS).operation_model(name)


@pytest.mark.parametrize("name", OURS)
def test_a_request_holds_what_the_model_says(name: str) -> None:
    theirs = model_of(name).input_shape
    differences = list(_differences(OURS[name], theirs, name))
    assert not differences


def _differences(ours: Any, theirs: Any, at: str) -> Iterator[str]:
    kind, about = theirs.type_name, theirs.metadata
    if isinstance(ours, shapes.Blob):
        return
    if kind == "structure":
        if set(ours.members) != set(theirs.members) - UNKNOWN:
            yield f"{at}: {set(ours.members) ^ set(theirs.members)}"
        if set(ours.required) != set(theirs.required_members):
            yield f"{at}: required {set(ours.required) ^ set(theirs.required_members)}"
        for name in set(ours.members) & set(theirs.members) - ELSEWHERE:
            yield from _differences(ours.members[name], theirs.members[name], f"{at}.{name}")
    elif kind == "list":
        yield from _compare(at, (ours.min or 0, ours.max), (about.get("min", 0), about.get("max")))
        yield from _differences(ours.item, theirs.member, f"{at}[]")
    elif kind == "map":
        yield from _compare(at, ours.max, about.get("max"))
        yield from _differences(ours.key, theirs.key, f"{at}.key")
        yield from _differences(ours.value, theirs.value, f"{at}.value")
    elif kind == "string":
        yield from _compare(at, (ours.min, ours.max), (about.get("min", 0), about.get("max")))
        yield from _compare(at, set(ours.enum), set(about.get("enum", ())))
        pattern = about.get("pattern")
        if bool(pattern) != bool(ours.pattern) or (
            "\\u0020" not in (pattern or "") and (pattern or "") != ours.pattern
        ):
            yield f"{at}: pattern {pattern!r} {ours.pattern!r}"
    elif kind == "integer":
        yield from _compare(at, (ours.min, ours.max), (about.get("min"), about.get("max")))
    else:
        wanted = {"boolean": shapes.Flag, "double": shapes.Real, "long": shapes.Real}[kind]
        if not isinstance(ours, wanted):
            yield f"{at}: {kind}"


def _compare(at: str, ours: object, theirs: object) -> Iterator[str]:
    if ours != theirs:
        yield f"{at}: {ours} is not {theirs}"


def leaves(shape: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every constrained place of a request."""
    if isinstance(shape, shapes.Group):
        for name, inner in shape.members.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(shape, shapes.Many):
        yield path, shape
        yield from leaves(shape.item, (*path, "[]"))
    elif isinstance(shape, shapes.Map):
        yield path, shape
        yield from leaves(shape.key, (*path, "{key}"))
        yield from leaves(shape.value, (*path, "{value}"))
    elif isinstance(shape, (shapes.Text, shapes.Int)):
        yield path, shape


def beyond(shape: Any) -> Iterator[Any]:
    """Values just outside."""
    if isinstance(shape, shapes.Int):
        yield from ([shape.max + 1] if shape.max is not None else [])
        yield from ([shape.min - 1] if shape.min is not None else [])
    elif isinstance(shape, shapes.Text):
        if shape.enum:
            yield "bogus"
        if shape.max is not None:
            yield "a" * (shape.max + 1)
        if shape.min:
            yield ""
        if shape.pattern and not shape.enum and shape.pattern != ".*":
            yield "\x00"
    elif isinstance(shape, shapes.Many):
        filler = {"JobName": "x"} if isinstance(shape.item, shapes.Group) else "a"
        yield from ([[filler] * (shape.max + 1)] if shape.max is not None else [])
        yield from ([[]] if shape.min else [])
    elif isinstance(shape, shapes.Map) and shape.max is not None:
        yield {str(number): "a" for number in range(shape.max + 1)}


def request_with(group: shapes.Group, path: tuple[str, ...], value: Any) -> Any:
    """A request that holds this value at this place, and the least elsewhere."""

    def fill(shape: Any, rest: tuple[str, ...]) -> Any:
        if not rest:
            return value
        if isinstance(shape, shapes.Group):
            given = {name: least(shape.members[name]) for name in shape.required}
            return {**given, rest[0]: fill(shape.members[rest[0]], rest[1:])}
        if isinstance(shape, shapes.Many):
            return [fill(shape.item, rest[1:])]
        if rest[0] == "{key}":
            return {fill(shape.key, rest[1:]): least(shape.value)}
        return {"key": fill(shape.value, rest[1:])}

    return fill(group, path)


def least(shape: Any) -> Any:
    if isinstance(shape, shapes.Group):
        return {name: least(shape.members[name]) for name in shape.required}
    if isinstance(shape, shapes.Text):
        return shape.enum[0] if shape.enum else ("arn:aws:glue:r:a:job/x" if "arn" in shape.pattern else "a")
    if isinstance(shape, shapes.Many):
        return [least(shape.item)]
    if isinstance(shape, (shapes.Map, shapes.Blob)):
        return {}
    return True if isinstance(shape, shapes.Flag) else 1


@pytest.mark.parametrize("name", requests.REQUESTS)
def test_what_lies_beyond_a_limit_is_refused_over_the_wire(world: World, name: str) -> None:
    group = requests.REQUESTS[name]
    for path, leaf in leaves(group):
        for value in beyond(leaf):
            answer = world.raw(name, request_with(group, path, value))
            assert answer.status_code == 400, (path, value)
            assert answer.json()["__type"] == "InvalidInputException", (path, value)
            assert "failed to satisfy constraint" in answer.json()["Message"]


@pytest.mark.parametrize("name", OURS)
def test_every_enum_value_and_limit_itself_is_taken(name: str) -> None:
    for path, leaf in leaves(OURS[name]):
        if not isinstance(leaf, (shapes.Int, shapes.Text)):
            continue
        values = leaf.enum if isinstance(leaf, shapes.Text) else (leaf.min, leaf.max)
        for value in values:
            if value is not None:
                asked = request_with(OURS[name], path, value)
                assert shapes.check(OURS[name], asked) == asked


def test_the_walk_over_limits_finds_them() -> None:
    found = [(path, value) for path, leaf in leaves(requests.REQUESTS["StartJobRun"]) for value in beyond(leaf)]
    assert (("WorkerType",), "bogus") in found
    assert (("Timeout",), 0) in found
    assert (("JobName",), "a" * 256) in found


@pytest.mark.parametrize("version", ["3.9", "3", "2"])
def test_python_versions_of_the_pattern_are_taken(version: str) -> None:
    command = {"Name": "pythonshell", "PythonVersion": version}
    shapes.check(requests.REQUESTS["CreateJob"], {"Name": "a", "Role": "r", "Command": command})


def test_all_violations_are_told_at_once_in_awss_words() -> None:
    with pytest.raises(RunyardError) as caught:
        shapes.check(requests.REQUESTS["StartJobRun"], {"JobName": "", "WorkerType": "bogus"})
    message = caught.value.message
    assert message.startswith("2 validation errors detected: ")
    assert (
        "Value 'bogus' at 'workerType' failed to satisfy constraint: Member must satisfy enum value set: [" in message
    )


def test_every_state_of_ours_has_its_word_and_every_word_is_glues() -> None:
    assert set(tables.STATES) == set(State)
    assert set(tables.STATES.values()) <= set(requests.JOB_RUN_STATES)


def test_every_worker_type_has_its_capacity() -> None:
    assert set(tables.WORKER_DPU) == set(requests.WORKER.enum)


def test_capacity_follows_workers() -> None:
    found = compiling.capacity("glueetl", {"WorkerType": "G.8X", "NumberOfWorkers": 2})
    assert found == {"MaxCapacity": 16.0, "AllocatedCapacity": 16}


def test_every_code_of_ours_has_an_exception_that_glue_or_aws_knows() -> None:
    known = {shape for shape in GLUE.shape_names if shape.endswith("Exception")}
    general = {"UnrecognizedClientException", "AccessDeniedException"}
    assert set(errors.EXCEPTIONS) == set(Code)
    assert {name for name, _ in errors.EXCEPTIONS.values()} <= known | general


@pytest.mark.parametrize(
    ("code", "exception", "status"),
    [
        (Code.UNAVAILABLE, "OperationTimeoutException", 400),
        (Code.INTERNAL, "InternalServiceException", 500),
        (Code.STORAGE_FULL, "InternalServiceException", 500),
        (Code.CONFLICT, "ConcurrentModificationException", 400),
    ],
)
def test_what_befalls_the_server_has_its_exception(code: Code, exception: str, status: int) -> None:
    assert errors.exception_of(RunyardError(code, "why")) == (exception, status)
