"""Proves a data project: empty tables of all Data Sources as they are to be, and every query asked over them."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import Copy
from runyard.core.errors import RunyardError, invalid
from runyard.dialects.tinybird import migration, project
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.compile import Compiler
from runyard.dialects.tinybird.datasources import Sources, create_table, partition_key, quoted
from runyard.dialects.tinybird.face import Face
from runyard.dialects.tinybird.migration import Filled, Script
from runyard.dialects.tinybird.project import CHANGED, NEW, Change, Plan, Reshape
from runyard.dialects.tinybird.schema import Column


class Proof(msgspec.Struct, kw_only=True):
    """What proving a plan found."""

    reshapes: dict[str, Reshape] = {}
    filled: list[Filled] = []
    old: list[Filled] = []
    tables: set[str] = set()


class Prover:
    """Makes plans, with everything in them that the warehouse has to say about them."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources, self._catalog = face, sources, face.catalog

    async def planned(self, caller: Caller, files: dict[str, str], destructive: bool) -> tuple[Plan, Script]:
        """The plan of a project's files, and the script of one without errors; its scratch schema is there then."""
        sources = self._catalog.all(caller.workspace, DATASOURCE)
        pipes = self._catalog.all(caller.workspace, PIPE)
        plan = project.plan(files, sources, pipes, destructive)
        if plan.errors or not plan.changes:
            return plan, Script(scratch="")
        scratch = f"_tb_{self._face.stamp_key().replace('-', '_')}"
        try:
            proof = await self._proved(caller, plan, scratch, pipes)
        except RunyardError as error:
            plan.fail("", error)
            proof = None
        if plan.errors or proof is None:
            await self.forget(caller, scratch)
            return plan, Script(scratch="")
        made = migration.script(plan, scratch, proof.reshapes, proof.filled, proof.old, proof.tables)
        return plan, made

    async def forget(self, caller: Caller, scratch: str) -> None:
        """Removes the schema in which a plan was proved."""
        if scratch:
            await self._face.statements(caller, "deployment", f"DROP SCHEMA IF EXISTS {quoted(scratch)} CASCADE")

    async def _proved(self, caller: Caller, plan: Plan, scratch: str, pipes: list[dict[str, Any]]) -> Proof:
        proof = Proof(tables=set(await self._sources.tables(caller.workspace)))
        texts = [f"CREATE SCHEMA {quoted(scratch)}"]
        changed = {one.name for one in plan.of(DATASOURCE, NEW, CHANGED)}
        for name, body in plan.sources.items():
            if name in changed:
                columns = msgspec.convert(body["columns"], list[Column])
                texts.append(create_table(name, columns).replace("TABLE ", f"TABLE {quoted(scratch)}.", 1))
            elif name in proof.tables:
                made = f"CREATE TABLE {quoted(scratch)}.{quoted(name)}"
                texts.append(f"{made} AS SELECT * FROM main.{quoted(name)} LIMIT 0")
        await self._face.statements(caller, "deployment", *texts)
        await self._prove_keys(caller, plan, scratch)
        await self._prove_sources(caller, plan, proof, pipes)
        await self._prove_pipes(caller, plan, proof, scratch)
        if not plan.errors:
            before = Plan(sources={one["name"]: one for one in self._catalog.all(caller.workspace, DATASOURCE)})
            before.pipes = {one["name"]: one for one in pipes}
            proof.old = [
                Filled(node=node["id"], pipe=pipe["name"], source=source, target=target,
                       text=self._text(caller, before, pipe, node))
                for pipe, node, source, target in migration.materialized(before, pipes)
            ]  # fmt: skip
            _say_what_is_new(proof)
        return proof

    async def _prove_keys(self, caller: Caller, plan: Plan, scratch: str) -> None:
        for one in plan.of(DATASOURCE, NEW, CHANGED):
            if partition_key(one.body["engine"]):
                try:
                    await self._sources.partition(caller.workspace, one.name, one.body["engine"], scratch)
                except RunyardError as error:
                    plan.fail(one.path, error)

    async def _prove_sources(self, caller: Caller, plan: Plan, proof: Proof, pipes: list[dict[str, Any]]) -> None:
        for one in plan.of(DATASOURCE, CHANGED):
            assert one.old is not None
            old = await self._sources.columns(caller.workspace, one.old)
            fed = any(node["materialized"] == one.body["id"] for pipe in plan.pipes.values() for node in pipe["nodes"])
            try:
                how = project.reshape(one, old, fed)
                if how.rewrite and one.body["forward_query"]:
                    await self._prove_forward(caller, one)
            except RunyardError as error:
                plan.fail(one.path, error)
                continue
            if how != Reshape():
                proof.reshapes[one.name] = how

    async def _prove_forward(self, caller: Caller, one: Change) -> None:
        try:
            given = await self._columns(caller, migration.forward(one.body), "main")
        except RunyardError as error:
            raise invalid(f"FORWARD_QUERY, which is a SELECT without FROM: {error.message}") from None
        wanted = [column["name"] for column in one.body["columns"]]
        if missing := [name for name in wanted if name not in given]:
            raise invalid(f"FORWARD_QUERY gives no column {missing[0]!r}; it gives {', '.join(given)}.")

    async def _prove_pipes(self, caller: Caller, plan: Plan, proof: Proof, scratch: str) -> None:
        paths = {one.name: one.path for one in plan.of(PIPE, NEW, CHANGED)}
        for pipe in plan.pipes.values():
            ours = pipe.get("project")
            for node in pipe["nodes"]:
                try:
                    await self._prove_node(caller, plan, proof, scratch, pipe, node)
                except RunyardError as error:
                    said = f"The node {node['name']!r}: {error.message}"
                    if ours:
                        plan.fail(paths.get(pipe["name"], f"{pipe['name']}.pipe"), said)
                    else:
                        plan.feedback.append({"resource": pipe["name"], "level": "WARNING", "message": said})

    async def _prove_node(
        self, caller: Caller, plan: Plan, proof: Proof, scratch: str, pipe: dict[str, Any], node: dict[str, Any]
    ) -> None:
        compiler = self._compiler(caller, plan)
        try:
            found = compiler.node(pipe, node)
        except RunyardError as error:
            if node["sql"].lstrip().startswith("%") and "Template Syntax Error" in error.message:
                return  # it needs parameters
            raise
        if found.service:
            return
        columns = await self._columns(caller, found.text, scratch)
        target = node["target"] if node["materialized"] is not None else (node["copy"] or {}).get("target_name")
        if target:
            copy = Copy(statement=f"SELECT * FROM (\n{found.text}\n) LIMIT 0", table=target, schema=scratch,
                        dialect="clickhouse")  # fmt: skip
            await self._face.perform(caller, "deployment", copy)
        if node["materialized"] is not None:
            source = next(at for _, one, at, _ in migration.materialized(plan, [pipe]) if one is node)
            proof.filled.append(
                Filled(node=node["id"], pipe=pipe["name"], source=source, target=node["target"], text=found.text,
                       columns=columns, alter=bool(node.get("alter")))
            )  # fmt: skip

    def _compiler(self, caller: Caller, plan: Plan) -> Compiler:
        return Compiler(caller, lambda name: plan.find(DATASOURCE, name), lambda name: plan.find(PIPE, name), {}, {})

    def _text(self, caller: Caller, plan: Plan, pipe: dict[str, Any], node: dict[str, Any]) -> str:
        return self._compiler(caller, plan).node(pipe, node).text

    async def _columns(self, caller: Caller, text: str, schema: str) -> list[str]:
        asked = f"SELECT * FROM (\n{text}\n) LIMIT 0"
        found = await self._face.engine.data.query(caller.workspace, asked, {}, 1, schema=schema, dialect="clickhouse")
        return [str(column["name"]) for column in found["columns"]]


def _say_what_is_new(proof: Proof) -> None:
    """Marks the materialized nodes that give other rows than before, or give rows for the first time."""
    kept = {one.node: one for one in proof.old}
    for one in proof.filled:
        before = kept.get(one.node)
        one.known = before is not None and before.target == one.target
        one.anew = before is None or (before.view() != one.view() and not one.alter)
