"""Runs: submit, get, list, cancel, cancel-all, delete, repair."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from runyard.core.commands import Cancel, Repair, Submit
from runyard.core.errors import Code, RunyardError, conflict, if_found, invalid
from runyard.core.model import JobSpec, Run, TaskRun
from runyard.core.query import MAX_PAGE, Page, RunFilter, cursor_of
from runyard.core.states import TERMINAL, Reason, State
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks import jobs, parse, resolved, serve, wire, wire_runs
from runyard.dialects.databricks.parts import Surroundings
from runyard.dialects.databricks.permissions import MANAGE, RUN, VIEW, Permissions
from runyard.dialects.databricks.serve import Given, Place, done, host_of, read, version_of
from runyard.dialects.databricks.tables import ACTIVE, COMPLETED, LIMITS, NAME
from runyard.dialects.databricks.wire_runs import Followed, View
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

MAX_SPECS = 200
MAX_LARGE = 4
MAX_EVENTS = 100_000
SUBMITTED = "submit"
SPAWNED = "attempt"
"""Triggers of one-time submissions and of runs that a notebook starts: by it they are found among all runs."""


class RunRoutes:
    """Handlers of runs."""

    def __init__(self, place: Place, permissions: Permissions) -> None:
        self._place = place
        self._runs = place.engine.runs
        self._permissions = permissions
        self._followed: OrderedDict[tuple[int, int], Followed] = OrderedDict()
        self._large: OrderedDict[tuple[int, int], list[TaskRun]] = OrderedDict()

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        see, do = "runs:read", "runs:write"
        return (
            *serve.routes("POST", "/jobs/runs/submit", do, self.submit),
            *serve.routes("GET", "/jobs/runs/get", see, self.get),
            *serve.routes("GET", "/jobs/runs/list", see, self.list_),
            *serve.routes("POST", "/jobs/runs/cancel", do, self.cancel),
            *serve.routes("POST", "/jobs/runs/cancel-all", do, self.cancel_all),
            *serve.routes("POST", "/jobs/runs/delete", do, self.delete),
            *serve.routes("POST", "/jobs/runs/repair", do, self.repair),
        )

    # --- starting ---

    async def submit(self, request: Request) -> Answer:
        """POST jobs/runs/submit"""
        raw = await serve.body(request)
        given = parse.request("Submit", raw)
        settings = compiling.settings_of({**raw, "name": given.get("run_name") or "Untitled"})
        if "tasks" in given:
            settings["tasks"] = given["tasks"]
        if not settings.get("tasks"):
            raise invalid("A submission needs at least one task.")
        settings.pop("queue", None)
        await self._permissions.require_started(request, settings)
        around = await self._place.surroundings(request, settings, one_time=True)
        spec = compiling.job(settings, around)
        kept = {"performance_target": given.get("performance_target")}
        command = Submit(
            spec=spec,
            idempotency_key=jobs.token_of(given),
            origin=NAME,
            trigger=SUBMITTED,
            extras={NAME: {name: value for name, value in kept.items() if value}},
        )
        entries = self._permissions.checked(given.get("access_control_list", []), request.principal.name)
        try:
            run_id = (await jobs.submit(self._place, command, request.principal.name)).id
        except RunyardError as error:
            if error.code is Code.NOT_FOUND:
                raise invalid(f"A run_job_task names a job that does not exist: {error.message}") from None
            raise
        if entries:
            await self._permissions.keep(run_id, entries, request.principal.name)
        return answer({"run_id": run_id})

    # --- looking ---

    async def get(self, request: Request) -> Answer:
        """GET jobs/runs/get, of a job run or a task run"""
        given = serve.asked(request, "GetRun")
        return answer(await offload(self._shown, request, given))

    def _shown(self, request: Request, given: Given) -> dict[str, Any]:
        run, one = self.found(request, parse.need(given, "run_id"))
        offset = wire.parse_array_token(given.get("page_token"))
        history = given.get("include_history", False)
        view = self.view(request, run, resolve=given.get("include_resolved_values", False), history=history)
        if one is not None:
            return wire_runs.task_run_body(view, one, offset=offset)
        return wire_runs.run_body(view, offset=offset, history=history)

    def found(self, request: Request, run_id: int, level: str = VIEW) -> tuple[Run, TaskRun | None]:
        """The job run with this id, or the task run and its job run, for a caller who holds this level on its job."""
        run, one = serve.any_run(self._place, run_id)
        self._permissions.check(request, wire_runs.job_id_of(run), level)
        return run, one

    def view(self, request: Request, run: Run, *, resolve: bool = False, history: bool = False) -> View:
        """A run with all that its body shows."""
        followed, task_runs = self._definition(run), self._task_runs(run)
        return View(
            run=run,
            followed=followed,
            task_runs=task_runs,
            host=host_of(request),
            version=version_of(request),
            now=self._place.engine.clock.now(),
            events=self._runs.events(run.id, limit=MAX_EVENTS) if history and run.round else [],
            resolved=resolved.resolver(run, followed.spec, task_runs) if resolve else None,
        )

    def _task_runs(self, run: Run) -> list[TaskRun]:
        """All attempts of a run. Those of the last large ones that are over are remembered: they come in many pages."""
        key = (run.id, run.seq)
        found = self._large.get(key)
        if found is None:
            found = self._runs.task_runs(run.id, newest=False)
            if run.state in TERMINAL and len(found) > LIMITS["page_of_arrays"]:
                self._large[key] = found
                if len(self._large) > MAX_LARGE:
                    self._large.popitem(last=False)
        return found

    async def list_(self, request: Request) -> Answer:
        """GET jobs/runs/list"""
        given, version = serve.asked(request, "ListRuns"), version_of(request)
        where, limit = _filter(given), _limit(given, version)
        hidden = await self._permissions.without(request, VIEW)
        page, newer, bodies = await offload(self._list_page, request, where, given, limit, hidden)
        body: dict[str, Any] = {"runs": bodies} if bodies else {}
        if page.next is not None:
            body["next_page_token"] = wire.page_token(page.items[-1].id)
        if newer:
            body["prev_page_token"] = wire.page_token(page.items[0].id, newer=True)
        if version != "2.2":
            body["has_more"] = page.next is not None
        return answer(body)

    def _list_page(
        self, request: Request, where: RunFilter, given: Given, limit: int, hidden: set[int]
    ) -> tuple[Page[Run], bool, list[dict[str, Any]]]:
        page, newer = self._page(where, given, limit)
        seen = [run for run in page.items if wire_runs.job_id_of(run) not in hidden]
        return page, newer, self._listed(request, seen, given.get("expand_tasks", False))

    def _page(self, where: RunFilter, given: Given, limit: int) -> tuple[Page[Run], bool]:
        """The page, and whether there are newer runs than its first."""
        token, skip = given.get("page_token"), jobs.offset_of(given)
        last, backwards = wire.parse_page_token(token) if token else (None, False)
        if last is not None and backwards:
            return self._runs.newer(where, last, limit)
        cursor = cursor_of(last) if last is not None else None
        found: list[Run] = []
        while True:
            page = self._runs.find(where, min(MAX_PAGE, skip + limit - len(found)), cursor)
            found += page.items
            cursor = page.next
            if cursor is None or len(found) >= skip + limit:
                break
        if not found and given.get("job_id") is not None and self._is_submission(given["job_id"]):
            return Page([self._runs.get(given["job_id"])]), False
        return Page(found[skip:], cursor), bool(last or skip) and bool(found[skip:])

    def _listed(self, request: Request, found: list[Run], expand: bool) -> list[dict[str, Any]]:
        host, version, now = host_of(request), version_of(request), self._place.engine.clock.now()
        bodies = []
        for run in found:
            task_runs = self._runs.task_runs(run.id, newest=False) if expand else []
            followed = self._definition(run)
            view = View(run=run, followed=followed, task_runs=task_runs, host=host, version=version, now=now)
            bodies.append(wire_runs.listed_run(view, expand=expand))
        return bodies

    def _definition(self, run: Run) -> Followed:
        """What a run follows; the versions of jobs are remembered, for they never change."""
        if run.job_id is None or run.job_version is None:
            return Followed(self._runs.spec(run.id))
        key = (run.job_id, run.job_version)
        found = self._followed.get(key)
        if found is None:
            found = self._followed[key] = Followed(self._runs.spec(run.id))
            if len(self._followed) > MAX_SPECS:
                self._followed.popitem(last=False)
        return found

    # --- ending ---

    async def cancel(self, request: Request) -> Answer:
        """POST jobs/runs/cancel; what has ended keeps its outcome."""
        run_id = parse.need(await read(request, "OneRun"), "run_id")
        run, one = await offload(self.found, request, run_id, RUN)
        await self._cancel(Cancel(run_id=run.id, task_run_id=one.id if one else None), request.principal.name)
        return done()

    async def _cancel(self, command: Cancel, by: str) -> None:
        try:
            await self._runs.cancel(command, by)
        except RunyardError as error:
            # An earlier attempt of a task is over as well, and the core knows current ones only.
            if error.code not in (Code.CONFLICT, Code.NOT_FOUND):
                raise

    async def cancel_all(self, request: Request) -> Answer:
        """POST jobs/runs/cancel-all: the active runs of a job, or its or everybody's queued ones."""
        given = await read(request, "CancelAll")
        job_id, queued = given.get("job_id"), given.get("all_queued_runs", False)
        if job_id is None and not queued:
            raise invalid("Missing required field: job_id, or all_queued_runs for the queued runs of all jobs.")
        if job_id is not None:
            await self._permissions.require(request, job_id, RUN)
        if job_id is not None and await offload(self._is_submission, job_id):
            await self._cancel(Cancel(run_id=job_id), request.principal.name)
            return done()
        if job_id is not None:
            await serve.found_job(self._place, job_id)
        if job_id is not None and not queued:
            await self._runs.cancel_job(job_id, request.principal.name)
            return done()
        where = RunFilter(states=[State.QUEUED], reason=Reason.JOB_LIMIT, job_id=job_id, origin=NAME)
        others = await self._permissions.without(request, RUN)
        for run_id in await offload(self._all, where, others):
            await self._cancel(Cancel(run_id=run_id), request.principal.name)
        return done()

    def _all(self, where: RunFilter, others: set[int]) -> list[int]:
        """Their ids, the newest first: none of them may slip in while the others end."""
        found: list[int] = []
        cursor: str | None = None
        while True:
            page = self._runs.find(where, MAX_PAGE, cursor)
            found += [run.id for run in page.items if run.job_id not in others]
            cursor = page.next
            if cursor is None:
                return found

    def _is_submission(self, job_id: int) -> bool:
        run = if_found(self._runs.get, job_id)
        return run is not None and run.job_id is None

    async def delete(self, request: Request) -> Answer:
        """POST jobs/runs/delete: a run that is over, with all that is kept of it."""
        run_id = parse.need(await read(request, "OneRun"), "run_id")
        run, one = await offload(self.found, request, run_id, MANAGE)
        if one is not None:
            raise invalid(f"Run {run_id} is a task run of run {run.id}; delete that one.")
        await self._runs.delete(run_id, request.principal.name)
        return done()

    # --- repair ---

    async def repair(self, request: Request) -> Answer:
        """POST jobs/runs/repair"""
        given = await read(request, "Repair")
        run_id = parse.need(given, "run_id")
        run, _ = await offload(self.found, request, run_id, RUN)
        newest = await offload(self._job_spec, run)
        settings = compiling.settings_in(newest) if newest is not None else {}
        around = await self._place.surroundings(request, settings, one_time=run.job_id is None)
        command = await offload(self._repair, around, run_id, given)
        repaired = await self._runs.repair(command, request.principal.name)
        task_runs = await offload(self._runs.task_runs, run_id)
        return answer({"repair_id": wire_runs.repair_ids(task_runs)[repaired.round]})

    def _repair(self, around: Surroundings, run_id: int, given: Given) -> Repair:
        run, one = serve.any_run(self._place, run_id)
        if one is not None:
            raise invalid(f"Run {run_id} is a task run of run {run.id}; repair that one.")
        if run.state not in TERMINAL:
            raise conflict(f"Run {run_id} is still active; it can be repaired once it is over.")
        tasks = _to_rerun(given)
        task_runs = self._runs.task_runs(run_id, newest=False)
        if run.round and given.get("latest_repair_id") != wire_runs.repair_ids(task_runs)[run.round]:
            raise invalid("The latest repair ID needs to be provided in order to create a new repair")
        spec, own = self._newest(around, run, given)
        named = given.get("job_parameters", {})
        return Repair(
            run_id=run_id,
            tasks=tasks,
            dependents=given.get("rerun_dependent_tasks", False),
            parameters={**spec.parameters, **named},
            after_round=run.round,
            spec=spec if own else None,
        )

    def _newest(self, around: Surroundings, run: Run, given: Given) -> tuple[JobSpec, bool]:
        """What the repair follows: the job's settings of today; and whether that is another definition than before."""
        spec, old = self._runs.spec(run.id), compiling.overrides(given)
        newest = self._job_spec(run) or spec
        named = given.get("job_parameters", {})
        undefined = [name for name in named if name not in newest.parameters]
        if old or undefined:
            settings = compiling.changed(compiling.settings_in(newest), old, named)
            newest = compiling.job(settings, around)
        if newest == spec:
            return spec, False
        return compiling.repaired(spec, newest), True

    def _job_spec(self, run: Run) -> JobSpec | None:
        job_id = run.job_id
        job = if_found(self._place.engine.registry.job, job_id) if job_id is not None else None
        return job.spec if job is not None else None  # deleted since: the run's own definition is all there is


