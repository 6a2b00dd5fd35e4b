"""The facade for schedules: when a job fires next, what became of its ticks, pause, resume, backfill."""

from __future__ import annotations

import msgspec

from runyard.core.errors import invalid, not_found
from runyard.core.model import Job, Run, Tick, Timetable
from runyard.core.schedule import Schedule, ticks, upcoming
from runyard.engine import timetables
from runyard.engine.clock import Clock
from runyard.engine.ledger import Ledger
from runyard.engine.timetables import BY_BACKFILL
from runyard.engine.writer import Reply, Writer
from runyard.store.base import Store

MAX_COUNT = 100
MAX_BACKFILL = 1000
MAX_LOOKS = 20_000
"""How many ticks one backfill looks at; it says where the next one begins."""
_EVER = 1 << 53


class Outlook(msgspec.Struct, frozen=True):
    """A schedule as it stands: its next ticks (none while paused) and what became of the newest ones."""

    schedule: Schedule
    timetable: Timetable
    next: list[int]
    ticks: list[Tick]


class Backfill(msgspec.Struct, frozen=True):
    """What a backfill did: the moments that got runs and those runs, in step; `next` is where to go on."""

    times: list[int]
    runs: list[Run]
    next: int | None


class Schedules:
    """What faces call for the schedules of kept jobs."""

    def __init__(self, store: Store, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock

    def outlook(self, job_id: int, count: int = 3, history: int = 0) -> Outlook | None:
        """A job's schedule, or None if it has none; raises not_found, and invalid for a count out of range."""
        if not 1 <= count <= MAX_COUNT:
            raise invalid(f"count must be 1 to {MAX_COUNT}; it is {count}.", field="count")
        with self._store.reading() as reads:
            job, table = reads.job(job_id), reads.timetable(job_id)
            kept = reads.ticks(job_id, 0, _EVER, history) if history else []
        if job is None or job.deleted_at is not None:
            raise not_found("job", job_id)
        if job.spec.schedule is None or table is None:
            return None
        rule = timetables.rule_of(job.spec.schedule, table.anchor_at)
        following = [] if table.paused else upcoming(rule, self._clock.now(), count)
        return Outlook(job.spec.schedule, table, following, kept)

    def pause(self, job_id: int, by: str) -> Reply[Timetable]:
        """Stops the schedule; runs that it made go on. conflict if the job has none."""
        return self._writer.execute(lambda ledger: timetables.pause(ledger, job_id, paused=True))

    def resume(self, job_id: int, by: str) -> Reply[Timetable]:
        """Lets the schedule go on with its next tick; ticks of the pause are for `backfill`."""
        return self._writer.execute(lambda ledger: timetables.pause(ledger, job_id, paused=False))

    def backfill(
        self, job_id: int, start: int, end: int | None, by: str, *, limit: int = 100, dry_run: bool = False
    ) -> Reply[Backfill]:
        """Gives past ticks from `start` on and before `end` the runs that they lack, the oldest `limit` of them.

        `end` None is now. Raises invalid for a stretch that is empty or reaches into the future, conflict for a job
        without a schedule.
        """
        until = self._clock.now() if end is None else end
        if not start < until <= self._clock.now():
            raise invalid("A backfill needs from before to, and to not in the future.", field="from")
        if not 1 <= limit <= MAX_BACKFILL:
            raise invalid(f"limit must be 1 to {MAX_BACKFILL}; it is {limit}.", field="limit")

        def run(ledger: Ledger) -> Backfill:
            ledger.lock("job", job_id)
            job, _ = ledger.job(job_id)
            wanted, following = _lacking(ledger, job, start, until, limit)
            return Backfill(wanted, [] if dry_run else _run_all(ledger, job, wanted, by), following)

        return self._writer.execute(run)


def _lacking(ledger: Ledger, job: Job, start: int, end: int, limit: int) -> tuple[list[int], int | None]:
    """The oldest ticks without a run, and the first that was not looked at."""
    table, schedule = ledger.session.timetable(job.id), job.spec.schedule
    if table is None or schedule is None:
        raise timetables.no_schedule(job.id)
    wanted: list[int] = []
    for looked, at in enumerate(ticks(timetables.rule_of(schedule, table.anchor_at), start, end)):
        if len(wanted) == limit or looked == MAX_LOOKS:
            return wanted, at
        known = ledger.session.ticks(job.id, at, at + 1, 1)
        if not known or known[0].run_id is None:
            wanted.append(at)
    return wanted, None


def _run_all(ledger: Ledger, job: Job, wanted: list[int], by: str) -> list[Run]:
    _, plan = ledger.job(job.id)
    made = [timetables.run_tick(ledger, job, plan, at, trigger=BY_BACKFILL, by=by) for at in wanted]
    return [run for run in made if run is not None]
