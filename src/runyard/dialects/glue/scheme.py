"""Pure: Glue's triggers as ours, and the graph of a workflow. Source: Developer Guide, 'Triggers', 'Workflows'."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from runyard.core.cron import Flavour
from runyard.core.errors import invalid
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.core.triggers import (
    AfterRuns,
    FileArrival,
    Manual,
    OnSchedule,
    Source,
    StartRun,
    TableUpdate,
    Trigger,
    TriggerSpec,
    Watched,
)
from runyard.dialects.glue import compile as compiling
from runyard.dialects.glue import tables
from runyard.dialects.glue.errors import fault, missing

Json = dict[str, Any]
ON_DEMAND, SCHEDULED, CONDITIONAL, EVENT = "ON_DEMAND", "SCHEDULED", "CONDITIONAL", "EVENT"
STARTING = (ON_DEMAND, SCHEDULED, EVENT)
FILES_TAG, TABLES_TAG = "runyard:files", "runyard:tables"
"""Tags of an EVENT trigger that say which events are meant: AWS keeps that in EventBridge, which is not here."""
ENDS: dict[str, list[State]] = {
    "SUCCEEDED": [State.SUCCEEDED],
    "FAILED": [State.FAILED, State.LOST, State.SKIPPED, State.UPSTREAM_FAILED],
    "STOPPED": [State.CANCELLED],
    "TIMEOUT": [State.TIMED_OUT],
}
_CRON = re.compile(r"\s*cron\(.*\)\s*", re.DOTALL)
FIELDS = ("Type", "WorkflowName", "Description", "Schedule", "Actions", "Predicate", "EventBatchingCondition")


def checked(asked: Json) -> Json:
    """A trigger as it is kept; raises Glue's refusals."""
    kind = asked["Type"]
    kept = {name: asked[name] for name in FIELDS if name in asked}
    kept["Actions"] = [_action(one) for one in asked.get("Actions", [])]
    if not 1 <= len(kept["Actions"]) <= tables.MAX_TRIGGER_ACTIONS:
        raise invalid(f"A trigger must have 1 to {tables.MAX_TRIGGER_ACTIONS} actions; it has {len(kept['Actions'])}.")
    if kind == CONDITIONAL:
        kept["Predicate"] = _predicate(asked.get("Predicate"))
        _check_circle(kept)
    elif "Predicate" in asked:
        raise invalid(f"A trigger of type {kind} cannot have a Predicate.")
    if kind == SCHEDULED and not _CRON.fullmatch(asked.get("Schedule", "")):
        raise invalid("Schedule must be cron(minutes hours day-of-month month day-of-week year), in UTC.")
    if kind != SCHEDULED and asked.get("Schedule"):
        raise invalid(f"A trigger of type {kind} cannot have a Schedule.")
    if kind != EVENT and "EventBatchingCondition" in asked:
        raise invalid(f"A trigger of type {kind} cannot have an EventBatchingCondition.")
    return kept


def _action(action: Json) -> Json:
    if "JobName" in action and "CrawlerName" in action:
        raise invalid("Both JobName and CrawlerName cannot be set together in an action")
    if "CrawlerName" in action:
        raise missing(f"Crawler with name {action['CrawlerName']} not found: there are no crawlers here.")
    if "JobName" not in action:
        raise invalid("Either JobName or CrawlerName must be set in an action")
    if action.get("Timeout", 1) > tables.MAX_TIMEOUT:
        raise invalid(f"Timeout must be at most {tables.MAX_TIMEOUT} minutes; it is {action['Timeout']}.")
    return action


def _predicate(predicate: Json | None) -> Json:
    conditions = (predicate or {}).get("Conditions")
    if not predicate or not conditions:
        raise invalid("Predicate cannot be null or empty")
    return {**predicate, "Conditions": [_condition(one, number) for number, one in enumerate(conditions, 1)]}


def _condition(condition: Json, number: int) -> Json:
    operator = condition.get("LogicalOperator")
    if not operator:
        raise invalid("Logical operator cannot be null or empty")
    if operator != "EQUALS":
        at = f"predicate.conditions.{number}.member.logicalOperator"
        said = (
            f"Value '{operator}' at '{at}' failed to satisfy constraint: Member must satisfy enum value set: [Equals]"
        )
        raise fault("ValidationException", said)
    if "JobName" in condition:
        return _job_condition(condition)
    if "CrawlerName" not in condition:
        raise invalid("JobName or CrawlerName in condition cannot be null or empty")
    if condition.get("CrawlState") not in tables.LISTENABLE_CRAWLS:
        known = ", ".join(tables.LISTENABLE_CRAWLS)
        said = f"CrawlState cannot be null or empty, choose from one of the following crawler state: [{known}]"
        raise invalid(said)
    raise missing(f"Crawler with name {condition['CrawlerName']} not found: there are no crawlers here.")


def _job_condition(condition: Json) -> Json:
    """A condition that names a job and a crawler is one on the job."""
    if condition.get("State") not in tables.LISTENABLE:
        known = ", ".join(tables.LISTENABLE)
        said = f"State cannot be null or empty, choose from one of the following job state: [{known}]"
        raise invalid(said)
    return {name: value for name, value in condition.items() if not name.startswith("Crawl")}


