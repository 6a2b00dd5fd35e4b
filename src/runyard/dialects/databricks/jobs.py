"""Jobs: create, get, list, update, reset, delete, run-now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from runyard.core.commands import Submit
from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.model import Job, JobSpec, OnLimit, Run
from runyard.core.query import MAX_PAGE, JobFilter, Page, cursor_of
from runyard.core.triggers import qualified
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks import compile_triggers, parse, serve, wire
from runyard.dialects.databricks.permissions import MANAGE, RUN, VIEW, Permissions
from runyard.dialects.databricks.serve import Given, Place, done, read, version_of
from runyard.dialects.databricks.tables import LIMITS, NAME, QUEUED_VIA
from runyard.engine.runs import Submitted
from runyard.engine.writer import Reply
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

MAX_PLAIN = 10_000


class JobRoutes:
    """Handlers of jobs."""

    def __init__(self, place: Place, permissions: Permissions) -> None:
        self._place = place
        self._registry = place.engine.registry
        self._runs = place.engine.runs
        self._permissions = permissions
        self._plain: OrderedDict[int, int] = OrderedDict()
        """Versions of jobs that are run without a further look: they have tasks, and do not keep themselves running."""

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do, run = "jobs:read", "jobs:write", "runs:write"
        return (
            *serve.routes("POST", "/jobs/create", do, self.create),
            *serve.routes("GET", "/jobs/get", see, self.get),
            *serve.routes("GET", "/jobs/list", see, self.list_),
            *serve.routes("POST", "/jobs/update", do, self.update),
            *serve.routes("POST", "/jobs/reset", do, self.reset),
            *serve.routes("POST", "/jobs/delete", do, self.delete),
            *serve.routes("POST", "/jobs/run-now", run, self.run_now),
        )

    # --- definitions ---

    async def create(self, request: Request) -> Answer:
        """POST jobs/create"""
        given = await serve.body(request)
        if not given and version_of(request) == "2.0":
            raise invalid("Run settings must be specified.")
        settings = _with_queue(compiling.settings_of(given), request)
        await self._permissions.require_started(request, settings)
        spec = await self._compiled(settings, request)
        acl = parse.request("Create", {"access_control_list": given.get("access_control_list")})
        entries = self._permissions.checked(acl.get("access_control_list", []), request.principal.name)
        by = request.principal.name
        job = await self._kept(lambda: self._registry.create_job(spec, by=by, origin=NAME), settings)
        if entries:
            await self._permissions.keep(job.id, entries, request.principal.name)
        return answer({"job_id": job.id})

    async def update(self, request: Request) -> Answer:
        """POST jobs/update"""
        raw = await serve.body(request)
        given = parse.request("Update", raw)
        job = await self._managed(given, request)
        new = given.get("new_settings", {})
        sent = raw.get("new_settings")
        sent = sent if isinstance(sent, dict) else {}
        compiling.settings_of(sent)  # refuses what only the raw form shows
        before, remove = compiling.settings_in(job.spec), given.get("fields_to_remove", [])
        settings = compiling.merged(before, new, remove, compiling.single_fields(sent))
        await self._replace(job, settings, request)
        return done()

    async def reset(self, request: Request) -> Answer:
        """POST jobs/reset: all settings anew, except that `run_as` stays when it is left out."""
        raw = await serve.body(request)
        given = parse.request("Reset", raw)
        job = await self._managed(given, request)
        if not isinstance(raw.get("new_settings"), dict):
            raise invalid("Run settings must be specified.")
        settings = _with_queue(compiling.settings_of(raw["new_settings"]), request)
        before = compiling.settings_in(job.spec)
        if "run_as" in before:
            settings.setdefault("run_as", before["run_as"])
        await self._replace(job, settings, request)
        return done()

    async def _managed(self, given: Given, request: Request) -> Job:
        job_id = parse.need(given, "job_id")
        await self._permissions.require(request, job_id, MANAGE)
        return await serve.found_job(self._place, job_id)

    async def _replace(self, job: Job, settings: Given, request: Request) -> None:
        await self._permissions.require_started(request, settings)
        spec = await self._compiled(settings, request)
        by = request.principal.name
        await self._kept(lambda: self._registry.update_job(job.id, spec, by=by), settings)
        self._plain.pop(job.id, None)

    async def _compiled(self, settings: Given, request: Request) -> JobSpec:
        around = await self._place.surroundings(request, settings)
        try:
            return compiling.job(settings, around)
        except RunyardError as error:
            raise compile_triggers.refusal(error, settings) from None

    async def _kept(self, keep: Callable[[], Reply[Job]], settings: Given) -> Job:
        try:
            job = await keep()
        except RunyardError as error:
            if error.code is Code.NOT_FOUND:
                raise invalid(f"A run_job_task names a job that does not exist: {error.message}") from None
            raise compile_triggers.refusal(error, settings) from None
        return job

    async def delete(self, request: Request) -> Answer:
        """POST jobs/delete"""
        job = await self._managed(await read(request, "Delete"), request)
        await self._registry.delete_job(job.id, request.principal.name)
        return done()

    # --- looking ---

    async def get(self, request: Request) -> Answer:
        """GET jobs/get"""
        given, version = serve.asked(request, "Get"), version_of(request)
        job_id = parse.need(given, "job_id")
        await self._permissions.require(request, job_id, VIEW)
        job = await serve.found_job(self._place, job_id)
        offset = wire.parse_array_token(given.get("page_token"))
        state = await offload(self._trigger_state, job) if given.get("include_trigger_state") else None
        return answer(wire.job_body(job, version, offset=offset, trigger_state=state))

    def _trigger_state(self, job: Job) -> Given | None:
        """What the job's file arrival or table update trigger has seen since it fired last; None without one."""
        given = compiling.settings_in(job.spec).get("trigger", {})
        if "file_arrival" in given:
            return {"file_arrival": {"using_file_events": False}}
        if "table_update" not in given:
            return None
        trigger = self._place.engine.triggers.by_key(job.workspace, job.origin, "trigger", job.id)
        seen = trigger.memory.get("tables", [])
        states = [
            {"table_name": name, "has_seen_updates": qualified(".".join(name.split(".")[-2:])) in seen}
            for name in given["table_update"].get("table_names", [])
        ]
        return {"table": {"last_seen_table_states": states, "using_scalable_monitoring": False}}

    async def list_(self, request: Request) -> Answer:
        """GET jobs/list"""
        given, version = serve.asked(request, "List"), version_of(request)
        limit = given.get("limit", LIMITS["default_page"])
        if not 1 <= limit <= LIMITS["jobs_page"]:
            raise invalid(f"Invalid limit {limit} - it has to be between 1 and {LIMITS['jobs_page']}.")
        every = version == "2.0" and "limit" not in given and "page_token" not in given
        page = await offload(self._page, given, None if every else limit)
        expand = given.get("expand_tasks", False)
        hidden = await self._permissions.without(request, VIEW)
        body: dict[str, Any] = {}
        listed = [wire.listed_job(job, version, expand=expand) for job in page.items if job.id not in hidden]
        if listed:
            body["jobs"] = listed
        if page.next is not None:
            body["next_page_token"] = wire.page_token(page.items[-1].id)
        if version != "2.2":
            body["has_more"] = page.next is not None
        return answer(body)

    def _page(self, given: Given, limit: int | None) -> Page[Job]:
        where = JobFilter(origin=NAME, name_any_case=given.get("name"))
        token, skip = given.get("page_token"), offset_of(given)
        cursor = cursor_of(wire.parse_page_token(token)[0]) if token else None
        found: list[Job] = []
        while True:
            wanted = MAX_PAGE if limit is None else min(MAX_PAGE, skip + limit - len(found))
            page = self._registry.jobs(where, wanted, cursor)
            found += page.items
            cursor = page.next
            if cursor is None or (limit is not None and len(found) >= skip + limit):
                return Page(found[skip:], cursor)

    # --- running ---

    async def run_now(self, request: Request) -> Answer:
        """POST jobs/run-now"""
        given = await read(request, "RunNow")
        await self._permissions.require(request, given.get("job_id", 0), RUN)
        known = await self._again(given, request.principal.name)
        if known is not None:
            return answer({"run_id": known, "number_in_job": known})
        job = await serve.found_job(self._place, parse.need(given, "job_id"))
        if compiling.is_empty(job.spec):
            raise invalid(f"Job {job.id} has no tasks; add one before you run it.")
        if compile_triggers.keeps_running(compiling.settings_in(job.spec)):
            run_id = await self._restart(job, given, request.principal.name)
            return answer({"run_id": run_id, "number_in_job": run_id})
        command = await self._submission(job, given, request)
        run = await submit(self._place, command, request.principal.name)
        self._remember(job, run)
        return answer({"run_id": run.id, "number_in_job": run.id})

    def _remember(self, job: Job, run: Run) -> None:
        if run.job_version == job.version:
            self._plain[job.id] = job.version
            if len(self._plain) > MAX_PLAIN:
                self._plain.popitem(last=False)

    async def _again(self, given: Given, by: str) -> int | None:
        """A run of a job that was run by this way before: its definition need not be read for that.

        None where more must be known of it: it is new or changed, or the request gives what it does not define.
        """
        job_id: int = given.get("job_id", 0)
        if job_id not in self._plain or compiling.overrides(given):
            return None
        try:
            run = await submit(self._place, _command(job_id, given, {}), by)
        except RunyardError as error:
            if error.code is Code.NOT_FOUND or (error.field or "").startswith("parameters"):
                del self._plain[job_id]
                return None
            raise
        if run.job_version != self._plain.get(job_id):
            self._plain.pop(job_id, None)
        return run.id

    async def _restart(self, job: Job, given: Given, by: str) -> int:
        """Of a continuous job the present run is cancelled, and another one begins as soon as it has ended."""
        if compiling.overrides(given):
            raise invalid("A continuous job takes job_parameters only.")
        key = compile_triggers.continuous_key(compiling.settings_in(job.spec))
        trigger = await offload(self._place.engine.triggers.by_key, job.workspace, job.origin, key, job.id)
        await self._runs.cancel_job(job.id, by)
        named = given.get("job_parameters", {})
        extras = {NAME: {"restart": True, **({"job_parameters": named} if named else {})}}
        firing = await self._place.engine.triggers.fire(trigger.id, by, parameters=named, extras=extras)
        return firing.runs[0]

    async def _submission(self, job: Job, given: Given, request: Request) -> Submit:
        settings, old, named = (
            compiling.settings_in(job.spec),
            compiling.overrides(given),
            given.get("job_parameters", {}),
        )
        undefined = [name for name in named if name not in job.spec.parameters]
        own = None
        if old or undefined:
            around = await self._place.surroundings(request, settings)
            own = compiling.job(compiling.changed(settings, old, named), around)
        return _command(job.id, given, {"overriding_parameters": old, "undefined": undefined}, own)


