"""A data project against a workspace: what is new, what changes, what goes. Pure.

A workspace's Data Sources and pipes that no build or deployment made stay as they are, unless a file has their name.
Source of the rules of change: Tinybird documentation, 'Evolve data sources'.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from runyard.core.errors import RunyardError, invalid
from runyard.core.schedule import Schedule, check
from runyard.dialects.tinybird import catalog, datafile, pipe_shape, schema
from runyard.dialects.tinybird.access import Grant
from runyard.dialects.tinybird.catalog import DATASOURCE, PIPE
from runyard.dialects.tinybird.datafile import Datafile
from runyard.dialects.tinybird.datasources import bare, engine_of, new_body
from runyard.dialects.tinybird.pipes import ON_DEMAND, Find, followed, read_by

NEW, CHANGED, DELETED = "new", "changed", "deleted"
_COMPARED = {
    DATASOURCE: ("columns", "engine", "description", "tokens", "index_text", "project"),
    PIPE: ("nodes", "endpoint", "description", "tokens", "project"),
}
_OF_NODE = ("name", "sql", "description", "wanted", "target", "sink", "dependencies")


class Change(msgspec.Struct, kw_only=True):
    """One resource that is made, changed or removed; `body` is what is kept of it (of a removed one: what was)."""

    kind: str
    op: str
    body: dict[str, Any]
    old: dict[str, Any] | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """The resource's name."""
        return str(self.body["name"])


class Plan(msgspec.Struct, kw_only=True):
    """What a project asks of a workspace. With `errors` nothing of it is done."""

    changes: list[Change] = []
    errors: list[dict[str, str]] = []
    """Each with `filename` and `error`."""
    feedback: list[dict[str, str]] = []
    """Each with `resource`, `level` (WARNING) and `message`."""
    sources: dict[str, dict[str, Any]] = {}
    """All Data Sources of the workspace as they are to be, by name."""
    pipes: dict[str, dict[str, Any]] = {}

    def of(self, kind: str, *ops: str) -> list[Change]:
        """The changes of a kind."""
        return [one for one in self.changes if one.kind == kind and one.op in ops]

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """A resource as it is to be; names are told apart whatever the case of their letters."""
        found = (self.sources if kind == DATASOURCE else self.pipes).get(name)
        if found is None:
            every = self.sources if kind == DATASOURCE else self.pipes
            found = next((body for key, body in every.items() if key.lower() == name.lower()), None)
        return found

    def fail(self, path: str, error: RunyardError | str) -> None:
        """Notes what is wrong with a file."""
        said = error.message if isinstance(error, RunyardError) else error
        self.errors.append({"filename": path, "error": said})


def plan(files: dict[str, str], sources: list[dict[str, Any]], pipes: list[dict[str, Any]], destructive: bool) -> Plan:
    """The plan of a project's files (text by path) for what a workspace holds."""
    found = Plan()
    read = _read(files, found)
    kept = {DATASOURCE: {one["name"]: one for one in sources}, PIPE: {one["name"]: one for one in pipes}}
    _place(found, DATASOURCE, read, kept[DATASOURCE])
    found.sources = _final(found, DATASOURCE, kept[DATASOURCE])
    _place(found, PIPE, read, kept[PIPE])
    for kind, what in ((DATASOURCE, "sources"), (PIPE, "pipes")):
        _remove(found, kind, {one.name for _, one in read if one.kind == kind}, kept[kind])
        setattr(found, what, _final(found, kind, kept[kind]))
    _link(found)
    _check(found, destructive)
    return found


def _read(files: dict[str, str], found: Plan) -> list[tuple[str, Datafile]]:
    read: list[tuple[str, Datafile]] = []
    for path, text in sorted(files.items()):
        try:
            file = datafile.read(path, text)
        except RunyardError as error:
            found.fail(path, error)
            continue
        found.feedback += [{"resource": file.name, "level": "WARNING", "message": one} for one in file.warnings]
        other = next((at for at, one in read if one.name.lower() == file.name.lower()), None)
        if other is not None and file.kind != datafile.CONNECTION:
            found.fail(path, f"There is a resource of the name {file.name!r} already, in {other}.")
        else:
            read.append((path, file))
    return read


def _place(found: Plan, kind: str, read: Iterable[tuple[str, Datafile]], kept: dict[str, dict[str, Any]]) -> None:
    """New and changed resources of a kind."""
    for path, file in read:
        if file.kind != kind:
            continue
        old = kept.get(file.name)
        try:
            body = _source(file, old) if kind == DATASOURCE else _pipe(file, old)
        except RunyardError as error:
            found.fail(path, error)
            continue
        found.changes.append(Change(kind=kind, op=CHANGED if old else NEW, body=body, old=old, path=path))


