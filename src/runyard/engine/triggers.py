"""The facade for triggers: what starts runs by itself, what it did, and what it would do now."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runyard.core import triggers as definitions
from runyard.core.errors import RunyardError, conflict, not_found
from runyard.core.graph import merge_parameters
from runyard.core.query import Page, check_limit, cursor_of, parse_cursor
from runyard.core.schedule import upcoming
from runyard.core.triggers import (
    AfterRuns,
    Continuous,
    FileArrival,
    Firing,
    Manual,
    OnSchedule,
    StartRun,
    TableUpdate,
    Trigger,
    TriggerFilter,
    TriggerSpec,
    qualified,
)
from runyard.engine import firings, standing, timetables
from runyard.engine.clock import Clock
from runyard.engine.firings import Seen
from runyard.engine.folders import Folders
from runyard.engine.ledger import Ledger
from runyard.engine.writer import Reply, Writer
from runyard.store.base import Store

DEFAULT = "default"
ASKED = "manual"
_SHOWN = 3


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One run that a firing would start; `refused` says why it would not."""

    job_id: int | None
    name: str
    parameters: dict[str, Any]
    refused: str = ""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a trigger would do now."""

    fires: bool
    """Whether its source is satisfied at this moment."""
    why: str
    starts: list[Planned]
    next: list[int] = []
    """The next ticks of a schedule."""
    after: list[int] = []
    """The runs that would satisfy it."""


class Triggers:
    """What faces call for triggers. Write verbs answer with a `Reply` once the change is on disk."""

    def __init__(self, store: Store, writer: Writer, clock: Clock, folders: Folders) -> None:
        self._folders = folders
        self._store = store
        self._writer = writer
        self._clock = clock

    # --- definitions ---

    def create(
        self,
        spec: TriggerSpec,
        by: str,
        *,
        key: str | None = None,
        workspace: str = DEFAULT,
        origin: str = "native",
        scope: str = "",
        active: bool = True,
        extras: dict[str, Any] | None = None,
    ) -> Reply[Trigger]:
        """Keeps a trigger; invalid for one that could never fire, not_found for jobs of actions, already_exists."""
        self._check(spec)
        definitions.check_key(key)

        def run(ledger: Ledger) -> Trigger:
            now = ledger.now()
            trigger = Trigger(
                id=ledger.draw(),
                workspace=workspace,
                origin=origin,
                key=key,
                scope=scope,
                spec=spec,
                owner=by,
                created_at=now,
                updated_at=now,
                extras=extras or {},
            )
            return standing.create(ledger, trigger, active=active)

        return self._writer.execute(run)

    def replace(
        self,
        trigger_id: int,
        spec: TriggerSpec,
        by: str,
        *,
        expect_version: int | None = None,
        active: bool | None = None,
        scope: str | None = None,
        extras: dict[str, Any] | None = None,
    ) -> Reply[Trigger]:
        """Keeps another definition; what is None stays. A source that is not changed goes on undisturbed."""
        self._check(spec)

        def run(ledger: Ledger) -> Trigger:
            kept = standing.free(ledger, trigger_id)
            if expect_version is not None and expect_version != kept.version:
                said = f"Trigger {trigger_id} is at version {kept.version}, not {expect_version}."
                raise conflict(said, version=kept.version)
            fields = {"scope": scope, "extras": extras}
            given = {name: value for name, value in fields.items() if value is not None}
            wanted = kept.active if active is None else active
            return standing.change(ledger, kept, spec, active=wanted, **given)

        return self._writer.execute(run)

    def _check(self, spec: TriggerSpec) -> None:
        now = self._clock.now()
        try:
            definitions.check(spec)
        except RunyardError as error:
            schedule = spec.source.schedule if isinstance(spec.source, OnSchedule) else None
            raise timetables.with_times(error, schedule, now) from None
        standing.check_source(spec.source, now, self._folders)

    def delete(self, trigger_id: int, by: str) -> Reply[None]:
        """Removes a trigger; its firings and their runs stay. conflict for one of a job's definition."""
        return self._writer.execute(lambda ledger: ledger.session.delete(standing.free(ledger, trigger_id)))

    def start(self, trigger_id: int, by: str) -> Reply[Trigger]:
        """Lets a trigger fire from now on; what happened during its pause is passed over."""
        return self._switch(trigger_id, active=True)

    def pause(self, trigger_id: int, by: str) -> Reply[Trigger]:
        """Stops it; runs that it started go on."""
        return self._switch(trigger_id, active=False)

    def _switch(self, trigger_id: int, *, active: bool) -> Reply[Trigger]:
        return self._writer.execute(
            lambda ledger: standing.switch(ledger, standing.found(ledger, trigger_id), active=active)
        )

    # --- firings ---

    def fire(
        self,
        trigger_id: int,
        by: str,
        *,
        parameters: dict[str, Any] | None = None,
        extras: dict[str, Any] | None = None,
        expect_fired: int | None = None,
    ) -> Reply[Firing]:
        """Fires now, active or not, and begins a chain; `extras` go to all runs of the chain.

        Raises what refuses the first run, if none can be started; conflict when it has not fired `expect_fired` times.
        """
        seen = Seen(kind=ASKED, by=by, parameters=parameters or {}, extras=extras or {})

        def run(ledger: Ledger) -> Firing:
            trigger = _unfired(standing.found(ledger, trigger_id), expect_fired)
            return firings.fire(ledger, trigger, seen, strict=True)

        return self._writer.execute(run)

    def resume(
        self,
        chain: int,
        starts: list[tuple[int, int]],
        kept: list[int],
        by: str,
        *,
        expect_fired: int | None = None,
    ) -> Reply[Firing]:
        """Begins a chain that goes on from an earlier one: `starts` are (trigger id, place of its action).

        `kept` are runs of the earlier chain whose ends count in the new one too. The new chain's first firing tells in
        its data which chain it resumes. Raises not_found for triggers that are gone, what refuses a run, and conflict
        when the trigger that began the earlier chain has not fired `expect_fired` times.
        """

        def run(ledger: Ledger) -> Firing:
            earlier = ledger.session.firing(chain)
            if earlier is None:
                raise not_found("firing", chain)
            found = [(standing.found(ledger, trigger_id), place) for trigger_id, place in starts]
            wanted = [(trigger, trigger.spec.actions[place]) for trigger, place in found]
            seen = Seen(kind=ASKED, by=by, data={"resumed": chain, "kept": kept}, extras=earlier.extras)
            root = _unfired(standing.found(ledger, earlier.trigger_id), expect_fired)
            return firings.resume(ledger, root, seen, wanted, kept)

        return self._writer.execute(run)

    def close(self, chain: int, by: str) -> Reply[Firing]:
        """Ends a chain: nothing fires in it any more; its runs go on. `chain` is the firing that it began with."""

        def run(ledger: Ledger) -> Firing:
            firing = ledger.session.firing(chain)
            if firing is None:
                raise not_found("firing", chain)
            closed = firing if firing.closed_at else replace(firing, closed_at=ledger.now())
            ledger.session.put(closed)
            return closed

        return self._writer.execute(run)

    def tables_changed(self, tables: list[str], by: str, *, workspace: str = DEFAULT) -> Reply[None]:
        """Tells that tables were changed by something that is no task; tasks' own changes are known."""
        return self._writer.execute(lambda ledger: firings.tables_changed(ledger, workspace, tables))

    # --- reads ---

    def get(self, trigger_id: int) -> Trigger:
        """One trigger; raises not_found."""
        with self._store.reading() as reads:
            found = reads.trigger(trigger_id)
        if found is None:
            raise not_found("trigger", trigger_id)
        return found

    def by_key(self, workspace: str, origin: str, key: str, job_id: int | None = None) -> Trigger:
        """The trigger with this key; with `job_id` that of the job's definition. Raises not_found."""
        with self._store.reading() as reads:
            found = reads.trigger_by_key(workspace, origin, key, job_id)
        if found is None:
            raise not_found("trigger", key)
        return found

    def find(self, where: TriggerFilter, limit: int = 25, cursor: str | None = None) -> Page[Trigger]:
        """A page of triggers, newest first."""
        check_limit(limit)
        with self._store.reading() as reads:
            found = reads.triggers(where, limit + 1, parse_cursor(cursor))
        return _page(found, limit)

    def firings(self, trigger_id: int, limit: int = 25, cursor: str | None = None) -> Page[Firing]:
        """What a trigger did, newest first; also of one that is gone."""
        check_limit(limit)
        with self._store.reading() as reads:
            found = reads.firings(trigger_id, limit + 1, parse_cursor(cursor))
        return _page(found, limit)

    def firing(self, firing_id: int) -> Firing:
        """One firing; raises not_found."""
        with self._store.reading() as reads:
            found = reads.firing(firing_id)
        if found is None:
            raise not_found("firing", firing_id)
        return found

    def chain(self, chain: int) -> list[Firing]:
        """All firings of a chain, oldest first."""
        with self._store.reading() as reads:
            return reads.chain(chain)

    def dry_run(self, trigger_id: int, run_id: int | None = None) -> Reply[Preview]:
        """What it would start now and why; with `run_id` as if that run had ended just now. Changes nothing."""

        def run(ledger: Ledger) -> Preview:
            trigger = standing.found(ledger, trigger_id)
            starts = [_planned(ledger, trigger, action) for action in trigger.spec.actions]
            after = _after(ledger, trigger, run_id)
            fires, why, following = _outlook(ledger, trigger, run_id, after)
            return Preview(fires=fires, why=why, starts=starts, next=following, after=after)

        return self._writer.execute(run)


