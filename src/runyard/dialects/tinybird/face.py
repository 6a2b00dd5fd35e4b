"""What all families of routes here share: who calls, what is asked, work that is started and waited for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from runyard.core.actions import Action, Sql
from runyard.core.commands import Submit
from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import JobSpec, Queue, Run, Task, TaskRun
from runyard.core.states import TERMINAL, State
from runyard.dialects.tinybird import access
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import Catalog
from runyard.dialects.tinybird.errors import Refusal
from runyard.dialects.tinybird.signing import Signing, signed_of
from runyard.dialects.tinybird.tables import Options
from runyard.dialects.tinybird.wire import JobIds
from runyard.engine.engine import Engine
from runyard.http.gate import bearer, query_token
from runyard.http.request import Request, offload
from runyard.http.streams import woken
from runyard.http.tokens import Tokens

ORIGIN = "tinybird"
INNER = "tinybird.inner"
"""The origin of runs that are steps of a request (a truncate, a new table): kept, but no jobs of this platform."""
DEV_PRINCIPAL = 0
_LOOK_SECONDS = 2.0
_CREDENTIAL_KEYS = frozenset({"token", "cli_version", "from"})
_encode = msgspec.json.Encoder().encode


def _nothing() -> None:
    """There is nothing to go on with."""


class Face:
    """The engine as this dialect uses it."""

    def __init__(self, engine: Engine, tokens: Tokens, options: Options, files: Path) -> None:
        self.engine = engine
        self.tokens = tokens
        self.options = options
        self.files = files
        self.ids = JobIds(tokens.purpose("tinybird-jobs"))
        self.catalog = Catalog(engine.documents)
        self.signing = Signing(engine, tokens, self.catalog)
        self.first: Callable[[], None] = _nothing
        """Called with each request, for what an earlier server left."""
        self._count = 0
        self._limits: dict[tuple[str, str], deque[float]] = {}

    # --- who calls ---

    def caller(self, request: Request) -> Caller:
        """Who calls, by the token: one that the Tokens API made has its scopes, another the principal's."""
        self.first()
        if (signed := signed_of(request)) is not None:
            caller = self.signing.caller(signed, checked=request.principal.name != "dev")
            self.check_rate(caller, "requests a second", caller.rps, 1.0)
            return caller
        principal_id, workspace = request.principal.id, "default"
        if principal_id == DEV_PRINCIPAL:
            # With --dev any credential is let in; one that we issued still says whose it is.
            claim = self.tokens.check(bearer(request) or query_token(request) or "")
            principal_id = claim[0] if claim else DEV_PRINCIPAL
        held = self.engine.registry.principal(principal_id) if principal_id else None
        if principal_id and held is None:
            raise access.denied("The token was deleted. Use another one.")
        if held is not None and held.name.startswith(f"{ORIGIN}/"):
            _, workspace, name = held.name.split("/", 2)
            return self._issued(workspace, name)
        admin, grants = access.from_native(request.principal.scopes)
        name = request.principal.name
        return Caller(name=name, workspace=workspace, admin=admin, grants=grants, token=name)

    def _issued(self, workspace: str, name: str) -> Caller:
        document = self.catalog.token(workspace, name)
        grants = tuple(msgspec.convert(one, access.Grant) for one in document["grants"])
        admin = any(one.type == "ADMIN" for one in grants)
        return Caller(name=name, workspace=workspace, admin=admin, grants=grants, token=name, issued=True)

    def check_rate(self, caller: Caller, what: str, limit: int, seconds: float = 60.0) -> None:
        """Refuses with 429 when this token asked for this more than `limit` times in so many seconds; 0: never."""
        if limit <= 0:
            return
        now, times = time.monotonic(), self._limits.setdefault((f"{caller.workspace}/{caller.token}", what), deque())
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= limit:
            wait = max(1, round(seconds - (now - times[0])))
            headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0"}
            headers |= {"X-RateLimit-Reset": str(wait), "Retry-After": str(wait)}
            message = f"This token may do {limit} of these in {seconds:g} seconds ({what}). Try again in {wait} s."
            raise Refusal(429, message, headers)
        times.append(now)

    # --- work ---

    async def submit(
        self,
        caller: Caller,
        name: str,
        actions: list[Action],
        *,
        tags: dict[str, str] | None = None,
        queue: str = "default",
        inner: bool = False,
        keys: list[str] | None = None,
        once: str | None = None,
    ) -> Run:
        """Starts a run of these actions, one after the other; with the same `once` again it is the same run."""
        if self.options.serial and not inner:
            queue = await self._serial_queue()
        spec = chain(name, actions, queue=queue, tags=tags or {}, keys=keys)
        origin = INNER if inner else ORIGIN
        command = Submit(spec=spec, workspace=caller.workspace, origin=origin, idempotency_key=once)
        return (await self.engine.runs.submit(command, caller.name)).run

    async def _serial_queue(self) -> str:
        await self.engine.registry.put_queue(Queue(name=ORIGIN, slots=1), ORIGIN)
        return ORIGIN

    async def finished(self, run_id: int) -> Run:
        """The run once it is over."""
        wake = asyncio.Event()
        forget = self.engine.runs.watch(run_id, wake.set)
        try:
            while True:
                wake.clear()
                run = self.engine.runs.get(run_id)
                if run.state in TERMINAL:
                    return run
                await woken(wake, _LOOK_SECONDS)
        finally:
            forget()

    async def perform(self, caller: Caller, name: str, *actions: Action, queue: str = "default") -> list[TaskRun]:
        """Does the actions as one inner run and waits; raises `invalid` with the reason when they fail."""
        run = await self.submit(caller, name, list(actions), inner=True, queue=queue)
        return await self.outcome(run)

    async def outcome(self, run: Run) -> list[TaskRun]:
        """The task runs of a run that succeeded; raises `invalid` with the reason of one that did not."""
        ended = await self.finished(run.id)
        tasks = await offload(self.engine.runs.task_runs, run.id)
        if ended.state is not State.SUCCEEDED:
            said = next((one.detail for one in tasks if one.detail), ended.detail) or f"It is {ended.state.value}."
            raise invalid(said)
        return tasks

    def stamp_key(self) -> str:
        """A key that sorts by time and is never given twice."""
        self._count += 1
        return f"{time.time_ns():020d}-{self._count:06d}"

    async def statements(self, caller: Caller, name: str, *texts: str) -> None:
        """Runs statements of our own making, in the warehouse's language."""
        await self.perform(caller, name, Sql(statement=";\n".join(texts)))


