"""Service Data Sources (`tinybird.jobs_log` and its kin): tables that are brought up to date before they are read.

They follow from runs, documents and the catalog, over all of the history; only calls of endpoints are gathered in
memory, and written at most five seconds later. Source: Tinybird reference, 'Service Data Sources'.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from runyard.core.actions import Action, Load, Sql
from runyard.core.errors import invalid
from runyard.core.model import Run
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL
from runyard.dialects.tinybird import service_rows as rows
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.face import INNER, ORIGIN, Face
from runyard.dialects.tinybird.service_rows import CALLS, EVENTS_KIND, OF_RUNS, SCHEMA, STORAGE, TABLES, VIEWS
from runyard.dialects.tinybird.tables import TAG
from runyard.http.request import offload

FLUSH_SECONDS = 5.0
_PAGE = 200
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("runyard.tinybird")


class _Seen:
    """How far the runs of a workspace are in its tables."""

    def __init__(self) -> None:
        self.newest = 0
        self.live: set[int] = set()
        self.operation: str | None = None


class Service:
    """Keeps the service tables of each workspace in step."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources = face, sources
        self._seen: dict[str, _Seen] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._timers: set[str] = set()

    # --- calls of endpoints ---

    def note_call(self, caller: Caller, row: dict[str, Any]) -> None:
        """One call of an endpoint."""
        self._calls.setdefault(caller.workspace, []).append(row)
        if caller.workspace not in self._timers:
            self._timers.add(caller.workspace)
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_soon, caller)

    def _flush_soon(self, caller: Caller) -> None:
        self._timers.discard(caller.workspace)
        task = asyncio.get_running_loop().create_task(self._flush(caller))
        task.add_done_callback(_noted)

    async def _flush(self, caller: Caller) -> None:
        async with self._lock(caller.workspace):
            await self._write(caller, self._take_calls(caller))

    def _take_calls(self, caller: Caller) -> dict[str, list[dict[str, Any]]]:
        return {CALLS: self._calls.pop(caller.workspace, [])}

    # --- refresh ---

    async def refresh(self, caller: Caller, names: Iterable[str]) -> None:
        """Brings these tables up to date; raises `invalid` for a name that there is none of."""
        wanted = set(names)
        if unknown := sorted(wanted - TABLES.keys() - VIEWS.keys()):
            known = ", ".join(sorted([*TABLES, *VIEWS]))
            raise invalid(f"There is no service Data Source tinybird.{unknown[0]}; there are {known}.")
        async with self._lock(caller.workspace):
            found = self._take_calls(caller)
            if wanted & set(OF_RUNS):
                found |= await self._of_runs(caller)
            if STORAGE in wanted:
                found[STORAGE] = await self._storage(caller)
            await self._write(caller, found)

    def _lock(self, workspace: str) -> asyncio.Lock:
        return self._locks.setdefault(workspace, asyncio.Lock())

    async def _of_runs(self, caller: Caller) -> dict[str, list[dict[str, Any]]]:
        fresh = caller.workspace not in self._seen
        seen = self._seen.setdefault(caller.workspace, _Seen())
        try:
            found = await offload(self._changed, caller.workspace, seen)
        except BaseException:
            self._seen.pop(caller.workspace, None)
            raise
        if fresh:
            found["*"] = []  # what an earlier server wrote is written again, whole
        return found

    def _changed(self, workspace: str, seen: _Seen) -> dict[str, list[dict[str, Any]]]:
        runs = [*self._newer(workspace, ORIGIN, None, seen), *self._newer(workspace, INNER, EVENTS_KIND, seen)]
        known = {run.id for run in runs}
        runs += [self._face.engine.runs.get(run_id) for run_id in sorted(seen.live - known)]
        seen.live = {run.id for run in runs if run.state not in TERMINAL}
        seen.newest = max([seen.newest, *(run.id for run in runs)])
        found = rows.of_runs(
            (
                (run, self._face.engine.runs.spec(run.id), self._face.engine.runs.task_runs(run.id, newest=False))
                for run in runs
            ),
            self._face.ids,
            workspace_id(workspace),
        )
        found[rows.OPS] += rows.of_operations(self._operations(workspace, seen))
        return found

    def _newer(self, workspace: str, origin: str, kind: str | None, seen: _Seen) -> list[Run]:
        """Runs that were made since the last refresh, newest first."""
        tag = (f"{TAG}kind", kind) if kind else None
        where = RunFilter(origin=origin, workspace=workspace, tag=tag)
        found: list[Run] = []
        cursor: str | None = None
        while True:
            page = self._face.engine.runs.find(where, _PAGE, cursor)
            found += [run for run in page.items if run.id > seen.newest]
            cursor = page.next
            if cursor is None or len(page.items) < _PAGE or page.items[-1].id <= seen.newest:
                return found

    def _operations(self, workspace: str, seen: _Seen) -> list[tuple[int, dict[str, Any]]]:
        found: list[tuple[int, dict[str, Any]]] = []
        while True:
            page = self._face.engine.documents.find(ORIGIN, "operation", workspace, 1000, seen.operation)
            found += [(one.created_at, one.body) for one in page.items]
            if page.items:
                seen.operation = page.items[-1].key
            if page.next is None:
                return found

    async def _storage(self, caller: Caller) -> list[dict[str, Any]]:
        bodies = await self._sources.bodies(caller.workspace)
        tables = await self._sources.tables(caller.workspace)
        return rows.of_storage(bodies, tables, round(time.time() * 1000))

    # --- writing ---

    async def _write(self, caller: Caller, found: dict[str, list[dict[str, Any]]]) -> None:
        """Puts rows into their tables, in the place of earlier ones of the same jobs."""
        whole = found.pop("*", None) is not None
        statements = [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", *rows.definitions()]
        again = sorted({str(row["job_id"]) for row in found.get(rows.JOBS, [])})
        for name in OF_RUNS:
            if whole:
                statements.append(f"DELETE FROM {SCHEMA}.{name}")
            elif again:
                listed = ", ".join(f"'{job_id}'" for job_id in again)
                statements.append(f"DELETE FROM {SCHEMA}.{name} WHERE job_id IN ({listed})")
        if STORAGE in found:
            statements.append(f"DELETE FROM {SCHEMA}.{STORAGE}")
        actions: list[Action] = [Sql(statement=";\n".join(statements))]
        for name, lines in found.items():
            if lines:
                kept = await self._face.engine.data.upload(_lines(lines))
                paths = {column: f'$."{column}"' for column in TABLES[name]}
                options = {"paths": paths}
                actions.append(Load(source=kept.source, table=name, schema=SCHEMA, format="ndjson", options=options))
        try:
            await self._face.perform(caller, "service data sources", *actions)
        except BaseException:
            self._seen.pop(caller.workspace, None)
            raise


async def _lines(found: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for start in range(0, len(found), 1000):
        yield b"".join(_encode(row) + b"\n" for row in found[start : start + 1000])


def _noted(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.warning("calls of endpoints could not be written down: %s", task.exception())


def workspace_id(workspace: str) -> str:
    """The id of a workspace, which follows from its name."""
    return rows.uuid_of(f"workspace/{workspace}")
