"""Routes of the server itself: who am I, what is running here, health, metrics, the API document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runyard import __version__
from runyard.api import bodies
from runyard.api.declare import PREFIX, route
from runyard.api.times import say
from runyard.core.errors import Code, RunyardError
from runyard.engine.engine import Engine
from runyard.http.answers import Whole, answer
from runyard.http.body import Query, query
from runyard.http.card import Answer, Operation, Route
from runyard.http.counters import Counters
from runyard.http.policy import OPEN, SIGNED_IN
from runyard.http.request import Request, offload
from runyard.http.streams import Streams

METRICS_MEDIA = "text/plain; version=0.0.4"


class SystemRoutes:
    """Handlers that look at the server, not at work."""

    def __init__(
        self, engine: Engine, counters: Counters, streams: Streams, dialects: dict[str, dict[str, str]]
    ) -> None:
        self._engine = engine
        self._dialects = dialects
        self._counters = counters
        self._streams = streams
        self._document: bytes | None = None
        self.documented: Callable[[], list[Route]] = lambda: []
        """Set to the routes that the API document lists, which are not known before all families are."""

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        health = Operation(summary="Whether the server answers", answer=bodies.Health)
        ready = Operation(summary="Whether the server takes work", answer=bodies.Health)
        metrics = Operation(summary="Metrics for Prometheus", media="text/plain")
        return (
            route("GET", "/whoami", SIGNED_IN, self.whoami, "Who the caller is", answer=bodies.Whoami),
            route("GET", "/info", SIGNED_IN, self.info, "What runs here", answer=dict[str, Any]),
            route("GET", "/openapi.json", OPEN, self.openapi, "This document", answer=dict[str, Any]),
            Route("GET", "/healthz", OPEN, self.healthz, health),
            Route("GET", "/readyz", OPEN, self.readyz, ready),
            Route("GET", "/metrics", "metrics:read", self.metrics, metrics),
        )

    async def whoami(self, request: Request) -> Answer:
        """GET /whoami"""
        query(request, Query)
        return answer(bodies.Whoami(name=request.principal.name, scopes=request.principal.scopes))

    async def info(self, request: Request) -> Answer:
        """GET /info"""
        query(request, Query)
        found = await offload(self._engine.info)
        workers = [{**worker, "healthy": worker["trouble"] is None} for worker in found["workers"]]
        told = {"version": __version__, "started_at": say(found["started_at"]), "workers": workers}
        return answer({**found, **told, "dialects": self._dialects})

    async def healthz(self, request: Request) -> Answer:
        """GET /healthz"""
        return answer(bodies.Health(status="ok"))

    async def readyz(self, request: Request) -> Answer:
        """GET /readyz"""
        if self._streams.closing:
            raise RunyardError(Code.UNAVAILABLE, "The server is stopping and takes no more work. Try another one.")
        return answer(bodies.Health(status="ready"))

    async def metrics(self, request: Request) -> Answer:
        """GET /metrics"""
        return Whole(await offload(self._scrape), METRICS_MEDIA)

    def _scrape(self) -> bytes:
        # Imported at the first scrape: it would cost each start a tenth of a second.
        from runyard.api.metrics import render

        return render(self._engine.info(), self._counters, len(self._streams))

    async def openapi(self, request: Request) -> Answer:
        """GET /openapi.json"""
        if self._document is None:
            self._document = await offload(self._describe)
        return Whole(self._document, "application/json")

    def _describe(self) -> bytes:
        # Imported when somebody asks: most servers never do.
        from runyard.api.openapi import document

        return document(self.documented(), PREFIX, __version__)
