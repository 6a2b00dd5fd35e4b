"""Schedules: each tick that is due gives one run, in the transaction that moves the schedule on."""

from __future__ import annotations

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Job
from runyard.core.schedule import due, local_text
from runyard.engine import timetables
from runyard.engine.ledger import Ledger
from runyard.engine.timetables import BY_SCHEDULE
from runyard.engine.zones import zone
from runyard.store.base import Reads

TICKS_AT_ONCE = 50
"""How many runs one transaction makes for one schedule; what is more follows at the next look."""
SET_BACK_MS = 60_000
"""How long a schedule rests whose tick failed by a defect or for lack of its time zone."""


def find(reads: Reads, now: int, limit: int) -> list[int]:
    """The jobs whose next tick has come."""
    return reads.due_timetables(now, limit)


def fire(ledger: Ledger, job_id: int) -> None:
    """Gives the due ticks of one schedule their runs and moves it on; nothing if another one did so before."""
    ledger.lock("job", job_id)
    table, now = ledger.session.timetable(job_id), ledger.now()
    if table is None or table.next_at is None or table.next_at > now:
        return
    job = _job(ledger, job_id)
    if job is None or job.spec.schedule is None:
        ledger.session.delete(table)
        return
    schedule, (_, plan) = job.spec.schedule, ledger.job(job_id)
    found = due(timetables.rule_of(schedule, table.anchor_at), schedule, table.next_at, now, TICKS_AT_ONCE)
    if found.missed is not None:
        first, last = (local_text(at, zone(schedule.time_zone)) for at in found.missed)
        said = f"No server handled the schedule in time: its ticks from {first} to {last} got no run."
        timetables.miss(ledger, job_id, found.missed[1], said)
    for at in found.fire:
        timetables.run_tick(ledger, job, plan, at, trigger=BY_SCHEDULE, by=job.owner)
    last_at = found.fire[-1] if found.fire else table.last_at
    ledger.session.put(msgspec.structs.replace(table, next_at=found.next_at, last_at=last_at))


def _job(ledger: Ledger, job_id: int) -> Job | None:
    try:
        return ledger.job(job_id)[0]
    except RunyardError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None


def set_back(ledger: Ledger, job_id: int, why: str) -> None:
    """Gives up a tick that failed, says why, and looks at the schedule again in a while."""
    ledger.lock("job", job_id)
    table = ledger.session.timetable(job_id)
    if table is None or table.next_at is None:
        return
    timetables.miss(ledger, job_id, table.next_at, f"The tick failed: {why}")
    ledger.session.put(msgspec.structs.replace(table, next_at=ledger.now() + SET_BACK_MS))
