"""Schedules: each tick that is due gives one run, in the transaction that moves the schedule on."""

from __future__ import annotations

import logging

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Job
from runyard.core.schedule import due, local_text
from runyard.engine import timetables
from runyard.engine.ledger import Ledger
from runyard.engine.timetables import BY_SCHEDULE, TROUBLE
from runyard.engine.writer import Writer
from runyard.engine.zones import zone
from runyard.store.base import Reads

log = logging.getLogger("runyard.engine")

JOBS_AT_ONCE = 100
TICKS_AT_ONCE = 50
"""How many runs one transaction makes for one schedule; what is more follows at the next look."""
AGAIN_MS = 5_000
SET_BACK_MS = 60_000
"""How long a schedule rests whose tick failed by a defect or for lack of its time zone."""


class Scheduler:
    """Looks for schedules that are due, and has each handled by a command of its own: one cannot undo another."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._posted: set[int] = set()
        self._rests: dict[int, int] = {}

    def find(self, reads: Reads, now: int) -> list[int]:
        """The jobs whose schedules are to be handled now."""
        found = reads.due_timetables(now, JOBS_AT_ONCE + len(self._rests))
        self._rests = {job_id: until for job_id, until in self._rests.items() if until > now}
        return [job_id for job_id in found if job_id not in self._posted and job_id not in self._rests]

    def handle(self, job_ids: list[int], now: int) -> None:
        """Queues one command a schedule."""
        for job_id in job_ids:
            self._posted.add(job_id)
            self._post(job_id, now)

    def _post(self, job_id: int, now: int) -> None:
        self._writer.post(lambda ledger: self._fire(ledger, job_id), lambda error: self._failed(job_id, now, error))

    def _fire(self, ledger: Ledger, job_id: int) -> None:
        self._posted.discard(job_id)
        fire(ledger, job_id)

    def _failed(self, job_id: int, now: int, error: BaseException) -> None:
        self._posted.discard(job_id)
        self._rests[job_id] = now + AGAIN_MS
        log.warning("the schedule of job %s could not be handled: %s", job_id, error)
        if not (isinstance(error, RunyardError) and error.code in TROUBLE):
            detail = f"The tick failed: {error}"
            self._writer.post(lambda ledger: set_back(ledger, job_id, detail), lambda again: None)


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


def set_back(ledger: Ledger, job_id: int, detail: str) -> None:
    """Gives up a tick that failed, says why, and looks at the schedule again in a while."""
    ledger.lock("job", job_id)
    table = ledger.session.timetable(job_id)
    if table is None or table.next_at is None:
        return
    timetables.miss(ledger, job_id, table.next_at, detail)
    ledger.session.put(msgspec.structs.replace(table, next_at=ledger.now() + SET_BACK_MS))
