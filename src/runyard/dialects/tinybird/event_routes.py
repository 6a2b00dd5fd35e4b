"""The events endpoint: bodies of NDJSON, gathered for a moment, stored together, answered once that is on disk.

Source: Tinybird API reference, 'Events API'.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from runyard.core.actions import Load
from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import TaskRun
from runyard.core.states import State
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird import schema, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import DATASOURCE
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.face import Face, asked, yes
from runyard.dialects.tinybird.imports import paths_of
from runyard.dialects.tinybird.service_rows import EVENTS_KIND
from runyard.http.answers import answer
from runyard.http.request import Request, offload

MOST_BYTES = 8 * 1024 * 1024
"""A batch that has grown this large does not wait any longer."""
_MOST_UNPACKED = 256 * 1024 * 1024
_log = logging.getLogger("runyard.tinybird")


class _Batch:
    """Bodies for one Data Source, each with who waits for its answer."""

    def __init__(self) -> None:
        self.bodies: list[tuple[bytes, asyncio.Future[dict[str, int]]]] = []
        self.size = 0


class Events:
    """Gathers bodies by Data Source."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources = face, sources
        self._waiting: dict[tuple[str, str], _Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, caller: Caller, source: dict[str, Any], body: bytes) -> dict[str, int]:
        """Stores a body with others that come at about the same time; its own counts, once they are on disk."""
        key = (caller.workspace, source["id"])
        loop = asyncio.get_running_loop()
        batch = self._waiting.get(key)
        if batch is None:
            batch = self._waiting[key] = _Batch()
            loop.call_later(self._face.options.events_wait, self._begin, key, batch, caller, source)
        waiter: asyncio.Future[dict[str, int]] = loop.create_future()
        batch.bodies.append((body, waiter))
        batch.size += len(body)
        if batch.size >= MOST_BYTES:
            self._begin(key, batch, caller, source)
        return await waiter

    def _begin(self, key: tuple[str, str], batch: _Batch, caller: Caller, source: dict[str, Any]) -> None:
        if self._waiting.get(key) is not batch:
            return  # it grew large and was begun before
        del self._waiting[key]
        task = asyncio.get_running_loop().create_task(self._store(batch, caller, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, batch: _Batch, caller: Caller, source: dict[str, Any]) -> None:
        """All bodies in one load when every row fits; else each by itself, so that its counts are its own."""
        if len(batch.bodies) > 1:
            done = await self._load(caller, source, [body for body, _ in batch.bodies], strict=True)
            if done is not None:
                for body, waiter in batch.bodies:
                    _answer(waiter, {"successful_rows": lines(body), "quarantined_rows": 0})
                return
        for body, waiter in batch.bodies:
            try:
                tasks = await self._load(caller, source, [body], strict=False)
                assert tasks is not None
                counts = tasks[-1].metrics
                bad = counts.get("quarantine_rows", 0) + counts.get("invalid_lines", 0)
                _answer(waiter, {"successful_rows": counts.get("rows", 0), "quarantined_rows": bad})
            except BaseException as error:
                if not waiter.done():
                    waiter.set_exception(error)

    async def _load(
        self, caller: Caller, source: dict[str, Any], bodies: list[bytes], *, strict: bool
    ) -> list[TaskRun] | None:
        """The load of some bodies; None when it is strict and a row does not fit, or it failed."""
        kept = await self._face.engine.data.upload(_joined(bodies))
        options = {"paths": paths_of(source["columns"])} if source["columns"] else {}
        load = Load(
            source=kept.source,
            table=source["name"],
            format="ndjson",
            options=options,
            max_bad_rows=0 if strict else None,
        )
        tags = wire.tags_of(EVENTS_KIND, source, mode=EVENTS_KIND)
        queue = self._sources.queue(caller.workspace, source)
        run = await self._face.submit(
            caller, f"events {source['name']}", [load], tags=tags, queue=queue, inner=True, keys=["events"]
        )
        ended = await self._face.finished(run.id)
        if strict and ended.state is not State.SUCCEEDED:
            return None
        return await self._face.outcome(run)


class EventRoutes:
    """Handlers of the Events API."""

    def __init__(self, face: Face, sources: Sources, events: Events) -> None:
        self._face, self._sources, self._events = face, sources, events

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (Route("POST", "/v0/events", SIGNED_IN, self.take),)

    async def take(self, request: Request) -> Answer:
        """POST /v0/events?name=: 202 when the rows are on disk; `wait=true` asks for 200 instead."""
        caller, values = self._face.caller(request), asked(request)
        name = values.get("name", "")
        body = await request.whole()
        if (request.header(b"content-encoding") or "") == "gzip":
            body = await offload(unpacked, body)
        if values.get("format") == "json":
            body = as_lines(body)
        if not body.strip():
            raise invalid("The body holds no event: send one JSON object a line.")
        source = await self._target(caller, name, body)
        counts = await self._events.take(caller, source, body)
        return answer(counts, 200 if yes(values, "wait") else 202)

    async def _target(self, caller: Caller, name: str, body: bytes) -> dict[str, Any]:
        """The Data Source; a new one, with the fields of the first event, for whoever may create them."""
        source = self._face.catalog.find(caller.workspace, DATASOURCE, name)
        if source is not None:
            if not caller.has("DATASOURCES:CREATE"):
                caller.need("DATASOURCES:APPEND", source["name"], source["id"])
            return source
        caller.need("DATASOURCES:CREATE")
        text = guessed(body)
        try:
            return await self._sources.create(caller, {"name": name, "schema": text, "format": "ndjson"})
        except RunyardError as error:
            if error.code is not Code.ALREADY_EXISTS:
                raise
            return self._sources.needed(caller.workspace, name)  # another body of the same moment made it


def _answer(waiter: asyncio.Future[dict[str, int]], counts: dict[str, int]) -> None:
    if not waiter.done():
        waiter.set_result(counts)


async def _joined(bodies: list[bytes]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body if body.endswith(b"\n") else body + b"\n"


def lines(body: bytes) -> int:
    """How many events a body holds."""
    return sum(1 for line in body.split(b"\n") if line.strip())


def unpacked(body: bytes) -> bytes:
    """A gzip body as it was; raises `invalid` and too_large."""
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        found = reader.decompress(body, _MOST_UNPACKED)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise invalid(f"The body says that it is gzip, and is not: {error}.") from None
    if reader.unconsumed_tail:
        raise RunyardError(Code.TOO_LARGE, f"The body unpacks to more than {_MOST_UNPACKED} bytes.")
    return found


def as_lines(body: bytes) -> bytes:
    """`format=json`: one object, or a list of them, as lines."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The body must be JSON; it is not: {error}.") from None
    items = found if isinstance(found, list) else [found]
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def guessed(body: bytes) -> str:
    """A schema from the first event."""
    first = next(line for line in body.split(b"\n") if line.strip())
    try:
        event = msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"The first event is not JSON: {error}.") from None
    if not isinstance(event, dict) or not event:
        raise invalid("The first event must be a JSON object with at least one field.")
    columns = [f"`{_column(name)}` {_kind(value)} `json:$.{name}`" for name, value in event.items() if _column(name)]
    text = ", ".join(columns)
    schema.parse(text)
    return text


def _column(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "Bool"
    if isinstance(value, int):
        return "Int64"
    if isinstance(value, float):
        return "Float64"
    if isinstance(value, list):
        return f"Array({_kind(value[0]) if value and not isinstance(value[0], dict | list) else 'String'})"
    return "String"
