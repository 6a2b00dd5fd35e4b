"""Firings inside a transaction: the runs that a trigger starts are written with the record that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from runyard.core.errors import RunyardError, not_found
from runyard.core.graph import Plan, merge_parameters
from runyard.core.model import Job, JobSpec, Run
from runyard.core.triggers import (
    AfterRuns,
    Cause,
    Continuous,
    Firing,
    StartRun,
    TableUpdate,
    Trigger,
    Watched,
    cause_of,
    job_topics,
    qualified,
    table_topic,
)
from runyard.engine import arrivals
from runyard.engine.ledger import Ledger, new_run
from runyard.engine.timetables import TROUBLE

BEGINNERS = frozenset({"schedule", "backfill"})
"""What starts runs without a firing and yet by itself: such a run begins a chain."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a trigger fire."""

    kind: str = ""
    """`manual` when somebody asked; empty: the source's own kind."""
    by: str | None = None
    chain: int | None = None
    """None: the firing begins one."""
    after: list[int] = []
    data: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    """Laid over those of the actions."""
    extras: dict[str, Any] = {}
    """Given to every run of the chain."""


# --- one firing -------------------------------------------------------------------------------------------


def fire(ledger: Ledger, trigger: Trigger, seen: Seen, *, strict: bool = False) -> Firing:
    """Starts the runs and keeps the firing.

    A run that is refused is told in the firing's detail; `strict` raises instead, before anything is kept, if none
    could be started. Raises trouble of the store.
    """
    firing = _firing(ledger, trigger, seen)
    runs: list[int] = []
    refusals: list[RunyardError] = []
    for action in trigger.spec.actions:
        try:
            runs.append(_start(ledger, trigger, action, firing, seen.parameters).id)
        except RunyardError as error:
            if error.code in TROUBLE:
                raise
            refusals.append(error)
    if strict and refusals and not runs:
        raise refusals[0]
    return _keep(ledger, trigger, replace(firing, runs=runs, detail=" ".join(one.message for one in refusals)))


def resume(
    ledger: Ledger, root: Trigger, seen: Seen, starts: list[tuple[Trigger, StartRun]], kept: list[int]
) -> Firing:
    """Begins a chain that goes on from an earlier one: starts these, and counts `kept`, runs of the earlier one, in.

    Raises what refuses a run, before anything is kept.
    """
    firing = _firing(ledger, root, seen)
    runs = [_start(ledger, trigger, action, firing, seen.parameters).id for trigger, action in starts]
    return _keep(ledger, root, replace(firing, runs=[*kept, *runs]))


def miss(ledger: Ledger, trigger: Trigger, detail: str, data: dict[str, Any]) -> Trigger:
    """Keeps why a trigger that should have fired started nothing; the trigger as it stands then."""
    firing = _keep(ledger, trigger, replace(_firing(ledger, trigger, Seen(data=data)), detail=detail))
    return counted(trigger, firing)


def counted(trigger: Trigger, firing: Firing) -> Trigger:
    """The trigger after this firing."""
    return replace(trigger, fired=firing.number, last_at=firing.at)


def _keep(ledger: Ledger, trigger: Trigger, firing: Firing) -> Firing:
    ledger.session.put(firing)
    ledger.session.put(counted(trigger, firing))
    return firing


def _firing(ledger: Ledger, trigger: Trigger, seen: Seen) -> Firing:
    firing_id = ledger.draw()
    return Firing(
        id=firing_id,
        trigger_id=trigger.id,
        number=trigger.fired + 1,
        name=trigger.key,
        kind=seen.kind or trigger.kind,
        chain=firing_id if seen.chain is None else seen.chain,
        scope=trigger.scope,
        at=ledger.now(),
        by=seen.by or trigger.owner,
        after=seen.after,
        data=seen.data,
        extras=seen.extras,
    )


def _start(ledger: Ledger, trigger: Trigger, action: StartRun, firing: Firing, more: dict[str, Any]) -> Run:
    job, plan = job_of(ledger, trigger, action.job)
    own = _amended(plan.spec, action)
    if own is not None:
        plan = Plan(own)
    run = new_run(
        ledger,
        plan.spec,
        job=job,
        by=firing.by,
        name=action.name,
        queue=action.queue,
        priority=action.priority,
        parameters=merge_parameters(plan.spec, {**action.parameters, **more}),
        trigger=firing.kind,
        tags={**plan.spec.tags, **action.tags},
        workspace=job.workspace,
        origin=job.origin,
        extras=_extras(trigger, action, firing),
    )
    return ledger.create(run if own is None else replace(run, job_version=None), plan, own)


def _amended(spec: JobSpec, action: StartRun) -> JobSpec | None:
    """The job's definition with the times that the action sets for its run; None when it sets none."""
    if action.timeout is None and action.task_timeout is None:
        return None
    tasks = spec.tasks
    if action.task_timeout is not None:
        tasks = [replace(task, timeout=action.task_timeout) for task in tasks]
    return replace(spec, tasks=tasks, timeout=spec.timeout if action.timeout is None else action.timeout)


