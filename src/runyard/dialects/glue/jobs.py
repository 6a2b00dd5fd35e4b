"""Jobs: create, get, list, update, delete. Source: AWS Glue Developer Guide, 'Jobs'."""

from __future__ import annotations

from collections import OrderedDict

from runyard.core.errors import Code, RunyardError, if_found, not_found
from runyard.core.model import Job
from runyard.core.query import MAX_PAGE, JobFilter, Page
from runyard.dialects.glue import compile as compiling
from runyard.dialects.glue import tables, wire
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import fault, missing
from runyard.dialects.glue.tags import Tags
from runyard.engine.registry import Registry
from runyard.http.request import offload

WORKSPACE = "default"
PAGE = 100
MAX_SEEN = 1000


class Jobs:
    """Handlers over the registry."""

    def __init__(self, registry: Registry, tags: Tags) -> None:
        self._registry = registry
        self._tags = tags
        self._seen: OrderedDict[str, Job] = OrderedDict()

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("CreateJob", "jobs:write", self.create),
            Op("GetJob", "jobs:read", self.get),
            Op("GetJobs", "jobs:read", self.get_all),
            Op("ListJobs", "jobs:read", self.list_names),
            Op("BatchGetJobs", "jobs:read", self.batch_get),
            Op("UpdateJob", "jobs:write", self.update),
            Op("DeleteJob", "jobs:write", self.delete),
        )

    def named(self, name: str) -> Job:
        """The job of this name; raises EntityNotFoundException."""
        found = self.find(name)
        if found is None:
            raise missing(f"Job {name} not found.")
        self._seen[name] = found
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return found

    def seen(self, name: str) -> Job | None:
        """The job as it was when it was last looked up by name, if it was lately; there may be another by now."""
        return self._seen.get(name)

    def forget(self, name: str) -> None:
        """The job is to be looked up again."""
        self._seen.pop(name, None)

    def find(self, name: str) -> Job | None:
        """The job of this name, or None."""
        return if_found(self._registry.job_by_key, WORKSPACE, tables.NAME, name)

    async def create(self, asked: Json, who: Caller) -> Json:
        """CreateJob"""
        name, tags = asked.pop("Name"), asked.pop("Tags", {})
        kept = compiling.checked(asked)
        spec = compiling.definition(name, kept)
        self._check_new(name, kept)
        await self._registry.create_job(
            spec, by=who.by, workspace=WORKSPACE, origin=tables.NAME, key=name, extras={tables.NAME: kept}
        )
        await self._tags.replace("job", name, tags, who.by)
        return {"Name": name}

    def _check_new(self, name: str, kept: Json) -> None:
        there = self.find(name)
        if there is not None and there.extras.get(tables.NAME) != kept:
            said = f"Job {name} already submitted with different configuration"
            raise fault("IdempotentParameterMismatchException", said, Code.ALREADY_EXISTS)
        if there is not None:
            raise RunyardError(Code.ALREADY_EXISTS, f"Job {name} already exists")

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetJob"""
        return {"Job": wire.shown_job(self.named(asked["JobName"]))}

    async def get_all(self, asked: Json, who: Caller) -> Json:
        """GetJobs"""
        page = await offload(self._page, asked.get("MaxResults", PAGE), asked.get("NextToken"))
        return {"Jobs": [wire.shown_job(job) for job in page.items], "NextToken": page.next}

    async def list_names(self, asked: Json, who: Caller) -> Json:
        """ListJobs, all of them or those with these tags"""
        if wanted := asked.get("Tags"):
            names, token = await offload(self._tagged, wanted, asked.get("MaxResults", PAGE), asked.get("NextToken"))
            return {"JobNames": names, "NextToken": token}
        page = await offload(self._page, asked.get("MaxResults", PAGE), asked.get("NextToken"))
        return {"JobNames": [job.spec.name for job in page.items], "NextToken": page.next}

    def _tagged(self, wanted: dict[str, str], limit: int, token: str | None) -> tuple[list[str], str | None]:
        names = [name for name in self._tags.having("job", wanted) if token is None or name > token]
        return names[:limit], names[limit - 1] if len(names) > limit else None

    def _page(self, limit: int, token: str | None) -> Page[Job]:
        found: list[Job] = []
        while True:
            page = self._registry.jobs(JobFilter(origin=tables.NAME), min(MAX_PAGE, limit - len(found)), token)
            found += page.items
            token = page.next
            if token is None or len(found) >= limit:
                return Page(found, token)

    async def batch_get(self, asked: Json, who: Caller) -> Json:
        """BatchGetJobs: what is not there is told apart"""
        found = {name: self.find(name) for name in asked["JobNames"]}
        return {
            "Jobs": [wire.shown_job(job) for job in found.values() if job is not None],
            "JobsNotFound": [name for name, job in found.items() if job is None],
        }

    async def update(self, asked: Json, who: Caller) -> Json:
        """UpdateJob: overwrites the definition; what is not given goes back to its default"""
        name = asked["JobName"]
        job = self.named(name)
        kept = compiling.checked(asked["JobUpdate"])
        spec = compiling.definition(name, kept)
        await self._registry.update_job(job.id, spec, by=who.by, extras={tables.NAME: kept})
        return {"JobName": name}

    async def delete(self, asked: Json, who: Caller) -> Json:
        """DeleteJob: an unknown name is no error"""
        job = self.find(asked["JobName"])
        if job is not None:
            await self._registry.delete_job(job.id, who.by)
            await self._tags.drop("job", asked["JobName"], who.by)
        return {"JobName": asked["JobName"]}

    def by_id(self, job_id: int | None) -> Job:
        """A job by our id, also a deleted one; raises not_found."""
        if job_id is None:
            raise not_found("job", job_id)
        return self._registry.job(job_id, deleted_too=True)
