"""Workflows through boto3: definitions, runs with their graph and statistics, properties, stop, resume."""

from __future__ import annotations

import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.dialects.glue.test_triggers import EQUALS, FAIL, OK, runs_of
from tests.dialects.glue.world import World

_numbers = itertools.count(1)
SLEEP = "import time; time.sleep(60)"


class Flow:
    """A workflow of jobs by letter: `start` begins it, `after` chains them."""

    def __init__(self, world: World, **more: Any) -> None:
        self.world = world
        self.glue = world.client
        self.name = f"flow {next(_numbers)}"
        self.glue.create_workflow(Name=self.name, **more)
        self.jobs: dict[str, str] = {}

    def job(self, letter: str, text: str = OK, **more: Any) -> str:
        self.jobs[letter] = self.world.job(text, Name=f"{self.name} {letter}", **more)
        return self.jobs[letter]

    def start(self, *letters: str, kind: str = "ON_DEMAND", **more: Any) -> str:
        return self._trigger(f"{self.name} start", kind, letters, **more)

    def after(self, conditions: dict[str, str], *letters: str, **more: Any) -> str:
        found = [{**EQUALS, "JobName": self.jobs[one], "State": state} for one, state in conditions.items()]
        predicate = {"Logical": more.pop("Logical", "AND"), "Conditions": found}
        name = f"{self.name} after {''.join(conditions)} {''.join(letters)}"
        return self._trigger(name, "CONDITIONAL", letters, Predicate=predicate, StartOnCreation=True, **more)

    def _trigger(self, name: str, kind: str, letters: tuple[str, ...], **more: Any) -> str:
        actions = [{"JobName": self.jobs[one]} for one in letters]
        self.glue.create_trigger(Name=name, Type=kind, Actions=actions, WorkflowName=self.name, **more)
        return name

    def begin(self, **more: Any) -> str:
        return str(self.glue.start_workflow_run(Name=self.name, **more)["RunId"])

    def get(self, run_id: str, **more: Any) -> dict[str, Any]:
        return dict(self.glue.get_workflow_run(Name=self.name, RunId=run_id, **more)["Run"])

    def ended(self, run_id: str) -> dict[str, Any]:
        over = {"COMPLETED", "STOPPED", "ERROR"}
        return dict(self.world.until(lambda: self.get(run_id, IncludeGraph=True), lambda run: run["Status"] in over))

    def node(self, run: dict[str, Any], letter: str) -> dict[str, Any]:
        (found,) = [one for one in run["Graph"]["Nodes"] if one["Name"] == self.jobs[letter]]
        return dict(found)

    def states(self, run: dict[str, Any]) -> dict[str, list[str]]:
        return {
            letter: [one["JobRunState"] for one in self.node(run, letter)["JobDetails"]["JobRuns"]]
            for letter in self.jobs
        }


def counts(run: dict[str, Any]) -> dict[str, int]:
    return {name.removesuffix("Actions"): count for name, count in run["Statistics"].items() if count}


# --- definitions ---


def test_a_workflow_comes_back_as_it_was_created(glue: World) -> None:
    asked = {"Description": "d", "DefaultRunProperties": {"a": "1"}, "MaxConcurrentRuns": 2}
    assert glue.client.create_workflow(Name="w1", **asked, Tags={"t": "1"})["Name"] == "w1"
    kept = glue.client.get_workflow(Name="w1")["Workflow"]
    assert {key: kept[key] for key in asked} == asked
    assert not {"Graph", "LastRun"} & set(kept)
    assert glue.client.get_tags(ResourceArn=glue.arn("workflow", "w1"))["Tags"] == {"t": "1"}
    glue.refused("AlreadyExistsException", glue.client.create_workflow, Name="w1")
    glue.client.update_workflow(Name="w1", Description="new")
    kept = glue.client.get_workflow(Name="w1")["Workflow"]
    assert (kept["Description"], kept["MaxConcurrentRuns"]) == ("new", 2)
    assert glue.client.delete_workflow(Name="w1")["Name"] == "w1"
    assert glue.client.delete_workflow(Name="w1")["Name"] == "w1"
    assert glue.refused("EntityNotFoundException", glue.client.get_workflow, Name="w1") == "Entity not found"