def _final(found: Plan, kind: str, kept: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    final = dict(kept)
    for one in found.of(kind, NEW, CHANGED):
        final[one.name] = one.body
    for one in found.of(kind, DELETED):
        final.pop(one.name, None)
    return final


def _remove(found: Plan, kind: str, named: set[str], kept: dict[str, dict[str, Any]]) -> None:
    found.changes += [
        Change(kind=kind, op=DELETED, body=body, old=body)
        for name, body in kept.items()
        if body.get("project") and name not in named
    ]


# --- bodies -----------------------------------------------------------------------------------------------


def _source(file: Datafile, old: dict[str, Any] | None) -> dict[str, Any]:
    name = catalog.check_name(file.name, "Data Source")
    columns = [msgspec.to_builtins(column) for column in schema.parse(_without_comments(file.settings["schema"]))]
    given = {**file.settings, "format": "ndjson" if any(column.get("jsonpath") for column in columns) else "csv"}
    body = new_body(name, given, columns, engine_of(given))
    body |= {
        "project": True,
        "tokens": [[one.name, one.permission] for one in file.tokens],
        "index_text": file.settings.get("indexes", ""),
        "forward_query": file.settings.get("forward_query", ""),
        "backfill": file.settings.get("backfill", ""),
    }
    return body if old is None else {**old, **body, "id": old["id"], "tags": old["tags"]}


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.strip().startswith(("#", "--")))


def _pipe(file: Datafile, old: dict[str, Any] | None) -> dict[str, Any]:
    name = catalog.check_name(file.name, "Pipe")
    pipe: dict[str, Any] = {
        **(old or {}),
        "id": old["id"] if old else catalog.new_id(),
        "name": name,
        "description": file.settings.get("description", ""),
        "nodes": [],
        "endpoint": None,
        "project": True,
        "tokens": [[one.name, one.permission] for one in file.tokens],
    }
    for given in file.nodes:
        node = pipe_shape.new_node(pipe, given)
        pipe["nodes"].append(node)
        _arrange(pipe, node, given)
    return pipe


def _arrange(pipe: dict[str, Any], node: dict[str, Any], given: dict[str, str]) -> None:
    """What a node is to do, as far as its file tells."""
    kind = node["wanted"]
    if kind == "endpoint":
        pipe["endpoint"] = node["id"]
    elif kind == "sink":
        node |= {"sink": pipe_shape.new_sink(given), "node_type": "sink"}
    elif kind == "materialized":
        if not node["target"]:
            raise invalid(f"The materialized node {node['name']!r} needs DATASOURCE.")
        node["alter"] = given.get("deployment_method", "").lower() == "alter"
    elif kind == "copy":
        node["copy"] = _copy(node, given)


