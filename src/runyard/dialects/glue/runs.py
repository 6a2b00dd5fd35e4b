"""Job runs: start, get, list, stop. Source: AWS Glue Developer Guide, 'Job runs'."""

from __future__ import annotations

import time

from runyard.core.commands import Cancel, Submit
from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.model import Job, OnLimit, Run, TaskRun
from runyard.core.opaque import Opaque
from runyard.core.states import TERMINAL
from runyard.core.triggers import cause_of
from runyard.dialects.glue import compile as compiling
from runyard.dialects.glue import tables, wire
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import fault, missing
from runyard.dialects.glue.jobs import Jobs
from runyard.engine.registry import Registry
from runyard.engine.runs import Runs
from runyard.http.request import offload

PAGE = 200
Pair = tuple[Run, TaskRun | None]


class JobRuns:
    """Handlers over the facade of runs. `max_live` is how many runs may be unfinished at once; 0: any number."""

    def __init__(self, runs: Runs, registry: Registry, jobs: Jobs, opaque: Opaque, max_live: int) -> None:
        self._runs = runs
        self._registry = registry
        self._jobs = jobs
        self._opaque = opaque
        self._max_live = max_live

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("StartJobRun", "runs:write", self.start),
            Op("GetJobRun", "runs:read", self.get),
            Op("GetJobRuns", "runs:read", self.list_runs),
            Op("BatchStopJobRun", "runs:write", self.stop),
        )

    async def start(self, asked: Json, who: Caller) -> Json:
        """StartJobRun"""
        job = self._jobs.seen(asked["JobName"])
        if job is not None:
            try:
                return await self._start(job, asked, who)
            except RunyardError as error:
                if error.code is Code.LIMIT:
                    raise
                # Perhaps by what the job is no more: it decides as it is now.
                self._jobs.forget(asked["JobName"])
        return await self._start(self._jobs.named(asked["JobName"]), asked, who)

    async def _start(self, job: Job, asked: Json, who: Caller) -> Json:
        name, kept = asked["JobName"], job.extras[tables.NAME]
        if "AllocatedCapacity" in asked and "MaxCapacity" in asked:
            raise invalid("Please set only Allocated Capacity or Max Capacity")
        compiling.check_capacity(kept, asked)
        parameters = compiling.run_parameters(kept, asked | self._again(asked, name))
        if "JobRunId" in asked:
            parameters["overrides"]["PreviousRunId"] = asked["JobRunId"]
        if window := self._window(job, parameters):
            parameters["window"] = window
        run = await self._submit(job, parameters, asked, who)
        return {"JobRunId": wire.run_id_of(self._opaque, run.id)}

    async def _submit(self, job: Job, parameters: Json, asked: Json, who: Caller) -> Run:
        queuing = asked.get("JobRunQueuingEnabled", job.extras[tables.NAME].get("JobRunQueuingEnabled"))
        command = Submit(
            job_id=job.id,
            spec=compiling.amended(job.spec, asked),
            on_limit=None if queuing is None else OnLimit.QUEUE if queuing else OnLimit.REFUSE,
            parameters=parameters,
            origin=tables.NAME,
            max_live=None if queuing or not self._max_live else self._max_live,
        )
        try:
            return (await self._runs.submit(command, who.by, expect_version=job.version)).run
        except RunyardError as error:
            if error.code is not Code.LIMIT:
                raise
            if "max_live" in error.details:
                said = f"The account has {self._max_live} concurrent job runs, which is its limit."
                raise fault("ResourceNumberLimitExceededException", said, Code.LIMIT) from None
            said = f"Concurrent runs exceeded for {job.spec.name}"
            raise fault("ConcurrentRunsExceededException", said, Code.LIMIT) from None

    def _window(self, job: Job, parameters: Json) -> Json:
        """What was processed after each of the two runs between which a paused bookmark reads."""
        arguments = compiling.arguments({**job.spec.parameters, **parameters})
        ends = {name: arguments.get(f"--job-bookmark-{name}") for name in ("from", "to")}
        if arguments.get("--job-bookmark-option") != "job-bookmark-pause" or None in ends.values():
            return {}
        return {name: self._processed_after(job, str(text)) for name, text in ends.items()}

    def _processed_after(self, job: Job, text: str) -> Json:
        run, _ = self.find(job.spec.name, text)
        bookmark = if_found(self._registry.bookmark, str(job.id), run.id)
        return dict(bookmark.state.get("contexts", {})) if bookmark is not None else {}

    def _again(self, asked: Json, name: str) -> Json:
        """The arguments of the run that is to be tried again, unless there are new ones."""
        if "JobRunId" not in asked:
            return {}
        run, _ = self.find(name, asked["JobRunId"])
        return {} if "Arguments" in asked else {"Arguments": run.parameters.get("arguments", {})}

    def find(self, name: str, text: str) -> Pair:
        """The run and attempt of a JobRunId of this job; raises EntityNotFoundException."""
        found = self.look(text)
        if found is None or found[0].name != name:
            raise missing(f"Job run {text} not found.")
        return found

    def look(self, text: str) -> Pair | None:
        """The run and attempt of a JobRunId, or None."""
        wanted = wire.parse_run_id(self._opaque, text)
        if wanted is None:
            return None
        run = found_run(self._runs, wanted.run_id)
        if run is None:
            return None
        attempts = [one for one in self._runs.task_runs(run.id, newest=False) if one.task_key == compiling.TASK]
        for one in attempts:
            if (one.round, one.attempt) == (wanted.round, wanted.attempt):
                return run, one
        return (run, None) if not attempts and (wanted.round, wanted.attempt) == (0, 0) else None

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetJobRun"""
        run, one = await offload(self.find, asked["JobName"], asked["RunId"])
        return {"JobRun": self.body(run, one)}

    def body(self, run: Run, one: TaskRun | None) -> Json:
        """An attempt as Glue's JobRun."""
        cause = cause_of(run.extras)
        shown = wire.job_run(self._opaque, run, one, round(time.time() * 1000))
        if cause is None:
            return shown
        return {**shown, "TriggerName": cause.name, "PredecessorRuns": self._predecessors(cause.after)}

    def _predecessors(self, run_ids: list[int]) -> list[Json]:
        """The runs whose ends made the trigger fire, by their last attempts; without those that were removed since."""
        found: list[Json] = []
        for run in (found_run(self._runs, run_id) for run_id in run_ids):
            if run is not None:
                last = self._runs.task_runs(run.id)[-1:]
                place = (last[0].round, last[0].attempt) if last else (0, 0)
                found.append({"JobName": run.name, "RunId": wire.run_id_of(self._opaque, run.id, *place)})
        return found

    async def list_runs(self, asked: Json, who: Caller) -> Json:
        """GetJobRuns: newest first"""
        job = self._jobs.named(asked["JobName"])
        limit, after = asked.get("MaxResults", PAGE), wire.parse_token(asked.get("NextToken"))
        found = await offload(self._runs.of_job, job.id, limit + 1, after)
        last = _ids(found[limit - 1]) if len(found) > limit else None
        return {
            "JobRuns": [self.body(run, one) for run, one in found[:limit]],
            "NextToken": wire.token_of(last) if last else None,
        }

    async def stop(self, asked: Json, who: Caller) -> Json:
        """BatchStopJobRun: asks each for its end, and tells which could not be asked"""
        name = asked["JobName"]
        done: list[Json] = []
        failed: list[Json] = []
        for text in asked["JobRunIds"]:
            trouble = await self._stop_one(name, text, who)
            one = {"JobName": name, "JobRunId": text}
            if trouble is None:
                done.append(one)
            else:
                failed.append({**one, "ErrorDetail": {"ErrorCode": trouble[0], "ErrorMessage": trouble[1]}})
        return {"SuccessfulSubmissions": done, "Errors": failed}

    async def _stop_one(self, name: str, text: str, who: Caller) -> tuple[str, str] | None:
        try:
            self._jobs.named(name)
            run, one = self.find(name, text)
            if (one or run).state in TERMINAL:
                state = wire.state_of(run, one)
                return "JobRunInTerminalStateException", f"Job run {text} has already ended: it is {state}."
            await self._runs.cancel(Cancel(run_id=run.id, detail=f"Stopped by {who.by} (BatchStopJobRun)."), who.by)
        except RunyardError as error:
            if error.code is Code.CONFLICT:
                return "JobRunInTerminalStateException", error.message
            if error.code is not Code.NOT_FOUND:
                raise
            return "EntityNotFoundException", error.message
        return None


def found_run(runs: Runs, run_id: int) -> Run | None:
    """A run, or None when it was removed."""
    return if_found(runs.get, run_id)


def _ids(pair: Pair) -> tuple[int, int]:
    return pair[0].id, pair[1].id if pair[1] else 0