def test_lists_of_workflows(glue: World) -> None:
    names = [f"list {number}" for number in range(3)]
    for name in names:
        glue.client.create_workflow(Name=name)
    pages = glue.client.get_paginator("list_workflows").paginate(PaginationConfig={"PageSize": 2})
    found = [name for page in pages for name in page["Workflows"]]
    assert set(names) <= set(found)
    answer = glue.client.batch_get_workflows(Names=[names[0], "nobody"], IncludeGraph=True)
    assert [one["Name"] for one in answer["Workflows"]] == [names[0]]
    assert answer["MissingWorkflows"] == ["nobody"]


def test_max_concurrent_runs_must_be_positive(glue: World) -> None:
    glue.refused("InvalidInputException", glue.client.create_workflow, Name="zero", MaxConcurrentRuns=0)
    glue.refused("EntityNotFoundException", glue.client.get_workflow, Name="zero")


UNKNOWN = "wr_" + "0" * 64
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_workflow", {}),
    ("update_workflow", {"Description": "x"}),
    ("start_workflow_run", {}),
    ("get_workflow_runs", {}),
    ("get_workflow_run", {"RunId": UNKNOWN}),
    ("get_workflow_run_properties", {"RunId": UNKNOWN}),
    ("put_workflow_run_properties", {"RunId": UNKNOWN, "RunProperties": {}}),
    ("stop_workflow_run", {"RunId": UNKNOWN}),
    ("resume_workflow_run", {"RunId": UNKNOWN, "NodeIds": ["x"]}),
]


@pytest.mark.parametrize(("operation", "more"), CALLS, ids=[name for name, _ in CALLS])
def test_an_unknown_workflow_or_run_is_not_found(glue: World, operation: str, more: dict[str, Any]) -> None:
    call = getattr(glue.client, operation)
    assert glue.refused("EntityNotFoundException", call, Name="nobody", **more) == "Entity not found"
    if "RunId" in more:
        flow = Flow(glue)
        glue.refused("EntityNotFoundException", call, Name=flow.name, **more)


