"""The Analyze API: a file's format, columns, types and json paths, from all of its rows.

Source: Tinybird API reference, 'Analyze API'.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from runyard.core.actions import Load, Sql
from runyard.core.errors import invalid
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.datasources import quoted
from runyard.dialects.tinybird.face import Face, asked, fields, pieces
from runyard.dialects.tinybird.formats import Result, whole
from runyard.dialects.tinybird.imports import format_of
from runyard.dialects.tinybird.multipart import Multipart
from runyard.dialects.tinybird.schema import clickhouse_type, split, struct_fields
from runyard.http.answers import answer
from runyard.http.request import Request

_ROWS = 10
_DEEP = 8


class _Found(NamedTuple):
    """A column: how the warehouse reads it, its path in a line, and its type there."""

    name: str
    reads: str
    path: str
    type: str


class AnalyzeRoutes:
    """The handler of the Analyze API."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family; a slash at the end is optional."""
        return (
            Route("POST", "/v0/analyze", SIGNED_IN, self.analyze, large=True),
            Route("POST", "/v0/analyze/", SIGNED_IN, self.analyze, large=True),
        )

    async def analyze(self, request: Request) -> Answer:
        """POST /v0/analyze: `url`, or a file as a part of a multipart body or as the body itself."""
        caller, values = self._face.caller(request), asked(request)
        caller.need("DATASOURCES:CREATE")
        kind = request.header(b"content-type") or ""
        stream = pieces(request)
        if kind.startswith("multipart/form-data"):
            form = Multipart(kind, stream)
            await form.begin()
            values |= form.fields
            if not values.get("url") and form.file_name is None:
                raise invalid("The body holds no file. Send one, or a url.", field="url")
            stream = form.file()
        elif kind.startswith("application/x-www-form-urlencoded"):
            values |= fields(await request.whole(), kind)
        source = values.get("url") or (await self._face.engine.data.upload(stream)).source
        return answer(await self._found(caller, source, format_of(values, kind)))

    async def _found(self, caller: Caller, source: str, form: str) -> dict[str, Any]:
        """Loads the file into a schema of its own, looks at the table, and removes both."""
        schema = f"_tb_analyze_{self._face.stamp_key().replace('-', '_')}"
        load = Load(source=source, table="file", schema=schema, format=cast(Any, form), mode="create")
        try:
            await self._face.perform(caller, "analyze", Sql(statement=f"CREATE SCHEMA {schema}"), load)
            return await self._described(caller, f"{schema}.file")
        finally:
            await self._face.statements(caller, "analyze", f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    async def _described(self, caller: Caller, table: str) -> dict[str, Any]:
        data = self._face.engine.data
        shape = await data.query(caller.workspace, f"SELECT * FROM {table} LIMIT 0", {}, 1)
        found = [one for column in shape["columns"] for one in _flat(column["name"], column["type"])]
        counted = ", ".join(f"count({one.reads})" for one in found)
        total, *present = (await data.query(caller.workspace, f"SELECT count(*), {counted} FROM {table}"))["rows"][0]
        shown = ", ".join(f"{one.reads} AS {quoted(one.name)}" for one in found)
        rows = await data.query(caller.workspace, f"SELECT {shown} FROM {table} LIMIT {_ROWS}", {}, _ROWS)
        columns = [
            {
                "path": one.path,
                "recommended_type": one.type,
                "present_pct": round(count / total, 4) if total else 0,
                "name": one.name,
            }
            for one, count in zip(found, present, strict=True)
        ]
        schema = ", ".join(_declared(one, count < total) for one, count in zip(found, present, strict=True))
        preview = whole(Result(columns=rows["columns"], rows=rows["rows"], elapsed=0.0))
        return {"analysis": {"columns": columns, "schema": schema}, "preview": preview}


def _declared(one: _Found, missing: bool) -> str:
    kind = f"Nullable({one.type})" if missing and not one.type.startswith(("Array", "Map")) else one.type
    return f"{one.name} {kind} `json:{one.path}`"


def _flat(name: str, kind: str, deep: int = 0) -> list[_Found]:
    """A column; of an object each of its fields, which is what a Data Source can hold."""
    return _parts(_plain(name), quoted(name), f"$.{name}", kind, deep)


def _parts(name: str, reads: str, path: str, kind: str, deep: int) -> list[_Found]:
    if kind.startswith("STRUCT(") and kind.endswith(")") and deep < _DEEP:
        return [
            one
            for field, inner in struct_fields(split(kind[7:-1]))
            for one in _parts(f"{name}_{_plain(field)}", f"{reads}.{quoted(field)}", f"{path}.{field}", inner, deep + 1)
        ]
    return [_Found(name, reads, f"{path}[:]" if kind.endswith("[]") else path, clickhouse_type(kind))]


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in name)
