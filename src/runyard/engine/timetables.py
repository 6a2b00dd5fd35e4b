"""Schedules inside a transaction: a job's timetable is kept with the job, a tick with the run that it gives."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from runyard.core import schedule as schedules
from runyard.core.cron import Flavour
from runyard.core.errors import Code, RunyardError, conflict, invalid
from runyard.core.graph import Plan, merge_parameters, validate
from runyard.core.model import Job, JobSpec, Run, Tick, Timetable
from runyard.core.schedule import Rule, Schedule, local_text, same_times, upcoming
from runyard.core.triggers import OnSchedule
from runyard.engine.ledger import Ledger, new_run
from runyard.engine.zones import zone

TROUBLE = frozenset({Code.STORAGE_FULL, Code.UNAVAILABLE, Code.INTERNAL})
"""Refusals that are ours and pass: the tick stays due."""
BY_SCHEDULE, BY_BACKFILL = "schedule", "backfill"
_SHOWN = 3


# --- definitions ------------------------------------------------------------------------------------------


def checked(spec: JobSpec, now: int) -> Plan:
    """As `validate`, and that the schedule's time zone is known and a tick is still to come.

    A refusal of an expression shows when the nearest valid one would fire.
    """
    try:
        plan = validate(spec)
    except RunyardError as error:
        raise with_times(error, _schedule_at(spec, error.field or ""), now) from None
    if spec.schedule is not None:
        check_future(spec.schedule, now)
    return plan


def _schedule_at(spec: JobSpec, field: str) -> Schedule | None:
    """The schedule of a definition, its own or a trigger's, that an error's field names."""
    for index, one in enumerate(spec.triggers):
        if field.startswith(f"triggers[{index}].") and isinstance(one.source, OnSchedule):
            return one.source.schedule
    return spec.schedule


def check_future(schedule: Schedule, now: int, at: str = "schedule") -> None:
    """Refuses a schedule without a tick to come, and one whose time zone is not known; `at` is where it stands."""
    try:
        rule = rule_of(schedule, now)
    except RunyardError as error:
        field = f"{at}.{(error.field or '').rpartition('.')[2]}"
        raise RunyardError(error.code, error.message, field=field, **error.details) from None
    if rule.after(now) is None:
        last = rule.before(now)
        when = f": its last time was {_told(schedule, last)}" if last is not None else ""
        raise invalid(f"The schedule would never fire again{when}.", field=f"{at}.cron")


def with_times(error: RunyardError, schedule: Schedule | None, now: int) -> RunyardError:
    """The refusal of an expression, with the times at which the nearest valid one would fire."""
    suggestion = error.details.get("suggestion")
    if schedule is None or not isinstance(suggestion, str):
        return error
    near = msgspec.structs.replace(schedule, cron=suggestion)
    times = [_told(near, at) for at in upcoming(rule_of(near, now), now, _SHOWN)]
    said = f"{error.message} It would fire at {', '.join(times)}."
    return RunyardError(error.code, said, field=error.field, **{**error.details, "fire_times": times})


def _told(schedule: Schedule, at: int) -> str:
    return local_text(at, zone(schedule.time_zone))


def rule_of(schedule: Schedule, anchor: int) -> Rule:
    """The ticks of a schedule; raises invalid for an unknown time zone."""
    return _rule(schedule.cron, schedule.every, schedule.flavour, schedule.time_zone, anchor)


@lru_cache(maxsize=1024)
def _rule(cron: str | None, every: float | None, flavour: Flavour, time_zone: str, anchor: int) -> Rule:
    times = Schedule(cron=cron, every=every, flavour=flavour, time_zone=time_zone)
    return schedules.rule(times, zone(time_zone), anchor)


# --- timetables -------------------------------------------------------------------------------------------


def keep(ledger: Ledger, job: Job, before: Job | None) -> None:
    """Brings a job's timetable in step with a new version of its definition.

    The same times go on undisturbed, with the pause that an operator gave; other times begin now.
    """
    old, schedule = ledger.session.timetable(job.id), job.spec.schedule
    if schedule is None:
        drop(ledger, job.id)
        return
    earlier = before.spec.schedule if before is not None else None
    paused, table = schedule.paused, Timetable(job_id=job.id, anchor_at=ledger.now())
    if old is not None and earlier is not None:
        paused = old.paused if schedule.paused == earlier.paused else schedule.paused
        table = old if same_times(earlier, schedule) else table
    ledger.session.put(_moved(ledger, table, schedule, paused))


def _moved(ledger: Ledger, table: Timetable, schedule: Schedule, paused: bool) -> Timetable:
    if paused:
        return msgspec.structs.replace(table, paused=True, next_at=None)
    next_at = table.next_at or rule_of(schedule, table.anchor_at).after(ledger.now())
    return msgspec.structs.replace(table, paused=False, next_at=next_at)


def drop(ledger: Ledger, job_id: int) -> None:
    """Ends a job's schedule; what its ticks gave stays."""
    old = ledger.session.timetable(job_id)
    if old is not None:
        ledger.session.delete(old)


def pause(ledger: Ledger, job_id: int, paused: bool) -> Timetable:
    """Stops a schedule, or lets it go on from now; conflict if the job has none."""
    ledger.lock("job", job_id)
    job, _ = ledger.job(job_id)
    table, schedule = ledger.session.timetable(job_id), job.spec.schedule
    if table is None or schedule is None:
        raise no_schedule(job_id)
    moved = _moved(ledger, table, schedule, paused)
    ledger.session.put(moved)
    return moved


def no_schedule(job_id: int) -> RunyardError:
    """What is refused of a job without a schedule."""
    return conflict(f"Job {job_id} has no schedule. Give its definition one, and update the job.")


# --- ticks ------------------------------------------------------------------------------------------------


def run_tick(ledger: Ledger, job: Job, plan: Plan, at: int, *, trigger: str, by: str) -> Run | None:
    """The run of one tick, kept together with the tick; None if it has one or was refused.

    A refusal is kept as the tick's own detail. Raises only trouble of the store.
    """
    known = ledger.session.ticks(job.id, at, at + 1, 1)
    if known:
        if known[0].run_id is not None or trigger == BY_SCHEDULE:
            return None
        ledger.session.delete(known[0])
    try:
        run = ledger.create(_new_run(ledger, job, plan, at, trigger, by), plan, None)
    except RunyardError as error:
        if error.code in TROUBLE:
            raise
        ledger.session.put(Tick(job_id=job.id, at=at, detail=error.message))
        return None
    ledger.session.put(Tick(job_id=job.id, at=at, run_id=run.id))
    return run


def _new_run(ledger: Ledger, job: Job, plan: Plan, at: int, trigger: str, by: str) -> Run:
    schedule = plan.spec.schedule or Schedule()
    return new_run(
        ledger,
        plan.spec,
        job=job,
        by=by,
        parameters=merge_parameters(plan.spec, schedule.parameters),
        trigger=trigger,
        workspace=job.workspace,
        origin=job.origin,
        extras={"schedule": {"at": at, "local": _told(schedule, at)}},
    )


def miss(ledger: Ledger, job_id: int, at: int, detail: str) -> None:
    """Keeps why a tick got no run, unless something is kept of it already."""
    if not ledger.session.ticks(job_id, at, at + 1, 1):
        ledger.session.put(Tick(job_id=job_id, at=at, detail=detail))
