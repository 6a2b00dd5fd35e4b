"""Workflows and their runs. Source: AWS Glue Developer Guide, 'Workflows', 'Resuming a workflow run'.

A workflow run is a chain of firings that begins with the workflow's starting trigger; its id is made from that firing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runyard.core.commands import Cancel
from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.model import Document
from runyard.core.opaque import Opaque
from runyard.core.query import MAX_PAGE
from runyard.core.states import ACTIVE
from runyard.core.triggers import Firing, Trigger
from runyard.dialects.glue import chains, scheme, tables, wire
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.chains import Chain, Chains
from runyard.dialects.glue.errors import fault, missing
from runyard.dialects.glue.tags import Tags
from runyard.dialects.glue.triggers import Triggers, job_missing
from runyard.engine.documents import Documents
from runyard.engine.runs import Runs
from runyard.engine.triggers import Triggers as Engine
from runyard.engine.writer import Reply
from runyard.http.policy import SIGNED_IN, allows, attempt_scope, require
from runyard.http.request import offload

KIND, RUN_KIND = "workflow", "workflow_run"
PAGE = 25
GONE = "Entity not found"


class Workflows:
    """Handlers over documents (definitions, snapshots, run properties) and chains of firings."""

    def __init__(
        self,
        documents: Documents,
        triggers: Engine,
        runs: Runs,
        own: Triggers,
        read: Chains,
        tags: Tags,
        opaque: Opaque,
    ) -> None:
        self._documents = documents
        self._triggers = triggers
        self._runs = runs
        self._own = own
        self._chains = read
        self._tags = tags
        self._opaque = opaque

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("CreateWorkflow", "jobs:write", self.create),
            Op("GetWorkflow", "jobs:read", self.get),
            Op("ListWorkflows", "jobs:read", self.list_names),
            Op("BatchGetWorkflows", "jobs:read", self.batch_get),
            Op("UpdateWorkflow", "jobs:write", self.update),
            Op("DeleteWorkflow", "jobs:write", self.delete),
            Op("StartWorkflowRun", "runs:write", self.start),
            Op("GetWorkflowRun", "runs:read", self.get_run),
            Op("GetWorkflowRuns", "runs:read", self.get_runs),
            Op("GetWorkflowRunProperties", SIGNED_IN, self.get_properties),
            Op("PutWorkflowRunProperties", SIGNED_IN, self.put_properties),
            Op("StopWorkflowRun", "runs:write", self.stop),
            Op("ResumeWorkflowRun", "runs:write", self.resume),
        )

    # --- definitions ---

    def exists(self, name: str) -> bool:
        """Whether there is a workflow of this name."""
        return self._find(KIND, name) is not None

    def _find(self, kind: str, key: str) -> Document | None:
        return if_found(self._documents.get, tables.NAME, kind, key)

    def _named(self, name: str) -> Document:
        found = self._find(KIND, name)
        if found is None:
            raise missing(GONE)
        return found

    async def create(self, asked: Json, who: Caller) -> Json:
        """CreateWorkflow"""
        name = asked["Name"]
        body = _body(asked)
        try:
            await self._documents.create(tables.NAME, KIND, name, body, who.by)
        except RunyardError as error:
            if error.code is not Code.ALREADY_EXISTS:
                raise
            raise fault("AlreadyExistsException", f"Workflow {name} already exists", Code.ALREADY_EXISTS) from None
        await self._tags.replace("workflow", name, asked.get("Tags", {}), who.by)
        return {"Name": name}

    async def update(self, asked: Json, who: Caller) -> Json:
        """UpdateWorkflow: what is not given stays as it is (the model says of no member that it is reset)"""
        kept = self._named(asked["Name"])
        body = {**kept.body, **_body(asked)}
        await self._documents.replace(tables.NAME, KIND, asked["Name"], body, who.by)
        return {"Name": asked["Name"]}

    async def delete(self, asked: Json, who: Caller) -> Json:
        """DeleteWorkflow: an unknown name is no error; its triggers stay"""
        await self._documents.delete(tables.NAME, KIND, asked["Name"], who.by)
        await self._tags.drop("workflow", asked["Name"], who.by)
        return {"Name": asked["Name"]}

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetWorkflow"""
        return {"Workflow": await offload(self._shown, self._named(asked["Name"]), asked.get("IncludeGraph", False))}

    def _shown(self, kept: Document, graph: bool) -> Json:
        body: Json = {
            "Name": kept.key,
            **kept.body,
            "CreatedOn": wire.seconds(kept.created_at),
            "LastModifiedOn": wire.seconds(kept.updated_at),
        }
        newest = next(self._roots(kept.key), None)
        if newest is not None:
            body["LastRun"] = self._run_body(kept.key, self._chain(kept.key, newest.id), graph=graph)
        if graph:
            body["Graph"] = scheme.graph(kept.key, self._triggers_of(kept.key))
        return body

    async def batch_get(self, asked: Json, who: Caller) -> Json:
        """BatchGetWorkflows: what is not there is told apart"""
        found = {name: self._find(KIND, name) for name in asked["Names"]}
        graph = asked.get("IncludeGraph", False)
        shown = [await offload(self._shown, one, graph) for one in found.values() if one is not None]
        return {"Workflows": shown, "MissingWorkflows": [name for name, one in found.items() if one is None]}

    async def list_names(self, asked: Json, who: Caller) -> Json:
        """ListWorkflows, by name"""
        limit = asked.get("MaxResults", PAGE)
        page = await offload(self._documents.find, tables.NAME, KIND, limit=limit, cursor=asked.get("NextToken"))
        return {"Workflows": [one.key for one in page.items], "NextToken": page.next}

    # --- runs ---

    def _triggers_of(self, name: str) -> list[Json]:
        return [{"WorkflowName": name, **scheme.shown(one)} for one in self._own.of_workflow(name)]

    def _roots(self, name: str) -> Iterator[Firing]:
        """The firings with which the workflow's runs began, newest first."""
        for trigger in self._own.of_workflow(name)[::-1]:
            if trigger.extras[tables.NAME]["Type"] not in scheme.STARTING:
                continue
            cursor = None
            while True:
                page = self._triggers.firings(trigger.id, MAX_PAGE, cursor)
                yield from (one for one in page.items if one.chain == one.id)
                cursor = page.next
                if cursor is None:
                    break

    def _chain(self, name: str, chain: int) -> Chain:
        found = self._chains.load(chain)
        if found is None or found.root.scope != name:
            raise missing(GONE)
        return found

    def _by_id(self, name: str, text: str) -> Chain:
        """The run of this id; raises EntityNotFoundException."""
        self._named(name)
        chain = self._opaque.read(text[3:]) if text.startswith("wr_") else None
        if chain is None:
            raise missing(GONE)
        return self._chain(name, chain)

    def _id(self, chain: int) -> str:
        return f"wr_{self._opaque.text(chain)}"

    async def start(self, asked: Json, who: Caller) -> Json:
        """StartWorkflowRun"""
        return {"RunId": self._id(await self.begin(asked["Name"], asked.get("RunProperties", {}), who))}

    async def begin(self, name: str, properties: dict[str, str], who: Caller) -> int:
        """Fires the starting trigger, and keeps the triggers as they are now; the chain that begins."""
        kept = self._named(name)
        extras = {tables.NAME: {"properties": {**kept.body.get("DefaultRunProperties", {}), **properties}}}
        snapshot = self._triggers_of(name)

        def fire(trigger: Trigger, expect_fired: int | None) -> Reply[Firing]:
            return self._triggers.fire(trigger.id, who.by, extras=extras, expect_fired=expect_fired)

        firing = await self._within_limit(kept, lambda: self._starting(name), fire)
        await self._keep(firing.id, {"triggers": snapshot}, who)
        return firing.id

    async def _within_limit(
        self, kept: Document, look: Callable[[], Trigger], fire: Callable[[Trigger, int | None], Reply[Firing]]
    ) -> Firing:
        """Fires if the workflow has room for one more run; counts again whenever another caller was quicker."""
        limit = kept.body.get("MaxConcurrentRuns")
        while True:
            with job_missing():
                trigger = look()
            if limit and len(await offload(self._chains.live, kept.key)) >= limit:
                said = f"Concurrent runs exceeded for workflow: {kept.key}."
                raise fault("ConcurrentRunsExceededException", said, Code.LIMIT)
            try:
                with job_missing():
                    return await fire(trigger, trigger.fired if limit else None)
            except RunyardError as error:
                if "fired" not in error.details:
                    raise

    def _starting(self, name: str) -> Trigger:
        for one in self._own.of_workflow(name):
            if one.extras[tables.NAME]["Type"] in scheme.STARTING:
                return one
        raise invalid(f"Workflow {name} has no starting trigger: create one of type ON_DEMAND, SCHEDULED or EVENT.")

    async def _keep(self, chain: int, body: Json, who: Caller) -> None:
        kept = self._find(RUN_KIND, str(chain))
        await self._documents.put(tables.NAME, RUN_KIND, str(chain), {**(kept.body if kept else {}), **body}, who.by)

    async def get_run(self, asked: Json, who: Caller) -> Json:
        """GetWorkflowRun"""
        return {"Run": await offload(self._one, asked["Name"], asked["RunId"], asked.get("IncludeGraph", False))}

    def _one(self, name: str, text: str, graph: bool) -> Json:
        return self._run_body(name, self._by_id(name, text), graph=graph)

    async def get_runs(self, asked: Json, who: Caller) -> Json:
        """GetWorkflowRuns, newest first"""
        self._named(asked["Name"])
        found, token = await offload(self._page, asked)
        return {"Runs": found, "NextToken": token}

    def _page(self, asked: Json) -> tuple[list[Json], str | None]:
        name, limit = asked["Name"], asked.get("MaxResults", PAGE)
        before = self._opaque.read(asked["NextToken"]) if "NextToken" in asked else None
        if "NextToken" in asked and before is None:
            raise invalid("The continuation token is not valid: take NextToken of the page before.")
        ids = [one.id for one in self._roots(name) if before is None or one.id < before]
        graph = asked.get("IncludeGraph", False)
        shown = [self._run_body(name, self._chain(name, one), graph=graph) for one in ids[:limit]]
        return shown, self._opaque.text(ids[limit - 1]) if len(ids) > limit else None

    def _run_body(self, name: str, chain: Chain, *, graph: bool) -> Json:
        kept = self._find(RUN_KIND, str(chain.root.id))
        triggers = (kept.body.get("triggers") if kept else None) or self._triggers_of(name)
        body: Json = {
            "Name": name,
            "WorkflowRunId": self._id(chain.root.id),
            "WorkflowRunProperties": self._properties(name, chain),
            "StartedOn": wire.seconds(chain.root.at),
            "Status": chain.status,
            "Statistics": self._chains.statistics(triggers, chain),
        }
        if chain.completed_at is not None:
            body["CompletedOn"] = wire.seconds(chain.completed_at)
        if events := chain.root.data.get("changes"):
            body["StartingEventBatchCondition"] = {"BatchSize": events, "BatchWindow": _window(chain, triggers)}
        if chain.resumed is not None:
            body["PreviousRunId"] = self._id(chain.resumed)
        if chain.status == chains.ERROR:
            body["ErrorMessage"] = chain.root.detail or "Nothing could be started."
        if graph:
            body["Graph"] = self._chains.graph(name, triggers, chain)
        return body

    # --- run properties ---

    def _properties(self, name: str, chain: Chain) -> dict[str, str]:
        kept = self._find(RUN_KIND, str(chain.root.id))
        workflow = self._find(KIND, name)
        defaults = workflow.body.get("DefaultRunProperties", {}) if workflow else {}
        given = chain.given if tables.NAME in chain.root.extras else defaults
        return {**given, **(kept.body.get("properties", {}) if kept else {})}

    async def get_properties(self, asked: Json, who: Caller) -> Json:
        """GetWorkflowRunProperties"""
        chain = await offload(self._by_id, asked["Name"], asked["RunId"])
        self._check_caller(chain, who, "runs:read")
        return {"RunProperties": self._properties(asked["Name"], chain)}

    def _check_caller(self, chain: Chain, who: Caller, scope: str) -> None:
        """Whoever holds the scope, and the jobs of the workflow run themselves, while they run."""
        if not allows(who.principal, scope):
            own = {
                attempt_scope(one.id, one.token)
                for run in chain.live
                for one in self._runs.task_runs(run.id)
                if one.state in ACTIVE
            }
            if not own & set(who.principal.scopes):
                require(who.principal, scope)

    async def put_properties(self, asked: Json, who: Caller) -> Json:
        """PutWorkflowRunProperties: adds and overwrites"""
        chain = await offload(self._by_id, asked["Name"], asked["RunId"])
        self._check_caller(chain, who, "runs:write")
        kept = self._find(RUN_KIND, str(chain.root.id))
        before = kept.body.get("properties", {}) if kept else {}
        await self._keep(chain.root.id, {"properties": {**before, **asked["RunProperties"]}}, who)
        return {}

    # --- stop and resume ---

    async def stop(self, asked: Json, who: Caller) -> Json:
        """StopWorkflowRun: nothing follows any more, and what runs is stopped"""
        chain = await offload(self._by_id, asked["Name"], asked["RunId"])
        if chain.status != chains.RUNNING:
            said = f"Workflow run {asked['RunId']} is {chain.status}; only a RUNNING one can be stopped."
            raise fault("IllegalWorkflowStateException", said, Code.CONFLICT)
        await self._triggers.close(chain.root.id, who.by)
        # Again, now that nothing can follow: a job may have been started meanwhile.
        for run in (await offload(self._by_id, asked["Name"], asked["RunId"])).live:
            try:
                await self._runs.cancel(Cancel(run_id=run.id, detail=f"Stopped by {who.by} (StopWorkflowRun)."), who.by)
            except RunyardError as error:
                if error.code is not Code.CONFLICT:  # it has ended by itself
                    raise
        return {}

    async def resume(self, asked: Json, who: Caller) -> Json:
        """ResumeWorkflowRun: starts the chosen jobs anew, and what follows them; the rest is as it was"""
        name = asked["Name"]
        chain = await offload(self._by_id, name, asked["RunId"])
        if chain.status != chains.COMPLETED:
            said = f"Workflow run {asked['RunId']} is {chain.status}; only a COMPLETED one can be resumed."
            raise fault("IllegalWorkflowStateException", said, Code.CONFLICT)
        kept = self._find(RUN_KIND, str(chain.root.id))
        triggers = (kept.body.get("triggers") if kept else None) or self._triggers_of(name)
        drawn = scheme.graph(name, triggers)
        nodes = _chosen(drawn, asked["NodeIds"], {run.name for run in chain.runs})
        again = {one["UniqueId"] for one in nodes} | scheme.downstream(drawn, {one["UniqueId"] for one in nodes})
        stale = {one["Name"] for one in drawn["Nodes"] if one["Type"] == "JOB" and one["UniqueId"] in again}
        starts = [self._started_by(chain, one["Name"]) for one in nodes]
        keep = [run.id for run in chain.runs if run.name not in stale]

        def fire(_: Trigger, expect_fired: int | None) -> Reply[Firing]:
            return self._triggers.resume(chain.root.id, starts, keep, who.by, expect_fired=expect_fired)

        root = chain.root.trigger_id
        firing = await self._within_limit(self._named(name), lambda: self._triggers.get(root), fire)
        await self._keep(firing.id, {"triggers": triggers, "properties": self._properties(name, chain)}, who)
        return {"RunId": self._id(firing.id), "NodeIds": [one["UniqueId"] for one in nodes]}

    def _started_by(self, chain: Chain, job: str) -> tuple[int, int]:
        """The trigger, and the place of its action, that starts a job in this chain."""
        for firing in chain.firings[::-1]:
            trigger = self._own.find(firing.name or "")
            names = [action.job for action in trigger.spec.actions] if trigger else []
            if trigger is not None and job in names:
                return trigger.id, names.index(job)
        for trigger in self._own.of_workflow(chain.root.scope):
            names = [action.job for action in trigger.spec.actions]
            if job in names:
                return trigger.id, names.index(job)
        raise missing(f"The trigger that started job {job} is gone.")


