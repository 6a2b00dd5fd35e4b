"""Triggers that are due: ticks of their schedules, changes that have settled, delays that are over."""

from __future__ import annotations

from msgspec.structs import replace

from runyard.core.schedule import due, local_text
from runyard.core.triggers import Continuous, FileArrival, OnSchedule, TableUpdate, Trigger
from runyard.engine import arrivals, firings, timetables
from runyard.engine.duties.scheduler import SET_BACK_MS, TICKS_AT_ONCE
from runyard.engine.firings import Seen
from runyard.engine.ledger import Ledger
from runyard.engine.zones import zone
from runyard.store.base import Reads


def find(reads: Reads, now: int, limit: int) -> list[int]:
    """The triggers that are to be looked at."""
    return reads.due_triggers(now, limit)


def fire(ledger: Ledger, trigger_id: int) -> None:
    """Fires one trigger as it is due; nothing if another one did so before."""
    ledger.lock("trigger", trigger_id)
    trigger = ledger.session.trigger(trigger_id)
    if trigger is None or trigger.next_at is None or trigger.next_at > ledger.now():
        return
    source = trigger.spec.source
    if isinstance(source, OnSchedule):
        _by_clock(ledger, trigger, source, trigger.next_at)
    elif isinstance(source, Continuous):
        _again(ledger, trigger, source)
    elif isinstance(source, (TableUpdate, FileArrival)):
        data, settled = arrivals.taken(trigger)
        firings.fire(ledger, settled, Seen(data=data))


def _by_clock(ledger: Ledger, trigger: Trigger, source: OnSchedule, next_at: int) -> None:
    schedule, now = source.schedule, ledger.now()
    found = due(timetables.rule_of(schedule, trigger.anchor_at), schedule, next_at, now, TICKS_AT_ONCE)
    trigger = replace(trigger, next_at=found.next_at)
    there = zone(schedule.time_zone)
    if found.missed is not None:
        first, last = (local_text(at, there) for at in found.missed)
        said = f"No server handled the schedule in time: its ticks from {first} to {last} started nothing."
        trigger = firings.miss(ledger, trigger, said, {"schedule": _tick(found.missed[1], last)})
    for at in found.fire:
        data = {"schedule": _tick(at, local_text(at, there))}
        firing = firings.fire(ledger, trigger, Seen(data=data))
        trigger = firings.counted(trigger, firing)
    ledger.session.put(trigger)


def _tick(at: int, local: str) -> dict[str, int | str]:
    return {"at": at, "local": local}


def _again(ledger: Ledger, trigger: Trigger, source: Continuous) -> None:
    firing = firings.fire(ledger, replace(trigger, next_at=None), Seen())
    if not firing.runs:  # nothing whose end would bring the next firing
        ledger.session.put(arrivals.rested(firings.counted(trigger, firing), source, ledger.now(), failed=True))


def set_back(ledger: Ledger, trigger_id: int, why: str) -> None:
    """Gives up a firing that failed, says why, and looks at the trigger again in a while."""
    ledger.lock("trigger", trigger_id)
    trigger = ledger.session.trigger(trigger_id)
    if trigger is not None and trigger.next_at is not None:
        rested = replace(trigger, next_at=ledger.now() + SET_BACK_MS)
        firings.miss(ledger, rested, f"The firing failed: {why}", {})
