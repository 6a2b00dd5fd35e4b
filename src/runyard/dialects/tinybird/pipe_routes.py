"""Routes of pipes, their nodes, and their endpoints.

Source: Tinybird API reference, 'Pipes API'.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

from runyard.core.actions import Action
from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.model import Run
from runyard.core.sqltext import split_format
from runyard.dialects.base import SIGNED_IN, Answer, Handler, Route
from runyard.dialects.tinybird import formats, pipe_shape, wire
from runyard.dialects.tinybird.access import Caller, denied
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.compile import output_node
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.errors import status_of
from runyard.dialects.tinybird.face import Face, asked, base, fields, given, many, plain_parameters, yes
from runyard.dialects.tinybird.pipes import Pipes, copy_node
from runyard.dialects.tinybird.query import Queries, written
from runyard.dialects.tinybird.service_rows import uuid_of
from runyard.http.answers import Whole, answer, nothing
from runyard.http.request import Request, offload

_ONE, _NODE = "/v0/pipes/{name}", "/v0/pipes/{name}/nodes/{node}"


class PipeRoutes:
    """Handlers over pipes."""

    def __init__(self, face: Face, sources: Sources, pipes: Pipes, queries: Queries) -> None:
        self._face, self._sources, self._pipes, self._queries = face, sources, pipes, queries

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            _route("GET", "/v0/pipes", self.find),
            _route("POST", "/v0/pipes", self.create),
            _route("GET", _ONE, self.show),
            _route("POST", _ONE, self.call),
            _route("PUT", _ONE, self.update),
            _route("DELETE", _ONE, self.delete),
            _route("GET", "/v1/pipes/{name}", self.show),
            _route("POST", f"{_ONE}/nodes", self.add_node),
            _route("PUT", _NODE, self.change_node),
            _route("DELETE", _NODE, self.delete_node),
            _route("POST", f"{_NODE}/endpoint", self.publish),
            _route("PUT", f"{_ONE}/endpoint", self.publish),
            _route("DELETE", f"{_NODE}/endpoint", self.unpublish),
            _route("GET", f"{_NODE}/analysis", self.analyse),
            _route("POST", f"{_NODE}/materialization", self.materialize),
            _route("DELETE", f"{_NODE}/materialization", self.unlink),
            _route("POST", f"{_NODE}/population", self.populate),
            _route("POST", f"{_NODE}/copy", self.set_copy),
            _route("PUT", f"{_NODE}/copy", self.set_copy),
            _route("DELETE", f"{_NODE}/copy", self.remove_copy),
            _route("POST", f"{_ONE}/copy", self.copy),
            _route("POST", f"{_ONE}/copy/pause", self.pause),
            _route("POST", f"{_ONE}/copy/resume", self.resume),
            _route("POST", f"{_NODE}/sink", self.set_sink),
            _route("DELETE", f"{_NODE}/sink", self.remove_sink),
            _route("POST", f"{_ONE}/sink", self.sink),
            _route("GET", "/v0/dependencies", self.dependencies),
        )

    # --- look ---

    async def find(self, request: Request) -> Answer:
        """GET /v0/pipes"""
        caller, at = self._face.caller(request), base(request)
        found = self._face.catalog.all(caller.workspace, PIPE)
        seen = [pipe for pipe in found if _may_see(caller, pipe)]
        return answer({"pipes": [pipe_shape.draw(pipe, at) for pipe in seen]})

    async def show(self, request: Request) -> Answer:
        """GET /v0/pipes/{name}; with .json, .csv, .ndjson or .parquet its rows, with .pipe its file."""
        name, ending = _divided(request.text("name"))
        if ending in formats.OF_ENDING:
            return await self._rows(request, name, ending)
        caller = self._face.caller(request)
        pipe = self._face.catalog.pipe(caller.workspace, name)
        if not _may_see(caller, pipe):
            caller.need("PIPES:READ", pipe["name"], pipe["id"])
        if ending == "pipe":
            return Whole(pipe_shape.datafile(pipe).encode(), "text/plain; charset=utf-8")
        return answer(await self._shown(request, caller, pipe))

    async def _shown(self, request: Request, caller: Caller, pipe: dict[str, Any]) -> dict[str, Any]:
        return pipe_shape.draw(pipe, base(request), await self._next(caller, pipe))

    async def _next(self, caller: Caller, pipe: dict[str, Any]) -> int | None:
        if not any((node["copy"] or node["sink"] or {}).get("schedule") for node in pipe["nodes"]):
            return None
        job = if_found(self._face.engine.registry.job_by_key, caller.workspace, "tinybird", pipe["id"])
        if job is None:
            return None
        outlook = await offload(self._face.engine.schedules.outlook, job.id, 1)
        return outlook.next[0] if outlook is not None and outlook.next else None

    async def call(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}.json: an endpoint with its parameters in the body."""
        name, ending = _divided(request.text("name"))
        if ending not in formats.OF_ENDING:
            raise RunyardError(Code.NOT_FOUND, f"POST goes to an endpoint, such as /v0/pipes/{name}.json.")
        return await self._rows(request, name, ending)

    # --- endpoints ---

    async def _rows(self, request: Request, name: str, ending: str) -> Answer:
        caller = self._face.caller(request)
        pipe = self._pipes.needed(caller, name, "PIPES:READ")
        values = plain_parameters(await given(request))
        for name_or_id in (pipe["name"], pipe["id"]):
            values |= caller.fixed.get(name_or_id, {})
        if caller.fixed and values.get("q"):
            raise denied("This token has fixed parameters: it may call endpoints as they are, without `q`.")
        began = time.perf_counter()
        try:
            found, rows = await self._answered(request, caller, pipe, values, ending)
        except RunyardError as error:
            self._note(request, caller, pipe, values, began, 0, status_of(error), error.message)
            raise
        self._note(request, caller, pipe, values, began, rows, 200, None)
        return found

    async def _answered(
        self, request: Request, caller: Caller, pipe: dict[str, Any], values: dict[str, Any], ending: str
    ) -> tuple[Answer, int]:
        if not pipe.get("endpoint") and not values.get("q") and not caller.has("PIPES:CREATE"):
            raise RunyardError(Code.NOT_FOUND, f'The pipe "{pipe["name"]}" does not have an endpoint yet')
        compiler = await self._queries.compiler(caller, {k: v for k, v in values.items() if k != "q"})
        wanted: str | None = None
        if values.get("q"):
            text, wanted = split_format(str(values["q"]).strip())
            nodes = {node["name"].lower(): node for node in pipe["nodes"]} | {"_": output_node(pipe)}
            compiled = compiler.query(text, nodes, pipe["name"])
        else:
            compiled = compiler.node(pipe, output_node(pipe))
        if ending == "parquet":
            return await self._parquet(caller, pipe, compiled.text)
        result = await self._queries.ask(caller, compiled)
        return written(result, wanted or formats.OF_ENDING[ending], json_default=True), len(result.rows)

    async def _parquet(self, caller: Caller, pipe: dict[str, Any], text: str) -> tuple[Answer, int]:
        """The rows as a Parquet file, which the warehouse writes into the folder of files."""
        from runyard.core.actions import Export

        folder = self._face.files
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"endpoint-{self._face.stamp_key()}.parquet"
        action: Action = Export(statement=text, target=str(path), format="parquet", dialect="clickhouse")
        try:
            tasks = await self._face.perform(caller, f"parquet {pipe['name']}", action)
            body = await offload(path.read_bytes)
        finally:
            path.unlink(missing_ok=True)
        return Whole(body, formats.PARQUET_MEDIA), int(tasks[-1].metrics.get("rows", 0))

    def _note(
        self,
        request: Request,
        caller: Caller,
        pipe: dict[str, Any],
        values: dict[str, Any],
        began: float,
        rows: int,
        status: int,
        message: str | None,
    ) -> None:
        key = self._face.stamp_key()
        row = {
            "start_datetime": wire.stamp(round(time.time() * 1000)),
            "pipe_id": pipe["id"],
            "pipe_name": pipe["name"],
            "duration": round(time.perf_counter() - began, 6),
            "read_bytes": 0,
            "read_rows": 0,
            "result_rows": rows,
            "url": _called(request),
            "error": int(status >= 400),
            "request_id": uuid_of(key),
            "token": "",
            "token_name": caller.name,
            "status_code": status,
            "method": request.method,
            "parameters": {name: str(value)[:500] for name, value in values.items()},
            "release": "",
            "user_agent": (request.header(b"user-agent") or "")[:200],
            "resource_tags": [],
            "cpu_time": 0.0,
            "message": message,
        }
        self._queries.service.note_call(caller, row)

    # --- make and change ---

    async def create(self, request: Request) -> Answer:
        """POST /v0/pipes: from JSON with nodes, or from one query (`name` and `sql`)."""
        caller = self._face.caller(request)
        caller.need("PIPES:CREATE")
        values = await self._posted(request)
        nodes = values.get("nodes")
        if not isinstance(nodes, list):
            nodes = [{"sql": values["sql"], "name": f"{values.get('name')}_0"}] if values.get("sql") else []
        old = self._face.catalog.find(caller.workspace, PIPE, str(values.get("name") or ""))
        if old is not None and yes(values, "force"):
            return answer(await self._pushed_again(request, caller, old, values, nodes))
        pipe = await self._pipes.create(caller, values, [_object(node) for node in nodes])
        try:
            more = await self._arrange(caller, request, pipe, values, nodes)
        except BaseException:
            await self._pipes.delete(caller, pipe)
            raise
        return answer({**await self._shown(request, caller, pipe), **more})

    async def _posted(self, request: Request) -> dict[str, Any]:
        kind = request.header(b"content-type") or ""
        body, values = await request.whole(), asked(request)
        found = fields(body, kind)
        if not found and body.strip()[:1] == b"{":
            found = fields(body, "application/json")
        merged: dict[str, Any] = {**values, **{key: value for key, value in found.items() if value is not None}}
        if body and not found and not merged.get("sql"):
            merged["sql"] = body.decode("utf-8", "replace")
        return merged

    async def _pushed_again(
        self, request: Request, caller: Caller, old: dict[str, Any], values: dict[str, Any], nodes: list[Any]
    ) -> dict[str, Any]:
        """A push with force: the pipe keeps its id, its nodes are the new ones."""
        for node in old["nodes"]:
            if node["materialized"] is not None:
                await self._pipes.unlink(caller, node)
        pipe = {**old, "nodes": [], "endpoint": None, "description": str(values.get("description") or "")}
        for node in nodes:
            pipe["nodes"].append(self._pipes.node(caller, pipe, _object(node)))
        try:
            await self._pipes.check(caller, pipe, yes(values, "ignore_sql_errors"))
            more = await self._arrange(caller, request, pipe, values, nodes)
        except BaseException:
            await self._restore(caller, old)
            raise
        return {**await self._shown(request, caller, pipe), **more}

    async def _restore(self, caller: Caller, old: dict[str, Any]) -> None:
        """What a pipe's nodes did before a push that failed."""
        for node in old["nodes"]:
            if node["target"] and node["wanted"] == "materialized":
                await self._pipes.materialize(caller, old, node, {})

    async def _arrange(
        self, caller: Caller, request: Request, pipe: dict[str, Any], values: dict[str, Any], nodes: list[Any]
    ) -> dict[str, Any]:
        """Lets the nodes of a new pipe do what their types say; what the answer tells beside the pipe."""
        more: dict[str, Any] = {}
        for node, wanted in zip(pipe["nodes"], nodes, strict=True):
            kind = node["wanted"]
            if kind == "materialized":
                target, made = await self._pipes.materialize(caller, pipe, node, wanted)
                more = {"datasource": await self._sources.body(caller.workspace, target), "created_datasource": made}
            elif kind == "copy":
                target = await self._pipes.set_copy(caller, pipe, node, {**values, **_object(wanted)})
                more = {"datasource": await self._sources.body(caller.workspace, target), "created_datasource": False}
            elif kind == "sink":
                node |= {"sink": pipe_shape.new_sink({**values, **wanted}), "node_type": "sink"}
            elif kind == "endpoint":
                pipe["endpoint"] = node["id"]
        if not any(node["wanted"] in ("materialized", "copy", "sink", "endpoint") for node in pipe["nodes"]):
            named = values.get("endpoint")
            if named:
                pipe["endpoint"] = pipe_shape.node_of(pipe, str(named))["id"]
        kept = await self._pipes.save(caller, pipe)
        pipe |= kept
        if yes(values, "populate"):
            for node in pipe["nodes"]:
                if node["materialized"] is not None:
                    run = await self._pipes.populate(caller, pipe, node, {**values, "truncate": ""})
                    more["job"] = await self._job(request, caller, run)
        return more

    async def update(self, request: Request) -> Answer:
        """PUT /v0/pipes/{name}: its name or description."""
        caller, pipe = self._mine(request)
        values = await given(request)
        pipe["description"] = values.get("description", pipe["description"])
        name = values.get("name") or values.get("name_or_id") or pipe["name"]
        if name != pipe["name"]:
            pipe = await self._pipes.rename(caller, pipe, str(name))
        else:
            pipe = await self._pipes.save(caller, pipe)
        return answer(await self._shown(request, caller, pipe))

    async def delete(self, request: Request) -> Answer:
        """DELETE /v0/pipes/{name}"""
        caller, pipe = self._mine(request, "PIPES:DROP")
        await self._pipes.delete(caller, pipe)
        return nothing()

    async def add_node(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}/nodes: SQL as the body, or JSON."""
        caller, pipe = self._mine(request)
        values = await self._posted(request)
        node = self._pipes.node(caller, pipe, values)
        pipe["nodes"].append(node)
        await self._pipes.check(caller, {**pipe, "nodes": pipe["nodes"]}, yes(values, "ignore_sql_errors"))
        await self._pipes.save(caller, pipe)
        return answer(pipe_shape.draw_node(pipe, node))

    async def change_node(self, request: Request) -> Answer:
        """PUT /v0/pipes/{name}/nodes/{node}: SQL as the body, or JSON; `name` and `description` too."""
        caller, pipe = self._mine(request)
        node = pipe_shape.node_of(pipe, request.text("node"))
        values = await self._posted(request)
        if values.get("sql"):
            node["sql"] = pipe_shape.checked_sql(values["sql"], node["name"])
            node["dependencies"] = self._pipes.dependencies(caller.workspace, node["sql"], pipe)
            await self._pipes.check(caller, pipe, yes(values, "ignore_sql_errors"))
        if values.get("name") and values["name"] != node["name"]:
            others = [one for one in pipe["nodes"] if one is not node]
            fresh = pipe_shape.new_node({**pipe, "nodes": others}, {"name": values["name"], "sql": node["sql"]})
            node["name"] = fresh["name"]
        node["description"] = values.get("description", node["description"])
        if node["materialized"] is not None and values.get("sql"):
            await self._pipes.materialize(caller, pipe, node, {})
        await self._pipes.save(caller, pipe)
        return answer(pipe_shape.draw_node(pipe, node))

    async def delete_node(self, request: Request) -> Answer:
        """DELETE /v0/pipes/{name}/nodes/{node}"""
        caller, pipe, node = self._node(request)
        if node["materialized"] is not None:
            await self._pipes.unlink(caller, node)
        pipe["nodes"] = [one for one in pipe["nodes"] if one["id"] != node["id"]]
        pipe["endpoint"] = None if pipe.get("endpoint") == node["id"] else pipe.get("endpoint")
        await self._pipes.save(caller, pipe)
        return nothing()

    async def publish(self, request: Request) -> Answer:
        """POST .../nodes/{node}/endpoint, and PUT /v0/pipes/{name}/endpoint with the node's id as the body."""
        caller, pipe = self._mine(request)
        place = request.scope["path_params"].get("node") or (await request.whole()).decode("utf-8", "replace").strip()
        node = pipe_shape.node_of(pipe, place)
        pipe["endpoint"] = node["id"]
        return answer(await self._shown(request, caller, await self._pipes.save(caller, pipe)))

    async def unpublish(self, request: Request) -> Answer:
        """DELETE .../nodes/{node}/endpoint"""
        caller, pipe, _ = self._node(request)
        pipe["endpoint"] = None
        return answer(await self._shown(request, caller, await self._pipes.save(caller, pipe)))

    # --- materialized nodes ---

    async def analyse(self, request: Request) -> Answer:
        """GET .../nodes/{node}/analysis: whether it can be materialized, and into what."""
        caller, pipe, node = self._node(request)
        values = asked(request)
        text = await self._pipes.compiled(caller, pipe, node, {})
        found = await self._face.engine.data.query(
            caller.workspace, f"SELECT * FROM (\n{text}\n) LIMIT 0", {}, 1, dialect="clickhouse"
        )
        name = values.get("datasource") or node["target"] or f"{node['name']}_mv"
        from runyard.dialects.tinybird.schema import clickhouse_type

        columns = [{"name": one["name"], "type": clickhouse_type(one["type"])} for one in found["columns"]]
        known = self._face.catalog.find(caller.workspace, DATASOURCE, name)
        schema = ", ".join(f"`{one['name']}` {one['type']}" for one in columns)
        source = {"name": name, "schema": schema, "columns": columns, "engine": {"engine": "MergeTree"}}
        analysis = {
            "pipe": {"id": pipe["id"], "name": pipe["name"]},
            "node": {"id": node["id"], "name": node["name"]},
            "sql": node["sql"],
            "datasource": await self._sources.body(caller.workspace, known) if known else source,
        }
        return answer({"analysis": analysis, "warnings": [], "created_datasource": known is None})

    async def materialize(self, request: Request) -> Answer:
        """POST .../nodes/{node}/materialization"""
        caller, pipe, node = self._node(request)
        values = await given(request)
        target, made = await self._pipes.materialize(caller, pipe, node, values)
        kept = await self._pipes.save(caller, pipe)
        body: dict[str, Any] = await self._shown(request, caller, kept)
        body |= {"datasource": await self._sources.body(caller.workspace, target), "created_datasource": made}
        if yes(values, "populate"):
            run = await self._pipes.populate(caller, pipe, node, {**values, "truncate": ""})
            body["job"] = await self._job(request, caller, run)
        return answer(body)

    async def unlink(self, request: Request) -> Answer:
        """DELETE .../nodes/{node}/materialization"""
        caller, pipe, node = self._node(request)
        await self._pipes.unlink(caller, node)
        await self._pipes.save(caller, pipe)
        return nothing()

    async def populate(self, request: Request) -> Answer:
        """POST .../nodes/{node}/population"""
        caller, pipe, node = self._node(request)
        run = await self._pipes.populate(caller, pipe, node, await given(request))
        job = await self._job(request, caller, run)
        return answer({"job": job, "job_id": job["id"], "workspace": {"name": caller.workspace}})

    async def _job(self, request: Request, caller: Caller, run: Run) -> dict[str, Any]:
        spec = await offload(self._face.engine.runs.spec, run.id)
        name = wire.tag(run, "datasource_id")
        shown = await self._sources.shown(caller.workspace, name) if name else None
        facts = wire.Facts(spec=spec, tasks=[], datasource=shown, any_kind=self._face.options.cancel_any)
        return wire.job_body(run, self._face.ids.text(run.id), base(request), facts)

    # --- copies and sinks ---

    async def set_copy(self, request: Request) -> Answer:
        """POST and PUT .../nodes/{node}/copy"""
        caller, pipe, node = self._node(request)
        if node["materialized"] is not None or node["sink"] is not None:
            raise invalid(f"The node {node['name']!r} is a {node['node_type']} node already; remove that first.")
        target = await self._pipes.set_copy(caller, pipe, node, await given(request))
        pipe["endpoint"] = None if pipe.get("endpoint") == node["id"] else pipe.get("endpoint")
        kept = await self._pipes.save(caller, pipe)
        shown = await self._sources.body(caller.workspace, target)
        return answer({**await self._shown(request, caller, kept), "datasource": shown, "created_datasource": False})

    async def remove_copy(self, request: Request) -> Answer:
        """DELETE .../nodes/{node}/copy"""
        caller, pipe, node = self._node(request)
        node |= {"copy": None, "node_type": "standard"}
        await self._pipes.save(caller, pipe)
        return nothing()

    async def copy(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}/copy: runs it now; keys that are not the clients' own are the pipe's parameters."""
        caller, pipe = self._mine(request)
        values = await given(request)
        mode = values.get("_mode")
        run = await self._pipes.copy(caller, pipe, plain_parameters(values), str(mode) if mode else None)
        job = await self._job(request, caller, run)
        tags = {"copy_target_datasource": copy_node(pipe)["copy"]["target"]}
        shown = await self._shown(request, caller, pipe)
        return answer({**shown, "job": job, "tags": tags, "id": pipe["id"]})

    async def pause(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}/copy/pause"""
        caller, pipe = self._mine(request)
        return answer(await self._shown(request, caller, await self._pipes.pause(caller, pipe, paused=True)))

    async def resume(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}/copy/resume"""
        caller, pipe = self._mine(request)
        return answer(await self._shown(request, caller, await self._pipes.pause(caller, pipe, paused=False)))

    async def set_sink(self, request: Request) -> Answer:
        """POST .../nodes/{node}/sink"""
        caller, pipe, node = self._node(request)
        node |= {"sink": pipe_shape.new_sink(await given(request)), "node_type": "sink"}
        return answer(await self._shown(request, caller, await self._pipes.save(caller, pipe)))

    async def remove_sink(self, request: Request) -> Answer:
        """DELETE .../nodes/{node}/sink"""
        caller, pipe, node = self._node(request)
        node |= {"sink": None, "node_type": "standard"}
        await self._pipes.save(caller, pipe)
        return nothing()

    async def sink(self, request: Request) -> Answer:
        """POST /v0/pipes/{name}/sink: writes it now."""
        caller, pipe = self._mine(request)
        run = await self._pipes.sink(caller, pipe, plain_parameters(await given(request)))
        job = await self._job(request, caller, run)
        return answer({**await self._shown(request, caller, pipe), "job": job})

    async def dependencies(self, request: Request) -> Answer:
        """GET /v0/dependencies: which pipes read which Data Sources."""
        caller, values = self._face.caller(request), many(request, "datasource")
        found: dict[str, list[str]] = {}
        for pipe in self._face.catalog.all(caller.workspace, PIPE):
            for node in pipe["nodes"]:
                for name in node["dependencies"]:
                    if (not values or name in values) and pipe["name"] not in found.setdefault(name, []):
                        found[name].append(pipe["name"])
        return answer({"dependencies": found, "incompatible_datasources": {}, "materializing": {}})

    # --- helpers ---

    def _mine(self, request: Request, scope: str = "PIPES:CREATE") -> tuple[Caller, dict[str, Any]]:
        caller = self._face.caller(request)
        return caller, self._pipes.needed(caller, request.text("name"), scope)

    def _node(self, request: Request) -> tuple[Caller, dict[str, Any], dict[str, Any]]:
        caller, pipe = self._mine(request)
        return caller, pipe, pipe_shape.node_of(pipe, request.text("node"))


def _route(method: str, path: str, handler: Handler) -> Route:
    return Route(method, path, SIGNED_IN, handler)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("Each of `nodes` must be a JSON object with name and sql.", field="nodes")
    params = value.get("params")
    return {**value, **params} if isinstance(params, dict) else value


def _called(request: Request) -> str:
    """The path and query that were asked for, without the token in them."""
    kept = {key: value for key, value in asked(request).items() if key != "token"}
    return str(request.scope["path"]) + (f"?{urlencode(kept)}" if kept else "")


def _divided(text: str) -> tuple[str, str]:
    name, _, ending = text.rpartition(".")
    return (name, ending) if name else (text, "")


def _may_see(caller: Caller, pipe: dict[str, Any]) -> bool:
    return any(caller.has(kind, pipe["name"], pipe["id"]) for kind in ("PIPES:READ", "PIPES:CREATE", "PIPES:DROP"))