def _window(chain: Chain, triggers: list[Json]) -> int:
    given = next((one for one in triggers if one["Name"] == chain.root.name), {})
    return scheme.batch_window(given.get("EventBatchingCondition", {}))


def _chosen(drawn: Json, ids: list[str], attempted: set[str]) -> list[Json]:
    """The nodes to resume: jobs that were attempted, without those that another chosen one leads to."""
    if not ids:
        raise invalid("NodeIds must hold at least one node.")
    known = {one["UniqueId"]: one for one in drawn["Nodes"]}
    for one in ids:
        if one not in known:
            raise invalid(f"Node {one} is not in the graph of this run.")
        if known[one]["Type"] != "JOB" or known[one]["Name"] not in attempted:
            raise invalid(f"Node {one} ({known[one]['Name']}) cannot be resumed: only jobs that were attempted can.")
    covered = {below for one in ids for below in scheme.downstream(drawn, {one}) - {one}}
    return [known[one] for one in dict.fromkeys(ids) if one not in covered]


def _body(asked: Json) -> Json:
    body: Json = {
        name: asked[name] for name in ("Description", "DefaultRunProperties", "MaxConcurrentRuns") if name in asked
    }
    if body.get("MaxConcurrentRuns", 1) < 1:
        raise invalid(f"MaxConcurrentRuns must be 1 or more; it is {body['MaxConcurrentRuns']}.")
    return body
