"""Routes for the program of a live attempt, which signs in with the attempt's own token: start a run, look at it."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries
from runyard.api.declare import route
from runyard.core.commands import Spawn
from runyard.core.model import JobSpec, Task
from runyard.engine.runs import Runs
from runyard.engine.spawned import Spawned
from runyard.http.answers import answer
from runyard.http.body import query, read
from runyard.http.card import Answer, Route
from runyard.http.policy import SIGNED_IN, attempt_scope, require
from runyard.http.request import Request, offload

_GIVEN = msgspec.json.Decoder(bodies.SpawnGiven)


class SpawnedRoutes:
    """Handlers over the facade of runs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        all_, one = "/task-runs/{id}/children", "/task-runs/{id}/children/{child}"
        given = {"body": bodies.SpawnGiven, "answer": Spawned, "status": 201}
        shown = {"query": queries.ClaimQuery, "answer": Spawned}
        return (
            route("POST", all_, SIGNED_IN, self.spawn, "Start a run for a live attempt, with its own token", **given),
            route("GET", one, SIGNED_IN, self.show, "How a run stands that the attempt started", **shown),
        )

    async def spawn(self, request: Request) -> Answer:
        """POST /task-runs/{id}/children"""
        given, task_run_id = await read(request, _GIVEN), request.id("task run")
        require(request.principal, attempt_scope(task_run_id, given.claim))
        task = Task(key="main", action=given.action, timeout=given.timeout)
        spec = JobSpec(name=given.name, tasks=[task], queue=given.queue)
        made = await self._runs.spawn(Spawn(task_run_id=task_run_id, claim=given.claim, key=given.key, spec=spec))
        return answer(Spawned(made.id, made.state, made.detail, None, None), 201)

    async def show(self, request: Request) -> Answer:
        """GET /task-runs/{id}/children/{child}"""
        asked, task_run_id = query(request, queries.ClaimQuery), request.id("task run")
        require(request.principal, attempt_scope(task_run_id, asked.claim))
        return answer(await offload(self._runs.spawned, task_run_id, request.id("run", "child")))
