"""How the native API declares a route: below /api/v1, with its types, so that the document knows all."""

from __future__ import annotations

from typing import Any

from runyard.http.card import Handler, Operation, Route

PREFIX = "/api/v1"
KEY = {"Idempotency-Key": "The same key and body again answer with what the first request made."}


def route(method: str, path: str, scope: str, handler: Handler, summary: str, **types: Any) -> Route:
    """One route; `types` are fields of `Operation`: query, body, answer, status, media, headers."""
    return Route(method, PREFIX + path, scope, handler, Operation(summary=summary, **types))
