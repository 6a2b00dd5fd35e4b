"""Runs and task runs as this service's bodies. Pure.

Times in milliseconds. A job run of several tasks has a `run_duration`; setup, execution and cleanup are its tasks'.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

from runyard.core.model import Event, JobSpec, Run, TaskRun
from runyard.core.states import TERMINAL, Reason, State
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks import wire
from runyard.dialects.databricks.tables import (
    BY_REASON,
    FAILED_TASK,
    FAILURE_CODES,
    NAME,
    QUEUED,
    RUN_STATES,
    TASK_STATES,
    TRIGGERS,
    WORKSPACE_ID,
    YOUNG_MS,
    Shown,
)

Body = dict[str, Any]
ARRAYS = ("tasks", "job_clusters", "job_parameters", "repair_history", "iterations")

_BLAMED = re.compile(r"Task '(?P<key>[^']+)' (?:failed|was lost|timed out|was cancelled)")
_LIMIT = re.compile(r"limit of (\d+)")


class Followed:
    """A definition that runs follow, with what their bodies need of it: made once, for lists show many runs of few."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec

    @cached_property
    def settings(self) -> Body:
        """The settings that the definition was made from."""
        return compiling.settings_in(self.spec)

    @cached_property
    def shown(self) -> dict[str, Body]:
        """Its tasks' settings as they are shown, by key."""
        source = "GIT" if "git_source" in self.settings else "WORKSPACE"
        return {one.get("task_key", ""): wire.shown_task(one, source) for one in self.settings.get("tasks", [])}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run's body is made from."""

    run: Run
    followed: Followed
    task_runs: list[TaskRun] = []
    """All attempts, oldest first."""
    host: str = ""
    version: str = "2.2"
    now: int = 0
    events: list[Event] = []
    """For the history of repairs."""
    resolved: Callable[[TaskRun], Body | None] | None = None

    @property
    def settings(self) -> Body:
        """The settings that the run follows."""
        return self.followed.settings


def job_id_of(run: Run) -> int:
    """A one-time submission has a job id too: the run's own, which no list of jobs shows."""
    return run.job_id if run.job_id is not None else run.id


# --- states -----------------------------------------------------------------------------------------------


def is_young(run: Run, now: int) -> bool:
    """Whether a run that is over is so fresh that clients would think it never began."""
    return run.state in TERMINAL and run.state is not State.SKIPPED and now < run.created_at + YOUNG_MS


def run_states(run: Run, *, young: bool = False) -> Body:
    """`state` and `status` of a job run."""
    if young:
        return _both(RUN_STATES[State.RUNNING], "")
    if run.state is State.QUEUED and run.admitted_at is None:
        reason = f"Queued due to reaching maximum concurrent runs of {_limit_of(run.detail)}."
        body = _both(QUEUED, reason)
        body["state"]["queue_reason"] = reason
        body["status"]["queue_details"] = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": reason}
        return body
    shown = BY_REASON.get((run.state, run.reason), RUN_STATES[run.state])
    return _both(shown, _run_message(run))


def _run_message(run: Run) -> str:
    if run.state is State.SKIPPED and run.reason == Reason.JOB_LIMIT:
        limit = _limit_of(run.detail)
        return f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
    if run.state is State.FAILED:
        found = _BLAMED.match(run.detail)
        return f"Task {found['key']} failed with message: {FAILED_TASK}." if found else run.detail
    return run.detail if run.state in TERMINAL else ""


def _limit_of(detail: str) -> str:
    found = _LIMIT.search(detail)
    return found[1] if found else "1"


def task_states(one: TaskRun, *, queued: bool = False) -> Body:
    """`state` and `status` of a task run; `queued`: its run waits for its job's limit."""
    if queued and one.state is State.BLOCKED and one.reason == Reason.JOB_LIMIT:
        return _both(QUEUED, "")
    shown = BY_REASON.get((one.state, one.reason), TASK_STATES[one.state])
    if one.state is State.FAILED and one.reason in FAILURE_CODES:
        code, type_ = FAILURE_CODES[one.reason]
        life = "INTERNAL_ERROR" if type_ == "INTERNAL_ERROR" else shown.life_cycle
        shown = msgspec.structs.replace(shown, code=code, type=type_, life_cycle=life)
    return _both(shown, _task_message(one))


def _task_message(one: TaskRun) -> str:
    if one.state is State.FAILED:
        return one.detail if one.reason in FAILURE_CODES or one.executor == "engine" else FAILED_TASK
    return one.detail if one.state in TERMINAL or one.state is State.CANCELLING else ""


