"""Routes of jobs: create, list, show, change, delete, versions, cancel their runs."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries, wire
from runyard.api.declare import route
from runyard.core.model import Job, JobSpec
from runyard.engine.registry import Registry
from runyard.engine.runs import Runs
from runyard.engine.schedules import Outlook, Schedules
from runyard.http.answers import answer, nothing
from runyard.http.body import Query, query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_SPEC = msgspec.json.Decoder(JobSpec)


class JobRoutes:
    """Handlers over the registry's jobs."""

    def __init__(self, registry: Registry, runs: Runs, schedules: Schedules) -> None:
        self._registry = registry
        self._runs = runs
        self._schedules = schedules

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, job, one = "jobs:read", "jobs:write", bodies.JobBody, "/jobs/{id}"
        new = {"body": JobSpec, "answer": job, "status": 201, "query": queries.NewJobQuery}
        change = {"body": JobSpec, "answer": job, "headers": {"If-Match": "The version that is to be replaced."}}
        cancel = {"answer": bodies.Cancelled}
        return (
            route("POST", "/jobs", do, self.create, "Keep a job", **new),
            route("GET", "/jobs", see, self.find, "List jobs", query=queries.JobsQuery, answer=bodies.Jobs),
            route("GET", one, see, self.show, "Show a job", answer=job),
            route("PUT", one, do, self.update, "Give a job a new version", **change),
            route("DELETE", one, do, self.delete, "Delete a job; its runs stay", status=204),
            route("GET", f"{one}/versions", see, self.versions, "List a job's versions", answer=bodies.JobVersions),
            route("GET", f"{one}/versions/{{v}}", see, self.version, "Show a version", answer=bodies.JobVersionBody),
            route("POST", f"{one}/cancel-runs", "runs:write", self.cancel_runs, "End all of a job's runs", **cancel),
        )

    async def create(self, request: Request) -> Answer:
        """POST /jobs"""
        asked = query(request, queries.NewJobQuery)
        spec = await read(request, _SPEC)
        job = await self._registry.create_job(spec, by=request.principal.name, key=asked.key)
        return await self._told(job, 201)

    async def find(self, request: Request) -> Answer:
        """GET /jobs"""
        asked = query(request, queries.JobsQuery)
        page = await offload(self._registry.jobs, queries.job_filter(asked), asked.limit, asked.cursor)
        return answer(bodies.Jobs(items=[wire.job_body(job) for job in page.items], next=page.next))

    async def show(self, request: Request) -> Answer:
        """GET /jobs/{id}"""
        query(request, Query)
        return await self._told(await offload(self._registry.job, request.id("job")))

    async def update(self, request: Request) -> Answer:
        """PUT /jobs/{id}"""
        expected = queries.if_match(request.header(b"if-match"))
        spec = await read(request, _SPEC)
        by = request.principal.name
        return await self._told(
            await self._registry.update_job(request.id("job"), spec, by=by, expect_version=expected)
        )

    async def _told(self, job: Job, status: int = 200) -> Answer:
        outlook = await offload(self._schedules.outlook, job.id) if job.spec.schedule else None
        return _answered(job, outlook, status)

    async def delete(self, request: Request) -> Answer:
        """DELETE /jobs/{id}"""
        await self._registry.delete_job(request.id("job"), request.principal.name)
        return nothing()

    async def versions(self, request: Request) -> Answer:
        """GET /jobs/{id}/versions"""
        query(request, Query)
        versions = await offload(self._registry.versions, request.id("job"))
        return answer(bodies.JobVersions(items=[wire.version_body(one) for one in versions]))

    async def version(self, request: Request) -> Answer:
        """GET /jobs/{id}/versions/{v}"""
        query(request, Query)
        number = request.id("version", "v")
        return answer(wire.version_body(await offload(self._registry.version, request.id("job"), number)))

    async def cancel_runs(self, request: Request) -> Answer:
        """POST /jobs/{id}/cancel-runs"""
        cancelled = await self._runs.cancel_job(request.id("job"), request.principal.name)
        return answer(bodies.Cancelled(cancelled=cancelled))


def _answered(job: Job, outlook: Outlook | None, status: int) -> Answer:
    headers = {"ETag": f'"{job.version}"'}
    if status == 201:
        headers["Location"] = f"/api/v1/jobs/{job.id}"
    return answer(wire.job_body(job, outlook), status, headers)
