"""The one ASGI application: route, caller, policy, handler, answer, count. Plain ASGI, no middleware stack."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Principal
from runyard.http.card import Answer, Card, Handler, Route
from runyard.http.counters import Counters
from runyard.http.errors import method_not_allowed
from runyard.http.policy import OPEN, require
from runyard.http.request import Request
from runyard.http.table import Found, RouteTable

_log = logging.getLogger("runyard.http")


class AnyGate(Protocol):
    """Says who is calling."""

    def known(self, request: Request, card: Card) -> Principal | None:
        """The caller, or a refusal; None for one who is known only by the request's body."""

    async def principal(self, request: Request, card: Card) -> Principal:
        """The caller, or a refusal."""


class Front:
    """Answers every request on the port."""

    def __init__(
        self, table: RouteTable, gate: AnyGate, body_cap: int, counters: Counters, upload_cap: int | None = None
    ) -> None:
        self._table = table
        self._gate = gate
        self._cap = body_cap
        self._upload_cap = upload_cap or body_cap
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever goes wrong before the answer starts is an answer too."""
        begun = perf_counter()
        request = Request(scope, receive, self._cap)
        found = self._table.find(scope)
        scope["path_params"] = found.params
        try:
            answer = await self._answer(request, found)
        except ClientDisconnect:
            return
        path = found.route.path if found.route else "unknown"
        self._counters.count(found.card.name, scope["method"], path, answer, perf_counter() - begun)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, found: Found) -> Answer:
        try:
            card, route = found.card, found.route
            if route is None or route.scope != OPEN:
                # Callers must be known before they learn which paths exist.
                request.principal = self._gate.known(request, card) or await self._gate.principal(request, card)
            if route is None:
                raise _no_route(request, found)
            return await self._admitted(request, route)(request)
        except RunyardError as error:
            return found.card.refuse(request, error)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.scope["path"])
            message = "The server made a mistake and has logged it. The request may or may not have been done."
            return found.card.refuse(request, RunyardError(Code.INTERNAL, message))

    def _admitted(self, request: Request, route: Route) -> Handler:
        """The handler, if the caller may use it."""
        if route.scope != OPEN:
            require(request.principal, route.scope)
        if route.large:
            request.cap = self._upload_cap
        request.check_length()
        return route.handler


def _no_route(request: Request, found: Found) -> RunyardError:
    method, path = request.method, request.scope["path"]
    if not found.methods:
        return RunyardError(Code.NOT_FOUND, f"There is nothing at {path}. See /api/v1/openapi.json for what there is.")
    return method_not_allowed(method, path, sorted(found.methods))