def _both(shown: Shown, message: str) -> Body:
    state: Body = {"life_cycle_state": shown.life_cycle}
    status: Body = {"state": shown.status}
    if shown.result is not None:
        state["result_state"] = shown.result
        status["termination_details"] = {"code": shown.code, "type": shown.type, "message": message}
    state["state_message"] = message
    state["user_cancelled_or_timedout"] = shown.stopped
    return {"state": state, "status": status}


# --- job runs ---------------------------------------------------------------------------------------------


def run_body(view: View, *, offset: int = 0, history: bool = False) -> Body:
    """One job run, as `runs/get` gives it."""
    young = is_young(view.run, view.now)
    body = summary(view, young=young)
    settings = view.settings
    if settings.get("job_clusters"):
        body["job_clusters"] = [wire.without_policy(one) for one in settings["job_clusters"]]
    body["tasks"] = _own(view.task_runs)
    if history:
        body["repair_history"] = repair_history(view, young=young)
    if view.version == "2.0" and settings.get("format") == "SINGLE_TASK":
        _as_single(body, settings)
    _paged(body, view, offset)
    return body


def _paged(body: Body, view: View, offset: int) -> None:
    """Cuts the arrays to their page; task runs become bodies only then, for there may be very many."""
    following = wire.cut(body, ARRAYS, offset, whole=view.version != "2.2")
    for name in ("tasks", "iterations"):
        if name in body:
            body[name] = [one if isinstance(one, dict) else task_body(view, one) for one in body[name]]
    if following is not None:
        body["next_page_token"] = wire.array_token(following)
        body["has_more"] = True


def listed_run(view: View, *, expand: bool) -> Body:
    """One run of a list."""
    body = summary(view)
    if view.version == "2.0" and view.settings.get("format") == "SINGLE_TASK":
        _as_single(body, view.settings)
    if expand:
        body["tasks"] = _own(view.task_runs)
        if view.settings.get("job_clusters"):
            body["job_clusters"] = [wire.without_policy(one) for one in view.settings["job_clusters"]]
        _paged(body, view, 0)
        body.pop("next_page_token", None)
    return body


def _own(task_runs: list[TaskRun]) -> list[TaskRun]:
    return [one for one in task_runs if one.iteration < 0 and one.task_key != compiling.NO_TASKS]


def summary(view: View, *, young: bool = False) -> Body:
    """A run without its tasks."""
    run, settings = view.run, view.settings
    job_id, kept = job_id_of(run), run.extras.get(NAME, {})
    ended = None if young else run.ended_at
    body: Body = {
        "job_id": job_id,
        "run_id": run.id,
        "number_in_job": run.id,
        "job_run_id": run.id,
        "original_attempt_run_id": run.id,
        "creator_user_name": run.submitted_by,
        **run_states(run, young=young),
        "start_time": run.created_at,
        **_durations(run, settings, ended),
        "trigger": "CONTINUOUS_RESTART" if kept.get("restart") else TRIGGERS.get(run.trigger, "ONE_TIME"),
        "run_name": run.name,
        "run_page_url": page_url(view.host, job_id, run.id),
        "run_type": run_type(run),
        "attempt_number": 0,
        "format": settings.get("format", "MULTI_TASK"),
        **_kept_with(run, settings, kept),
    }
    parameters = job_parameters(run, settings)
    if parameters:
        body["job_parameters"] = parameters
    return body


def _kept_with(run: Run, settings: Body, kept: Body) -> Body:
    """What is shown only where there is something to show."""
    target = kept.get("performance_target") or settings.get("performance_target")
    policy = settings.get("usage_policy_id") or settings.get("budget_policy_id")
    periodic = run.trigger in ("schedule", "backfill")
    found: Body = {
        "description": settings.get("description"),
        "git_source": settings.get("git_source"),
        "effective_performance_target": target,
        "effective_usage_policy_id": policy,
        "overriding_parameters": kept.get("overriding_parameters"),
        "schedule": settings.get("schedule") if periodic else None,
        "trigger_info": {"run_id": run.parent_task_run_id} if run.trigger == "run_job" else None,
    }
    return {name: value for name, value in found.items() if value}


def _durations(run: Run, settings: Body, ended: int | None) -> Body:
    """Of a run with one task its phases too; of others the whole alone."""
    started = run.started_at or ended or run.created_at
    # A repair is let in anew: what the first round waited is not kept.
    waited = max(0, (run.admitted_at or ended or started) - run.created_at) if not run.round else 0
    single = len(settings.get("tasks", ())) == 1
    body: Body = {"setup_duration": 0, "execution_duration": 0, "cleanup_duration": 0, "end_time": ended or 0}
    if ended is not None:
        if single:
            body["setup_duration"] = max(0, started - run.created_at - waited)
            body["execution_duration"] = max(0, ended - started)
        body["run_duration"] = max(0, ended - run.created_at)
    if waited:
        body["queue_duration"] = waited
    return body


