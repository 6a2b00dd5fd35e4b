"""Data Sources: what is kept of each, how one is shown, and making, changing and dropping it.

A Data Source is a table of the workspace's warehouse and a document that keeps what the table cannot: the
ClickHouse types, the engine, json paths, tags.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import Queue
from runyard.dialects.tinybird import catalog, schema, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.errors import Refusal
from runyard.dialects.tinybird.face import ORIGIN, Face, missing

ENGINE_KEYS = ("partition_key", "sorting_key", "primary_key", "sampling_key", "ver", "sign", "ttl", "settings",
               "is_deleted", "version", "columns")  # fmt: skip
ENGINES = {
    "MergeTree", "ReplacingMergeTree", "SummingMergeTree", "AggregatingMergeTree", "CollapsingMergeTree",
    "VersionedCollapsingMergeTree", "Join", "Null",
}  # fmt: skip
_COUNTED_AT_ONCE = 100
_RECENT_SECONDS = 1.0


class Sources:
    """The Data Sources of all workspaces."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._catalog = face.catalog
        self._recent: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    # --- looking ---

    def queue(self, workspace: str, source: dict[str, Any]) -> str:
        """Where the jobs that write it wait for one another, first in, first out."""
        return f"{ORIGIN}.{source['id']}"

    async def shown(self, workspace: str, name_or_id: str) -> dict[str, Any] | None:
        """A Data Source in full, or None when there is none."""
        source = self._catalog.find(workspace, DATASOURCE, name_or_id)
        return None if source is None else await self.body(workspace, source)

    async def recent(self, workspace: str, name_or_id: str) -> dict[str, Any] | None:
        """As `shown`, with counts that may be a second old: for jobs that still work, which clients ask about often."""
        key, now = (workspace, name_or_id), time.monotonic()
        at, kept = self._recent.get(key, (0.0, {}))
        if kept and now - at < _RECENT_SECONDS:
            return kept
        found = await self.shown(workspace, name_or_id)
        self._recent = {one: held for one, held in self._recent.items() if now - held[0] < _RECENT_SECONDS}
        if found is not None:
            self._recent[key] = (now, found)
        return found

    async def body(self, workspace: str, source: dict[str, Any]) -> dict[str, Any]:
        """A Data Source as this platform shows it."""
        found = await self._counted(workspace, [source])
        return draw(source, found, used_by(source, self._catalog.all(workspace, PIPE)))

    async def bodies(self, workspace: str) -> list[dict[str, Any]]:
        """All of them."""
        sources, pipes = self._catalog.all(workspace, DATASOURCE), self._catalog.all(workspace, PIPE)
        found = await self._counted(workspace, sources)
        return [draw(source, found, used_by(source, pipes)) for source in sources]

    async def tables(self, workspace: str) -> dict[str, dict[str, Any]]:
        """The warehouse's tables by name; none for a workspace that has no warehouse yet."""
        try:
            found = await self._face.engine.data.tables(workspace)
        except RunyardError as error:
            if error.code is Code.NOT_FOUND:
                return {}
            raise
        return {one["name"]: one for one in found if one["schema"] == "main"}

    async def _counted(self, workspace: str, sources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The warehouse's tables, with the rows of these Data Sources counted: the catalog's numbers lag deletes."""
        found = await self.tables(workspace)
        names = [name for one in sources for name in (one["name"], f"{one['name']}_quarantine") if name in found]
        for start in range(0, len(names), _COUNTED_AT_ONCE):
            some = names[start : start + _COUNTED_AT_ONCE]
            text = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS n FROM {quoted(name)}" for name in some)
            rows = (await self._face.engine.data.query(workspace, text, {}, len(some)))["rows"]
            for name, count in rows:
                found[name] = {**found[name], "rows": count}
        return found

    async def columns(self, workspace: str, source: dict[str, Any]) -> list[dict[str, Any]]:
        """The columns of a Data Source: as declared, or as they were found in its data."""
        return columns_of(source, (await self.tables(workspace)).get(source["name"]))

    # --- making ---

    async def create(self, caller: Caller, given: dict[str, Any]) -> dict[str, Any]:
        """A new, empty one from a schema; its table first, so that nothing is kept when that fails."""
        name = catalog.check_name(given.get("name"), "Data Source")
        columns = schema.parse(str(given.get("schema") or ""))
        engine = engine_of(given)
        self._free(caller.workspace, name)
        await self._face.statements(caller, f"create {name}", create_table(name, columns))
        if engine["partition_key"]:
            try:
                await self.partition(caller.workspace, name, engine)
            except RunyardError:
                await self._face.engine.data.drop_table(caller.workspace, name)
                raise
        body = new_body(name, given, [msgspec.to_builtins(column) for column in columns], engine)
        return await self.keep(caller, body)

    async def partition(self, workspace: str, table: str, engine: dict[str, Any], schema: str = "main") -> None:
        """Gives a table the partition key of its engine; raises `invalid` for one that is wrong.

        A key that the warehouse has no words for, such as cityHash64(x) % 8, stays a text beside the table.
        """
        try:
            await self._face.engine.data.partition_table(workspace, table, partition_key(engine), schema, "clickhouse")
        except RunyardError as error:
            if not error.details.get("unsayable"):
                raise

    async def adopt(self, caller: Caller, given: dict[str, Any]) -> dict[str, Any]:
        """A new one whose table comes with its first rows."""
        name = catalog.check_name(given.get("name"), "Data Source")
        self._free(caller.workspace, name)
        return await self.keep(caller, new_body(name, given, [], engine_of(given)))

    async def keep(self, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
        """Keeps the document, and the line in which its writers wait."""
        made = await self._catalog.create(caller.workspace, DATASOURCE, body, caller.name)
        await self._face.engine.registry.put_queue(Queue(name=self.queue(caller.workspace, made), slots=1), caller.name)
        await self.log(caller, "create", made)
        return made

    def _free(self, workspace: str, name: str) -> None:
        for kind in (DATASOURCE, PIPE):
            if self._catalog.find(workspace, kind, name) is not None:
                message = f'There is already a {catalog.SHOWN[kind]} with name "{name}". Pick a different name.'
                raise RunyardError(Code.ALREADY_EXISTS, message)

    # --- changing ---

    async def update(self, caller: Caller, source: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """A new name, description, tags or ttl."""
        changed = dict(source)
        for key in ("description", "backfill_column"):
            if given.get(key) is not None:
                place = changed if key == "description" else changed["tags"]
                place[key] = given[key]
        if given.get("engine_ttl") or given.get("ttl"):
            ttl = str(given.get("engine_ttl") or given.get("ttl"))
            changed["engine"] = {**changed["engine"], "ttl": "" if ttl == "false" else ttl}
        name = given.get("name") or source["name"]
        if name == source["name"]:
            return await self._catalog.replace(caller.workspace, DATASOURCE, changed, caller.name)
        return await self._rename(caller, changed, catalog.check_name(name, "Data Source"))

    async def _rename(self, caller: Caller, source: dict[str, Any], name: str) -> dict[str, Any]:
        self._free(caller.workspace, name)
        users = used_by(source, self._catalog.all(caller.workspace, PIPE))
        if users:
            names = ", ".join(user["name"] for user in users)
            raise Refusal(409, f"The Data Source is used by {names}; change those first, then rename it.")
        found = await self.tables(caller.workspace)
        texts = [
            f"ALTER TABLE {quoted(source['name'] + end)} RENAME TO {quoted(name + end)}"
            for end in ("", "_quarantine")
            if source["name"] + end in found
        ]
        if texts:
            await self._face.statements(caller, f"rename {name}", *texts)
        renamed = await self._catalog.rename(caller.workspace, DATASOURCE, source, name, caller.name)
        await self.log(caller, "rename", renamed)
        return renamed

    async def alter(
        self, caller: Caller, source: dict[str, Any], given: dict[str, Any], *, dry: bool
    ) -> dict[str, Any]:
        """New columns, description, ttl: what is to be done, and unless `dry` it is done."""
        wanted = schema.parse(given["schema"]) if given.get("schema") else []
        known = {column["name"]: column for column in await self.columns(caller.workspace, source)}
        added = [column for column in wanted if column.name not in known]
        gone = [name for name in known if wanted and name not in {column.name for column in wanted}]
        changed = [c.name for c in wanted if c.name in known and bare(known[c.name]["type"]) != bare(c.type)]
        if gone or changed:
            what = f"column {(gone or changed)[0]!r} would be {'dropped' if gone else 'changed'}"
            raise invalid(f"A Data Source's schema can only get new columns: {what}. Make a new Data Source instead.")
        operations = [f"ADD COLUMN `{column.name}` {column.type}" for column in added]
        if given.get("description") not in (None, source["description"]):
            operations.append("CHANGE DESCRIPTION")
        if given.get("ttl") is not None:
            operations.append(f"MODIFY TTL {given['ttl']}")
        if not operations:
            raise invalid("There were no operations to perform")
        dependencies = [user["name"] for user in used_by(source, self._catalog.all(caller.workspace, PIPE))]
        if not dry:
            await self._altered(caller, source, added, given)
        return {"operations": operations, "dependencies": dependencies}

    async def _altered(
        self, caller: Caller, source: dict[str, Any], added: list[schema.Column], given: dict[str, Any]
    ) -> None:
        texts = [f"ALTER TABLE {quoted(source['name'])} ADD COLUMN {declared(column)}" for column in added]
        if texts:
            await self._face.statements(caller, f"alter {source['name']}", *texts)
        columns = [*source["columns"], *(msgspec.to_builtins(column) for column in added)] if source["columns"] else []
        await self.update(caller, {**source, "columns": columns}, {k: v for k, v in given.items() if k != "name"})
        await self.log(caller, "alter", source)

    async def exchange(self, caller: Caller, first: dict[str, Any], second: dict[str, Any]) -> None:
        """Swaps the rows of two."""
        a, b, aside = quoted(first["name"]), quoted(second["name"]), quoted(f"{first['name'][:100]}__exchange")
        texts = [f"ALTER TABLE {one} RENAME TO {other}" for one, other in ((a, aside), (b, a), (aside, b))]
        await self._face.statements(caller, "exchange", *texts)
        kept = {key: first[key] for key in ("columns", "engine")}
        await self._catalog.replace(
            caller.workspace, DATASOURCE, {**first, **{key: second[key] for key in kept}}, caller.name
        )
        await self._catalog.replace(caller.workspace, DATASOURCE, {**second, **kept}, caller.name)

    async def drop(self, caller: Caller, source: dict[str, Any]) -> None:
        """The table, its quarantine and the document."""
        if source["name"] in await self.tables(caller.workspace):
            await self._face.engine.data.drop_table(caller.workspace, source["name"], with_views=True)
        for pipe in self._catalog.all(caller.workspace, PIPE):
            await self._unlinked(caller, pipe, source)
        await self._catalog.delete(caller.workspace, DATASOURCE, source, caller.name)
        await self.log(caller, "drop", source)

    async def _unlinked(self, caller: Caller, pipe: dict[str, Any], source: dict[str, Any]) -> None:
        """A pipe whose materialized node fed, or followed, what is dropped: the node is a plain one from now on."""
        lost = [
            node
            for node in pipe["nodes"]
            if node["materialized"] == source["id"]
            or (node["materialized"] is not None and source["name"] in node["dependencies"])
        ]
        for node in lost:
            node |= {"materialized": None, "node_type": "standard"}
        if lost:
            await self._catalog.replace(caller.workspace, PIPE, pipe, caller.name)

    async def log(self, caller: Caller, event: str, source: dict[str, Any]) -> None:
        """An operation that is no job, for tinybird.datasources_ops_log."""
        body = {
            "event_type": event,
            "datasource_id": source["id"],
            "datasource_name": source["name"],
            "by": caller.name,
        }
        await self._face.engine.documents.create(
            ORIGIN, "operation", self._face.stamp_key(), body, caller.name, caller.workspace
        )

    def needed(self, workspace: str, name: str) -> dict[str, Any]:
        """A Data Source; raises not_found."""
        found = self._catalog.find(workspace, DATASOURCE, name)
        if found is None:
            raise missing("Data Source", name)
        return found


# --- pure ---------------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """A name in the warehouse's language."""
    return '"' + name.replace('"', '""') + '"'


def bare(kind: str) -> str:
    """A type without spaces, for comparing."""
    return kind.replace(" ", "").lower()


def declared(column: schema.Column) -> str:
    """A column of a CREATE TABLE."""
    return f"{quoted(column.name)} {column.sql}"


def create_table(name: str, columns: list[schema.Column]) -> str:
    """The statement that makes a table."""
    return f"CREATE TABLE {quoted(name)} ({', '.join(map(declared, columns))})"


def engine_of(given: dict[str, Any]) -> dict[str, Any]:
    """The engine block: kept as it came, with this platform's defaults. Raises `invalid` for an unknown engine."""
    name = str(given.get("engine") or "MergeTree").strip()
    short = name.split("(")[0].strip().removeprefix("Replicated")
    if short not in ENGINES:
        raise invalid(f"The engine {name!r} is not known; use one of {', '.join(sorted(ENGINES))}.", field="engine")
    block: dict[str, Any] = {"engine": short, "partition_key": "", "sorting_key": ""}
    for key in ENGINE_KEYS:
        if given.get(f"engine_{key}"):
            block[key] = str(given[f"engine_{key}"])
    return block


def partition_key(engine: dict[str, Any]) -> str:
    """The partition key of an engine block, in ClickHouse's SQL; "" for none, which is also written `tuple()`."""
    key = str(engine.get("partition_key") or "").strip()
    return "" if key.replace(" ", "") == "tuple()" else key


def in_partition(engine: dict[str, Any], wanted: str) -> str:
    """Whether a row is of the partition with this id, as ClickHouse's SQL.

    Ids are numbers as they are, days as YYYYMMDD, a tuple's parts joined by a dash; texts stand for themselves, where
    ClickHouse has a hash. Source: ClickHouse documentation, 'Custom partitioning key'.
    """
    names = [f"toString({part.strip()})" for part in schema.split(_bare_list(partition_key(engine)))]
    day = "'^[0-9]{4}-[0-9]{2}-[0-9]{2}$'"
    ids = [f"if(match({name}, {day}), replaceAll({name}, '-', ''), {name})" for name in names]
    text = wanted.strip().strip("'").replace("\\", "\\\\").replace("'", "\\'")
    return f"concat({', '.join(_joined(ids))}) = '{text}'"


def _joined(ids: list[str]) -> list[str]:
    return ["''", ids[0], *(piece for one in ids[1:] for piece in ("'-'", one))]


def _bare_list(key: str) -> str:
    """A key without the brackets of a tuple: those that close at its end."""
    body = key.removeprefix("tuple").strip()
    depth = 0
    for place, letter in enumerate(body):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return body[1:-1] if place == len(body) - 1 and len(body) > 1 else key
    return key


def new_body(name: str, given: dict[str, Any], columns: list[dict[str, Any]], engine: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a new Data Source."""
    tags = given.get("tags")
    return {
        "id": catalog.new_id(),
        "name": name,
        "columns": columns,
        "engine": engine,
        "description": str(given.get("description") or ""),
        "tags": tags if isinstance(tags, dict) else {},
        "type": str(given.get("format") or "csv"),
        "shared_with": [],
        "indexes": [],
        "delimiter": given.get("dialect_delimiter"),
    }


def columns_of(source: dict[str, Any], table: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The columns as this platform lists them."""
    kept = source["columns"]
    if not kept and table is not None:
        kept = [
            {"name": column["name"], "type": schema.clickhouse_type(column["type"]), "nullable": True}
            for column in table["columns"]
        ]
    return [
        {
            "name": column["name"],
            "type": column["type"],
            "codec": column.get("codec") or None,
            "default_value": column.get("default") or None,
            "jsonpath": column.get("jsonpath") or None,
            "nullable": column.get("nullable", False),
            "normalized_name": column["name"],
            "auto": False,
        }
        for column in kept
    ]


def draw(source: dict[str, Any], tables: dict[str, dict[str, Any]], users: list[dict[str, str]]) -> dict[str, Any]:
    """A Data Source as this platform shows it; `tables` are the warehouse's."""
    table, aside = tables.get(source["name"]), tables.get(f"{source['name']}_quarantine")
    columns = columns_of(source, table)
    rows = (table or {}).get("rows") or 0
    size = (table or {}).get("bytes") or 0
    return {
        "id": source["id"],
        "name": source["name"],
        "cluster": "default",
        "tags": source["tags"],
        "created_at": wire.stamp(source["created_at"]),
        "updated_at": wire.stamp(source["updated_at"]),
        "replicated": False,
        "version": 0,
        "project": None,
        "headers": {"cached_delimiter": source["delimiter"]} if source.get("delimiter") else {},
        "shared_with": source["shared_with"],
        "engine": source["engine"],
        "description": source["description"],
        "used_by": users,
        "last_commit": {"content_sha": "", "status": "changed", "path": ""},
        "errors_discarded_at": None,
        "type": source["type"],
        "indexes": source["indexes"],
        "statistics": {"bytes": size, "row_count": rows},
        "quarantine_rows": (aside or {}).get("rows") or 0,
        "new_columns_detected": {},
        "columns": columns,
        "schema": {"sql_schema": schema.sql_schema(columns)},
    }


def used_by(source: dict[str, Any], pipes: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The pipes that read a Data Source."""
    return [
        {"id": pipe["id"], "name": pipe["name"]}
        for pipe in pipes
        if any(source["name"] in node.get("dependencies", []) for node in pipe["nodes"])
    ]


def fed_by(source: dict[str, Any], pipes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pipes that write it: materializations and copies."""
    return [
        pipe
        for pipe in pipes
        if any(
            source["id"] in (node.get("materialized"), (node.get("copy") or {}).get("target")) for node in pipe["nodes"]
        )
    ]
