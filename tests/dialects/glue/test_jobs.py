"""Jobs and tags through boto3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.glue.world import World

COMMAND = {"Name": "glueetl", "ScriptLocation": "s3://bucket/script.py"}
FULL: dict[str, Any] = {
    "JobMode": "SCRIPT",
    "JobRunQueuingEnabled": True,
    "Description": "nightly\nload",
    "LogUri": "s3://logs/",
    "Role": "arn:aws:iam::123456789012:role/glue",
    "ExecutionProperty": {"MaxConcurrentRuns": 3},
    "Command": {**COMMAND, "PythonVersion": "3.9", "Runtime": "Ray2.4"},
    "DefaultArguments": {"--day": "1"},
    "NonOverridableArguments": {"--fixed": "x"},
    "Connections": {"Connections": ["jdbc"]},
    "MaxRetries": 2,
    "Timeout": 10,
    "WorkerType": "G.2X",
    "NumberOfWorkers": 4,
    "SecurityConfiguration": "none",
    "NotificationProperty": {"NotifyDelayAfter": 5},
    "GlueVersion": "5.0",
    "ExecutionClass": "FLEX",
    "SourceControlDetails": {"Provider": "GITHUB", "Repository": "r", "Branch": "main"},
    "MaintenanceWindow": "Sun:10",
    "CodeGenConfigurationNodes": {"node-1": {"DropFields": {"Name": "d", "Inputs": ["a"], "Paths": [["x"]]}}},
}


def test_a_job_comes_back_as_it_was_created(glue: World) -> None:
    assert glue.client.create_job(Name="full job/1", **FULL)["Name"] == "full job/1"
    job = glue.client.get_job(JobName="full job/1")["Job"]
    assert {key: job[key] for key in FULL} == FULL
    assert (job["MaxCapacity"], job["AllocatedCapacity"]) == (8.0, 8)
    assert job["CreatedOn"] == job["LastModifiedOn"]


def test_a_job_gets_the_documented_defaults(glue: World) -> None:
    glue.client.create_job(Name="bare", Role="r", Command=COMMAND)
    job = glue.client.get_job(JobName="bare")["Job"]
    assert (job["Timeout"], job["MaxRetries"], job["ExecutionProperty"]) == (2880, 0, {"MaxConcurrentRuns": 1})
    assert (job["AllocatedCapacity"], job["MaxCapacity"], job["JobMode"]) == (10, 10.0, "SCRIPT")


@pytest.mark.parametrize(("version", "minutes"), [("4.0", 2880), ("5.0", 480), ("5.1", 480), ("10.0", 480)])
def test_the_default_timeout_follows_the_glue_version(glue: World, version: str, minutes: int) -> None:
    glue.client.create_job(Name=f"v{version}", Role="r", Command=COMMAND, GlueVersion=version)
    assert glue.client.get_job(JobName=f"v{version}")["Job"]["Timeout"] == minutes


def test_a_python_shell_job_has_its_own_capacities(glue: World) -> None:
    glue.client.create_job(Name="shell", Role="r", Command={**COMMAND, "Name": "pythonshell"})
    job = glue.client.get_job(JobName="shell")["Job"]
    assert (job["AllocatedCapacity"], job["MaxCapacity"]) == (0, 0.0625)


def test_an_unknown_job_is_not_found(glue: World) -> None:
    assert glue.refused("EntityNotFoundException", glue.client.get_job, JobName="nobody") == "Job nobody not found."


def test_update_replaces_the_whole_definition(glue: World) -> None:
    glue.client.create_job(Name="to update", **FULL)
    answer = glue.client.update_job(JobName="to update", JobUpdate={"Role": "other", "Command": COMMAND})
    assert answer["JobName"] == "to update"
    job = glue.client.get_job(JobName="to update")["Job"]
    assert job["Role"] == "other"
    assert not {"DefaultArguments", "WorkerType", "Description"} & set(job)
    assert job["Timeout"] == 2880
    assert job["LastModifiedOn"] >= job["CreatedOn"]


def test_update_of_an_unknown_job_is_not_found(glue: World) -> None:
    update = {"Role": "r", "Command": COMMAND}
    glue.refused("EntityNotFoundException", glue.client.update_job, JobName="nobody", JobUpdate=update)


@pytest.mark.parametrize("missing", ["Role", "Command"])
def test_update_needs_what_is_documented_as_required(glue: World, missing: str) -> None:
    glue.client.create_job(Name=f"needs {missing}", Role="r", Command=COMMAND)
    update = {key: value for key, value in {"Role": "r", "Command": COMMAND}.items() if key != missing}
    glue.refused("InvalidInputException", glue.client.update_job, JobName=f"needs {missing}", JobUpdate=update)


def test_delete_forgets_the_job_and_its_tags_and_knows_no_unknown_name(glue: World) -> None:
    glue.client.create_job(Name="gone", Role="r", Command=COMMAND, Tags={"a": "1"})
    assert glue.client.delete_job(JobName="gone")["JobName"] == "gone"
    glue.refused("EntityNotFoundException", glue.client.get_job, JobName="gone")
    assert glue.client.delete_job(JobName="gone")["JobName"] == "gone"
    glue.client.create_job(Name="gone", Role="r", Command=COMMAND)
    assert glue.client.get_tags(ResourceArn=glue.arn("job", "gone"))["Tags"] == {}


def test_the_same_job_twice_already_exists(glue: World) -> None:
    glue.client.create_job(Name="twice", Role="r", Command=COMMAND)
    glue.refused("AlreadyExistsException", glue.client.create_job, Name="twice", Role="r", Command=COMMAND)


def test_the_same_name_with_another_configuration_is_a_mismatch(glue: World) -> None:
    glue.client.create_job(Name="other", Role="r", Command=COMMAND)
    said = glue.refused(
        "IdempotentParameterMismatchException", glue.client.create_job, Name="other", Role="s", Command=COMMAND
    )
    assert said == "Job other already submitted with different configuration"
    assert glue.client.get_job(JobName="other")["Job"]["Role"] == "r"


def test_lists_page_through_all_jobs(glue: World) -> None:
    names = [f"page {number}" for number in range(5)]
    for name in names:
        glue.client.create_job(Name=name, Role="r", Command=COMMAND)
    listed = glue.client.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 2})
    found = [name for page in listed for name in page["JobNames"]]
    assert set(names) <= set(found)
    assert len(found) == len(set(found))
    got = glue.client.get_paginator("get_jobs").paginate(PaginationConfig={"PageSize": 3})
    assert [job["Name"] for page in got for job in page["Jobs"]] == found
    assert "NextToken" not in glue.client.get_jobs(MaxResults=1000)


def test_a_wrong_token_is_refused(glue: World) -> None:
    glue.refused("InvalidInputException", glue.client.get_jobs, NextToken="zz!")


def test_batch_get_tells_apart_what_is_not_there(glue: World) -> None:
    glue.client.create_job(Name="there", Role="r", Command=COMMAND)
    answer = glue.client.batch_get_jobs(JobNames=["there", "not there"])
    assert [job["Name"] for job in answer["Jobs"]] == ["there"]
    assert answer["JobsNotFound"] == ["not there"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"AllocatedCapacity": 1},
        {"AllocatedCapacity": 101},
        {"MaxCapacity": 1.0},
        {"MaxCapacity": 2.5},
        {"ExecutionClass": "FLEX", "GlueVersion": "2.0"},
        {"ExecutionClass": "FLEX", "Command": {"Name": "pythonshell", "ScriptLocation": "x"}},
        {"MaxRetries": -1},
        {"MaxRetries": 11},
        {"Timeout": 10_081},
        {"ExecutionProperty": {"MaxConcurrentRuns": 0}},
        {"Command": {"Name": "sparkles", "ScriptLocation": "x"}},
        {"Command": {"Name": "glueetl"}},
        {"Command": {"Name": "pythonshell", "ScriptLocation": "x", "PythonVersion": "2"}},
        {"Command": {"Name": "pythonshell", "ScriptLocation": "x"}, "MaxCapacity": 0.5},
        {"WorkerType": "G.025X", "NumberOfWorkers": 300},
        {"WorkerType": "G.1X", "NumberOfWorkers": 0},
        {"Role": ""},
    ],
    ids=str,
)
def test_a_job_that_can_never_run_is_refused_and_not_kept(glue: World, wrong: dict[str, Any]) -> None:
    asked = {"Role": "r", "Command": COMMAND, **wrong}
    glue.refused("InvalidInputException", glue.client.create_job, Name="never", **asked)
    glue.refused("EntityNotFoundException", glue.client.get_job, JobName="never")


def test_too_many_workers_are_refused_in_glues_words(glue: World) -> None:
    asked = {"Role": "r", "Command": COMMAND, "WorkerType": "G.025X", "NumberOfWorkers": 300}
    said = glue.refused("InvalidInputException", glue.client.create_job, Name="never", **asked)
    assert said == "To use Worker Type G.025X, maximum allowed value of Number of Workers is 299."


# --- tags ---


def test_tags_are_added_removed_and_listed_by_arn(glue: World) -> None:
    glue.client.create_job(Name="tagged", Role="r", Command=COMMAND, Tags={"a": "1"})
    arn = glue.arn("job", "tagged")
    glue.client.tag_resource(ResourceArn=arn, TagsToAdd={"b": "2", "a": "3"})
    assert glue.client.get_tags(ResourceArn=arn)["Tags"] == {"a": "3", "b": "2"}
    glue.client.untag_resource(ResourceArn=arn, TagsToRemove=["a", "never there"])
    assert glue.client.get_tags(ResourceArn=arn)["Tags"] == {"b": "2"}


def test_an_untagged_job_has_no_tags(glue: World) -> None:
    glue.client.create_job(Name="untagged", Role="r", Command=COMMAND)
    assert glue.client.get_tags(ResourceArn=glue.arn("job", "untagged"))["Tags"] == {}


def test_list_jobs_keeps_those_with_the_tags(glue: World) -> None:
    for name, tags in (("t1", {"team": "x"}), ("t2", {"team": "x", "env": "p"}), ("t3", {"team": "y"})):
        glue.client.create_job(Name=name, Role="r", Command=COMMAND, Tags=tags)
    assert glue.client.list_jobs(Tags={"team": "x"})["JobNames"] == ["t1", "t2"]
    first = glue.client.list_jobs(Tags={"team": "x"}, MaxResults=1)
    assert first["JobNames"] == ["t1"]
    assert glue.client.list_jobs(Tags={"team": "x"}, NextToken=first["NextToken"])["JobNames"] == ["t2"]
    assert glue.client.list_jobs(Tags={"team": "z"})["JobNames"] == []


@pytest.mark.parametrize("operation", ["tag_resource", "untag_resource", "get_tags"])
def test_tags_of_what_is_not_there_are_not_found(glue: World, operation: str) -> None:
    more: dict[str, Any] = {"tag_resource": {"TagsToAdd": {"a": "b"}}, "untag_resource": {"TagsToRemove": ["a"]}}
    call = getattr(glue.client, operation)
    glue.refused("EntityNotFoundException", call, ResourceArn=glue.arn("job", "nobody"), **more.get(operation, {}))
    glue.refused("EntityNotFoundException", call, ResourceArn=glue.arn("table", "x"), **more.get(operation, {}))


def test_more_than_fifty_tags_are_refused(glue: World) -> None:
    glue.client.create_job(Name="fifty", Role="r", Command=COMMAND, Tags={str(n): "" for n in range(50)})
    arn = glue.arn("job", "fifty")
    glue.refused("InvalidInputException", glue.client.tag_resource, ResourceArn=arn, TagsToAdd={"one more": ""})
