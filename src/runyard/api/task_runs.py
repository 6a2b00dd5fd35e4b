"""Routes of task runs: show, cancel, output, log."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

from runyard.api import bodies, wire
from runyard.api.declare import route
from runyard.api.sse import follow_log
from runyard.core.commands import Cancel
from runyard.core.errors import not_found
from runyard.core.model import TaskRun
from runyard.engine.runs import Runs
from runyard.http.answers import Whole, answer
from runyard.http.body import Query, query, read
from runyard.http.card import Answer, Route
from runyard.http.ranges import parse_range
from runyard.http.request import Request, offload
from runyard.http.streams import EventStream, Streams, last_event_id, wants_stream

PIECE = 1024 * 1024
"""Bytes of a log in memory at once."""

_BYTES = "application/octet-stream"
_MEDIA = {"html": "text/html; charset=utf-8", "json": "application/json", "txt": "text/plain; charset=utf-8"}
_HARMLESS = {  # what a user's program wrote must run no script with the rights of this address
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}
_CANCEL = msgspec.json.Decoder(bodies.CancelTaskRunGiven)
_LOG_HEADERS = {"Range": "bytes=a-b", "Accept": "text/event-stream follows.", "Last-Event-ID": "Resumes at this byte."}


class TaskRunRoutes:
    """Handlers over the facade of runs, by the id of a task run."""

    def __init__(self, runs: Runs, streams: Streams) -> None:
        self._runs = runs
        self._streams = streams

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, one = "runs:read", "runs:write", "/task-runs/{id}"
        cancel = {"body": bodies.CancelTaskRunGiven, "answer": bodies.RunBody}
        return (
            route("GET", one, see, self.show, "Show a task run", answer=bodies.TaskRunBody),
            route("POST", f"{one}/cancel", do, self.cancel, "End a task run", **cancel),
            route("GET", f"{one}/output", see, self.output, "What the attempt gave", answer=Any),
            route("GET", f"{one}/artifacts/{{name}}", see, self.artifact, "A file that the attempt left", media=_BYTES),
            route("GET", f"{one}/log", see, self.log, "Read or follow a log", media="text/plain", headers=_LOG_HEADERS),
        )

    async def show(self, request: Request) -> Answer:
        """GET /task-runs/{id}"""
        query(request, Query)
        return answer(await offload(self._shown, request.id("task run")))

    def _shown(self, task_run_id: int) -> bodies.TaskRunBody:
        one = self._runs.task_run(task_run_id)
        task = wire.in_order([one], self._runs.spec(one.run_id))[0][1]
        waiting = self._runs.waiting(one.run_id).tasks.get(one.id)
        return wire.task_run_body(one, task, waiting, self._runs.progress(one.id))

    async def cancel(self, request: Request) -> Answer:
        """POST /task-runs/{id}/cancel"""
        given = await read(request, _CANCEL)
        one = await self._existing(request)
        command = Cancel(run_id=one.run_id, task_run_id=one.id, detail=given.detail)
        return answer(wire.run_body(await self._runs.cancel(command, request.principal.name)))

    async def output(self, request: Request) -> Answer:
        """GET /task-runs/{id}/output"""
        query(request, Query)
        one = await self._existing(request)
        data = await offload(self._runs.output, one.id)
        if data is None:
            raise not_found("output of task run", one.id)
        return Whole(data, "application/json")

    async def artifact(self, request: Request) -> Answer:
        """GET /task-runs/{id}/artifacts/{name}"""
        query(request, Query)
        name = request.text("name")
        data = await offload(self._runs.artifact, request.id("task run"), name)
        media = _MEDIA.get(name.rpartition(".")[2], _BYTES)
        return Whole(data, media, headers=_HARMLESS)

    async def log(self, request: Request) -> Answer:
        """GET /task-runs/{id}/log"""
        query(request, Query)
        one = await self._existing(request)
        if wants_stream(request):
            return EventStream(follow_log(self._runs, one.id, last_event_id(request) or 0), self._streams)
        _, size = await offload(self._runs.log, one.id, 0, 0)
        part = parse_range(request.header(b"range"), size)
        start, end = part or (0, size)
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start), "X-Content-Type-Options": "nosniff"}
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return StreamingResponse(self._pieces(one.id, start, end), 206 if part else 200, headers, "text/plain")

    async def _pieces(self, task_run_id: int, start: int, end: int) -> AsyncGenerator[bytes, None]:
        while start < end:
            data, _ = await offload(self._runs.log, task_run_id, start, min(end, start + PIECE))
            if not data:
                return
            yield data
            start += len(data)

    async def _existing(self, request: Request) -> TaskRun:
        return await offload(self._runs.task_run, request.id("task run"))