def job_of(ledger: Ledger, trigger: Trigger, job: int | str) -> tuple[Job, Plan]:
    """The job that an action names; raises not_found."""
    if isinstance(job, int):
        return ledger.job(job)
    found = ledger.session.job_by_key(trigger.workspace, trigger.origin, job)
    if found is None:
        raise not_found("job", job)
    return ledger.job(found.id)


def _extras(trigger: Trigger, action: StartRun, firing: Firing) -> dict[str, Any]:
    cause = Cause(
        id=trigger.id,
        name=trigger.key,
        firing=firing.id,
        chain=firing.chain,
        scope=firing.scope,
        after=firing.after,
        files=firing.data.get("files", []),
        tables=firing.data.get("tables", []),
    )
    extras = {**action.extras, **{name: _laid(action.extras.get(name), value) for name, value in firing.extras.items()}}
    if "schedule" in firing.data:
        extras["schedule"] = firing.data["schedule"]
    return {**extras, "trigger": msgspec.to_builtins(cause)}


def _laid(below: Any, above: Any) -> Any:
    return {**below, **above} if isinstance(below, dict) and isinstance(above, dict) else above


# --- what a run's end brings about ------------------------------------------------------------------------


def run_ended(ledger: Ledger, run: Run) -> None:
    """A run has ended in the open transaction: what waits for that is told."""
    job = None if run.job_id is None else ledger.kept_job(run.job_id)
    if job is None:
        return
    for found in ledger.session.triggers_on(job_topics(job.id, job.workspace, job.origin, job.key)):
        trigger = ledger.locked(found)
        if isinstance(trigger.spec.source, AfterRuns):
            seen = satisfied(ledger, trigger, trigger.spec.source, run)
            if seen is not None:
                fire(ledger, trigger, seen)
        elif isinstance(trigger.spec.source, Continuous):
            arrivals.rest(ledger, trigger, trigger.spec.source, run)


def satisfied(ledger: Ledger, trigger: Trigger, source: AfterRuns, run: Run) -> Seen | None:
    """Whether the end of this run makes the trigger fire now in the run's chain; None: not, or not again."""
    if not any(_counts(ledger, trigger, watched, run) for watched in source.watch):
        return None
    chain, root = chain_of(ledger, run, by_hand=source.by_hand)
    if chain is None or (root.scope if root else "") != trigger.scope or (root and root.closed_at):
        return None
    firings = ledger.session.chain(chain)
    if any(firing.trigger_id == trigger.id for firing in firings):
        return None
    after = [run.id] if source.match == "any" else _all_of(ledger, trigger, source, run, firings)
    return Seen(chain=chain, after=after, extras=root.extras if root else {}) if after else None


def chain_of(ledger: Ledger, run: Run, *, by_hand: bool = False) -> tuple[int | None, Firing | None]:
    """The chain that a run belongs to, and the firing that it began with, if one did."""
    cause = cause_of(run.extras)
    if cause is not None:
        return cause.chain, ledger.session.firing(cause.chain)
    return (run.id if by_hand or run.trigger in BEGINNERS else None), None


def _all_of(ledger: Ledger, trigger: Trigger, source: AfterRuns, run: Run, firings: Iterable[Firing]) -> list[int]:
    """For each watched job the newest run of the chain that counts; nothing if one has none."""
    runs = list(_runs_of(ledger, run, firings))
    found: dict[int, None] = {}
    for watched in source.watch:
        counting = [one.id for one in runs if _counts(ledger, trigger, watched, one)]
        if not counting:
            return []
        found[max(counting)] = None
    return list(found)


def _runs_of(ledger: Ledger, run: Run, firings: Iterable[Firing]) -> Iterator[Run]:
    yield run
    ids = {one for firing in firings for one in firing.runs}
    cause = cause_of(run.extras)
    if cause is not None:
        ids.add(cause.chain)  # the run that it began with, where no firing did
    for run_id in sorted(ids - {run.id}):
        found = ledger.session.run(run_id)
        if found is not None:
            yield found


def _counts(ledger: Ledger, trigger: Trigger, watched: Watched, run: Run) -> bool:
    if run.state not in watched.states or run.job_id is None:
        return False
    if isinstance(watched.job, int):
        return watched.job == run.job_id
    job = ledger.kept_job(run.job_id)
    place = (trigger.workspace, trigger.origin, watched.job)
    return job is not None and (job.workspace, job.origin, job.key) == place


# --- what a task's end brings about -----------------------------------------------------------------------


def tables_changed(ledger: Ledger, workspace: str, tables: Iterable[str]) -> None:
    """Tells the triggers that wait for these tables; whether and when they fire is for their timers."""
    for table in sorted({qualified(one) for one in tables}):
        for found in ledger.session.triggers_on([table_topic(workspace, table)]):
            trigger = ledger.locked(found)
            if isinstance(trigger.spec.source, TableUpdate):
                arrivals.table(ledger, trigger, trigger.spec.source, table)
