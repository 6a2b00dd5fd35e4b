"""The tables against the published schema: nothing of it is forgotten, nothing is invented."""

from __future__ import annotations

import dataclasses
import enum
import typing
from pathlib import Path

import pytest
from databricks.sdk.service import jobs

from runyard.core.states import State
from runyard.dialects.databricks import schema, tables

SOURCE = Path(__file__).parents[3] / "src" / "runyard" / "dialects" / "databricks"
NEVER = {name for name, status in tables.TASK_TYPES.items() if not status.startswith("works")}
BELOW_KEPT = {"ClusterSpec"}


def _published(type_: typing.Any) -> str:
    origin = typing.get_origin(type_)
    if origin is typing.Union:
        return _published(next(one for one in typing.get_args(type_) if one is not type(None)))
    if origin is list:
        return f"[{_published(typing.get_args(type_)[0])}]"
    if origin is dict:
        return f"{{{_published(typing.get_args(type_)[1])}}}"
    return "any" if type_ is typing.Any else str(type_.__name__)


def _class(name: str) -> type:
    from databricks.sdk.service import compute

    elsewhere = getattr(compute, name, None) if name == "ClusterSpec" else None
    return typing.cast(type, elsewhere or getattr(jobs, name, None) or getattr(compute, name))


@pytest.mark.parametrize("name", sorted(schema.TYPES))
def test_a_structure_is_the_published_one(name: str) -> None:
    cls = _class(name)
    hints = typing.get_type_hints(cls)
    assert schema.TYPES[name] == {one.name: _published(hints[one.name]) for one in dataclasses.fields(cls)}


@pytest.mark.parametrize("name", sorted(schema.ENUMS))
def test_an_enumeration_is_the_published_one(name: str) -> None:
    found: type[enum.Enum] = _class(name)
    assert set(schema.ENUMS[name]) == {one.value for one in found}


@pytest.mark.parametrize(
    ("name", "method"), [("Create", "create"), ("RunNow", "run_now"), ("Submit", "submit"), ("Repair", "repair_run")]
)
def test_a_request_is_the_published_one(name: str, method: str) -> None:
    hints = typing.get_type_hints(getattr(jobs.JobsAPI, method))
    hints.pop("return")
    assert schema.REQUESTS[name] == {field: _published(type_) for field, type_ in hints.items()}


def test_every_kind_of_task_has_its_row() -> None:
    kinds = {name for name in schema.TYPES["Task"] if name.endswith("_task")}
    assert kinds == set(tables.TASK_TYPES)


def test_every_field_is_read_somewhere_or_said_to_do_nothing() -> None:
    """Fields below a cluster's specification and below kinds of tasks that cannot run are kept as they come."""
    text = "\n".join(path.read_text() for path in SOURCE.glob("*.py") if path.name != "schema.py")
    silent = [
        f"{name}.{field}"
        for name, fields in _reachable().items()
        for field in fields
        if f'"{field}"' not in text and f"{name}.{field}" not in tables.KEPT
    ]
    assert not silent


def _reachable() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    ahead = ["JobSettings", "SubmitTask"]
    while ahead:
        name = ahead.pop()
        if name in found or name not in schema.TYPES or name in BELOW_KEPT:
            continue
        found[name] = {
            field: type_
            for field, type_ in schema.TYPES[name].items()
            if field not in NEVER
            and f"{name}.{field}" not in tables.KEPT
            and f"{name.removeprefix('Submit')}.{field}" not in tables.KEPT
        }
        ahead += [type_.strip("[]{}") for type_ in found[name].values()]
    return found


def test_what_is_said_to_do_nothing_exists() -> None:
    known = {**schema.TYPES, **schema.REQUESTS}
    assert [key for key in tables.KEPT if key.partition(".")[2] not in known[key.partition(".")[0]]] == []


def test_every_state_of_ours_has_its_words_and_they_are_published() -> None:
    for shown in (tables.TASK_STATES, tables.RUN_STATES):
        assert set(shown) == set(State)
    every = [*tables.TASK_STATES.values(), *tables.RUN_STATES.values(), *tables.BY_REASON.values(), tables.QUEUED]
    for one in every:
        assert one.life_cycle in {word.value for word in jobs.RunLifeCycleState}
        assert one.result is None or one.result in {word.value for word in jobs.RunResultState}
        assert one.status in {word.value for word in jobs.RunLifecycleStateV2State}
        assert one.code is None or one.code in {word.value for word in jobs.TerminationCodeCode}
        assert one.type is None or one.type in {word.value for word in jobs.TerminationTypeType}
    assert set(tables.TRIGGERS.values()) <= {word.value for word in jobs.TriggerType}
    assert set(tables.FAILURE_CODES.values()) <= {
        (code.value, type_.value) for code in jobs.TerminationCodeCode for type_ in jobs.TerminationTypeType
    }


ANSWERS = [
    jobs.Run, jobs.RunTask, jobs.RunOutput, jobs.Job, jobs.RepairHistoryItem, jobs.RunStatus, jobs.RunState,
    jobs.QueueDetails, jobs.TerminationDetails, jobs.ForEachStats, jobs.ForEachTaskTaskRunStats, jobs.TriggerInfo,
    jobs.ForEachTaskErrorMessageStats, jobs.ResolvedValues, jobs.JobParameter, jobs.SqlOutput, jobs.SqlQueryOutput,
    jobs.DbtOutput, jobs.NotebookOutput, jobs.ViewItem, jobs.ClusterInstance,
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: str(one.__name__))
def test_every_field_of_an_answer_is_sent_or_said_to_be_never_sent(answer: type) -> None:
    """Settings of a task are given back whole, so their fields need no line of ours."""
    text = "\n".join(path.read_text() for path in SOURCE.glob("*.py") if path.name != "schema.py")
    fields = {one.name for one in dataclasses.fields(answer)} - set(schema.TYPES["Task"])
    silent = {name for name in fields if f'"{name}"' not in text}
    name = str(answer.__name__)
    assert silent <= {key.partition(".")[2] for key in tables.NEVER_SENT if key.startswith(f"{name}.")}


def test_what_is_never_sent_is_published() -> None:
    for key in tables.NEVER_SENT:
        name, _, field = key.partition(".")
        assert field in {one.name for one in dataclasses.fields(getattr(jobs, name))}, key