def _command(job_id: int, given: Given, more: Given, own: JobSpec | None = None) -> Submit:
    named = given.get("job_parameters", {})
    kept = {"job_parameters": named, "performance_target": given.get("performance_target"), **more}
    return Submit(
        job_id=job_id,
        spec=own,
        parameters=named,
        only=given.get("only") or None,
        idempotency_key=token_of(given),
        origin=NAME,
        on_limit=on_limit(given),
        extras={NAME: {name: value for name, value in kept.items() if value}},
    )


def _with_queue(settings: Given, request: Request) -> Given:
    """Jobs of the newest version queue unless they say otherwise; those of earlier ones do not."""
    if "queue" not in settings and version_of(request) == QUEUED_VIA:
        settings["queue"] = {"enabled": True}
    return settings


def offset_of(given: Given) -> int:
    """The deprecated way to page."""
    offset: int = given.get("offset", 0)
    if offset > LIMITS["offset"]:
        raise invalid(
            f"The supplied offset {offset} has exceeded the value of {LIMITS['offset']} allowed for this parameter."
            "Please use the page_token parameter to paginate: take next_page_token of the answer before."
        )
    if offset < 0:
        raise invalid(f"Invalid offset {offset} - it has to be 0 or more.")
    return offset


def on_limit(given: Given) -> OnLimit | None:
    """What a request says of queueing; None: what the job says."""
    enabled = given.get("queue", {}).get("enabled")
    return None if enabled is None else OnLimit.QUEUE if enabled else OnLimit.SKIP


def token_of(given: Given) -> str | None:
    """The idempotency token; an empty one is none."""
    token: str | None = given.get("idempotency_token") or None
    if token is not None and len(token) > LIMITS["idempotency_token"]:
        raise invalid(f"The idempotency_token may have {LIMITS['idempotency_token']} characters; it has {len(token)}.")
    return token


async def submit(place: Place, command: Submit, by: str) -> Run:
    """Starts a run; the same token again gives the same run, whatever else is asked."""
    try:
        submitted: Submitted = await place.engine.runs.submit(command, by)
    except RunyardError as error:
        known = error.details.get("run_id")
        if error.code is not Code.ALREADY_EXISTS or not isinstance(known, int):
            raise
        return await offload(_still_there, place, known)
    return submitted.run


def _still_there(place: Place, run_id: int) -> Run:
    run = if_found(place.engine.runs.get, run_id)
    if run is None:
        raise invalid(f"The idempotency_token belongs to run {run_id}, which was deleted; use a new token.")
    return run
