"""Routes of triggers: keep, list, pause, resume, fire, what they did and what they would do."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries, wire
from runyard.api.declare import route
from runyard.core.triggers import Trigger, TriggerSpec
from runyard.engine.triggers import Triggers
from runyard.http.answers import answer, nothing
from runyard.http.body import Query, query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_SPEC = msgspec.json.Decoder(TriggerSpec)
_FIRE = msgspec.json.Decoder(bodies.FireGiven)


class TriggerRoutes:
    """Handlers over the facade of triggers."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, run, body, one = "jobs:read", "jobs:write", "runs:write", bodies.TriggerBody, "/triggers/{id}"
        new = {"body": TriggerSpec, "answer": body, "status": 201, "query": queries.NewTriggerQuery}
        change = {"body": TriggerSpec, "answer": body, "headers": {"If-Match": "The version that is to be replaced."}}
        find = {"query": queries.TriggersQuery, "answer": bodies.Triggers}
        did = {"query": queries.PageQuery, "answer": bodies.Firings}
        would = {"query": queries.DryRunQuery, "answer": bodies.PreviewBody}
        fire = {"body": bodies.FireGiven, "answer": bodies.FiringBody, "status": 201}
        return (
            route("POST", "/triggers", do, self.create, "Keep a trigger", **new),
            route("GET", "/triggers", see, self.find, "List triggers", **find),
            route("GET", one, see, self.show, "Show a trigger", answer=body),
            route("PUT", one, do, self.update, "Give a trigger another definition", **change),
            route("DELETE", one, do, self.delete, "Delete a trigger; its runs stay", status=204),
            route("POST", f"{one}/pause", do, self.pause, "Stop a trigger", answer=body),
            route("POST", f"{one}/resume", do, self.resume, "Let it fire from now on", answer=body),
            route("POST", f"{one}/fire", run, self.fire, "Fire a trigger now", **fire),
            route("GET", f"{one}/firings", see, self.firings, "List what a trigger did", **did),
            route("GET", f"{one}/dry-run", see, self.dry_run, "Show what a trigger would do now", **would),
        )

    async def create(self, request: Request) -> Answer:
        """POST /triggers"""
        asked, by = query(request, queries.NewTriggerQuery), request.principal.name
        spec = await read(request, _SPEC)
        return _told(await self._triggers.create(spec, by, key=asked.key, active=asked.active), 201)

    async def find(self, request: Request) -> Answer:
        """GET /triggers"""
        asked = query(request, queries.TriggersQuery)
        page = await offload(self._triggers.find, queries.trigger_filter(asked), asked.limit, asked.cursor)
        return answer(bodies.Triggers(items=[wire.trigger_body(one) for one in page.items], next=page.next))

    async def show(self, request: Request) -> Answer:
        """GET /triggers/{id}"""
        query(request, Query)
        return _told(await offload(self._triggers.get, request.id("trigger")))

    async def update(self, request: Request) -> Answer:
        """PUT /triggers/{id}"""
        expected = queries.if_match(request.header(b"if-match"))
        spec, by = await read(request, _SPEC), request.principal.name
        return _told(await self._triggers.replace(request.id("trigger"), spec, by, expect_version=expected))

    async def delete(self, request: Request) -> Answer:
        """DELETE /triggers/{id}"""
        await self._triggers.delete(request.id("trigger"), request.principal.name)
        return nothing()

    async def pause(self, request: Request) -> Answer:
        """POST /triggers/{id}/pause"""
        return _told(await self._triggers.pause(request.id("trigger"), request.principal.name))

    async def resume(self, request: Request) -> Answer:
        """POST /triggers/{id}/resume"""
        return _told(await self._triggers.start(request.id("trigger"), request.principal.name))

    async def fire(self, request: Request) -> Answer:
        """POST /triggers/{id}/fire"""
        given = await read(request, _FIRE)
        by = request.principal.name
        firing = await self._triggers.fire(request.id("trigger"), by, parameters=given.parameters)
        return answer(wire.firing_body(firing), 201)

    async def firings(self, request: Request) -> Answer:
        """GET /triggers/{id}/firings"""
        asked = query(request, queries.PageQuery)
        page = await offload(self._triggers.firings, request.id("trigger"), asked.limit, asked.cursor)
        return answer(bodies.Firings(items=[wire.firing_body(one) for one in page.items], next=page.next))

    async def dry_run(self, request: Request) -> Answer:
        """GET /triggers/{id}/dry-run"""
        asked = query(request, queries.DryRunQuery)
        return answer(wire.preview_body(await self._triggers.dry_run(request.id("trigger"), asked.run)))


def _told(trigger: Trigger, status: int = 200) -> Answer:
    headers = {"ETag": f'"{trigger.version}"'}
    if status == 201:
        headers["Location"] = f"/api/v1/triggers/{trigger.id}"
    return answer(wire.trigger_body(trigger), status, headers)
