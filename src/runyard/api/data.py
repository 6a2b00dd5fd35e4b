"""Routes of data: queries and uploads."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.api import bodies
from runyard.api.declare import route
from runyard.api.results import ARROW, wants_arrow
from runyard.core.errors import invalid
from runyard.engine.data import Data
from runyard.http.answers import answer
from runyard.http.body import Query, query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request
from runyard.http.streams import ByteStream, begun

MAX_ROWS = 10_000
_QUERY = msgspec.json.Decoder(bodies.QueryGiven)


class DataRoutes:
    """Handlers over the facade of data."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see = "data:read"
        upload: dict[str, Any] = {"answer": bodies.Uploaded, "status": 201}
        return (
            route(
                "POST",
                "/query",
                see,
                self.query,
                "Ask one SQL query",
                body=bodies.QueryGiven,
                answer=bodies.Rows,
                headers={"Accept": f"{ARROW} streams all rows, whatever the limit."},
            ),
            *(
                msgspec.structs.replace(one, large=True)
                for method in ("POST", "PUT")
                for one in [route(method, "/uploads", "data:write", self.upload, "Keep a body for a load", **upload)]
            ),
        )

    async def query(self, request: Request) -> Answer:
        """POST /query"""
        given = await read(request, _QUERY)
        if not 1 <= given.limit <= MAX_ROWS:
            raise invalid(f"limit must be 1 to {MAX_ROWS} rows; it is {given.limit}.", field="limit")
        if wants_arrow(request):
            source = self._data.stream(given.workspace, given.sql, given.parameters, "main", given.dialect)
            await begun(request, source)
            return ByteStream(source, ARROW)
        found = await self._data.query(given.workspace, given.sql, given.parameters, given.limit, dialect=given.dialect)
        rows = found["rows"]
        return answer(bodies.Rows(columns=found["columns"], rows=rows, row_count=len(rows), more=found["more"]))

    async def upload(self, request: Request) -> Answer:
        """POST /uploads"""
        query(request, Query)
        kept = await self._data.upload(request.stream())
        return answer(bodies.Uploaded(id=kept.id, source=kept.source, bytes=kept.size), 201)
