"""Triggers: create, get, list, update, delete, start, stop. Source: AWS Glue Developer Guide, 'Triggers'."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runyard.core.errors import Code, RunyardError, if_found, invalid
from runyard.core.query import MAX_PAGE
from runyard.core.triggers import Trigger, TriggerFilter
from runyard.dialects.glue import scheme, tables
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import fault, missing
from runyard.dialects.glue.jobs import WORKSPACE
from runyard.dialects.glue.tags import Tags
from runyard.engine.triggers import Triggers as Engine
from runyard.http.request import offload

PAGE = 200


class Triggers:
    """Handlers over the facade of triggers.

    `workflow` says whether there is one of this name, `begin` starts a run of it.
    """

    def __init__(
        self,
        triggers: Engine,
        tags: Tags,
        workflow: Callable[[str], bool],
        begin: Callable[[str, Caller], Awaitable[object]],
    ) -> None:
        self._triggers = triggers
        self._tags = tags
        self._workflow = workflow
        self._begin = begin

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("CreateTrigger", "jobs:write", self.create),
            Op("GetTrigger", "jobs:read", self.get),
            Op("GetTriggers", "jobs:read", self.get_all),
            Op("ListTriggers", "jobs:read", self.list_names),
            Op("BatchGetTriggers", "jobs:read", self.batch_get),
            Op("UpdateTrigger", "jobs:write", self.update),
            Op("DeleteTrigger", "jobs:write", self.delete),
            Op("StartTrigger", "runs:write", self.start),
            Op("StopTrigger", "runs:write", self.stop),
        )

    # --- finding ---

    def named(self, name: str) -> Trigger:
        """The trigger of this name; raises EntityNotFoundException."""
        found = self.find(name)
        if found is None:
            raise missing(f"Trigger {name} not found.")
        return found

    def find(self, name: str) -> Trigger | None:
        """The trigger of this name, or None."""
        return if_found(self._triggers.by_key, WORKSPACE, tables.NAME, name)

    def all(self) -> list[Trigger]:
        """Every trigger, oldest first."""
        found: list[Trigger] = []
        cursor = None
        while True:
            page = self._triggers.find(TriggerFilter(workspace=WORKSPACE, origin=tables.NAME), MAX_PAGE, cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                return found[::-1]

    def of_workflow(self, name: str) -> list[Trigger]:
        """The triggers of a workflow, oldest first."""
        return [one for one in self.all() if one.scope == name]

    # --- definitions ---

    async def create(self, asked: Json, who: Caller) -> Json:
        """CreateTrigger"""
        name, tags, workflow = asked["Name"], asked.get("Tags", {}), asked.get("WorkflowName", "")
        kept = scheme.checked(asked)
        if asked.get("StartOnCreation") and kept["Type"] == scheme.ON_DEMAND:
            raise invalid("StartOnCreation cannot be true for a trigger of type ON_DEMAND.")
        if workflow:
            self._check_workflow(workflow, kept)
        self._check_new(name, kept)
        made = await self._kept(name, kept, tags, workflow, active=bool(asked.get("StartOnCreation")), who=who)
        await self._tags.replace("trigger", str(made.key), tags, who.by)
        return {"Name": name}

    async def _kept(
        self, name: str, kept: Json, tags: dict[str, str], workflow: str, *, active: bool, who: Caller
    ) -> Trigger:
        with job_missing():
            return await self._triggers.create(
                scheme.definition(kept, tags),
                who.by,
                key=name,
                workspace=WORKSPACE,
                origin=tables.NAME,
                scope=workflow,
                active=active,
                extras={tables.NAME: kept},
            )

    def _check_workflow(self, workflow: str, kept: Json) -> None:
        if not self._workflow(workflow):
            raise missing("Entity not found")
        siblings = self.of_workflow(workflow)
        starting = [one for one in siblings if one.extras[tables.NAME]["Type"] in scheme.STARTING]
        if kept["Type"] in scheme.STARTING and starting:
            raise invalid(f"Workflow {workflow} has a starting trigger already: {starting[0].key}.")
        drawn = scheme.graph(workflow, [*map(scheme.shown, siblings), {"Name": "", **kept}])
        if len(drawn["Nodes"]) > tables.MAX_NODES:
            raise fault("ResourceNumberLimitExceededException", f"A workflow has at most {tables.MAX_NODES} nodes.")

    def _check_new(self, name: str, kept: Json) -> None:
        there = self.find(name)
        if there is not None and there.extras[tables.NAME] != kept:
            said = f"Trigger with name '{name}' already submitted with different configuration"
            raise fault("IdempotentParameterMismatchException", said, Code.ALREADY_EXISTS)
        if there is not None:
            raise RunyardError(Code.ALREADY_EXISTS, f"Trigger {name} already exists")

    async def update(self, asked: Json, who: Caller) -> Json:
        """UpdateTrigger: overwrites the definition; its type and workflow stay"""
        name = asked["Name"]
        trigger = self.named(name)
        given = {key: value for key, value in asked["TriggerUpdate"].items() if key != "Name"}
        before = trigger.extras[tables.NAME]
        kept = scheme.checked({**{key: before[key] for key in ("Type", "WorkflowName") if key in before}, **given})
        spec = scheme.definition(kept, self._tags.of("trigger", name))
        with job_missing():
            changed = await self._triggers.replace(trigger.id, spec, who.by, extras={tables.NAME: kept})
        return {"Trigger": scheme.shown(changed)}

    async def delete(self, asked: Json, who: Caller) -> Json:
        """DeleteTrigger: an unknown name is no error"""
        trigger = self.find(asked["Name"])
        if trigger is not None:
            await self._triggers.delete(trigger.id, who.by)
            await self._tags.drop("trigger", asked["Name"], who.by)
        return {"Name": asked["Name"]}

    # --- reading ---

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetTrigger"""
        return {"Trigger": scheme.shown(self.named(asked["Name"]))}

    async def get_all(self, asked: Json, who: Caller) -> Json:
        """GetTriggers: those that can start a job, or all when there is none"""
        found, token = await offload(self._page, asked)
        return {"Triggers": [scheme.shown(one) for one in found], "NextToken": token}

    async def list_names(self, asked: Json, who: Caller) -> Json:
        """ListTriggers"""
        found, token = await offload(self._page, asked)
        return {"TriggerNames": [one.key for one in found], "NextToken": token}

    def _page(self, asked: Json) -> tuple[list[Trigger], str | None]:
        found = self.all()
        job = asked.get("DependentJobName")
        if job is not None:
            found = [one for one in found if job in scheme.started_jobs(one.extras[tables.NAME])] or found
        if asked.get("Tags"):
            tagged = set(self._tags.having("trigger", asked["Tags"]))
            found = [one for one in found if one.key in tagged]
        after = _after(asked.get("NextToken"))
        rest = [one for one in found if one.id > after]
        limit = asked.get("MaxResults", PAGE)
        return rest[:limit], f"{rest[limit - 1].id:x}" if len(rest) > limit else None

    async def batch_get(self, asked: Json, who: Caller) -> Json:
        """BatchGetTriggers: what is not there is told apart"""
        found = {name: self.find(name) for name in asked["TriggerNames"]}
        return {
            "Triggers": [scheme.shown(one) for one in found.values() if one is not None],
            "TriggersNotFound": [name for name, one in found.items() if one is None],
        }

    # --- firing ---

    async def start(self, asked: Json, who: Caller) -> Json:
        """StartTrigger: an on-demand trigger fires at once (its workflow begins a run), all others become active"""
        trigger = self.named(asked["Name"])
        if trigger.extras[tables.NAME]["Type"] == scheme.ON_DEMAND and self._workflow(trigger.scope):
            await self._begin(trigger.scope, who)
        elif trigger.extras[tables.NAME]["Type"] == scheme.ON_DEMAND:
            with job_missing():
                await self._triggers.fire(trigger.id, who.by)
        else:
            await self._triggers.start(trigger.id, who.by)
        return {"Name": asked["Name"]}

    async def stop(self, asked: Json, who: Caller) -> Json:
        """StopTrigger: an on-demand trigger stays as it is"""
        trigger = self.named(asked["Name"])
        if trigger.extras[tables.NAME]["Type"] != scheme.ON_DEMAND:
            await self._triggers.pause(trigger.id, who.by)
        return {"Name": asked["Name"]}


class job_missing:
    """A job that is not there, in Glue's words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RunyardError) and error.code is Code.NOT_FOUND:
            raise missing(error.message.replace("There is no job ", "Job not found: ")) from None


def _after(token: str | None) -> int:
    try:
        return int(token, 16) if token else 0
    except ValueError:
        raise invalid("The continuation token is not valid: take NextToken of the page before.") from None
