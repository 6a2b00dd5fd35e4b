"""Permissions on jobs: kept and shown as the service does, and held for every call of this dialect.

A job that was given a list is for those in it; one without a list is for everybody whose scopes reach so far. Scopes
come first, and whoever holds `admin` may do everything. The words of refusals are those of the service.
"""

from __future__ import annotations

from typing import Any

from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.dialects.databricks import parse, serve
from runyard.dialects.databricks.serve import Given, Place
from runyard.dialects.databricks.tables import NAME
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.policy import ADMIN, allows
from runyard.http.request import Request, offload

KIND = "job_permissions"
LEVELS = {
    "CAN_VIEW": "Can view the job and its runs",
    "CAN_MANAGE_RUN": "Can view, run and cancel the job",
    "CAN_MANAGE": "Can view, run, cancel, edit and delete the job",
    "IS_OWNER": "Owns the job",
}
_ORDER = tuple(LEVELS)
VIEW, RUN, MANAGE, OWNER = _ORDER
_LACKS = {
    VIEW: "User {who} does not have View or Admin or Manage Run or Owner permissions on job {job}",
    RUN: "User {who} does not have Manage Run or Admin or Owner permissions on job {job}",
    MANAGE: "User {who} does not have Admin or Owner permissions on job {job}",
}
_LACKS_LIST = (
    "{who} does not have Manage permissions on Job with ID: ElasticJobId({job}). Please contact the owner or an "
    "administrator for access."
)
EVERYBODY = "users"
"""The service's group of all users; other groups are kept and hold nobody, for there are none here."""
_WHO = ("user_name", "group_name", "service_principal_name")


