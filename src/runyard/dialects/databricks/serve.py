"""What the handlers share: reading a request, answering it, and the facades behind it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.model import Document, Job, Run, TaskRun
from runyard.dialects.databricks import parse
from runyard.dialects.databricks.parts import Spark, Surroundings
from runyard.dialects.databricks.paths import Roots
from runyard.dialects.databricks.tables import NAME
from runyard.engine.documents import Documents
from runyard.engine.engine import Engine
from runyard.http.answers import Whole, answer
from runyard.http.card import Route
from runyard.http.request import Request, offload

Given = dict[str, Any]
DESTINATION = "notification_destination"
VERSIONS = ("2.0", "2.1", "2.2")
_VERSION = re.compile(r"/api/(2\.[0-2])/")


class Place(msgspec.Struct, frozen=True):
    """What the composition root gives this dialect."""

    engine: Engine
    roots: Roots
    record_only: bool = False
    mail: bool = False
    spark: Spark | None = None

    async def surroundings(self, request: Request, settings: Given, *, one_time: bool = False) -> Surroundings:
        """What these settings are compiled with."""
        asked = "webhook_notifications" in settings or any(
            "webhook_notifications" in task for task in settings.get("tasks", [])
        )
        return Surroundings(
            roots=self.roots,
            url=host_of(request),
            one_time=one_time,
            mail=self.mail,
            destinations=await offload(self._destinations) if asked else {},
            record_only=self.record_only,
            spark=self.spark,
        )

    def _destinations(self) -> dict[str, Given]:
        found: dict[str, Given] = {}
        cursor: str | None = None
        while True:
            page = self.engine.documents.find(NAME, DESTINATION, limit=1000, cursor=cursor)
            found |= {one.key: one.body.get("config", {}) for one in page.items}
            cursor = page.next
            if cursor is None:
                return found


async def body(request: Request) -> Given:
    """The JSON object that was sent, as it came."""
    return parse.body(await request.whole())


async def read(request: Request, name: str) -> Given:
    """The body as one of the published requests."""
    return parse.request(name, await body(request))


def asked(request: Request, name: str) -> Given:
    """The query string as one of the published requests."""
    return parse.request(name, parse.query(request.scope["query_string"]))


def version_of(request: Request) -> str:
    """2.0, 2.1 or 2.2, from the path."""
    found = _VERSION.match(request.scope["path"])
    return found[1] if found else "2.2"


def host_of(request: Request) -> str:
    """The address under which the caller reaches us."""
    return f"{request.scope.get('scheme', 'http')}://{request.header(b'host') or 'localhost'}"


def done() -> Whole:
    """What is done and has nothing to show: clients parse every answer, so it is an object all the same."""
    return answer({})


def routes(
    method: str, path: str, scope: str, handler: Callable[..., Awaitable[Any]], versions: tuple[str, ...] = VERSIONS
) -> tuple[Route, ...]:
    """The same handler under each version of the API."""
    return tuple(Route(method, f"/api/{version}{path}", scope, handler) for version in versions)


# --- what is there ----------------------------------------------------------------------------------------


def no_job(job_id: int) -> RunyardError:
    """An unknown job; clients look for these words. 400, as the classic service answers."""
    return invalid(f"Job {job_id} does not exist.")


def no_run(run_id: int) -> RunyardError:
    """An unknown run; clients look for these words."""
    return invalid(f"Run {run_id} does not exist.")


async def found_job(place: Place, job_id: int) -> Job:
    """A kept job."""
    try:
        return await offload(place.engine.registry.job, job_id)
    except RunyardError as error:
        raise (no_job(job_id) if error.code is Code.NOT_FOUND else error) from None


def any_run(place: Place, run_id: int) -> tuple[Run, TaskRun | None]:
    """The job run with this id, or the task run with it and its job run; both share one space of ids."""
    runs = place.engine.runs
    run = if_found(runs.get, run_id)
    if run is not None:
        return run, None
    one = if_found(runs.task_run, run_id)
    if one is None:
        raise no_run(run_id)
    return runs.get(one.run_id), one


async def found_document(documents: Documents, kind: str, key: str, what: str) -> Document:
    """A document of this dialect; raises what the service says of one that does not exist."""
    kept = await offload(if_found, documents.get, NAME, kind, key)
    if kept is None:
        raise invalid(f"{what} {key} does not exist.", error_code="RESOURCE_DOES_NOT_EXIST", status=404)
    return kept
