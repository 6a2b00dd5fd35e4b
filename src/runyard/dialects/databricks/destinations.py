"""Notification destinations: where webhooks of jobs go, by an id."""

from __future__ import annotations

import uuid
from typing import Any

from runyard.core.errors import invalid
from runyard.core.model import Document
from runyard.dialects.databricks import parse, serve
from runyard.dialects.databricks.serve import DESTINATION, Given, Place, done
from runyard.dialects.databricks.tables import NAME
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

KINDS = {
    "generic_webhook": "WEBHOOK",
    "email": "EMAIL",
    "slack": "SLACK",
    "microsoft_teams": "MICROSOFT_TEAMS",
}


class DestinationRoutes:
    """Handlers of notification destinations."""

    def __init__(self, place: Place) -> None:
        self._documents = place.engine.documents

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, path = "jobs:read", "jobs:write", "/notification-destinations"
        return (
            *serve.routes("POST", path, do, self.create),
            *serve.routes("GET", path, see, self.list_),
            *serve.routes("GET", f"{path}/{{id}}", see, self.get),
            *serve.routes("PATCH", f"{path}/{{id}}", do, self.update),
            *serve.routes("DELETE", f"{path}/{{id}}", do, self.delete),
        )

    async def create(self, request: Request) -> Answer:
        """POST notification-destinations: a generic webhook, Slack, Microsoft Teams or e-mail"""
        given = await serve.body(request)
        body = {"display_name": str(given.get("display_name", "")), "config": _config(given)}
        return answer(_shown(await self._documents.put(NAME, DESTINATION, str(uuid.uuid4()), body, _who(request))))

    async def list_(self, request: Request) -> Answer:
        """GET notification-destinations"""
        given = parse.query(request.scope["query_string"])
        cursor = given.get("page_token")
        page = await offload(lambda: self._documents.find(NAME, DESTINATION, limit=100, cursor=cursor))
        names = ("id", "display_name", "destination_type")
        results = [{name: _shown(one)[name] for name in names} for one in page.items]
        return answer({"results": results, **({"next_page_token": page.next} if page.next else {})})

    async def get(self, request: Request) -> Answer:
        """GET notification-destinations/{id}"""
        return answer(_shown(await self._found(request)))

    async def update(self, request: Request) -> Answer:
        """PATCH notification-destinations/{id}: jobs that name it follow when they are saved the next time"""
        kept, given = await self._found(request), await serve.body(request)
        body = dict(kept.body)
        if "display_name" in given:
            body["display_name"] = str(given["display_name"])
        if "config" in given:
            body["config"] = _config(given)
        return answer(_shown(await self._documents.put(NAME, DESTINATION, kept.key, body, _who(request))))

    async def delete(self, request: Request) -> Answer:
        """DELETE notification-destinations/{id}"""
        kept = await self._found(request)
        await self._documents.delete(NAME, DESTINATION, kept.key, _who(request))
        return done()

    async def _found(self, request: Request) -> Document:
        return await serve.found_document(self._documents, DESTINATION, request.text("id"), "Notification destination")


def _who(request: Request) -> str:
    return request.principal.name


def _config(given: Given) -> dict[str, Any]:
    config = given.get("config")
    if not isinstance(config, dict):
        raise invalid("Missing required field: config")
    kinds = [name for name in KINDS if isinstance(config.get(name), dict)]
    if len(kinds) != 1:
        raise invalid(f"config has exactly one of {', '.join(KINDS)}.")
    kind, one = kinds[0], config[kinds[0]]
    if kind == "email":
        addresses = one.get("addresses")
        if not isinstance(addresses, list) or not addresses:
            raise invalid("config.email needs addresses.")
        return {kind: {"addresses": [str(address) for address in addresses]}}
    if not str(one.get("url", "")).startswith(("http://", "https://")):
        raise invalid(f"config.{kind} needs an http(s) url.")
    return {kind: {"url": str(one["url"])}}


def _shown(document: Document) -> dict[str, Any]:
    config = document.body["config"]
    return {"id": document.key, **document.body, "destination_type": KINDS[next(iter(config))]}