class Permissions:
    """Handlers of permissions on jobs."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._documents = place.engine.documents

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, path = "jobs:read", "jobs:write", "/permissions/jobs/{id}"
        return (
            *serve.routes("GET", path, see, self.get),
            *serve.routes("PUT", path, do, self.put),
            *serve.routes("PATCH", path, do, self.patch),
            *serve.routes("GET", f"{path}/permissionLevels", see, self.levels),
        )

    async def require(self, request: Request, job_id: int, level: str, said: str | None = None) -> None:
        """Raises denied unless the caller holds this level on the job, which for a submission is its run."""
        if not allows(request.principal, ADMIN):
            await offload(self.check, request, job_id, level, said)

    def check(self, request: Request, job_id: int, level: str, said: str | None = None) -> None:
        """The same, reading the store on the caller's thread."""
        if allows(request.principal, ADMIN):
            return
        entries, who = self._listed(job_id), request.principal.name
        if entries is not None and not _holds(entries, who, level):
            raise RunyardError(Code.DENIED, (said or _LACKS[level]).format(who=who, job=job_id))

    async def require_started(self, request: Request, settings: Given) -> None:
        """The same for every job that a definition's run_job_tasks start."""
        for task in settings.get("tasks", []):
            inner = task.get("for_each_task", {}).get("task", task)
            if "job_id" in inner.get("run_job_task", {}):
                await self.require(request, inner["run_job_task"]["job_id"], RUN)

    async def without(self, request: Request, level: str) -> set[int]:
        """The jobs on which the caller does not hold this level."""
        if allows(request.principal, ADMIN):
            return set()
        return await offload(self._without, request.principal.name, level)

    def _without(self, who: str, level: str) -> set[int]:
        found: set[int] = set()
        cursor: str | None = None
        while True:
            page = self._documents.find(NAME, KIND, limit=1000, cursor=cursor)
            found |= {int(one.key) for one in page.items if not _holds(one.body["entries"], who, level)}
            cursor = page.next
            if cursor is None:
                return found

    def checked(self, entries: list[Given], caller: str) -> list[Given]:
        """What a new job is given; the caller owns it unless somebody else is named."""
        if not entries:
            return []
        latest = _latest(entries)
        if all(one["permission_level"] != OWNER for one in latest):
            latest.append({"user_name": caller, "permission_level": OWNER})
        return _one_owner(latest)

    async def keep(self, job_id: int, entries: list[Given], by: str) -> None:
        """Keeps the whole list."""
        await self._documents.put(NAME, KIND, str(job_id), {"entries": entries}, by)

    async def get(self, request: Request) -> Answer:
        """GET permissions/jobs/{id}"""
        job_id = await self._job_id(request)
        await self.require(request, job_id, VIEW)
        return await self._shown(job_id)

    async def put(self, request: Request) -> Answer:
        """PUT permissions/jobs/{id}: the whole list anew; it must name one owner."""
        job_id, entries = await self._job_id(request), _one_owner(_latest(await self._entries(request)))
        await self._require_change(request, job_id, entries)
        await self.keep(job_id, entries, request.principal.name)
        return await self._shown(job_id)

    async def patch(self, request: Request) -> Answer:
        """PATCH permissions/jobs/{id}: these entries over the others; a new owner takes the place of the old one."""
        job_id, new = await self._job_id(request), _latest(await self._entries(request))
        old = await offload(self._kept, job_id)
        await self._require_change(request, job_id, [one for one in new if one["permission_level"] == OWNER])
        if any(one["permission_level"] == OWNER for one in new):
            old = [one for one in old if one["permission_level"] != OWNER]
        await self.keep(job_id, _one_owner(_latest([*old, *new])), request.principal.name)
        return await self._shown(job_id)

    async def _require_change(self, request: Request, job_id: int, new: list[Given]) -> None:
        """Managers change the list; who owns the job is for its owner and administrators to say."""
        await self.require(request, job_id, MANAGE, _LACKS_LIST)
        given = {_who(one) for one in new if one["permission_level"] == OWNER}
        if given and given != {_who(one) for one in await offload(self._kept, job_id) if _is_owner(one)}:
            await self.require(request, job_id, OWNER, _LACKS[MANAGE])

    async def levels(self, request: Request) -> Answer:
        """GET permissions/jobs/{id}/permissionLevels"""
        await self._job_id(request)
        levels = [{"permission_level": level, "description": text} for level, text in LEVELS.items()]
        return answer({"permission_levels": levels})

    async def _job_id(self, request: Request) -> int:
        text = request.text("id")
        if not text.isascii() or not text.isdigit() or len(text) > 16:
            raise invalid(f"Job {text} does not exist.")
        return (await serve.found_job(self._place, int(text))).id

    async def _entries(self, request: Request) -> list[Given]:
        given = parse.request("Create", await serve.body(request))
        entries: list[Given] = given.get("access_control_list", [])
        return entries

    def _listed(self, job_id: int) -> list[Given] | None:
        """The list that a job was given; None without one."""
        kept = if_found(self._documents.get, NAME, KIND, str(job_id))
        return list(kept.body["entries"]) if kept is not None else None

    def _kept(self, job_id: int) -> list[Given]:
        found = self._listed(job_id)
        if found is not None:
            return found
        owner = self._place.engine.registry.job(job_id).owner
        return [{"user_name": owner, "permission_level": OWNER}]

    async def _shown(self, job_id: int) -> Answer:
        entries = await offload(self._kept, job_id)
        return answer(
            {
                "object_id": f"/jobs/{job_id}",
                "object_type": "job",
                "access_control_list": [_shown_entry(one) for one in entries],
            }
        )


def _holds(entries: list[Given], who: str, level: str) -> bool:
    levels = [
        _ORDER.index(one["permission_level"]) for one in entries if _who(one)[1] == who and "group_name" not in one
    ]
    levels += [_ORDER.index(one["permission_level"]) for one in entries if one.get("group_name") == EVERYBODY]
    return max(levels, default=-1) >= _ORDER.index(level)


def _who(one: Given) -> tuple[str, str]:
    return next((name, str(one[name])) for name in _WHO if name in one)


def _is_owner(one: Given) -> bool:
    return bool(one["permission_level"] == OWNER)


def _shown_entry(one: Given) -> dict[str, Any]:
    who = {name: one[name] for name in _WHO if name in one}
    return {**who, "all_permissions": [{"permission_level": one["permission_level"], "inherited": False}]}


def _latest(entries: list[Given]) -> list[Given]:
    """The last level that a list gives a principal stands."""
    found: dict[tuple[str, str], Given] = {}
    for one in entries:
        who = [(name, one[name]) for name in _WHO if name in one]
        if len(who) != 1 or "permission_level" not in one:
            raise invalid(f"Each entry of access_control_list needs a permission_level and one of {', '.join(_WHO)}.")
        found.pop(who[0], None)
        found[who[0]] = one
    return list(found.values())


def _one_owner(entries: list[Given]) -> list[Given]:
    if sum(one["permission_level"] == OWNER for one in entries) != 1:
        raise invalid("The job must have exactly one owner.")
    return entries