def _check_circle(kept: Json) -> None:
    watched = {one["JobName"] for one in kept["Predicate"]["Conditions"]}
    if watched & {one["JobName"] for one in kept["Actions"]}:
        raise invalid("Job cannot be a Predicate and Action for Conditional Trigger.")


def definition(kept: Json, tags: dict[str, str]) -> TriggerSpec:
    """The trigger as ours."""
    actions = [_start(one) for one in kept["Actions"]]
    return TriggerSpec(source=_source(kept, tags), actions=actions, description=kept.get("Description", ""))


def _source(kept: Json, tags: dict[str, str]) -> Source:
    kind = kept["Type"]
    if kind == SCHEDULED:
        return OnSchedule(schedule=Schedule(cron=kept["Schedule"], flavour=Flavour.MINUTES_FIRST))
    if kind == CONDITIONAL:
        predicate = kept["Predicate"]
        watch = [Watched(job=one["JobName"], states=ENDS[one["State"]]) for one in predicate["Conditions"]]
        return AfterRuns(watch=watch, match="any" if predicate.get("Logical") == "ANY" else "all")
    if kind == EVENT:
        return _event(kept, tags)
    return Manual()


def _event(kept: Json, tags: dict[str, str]) -> Source:
    """File arrivals or table updates, as the trigger's tags say; without a tag it fires when somebody asks.

    BatchSize events make one firing, or those of BatchWindow seconds from the first one on.
    """
    given = kept.get("EventBatchingCondition", {})
    size, window = given.get("BatchSize", 1), batch_window(given)
    if FILES_TAG in tags:
        folder, _, pattern = tags[FILES_TAG].rpartition("/")
        return FileArrival(location=folder or "/", pattern=pattern or "*", batch_size=size, batch_window=window)
    if TABLES_TAG in tags:
        names = [one.strip() for one in tags[TABLES_TAG].split(",")]
        return TableUpdate(tables=names, batch_size=size, batch_window=window)
    return Manual()


def batch_window(given: Json) -> int:
    """Seconds of an EventBatchingCondition."""
    return int(given.get("BatchWindow", tables.BATCH_WINDOW))


def _start(action: Json) -> StartRun:
    overrides = {
        name: action[name] for name in ("Timeout", "SecurityConfiguration", "NotificationProperty") if name in action
    }
    parameters: Json = {}
    if action.get("Arguments"):
        parameters["arguments"] = compiling.run_parameters({}, action)["arguments"]
    if overrides:
        parameters["overrides"] = overrides
    minutes = action.get("Timeout")
    return StartRun(job=action["JobName"], parameters=parameters, task_timeout=minutes * 60.0 if minutes else None)


def shown(trigger: Trigger) -> Json:
    """A kept trigger as Glue's Trigger."""
    return {"Name": trigger.key, "State": state(trigger), **trigger.extras[tables.NAME]}


def state(trigger: Trigger) -> str:
    """CREATED until it is first started; an on-demand trigger stays so."""
    if trigger.extras[tables.NAME]["Type"] == ON_DEMAND or trigger.started_at is None:
        return "CREATED"
    return "ACTIVATED" if trigger.active else "DEACTIVATED"


# --- the graph of a workflow ------------------------------------------------------------------------------


def node_id(workflow: str, kind: str, name: str) -> str:
    """The id of a node: the same in the workflow and in all its runs."""
    return "wnode_" + hashlib.sha256(f"{workflow}\0{kind}\0{name}".encode()).hexdigest()


def graph(workflow: str, triggers: list[Json]) -> Json:
    """Nodes of triggers and jobs; edges from a trigger to what it starts, and from a watched job to the trigger."""
    nodes: dict[str, Json] = {}
    edges: list[Json] = []

    def node(kind: str, name: str, **details: Any) -> str:
        found = node_id(workflow, kind, name)
        if found not in nodes:
            nodes[found] = {"Type": kind, "Name": name, "UniqueId": found}
        nodes[found] |= details
        return found

    for one in triggers:
        here = node("TRIGGER", one["Name"], TriggerDetails={"Trigger": one})
        for name in watched_jobs(one):
            edges.append({"SourceId": node("JOB", name), "DestinationId": here})
        for name in started_jobs(one):
            edges.append({"SourceId": here, "DestinationId": node("JOB", name)})
    return {"Nodes": list(nodes.values()), "Edges": edges}


def watched_jobs(trigger: Json) -> list[str]:
    """The jobs of a trigger's conditions."""
    conditions = trigger.get("Predicate", {}).get("Conditions", [])
    return list(dict.fromkeys(one["JobName"] for one in conditions))


def started_jobs(trigger: Json) -> list[str]:
    """The jobs of a trigger's actions."""
    return list(dict.fromkeys(one["JobName"] for one in trigger.get("Actions", [])))


def downstream(drawn: Json, ids: set[str]) -> set[str]:
    """All nodes that come after these."""
    found: set[str] = set()
    open_ = set(ids)
    while open_:
        open_ = {one["DestinationId"] for one in drawn["Edges"] if one["SourceId"] in open_} - found
        found |= open_
    return found
