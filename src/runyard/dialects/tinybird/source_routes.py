"""Routes of Data Sources and their imports, in both forms (/v0 and /v1).

Source: Tinybird API reference, 'Data Sources API'.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from runyard.core.actions import Delete, Truncate
from runyard.core.errors import RunyardError, invalid
from runyard.core.model import Run
from runyard.core.states import State
from runyard.dialects.base import SIGNED_IN, Answer, Handler, Route
from runyard.dialects.tinybird import tables, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import PIPE
from runyard.dialects.tinybird.datasources import Sources, fed_by, in_partition, used_by
from runyard.dialects.tinybird.errors import Refusal
from runyard.dialects.tinybird.face import Face, asked, base, fields, given, yes
from runyard.dialects.tinybird.imports import Imports, format_of, mode_of
from runyard.dialects.tinybird.multipart import Multipart
from runyard.http.answers import Nothing, Whole, answer, nothing
from runyard.http.request import Request, offload

_ONE = "/v0/datasources/{name}"
_MULTIPART, _FORM, _JSON = "multipart/form-data", "application/x-www-form-urlencoded", "application/json"


class Reset(Nothing):
    """205, without a body: what this platform says to a truncate."""

    status_code = 205

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Sends it."""
        await send({"type": "http.response.start", "status": 205, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class SourceRoutes:
    """Handlers over Data Sources."""

    def __init__(self, face: Face, sources: Sources, imports: Imports) -> None:
        self._face, self._sources, self._imports = face, sources, imports

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            _route("GET", "/v0/datasources", self.find),
            Route("POST", "/v0/datasources", SIGNED_IN, self.create, large=True),
            _route("POST", "/v0/datasources/exchange", self.exchange),
            _route("GET", _ONE, self.show),
            _route("PUT", _ONE, self.update),
            _route("DELETE", _ONE, self.drop),
            _route("POST", f"{_ONE}/alter", self.alter),
            _route("POST", f"{_ONE}/truncate", self.truncate),
            _route("POST", f"{_ONE}/delete", self.delete),
            _route("GET", "/v1/datasources", self.find),
            _route("GET", "/v1/datasources/{name}", self.show),
            Route("POST", "/v1/datasources/{name}/append", SIGNED_IN, self.append, large=True),
            Route("POST", "/v1/datasources/{name}/replace", SIGNED_IN, self.replace, large=True),
            _route("POST", "/v1/datasources/{name}/truncate", self.truncate),
            _route("POST", "/v1/datasources/{name}/delete", self.delete_now),
        )

    # --- look ---

    async def find(self, request: Request) -> Answer:
        """GET /v0/datasources"""
        caller = self._face.caller(request)
        found = await self._sources.bodies(caller.workspace)
        return answer({"datasources": [one for one in found if _may_see(caller, one)]})

    async def show(self, request: Request) -> Answer:
        """GET /v0/datasources/{name}, and {name}.datasource for its file."""
        caller, name = self._face.caller(request), request.text("name")
        as_file = name.endswith(".datasource")
        source = self._sources.needed(caller.workspace, name.removesuffix(".datasource"))
        if not _may_see(caller, source):
            caller.need("DATASOURCES:READ", source["name"], source["id"])
        body = await self._sources.body(caller.workspace, source)
        return Whole(datafile(body).encode(), "text/plain; charset=utf-8") if as_file else answer(body)

    # --- make ---

    async def create(self, request: Request) -> Answer:
        """POST /v0/datasources: a new one from a schema or a URL, and imports of mode append and replace."""
        caller, values = self._face.caller(request), asked(request)
        kind = request.header(b"content-type") or ""
        stream: AsyncIterator[bytes] | None = None
        if kind.startswith(_MULTIPART):
            form = Multipart(kind, _stream(request))
            await form.begin()
            values |= form.fields
            if form.file_name is not None:
                stream = form.file()
                if not values.get("format") and form.file_name in ("csv", "ndjson", "parquet"):
                    values["format"] = form.file_name
        elif kind.startswith((_FORM, _JSON)) or not _has_body(request):
            values |= fields(await request.whole(), kind)
        else:
            stream = _stream(request)
            values["format"] = values.get("format") or format_of(values, kind)
        mode = str(values.get("mode") or "create")
        return await self._import(request, caller, values, mode_of(mode), stream)

    async def append(self, request: Request) -> Answer:
        """POST /v1/datasources/{name}/append"""
        return await self._v1(request, "append")

    async def replace(self, request: Request) -> Answer:
        """POST /v1/datasources/{name}/replace"""
        return await self._v1(request, "replace")

    async def _v1(self, request: Request, mode: str) -> Answer:
        caller, values = self._face.caller(request), asked(request)
        kind = request.header(b"content-type") or ""
        values["name"] = request.text("name")
        stream: AsyncIterator[bytes] | None = None
        if kind.startswith(_MULTIPART):
            form = Multipart(kind, _stream(request))
            await form.begin()
            values |= form.fields
            stream = form.file() if form.file_name is not None else None
        elif kind.startswith((_FORM, _JSON)) and not values.get("format"):
            values |= fields(await request.whole(), kind)
        elif not values.get("url") and _has_body(request):
            values["format"] = values.get("format") or format_of(values, kind)
            stream = _stream(request)
        return await self._import(request, caller, values, mode_of(mode), stream, wait=False)

    async def _import(
        self,
        request: Request,
        caller: Caller,
        values: dict[str, Any],
        mode: Any,
        stream: AsyncIterator[bytes] | None,
        *,
        wait: bool = True,
    ) -> Answer:
        url, name = str(values.get("url") or ""), str(values.get("name") or "")
        if mode == "create" and values.get("schema") and not url and stream is None:
            return await self._from_schema(caller, values)
        if not url and stream is None:
            what = "a schema, a url or a file" if mode == "create" else "a url or a file"
            raise invalid(f"This needs {what}. Give one.", field="url")
        self._face.check_rate(caller, "imports", self._face.options.imports_per_minute)
        source = await self._target(caller, values, name, mode)
        if stream is None:
            run = await self._imports.start(caller, source, url, mode, values)
            return answer(await self._started(request, caller, run, source))
        kept = await self._face.engine.data.upload(stream)
        run = await self._imports.start(caller, source, kept.source, mode, values)
        if not wait:
            return answer(await self._started(request, caller, run, source))
        try:
            return answer(await self._imports.local(caller, source, run))
        except RunyardError:
            if mode == "create":  # it was made for these rows, and the caller is told that there are none
                await self._sources.drop(caller, source)
            raise

    async def _from_schema(self, caller: Caller, values: dict[str, Any]) -> Answer:
        caller.need("DATASOURCES:CREATE")
        self._face.check_rate(caller, "Data Sources from a schema", self._face.options.creates_per_minute)
        made = await self._sources.create(caller, values)
        return answer({"datasource": await self._sources.body(caller.workspace, made)})

    async def _target(self, caller: Caller, values: dict[str, Any], name: str, mode: str) -> dict[str, Any]:
        """The Data Source that an import is for; a new one when that is its mode."""
        if mode != "create":
            source = self._sources.needed(caller.workspace, name)
            if not caller.has("DATASOURCES:CREATE"):
                caller.need("DATASOURCES:APPEND", source["name"], source["id"])
            return source
        caller.need("DATASOURCES:CREATE")
        values.setdefault("name", "")
        make = self._sources.create if values.get("schema") else self._sources.adopt
        source = await make(caller, values)
        if values.get("schema"):
            values["mode"] = "append"
        return source

    async def _started(self, request: Request, caller: Caller, run: Run, source: dict[str, Any]) -> dict[str, Any]:
        """A job that has just been made, at the top level and under `job`; never an `error` key."""
        shown = await self._sources.body(caller.workspace, source)
        spec = await offload(self._face.engine.runs.spec, run.id)
        facts = wire.Facts(spec=spec, tasks=[], datasource=shown, any_kind=self._face.options.cancel_any)
        job = wire.job_body(run, self._face.ids.text(run.id), base(request), facts)
        return {**job, "job": job}

    # --- change ---

    async def update(self, request: Request) -> Answer:
        """PUT /v0/datasources/{name}"""
        caller, source = self._mine(request, "DATASOURCES:CREATE")
        changed = await self._sources.update(caller, source, await given(request))
        return answer(await self._sources.body(caller.workspace, changed))

    async def alter(self, request: Request) -> Answer:
        """POST /v0/datasources/{name}/alter"""
        caller, source = self._mine(request, "DATASOURCES:CREATE")
        values = await given(request)
        dry = yes(values, "dry") or yes(values, "dry_run")
        return answer(await self._sources.alter(caller, source, values, dry=dry))

    async def exchange(self, request: Request) -> Answer:
        """POST /v0/datasources/exchange"""
        caller, values = self._face.caller(request), await given(request)
        caller.need("DATASOURCES:CREATE")
        pair = [
            self._sources.needed(caller.workspace, str(values.get(key) or ""))
            for key in ("datasource_a", "datasource_b")
        ]
        await self._sources.exchange(caller, *pair)
        return answer({key: one["name"] for key, one in zip(("datasource_a", "datasource_b"), pair, strict=True)})

    async def truncate(self, request: Request) -> Answer:
        """POST /v0/datasources/{name}/truncate"""
        caller, source = self._mine(request, "DATASOURCES:CREATE")
        queue = self._sources.queue(caller.workspace, source)
        if source["name"] in await self._sources.tables(caller.workspace):
            await self._face.perform(caller, f"truncate {source['name']}", Truncate(table=source["name"]), queue=queue)
        await self._sources.log(caller, "truncate", source)
        return Reset()

    async def delete(self, request: Request) -> Answer:
        """POST /v0/datasources/{name}/delete"""
        caller, source = self._mine(request, "DATASOURCES:CREATE")
        values = await given(request)
        action = await self._deletion(caller, source, values)
        if action.dry_run:
            tasks = await self._face.perform(caller, f"dry delete {source['name']}", action)
            return answer({"rows_to_be_deleted": tasks[-1].metrics.get("rows", 0)})
        run = await self._deleted(caller, source, action)
        body = await self._started(request, caller, run, source)
        return answer({**body, "delete_id": body["id"]}, 201)

    async def delete_now(self, request: Request) -> Answer:
        """POST /v1/datasources/{name}/delete: the rows are gone when it answers, unless wait=false."""
        caller, source = self._mine(request, "DATASOURCES:CREATE")
        values = await given(request)
        run = await self._deleted(caller, source, await self._deletion(caller, source, values))
        if not yes(values, "wait", True):
            return answer(await self._started(request, caller, run, source), 202)
        rows = (await self._face.outcome(run))[-1].metrics.get("rows", 0)
        scanned = 1 if values.get("partition") else 0
        return answer({"rows_affected": rows, "mutation": {"partitions_scanned": scanned, "rows_affected": rows}})

    async def _deletion(self, caller: Caller, source: dict[str, Any], values: dict[str, Any]) -> Delete:
        """What a call asks to delete: the rows of a partition, those that match a condition, or both."""
        conditions = [f"({text})"] if (text := str(values.get("delete_condition") or "").strip()) else []
        if part := str(values.get("partition") or "").strip():
            table = (await self._sources.tables(caller.workspace)).get(source["name"], {})
            if not table.get("partition_by"):
                message = f'The Data Source "{source["name"]}" has no partition key here: use delete_condition.'
                raise invalid(message, field="partition")
            conditions.insert(0, in_partition(source["engine"], part))
        if not conditions:
            raise invalid("delete_condition is missing: say which rows to delete.", field="delete_condition")
        where = text if conditions == [f"({text})"] else " AND ".join(conditions)
        return Delete(table=source["name"], where=where, dialect="clickhouse", dry_run=yes(values, "dry_run"))

    async def _deleted(self, caller: Caller, source: dict[str, Any], action: Delete) -> Run:
        tags = wire.tags_of(tables.DELETE, source, condition=action.where[:1000])
        queue = self._sources.queue(caller.workspace, source)
        name = f"delete {source['name']}"
        return await self._face.submit(caller, name, [action], tags=tags, queue=queue, keys=["delete"])

    async def drop(self, request: Request) -> Answer:
        """DELETE /v0/datasources/{name}"""
        caller, source = self._mine(request, "DATASOURCES:DROP")
        values = asked(request)
        pipes = self._face.catalog.all(caller.workspace, PIPE)
        readers, writers = used_by(source, pipes), [pipe["name"] for pipe in fed_by(source, pipes)]
        names = [user["name"] for user in readers]
        if yes(values, "dry_run"):
            return answer({"dependent_pipes": readers, "dependent_materialized_nodes": writers})
        if (names or writers) and not yes(values, "force"):
            listed = ", ".join([*names, *(name for name in writers if name not in names)])
            message = f'The Data Source "{source["name"]}" cannot be dropped: it has downstream dependencies: {listed}.'
            raise Refusal(409, f"{message} Use force=true to drop it all the same.", dependent_pipes=readers)
        await self._refuse_busy(caller, source)
        await self._sources.drop(caller, source)
        return nothing()

    async def _refuse_busy(self, caller: Caller, source: dict[str, Any]) -> None:
        from runyard.core.query import RunFilter

        where = RunFilter(
            queue=self._sources.queue(caller.workspace, source),
            states=[State.QUEUED, State.BLOCKED, State.STARTING, State.RUNNING, State.WAITING],
        )
        page = await offload(self._face.engine.runs.find, where, 1)
        if page.items:
            job = self._face.ids.text(page.items[0].id)
            raise Refusal(409, f'The Data Source "{source["name"]}" is being written by the job {job}. Wait for it.')

    def _mine(self, request: Request, scope: str) -> tuple[Caller, dict[str, Any]]:
        caller = self._face.caller(request)
        source = self._sources.needed(caller.workspace, request.text("name"))
        caller.need(scope, source["name"], source["id"])
        return caller, source


def _route(method: str, path: str, handler: Handler) -> Route:
    return Route(method, path, SIGNED_IN, handler)


def _may_see(caller: Caller, source: dict[str, Any]) -> bool:
    kinds = ("DATASOURCES:READ", "DATASOURCES:APPEND", "DATASOURCES:DROP", "DATASOURCES:CREATE")
    return any(caller.has(kind, source["name"], source["id"]) for kind in kinds)


def _has_body(request: Request) -> bool:
    length = request.header(b"content-length")
    return request.header(b"transfer-encoding") is not None or (length is not None and int(length) > 0)


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        if piece:
            yield piece


def datafile(body: dict[str, Any]) -> str:
    """A Data Source as a .datasource file."""
    lines = [f"DESCRIPTION >\n    {body['description']}\n"] if body["description"] else []
    columns = body["schema"]["sql_schema"].split(", `")
    lines.append("SCHEMA >\n    " + ",\n    `".join(columns) + "\n")
    engine = body["engine"]
    lines.append(f'ENGINE "{engine["engine"]}"')
    lines += [f'ENGINE_{key.upper()} "{value}"' for key, value in engine.items() if key != "engine" and value]
    return "\n".join(lines) + "\n"
