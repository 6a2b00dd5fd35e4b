"""The card of the web page: its routes, how its callers sign in, how it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path

from starlette.responses import StreamingResponse

from runyard.core.errors import Code, RunyardError, invalid, not_found
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL
from runyard.engine.engine import Engine
from runyard.http.answers import Whole
from runyard.http.body import Query, query
from runyard.http.card import Answer, Card, Route
from runyard.http.errors import HttpRefusal
from runyard.http.gate import bearer
from runyard.http.policy import OPEN
from runyard.http.request import Request, offload
from runyard.http.streams import KEEP_ALIVE, EventStream, Streams, message, woken
from runyard.web.frame import page, shown
from runyard.web.listing import GROUPS, LIMIT, Asked, list_page
from runyard.web.markup import Markup, element
from runyard.web.run import Shown, run_page
from runyard.web.signin import cookie, sign_in, sign_in_page, sign_out

PIECE = 1024 * 1024
"""Bytes of a log in memory at once."""
EXPLAINED = 200
"""Of larger runs nobody is told why each task waits: it takes a question each."""
LOOK_SECONDS = 5.0
"""How often a followed run is looked at although nobody woke us: another server may have moved it."""
SEE = "runs:read"
STATUS = {Code.NOT_FOUND: 404, Code.DENIED: 403, Code.INVALID: 400, Code.UNAVAILABLE: 503, Code.TOO_LARGE: 413}
_ASSETS = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_HARMLESS = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


class ListQuery(Query, frozen=True, kw_only=True):
    """Of the list."""

    state: str | None = None
    job: int | None = None
    cursor: str | None = None
    o: str | None = None
    """Links of some clients name a workspace; there is one."""


class RunQuery(Query, frozen=True, kw_only=True):
    """Of a run: how many of its tasks come before the page; after which event a stream begins."""

    first: int = 0
    seq: int = 0
    o: str | None = None


def card(engine: Engine, streams: Streams) -> Card:
    """The web page over this engine."""
    pages = Pages(engine, streams)
    return Card(
        name="web",
        prefixes=("/runs", "/jobs", "/task-runs", "/assets", "/sign-in", "/sign-out"),
        routes=(
            Route("GET", "/", SEE, pages.list_),
            Route("GET", "/runs/{id}", SEE, pages.run),
            Route("GET", "/runs/{id}/changes", SEE, pages.changes),
            Route("GET", "/jobs/{job}/runs/{id}", SEE, pages.run),
            Route("GET", "/task-runs/{id}", SEE, pages.task_run),
            Route("GET", "/task-runs/{id}/log", SEE, pages.log),
            Route("GET", "/assets/{name}", OPEN, asset),
            Route("POST", "/sign-in", OPEN, sign_in),
            Route("POST", "/sign-out", OPEN, sign_out),
        ),
        readers=(bearer, cookie),
        refuse=refuse,
    )


class Pages:
    """Handlers over the facade of runs."""

    def __init__(self, engine: Engine, streams: Streams) -> None:
        self._runs = engine.runs
        self._clock = engine.clock
        self._streams = streams

    async def list_(self, request: Request) -> Answer:
        """GET /"""
        given = query(request, ListQuery)
        if given.state is not None and given.state not in GROUPS:
            raise invalid(f"state is one of {', '.join(GROUPS)}; it is {given.state!r}.", field="state")
        asked = Asked(given.state, given.job, given.cursor)
        return shown(await offload(self._list, asked, request.principal.name))

    def _list(self, asked: Asked, who: str) -> Markup:
        where = RunFilter(states=GROUPS[asked.state] if asked.state else None, job_id=asked.job)
        return list_page(asked, self._runs.find(where, LIMIT, asked.cursor), self._clock.now(), who)

    async def run(self, request: Request) -> Answer:
        """GET /runs/{id}; the id of a task run leads to its run"""
        run_id = request.id("run")
        try:
            content = await offload(self._run, run_id, query(request, RunQuery).first, request.principal.name)
        except RunyardError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return await offload(self._of_task_run, run_id, "run")
        return shown(content)

    def _run(self, run_id: int, first: int, who: str) -> Markup:
        run, found = self._runs.get(run_id), self._runs.task_runs(run_id, newest=False)
        waiting = self._runs.waiting(run_id) if run.state not in TERMINAL and len(found) <= EXPLAINED else None
        return run_page(
            Shown(
                run=run,
                spec=self._runs.spec(run_id),
                task_runs=found,
                waiting=waiting.run if waiting else None,
                sentences=waiting.tasks if waiting else {},
                now=self._clock.now(),
                first=max(0, first),
                who=who,
            )
        )

    async def task_run(self, request: Request) -> Answer:
        """GET /task-runs/{id}: its place on the page of its run"""
        return await offload(self._of_task_run, request.id("task run"), "task run")

    def _of_task_run(self, task_run_id: int, what: str) -> Whole:
        try:
            run_id = self._runs.task_run(task_run_id).run_id
        except RunyardError as error:
            raise (not_found(what, task_run_id) if error.code is Code.NOT_FOUND else error) from None
        return Whole(b"", "text/plain", 302, {"Location": f"/runs/{run_id}#t{task_run_id}"})

    async def changes(self, request: Request) -> Answer:
        """GET /runs/{id}/changes: an event stream that says when the page is worth another look"""
        run_id = request.id("run")
        await offload(self._runs.get, run_id)
        return EventStream(self._follow(run_id, query(request, RunQuery).seq), self._streams)

    async def _follow(self, run_id: int, seq: int) -> AsyncGenerator[bytes, None]:
        wake = asyncio.Event()
        forget = self._runs.watch(run_id, wake.set)
        try:
            while True:
                wake.clear()
                run = await offload(self._runs.get, run_id)
                if run.seq != seq:
                    seq = run.seq
                    yield message("change", b"%d" % seq)
                if run.state in TERMINAL:
                    yield message("end", b"%d" % seq)
                    return
                if not await woken(wake, LOOK_SECONDS):
                    yield KEEP_ALIVE
        finally:
            forget()

    async def log(self, request: Request) -> Answer:
        """GET /task-runs/{id}/log, as plain text"""
        task_run_id = request.id("task run")
        _, size = await offload(self._runs.log, task_run_id, 0, 0)
        return StreamingResponse(self._pieces(task_run_id, size), 200, _HARMLESS, "text/plain; charset=utf-8")

    async def _pieces(self, task_run_id: int, size: int) -> AsyncGenerator[bytes, None]:
        for start in range(0, size, PIECE):
            data, _ = await offload(self._runs.log, task_run_id, start, min(size, start + PIECE))
            yield data


async def asset(request: Request) -> Answer:
    """GET /assets/{name}"""
    name = request.text("name")
    if name not in _ASSETS:
        raise not_found("asset", name)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Whole(await offload(Path(__file__).with_name(name).read_bytes), _ASSETS[name], headers=headers)


def refuse(request: Request, error: RunyardError) -> Whole:
    """A page that says why; to strangers the form to sign in."""
    if error.code is Code.UNAUTHENTICATED:
        return sign_in_page(request, error)
    status = error.status if isinstance(error, HttpRefusal) else STATUS.get(error.code, 500)
    title = HTTPStatus(status).phrase
    content = (element("h1", title), element("p", error.message, class_="said"), element("a", "All runs", href="/"))
    return shown(page(title, *content), status, error.headers if isinstance(error, HttpRefusal) else None)
