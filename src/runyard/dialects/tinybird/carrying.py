"""Carries out a deployment: the warehouse's part in one transaction, then views, documents, tokens and schedules.

Writers of the Data Sources that it touches wait meanwhile. Every step may be done twice with the same result, so that
what a killed server began can be ended by the next one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from runyard.core.actions import Action, Sql
from runyard.core.errors import RunyardError
from runyard.core.model import Queue
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.dialects.tinybird import tables, wire
from runyard.dialects.tinybird.access import Caller, Grant
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE, TOKEN
from runyard.dialects.tinybird.datasources import Sources, partition_key, quoted
from runyard.dialects.tinybird.face import Face
from runyard.dialects.tinybird.migration import Script
from runyard.dialects.tinybird.pipes import Pipes
from runyard.dialects.tinybird.project import DELETED, NEW, Change, Plan, grants_of, token_changes
from runyard.dialects.tinybird.token_routes import Tokens
from runyard.http.request import offload

_IDLE_SECONDS = 0.02
_LIVE = [State.STARTING, State.RUNNING, State.CANCELLING]


class _Kept(msgspec.Struct, kw_only=True):
    """What is kept of a deployment until it is done."""

    script: Script
    changes: list[Change]
    token_changes: list[dict[str, Any]]


class Carrier:
    """Does what scripts say."""

    def __init__(self, face: Face, sources: Sources, pipes: Pipes, tokens: Tokens) -> None:
        self._face, self._sources, self._pipes, self._tokens = face, sources, pipes, tokens
        self._catalog, self._engine = face.catalog, face.engine

    def kept(self, plan: Plan, script: Script) -> dict[str, Any]:
        """What has to be kept of a plan to carry it out."""
        kept = _Kept(script=script, changes=plan.changes, token_changes=token_changes(plan))
        return dict(msgspec.to_builtins(kept))

    async def carry_out(self, caller: Caller, number: str, kept: dict[str, Any]) -> int:
        """Does all of it, or nothing; the run. Raises `invalid` with the reason."""
        plan = msgspec.convert(kept, _Kept)
        queues = [
            self._sources.queue(caller.workspace, source)
            for name in plan.script.hold
            if (source := self._catalog.find(caller.workspace, DATASOURCE, name)) is not None
        ]
        try:
            await self._hold(caller, queues)
            run = await self._in_the_warehouse(caller, number, plan.script)
            await self._partitions(caller, plan.changes)
            await self._documents(caller, plan.changes)
            await self._grants(caller, plan.token_changes)
        finally:
            await self._release(caller, queues)
        drop = f"DROP SCHEMA IF EXISTS {quoted(plan.script.scratch)} CASCADE"
        await self._face.statements(caller, "deployment", drop)
        return run

    # --- writers wait ---

    async def _hold(self, caller: Caller, queues: list[str]) -> None:
        for name in queues:
            await self._engine.registry.put_queue(Queue(name=name, slots=1, paused=True), caller.name)
        for name in queues:
            where = RunFilter(queue=name, states=_LIVE)
            while (await offload(self._engine.runs.find, where, 1)).items:
                await asyncio.sleep(_IDLE_SECONDS)

    async def _release(self, caller: Caller, queues: list[str]) -> None:
        for name in queues:
            await self._engine.registry.put_queue(Queue(name=name, slots=1), caller.name)

    # --- the warehouse ---

    async def _in_the_warehouse(self, caller: Caller, number: str, script: Script) -> int:
        data = self._engine.data
        for view in script.drop_views:
            await data.drop_view(caller.workspace, view)
        actions: list[Action] = [Sql(statement=";\n".join(script.before))] if script.before else []
        actions.append(Sql(statement=";\n".join(script.main) or "SELECT 1", dialect="clickhouse"))
        run = await self._face.submit(
            caller,
            f"deployment {number}",
            actions,
            tags=wire.tags_of(tables.DEPLOYMENT, deployment_id=number),
            once=f"deployment/{script.scratch}",
        )
        try:
            await self._face.outcome(run)
            await self._views(caller, script.views)
        except RunyardError:
            await self._undo(caller, script)
            raise
        return run.id

    async def _views(self, caller: Caller, views: list[list[str]]) -> None:
        for name, source, statement, target in views:
            await self._engine.data.create_view(caller.workspace, name, source, statement, target, dialect="clickhouse")

    async def _undo(self, caller: Caller, script: Script) -> None:
        for text in script.undo:
            await self._face.statements(caller, "deployment", text)
        await self._views(caller, script.old_views)
        drop = f"DROP SCHEMA IF EXISTS {quoted(script.scratch)} CASCADE"
        await self._face.statements(caller, "deployment", drop)

    async def _partitions(self, caller: Caller, changes: list[Change]) -> None:
        """The partition keys of what is new or changed; that they fit was proved."""
        for one in changes:
            old = partition_key((one.old or {}).get("engine", {}))
            if one.kind == DATASOURCE and one.op != DELETED and (old or partition_key(one.body["engine"])):
                await self._sources.partition(caller.workspace, one.name, one.body["engine"])

    # --- what is kept ---

    async def _documents(self, caller: Caller, changes: list[Change]) -> None:
        for one in changes:
            if one.op == DELETED and self._catalog.find(caller.workspace, one.kind, one.name) is not None:
                if one.kind == PIPE:
                    await self._pipes.drop_schedule(caller, one.body)
                await self._catalog.delete(caller.workspace, one.kind, one.body, caller.name)
        for one in sorted(changes, key=lambda change: change.kind != DATASOURCE):
            if one.op != DELETED:
                await self._keep(caller, one)
            if one.kind == DATASOURCE:
                event = {NEW: "create", DELETED: "drop"}.get(one.op, "alter")
                await self._sources.log(caller, event, one.body)

    async def _keep(self, caller: Caller, one: Change) -> None:
        kept = await self._catalog.put(caller.workspace, one.kind, one.body, caller.name)
        if one.kind == PIPE:
            await self._pipes.keep_schedule(caller, kept)
        elif one.op == NEW:
            queue = Queue(name=self._sources.queue(caller.workspace, kept), slots=1)
            await self._engine.registry.put_queue(queue, caller.name)

    async def _grants(self, caller: Caller, changes: list[dict[str, Any]]) -> None:
        """Scopes of the tokens that the files name."""
        for change in changes:
            name = change["token_name"]
            added, removed = grants_of(change)
            token = self._catalog.find(caller.workspace, TOKEN, name)
            if token is None:
                if added:
                    await self._tokens.create(caller, name, added, "made by a deployment")
                continue
            held = [msgspec.convert(one, Grant) for one in token["grants"]]
            left = [one for one in held if one not in removed]
            wanted = [*left, *(one for one in added if one not in left)]
            if not wanted and token["description"] == "made by a deployment":
                await self._tokens.delete(caller, token)
            elif wanted != held:
                await self._tokens.change(caller, token, wanted)
