"""Standing triggers inside a transaction: kept, started, paused, and in step with the jobs that hold their own."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError, conflict, invalid, not_found
from runyard.core.graph import merge_parameters
from runyard.core.model import Job
from runyard.core.triggers import (
    Continuous,
    FileArrival,
    JobTrigger,
    OnSchedule,
    Source,
    StartRun,
    Trigger,
    TriggerSpec,
)
from runyard.engine import arrivals, firings, timetables
from runyard.engine.folders import Folders
from runyard.engine.ledger import Ledger


def found(ledger: Ledger, trigger_id: int) -> Trigger:
    """A kept trigger; raises not_found."""
    ledger.lock("trigger", trigger_id)
    trigger = ledger.session.trigger(trigger_id)
    if trigger is None:
        raise not_found("trigger", trigger_id)
    return trigger


def free(ledger: Ledger, trigger_id: int) -> Trigger:
    """A kept trigger of its own; conflict for one that a job's definition holds."""
    trigger = found(ledger, trigger_id)
    if trigger.job_id is not None:
        raise conflict(
            f"Trigger {trigger_id} is part of the definition of job {trigger.job_id}; change that instead.",
            job_id=trigger.job_id,
        )
    return trigger


def create(ledger: Ledger, trigger: Trigger, *, active: bool) -> Trigger:
    """Keeps a new trigger; already_exists for a key in use, and refusals of its actions."""
    place = (trigger.workspace, trigger.origin, trigger.key or "", trigger.job_id)
    if trigger.key is not None and ledger.session.trigger_by_key(*place) is not None:
        raise RunyardError(Code.ALREADY_EXISTS, f"There is a trigger {trigger.key!r} already.", key=trigger.key)
    check_actions(ledger, trigger)
    return switch(ledger, replace(trigger, active=False), active=active)


def check_actions(ledger: Ledger, trigger: Trigger) -> None:
    """Refuses actions whose jobs do not exist or would not take their parameters."""
    for index, action in enumerate(trigger.spec.actions):
        job, _ = firings.job_of(ledger, trigger, action.job)
        try:
            merge_parameters(job.spec, action.parameters)
        except RunyardError as error:
            said = f"A run of job {job.id} could not start: {error.message}"
            raise invalid(said, field=f"actions[{index}].parameters") from None


def switch(ledger: Ledger, trigger: Trigger, *, active: bool) -> Trigger:
    """Starts or pauses a trigger; one that is so already stays as it is. Keeps it either way."""
    if active and not trigger.active:
        now = ledger.now()
        next_at = first(ledger, trigger, now)
        trigger = replace(trigger, active=True, detail="", started_at=now, anchor_at=now, memory={}, next_at=next_at)
    elif not active:
        trigger = replace(trigger, active=False, next_at=None)
    ledger.session.put(trigger)
    return trigger


def first(ledger: Ledger, trigger: Trigger, now: int) -> int | None:
    """When a trigger that begins now is to be looked at."""
    source = trigger.spec.source
    if isinstance(source, OnSchedule):
        return timetables.rule_of(source.schedule, now).after(now)
    # What runs from before a pause is kept running: its end brings the next firing.
    return now if isinstance(source, Continuous) and not arrivals.under_way(ledger, trigger) else None


def change(ledger: Ledger, trigger: Trigger, spec: TriggerSpec, *, active: bool, **fields: Any) -> Trigger:
    """Keeps another definition; a source that stays the same goes on undisturbed, another one begins now."""
    same = spec.source == trigger.spec.source
    trigger = replace(trigger, spec=spec, version=trigger.version + 1, updated_at=ledger.now(), **fields)
    check_actions(ledger, trigger)
    return switch(ledger, trigger if same else replace(trigger, active=False, next_at=None), active=active)


def check_source(source: Source, now: int, folders: Folders, at: str = "source") -> None:
    """Refuses a schedule that never fires again or has no known time zone, and places that may not be watched."""
    if isinstance(source, OnSchedule):
        timetables.check_future(source.schedule, now, f"{at}.schedule")
    elif isinstance(source, FileArrival):
        folders.check(source, f"{at}.location")


# --- triggers of a job's definition -----------------------------------------------------------------------


def keep_own(ledger: Ledger, job: Job, before: Job | None) -> None:
    """Brings a job's own triggers in step with a new version of its definition."""
    kept = {} if before is None else {one.key: one for one in before.spec.triggers}
    for one in job.spec.triggers:
        earlier = kept.pop(one.key, None)
        trigger = ledger.session.trigger_by_key(job.workspace, job.origin, one.key, job.id)
        if trigger is None:
            create(ledger, _own(ledger, job, one), active=not one.paused)
        elif earlier != one:
            # As an operator left it, unless the definition says something new of it.
            paused = one.paused if earlier is None or earlier.paused != one.paused else not trigger.active
            change(ledger, trigger, _spec(job, one), active=not paused, owner=job.owner)
    for name in kept:
        _drop(ledger, job, name)


def drop_own(ledger: Ledger, job: Job) -> None:
    """Ends a job's own triggers; what they fired stays."""
    for one in job.spec.triggers:
        _drop(ledger, job, one.key)


def _drop(ledger: Ledger, job: Job, name: str) -> None:
    trigger = ledger.session.trigger_by_key(job.workspace, job.origin, name, job.id)
    if trigger is not None:
        ledger.session.delete(trigger)


def _own(ledger: Ledger, job: Job, one: JobTrigger) -> Trigger:
    now = ledger.now()
    return Trigger(
        id=ledger.draw(),
        workspace=job.workspace,
        origin=job.origin,
        key=one.key,
        job_id=job.id,
        spec=_spec(job, one),
        owner=job.owner,
        created_at=now,
        updated_at=now,
    )


def _spec(job: Job, one: JobTrigger) -> TriggerSpec:
    return TriggerSpec(source=one.source, actions=[StartRun(job=job.id, parameters=one.parameters)])
