"""CloudWatch's view of logs, and who the caller is, as orchestrators ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.dialects.glue.world import ACCOUNT, World

TEXT = """
import sys
for number in range(5):
    print("line", number)
print("trouble ahead", file=sys.stderr)
print("the end")
"""
GROUP = "/aws-glue/python-jobs"


@pytest.fixture(scope="module")
def logs(world: World) -> Any:
    return world.new("logs")


@pytest.fixture(scope="module")
def run(world: World) -> dict[str, Any]:
    return world.run(world.job(TEXT))


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def refused(call: Any, **asked: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    return str(caught.value.response["Error"]["Code"])


def test_output_holds_both_streams_and_error_standard_error(logs: Any, run: dict[str, Any]) -> None:
    output = logs.get_log_events(logGroupName=f"{GROUP}/output", logStreamName=run["Id"], startFromHead=True)
    found = messages(output)
    assert [line for line in found if line != "trouble ahead"] == [*(f"line {n}" for n in range(5)), "the end"]
    assert "trouble ahead" in found
    error = logs.get_log_events(logGroupName=f"{GROUP}/error", logStreamName=run["Id"])
    assert messages(error) == ["trouble ahead"]
    started, ended = run["StartedOn"].timestamp() * 1000, run["CompletedOn"].timestamp() * 1000
    assert all(started <= event["timestamp"] <= ended + 1 for event in output["events"])


def test_forward_tokens_lead_through_all_events_and_then_stand_still(logs: Any, run: dict[str, Any]) -> None:
    asked = {"logGroupName": f"{GROUP}/output", "logStreamName": run["Id"], "limit": 3}
    answer = logs.get_log_events(**asked, startFromHead=True)
    seen = messages(answer)
    while True:
        following = logs.get_log_events(**asked, nextToken=answer["nextForwardToken"], startFromHead=True)
        if following["nextForwardToken"] == answer["nextForwardToken"]:
            break
        seen += messages(following)
        answer = following
    assert len(seen) == len(set(seen)) == 7


def test_without_a_head_the_newest_come_and_backward_tokens_lead_back(logs: Any, run: dict[str, Any]) -> None:
    asked = {"logGroupName": f"{GROUP}/output", "logStreamName": run["Id"], "limit": 4}
    last = logs.get_log_events(**asked)
    before = logs.get_log_events(**asked, nextToken=last["nextBackwardToken"])
    assert len(last["events"]) == 4
    assert messages(before)[0] == "line 0"


def test_filter_finds_words_times_and_streams(logs: Any, run: dict[str, Any]) -> None:
    group = f"{GROUP}/output"
    found = logs.filter_log_events(logGroupName=group, logStreamNames=[run["Id"]], filterPattern="line 3")
    assert messages(found) == ["line 3"]
    assert found["events"][0]["logStreamName"] == run["Id"]
    quoted = logs.filter_log_events(logGroupName=group, logStreamNames=[run["Id"]], filterPattern='"the end"')
    assert messages(quoted) == ["the end"]
    without = logs.filter_log_events(logGroupName=group, logStreamNames=[run["Id"]], filterPattern="-line -trouble")
    assert messages(without) == ["the end"]
    after = round(run["CompletedOn"].timestamp() * 1000) + 60_000
    assert not messages(logs.filter_log_events(logGroupName=group, logStreamNames=[run["Id"]], startTime=after))
    assert not messages(logs.filter_log_events(logGroupName=group, logStreamNames=[run["Id"]], endTime=1))
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, logStreamNames=[run["Id"]], PaginationConfig={"PageSize": 2}
    )
    assert len([event for page in pages for event in page["events"]]) == 7
    assert "line 0" in messages(logs.filter_log_events(logGroupName=group, logStreamNamePrefix=run["Id"][:20]))


def test_streams_are_described_by_prefix_and_by_time(logs: Any, world: World, run: dict[str, Any]) -> None:
    group = f"{GROUP}/output"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=run["Id"])["logStreams"]
    assert stream["logStreamName"] == run["Id"]
    assert stream["firstEventTimestamp"] <= stream["lastEventTimestamp"]
    newer = world.run(world.job())
    answer = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True, limit=1)
    assert [one["logStreamName"] for one in answer["logStreams"]] == [newer["Id"]]
    second = logs.describe_log_streams(
        logGroupName=group, orderBy="LastEventTime", descending=True, limit=1, nextToken=answer["nextToken"]
    )
    assert second["logStreams"][0]["logStreamName"] != newer["Id"]


def test_retries_have_streams_of_their_own(logs: Any, glue: World) -> None:
    job = glue.job("raise SystemExit('no')", MaxRetries=1)
    first = glue.run(job)
    last = glue.until(lambda: glue.client.get_job_runs(JobName=job)["JobRuns"][0], lambda run: run["Attempt"] == 1)
    last = glue.ended(job, last["Id"])
    streams = logs.describe_log_streams(logGroupName=f"{GROUP}/output", logStreamNamePrefix=first["Id"])["logStreams"]
    assert [one["logStreamName"] for one in streams] == [first["Id"], last["Id"]]
    assert glue.output(last) == ["no"]


def test_what_is_not_there_is_a_missing_resource(logs: Any, run: dict[str, Any]) -> None:
    missing = "ResourceNotFoundException"
    assert refused(logs.describe_log_streams, logGroupName="/other/group") == missing
    for stream in ("jr_x", "jr_" + "0" * 64):
        assert refused(logs.get_log_events, logGroupName=f"{GROUP}/output", logStreamName=stream) == missing
        assert refused(logs.filter_log_events, logGroupName=f"{GROUP}/output", logStreamNames=[stream]) == missing
    assert refused(logs.get_log_events, logGroupName="/aws-glue/jobs/output", logStreamName=run["Id"]) == missing


@pytest.mark.parametrize("token", ["x", "f/1", "g/" + "0" * 56])
def test_a_wrong_token_of_events_is_refused(logs: Any, run: dict[str, Any], token: str) -> None:
    asked = {"logGroupName": f"{GROUP}/output", "logStreamName": run["Id"], "nextToken": token}
    assert refused(logs.get_log_events, **asked) == "InvalidParameterException"


def test_a_log_group_of_ones_own_is_the_runs(world: World) -> None:
    run = world.run(world.job("print('own')", DefaultArguments={"--continuous-log-logGroup": "/team/logs"}))
    assert run["LogGroupName"] == "/team/logs"
    assert world.output(run) == ["own"]


# --- who am I ---


def test_sts_says_account_and_caller(world: World) -> None:
    found = world.new("sts").get_caller_identity()
    assert (found["Account"], found["UserId"]) == (ACCOUNT, "dev")
    assert found["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/dev"


def test_iam_gives_a_role_that_glue_may_assume(world: World) -> None:
    role = world.new("iam").get_role(RoleName="glue-role")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/glue-role"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}


def test_other_actions_and_wrong_names_are_refused_as_xml(world: World) -> None:
    assert refused(world.new("iam").list_roles) == "InvalidAction"
    assert refused(world.new("iam").get_role, RoleName="no/such<role>") == "ValidationError"