def test_a_workflow_has_one_starting_trigger(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a")
    flow.start("a")
    actions = [{"JobName": flow.jobs["a"]}]
    said = glue.refused(
        "InvalidInputException",
        glue.client.create_trigger,
        Name="second",
        Type="ON_DEMAND",
        Actions=actions,
        WorkflowName=flow.name,
    )
    assert "starting trigger already" in said


def test_the_graph_of_a_workflow_joins_triggers_and_jobs(glue: World) -> None:
    flow = Flow(glue)
    a, b = flow.job("a"), flow.job("b")
    start, follow = flow.start("a"), flow.after({"a": "SUCCEEDED"}, "b")
    graph = glue.client.get_workflow(Name=flow.name, IncludeGraph=True)["Workflow"]["Graph"]
    names = {node["UniqueId"]: (node["Type"], node["Name"]) for node in graph["Nodes"]}
    assert set(names.values()) == {("TRIGGER", start), ("TRIGGER", follow), ("JOB", a), ("JOB", b)}
    assert all(re.fullmatch("wnode_[0-9a-f]{64}", one) for one in names)
    edges = {(names[one["SourceId"]][1], names[one["DestinationId"]][1]) for one in graph["Edges"]}
    assert edges == {(start, a), (a, follow), (follow, b)}
    details = [node["TriggerDetails"]["Trigger"] for node in graph["Nodes"] if node["Name"] == start]
    assert (details[0]["WorkflowName"], details[0]["State"]) == (flow.name, "CREATED")


# --- runs ---


def test_a_workflow_runs_through_with_its_properties(glue: World) -> None:
    flow = Flow(glue, DefaultRunProperties={"env": "test", "day": "1"})
    text = "import json, sys\nprint(json.dumps(sys.argv[1:]))"
    flow.job("a", text)
    flow.job("b")
    flow.start("a")
    flow.after({"a": "SUCCEEDED"}, "b")
    run_id = flow.begin(RunProperties={"day": "2"})
    assert re.fullmatch("wr_[0-9a-f]{64}", run_id)
    run = flow.ended(run_id)
    assert (run["Status"], run["WorkflowRunId"], run["Name"]) == ("COMPLETED", run_id, flow.name)
    assert run["WorkflowRunProperties"] == {"env": "test", "day": "2"}
    assert run["CompletedOn"] >= run["StartedOn"]
    assert flow.states(run) == {"a": ["SUCCEEDED"], "b": ["SUCCEEDED"]}
    assert counts(run) == {"Total": 2, "Succeeded": 2}
    (first,) = runs_of(glue, flow.jobs["a"])
    words = json.loads(glue.output(first)[0])
    seen = dict(zip(words[::2], words[1::2], strict=True))
    assert (seen["--WORKFLOW_NAME"], seen["--WORKFLOW_RUN_ID"]) == (flow.name, run_id)
    kept = glue.client.get_workflow(Name=flow.name)["Workflow"]
    assert kept["LastRun"]["WorkflowRunId"] == run_id


def test_run_properties_are_added_and_overwritten(glue: World) -> None:
    flow = Flow(glue, DefaultRunProperties={"a": "1"})
    flow.job("a", SLEEP)
    flow.start("a")
    run_id = flow.begin()
    asked = {"Name": flow.name, "RunId": run_id}
    assert glue.client.get_workflow_run_properties(**asked)["RunProperties"] == {"a": "1"}
    for properties in ({"b": "2"}, {"a": "3"}):
        glue.client.put_workflow_run_properties(**asked, RunProperties=properties)
    assert glue.client.get_workflow_run_properties(**asked)["RunProperties"] == {"a": "3", "b": "2"}
    assert glue.client.get_workflow(Name=flow.name)["Workflow"]["DefaultRunProperties"] == {"a": "1"}
    glue.client.stop_workflow_run(**asked)
    flow.ended(run_id)


def test_a_workflow_with_a_failed_job_is_completed_and_counts_it(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a", FAIL)
    flow.job("b")
    flow.job("c")
    flow.start("a")
    flow.after({"a": "SUCCEEDED"}, "b")
    flow.after({"a": "FAILED"}, "c")
    run = flow.ended(flow.begin())
    assert run["Status"] == "COMPLETED"
    assert flow.states(run) == {"a": ["FAILED"], "b": [], "c": ["SUCCEEDED"]}
    assert counts(run) == {"Total": 3, "Failed": 1, "Succeeded": 1}


def test_triggers_outside_do_not_follow_runs_inside_and_the_other_way_round(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a")
    flow.job("b")
    outside = glue.job()
    flow.start("a")
    flow.after({"a": "SUCCEEDED"}, "b")
    predicate = {"Conditions": [{**EQUALS, "JobName": flow.jobs["a"], "State": "SUCCEEDED"}]}
    glue.client.create_trigger(
        Name=f"{flow.name} outside",
        Type="CONDITIONAL",
        Predicate=predicate,
        Actions=[{"JobName": outside}],
        StartOnCreation=True,
    )
    flow.ended(flow.begin())
    assert runs_of(glue, outside) == []
    before = len(runs_of(glue, flow.jobs["b"]))
    glue.client.create_trigger(Name=f"{flow.name} hand", Type="ON_DEMAND", Actions=[{"JobName": flow.jobs["a"]}])
    glue.client.start_trigger(Name=f"{flow.name} hand")
    glue.until(lambda: runs_of(glue, outside), bool)
    assert len(runs_of(glue, flow.jobs["b"])) == before


def test_runs_are_listed_newest_first_in_pages(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a", ExecutionProperty={"MaxConcurrentRuns": 5})
    flow.start("a")
    started = [flow.begin() for _ in range(3)]
    for run_id in started:
        flow.ended(run_id)
    pages = list(
        glue.client.get_paginator("get_workflow_runs").paginate(
            Name=flow.name, IncludeGraph=True, PaginationConfig={"PageSize": 2}
        )
    )
    assert [[run["WorkflowRunId"] for run in page["Runs"]] for page in pages] == [started[:0:-1], started[:1]]
    assert pages[0]["Runs"][0]["Graph"]["Nodes"]
    glue.refused("InvalidInputException", glue.client.get_workflow_runs, Name=flow.name, NextToken="x")


def test_over_the_limit_of_runs_a_start_is_refused(glue: World) -> None:
    flow = Flow(glue, MaxConcurrentRuns=1)
    flow.job("a", SLEEP)
    flow.start("a")
    run_id = flow.begin()
    said = glue.refused("ConcurrentRunsExceededException", glue.client.start_workflow_run, Name=flow.name)
    assert flow.name in said
    glue.client.stop_workflow_run(Name=flow.name, RunId=run_id)
    flow.ended(run_id)
    second = flow.begin()
    glue.client.stop_workflow_run(Name=flow.name, RunId=second)
    flow.ended(second)


def test_of_many_starts_at_once_as_many_win_as_the_limit_allows(glue: World) -> None:
    flow = Flow(glue, MaxConcurrentRuns=2)
    flow.job("a", SLEEP, ExecutionProperty={"MaxConcurrentRuns": 20})
    flow.start("a")
    ready = threading.Barrier(8)

    def start(_: int) -> str:
        ready.wait()
        answer = glue.raw("StartWorkflowRun", {"Name": flow.name}).json()
        return str(answer.get("__type", "started"))

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(start, range(8)))
    assert answers == ["ConcurrentRunsExceededException"] * 6 + ["started"] * 2
    runs = glue.client.get_workflow_runs(Name=flow.name)["Runs"]
    assert [run["Status"] for run in runs] == ["RUNNING", "RUNNING"]
    for run in runs:
        glue.client.stop_workflow_run(Name=flow.name, RunId=run["WorkflowRunId"])
        flow.ended(run["WorkflowRunId"])


def test_the_limit_of_runs_holds_for_resume_and_for_the_starting_trigger_too(glue: World) -> None:
    flow = Flow(glue, MaxConcurrentRuns=1)
    wait = f"import os, time\nif os.path.exists({str(glue.files / 'wait')!r}): time.sleep(60)"
    flow.job("a", wait, ExecutionProperty={"MaxConcurrentRuns": 5})
    starting = flow.start("a")
    first_id = flow.begin()
    node = flow.node(flow.ended(first_id), "a")["UniqueId"]
    (glue.files / "wait").touch()
    glue.client.start_trigger(Name=starting)
    (second, first) = glue.client.get_workflow_runs(Name=flow.name)["Runs"]
    assert (second["Status"], first["WorkflowRunId"]) == ("RUNNING", first_id)
    exceeded = "ConcurrentRunsExceededException"
    again = {"Name": flow.name, "RunId": first_id, "NodeIds": [node]}
    said = glue.refused(exceeded, glue.client.resume_workflow_run, **again)
    assert said == f"Concurrent runs exceeded for workflow: {flow.name}."
    glue.refused(exceeded, glue.client.start_trigger, Name=starting)
    glue.client.stop_workflow_run(Name=flow.name, RunId=second["WorkflowRunId"])
    flow.ended(second["WorkflowRunId"])
    (glue.files / "wait").unlink()
    resumed = glue.client.resume_workflow_run(**again)["RunId"]
    assert flow.ended(resumed)["Status"] == "COMPLETED"


def test_a_batch_of_events_starts_a_workflow_which_tells_how_many(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a")
    batch = {"BatchSize": 2, "BatchWindow": 600}
    flow.start(
        "a",
        kind="EVENT",
        EventBatchingCondition=batch,
        Tags={"runyard:tables": "batched"},
        StartOnCreation=True,
    )

    def change(statement: str) -> None:
        tasks = [{"key": "a", "action": {"kind": "sql", "statement": statement}}]
        run = glue.http.post("/api/v1/runs", json={"spec": {"name": "change", "tasks": tasks}}).json()
        glue.until(lambda: glue.http.get(f"/api/v1/runs/{run['id']}").json()["state"], lambda one: one == "succeeded")

    change("create table batched as select 1 a")
    assert glue.client.get_workflow_runs(Name=flow.name)["Runs"] == []
    change("insert into batched values (2)")
    (run,) = glue.until(lambda: glue.client.get_workflow_runs(Name=flow.name)["Runs"], bool)
    assert run["StartingEventBatchCondition"] == {"BatchSize": 2, "BatchWindow": 600}
    assert flow.ended(run["WorkflowRunId"])["Status"] == "COMPLETED"


def test_a_workflow_without_a_starting_trigger_cannot_be_started(glue: World) -> None:
    flow = Flow(glue)
    assert "no starting trigger" in glue.refused(
        "InvalidInputException", glue.client.start_workflow_run, Name=flow.name
    )


def test_a_run_keeps_the_triggers_that_it_began_with(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a")
    flow.job("b")
    flow.start("a")
    run_id = flow.begin()
    flow.ended(run_id)
    flow.after({"a": "SUCCEEDED"}, "b")
    names = {node["Name"] for node in flow.get(run_id, IncludeGraph=True)["Graph"]["Nodes"]}
    assert flow.jobs["b"] not in names


def test_a_run_that_was_removed_is_left_out(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a")
    flow.job("b")
    flow.start("a")
    flow.after({"a": "SUCCEEDED"}, "b")
    run_id = flow.begin()
    flow.ended(run_id)
    (found,) = glue.http.get("/api/v1/runs", params={"name": flow.jobs["a"]}).json()["items"]
    assert glue.http.delete(f"/api/v1/runs/{found['id']}").status_code == 204
    assert flow.states(flow.ended(run_id)) == {"a": [], "b": ["SUCCEEDED"]}
    assert runs_of(glue, flow.jobs["b"])[0]["PredecessorRuns"] == []


# --- stop ---


def test_a_stopped_workflow_kills_what_runs_and_starts_nothing_more(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a", SLEEP)
    flow.job("b")
    flow.start("a")
    flow.after({"a": "STOPPED"}, "b")
    run_id = flow.begin()
    glue.until(lambda: runs_of(glue, flow.jobs["a"])[0]["JobRunState"], lambda state: state == "RUNNING")
    glue.client.stop_workflow_run(Name=flow.name, RunId=run_id)
    assert flow.get(run_id)["Status"] in ("STOPPING", "STOPPED")
    run = flow.ended(run_id)
    assert run["Status"] == "STOPPED"
    assert flow.states(run) == {"a": ["STOPPED"], "b": []}
    assert counts(run) == {"Total": 2, "Stopped": 1}
    said = glue.refused("IllegalWorkflowStateException", glue.client.stop_workflow_run, Name=flow.name, RunId=run_id)
    assert "STOPPED" in said
    glue.refused(
        "IllegalWorkflowStateException",
        glue.client.resume_workflow_run,
        Name=flow.name,
        RunId=run_id,
        NodeIds=[flow.node(run, "a")["UniqueId"]],
    )


# --- resume ---


def nested(world: World, mark: str) -> Flow:
    """a -> b, c; b fails until its mark is there; b and c -> d -> e."""
    flow = Flow(world)
    path = world.files / mark
    flow.job("a")
    flow.job("b", f"import os\nif not os.path.exists({str(path)!r}): raise ValueError('not yet')")
    for letter in "cde":
        flow.job(letter)
    flow.start("a")
    flow.after({"a": "SUCCEEDED"}, "b", "c")
    flow.after({"b": "SUCCEEDED", "c": "SUCCEEDED"}, "d")
    flow.after({"d": "SUCCEEDED"}, "e")
    return flow


def test_a_failed_workflow_is_resumed_from_the_failed_job_alone(glue: World) -> None:
    flow = nested(glue, "resume1")
    first_id = flow.begin(RunProperties={"p": "1"})
    first = flow.ended(first_id)
    assert flow.states(first) == {"a": ["SUCCEEDED"], "b": ["FAILED"], "c": ["SUCCEEDED"], "d": [], "e": []}
    (glue.files / "resume1").touch()
    node = flow.node(first, "b")["UniqueId"]
    answer = glue.client.resume_workflow_run(Name=flow.name, RunId=first_id, NodeIds=[node])
    assert answer["NodeIds"] == [node]
    assert answer["RunId"] != first_id
    second = flow.ended(answer["RunId"])
    assert (second["Status"], second["PreviousRunId"]) == ("COMPLETED", first_id)
    assert second["WorkflowRunProperties"] == {"p": "1"}
    assert flow.states(second) == {letter: ["SUCCEEDED"] for letter in "abcde"}
    for letter in "ac":
        assert flow.node(second, letter)["JobDetails"] == flow.node(first, letter)["JobDetails"]
        assert len(runs_of(glue, flow.jobs[letter])) == 1
    again = runs_of(glue, flow.jobs["b"])
    assert [run["JobRunState"] for run in again] == ["SUCCEEDED", "FAILED"]
    assert again[0]["TriggerName"] == again[1]["TriggerName"]
    assert flow.states(flow.get(first_id, IncludeGraph=True)) == flow.states(first)


def test_nodes_downstream_of_another_chosen_one_are_dropped(glue: World) -> None:
    flow = nested(glue, "resume2")
    (glue.files / "resume2").touch()
    first_id = flow.begin()
    first = flow.ended(first_id)
    assert set(map(tuple, flow.states(first).values())) == {("SUCCEEDED",)}
    ids = {letter: flow.node(first, letter)["UniqueId"] for letter in "abcde"}
    answer = glue.client.resume_workflow_run(Name=flow.name, RunId=first_id, NodeIds=[ids["d"], ids["b"], ids["e"]])
    assert answer["NodeIds"] == [ids["b"]]
    second = flow.ended(answer["RunId"])
    assert flow.states(second) == flow.states(first)
    assert {letter: len(runs_of(glue, flow.jobs[letter])) for letter in "abcde"} == {
        "a": 1, "b": 2, "c": 1, "d": 2, "e": 2,
    }  # fmt: skip


def test_only_jobs_that_were_attempted_can_be_resumed(glue: World) -> None:
    flow = nested(glue, "resume3")
    first_id = flow.begin()
    first = flow.ended(first_id)
    trigger = next(one["UniqueId"] for one in first["Graph"]["Nodes"] if one["Type"] == "TRIGGER")
    for wrong in ([flow.node(first, "d")["UniqueId"]], [trigger], ["wnode_x"], []):
        glue.refused(
            "InvalidInputException",
            glue.client.resume_workflow_run,
            Name=flow.name,
            RunId=first_id,
            NodeIds=wrong,
        )
    assert len(glue.client.get_workflow_runs(Name=flow.name)["Runs"]) == 1


def test_a_running_workflow_cannot_be_resumed(glue: World) -> None:
    flow = Flow(glue)
    flow.job("a", SLEEP)
    flow.start("a")
    run_id = flow.begin()
    node = flow.node(flow.get(run_id, IncludeGraph=True), "a")["UniqueId"]
    glue.refused(
        "IllegalWorkflowStateException",
        glue.client.resume_workflow_run,
        Name=flow.name,
        RunId=run_id,
        NodeIds=[node],
    )
    glue.client.stop_workflow_run(Name=flow.name, RunId=run_id)
    flow.ended(run_id)
