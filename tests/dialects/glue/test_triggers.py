"""Triggers through boto3: definitions, states, and firings for real."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.dialects.glue.world import World

_numbers = itertools.count(1)
OK, FAIL = "print('ok')", "raise SystemExit(1)"


def trigger(world: World, kind: str, actions: list[Any], **more: Any) -> str:
    name = str(more.pop("Name", f"trigger {next(_numbers)}"))
    asked = [one if isinstance(one, dict) else {"JobName": one} for one in actions]
    world.client.create_trigger(Name=name, Type=kind, Actions=asked, **more)
    return name


def when(world: World, conditions: dict[str, str], actions: list[Any], **more: Any) -> str:
    """A conditional trigger that is active."""
    found = [{"LogicalOperator": "EQUALS", "JobName": job, "State": state} for job, state in conditions.items()]
    predicate = {"Conditions": found, **({"Logical": more.pop("Logical")} if "Logical" in more else {})}
    return trigger(world, "CONDITIONAL", actions, Predicate=predicate, StartOnCreation=True, **more)


def runs_of(world: World, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.get_job_runs(JobName=job)["JobRuns"]
    return found


def the_run(world: World, job: str) -> dict[str, Any]:
    """The newest run of a job, once there is one and it is over."""
    ended = lambda found: found and "CompletedOn" in found[0]  # noqa: E731 - a sentence for until
    return dict(world.until(lambda: runs_of(world, job), ended)[0])


def state(world: World, name: str) -> str:
    return str(world.client.get_trigger(Name=name)["Trigger"]["State"])


# --- definitions ---


def test_a_trigger_comes_back_as_it_was_created(glue: World) -> None:
    first, second = glue.job(), glue.job()
    asked: dict[str, Any] = {
        "Type": "CONDITIONAL",
        "Description": "after the load",
        "Predicate": {
            "Logical": "AND",
            "Conditions": [{"LogicalOperator": "EQUALS", "JobName": first, "State": "SUCCEEDED"}],
        },
        "Actions": [
            {
                "JobName": second,
                "Arguments": {"--a": "1"},
                "Timeout": 5,
                "SecurityConfiguration": "s",
                "NotificationProperty": {"NotifyDelayAfter": 3},
            }
        ],
    }
    assert glue.client.create_trigger(Name="full", **asked)["Name"] == "full"
    assert glue.client.get_trigger(Name="full")["Trigger"] == {"Name": "full", "State": "CREATED", **asked}
    glue.client.delete_trigger(Name="full")


def test_an_on_demand_trigger_stays_created_whatever_is_asked(glue: World) -> None:
    name = trigger(glue, "ON_DEMAND", [glue.job()])
    for call in (glue.client.start_trigger, glue.client.stop_trigger):
        assert call(Name=name)["Name"] == name
        assert state(glue, name) == "CREATED"


def test_start_and_stop_move_other_triggers(glue: World) -> None:
    name = trigger(glue, "SCHEDULED", [glue.job()], Schedule="cron(0 12 1 1 ? 2099)")
    assert state(glue, name) == "CREATED"
    glue.client.start_trigger(Name=name)
    assert state(glue, name) == "ACTIVATED"
    glue.client.stop_trigger(Name=name)
    assert state(glue, name) == "DEACTIVATED"
    glue.client.start_trigger(Name=name)
    assert state(glue, name) == "ACTIVATED"


def test_start_on_creation_activates(glue: World) -> None:
    name = trigger(glue, "SCHEDULED", [glue.job()], Schedule="cron(0 12 * * ? *)", StartOnCreation=True)
    assert state(glue, name) == "ACTIVATED"
    glue.client.delete_trigger(Name=name)


def test_start_on_creation_is_not_for_on_demand_triggers(glue: World) -> None:
    asked = {"Type": "ON_DEMAND", "Actions": [{"JobName": glue.job()}], "StartOnCreation": True}
    glue.refused("InvalidInputException", glue.client.create_trigger, Name="no", **asked)
    glue.refused("EntityNotFoundException", glue.client.get_trigger, Name="no")


EQUALS = {"LogicalOperator": "EQUALS"}
JOB_STATES = "[SUCCEEDED, STOPPED, FAILED, TIMEOUT]"
REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"Type": "ON_DEMAND", "Actions": []}, "InvalidInputException", "1 to 50 actions"),
    ({"Actions": [{}]}, "InvalidInputException", "Either JobName or CrawlerName"),
    (
        {"Actions": [{"JobName": "a", "CrawlerName": "b"}]},
        "InvalidInputException",
        "Both JobName and CrawlerName cannot be set together in an action",
    ),
    ({"Actions": [{"CrawlerName": "b"}]}, "EntityNotFoundException", "Crawler with name b not found"),
    ({"Actions": [{"JobName": "nobody's job"}]}, "EntityNotFoundException", "nobody's job"),
    ({"Type": "CONDITIONAL"}, "InvalidInputException", "Predicate cannot be null or empty"),
    ({"Type": "CONDITIONAL", "Predicate": {"Conditions": []}}, "InvalidInputException", "Predicate cannot be null"),
    ({"Predicate": {"Conditions": [EQUALS]}}, "InvalidInputException", "cannot have a Predicate"),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{"JobName": "a", "State": "FAILED"}]}},
        "InvalidInputException",
        "Logical operator cannot be null or empty",
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{"LogicalOperator": "X", "JobName": "a"}]}},
        "ValidationException",
        "Value 'X' at 'predicate.conditions.1.member.logicalOperator' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Equals]",
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{**EQUALS, "JobName": "a"}]}},
        "InvalidInputException",
        f"State cannot be null or empty, choose from one of the following job state: {JOB_STATES}",
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{**EQUALS, "JobName": "a", "State": "RUNNING"}]}},
        "InvalidInputException",
        JOB_STATES,
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{**EQUALS, "CrawlerName": "a"}]}},
        "InvalidInputException",
        "following crawler state: [SUCCEEDED, FAILED, CANCELLED]",
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{**EQUALS, "CrawlerName": "a", "CrawlState": "FAILED"}]}},
        "EntityNotFoundException",
        "Crawler with name a not found",
    ),
    (
        {"Type": "CONDITIONAL", "Predicate": {"Conditions": [EQUALS]}},
        "InvalidInputException",
        "JobName or CrawlerName in condition cannot be null or empty",
    ),
    ({"Type": "SCHEDULED"}, "InvalidInputException", "Schedule must be cron("),
    ({"Type": "SCHEDULED", "Schedule": "0 12 * * ? *"}, "InvalidInputException", "Schedule must be cron("),
    ({"Type": "SCHEDULED", "Schedule": "cron(0 12 * * * *)"}, "InvalidInputException", "?"),
    ({"Type": "SCHEDULED", "Schedule": "cron(0 12 1 1 ? 1999)"}, "InvalidInputException", ""),
    ({"Schedule": "cron(0 12 * * ? *)"}, "InvalidInputException", "cannot have a Schedule"),
    ({"EventBatchingCondition": {"BatchSize": 1}}, "InvalidInputException", "cannot have an EventBatchingCondition"),
    ({"WorkflowName": "nobody's workflow"}, "EntityNotFoundException", "Entity not found"),
]


@pytest.mark.parametrize(("wrong", "exception", "said"), REFUSALS, ids=[f"{said[:40]}" for _, _, said in REFUSALS])
def test_a_wrong_trigger_is_refused_in_glues_words(glue: World, wrong: Any, exception: str, said: str) -> None:
    asked = {"Name": "wrong", "Type": "ON_DEMAND", "Actions": [{"JobName": glue.job()}], **wrong}
    assert said in glue.refused(exception, glue.client.create_trigger, **asked)
    glue.refused("EntityNotFoundException", glue.client.get_trigger, Name="wrong")


def test_a_job_cannot_follow_itself(glue: World) -> None:
    job = glue.job()
    predicate = {"Conditions": [{**EQUALS, "JobName": job, "State": "SUCCEEDED"}]}
    asked = {"Name": "circle", "Type": "CONDITIONAL", "Predicate": predicate, "Actions": [{"JobName": job}]}
    said = glue.refused("InvalidInputException", glue.client.create_trigger, **asked)
    assert said == "Job cannot be a Predicate and Action for Conditional Trigger."


def test_a_condition_on_a_job_and_a_crawler_is_one_on_the_job(glue: World) -> None:
    condition = {**EQUALS, "JobName": glue.job(), "State": "FAILED", "CrawlerName": "c", "CrawlState": "FAILED"}
    name = trigger(glue, "CONDITIONAL", [glue.job()], Predicate={"Conditions": [condition]})
    kept = glue.client.get_trigger(Name=name)["Trigger"]["Predicate"]["Conditions"][0]
    assert set(kept) == {"LogicalOperator", "JobName", "State"}


def test_the_same_trigger_twice_and_the_same_name_otherwise(glue: World) -> None:
    job = glue.job()
    name = trigger(glue, "ON_DEMAND", [job])
    asked: dict[str, Any] = {"Name": name, "Type": "ON_DEMAND", "Actions": [{"JobName": job}]}
    glue.refused("AlreadyExistsException", glue.client.create_trigger, **asked)
    said = glue.refused(
        "IdempotentParameterMismatchException", glue.client.create_trigger, **asked, Description="other"
    )
    assert said == f"Trigger with name '{name}' already submitted with different configuration"


def test_update_overwrites_the_definition(glue: World) -> None:
    job, other = glue.job(), glue.job()
    name = trigger(glue, "SCHEDULED", [job], Schedule="cron(0 12 * * ? *)", Description="old")
    update = {"Schedule": "cron(0 13 * * ? *)", "Actions": [{"JobName": other}]}
    answer = glue.client.update_trigger(Name=name, TriggerUpdate=update)["Trigger"]
    assert answer == {"Name": name, "Type": "SCHEDULED", "State": "CREATED", **update}
    glue.refused(
        "InvalidInputException", glue.client.update_trigger, Name=name, TriggerUpdate={"Actions": [{"JobName": job}]}
    )
    glue.refused("EntityNotFoundException", glue.client.update_trigger, Name="nobody", TriggerUpdate=update)


def test_delete_forgets_a_trigger_and_knows_no_unknown_name(glue: World) -> None:
    name = trigger(glue, "ON_DEMAND", [glue.job()], Tags={"a": "1"})
    assert glue.client.get_tags(ResourceArn=glue.arn("trigger", name))["Tags"] == {"a": "1"}
    assert glue.client.delete_trigger(Name=name)["Name"] == name
    glue.refused("EntityNotFoundException", glue.client.get_trigger, Name=name)
    glue.refused("EntityNotFoundException", glue.client.get_tags, ResourceArn=glue.arn("trigger", name))
    assert glue.client.delete_trigger(Name=name)["Name"] == name


@pytest.mark.parametrize("operation", ["get_trigger", "start_trigger", "stop_trigger"])
def test_an_unknown_trigger_is_not_found(glue: World, operation: str) -> None:
    glue.refused("EntityNotFoundException", getattr(glue.client, operation), Name="nobody")


def test_lists_page_and_filter(glue: World) -> None:
    job = glue.job()
    names = [trigger(glue, "ON_DEMAND", [job], Tags={"set": "lists"}) for _ in range(3)]
    pages = glue.client.get_paginator("list_triggers").paginate(DependentJobName=job, PaginationConfig={"PageSize": 2})
    assert [page["TriggerNames"] for page in pages] == [names[:2], names[2:]]
    got = glue.client.get_triggers(DependentJobName=job)["Triggers"]
    assert [one["Name"] for one in got] == names
    assert glue.client.list_triggers(Tags={"set": "lists"})["TriggerNames"] == names
    everything = glue.client.list_triggers()["TriggerNames"]
    assert glue.client.list_triggers(DependentJobName="no such job")["TriggerNames"] == everything
    glue.refused("InvalidInputException", glue.client.list_triggers, NextToken="zz")
    answer = glue.client.batch_get_triggers(TriggerNames=[names[0], "nobody"])
    assert [one["Name"] for one in answer["Triggers"]] == [names[0]]
    assert answer["TriggersNotFound"] == ["nobody"]


# --- firings ---


def test_an_on_demand_trigger_starts_its_jobs_with_its_arguments(glue: World) -> None:
    job = glue.job(OK, DefaultArguments={"--a": "job", "--b": "job"}, NonOverridableArguments={"--c": "job"})
    action = {"JobName": job, "Arguments": {"--a": "trigger", "--c": "trigger"}, "Timeout": 7}
    name = trigger(glue, "ON_DEMAND", [{**action, "SecurityConfiguration": "sec"}])
    glue.client.start_trigger(Name=name)
    run = the_run(glue, job)
    assert (run["JobRunState"], run["TriggerName"], run["PredecessorRuns"]) == ("SUCCEEDED", name, [])
    assert run["Arguments"] == {"--a": "trigger", "--b": "job", "--c": "job"}
    assert (run["Timeout"], run["SecurityConfiguration"]) == (7, "sec")


def test_a_conditional_trigger_follows_a_run_that_a_trigger_started(glue: World) -> None:
    first, second = glue.job(), glue.job()
    follow = when(glue, {first: "SUCCEEDED"}, [second])
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [first]))
    run = the_run(glue, second)
    assert run["TriggerName"] == follow
    assert run["PredecessorRuns"] == [{"JobName": first, "RunId": runs_of(glue, first)[0]["Id"]}]


def test_a_run_by_hand_fires_no_conditional_trigger(glue: World) -> None:
    first, second, third = glue.job(), glue.job(), glue.job()
    when(glue, {first: "SUCCEEDED"}, [second])
    glue.run(first)
    glue.run(third)
    assert runs_of(glue, second) == []


def test_a_trigger_that_is_not_active_does_not_follow(glue: World) -> None:
    first, second, third = glue.job(), glue.job(), glue.job()
    stopped = when(glue, {first: "SUCCEEDED"}, [second])
    glue.client.stop_trigger(Name=stopped)
    when(glue, {first: "SUCCEEDED"}, [third])
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [first]))
    the_run(glue, third)
    assert runs_of(glue, second) == []


@pytest.mark.parametrize(("text", "ended"), [(FAIL, "FAILED"), (OK, "SUCCEEDED")])
def test_conditions_tell_ends_apart(glue: World, text: str, ended: str) -> None:
    first, good, bad = glue.job(text), glue.job(), glue.job()
    when(glue, {first: "SUCCEEDED"}, [good])
    when(glue, {first: "FAILED"}, [bad])
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [first]))
    wanted, other = (good, bad) if ended == "SUCCEEDED" else (bad, good)
    the_run(glue, wanted)
    assert runs_of(glue, other) == []


def test_a_stopped_run_fires_what_waits_for_that(glue: World) -> None:
    first, second = glue.job("import time; time.sleep(60)"), glue.job()
    when(glue, {first: "STOPPED"}, [second])
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [first]))
    run = glue.until(lambda: runs_of(glue, first), bool)[0]
    glue.client.batch_stop_job_run(JobName=first, JobRunIds=[run["Id"]])
    assert the_run(glue, second)["JobRunState"] == "SUCCEEDED"


def test_and_waits_for_all_and_any_for_one(glue: World) -> None:
    slow, quick, both, either = glue.job("import time; time.sleep(0.5)"), glue.job(), glue.job(), glue.job()
    conditions = {slow: "SUCCEEDED", quick: "SUCCEEDED"}
    when(glue, conditions, [both], Logical="AND")
    when(glue, conditions, [either], Logical="ANY")
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [slow, quick]))
    run = the_run(glue, both)
    assert {one["JobName"] for one in run["PredecessorRuns"]} == {slow, quick}
    found = runs_of(glue, either)
    assert len(found) == 1
    assert [one["JobName"] for one in found[0]["PredecessorRuns"]] == [quick]


def test_and_counts_runs_of_one_chain_only(glue: World) -> None:
    a, b, both = glue.job(), glue.job(), glue.job()
    when(glue, {a: "SUCCEEDED", b: "SUCCEEDED"}, [both], Logical="AND")
    only_a, only_b = trigger(glue, "ON_DEMAND", [a]), trigger(glue, "ON_DEMAND", [b])
    glue.client.start_trigger(Name=only_a)
    the_run(glue, a)
    glue.client.start_trigger(Name=only_b)
    the_run(glue, b)
    assert runs_of(glue, both) == []


def test_a_triggered_run_over_the_limit_is_a_failed_run(glue: World) -> None:
    job = glue.job("import time; time.sleep(60)")
    glue.start(job)
    glue.client.start_trigger(Name=trigger(glue, "ON_DEMAND", [job]))
    run = runs_of(glue, job)[0]
    assert run["JobRunState"] == "FAILED"
    assert "limit" in run["ErrorMessage"]
    assert glue.get(job, run["Id"]) == run


def test_a_trigger_of_a_deleted_job_says_so(glue: World) -> None:
    job = glue.job()
    name = trigger(glue, "ON_DEMAND", [job])
    glue.client.delete_job(JobName=job)
    assert job in glue.refused("EntityNotFoundException", glue.client.start_trigger, Name=name)


def test_an_event_trigger_fires_when_a_table_changes(glue: World) -> None:
    job = glue.job()
    name = trigger(
        glue,
        "EVENT",
        [job],
        Tags={"runyard:tables": "landed"},
        EventBatchingCondition={"BatchSize": 1, "BatchWindow": 1},
        StartOnCreation=True,
    )
    load = {
        "name": "load",
        "tasks": [{"key": "a", "action": {"kind": "sql", "statement": "create table landed as select 1 a"}}],
    }
    assert glue.http.post("/api/v1/runs", json={"spec": load}).status_code == 201
    assert the_run(glue, job)["TriggerName"] == name
    glue.client.delete_trigger(Name=name)


def test_a_dry_run_of_a_trigger_is_there_natively(glue: World) -> None:
    job = glue.job()
    name = trigger(glue, "ON_DEMAND", [job])
    found = glue.http.get("/api/v1/triggers", params={"key": name, "origin": "glue"}).json()["items"]
    plan = glue.http.get(f"/api/v1/triggers/{found[0]['id']}/dry-run").json()
    assert [one["name"] for one in plan["starts"]] == [job]
    assert runs_of(glue, job) == []


@pytest.mark.long
def test_a_scheduled_trigger_fires_by_the_clock(glue: World) -> None:
    job = glue.job()
    name = trigger(glue, "SCHEDULED", [job], Schedule="cron(* * * * ? *)", StartOnCreation=True)
    found = glue.until(lambda: runs_of(glue, job), bool, 75)
    assert found[0]["TriggerName"] == name
    glue.client.delete_trigger(Name=name)