def _copy(node: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    if not given.get("target_datasource"):
        raise invalid(f"The copy node {node['name']!r} needs TARGET_DATASOURCE.")
    mode = (given.get("copy_mode") or given.get("mode") or "append").lower()
    if mode not in ("append", "replace"):
        raise invalid(f"COPY_MODE is append or replace; it is {mode!r}.")
    cron = given.get("copy_schedule") or ON_DEMAND
    if cron != ON_DEMAND:
        check(Schedule(cron=cron))
    return {
        "target": "",
        "target_name": given["target_datasource"],
        "mode": mode,
        "schedule": None if cron == ON_DEMAND else cron,
        "paused": False,
    }


# --- what belongs together --------------------------------------------------------------------------------


def _link(found: Plan) -> None:
    """Fills in what a pipe's nodes read and write, and forgets changes that are none."""
    find: Find = found.find
    for one in found.of(PIPE, NEW, CHANGED):
        for node in one.body["nodes"]:
            earlier = {**one.body, "nodes": _before(one.body["nodes"], node)}
            node["dependencies"] = read_by(node["sql"], earlier, find)
            try:
                _target(one.body, node, find)
            except RunyardError as error:
                found.fail(one.path, error)
    found.changes = [one for one in found.changes if one.op != CHANGED or _differs(one)]


def _before(nodes: list[dict[str, Any]], node: dict[str, Any]) -> list[dict[str, Any]]:
    return nodes[: nodes.index(node)]


def _target(pipe: dict[str, Any], node: dict[str, Any], find: Find) -> None:
    copy, kind = node["copy"], node["wanted"]
    name = node["target"] if kind == "materialized" else copy["target_name"] if copy else None
    if name is None:
        return
    target = find(DATASOURCE, name)
    if target is None:
        raise invalid(f"The node {node['name']!r} writes {name!r}, and there is no Data Source of this name.")
    if kind == "materialized":
        source = followed(pipe, node, find)
        if source["name"] == target["name"]:
            raise invalid(f"The node {node['name']!r} would feed itself: it reads {name}.")
        node |= {"materialized": target["id"], "target": target["name"], "node_type": "materialized"}
    else:
        node |= {"copy": {**copy, "target": target["id"], "target_name": target["name"]}, "node_type": "copy"}


def _differs(one: Change) -> bool:
    assert one.old is not None
    if one.kind == PIPE:
        new, old = ([_shape(node) for node in body["nodes"]] for body in (one.body, one.old))
        for node, before in zip(one.body["nodes"], one.old["nodes"], strict=False):
            if node["copy"] and before.get("copy"):
                node["copy"]["paused"] = before["copy"]["paused"]
        return new != old or any(one.body.get(key) != one.old.get(key) for key in _COMPARED[PIPE][1:])
    return any(one.body.get(key) != one.old.get(key) for key in _COMPARED[DATASOURCE])


def _shape(node: dict[str, Any]) -> dict[str, Any]:
    copy = node.get("copy")
    return {key: node.get(key) for key in _OF_NODE} | {
        "materialized": node.get("materialized"),
        "copy": {key: value for key, value in copy.items() if key != "paused"} if copy else None,
    }


def _check(found: Plan, destructive: bool) -> None:
    """What a workspace does not allow."""
    for one in found.of(DATASOURCE, DELETED):
        users = [pipe["name"] for pipe in found.pipes.values() if _uses(pipe, one.body)]
        if users:
            found.fail("", f"The Data Source {one.name!r} is no longer in the project, and {', '.join(users)} use it.")
        elif not destructive:
            said = "Allow that with --allow-destructive-operations (allow_destructive_operations=true)."
            found.fail("", f"The Data Source {one.name!r} and its rows would be deleted. {said}")
    for name in found.sources.keys() & found.pipes.keys():
        found.fail("", f"There would be a Data Source and a Pipe of the name {name!r}.")


def _uses(pipe: dict[str, Any], source: dict[str, Any]) -> bool:
    return any(
        source["name"] in node["dependencies"]
        or source["id"] in (node.get("materialized"), (node.get("copy") or {}).get("target"))
        for node in pipe["nodes"]
    )


# --- columns ----------------------------------------------------------------------------------------------


class Reshape(msgspec.Struct, kw_only=True):
    """How a kept Data Source's table becomes what its file says."""

    added: list[dict[str, Any]] = []
    dropped: list[str] = []
    rewrite: bool = False
    """Whether a new table takes the place of the old one."""


def reshape(one: Change, old_columns: list[dict[str, Any]], fed: bool) -> Reshape:
    """What the columns of a changed Data Source ask for; raises `invalid` where rows need a forward query.

    `fed` says whether materialized nodes fill it: its rows can then be made again.
    """
    known = {column["name"]: column for column in old_columns}
    wanted = {column["name"]: column for column in one.body["columns"]}
    added = [column for name, column in wanted.items() if name not in known]
    dropped = [name for name in known if name not in wanted]
    retyped = [name for name in wanted if name in known and _stored(known[name]) != _stored(wanted[name])]
    if not (added or dropped or retyped):
        return Reshape()
    if one.body.get("forward_query") or fed:
        return Reshape(rewrite=True)
    if retyped:
        name = retyped[0]
        raise invalid(
            f"The column {name!r} changes from {known[name]['type']} to {wanted[name]['type']}: say with FORWARD_QUERY"
            " how the rows that are there become rows of the new schema."
        )
    return Reshape(added=added, dropped=dropped)


def _stored(column: dict[str, Any]) -> str:
    return bare(column.get("sql") or schema.sql_type(column["type"], column["name"]))


# --- tokens -----------------------------------------------------------------------------------------------


def token_changes(plan: Plan) -> list[dict[str, Any]]:
    """What the TOKEN lines of the files give and take, by token."""
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    for one in plan.changes:
        old = [tuple(pair) for pair in (one.old or {}).get("tokens", [])]
        new = [] if one.op == DELETED else [tuple(pair) for pair in one.body["tokens"]]
        for key, pairs, others in (("added_permissions", new, old), ("removed_permissions", old, new)):
            for name, permission in pairs:
                if (name, permission) not in others:
                    item = {"resource_name": one.name, "resource_type": one.kind, "permission": permission}
                    found.setdefault(name, {"added_permissions": [], "removed_permissions": []})[key].append(item)
    return [
        {
            "token_name": name,
            "change_type": "modified" if parts["removed_permissions"] else "new",
            "permission_changes": parts,
        }
        for name, parts in found.items()
    ]


def grants_of(change: dict[str, Any]) -> tuple[list[Grant], list[Grant]]:
    """The scopes that one of `token_changes` gives and takes."""
    parts = change["permission_changes"]
    return _grants(parts["added_permissions"]), _grants(parts["removed_permissions"])


def _grants(items: list[dict[str, str]]) -> list[Grant]:
    kinds = {DATASOURCE: "DATASOURCES", PIPE: "PIPES"}
    return [Grant(f"{kinds[one['resource_type']]}:{one['permission']}", one["resource_name"]) for one in items]
