"""Routes of schedules: what comes next, pause, resume, backfill."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries, times, wire
from runyard.api.declare import route
from runyard.core.errors import invalid
from runyard.engine.schedules import Schedules
from runyard.engine.timetables import no_schedule
from runyard.http.answers import answer
from runyard.http.body import query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_BACKFILL = msgspec.json.Decoder(bodies.BackfillGiven)
_HISTORY = 20


class ScheduleRoutes:
    """Handlers over the facade of schedules."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, body = "jobs:read", "jobs:write", bodies.ScheduleBody
        one = "/jobs/{id}/schedule"
        fill = {"body": bodies.BackfillGiven, "answer": bodies.Backfilled}
        about = "Show a job's next and newest ticks"
        return (
            route("GET", one, see, self.show, about, query=queries.ScheduleQuery, answer=body),
            route("POST", f"{one}/pause", do, self.pause, "Stop a job's schedule", answer=body),
            route("POST", f"{one}/resume", do, self.resume, "Let it go on with its next tick", answer=body),
            route("POST", "/jobs/{id}/backfill", "runs:write", self.backfill, "Give past ticks their runs", **fill),
        )

    async def show(self, request: Request) -> Answer:
        """GET /jobs/{id}/schedule"""
        asked = query(request, queries.ScheduleQuery)
        return await self._told(request.id("job"), asked.count)

    async def pause(self, request: Request) -> Answer:
        """POST /jobs/{id}/schedule/pause"""
        await self._schedules.pause(request.id("job"), request.principal.name)
        return await self._told(request.id("job"))

    async def resume(self, request: Request) -> Answer:
        """POST /jobs/{id}/schedule/resume"""
        await self._schedules.resume(request.id("job"), request.principal.name)
        return await self._told(request.id("job"))

    async def backfill(self, request: Request) -> Answer:
        """POST /jobs/{id}/backfill"""
        given = await read(request, _BACKFILL)
        start, end = times.read(given.from_, "from"), times.read(given.to, "to")
        if start is None:
            raise invalid("Say from when: from is a time.", field="from")
        found = await self._schedules.backfill(
            request.id("job"),
            start,
            end,
            request.principal.name,
            limit=given.limit,
            dry_run=given.dry_run,
        )
        return answer(wire.backfilled(found))

    async def _told(self, job_id: int, count: int = 5) -> Answer:
        outlook = await offload(self._schedules.outlook, job_id, count, _HISTORY)
        if outlook is None:
            raise no_schedule(job_id)
        return answer(wire.schedule_body(outlook))
