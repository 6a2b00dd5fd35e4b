"""Queries: compiled, asked, written in a format. Routes of the Query API.

Source: Tinybird API reference, 'Query API'.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from runyard.core.actions import Copy, Sql
from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.sqltext import split_format
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird import formats, tables, wire
from runyard.dialects.tinybird.access import Caller, denied
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.compile import Compiled, Compiler
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.face import Face, asked, base, fields, plain_parameters, yes
from runyard.dialects.tinybird.formats import Result
from runyard.dialects.tinybird.references import references, words
from runyard.dialects.tinybird.service import Service
from runyard.http.answers import Whole, answer
from runyard.http.request import Request, offload

MAX_ROWS = 100_000
_OWN = {
    "q", "release_replacements", "pipeline", "playground", "semver", "background", "format", "explain",
    "output_format_json_quote_64bit_integers",
}  # fmt: skip


class Queries:
    """Asks the warehouse what callers ask."""

    def __init__(self, face: Face, sources: Sources, service: Service) -> None:
        self._face, self._sources, self.service = face, sources, service

    async def compiler(self, caller: Caller, given: dict[str, Any]) -> Compiler:
        """A compiler for one request; all names of tables are only looked up for tokens that may not read all."""
        names: dict[str, str] = {}
        if not caller.admin:
            names = {name.lower(): name for name in await self._sources.tables(caller.workspace)}
        catalog = self._face.catalog
        texts = {key: value if isinstance(value, str | list) else str(value) for key, value in given.items()}
        return Compiler(
            caller,
            lambda name: catalog.find(caller.workspace, DATASOURCE, name),
            lambda name: catalog.find(caller.workspace, PIPE, name),
            names,
            texts,
        )

    async def ask(self, caller: Caller, compiled: Compiled) -> Result:
        """Runs a compiled query; raises `invalid` with what is wrong in it."""
        if compiled.service:
            await self.service.refresh(caller, compiled.service)
        began = time.perf_counter()
        try:
            found = await self._face.engine.data.query(
                caller.workspace, compiled.text, {}, MAX_ROWS + 1, dialect="clickhouse"
            )
        except RunyardError as error:
            if error.code is Code.NOT_FOUND:
                raise invalid(f"[Error] There is no table yet in the workspace: {error.message}") from None
            raise
        if len(found["rows"]) > MAX_ROWS or found["cut"]:
            message = f"The result has more than {MAX_ROWS} rows or 32 MB. Use LIMIT, a sink, or background=true."
            raise RunyardError(Code.TOO_LARGE, message)
        return Result(columns=found["columns"], rows=found["rows"], elapsed=round(time.perf_counter() - began, 9))


class QueryRoutes:
    """Handlers of /v0/sql and its helpers."""

    def __init__(self, face: Face, sources: Sources, queries: Queries) -> None:
        self._face, self._sources, self._queries = face, sources, queries

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            Route("GET", "/v0/sql", SIGNED_IN, self.sql),
            Route("POST", "/v0/sql", SIGNED_IN, self.sql),
            Route("POST", "/v0/sql_copy", SIGNED_IN, self.copy),
            Route("POST", "/v0/sql_tables", SIGNED_IN, self.used_tables),
            Route("GET", "/v0/sql_tables", SIGNED_IN, self.used_tables),
            Route("POST", "/v0/sql_replace", SIGNED_IN, self.replaced),
            Route("GET", "/v0/sql_format", SIGNED_IN, self.formatted),
        )

    async def sql(self, request: Request) -> Answer:
        """GET and POST /v0/sql"""
        caller, values = self._face.caller(request), asked(request)
        body = await request.whole() if request.method == "POST" else b""
        kind = request.header(b"content-type") or ""
        more = fields(body, kind)
        values |= {key: value if isinstance(value, str) else str(value) for key, value in more.items()}
        if body and "q" not in values:
            values["q"] = body.decode("utf-8", "replace")
        if not values.get("q", "").strip():
            raise invalid("The query is missing: give it as `q`, or as the body of a POST.", field="q")
        text, wanted = split_format(values["q"].strip().rstrip(";"))
        compiled = await self.compiled(caller, text, values)
        if yes(values, "background"):
            return await self._background(request, caller, compiled)
        result = await self._queries.ask(caller, compiled)
        return written(result, wanted or values.get("format"), json_default=False)

    async def compiled(self, caller: Caller, text: str, values: dict[str, Any]) -> Compiled:
        """A caller's SQL, also over one pipe (`pipeline`), whose last node is then called `_`."""
        if caller.fixed:
            raise denied("This token has fixed parameters: it may call endpoints (/v0/pipes/NAME.json) only.")
        given = {key: value for key, value in plain_parameters(values).items() if key not in _OWN}
        compiler = await self._queries.compiler(caller, given)
        nodes: dict[str, dict[str, Any]] = {}
        name = str(values.get("pipeline") or "")
        if name:
            pipe = self._face.catalog.pipe(caller.workspace, name)
            caller.need("PIPES:READ", pipe["name"], pipe["id"])
            nodes = {node["name"].lower(): node for node in pipe["nodes"]}
            from runyard.dialects.tinybird.compile import output_node

            nodes["_"] = output_node(pipe)
            name = pipe["name"]
        return compiler.query(text, nodes, name)

    async def _background(self, request: Request, caller: Caller, compiled: Compiled) -> Answer:
        """A query as a job; its rows are kept as the run's output."""
        if compiled.service:
            await self._queries.service.refresh(caller, compiled.service)
        action = Sql(statement=compiled.text, dialect="clickhouse")
        tags = wire.tags_of(tables.QUERY)
        run = await self._face.submit(caller, "query", [action], tags=tags, keys=["query"])
        spec = await offload(self._face.engine.runs.spec, run.id)
        job_id = self._face.ids.text(run.id)
        job = wire.job_body(run, job_id, base(request), wire.Facts(spec=spec, tasks=[]))
        return answer({**job, "job": job})

    async def copy(self, request: Request) -> Answer:
        """POST /v0/sql_copy?copy_to=NAME: a query's rows into a Data Source."""
        caller, values = self._face.caller(request), asked(request)
        body = (await request.whole()).decode("utf-8", "replace")
        source = self._sources.needed(caller.workspace, values.get("copy_to", ""))
        if not caller.has("DATASOURCES:CREATE"):
            caller.need("DATASOURCES:APPEND", source["name"], source["id"])
        text, _ = split_format((values.get("q") or body).strip())
        compiled = await self.compiled(caller, text, {})
        action = Copy(statement=compiled.text, table=source["name"], dialect="clickhouse")
        tags = wire.tags_of(tables.COPY, source, mode="append")
        queue = self._sources.queue(caller.workspace, source)
        run = await self._face.submit(caller, f"copy {source['name']}", [action], tags=tags, queue=queue, keys=["copy"])
        spec = await offload(self._face.engine.runs.spec, run.id)
        facts = wire.Facts(spec=spec, tasks=[], datasource=await self._sources.body(caller.workspace, source))
        job = wire.job_body(run, self._face.ids.text(run.id), base(request), facts)
        return answer({**job, "job": job})

    async def used_tables(self, request: Request) -> Answer:
        """POST /v0/sql_tables: what a query reads, as the Classic client asks before it pushes."""
        values = asked(request) | fields(await request.whole(), request.header(b"content-type") or "")
        names = {(one.schema, one.exact) for one in references(str(values.get("q") or "")) if one.certain}
        return answer({"tables": [[schema, name, ""] for schema, name in sorted(names)]})

    async def replaced(self, request: Request) -> Answer:
        """POST /v0/sql_replace: names of tables in a query, replaced."""
        values = asked(request) | fields(await request.whole(), request.header(b"content-type") or "")
        import msgspec

        text = str(values.get("q") or "")
        try:
            wanted = msgspec.json.decode(str(values.get("replacements") or "{}").encode(), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise invalid(f"replacements must be a JSON object of texts: {error}.", field="replacements") from None
        for one in reversed(references(text)):
            if one.exact in wanted:
                text = text[: one.start] + wanted[one.exact] + text[one.end :]
        return answer({"query": text})

    async def formatted(self, request: Request) -> Answer:
        """GET /v0/sql_format: white space put in order, and nothing else."""
        text = asked(request).get("q", "")
        found = words(text)
        if not found:
            raise invalid("The query is missing: give it as `q`.", field="q")
        gaps = [text[one.end : after.start] for one, after in itertools.pairwise(found)]
        pieces = [one.text + (" " if gap else "") for one, gap in zip(found, [*gaps, ""], strict=True)]
        return answer({"q": "".join(pieces)})


def written(result: Result, wanted: str | None, *, json_default: bool) -> Whole:
    """A result in the format that was asked for."""
    key = formats.format_of(wanted if wanted or not json_default else "JSON")
    if key == "parquet":
        raise invalid("Parquet is written by endpoints (/v0/pipes/NAME.parquet) and sinks.", field="format")
    chosen = formats.FORMATS[key]
    said = f'{{"elapsed":{result.elapsed},"rows_read":{result.rows_read},"bytes_read":{result.bytes_read}}}'
    headers = {"X-Tb-Statistics": said}
    return Whole(chosen.write(result), chosen.media, 200, headers)
