"""Pipes: what is kept of each, how one is shown, and the nodes that do something: materialize, copy, sink."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, cast

from runyard.core.actions import Action, Copy, Export, Materialize, Sql
from runyard.core.errors import RunyardError, if_found, invalid
from runyard.core.model import JobSpec, Run
from runyard.core.schedule import Schedule
from runyard.core.states import State
from runyard.dialects.tinybird import catalog, tables, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.compile import output_node
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.errors import Refusal
from runyard.dialects.tinybird.face import ORIGIN, Face, chain, yes
from runyard.dialects.tinybird.pipe_shape import new_node, node_of
from runyard.dialects.tinybird.query import Queries
from runyard.dialects.tinybird.references import references

ON_DEMAND = "@on-demand"
_TAGS = re.compile(r"\{[{%#].*?[#%}]\}", re.DOTALL)


class Pipes:
    """The pipes of all workspaces."""

    def __init__(self, face: Face, sources: Sources, queries: Queries) -> None:
        self._face, self._sources, self._queries = face, sources, queries
        self._catalog = face.catalog
        self._tasks: set[asyncio.Task[None]] = set()

    def needed(self, caller: Caller, name: str, scope: str = "PIPES:CREATE") -> dict[str, Any]:
        """A pipe that the caller may use this way; raises not_found and denied."""
        pipe = self._catalog.pipe(caller.workspace, name)
        if not (scope == "PIPES:READ" and caller.has("PIPES:CREATE")):
            caller.need(scope, pipe["name"], pipe["id"])
        return pipe

    # --- keeping ---

    async def create(self, caller: Caller, given: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
        """A new pipe with these nodes; none of them does anything yet."""
        name = catalog.check_name(given.get("name"), "Pipe")
        body: dict[str, Any] = {
            "id": catalog.new_id(),
            "name": name,
            "description": str(given.get("description") or ""),
            "nodes": [],
            "endpoint": None,
        }
        for node in nodes:
            body["nodes"].append(self.node(caller, body, node))
        await self.check(caller, body, yes(given, "ignore_sql_errors"))
        return await self._catalog.create(caller.workspace, PIPE, body, caller.name)

    def node(self, caller: Caller, pipe: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """A node from what was asked, with the names that it reads."""
        node = new_node(pipe, given)
        node["dependencies"] = self.dependencies(caller.workspace, node["sql"], pipe)
        return node

    def dependencies(self, workspace: str, sql: str, pipe: dict[str, Any]) -> list[str]:
        """The Data Sources and pipes that a node's text names; template tags are looked through."""
        return read_by(sql, pipe, lambda kind, name: self._catalog.find(workspace, kind, name))

    async def check(self, caller: Caller, pipe: dict[str, Any], ignore_errors: bool) -> None:
        """Asks the warehouse whether each node's SQL can run; a template that needs parameters is only parsed."""
        from runyard.dialects.tinybird.template import TemplateError, parse

        for node in pipe["nodes"]:
            try:
                template = parse(node["sql"])
                if template.parameters or node["sql"].lstrip().startswith("%"):
                    continue
                compiler = await self._queries.compiler(caller, {})
                compiled = compiler.node(pipe, node)
                if compiled.service:
                    continue
                text = f"SELECT * FROM (\n{compiled.text}\n) LIMIT 0"
                await self._face.engine.data.query(caller.workspace, text, {}, 1, dialect="clickhouse")
            except TemplateError as error:
                raise invalid(f"The node {node['name']!r}: Template Syntax Error: {error}") from None
            except RunyardError as error:
                if not ignore_errors:
                    raise invalid(f"The node {node['name']!r}: {error.message}") from None

    async def save(self, caller: Caller, pipe: dict[str, Any]) -> dict[str, Any]:
        """Keeps a changed pipe, and its schedule in step with it."""
        kept = await self._catalog.replace(caller.workspace, PIPE, pipe, caller.name)
        await self.keep_schedule(caller, kept)
        return kept

    async def rename(self, caller: Caller, pipe: dict[str, Any], name: str) -> dict[str, Any]:
        """Keeps a pipe under another name; refused while others read it by its name."""
        users = [
            one["name"]
            for one in self._catalog.all(caller.workspace, PIPE)
            if any(pipe["name"] in node["dependencies"] for node in one["nodes"])
        ]
        if users:
            raise Refusal(409, f"The pipe is used by {', '.join(users)}; change those first, then rename it.")
        name = catalog.check_name(name, "Pipe")
        renamed = await self._catalog.rename(caller.workspace, PIPE, pipe, name, caller.name)
        await self.keep_schedule(caller, renamed)
        return renamed

    async def delete(self, caller: Caller, pipe: dict[str, Any]) -> None:
        """Removes a pipe; what its nodes did ends, what they wrote stays."""
        for node in pipe["nodes"]:
            if node["materialized"] is not None:
                await self._face.engine.data.drop_view(caller.workspace, node["id"])
        await self.drop_schedule(caller, pipe)
        await self._catalog.delete(caller.workspace, PIPE, pipe, caller.name)

    async def compiled(self, caller: Caller, pipe: dict[str, Any], node: dict[str, Any], given: dict[str, Any]) -> str:
        """A node's SQL for these parameters; service tables that it reads are brought up to date."""
        found = (await self._queries.compiler(caller, given)).node(pipe, node)
        if found.service:
            await self._queries.service.refresh(caller, found.service)
        return found.text

    # --- materialized nodes ---

    async def materialize(
        self, caller: Caller, pipe: dict[str, Any], node: dict[str, Any], given: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """Lets a node's Data Source follow the appends to what the node reads; whether it was made here."""
        name = str(given.get("datasource") or node.get("target") or "")
        if not name:
            raise invalid("A materialized node needs the Data Source that it fills: `datasource`.", field="datasource")
        source = followed(pipe, node, lambda kind, name: self._catalog.find(caller.workspace, kind, name))
        text = await self.compiled(caller, pipe, node, {})
        target = self._catalog.find(caller.workspace, DATASOURCE, name)
        made = target is None
        if target is None:
            target = await self._make_target(caller, name, text, given)
        if target["name"] == source["name"]:
            raise invalid(f"The node would feed itself: it reads {name}.")
        data = self._face.engine.data
        await data.drop_view(caller.workspace, node["id"])
        try:
            await data.create_view(
                caller.workspace, node["id"], source["name"], text, target["name"], dialect="clickhouse"
            )
            if made and not given.get("schema") and target["engine"]["partition_key"]:
                await self._sources.partition(caller.workspace, target["name"], target["engine"])
        except RunyardError:
            if made:
                await self._sources.drop(caller, target)
            raise
        node |= {"materialized": target["id"], "target": target["name"], "node_type": "materialized"}
        return target, made

    async def _make_target(self, caller: Caller, name: str, text: str, given: dict[str, Any]) -> dict[str, Any]:
        """The target of a materialized node that does not exist yet: its columns are those of the query."""
        if given.get("schema"):
            return await self._sources.create(caller, {**given, "name": name})
        return await self._sources.adopt(caller, {**given, "name": name})

    async def unlink(self, caller: Caller, node: dict[str, Any]) -> None:
        """A materialized node becomes a plain one; its Data Source stays as it is."""
        await self._face.engine.data.drop_view(caller.workspace, node["id"])
        node |= {"materialized": None, "node_type": "standard"}

    async def populate(self, caller: Caller, pipe: dict[str, Any], node: dict[str, Any], given: dict[str, Any]) -> Run:
        """Fills a materialized node's Data Source from what its source holds already, as a job."""
        if node["materialized"] is None:
            raise invalid(f"The node {node['name']!r} of {pipe['name']!r} is not materialized.")
        target = self._catalog.datasource(caller.workspace, node["target"])
        action = Materialize(
            view=node["id"],
            where=str(given.get("populate_condition") or ""),
            dialect="clickhouse",
            sample=_subset(given.get("populate_subset")),
            truncate=yes(given, "truncate"),
        )
        tags = wire.tags_of(tables.POPULATE, target, pipe, node_id=node["id"])
        queue = self._sources.queue(caller.workspace, target)
        name = f"populate {target['name']}"
        run = await self._face.submit(caller, name, [action], tags=tags, queue=queue, keys=["populate"])
        if yes(given, "unlink_on_populate_error"):
            task = asyncio.get_running_loop().create_task(self._unlinked_after(caller, pipe["name"], node["id"], run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return run

    async def _unlinked_after(self, caller: Caller, pipe_name: str, node_id: str, run: Run) -> None:
        """A node whose populate fails is no longer materialized, if that was asked for."""
        ended = await self._face.finished(run.id)
        pipe = self._catalog.find(caller.workspace, PIPE, pipe_name)
        if ended.state in (State.SUCCEEDED, State.CANCELLED) or pipe is None:
            return
        for node in pipe["nodes"]:
            if node["id"] == node_id and node["materialized"] is not None:
                await self.unlink(caller, node)
                await self.save(caller, pipe)

    # --- copies ---

    async def set_copy(
        self, caller: Caller, pipe: dict[str, Any], node: dict[str, Any], given: dict[str, Any]
    ) -> dict[str, Any]:
        """Makes a node a copy node, or changes it; answers its target."""
        kept = node["copy"] or {}
        name = given.get("target_datasource") or given.get("datasource") or kept.get("target_name")
        if not name:
            raise invalid("A copy node needs target_datasource.", field="target_datasource")
        target = self._sources.needed(caller.workspace, str(name))
        mode = str(given.get("mode") or given.get("copy_mode") or kept.get("mode") or "append")
        if mode not in ("append", "replace"):
            raise invalid(f"The mode of a copy is append or replace; it is {mode!r}.", field="mode")
        cron = given.get("schedule_cron", given.get("copy_schedule", kept.get("schedule")))
        cron = None if cron in (None, "", "None", ON_DEMAND) else str(cron)
        if given.get("schedule_cron") is None and given.get("copy_schedule") is None:
            cron = kept.get("schedule")
        other = next((one for one in pipe["nodes"] if one["copy"] is not None and one is not node), None)
        if other is not None:
            raise invalid(f"A pipe has one copy node; {other['name']!r} is it already.")
        copy = {"target": target["id"], "target_name": target["name"], "mode": mode, "schedule": cron}
        node |= {"copy": {**copy, "paused": kept.get("paused", False)}, "node_type": "copy"}
        return target

    async def copy(self, caller: Caller, pipe: dict[str, Any], parameters: dict[str, Any], mode: str | None) -> Run:
        """Runs a copy pipe once, with these parameters."""
        node = copy_node(pipe)
        if mode not in (None, "", "append", "replace"):
            raise invalid(f"_mode is append or replace; it is {mode!r}.", field="_mode")
        target = self._sources.needed(caller.workspace, node["copy"]["target"])
        text = await self.compiled(caller, pipe, node, parameters)
        chosen = cast(Any, mode or node["copy"]["mode"])
        action = Copy(statement=text, table=target["name"], mode=chosen, dialect="clickhouse")
        noted = {f"parameter.{key}": str(value)[:200] for key, value in parameters.items()}
        tags = wire.tags_of(tables.COPY, target, pipe, mode=chosen, **noted)
        queue = self._sources.queue(caller.workspace, target)
        return await self._face.submit(caller, f"copy {pipe['name']}", [action], tags=tags, queue=queue, keys=["copy"])

    async def pause(self, caller: Caller, pipe: dict[str, Any], *, paused: bool) -> dict[str, Any]:
        """Stops or goes on with the schedule of a copy pipe."""
        node = copy_node(pipe)
        if not node["copy"]["schedule"]:
            raise invalid(f"The copy pipe {pipe['name']!r} has no schedule: it runs on demand.")
        node["copy"]["paused"] = paused
        return await self.save(caller, pipe)

    async def keep_schedule(self, caller: Caller, pipe: dict[str, Any]) -> None:
        """The kept job of a scheduled copy or sink, as the pipe is now."""
        node = next((one for one in pipe["nodes"] if (one["copy"] or one["sink"] or {}).get("schedule")), None)
        if node is None:
            return await self.drop_schedule(caller, pipe)
        text = await self.compiled(caller, pipe, node, {})
        spec = self._copies(caller, pipe, node, text) if node["copy"] else _sinks(pipe, node["sink"], text)
        registry, job = self._face.engine.registry, self._job(caller, pipe)
        if job is None:
            await registry.create_job(spec, by=caller.name, workspace=caller.workspace, origin=ORIGIN, key=pipe["id"])
            return
        await registry.update_job(job, spec, by=caller.name)
        schedules = self._face.engine.schedules
        paused = spec.schedule is not None and spec.schedule.paused
        await (schedules.pause if paused else schedules.resume)(job, caller.name)

    def _copies(self, caller: Caller, pipe: dict[str, Any], node: dict[str, Any], text: str) -> JobSpec:
        copy = node["copy"]
        target = self._sources.needed(caller.workspace, copy["target"])
        return chain(
            f"copy {pipe['name']}",
            [Copy(statement=text, table=target["name"], mode=cast(Any, copy["mode"]), dialect="clickhouse")],
            queue=self._sources.queue(caller.workspace, target),
            tags=wire.tags_of(tables.COPY, target, pipe, mode=copy["mode"]),
            keys=["copy"],
            schedule=Schedule(cron=copy["schedule"], paused=copy["paused"]),
        )

    async def drop_schedule(self, caller: Caller, pipe: dict[str, Any]) -> None:
        if (job := self._job(caller, pipe)) is not None:
            await self._face.engine.registry.delete_job(job, caller.name)

    def _job(self, caller: Caller, pipe: dict[str, Any]) -> int | None:
        job = if_found(self._face.engine.registry.job_by_key, caller.workspace, ORIGIN, pipe["id"])
        return job.id if job is not None else None

    # --- sinks ---

    async def sink(self, caller: Caller, pipe: dict[str, Any], parameters: dict[str, Any]) -> Run:
        """Writes a sink pipe's rows into its file."""
        node = next((one for one in pipe["nodes"] if one["sink"] is not None), None)
        if node is None:
            raise invalid(f"The pipe {pipe['name']!r} has no sink node.")
        sink = node["sink"]
        text = await self.compiled(caller, pipe, node, parameters)
        now = time.gmtime()
        target = _target(sink, {mark: time.strftime(form, now) for mark, form in wire.SINK_MARKS.items()})
        action = Export(statement=text, target=target, format=cast(Any, sink["format"]), dialect="clickhouse")
        tags = wire.tags_of(tables.SINK, None, pipe)
        return await self._face.submit(caller, f"sink {pipe['name']}", [action], tags=tags, keys=["sink"])


def _target(sink: dict[str, Any], moments: dict[str, str]) -> str:
    """Where a sink writes: its folder or bucket, its name with the time in it, the ending of its format."""
    name = sink["name"]
    for mark, moment in moments.items():
        name = name.replace(mark, moment)
    packed = {"gz": ".gz", "gzip": ".gz", "zstd": ".zst"}.get(sink["compression"], "")
    ending = f".{sink['format']}{packed if sink['format'] != 'parquet' else ''}"
    return f"{sink['path'].rstrip('/')}/{name}" + ("" if name.endswith(ending) else ending)


def _sinks(pipe: dict[str, Any], sink: dict[str, Any], text: str) -> JobSpec:
    """The job of a scheduled sink. The file's name has the tick's time, which a first task spells."""
    at = "'{{ run.scheduled_at }}'::TIMESTAMPTZ AT TIME ZONE 'UTC'"
    spelled = ", ".join(f"strftime({at}, '{form}') AS \"{mark[1:-1]}_\"" for mark, form in wire.SINK_MARKS.items())
    target = _target(sink, {mark: wire.sink_part(mark) for mark in wire.SINK_MARKS})
    export = Export(statement=text, target=target, format=cast(Any, sink["format"]), dialect="clickhouse")
    before: dict[str, Action] = {"moment": Sql(statement=f"SELECT {spelled}")} if "{{" in target else {}
    return chain(
        f"sink {pipe['name']}",
        [*before.values(), export],
        tags=wire.tags_of(tables.SINK, None, pipe),
        keys=[*before, "sink"],
        schedule=Schedule(cron=sink["schedule"]),
    )


Find = Callable[[str, str], dict[str, Any] | None]
"""A Data Source or pipe by its kind and name."""


def read_by(sql: str, pipe: dict[str, Any], find: Find) -> list[str]:
    """The Data Sources and pipes that a node's text names; template tags are looked through."""
    own = {node["name"].lower() for node in pipe["nodes"]}
    found: list[str] = []
    for one in references(_TAGS.sub(" ", sql.lstrip().removeprefix("%"))):
        if one.name in own:
            found += [name for name in _node(pipe, one.name).get("dependencies", []) if name not in found]
            continue
        for kind in (DATASOURCE, PIPE):
            body = find(kind, one.exact) if not one.schema else None
            if body is not None and body["name"] not in found:
                found.append(body["name"])
    return found


def followed(pipe: dict[str, Any], node: dict[str, Any], find: Find, depth: int = 0) -> dict[str, Any]:
    """The Data Source whose appends a materialized node follows: the first one that it reads. Raises `invalid`."""
    for one in references(_TAGS.sub(" ", node["sql"])):
        inner = next((other for other in pipe["nodes"] if other["name"].lower() == one.name), None)
        if inner is not None and inner is not node and depth < 30:
            return followed(pipe, inner, find, depth + 1)
        source = find(DATASOURCE, one.exact)
        if source is not None:
            return source
        other_pipe = find(PIPE, one.exact)
        if other_pipe is not None and depth < 30:
            return followed(other_pipe, output_node(other_pipe), find, depth + 1)
    raise invalid(f"The node {node['name']!r} reads no Data Source, so there is nothing that it could follow.")


def copy_node(pipe: dict[str, Any]) -> dict[str, Any]:
    """The copy node of a pipe; raises `invalid` when it has none."""
    found = next((node for node in pipe["nodes"] if node["copy"] is not None), None)
    if found is None:
        raise invalid(f"The pipe {pipe['name']!r} has no copy node.")
    return cast(dict[str, Any], found)


def _node(pipe: dict[str, Any], name: str) -> dict[str, Any]:
    return node_of(pipe, name)


def _subset(text: Any) -> float:
    if text in (None, "", "None"):
        return 1.0
    try:
        part = float(text)
    except (TypeError, ValueError):
        part = 0.0
    if not 0 < part <= 1:
        raise invalid(f"populate_subset is a part, more than 0 and up to 1; it is {text!r}.", field="populate_subset")
    return part
