"""Routes of jobs: list with filters, show, cancel, retry.

Source: Tinybird API reference, 'Jobs API'.
"""

from __future__ import annotations

import time
from typing import Any

from runyard.core.commands import Cancel, Rerun
from runyard.core.errors import Code, RunyardError, conflict, if_found
from runyard.core.model import Run
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL, State
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird import access, tables, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.face import ORIGIN, Face, asked, base
from runyard.http.answers import answer
from runyard.http.request import Request, offload

_PAGE = 200
_MOST_LOOKED = 20_000
_HOUR_MS = 3_600_000


class JobRoutes:
    """Handlers over the facade of runs."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources = face, sources
        self._runs = face.engine.runs

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family; a slash at the end of the list's path is optional."""
        return (
            Route("GET", "/v0/jobs", SIGNED_IN, self.find),
            Route("GET", "/v0/jobs/", SIGNED_IN, self.find),
            Route("GET", "/v0/jobs/{id}", SIGNED_IN, self.show),
            Route("POST", "/v0/jobs/{id}/cancel", SIGNED_IN, self.cancel),
            Route("POST", "/v0/jobs/{id}/retry", SIGNED_IN, self.retry),
        )

    # --- list ---

    async def find(self, request: Request) -> Answer:
        """GET /v0/jobs"""
        caller, wanted = self._face.caller(request), asked(request)
        if not caller.has("JOBS:READ") and not _sources_of(caller):
            caller.need_admin()
        where = self._where(caller, wanted)
        if where is None:
            return answer({"jobs": []})
        checks, at = _Checks(caller, wanted), base(request)
        return answer({"jobs": await offload(lambda: self._items(self._found(where, checks), at))})

    def _where(self, caller: Caller, wanted: dict[str, str]) -> RunFilter | None:
        """The filter, by what narrows most; None when nothing can match."""
        oldest = wire.moment_of(wanted["created_after"], "created_after") if wanted.get("created_after") else None
        newest = wire.moment_of(wanted["created_before"], "created_before") if wanted.get("created_before") else None
        if self._face.options.job_hours:
            horizon = round(time.time() * 1000 - self._face.options.job_hours * _HOUR_MS)
            oldest = max(oldest + 1, horizon) if oldest is not None else horizon
        elif oldest is not None:
            oldest += 1  # after a moment, not at it
        states: list[State] | None = None
        if wanted.get("status"):
            states = [state for state, said in tables.STATES.items() if said == wanted["status"]]
            if not states:
                return None
        tag = next(
            (
                (f"{tables.TAG}{name}", wanted[key])
                for key, name in (("pipe_id", "pipe_id"), ("pipe_name", "pipe_name"), ("kind", "kind"))
                if wanted.get(key)
            ),
            None,
        )
        return RunFilter(
            origin=ORIGIN,
            workspace=caller.workspace if caller.workspace != "default" else None,
            states=states,
            tag=tag,
            created_after=oldest,
            created_before=newest,
        )

    def _found(self, where: RunFilter, checks: _Checks) -> list[Run]:
        """The newest runs that pass; the engine's filter takes one tag, the others are looked at here."""
        runs: list[Run] = []
        cursor, looked, most = None, 0, self._face.options.jobs_listed
        while looked < _MOST_LOOKED:
            page = self._runs.find(where, min(_PAGE, most), cursor)
            looked += len(page.items)
            runs += [run for run in page.items if checks.pass_(run)]
            cursor = page.next
            if len(runs) >= most or cursor is None:
                break
        return runs[:most]

    def _items(self, runs: list[Run], at: str) -> list[dict[str, Any]]:
        return [wire.job_item(run, self._face.ids.text(run.id), at, self._cancelled_at(run)) for run in runs]

    # --- one ---

    async def show(self, request: Request) -> Answer:
        """GET /v0/jobs/{id}"""
        caller, wanted = self._face.caller(request), asked(request)
        run = await offload(self._need, caller, request.text("id"))
        return answer(await self._body(caller, run, base(request), "debug" in wanted))

    def _need(self, caller: Caller, text: str, doing: str = "JOBS:READ") -> Run:
        run_id = self._face.ids.read(text.lower())
        run = if_found(self._runs.get, run_id) if run_id is not None else None
        if run is None or (self._face.options.expire_jobs and self._expired(run)):
            raise RunyardError(Code.NOT_FOUND, f'Job "{text}" not found')
        if run.workspace != caller.workspace:
            raise access.denied(f'The token {caller.name!r} has no access to the job "{text}".')
        if not caller.has(doing) and wire.tag(run, "datasource_name") not in _sources_of(caller):
            caller.need_admin()
        return run

    def _expired(self, run: Run) -> bool:
        hours = self._face.options.job_hours
        return bool(hours) and run.created_at < time.time() * 1000 - hours * _HOUR_MS

    async def _body(self, caller: Caller, run: Run, at: str, debug: bool) -> dict[str, Any]:
        name = wire.tag(run, "datasource_id")
        look = self._sources.shown if run.state in TERMINAL else self._sources.recent
        shown = await look(caller.workspace, name) if name is not None else None
        return await offload(self._drawn, run, at, shown, debug)

    def _drawn(self, run: Run, at: str, shown: dict[str, Any] | None, debug: bool) -> dict[str, Any]:
        tasks = self._runs.task_runs(run.id)
        facts = wire.Facts(
            spec=self._runs.spec(run.id),
            tasks=tasks,
            progress=(self._runs.progress(tasks[-1].id) if tasks else None) or {},
            datasource=shown,
            cancelled_at=self._cancelled_at(run),
            any_kind=self._face.options.cancel_any,
        )
        job_id = self._face.ids.text(run.id)
        body = wire.job_body(run, job_id, at, facts)
        return body | (wire.block_log(run, job_id, facts) if debug and body["kind"] == tables.IMPORT else {})

    def _cancelled_at(self, run: Run) -> int | None:
        if run.state is not State.CANCELLING:
            return None
        return next((event.at for event in self._runs.events(run.id) if event.kind == "cancel"), None)

    # --- changes ---

    async def cancel(self, request: Request) -> Answer:
        """POST /v0/jobs/{id}/cancel"""
        caller = self._face.caller(request)
        run = await offload(self._need, caller, request.text("id"), "JOBS:WRITE")
        spec = await offload(self._runs.spec, run.id)
        kind = wire.kind_of_run(run, spec)
        if not wire.is_cancellable(run, kind, self._face.options.cancel_any):
            raise conflict(f"{_not_now(run, kind)} Only a job that waits can be cancelled, or a populate that works.")
        run = await self._runs.cancel(Cancel(run_id=run.id), caller.name)
        return answer(await self._body(caller, run, base(request), False))

    async def retry(self, request: Request) -> Answer:
        """POST /v0/jobs/{id}/retry"""
        caller = self._face.caller(request)
        run = await offload(self._need, caller, request.text("id"), "JOBS:WRITE")
        if run.state not in TERMINAL:
            raise conflict(f"The job is {wire.status(run)}; only a job that has ended can be tried again.")
        again = (await self._runs.rerun(Rerun(run_id=run.id), caller.name)).run
        return answer(await self._body(caller, again, base(request), False))


class _Checks:
    """What the engine's filter does not look at."""

    def __init__(self, caller: Caller, wanted: dict[str, str]) -> None:
        keys = ("kind", "pipe_id", "pipe_name")
        self._tags = {f"{tables.TAG}{key}": wanted[key] for key in keys if wanted.get(key)}
        self._sources = None if caller.has("JOBS:READ") else _sources_of(caller)
        self._workspace = caller.workspace

    def pass_(self, run: Run) -> bool:
        """Whether the run is one that was asked for, and that may be seen."""
        if run.workspace != self._workspace:
            return False
        if any(run.tags.get(key) != value for key, value in self._tags.items()):
            return False
        return self._sources is None or wire.tag(run, "datasource_name") in self._sources


def _sources_of(caller: Caller) -> set[str]:
    """Data Sources whose jobs a token that is no administrator's may see: those that it may append to."""
    return {one.resource for one in caller.grants if one.type in ("DATASOURCES:APPEND", "DATASOURCES:CREATE")}


def _not_now(run: Run, kind: str) -> str:
    return f"The {kind} job is in status {wire.status(run)!r}."