def run_type(run: Run) -> str:
    """Of a kept job, submitted, or started by a notebook."""
    if run.job_id is not None:
        return "JOB_RUN"
    return "WORKFLOW_RUN" if run.trigger == "attempt" else "SUBMIT_RUN"


def job_parameters(run: Run, settings: Body) -> list[Body]:
    """Every defined parameter with its default and value; undefined overrides come last, without a default."""
    asked = run.extras.get(NAME, {}).get("job_parameters", {})
    added = run.extras.get(NAME, {}).get("undefined", [])
    defined = [one for one in settings.get("parameters", []) if one["name"] not in added]
    shown = []
    for one in defined:
        default = one.get("default", "")
        value = run.parameters.get(one["name"], default)
        shown.append({"name": one["name"], "default": default, "value": value})
    return [*shown, *({"name": name, "value": asked[name]} for name in added if name in asked)]


def page_url(host: str, job_id: int, run_id: int) -> str:
    """Where a person sees the run; the form is the service's own."""
    return f"{host}/?o={WORKSPACE_ID}#job/{job_id}/run/{run_id}"


def _as_single(body: Body, settings: Body) -> None:
    task = (settings.get("tasks") or [{}])[0]
    kinds = ("notebook_task", "spark_python_task", "spark_jar_task", "spark_submit_task", "python_wheel_task")
    body["task"] = {name: task[name] for name in kinds if name in task}
    spec = {name: task[name] for name in ("new_cluster", "existing_cluster_id", "libraries") if name in task}
    body["cluster_spec"] = wire.without_policy(spec)
    body["cluster_instance"] = cluster_instance(task, body["run_id"])


# --- task runs --------------------------------------------------------------------------------------------


def task_settings(view: View, one: TaskRun) -> Body:
    """The settings that a task run follows; of an iteration the nested task's."""
    shown = view.followed.shown.get(one.task_key, {"task_key": one.task_key})
    if one.iteration < 0:
        return shown
    inner: Body = shown.get("for_each_task", {}).get("task", {})
    return {**inner, "depends_on": shown.get("depends_on", [])}


def task_body(view: View, one: TaskRun) -> Body:
    """One attempt of a task, as an entry of `tasks` or `iterations`."""
    settings = task_settings(view, one)
    body: Body = {
        **{key: value for key, value in settings.items() if key not in ("max_retries", "retry_on_timeout")},
        "run_id": one.id,
        **task_states(one, queued=view.run.admitted_at is None),
        "run_page_url": page_url(view.host, job_id_of(view.run), one.id),
        **task_times(one),
        "attempt_number": one.attempt,
        "cluster_instance": cluster_instance(settings, one.id),
    }
    if not body["cluster_instance"]:
        del body["cluster_instance"]
    if one.iteration >= 0:
        body["task_key"] = f"{one.task_key}_iteration_{one.iteration}"
    if "condition_task" in body and "outcome" in one.values:
        body["condition_task"] = {**body["condition_task"], "outcome": one.values["outcome"]}
    if "for_each_task" in body and one.iteration < 0:
        body["for_each_task"] = {**body["for_each_task"], "stats": for_each_stats(view.task_runs, one)}
    target = view.run.extras.get(NAME, {}).get("performance_target") or view.settings.get("performance_target")
    if target:
        body["effective_performance_target"] = target
    if view.settings.get("git_source"):
        body["git_source"] = view.settings["git_source"]
    resolved = view.resolved(one) if view.resolved is not None else None
    if resolved:
        body["resolved_values"] = resolved
    return body


def task_times(one: TaskRun) -> Body:
    """Start, end and the phases between. A task that waits shows when it was made."""
    decided = one.ended_at if one.state in TERMINAL else None  # what never began: when that was settled
    began = one.claimed_at or one.queued_at or one.started_at or decided or one.created_at
    started, ended = one.started_at or began, one.ended_at
    queued = max(0, (one.claimed_at or ended or began) - (one.queued_at or began))
    body: Body = {
        "start_time": began,
        "setup_duration": max(0, started - began) if ended is not None else 0,
        "execution_duration": max(0, ended - started) if ended is not None else 0,
        "cleanup_duration": 0,
        "end_time": ended or 0,
    }
    if queued:
        body["queue_duration"] = queued
    return body


