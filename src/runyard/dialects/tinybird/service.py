"""Service Data Sources (`tinybird.jobs_log` and its kin): tables that are brought up to date before they are read.

They follow from runs, documents and the catalog, over all of the history; only calls of endpoints are gathered in
memory, and written at most five seconds later. Source: Tinybird reference, 'Service Data Sources'.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

from runyard.core.actions import Action, Load, Sql
from runyard.core.errors import RunyardError, invalid
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
_CHUNK = 5_000
"""How many runs are written at once."""
STATE = "refreshed"
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("runyard.tinybird")


class _Seen(msgspec.Struct, frozen=True):
    """How far a workspace's tables are: the newest run of each origin, runs that were live, the last operation.

    It is kept beside the tables, so that a restarted server goes on where the last one was.
    """

    newest: dict[str, int] = {}
    live: list[int] = []
    operation: str | None = None


class Service:
    """Keeps the service tables of each workspace in step."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources = face, sources
        self._seen: dict[str, _Seen] = {}
        self._defined: set[str] = set()
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
            if STORAGE in wanted:
                found[STORAGE] = await self._storage(caller)
            await self._write(caller, found)
            if wanted & set(OF_RUNS):
                await self._follow_runs(caller)

    def _lock(self, workspace: str) -> asyncio.Lock:
        return self._locks.setdefault(workspace, asyncio.Lock())

    async def _follow_runs(self, caller: Caller) -> None:
        """Writes what runs and operations tell since the last time, a chunk after the other."""
        more = True
        while more:
            seen = self._seen.get(caller.workspace) or await self._kept(caller)
            found, after, more = await offload(self._changed, caller.workspace, seen)
            if after != seen or any(found.values()):
                await self._write(caller, found, after)
            self._seen[caller.workspace] = after

    async def _kept(self, caller: Caller) -> _Seen:
        """How far the tables were when they were written last, by whichever server."""
        try:
            found = await self._face.engine.data.query(caller.workspace, f"SELECT state FROM {SCHEMA}.{STATE}")
            return msgspec.json.decode(found["rows"][0][0], type=_Seen)
        except (RunyardError, IndexError):
            return _Seen()

    def _changed(self, workspace: str, seen: _Seen) -> tuple[dict[str, list[dict[str, Any]]], _Seen, bool]:
        """Rows of the next runs; how far that is, and whether there are more."""
        runs, more, newest = [*self._live(seen)], False, dict(seen.newest)
        for origin, kind in ((ORIGIN, None), (INNER, EVENTS_KIND)):
            fresh, left = self._newer(workspace, origin, kind, seen.newest.get(origin, 0))
            newest[origin] = max([seen.newest.get(origin, 0), *(run.id for run in fresh)])
            runs += fresh
            more = more or left
        found = rows.of_runs(
            (
                (run, self._face.engine.runs.spec(run.id), self._face.engine.runs.task_runs(run.id, newest=False))
                for run in runs
            ),
            self._face.ids,
            rows.workspace_id(workspace),
        )
        operations, last = self._operations(workspace, seen.operation)
        found[rows.OPS] += rows.of_operations(operations)
        live = [run.id for run in runs if run.state not in TERMINAL]
        return found, _Seen(newest=newest, live=live, operation=last), more

    def _live(self, seen: _Seen) -> Iterator[Run]:
        for run_id in seen.live:
            with contextlib.suppress(RunyardError):  # a run may be deleted
                yield self._face.engine.runs.get(run_id)

    def _newer(self, workspace: str, origin: str, kind: str | None, than: int) -> tuple[list[Run], bool]:
        """The next runs after one, at most a chunk of them; whether there are more."""
        tag = (f"{TAG}kind", kind) if kind else None
        where = RunFilter(origin=origin, workspace=workspace, tag=tag)
        found: list[Run] = []
        more = True
        while more and len(found) < _CHUNK:
            page, more = self._face.engine.runs.newer(where, than, _PAGE)
            found += reversed(page.items)
            than = found[-1].id if found else than
        return found, more

    def _operations(self, workspace: str, last: str | None) -> tuple[list[tuple[str, int, dict[str, Any]]], str | None]:
        found: list[tuple[str, int, dict[str, Any]]] = []
        while True:
            page = self._face.engine.documents.find(ORIGIN, "operation", workspace, 1000, last)
            found += [(one.key, one.created_at, one.body) for one in page.items]
            last = page.items[-1].key if page.items else last
            if page.next is None:
                return found, last

    async def _storage(self, caller: Caller) -> list[dict[str, Any]]:
        bodies = await self._sources.bodies(caller.workspace)
        tables = await self._sources.tables(caller.workspace)
        return rows.of_storage(bodies, tables, round(time.time() * 1000))

    # --- writing ---

    async def _write(self, caller: Caller, found: dict[str, list[dict[str, Any]]], after: _Seen | None = None) -> None:
        """Puts rows into their tables, in the place of earlier ones of the same jobs; then how far that is.

        A server that dies in between leaves the state of before: the rows are then written once more, in the place
        of those that it left.
        """
        fresh = caller.workspace not in self._defined
        if not fresh and after is None and not any(found.values()) and STORAGE not in found:
            return
        statements = [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", *rows.definitions()] if fresh else []
        statements += _removals(found)
        actions: list[Action] = [Sql(statement=";\n".join(statements))] if statements else []
        for name, lines in found.items():
            if lines:
                kept = await self._face.engine.data.upload(_lines(lines))
                paths = {column: f'$."{column}"' for column in TABLES[name]}
                options = {"paths": paths}
                actions.append(Load(source=kept.source, table=name, schema=SCHEMA, format="ndjson", options=options))
        if after is not None:
            put = f"DELETE FROM {SCHEMA}.{STATE};\nINSERT INTO {SCHEMA}.{STATE} VALUES ($state)"
            actions.append(Sql(statement=put, parameters={"state": _encode(after).decode()}))
        await self._face.perform(caller, "service data sources", *actions)
        self._defined.add(caller.workspace)


def _removals(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Statements that remove what the rows take the place of."""
    statements = []
    for name in OF_RUNS:
        for key in ("job_id", "operation_id"):
            values = sorted({str(row[key]) for row in found.get(name, []) if row.get(key)})
            if values and (key == "job_id" or name == rows.OPS):
                listed = ", ".join(f"'{value}'" for value in values)
                statements.append(f"DELETE FROM {SCHEMA}.{name} WHERE {key} IN ({listed})")
    return [*statements, f"DELETE FROM {SCHEMA}.{STORAGE}"] if STORAGE in found else statements


async def _lines(found: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for start in range(0, len(found), 1000):
        yield b"".join(_encode(row) + b"\n" for row in found[start : start + 1000])


def _noted(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.warning("calls of endpoints could not be written down: %s", task.exception())
