"""SQL warehouses and stored queries, as far as sql tasks need them: one warehouse, and texts by an id."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from runyard.core.errors import invalid
from runyard.core.model import Document
from runyard.dialects.databricks import parse, paths, serve
from runyard.dialects.databricks.serve import Given, Place, done
from runyard.dialects.databricks.tables import NAME
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

KIND = "query"
WAREHOUSE = "runyard"


class QueryRoutes:
    """Handlers of warehouses and stored queries."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._documents = place.engine.documents

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        read, write, one = "data:read", "data:write", "/sql/queries/{id}"
        return (
            *serve.routes("GET", "/sql/warehouses", read, self.warehouses),
            *serve.routes("GET", "/sql/warehouses/{id}", read, self.warehouse),
            *serve.routes("POST", "/sql/warehouses/{id}/start", read, self.started),
            *serve.routes("GET", "/preview/sql/data_sources", read, self.data_sources),
            *serve.routes("POST", "/sql/queries", write, self.create),
            *serve.routes("GET", "/sql/queries", read, self.list_),
            *serve.routes("GET", one, read, self.get),
            *serve.routes("PATCH", one, write, self.update),
            *serve.routes("DELETE", one, write, self.delete),
        )

    # --- warehouses ---

    async def warehouses(self, request: Request) -> Answer:
        """GET sql/warehouses"""
        return answer({"warehouses": [_warehouse(WAREHOUSE)]})

    async def warehouse(self, request: Request) -> Answer:
        """GET sql/warehouses/{id}: any id is the one warehouse"""
        return answer(_warehouse(request.text("id")))

    async def started(self, request: Request) -> Answer:
        """POST sql/warehouses/{id}/start: it runs already"""
        return done()

    async def data_sources(self, request: Request) -> Answer:
        """GET preview/sql/data_sources"""
        return answer([{"id": WAREHOUSE, "name": WAREHOUSE, "warehouse_id": WAREHOUSE, "type": "databricks_internal"}])

    # --- queries ---

    async def create(self, request: Request) -> Answer:
        """POST sql/queries"""
        given = _query_of(await serve.body(request))
        if not given.get("query_text"):
            raise invalid("Missing required field: query.query_text")
        query_id = str(uuid.uuid4())
        body = {"display_name": "New query", "warehouse_id": WAREHOUSE, **given}
        return await self._keep(query_id, body, request)

    async def update(self, request: Request) -> Answer:
        """PATCH sql/queries/{id}"""
        kept = await self._found(request)
        return await self._keep(kept.key, {**kept.body, **_query_of(await serve.body(request))}, request)

    async def _keep(self, query_id: str, body: dict[str, Any], request: Request) -> Answer:
        await offload(self._write, query_id, str(body["query_text"]))
        document = await self._documents.put(NAME, KIND, query_id, body, request.principal.name)
        return answer(_shown(document))

    def _write(self, query_id: str, text: str) -> None:
        path = Path(paths.inside(self._place.roots.queries, f"{query_id}.sql"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    async def list_(self, request: Request) -> Answer:
        """GET sql/queries"""
        given = parse.query(request.scope["query_string"])
        page = await offload(lambda: self._documents.find(NAME, KIND, limit=100, cursor=given.get("page_token")))
        body: dict[str, Any] = {"results": [_shown(one) for one in page.items]}
        if page.next is not None:
            body["next_page_token"] = page.next
        return answer(body)

    async def get(self, request: Request) -> Answer:
        """GET sql/queries/{id}"""
        return answer(_shown(await self._found(request)))

    async def delete(self, request: Request) -> Answer:
        """DELETE sql/queries/{id}"""
        kept = await self._found(request)
        await self._documents.delete(NAME, KIND, kept.key, request.principal.name)
        path = Path(paths.inside(self._place.roots.queries, f"{kept.key}.sql"))
        await offload(path.unlink, True)
        return done()

    async def _found(self, request: Request) -> Document:
        return await serve.found_document(self._documents, KIND, request.text("id"), "Query")


def _query_of(given: Given) -> Given:
    query = given.get("query", given)
    if not isinstance(query, dict):
        raise parse.malformed("Could not parse request object: Expected object for field query")
    names = ("display_name", "query_text", "warehouse_id", "description", "catalog", "schema", "parameters", "tags")
    return {name: query[name] for name in names if query.get(name) is not None}


def _shown(document: Document) -> dict[str, Any]:
    return {
        "id": document.key,
        **document.body,
        "owner_user_name": document.updated_by,
        "lifecycle_state": "ACTIVE",
        "create_time": document.created_at,
        "update_time": document.updated_at,
    }


def _warehouse(warehouse_id: str) -> dict[str, Any]:
    return {
        "id": warehouse_id,
        "name": warehouse_id,
        "state": "RUNNING",
        "cluster_size": "Small",
        "num_clusters": 1,
        "warehouse_type": "PRO",
        "enable_serverless_compute": False,
        "health": {"status": "HEALTHY"},
    }
