"""Routes of the catalog: tables, what became of them, and materialized views."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.api import bodies, queries, times
from runyard.api.declare import route
from runyard.core.errors import not_found
from runyard.engine.data import Data
from runyard.engine.runs import Runs
from runyard.http.answers import answer, nothing
from runyard.http.body import query, read
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_VIEW = msgspec.json.Decoder(bodies.ViewGiven)
_KEY = msgspec.json.Decoder(bodies.PartitionsGiven)
_TIMES = {"at", "created_at"}


class TableRoutes:
    """Handlers over the facade of data, by the name of a table or view."""

    def __init__(self, data: Data, runs: Runs) -> None:
        self._data, self._runs = data, runs

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, one, view = "data:read", "data:write", "/tables/{name}", "/views/{name}"
        parts = f"{one}/partitions"
        where, table = {"query": queries.WorkspaceQuery}, {"query": queries.TableQuery}
        return (
            route("GET", "/tables", see, self.tables, "List tables", answer=bodies.Tables, **where),
            route("GET", one, see, self.table, "Show a table, its lineage and views", answer=dict[str, Any], **table),
            route(
                "DELETE",
                one,
                do,
                self.drop,
                "Drop a table and its quarantine",
                answer=bodies.Dropped,
                query=queries.DropQuery,
            ),
            route(
                "GET",
                parts,
                see,
                self.partitions,
                "List a table's partitions",
                answer=bodies.Partitions,
                query=queries.PartitionsQuery,
            ),
            route(
                "PUT",
                parts,
                do,
                self.partition,
                "Give a table a partition key",
                body=bodies.PartitionsGiven,
                answer=bodies.Partitioned,
                **table,
            ),
            route("GET", "/views", see, self.views, "List materialized views", answer=bodies.Tables, **where),
            route(
                "POST",
                "/views",
                do,
                self.create_view,
                "Let a table follow another",
                body=bodies.ViewGiven,
                answer=dict[str, Any],
                status=201,
            ),
            route("DELETE", view, do, self.drop_view, "Forget a materialized view", status=204, **where),
        )

    async def tables(self, request: Request) -> Answer:
        """GET /tables"""
        asked = query(request, queries.WorkspaceQuery)
        return answer(bodies.Tables(items=_timed(await self._data.tables(asked.workspace))))

    async def table(self, request: Request) -> Answer:
        """GET /tables/{name}"""
        asked = query(request, queries.TableQuery)
        found = await self._data.table(asked.workspace, request.text("name"), asked.schema)
        told = [*found["written_by"], *found["read_by"]]
        names = await offload(self._runs.names, {one["run_id"] for one in told})
        for one in told:
            one["run_name"] = names.get(one["run_id"])
        return answer(_timed(found))

    async def drop(self, request: Request) -> Answer:
        """DELETE /tables/{name}"""
        asked, name = query(request, queries.DropQuery), request.text("name")
        done = await self._data.drop_table(asked.workspace, name, asked.schema, with_views=asked.with_views)
        if not done["dropped"]:
            raise not_found("table", name)
        return answer(bodies.Dropped(table=name, views=done["views"]))

    async def partitions(self, request: Request) -> Answer:
        """GET /tables/{name}/partitions"""
        asked, name = query(request, queries.PartitionsQuery), request.text("name")
        found = await self._data.partitions(asked.workspace, name, asked.schema, limit=asked.limit, offset=asked.offset)
        items = [bodies.Partition(**item) for item in found["items"]]
        follows = asked.offset + len(items) if found["more"] else None
        return answer(
            bodies.Partitions(partition_by=found["partition_by"], columns=found["columns"], items=items, next=follows)
        )

    async def partition(self, request: Request) -> Answer:
        """PUT /tables/{name}/partitions"""
        asked, name, given = query(request, queries.TableQuery), request.text("name"), await read(request, _KEY)
        done = await self._data.partition_table(asked.workspace, name, given.partition_by, asked.schema, given.dialect)
        return answer(bodies.Partitioned(table=name, partition_by=done["partition_by"]))

    async def views(self, request: Request) -> Answer:
        """GET /views"""
        asked = query(request, queries.WorkspaceQuery)
        return answer(bodies.Tables(items=_timed(await self._data.views(asked.workspace))))

    async def create_view(self, request: Request) -> Answer:
        """POST /views"""
        given = await read(request, _VIEW)
        made = await self._data.create_view(
            given.workspace, given.name, given.source, given.statement, given.target, given.schema, given.dialect
        )
        return answer(_timed(made), 201 if made["created"] else 200)

    async def drop_view(self, request: Request) -> Answer:
        """DELETE /views/{name}"""
        asked, name = query(request, queries.WorkspaceQuery), request.text("name")
        if not (await self._data.drop_view(asked.workspace, name))["dropped"]:
            raise not_found("view", name)
        return nothing()


def _timed(value: Any) -> Any:
    """The value with its moments, milliseconds so far, as the API says them."""
    if isinstance(value, list):
        return [_timed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: times.say(item) if key in _TIMES and isinstance(item, int) else _timed(item) for key, item in value.items()
    }
