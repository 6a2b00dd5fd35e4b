"""Builds and deployments: a data project is proved as a whole, carried out whole or not at all, and remembered.

What is to be done is kept as a script before it begins: a server that was killed goes on with it. Source of statuses
and fields: what the newer official client reads.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from runyard.core.errors import Code, RunyardError, invalid
from runyard.dialects.tinybird import wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.carrying import Carrier
from runyard.dialects.tinybird.catalog import DATASOURCE, DIALECT, PIPE, WORKSPACE
from runyard.dialects.tinybird.errors import Refusal
from runyard.dialects.tinybird.face import Face
from runyard.dialects.tinybird.project import CHANGED, DELETED, NEW, Plan, token_changes
from runyard.dialects.tinybird.proving import Prover

KIND = "deployment"
CREATING, READY, GONE = "creating_schema", "data_ready", "deleted"
_SOON = 2.0
"""Seconds that a request waits for its deployment, so that a short one is over when it answers."""
_log = logging.getLogger("runyard.tinybird")


class Deployments:
    """The deployments of all workspaces."""

    def __init__(self, face: Face, prover: Prover, carrier: Carrier) -> None:
        self._face, self._prover, self._carrier = face, prover, carrier
        self._documents = face.engine.documents
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked = False

    # --- looking ---

    def all(self, workspace: str, deleted: bool = False) -> list[dict[str, Any]]:
        """The deployments of a workspace, oldest first; one of number 0 stands for what was there before the first."""
        kept = self._kept(workspace)
        found = [one for one in kept if deleted or one["status"] != GONE]
        if not any(one["live"] for one in kept):
            found.insert(0, _seed())
        return found

    def need(self, workspace: str, number: str) -> dict[str, Any]:
        """One deployment; raises not_found."""
        if number == "0":
            live = any(one["live"] for one in self._kept(workspace))
            return _seed(GONE, False) if live else _seed()
        found = next((one for one in self._kept(workspace) if one["id"] == number), None)
        if found is None:
            raise RunyardError(Code.NOT_FOUND, f'Deployment "{number}" not found')
        return found

    def _kept(self, workspace: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self._documents.find(DIALECT, KIND, workspace, 1000, cursor)
            found += [one.body for one in page.items]
            cursor = page.next
            if cursor is None:
                return found

    # --- asking ---

    async def build(self, caller: Caller, files: dict[str, str]) -> dict[str, Any]:
        """Makes the workspace what the files say, at once; its deployment, with `errors` when nothing was done."""
        return await self._begin(caller, files, auto=True, destructive=True, wait=None)

    async def deploy(
        self, caller: Caller, files: dict[str, str], *, check: bool, auto: bool, destructive: bool
    ) -> dict[str, Any]:
        """A deployment of the files: only proved (`check`), kept until it is promoted, or promoted when ready."""
        if check:
            async with self._lock(caller.workspace):
                plan, made = await self._prover.planned(caller, files, destructive)
                await self._prover.forget(caller, made.scratch)
            return _drawn("", plan, made.movements, wire.stamp(self._face.engine.clock.now()))
        return await self._begin(caller, files, auto=auto, destructive=destructive, wait=_SOON)

    async def _begin(
        self, caller: Caller, files: dict[str, str], *, auto: bool, destructive: bool, wait: float | None
    ) -> dict[str, Any]:
        async with self._lock(caller.workspace):
            kept = self._kept(caller.workspace)
            self._refuse_second(kept)
            plan, made = await self._prover.planned(caller, files, destructive)
            number = str(int(kept[-1]["id"]) + 1 if kept else 1)
            body = _drawn(number, plan, made.movements, wire.stamp(self._face.engine.clock.now()))
            if plan.errors or not _changes(plan):
                return body
            body |= {"status": CREATING if auto else READY, "destructive": destructive}
            body |= {"plan": self._carrier.kept(plan, made)} if auto else {"files": files}
            if not auto:
                await self._prover.forget(caller, made.scratch)
            await self._keep(caller, body)
        if auto:
            await asyncio.wait({self._start(caller, body)}, timeout=wait)
        return self.need(caller.workspace, number)

    def _refuse_second(self, kept: list[dict[str, Any]]) -> None:
        other = next((one for one in kept if one["status"] != GONE and not one["live"]), None)
        if other is not None:
            said = f"The deployment {other['id']} is {other['status']}: promote or discard it first."
            raise Refusal(409, f"There is a deployment in progress already. {said}")

    async def promote(self, caller: Caller, number: str) -> dict[str, Any]:
        """Carries out a deployment that waits for it."""
        async with self._lock(caller.workspace):
            body = self.need(caller.workspace, number)
            if body["live"]:
                return body
            if body["status"] != READY or "files" not in body:
                raise invalid(f"The deployment {number} is {body['status']}; only one that is ready can be promoted.")
            plan, made = await self._prover.planned(caller, body["files"], body["destructive"])
            if plan.errors:
                said = "; ".join(f"{one['filename']}: {one['error']}".lstrip(": ") for one in plan.errors)
                raise invalid(f"The workspace changed since the deployment {number} was made: {said}")
            kept = {key: value for key, value in body.items() if key != "files"}
            body = {**kept, "status": CREATING, "plan": self._carrier.kept(plan, made)}
            await self._keep(caller, body)
        await asyncio.wait({self._start(caller, body)})
        ended = self.need(caller.workspace, number)
        if not ended["live"]:
            raise invalid(f"The deployment {number} failed: {ended['errors'][0]['error']}")
        return ended

    async def discard(self, caller: Caller, number: str) -> dict[str, Any]:
        """Forgets a deployment that is not live; the one before the live one is gone already."""
        async with self._lock(caller.workspace):
            body = self.need(caller.workspace, number)
            if body["live"]:
                raise invalid(f"The deployment {number} is live and cannot be deleted.")
            if body["status"] == CREATING:
                raise invalid(f"The deployment {number} is being carried out; it ends whole or not at all.")
            if body["status"] != GONE:
                body = {key: value for key, value in body.items() if key != "files"} | {"status": GONE}
                await self._keep(caller, body)
        return body

    # --- doing ---

    def _lock(self, workspace: str) -> asyncio.Lock:
        return self._locks.setdefault(workspace, asyncio.Lock())

    async def _keep(self, caller: Caller, body: dict[str, Any]) -> None:
        body["updated_at"] = wire.stamp(self._face.engine.clock.now())
        await self._documents.put(DIALECT, KIND, body["id"].zfill(8), body, caller.name, caller.workspace)

    def _start(self, caller: Caller, body: dict[str, Any]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._carried_out(caller, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carried_out(self, caller: Caller, body: dict[str, Any]) -> None:
        """The whole of a deployment, and how it ended."""
        kept = {key: value for key, value in body.items() if key not in ("plan", "files")}
        try:
            run = await self._carrier.carry_out(caller, body["id"], body["plan"])
        except RunyardError as error:
            errors = [{"filename": "", "error": error.message}]
            await self._keep(caller, {**kept, "status": GONE, "errors": errors})
            return
        except Exception:
            _log.exception("the deployment %s of %s stopped; it goes on when asked again", body["id"], caller.workspace)
            return
        for other in self._kept(caller.workspace):
            if other["live"] and other["id"] != body["id"]:
                await self._keep(caller, {**other, "live": False, "status": GONE})
        job = {"job_id": self._face.ids.text(run)}
        await self._keep(caller, {**kept, **job, "status": READY, "live": True})

    def resume(self) -> None:
        """Goes on with what an earlier server began; called with the first request."""
        if self._looked:
            return
        self._looked = True
        names = ["default", *(one["name"] for one in self._face.catalog.all("default", WORKSPACE))]
        for name in names:
            for body in self._kept(name):
                if body["status"] == CREATING:
                    self._start(Caller(name="runyard", workspace=name, admin=True), body)


def _changes(plan: Plan) -> bool:
    return bool(plan.changes)


def _seed(status: str = READY, live: bool = True) -> dict[str, Any]:
    return {**_drawn("0", Plan(), [], "1970-01-01 00:00:00"), "status": status, "live": live}


def _drawn(number: str, plan: Plan, movements: list[dict[str, Any]], at: str = "") -> dict[str, Any]:
    """A deployment as the clients read it."""
    body: dict[str, Any] = {
        "id": number,
        "status": GONE if plan.errors else "calculating",
        "live": False,
        "created_at": at,
        "updated_at": at,
        "errors": plan.errors,
        "feedback": plan.feedback,
        "token_changes": token_changes(plan),
        "data_movements": movements,
        "disconnected_data_source_names": [],
        "new_data_connector_ids": [],
    }
    for op in (NEW, CHANGED, DELETED):
        body[f"{op}_datasource_names"] = [one.name for one in plan.of(DATASOURCE, op)]
        body[f"{op}_pipe_names"] = [one.name for one in plan.of(PIPE, op)]
        body[f"{op}_data_connector_names"] = []
    return body