def cluster_instance(settings: Body, run_id: int) -> Body:
    """The cluster that a task names, or one of its own where it asks for a new one; there is no other."""
    named = settings.get("existing_cluster_id") or settings.get("job_cluster_key")
    if named is None and "new_cluster" not in settings:
        return {}
    return {"cluster_id": named or f"run-{run_id}", "spark_context_id": str(run_id)}


def for_each_stats(task_runs: list[TaskRun], parent: TaskRun) -> Body:
    """How far the iterations of a for-each task are; its three most frequent errors."""
    newest = {
        one.iteration: one
        for one in task_runs
        if one.task_key == parent.task_key and one.iteration >= 0 and one.round <= parent.round
    }
    done = [one for one in newest.values() if one.state in TERMINAL]
    failed = [one for one in done if one.state is not State.SUCCEEDED]
    stats = {
        "total_iterations": len(parent.input or ()),
        "scheduled_iterations": len(newest),
        "active_iterations": len(newest) - len(done),
        "completed_iterations": len(done),
        "succeeded_iterations": len(done) - len(failed),
        "failed_iterations": len(failed),
    }
    counts: dict[str, int] = {}
    for one in failed:
        said = one.detail or one.state.value
        counts[said] = counts.get(said, 0) + 1
    top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    errors = [
        {"error_message": text, "count": count, "termination_category": "RUN_EXECUTION_ERROR"} for text, count in top
    ]
    return {"task_run_stats": stats, "error_message_stats": errors}


def task_run_body(view: View, one: TaskRun, *, offset: int = 0) -> Body:
    """A task run as a run of its own, as `runs/get` gives it for a task run's id."""
    body = summary(view)
    entry = task_body(view, one)
    body |= {
        "run_id": one.id,
        "number_in_job": one.id,
        "original_attempt_run_id": first_attempt(view.task_runs, one),
        "attempt_number": one.attempt,
        "parent_run_id": view.run.id,
        "job_run_id": view.run.id,
        "task_key": entry["task_key"],
        "state": entry["state"],
        "status": entry["status"],
        "run_page_url": entry["run_page_url"],
        **task_times(one),
        "tasks": [entry],
    }
    for name in ("run_duration", "queue_duration"):
        body.pop(name, None)
    if one.ended_at is not None:
        body["run_duration"] = max(0, one.ended_at - body["start_time"])
    if one.iteration < 0 and "for_each_task" in entry:
        body["iterations"] = _iterations(view.task_runs, one)
    _paged(body, view, offset)
    if "tasks" not in body:  # later pages hold the for-each task all the same
        body["tasks"] = [entry]
    return body


def _iterations(task_runs: list[TaskRun], parent: TaskRun) -> list[TaskRun]:
    mine = [one for one in task_runs if one.task_key == parent.task_key and one.iteration >= 0]
    return sorted((one for one in mine if one.round <= parent.round), key=lambda one: (one.iteration, one.id))


def first_attempt(task_runs: list[TaskRun], one: TaskRun) -> int:
    """The id of the first attempt of the same task, iteration and round."""
    place = (one.task_key, one.iteration, one.round)
    return min((each.id for each in task_runs if (each.task_key, each.iteration, each.round) == place), default=one.id)


# --- repairs ----------------------------------------------------------------------------------------------


def repair_ids(task_runs: list[TaskRun]) -> dict[int, int]:
    """The id of each repair by its round: that of the first task run that it made."""
    found: dict[int, int] = {}
    for one in task_runs:
        if one.round:
            found[one.round] = min(one.id, found.get(one.round, one.id))
    return found


def repair_history(view: View, *, young: bool = False) -> list[Body]:
    """The original run, which has no id, and every repair, oldest first."""
    ids, repairs = repair_ids(view.task_runs), [one for one in view.events if one.kind == "repair"]
    history = []
    begins = [view.run.created_at, *(one.at for one in repairs)]
    for round_, begun in enumerate(begins):
        mine = [one.id for one in _own(view.task_runs) if one.round == round_]
        if round_ < len(repairs):  # how it stood when the next repair began
            event = repairs[round_]
            past = msgspec.structs.replace(
                view.run, state=event.state or State.FAILED, reason=event.reason, detail=event.detail
            )
            states, ended = run_states(past), (event.data or {}).get("ended_at") or event.at
        else:
            states, ended = run_states(view.run, young=young), 0 if young else view.run.ended_at or 0
        entry: Body = {"type": "REPAIR" if round_ else "ORIGINAL", "start_time": begun, "end_time": ended, **states}
        if round_:
            entry["id"] = ids.get(round_, 0)
        target = view.run.extras.get(NAME, {}).get("performance_target")
        if target:
            entry["effective_performance_target"] = target
        history.append({**entry, "task_run_ids": mine})
    return history