def _to_rerun(given: Given) -> list[str] | None:
    tasks, failed = given.get("rerun_tasks"), given.get("rerun_all_failed_tasks", False)
    if bool(tasks) == bool(failed):
        raise invalid("A repair needs either rerun_tasks or rerun_all_failed_tasks.")
    if tasks and len(set(tasks)) < len(tasks):
        raise invalid("rerun_tasks cannot contain duplicate task keys.")
    return tasks or None


def _limit(given: Given, version: str) -> int:
    most = LIMITS["runs_page_2_0"] if version == "2.0" else LIMITS["runs_page"]
    limit: int = given.get("limit", LIMITS["default_page"])
    if limit > most:
        raise invalid(f"Invalid limit {limit} - it has to be no more than {most}.")
    if limit < 0:
        raise invalid(f"Invalid limit {limit} - it has to be greater than 0.")
    return limit or most


def _filter(given: Given) -> RunFilter:
    active, completed = given.get("active_only", False), given.get("completed_only", False)
    if active and completed:
        raise invalid("active_only and completed_only cannot both be true.")
    kind, until = given.get("run_type"), given.get("start_time_to")
    return RunFilter(
        origin=NAME,
        job_id=given.get("job_id"),
        states=list(ACTIVE if active else COMPLETED) if active or completed else None,
        of_job=True if kind == "JOB_RUN" else None,
        trigger={"SUBMIT_RUN": SUBMITTED, "WORKFLOW_RUN": SPAWNED}.get(kind or ""),
        created_after=given.get("start_time_from"),
        created_before=until + 1 if until is not None else None,
    )
