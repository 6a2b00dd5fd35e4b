"""Routes of what stands beside jobs: queues, bookmarks, principals."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries, times, wire
from runyard.api.declare import route
from runyard.core.errors import invalid
from runyard.core.model import Principal, Queue
from runyard.engine.registry import Registry
from runyard.http.answers import answer, nothing
from runyard.http.body import Query, query, read
from runyard.http.card import Answer, Route
from runyard.http.policy import ADMIN, SCOPES
from runyard.http.request import Request, offload
from runyard.http.tokens import Tokens

_QUEUE = msgspec.json.Decoder(bodies.QueueGiven)
_BOOKMARK = msgspec.json.Decoder(bodies.BookmarkGiven)
_RESET = msgspec.json.Decoder(bodies.ResetGiven)
_PRINCIPAL = msgspec.json.Decoder(bodies.PrincipalGiven)


class QueueRoutes:
    """Handlers over the registry's queues."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        do, one = "queues:write", "/queues/{name}"
        put = {"body": bodies.QueueGiven, "answer": bodies.QueueBody}
        return (
            route("GET", "/queues", "runs:read", self.find, "List queues", answer=bodies.Queues),
            route("PUT", one, do, self.put, "Make or change a queue", **put),
            route("DELETE", one, do, self.delete, "Delete a queue", status=204),
        )

    async def find(self, request: Request) -> Answer:
        """GET /queues"""
        query(request, Query)
        found = await offload(self._registry.queues)
        return answer(bodies.Queues(items=[wire.queue_body(one.queue, one.active, one.waiting) for one in found]))

    async def put(self, request: Request) -> Answer:
        """PUT /queues/{name}"""
        name, given = request.text("name"), await read(request, _QUEUE)
        present = {one.queue.name: one for one in await offload(self._registry.queues)}.get(name)
        wanted = wire.queue(name, given, present.queue if present else Queue(name=name))
        kept = await self._registry.put_queue(wanted, request.principal.name)
        active, waiting = (present.active, present.waiting) if present else (0, 0)
        return answer(wire.queue_body(kept, active, waiting))

    async def delete(self, request: Request) -> Answer:
        """DELETE /queues/{name}"""
        await self._registry.delete_queue(request.text("name"), request.principal.name)
        return nothing()


class BookmarkRoutes:
    """Handlers over the registry's bookmarks."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, mark, one = "runs:read", "runs:write", bodies.BookmarkBody, "/bookmarks/{job_key}"
        reset = {"body": bodies.ResetGiven, "answer": mark}
        return (
            route("GET", one, see, self.show, "Show a bookmark", answer=mark),
            route("PUT", one, do, self.set, "Set a bookmark", body=bodies.BookmarkGiven, answer=mark),
            route("POST", f"{one}/reset", do, self.reset, "Take an earlier bookmark up again", **reset),
        )

    async def show(self, request: Request) -> Answer:
        """GET /bookmarks/{job_key}"""
        query(request, Query)
        return answer(wire.bookmark_body(await offload(self._registry.bookmark, request.text("job_key"))))

    async def set(self, request: Request) -> Answer:
        """PUT /bookmarks/{job_key}"""
        given = await read(request, _BOOKMARK)
        kept = await self._registry.set_bookmark(request.text("job_key"), given.state, request.principal.name)
        return answer(wire.bookmark_body(kept))

    async def reset(self, request: Request) -> Answer:
        """POST /bookmarks/{job_key}/reset"""
        given = await read(request, _RESET)
        kept = await self._registry.reset_bookmark(request.text("job_key"), given.run_id, request.principal.name)
        return answer(wire.bookmark_body(kept))


class PrincipalRoutes:
    """Handlers over the registry's principals. Their tokens are shown when they are made, and never again."""

    def __init__(self, registry: Registry, tokens: Tokens) -> None:
        self._registry = registry
        self._tokens = tokens

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one, issued = "/principals/{id}", bodies.Issued
        new = {"body": bodies.PrincipalGiven, "answer": issued, "status": 201}
        key = {"query": queries.WebhookKeyQuery, "answer": bodies.WebhookKey}
        return (
            route("GET", "/principals", ADMIN, self.find, "List principals", answer=bodies.Principals),
            route("POST", "/principals", ADMIN, self.create, "Make a principal and its token", **new),
            route("POST", f"{one}/revoke", ADMIN, self.revoke, "End its tokens and issue a new one", answer=issued),
            route("DELETE", one, ADMIN, self.delete, "Delete a principal", status=204),
            route("GET", "/webhook-key", ADMIN, self.webhook_key, "Show what messages to a URL are signed with", **key),
        )

    async def find(self, request: Request) -> Answer:
        """GET /principals"""
        query(request, Query)
        found = await offload(self._registry.principals)
        return answer(bodies.Principals(items=[wire.principal_body(one) for one in found]))

    async def create(self, request: Request) -> Answer:
        """POST /principals"""
        given = await read(request, _PRINCIPAL)
        _check_scopes(given.scopes)
        expires_at = times.read(given.expires_at, "expires_at")
        made = await self._registry.create_principal(given.name, given.scopes, expires_at, request.principal.name)
        return self._issued(made, 201)

    async def revoke(self, request: Request) -> Answer:
        """POST /principals/{id}/revoke"""
        return self._issued(await self._registry.revoke(request.id("principal"), request.principal.name))

    async def delete(self, request: Request) -> Answer:
        """DELETE /principals/{id}"""
        await self._registry.delete_principal(request.id("principal"), request.principal.name)
        return nothing()

    async def webhook_key(self, request: Request) -> Answer:
        """GET /webhook-key"""
        asked = query(request, queries.WebhookKeyQuery)
        key = bodies.WebhookKey(url=asked.url, key=self._tokens.webhook_key(asked.url))
        return answer(key, 200, {"Cache-Control": "no-store"})

    def _issued(self, principal: Principal, status: int = 200) -> Answer:
        body = bodies.Issued(principal=wire.principal_body(principal), token=self._tokens.derive(principal))
        return answer(body, status, {"Cache-Control": "no-store"})


def _check_scopes(scopes: list[str]) -> None:
    for index, scope in enumerate(scopes):
        if scope not in SCOPES:
            known = ", ".join(sorted(SCOPES))
            raise invalid(f"There is no scope {scope!r}. Use some of: {known}.", field=f"scopes[{index}]")
