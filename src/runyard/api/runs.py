"""Routes of runs: submit, list, show, cancel, repair, rerun, delete, events."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries, wire
from runyard.api.declare import KEY, route
from runyard.api.sse import follow_events
from runyard.core.commands import Cancel, Repair, Rerun
from runyard.core.model import Run
from runyard.core.states import State
from runyard.engine.runs import Runs
from runyard.http.answers import answer, nothing
from runyard.http.body import query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload
from runyard.http.streams import EventStream, Streams, last_event_id, wants_stream

_SUBMIT = msgspec.json.Decoder(bodies.SubmitGiven)
_BATCH = msgspec.json.Decoder(bodies.BatchGiven)
_CANCEL = msgspec.json.Decoder(bodies.CancelGiven)
_REPAIR = msgspec.json.Decoder(bodies.RepairGiven)
_RERUN = msgspec.json.Decoder(bodies.RerunGiven)

_WAITING = frozenset({State.QUEUED, State.BLOCKED})


class RunRoutes:
    """Handlers over the facade of runs."""

    def __init__(self, runs: Runs, streams: Streams) -> None:
        self._runs = runs
        self._streams = streams

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, run = "runs:read", "runs:write", bodies.RunBody
        made = {"answer": run, "status": 201, "headers": KEY}
        one = "/runs/{id}"
        return (
            route("POST", "/runs", do, self.submit, "Start a run", body=bodies.SubmitGiven, **made),
            route("POST", "/runs:batch", do, self.batch, "Start several runs, all or none", **_batch_types()),
            route("GET", "/runs", see, self.find, "List runs", query=queries.RunsQuery, answer=bodies.Runs),
            route("GET", one, see, self.show, "Show a run", query=queries.RunQuery, answer=run),
            route("DELETE", one, do, self.delete, "Delete a finished run", status=204),
            route("POST", f"{one}/cancel", do, self.cancel, "End a run", body=bodies.CancelGiven, answer=run),
            route("POST", f"{one}/repair", do, self.repair, "Run parts again", body=bodies.RepairGiven, answer=run),
            route("POST", f"{one}/rerun", do, self.rerun, "Start a run like this one", body=bodies.RerunGiven, **made),
            route("GET", f"{one}/events", see, self.events, "Read or follow a run's history", **_event_types()),
        )

    async def submit(self, request: Request) -> Answer:
        """POST /runs"""
        given = await read(request, _SUBMIT)
        command = wire.submit(given, queries.idempotency_key(request.header(b"idempotency-key")))
        submitted = await self._runs.submit(command, request.principal.name)
        return _made(submitted.run, submitted.created)

    async def batch(self, request: Request) -> Answer:
        """POST /runs:batch"""
        commands = wire.submissions(await read(request, _BATCH))
        runs = await self._runs.submit_many(commands, request.principal.name)
        return answer(bodies.Ids(ids=[run.id for run in runs]), 201)

    async def find(self, request: Request) -> Answer:
        """GET /runs"""
        asked = query(request, queries.RunsQuery)
        page = await offload(self._runs.find, queries.run_filter(asked), asked.limit, asked.cursor)
        return answer(bodies.Runs(items=[wire.run_body(run) for run in page.items], next=page.next))

    async def show(self, request: Request) -> Answer:
        """GET /runs/{id}"""
        asked = query(request, queries.RunQuery)
        return answer(await offload(self._shown, request.id("run"), asked))

    def _shown(self, run_id: int, asked: queries.RunQuery) -> bodies.RunBody:
        run, spec = self._runs.get(run_id), self._runs.spec(run_id)
        task_runs = self._runs.task_runs(run_id, newest=not asked.all_attempts)
        waiting, progress = self._runs.waiting(run_id), self._runs.progress
        tasks = [
            wire.task_run_body(one, task, waiting.tasks.get(one.id), progress(one.id))
            for one, task in wire.in_order(task_runs, spec)
        ]
        sentence = waiting.run if run.state in _WAITING else None
        return wire.run_body(run, sentence, tasks, spec if "spec" in asked.include else None)

    async def delete(self, request: Request) -> Answer:
        """DELETE /runs/{id}"""
        await self._runs.delete(request.id("run"), request.principal.name)
        return nothing()

    async def cancel(self, request: Request) -> Answer:
        """POST /runs/{id}/cancel"""
        given = await read(request, _CANCEL)
        command = Cancel(run_id=request.id("run"), task_run_id=given.task_run, detail=given.detail)
        return answer(wire.run_body(await self._runs.cancel(command, request.principal.name)))

    async def repair(self, request: Request) -> Answer:
        """POST /runs/{id}/repair"""
        given = await read(request, _REPAIR)
        command = Repair(run_id=request.id("run"), **msgspec.structs.asdict(given))
        return answer(wire.run_body(await self._runs.repair(command, request.principal.name)))

    async def rerun(self, request: Request) -> Answer:
        """POST /runs/{id}/rerun"""
        given = await read(request, _RERUN)
        key = queries.idempotency_key(request.header(b"idempotency-key"))
        command = Rerun(run_id=request.id("run"), parameters=given.parameters, idempotency_key=key)
        submitted = await self._runs.rerun(command, request.principal.name)
        return _made(submitted.run, submitted.created)

    async def events(self, request: Request) -> Answer:
        """GET /runs/{id}/events"""
        asked = queries.check_events(query(request, queries.EventsQuery))
        run_id = request.id("run")
        await offload(self._runs.get, run_id)
        if wants_stream(request):
            after = last_event_id(request)
            return EventStream(
                follow_events(self._runs, run_id, asked.after if after is None else after), self._streams
            )
        events = await offload(self._runs.events, run_id, asked.after, asked.limit)
        return answer(bodies.Events(items=[wire.event_body(event) for event in events]))


def _made(run: Run, created: bool) -> Answer:
    return answer(wire.run_body(run), 201 if created else 200, {"Location": f"/api/v1/runs/{run.id}"})


def _batch_types() -> dict[str, object]:
    return {"body": bodies.BatchGiven, "answer": bodies.Ids, "status": 201}


def _event_types() -> dict[str, object]:
    return {
        "query": queries.EventsQuery,
        "answer": bodies.Events,
        "headers": {"Accept": "text/event-stream follows.", "Last-Event-ID": "Resumes after this event."},
    }
