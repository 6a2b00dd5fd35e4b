"""Pure: ids, times and page tokens, and a job and a task run of ours as Glue's Job and JobRun."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from runyard.core.errors import invalid
from runyard.core.model import Bookmark, Job, Run, TaskRun
from runyard.core.opaque import Opaque
from runyard.core.states import TERMINAL, Reason, State
from runyard.dialects.glue import compile as compiling
from runyard.dialects.glue import tables

Json = dict[str, Any]
_RUN_ID = re.compile(r"jr_([0-9a-f]{64})(?:_repair_([1-9][0-9]{0,5}))?(?:_attempt_([1-9][0-9]{0,5}))?")
_TOKEN = re.compile(r"([0-9a-f]{1,14})-([0-9a-f]{1,14})")


class RunId(NamedTuple):
    """Which attempt a JobRunId means: the run, its repair round, and the attempt in that round."""

    run_id: int
    round: int
    attempt: int


def seconds(at: int | None) -> float | None:
    """Milliseconds as Glue's timestamps: seconds with a fraction."""
    return None if at is None else at / 1000


def run_id_of(opaque: Opaque, run_id: int, round_: int = 0, attempt: int = 0) -> str:
    """The JobRunId of an attempt; retries of `jr_X` are `jr_X_attempt_1` and so on."""
    repair = f"_repair_{round_}" if round_ else ""
    return f"jr_{opaque.text(run_id)}{repair}" + (f"_attempt_{attempt}" if attempt else "")


def parse_run_id(opaque: Opaque, text: str) -> RunId | None:
    """What a JobRunId means; None for an id that was not made here."""
    found = _RUN_ID.fullmatch(text)
    run_id = opaque.read(found.group(1)) if found else None
    if found is None or run_id is None:
        return None
    return RunId(run_id, int(found.group(2) or 0), int(found.group(3) or 0))


def token_of(pair: tuple[int, int]) -> str:
    """The NextToken that continues after this run and task run."""
    return f"{pair[0]:x}-{pair[1]:x}"


def parse_token(token: str | None) -> tuple[int, int] | None:
    """The pair of a NextToken; raises `invalid` for what is none of ours."""
    if token is None:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise invalid("The continuation token is not valid: take NextToken of the page before.", field="NextToken")
    return int(found.group(1), 16), int(found.group(2), 16)


def job_body(name: str, kept: Json, created: float | None, modified: float | None) -> Json:
    """Glue's Job, from the settings that were kept."""
    command = kept["Command"].get("Name")
    shown = {key: value for key, value in kept.items() if key != "Tags"}
    defaults = {
        "JobMode": "SCRIPT",
        "MaxRetries": 0,
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "Timeout": compiling.default_timeout(kept),
    }
    return {
        "Name": name,
        **defaults,
        **shown,
        **compiling.capacity(command, kept),
        "CreatedOn": created,
        "LastModifiedOn": modified,
    }


def shown_job(job: Job) -> Json:
    """A kept job as Glue's Job."""
    return job_body(job.spec.name, job.extras[tables.NAME], seconds(job.created_at), seconds(job.updated_at))


def state_of(run: Run, one: TaskRun | None) -> str:
    """JobRunState of an attempt; `one` is None for a run that ended before it had any."""
    return _state(run, one, compiling.settings(run.parameters))


def _state(run: Run, one: TaskRun | None, settings: Json) -> str:
    if one is None:
        return tables.STATES[run.state]
    if one.state in (State.BLOCKED, State.QUEUED) and settings.get("JobRunQueuingEnabled"):
        return "WAITING"
    return tables.STATES[one.state]


def job_run(opaque: Opaque, run: Run, one: TaskRun | None, now: int) -> Json:
    """Glue's JobRun: one attempt of a run. Source: Developer Guide, 'JobRun structure'."""
    settings, arguments = compiling.settings(run.parameters), compiling.arguments(run.parameters)
    attempt, round_ = (one.attempt, one.round) if one else (0, 0)
    begun = run.created_at if one is None or (attempt, round_) == (0, 0) else one.created_at
    body: Json = {
        "Id": run_id_of(opaque, run.id, round_, attempt),
        "Attempt": attempt,
        "JobName": run.name,
        "JobMode": "SCRIPT",
        "StartedOn": seconds(begun),
        "LastModifiedOn": seconds(_modified(begun, one or run)),
        "JobRunState": _state(run, one, settings),
        "Arguments": arguments,
        "PredecessorRuns": settings.pop("PredecessorRuns", []),
        "ExecutionTime": _execution_time(one, now),
        "LogGroupName": _log_group(run, arguments),
        **settings,
    }
    if attempt:
        body["PreviousRunId"] = run_id_of(opaque, run.id, round_, attempt - 1)
    ended = (one or run).ended_at
    if ended is not None:
        body["CompletedOn"] = seconds(ended)
    body |= _said(run, one, body["JobRunState"])
    return body


def _said(run: Run, one: TaskRun | None, state: str) -> Json:
    """ErrorMessage on every unsuccessful end, StateDetail on what waits."""
    source = one or run
    if state == "WAITING":
        limited = source.reason == Reason.JOB_LIMIT or run.reason == Reason.JOB_LIMIT
        return {"StateDetail": tables.WAITING_DETAIL if limited else "no worker is free"}
    if source.state in TERMINAL and source.state is not State.SUCCEEDED:
        said = source.detail or run.detail or f"The run ended {source.state.value}."
        if source.reason == Reason.BOOKMARK:
            said = f"GLUE_JOB_BOOKMARK_VERSION_MISMATCH_ERROR: {said}"
        return {"ErrorMessage": said} | ({"StateDetail": said} if state == "STOPPED" else {})
    return {}


def _modified(begun: int, one: TaskRun | Run) -> int:
    moments = [begun, one.started_at, one.ended_at, getattr(one, "claimed_at", None), getattr(one, "queued_at", None)]
    return max(at for at in moments if at is not None)


def _execution_time(one: TaskRun | None, now: int) -> int:
    """Whole seconds from the script's start to its end: start-up is not in it."""
    if one is None or one.started_at is None:
        return 0
    return max(0, ((one.ended_at or now) - one.started_at) // 1000)


def log_group(run: Run) -> str:
    """The log group of a run, whose streams are in `<group>/output` and `<group>/error`."""
    return _log_group(run, compiling.arguments(run.parameters))


def _log_group(run: Run, arguments: dict[str, str]) -> str:
    own = arguments.get("--continuous-log-logGroup")
    command = run.parameters.get("command", {}).get("Name", "")
    return str(own or tables.LOG_GROUPS.get(command, tables.SPARK_LOG_GROUP))


def bookmark_entry(opaque: Opaque, job_name: str, one: Bookmark, text: str) -> Json:
    """Glue's JobBookmarkEntry; `text` is the state as JSON."""
    state = one.state
    entry = {
        "JobName": job_name,
        "Version": one.version,
        "Run": state.get("run", 0),
        "Attempt": state.get("attempt", 0),
        "JobBookmark": text,
    }
    if one.run_id:
        entry["RunId"] = run_id_of(opaque, one.run_id)
    if state.get("previous"):
        entry["PreviousRunId"] = run_id_of(opaque, state["previous"])
    return entry