def _unfired(trigger: Trigger, expected: int | None) -> Trigger:
    """The trigger, if it has fired no more often than a caller saw: what was concluded from that still holds."""
    if expected is not None and expected != trigger.fired:
        raise conflict(f"Trigger {trigger.id} has fired {trigger.fired} times, not {expected}.", fired=trigger.fired)
    return trigger


def _page(found: list[Any], limit: int) -> Page[Any]:
    more = len(found) > limit
    return Page(found[:limit], cursor_of(found[limit - 1].id) if more else None)


# --- dry runs ---------------------------------------------------------------------------------------------


def _planned(ledger: Ledger, trigger: Trigger, action: StartRun) -> Planned:
    job_id, name = None, action.name or str(action.job)
    try:
        job, plan = firings.job_of(ledger, trigger, action.job)
        job_id, name = job.id, action.name or plan.spec.name
        return Planned(job_id=job_id, name=name, parameters=merge_parameters(plan.spec, action.parameters))
    except RunyardError as error:
        return Planned(job_id=job_id, name=name, parameters=action.parameters, refused=error.message)


def _after(ledger: Ledger, trigger: Trigger, run_id: int | None) -> list[int]:
    source = trigger.spec.source
    if run_id is None or not isinstance(source, AfterRuns):
        return []
    seen = firings.satisfied(ledger, trigger, source, ledger.snapshot(run_id).run)
    return seen.after if seen else []