def chain(
    name: str,
    actions: list[Action],
    *,
    queue: str = "default",
    tags: dict[str, str] | None = None,
    keys: list[str] | None = None,
    **more: Any,
) -> JobSpec:
    """A job of actions that follow one another."""
    from runyard.core.model import Dependency

    names = keys or [f"step_{place}" for place in range(1, len(actions) + 1)]
    tasks = [
        Task(key=key, action=action, needs=[Dependency(task=names[place - 1])] if place else [])
        for place, (key, action) in enumerate(zip(names, actions, strict=True))
    ]
    return JobSpec(name=name[:200], tasks=tasks, queue=queue, tags=tags or {}, **more)


# --- what was asked ---------------------------------------------------------------------------------------


def base(request: Request) -> str:
    """`http://HOST` as the caller named this server."""
    scheme = request.header(b"x-forwarded-proto") or request.scope.get("scheme", "http")
    return f"{scheme}://{request.header(b'host') or 'localhost'}"


def asked(request: Request) -> dict[str, str]:
    """The query string; the last of several values of a key counts."""
    raw: bytes = request.scope["query_string"]
    try:
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000))
    except ValueError:
        raise invalid("The query string must be percent-encoded UTF-8 with at most 1000 parameters.") from None


def many(request: Request, name: str) -> list[str]:
    """Every value of one key of the query string."""
    raw: bytes = request.scope["query_string"]
    return [value for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if key == name]


async def given(request: Request) -> dict[str, Any]:
    """The query string, with the fields of a form or JSON body over it."""
    body = await request.whole()
    return asked(request) | fields(body, request.header(b"content-type") or "")


def fields(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a small body: a form, or a JSON object. Other bodies have none."""
    if not body.strip():
        return {}
    if "json" in content_type and "ndjson" not in content_type:
        return json_object(body)
    if "x-www-form-urlencoded" in content_type:
        try:
            text = body.decode()
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000))
        except ValueError:
            raise invalid("The form in the body must be UTF-8 with at most 1000 fields.") from None
    return {}


def json_object(body: bytes) -> dict[str, Any]:
    """A JSON object; raises `invalid`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The body must be JSON; it is not: {error}.") from None
    if not isinstance(found, dict):
        raise invalid(f"The body must be a JSON object; it is a {type(found).__name__}.")
    return found


def plain_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a pipe: what is left when the clients' own keys are taken off."""
    return {
        key: value
        for key, value in values.items()
        if key not in _CREDENTIAL_KEYS and key != "_mode" and not key.startswith("__tb__")
    }


def yes(values: dict[str, Any], name: str, default: bool = False) -> bool:
    """A flag; raises `invalid` for a word that is none."""
    text = str(values.get(name, "")).strip().lower()
    if text in ("", "none"):
        return default
    if text not in ("true", "false", "1", "0"):
        raise invalid(f"{name} must be true or false; it is {text!r}.", field=name)
    return text in ("true", "1")


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes in."""
    async for piece in request.stream():
        if piece:
            yield piece


def missing(what: str, name: str) -> RunyardError:
    """404 in this platform's words."""
    return RunyardError(Code.NOT_FOUND, f'{what} "{name}" not found')
