"""Permissions on jobs: kept and shown as the service does.

Who may call what is decided by the caller's own scopes; these lists are records for the clients that manage them.
"""

from __future__ import annotations

from typing import Any

from runyard.core.errors import Code, RunyardError, invalid
from runyard.dialects.databricks import parse, serve
from runyard.dialects.databricks.serve import Given, Place
from runyard.dialects.databricks.tables import NAME
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

KIND = "job_permissions"
LEVELS = {
    "CAN_VIEW": "Can view the job and its runs",
    "CAN_MANAGE_RUN": "Can view, run and cancel the job",
    "CAN_MANAGE": "Can view, run, cancel, edit and delete the job",
    "IS_OWNER": "Owns the job",
}
_WHO = ("user_name", "group_name", "service_principal_name")
OWNER = "IS_OWNER"


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
        return await self._shown(await self._job_id(request))

    async def put(self, request: Request) -> Answer:
        """PUT permissions/jobs/{id}: the whole list anew; it must name one owner."""
        job_id = await self._job_id(request)
        await self.keep(job_id, _one_owner(_latest(await self._entries(request))), request.principal.name)
        return await self._shown(job_id)

    async def patch(self, request: Request) -> Answer:
        """PATCH permissions/jobs/{id}: these entries over the others; a new owner takes the place of the old one."""
        job_id, new = await self._job_id(request), _latest(await self._entries(request))
        old = await offload(self._kept, job_id)
        if any(one["permission_level"] == OWNER for one in new):
            old = [one for one in old if one["permission_level"] != OWNER]
        await self.keep(job_id, _one_owner(_latest([*old, *new])), request.principal.name)
        return await self._shown(job_id)

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

    def _kept(self, job_id: int) -> list[Given]:
        try:
            return list(self._documents.get(NAME, KIND, str(job_id)).body["entries"])
        except RunyardError as error:
            if error.code is not Code.NOT_FOUND:
                raise
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