def _outlook(ledger: Ledger, trigger: Trigger, run_id: int | None, after: list[int]) -> tuple[bool, str, list[int]]:
    """(whether it fires now, why, its next ticks)"""
    if not trigger.active:
        return False, f"It is paused. {trigger.detail}".strip(), []
    source, memory = trigger.spec.source, trigger.memory
    due = trigger.next_at is not None and trigger.next_at <= ledger.now()
    match source:
        case OnSchedule():
            rule = timetables.rule_of(source.schedule, trigger.anchor_at)
            return due, "It fires by the clock.", upcoming(rule, ledger.now(), _SHOWN)
        case AfterRuns() if run_id is not None:
            return bool(after), _told(after), []
        case AfterRuns():
            return False, "It fires when runs end; ask with a run.", []
        case TableUpdate():
            missing = sorted({qualified(one) for one in source.tables} - set(memory.get("tables", [])))
            return due, _waits("Changed since it last fired", memory.get("tables", []), missing, source.match), []
        case FileArrival():
            return due, _waits("New or changed since it last fired", memory.get("files", []), [], "any"), []
        case Continuous():
            said = "It fires when the runs of its last firing are over."
            return due, "The runs of its last firing are over." if due else said, []
        case Manual():
            return False, "It fires only when somebody asks.", []


def _told(after: list[int]) -> str:
    if not after:
        return "The end of this run does not satisfy it, or it has fired in the run's chain already."
    return f"Satisfied by {'run' if len(after) == 1 else 'runs'} {', '.join(map(str, after))}."


def _waits(said: str, seen: list[str], missing: list[str], match: str) -> str:
    found = f"{said}: {', '.join(seen[:10])}." if seen else f"{said}: nothing."
    return f"{found} It waits for {', '.join(missing[:10])}." if missing and match == "all" else found
