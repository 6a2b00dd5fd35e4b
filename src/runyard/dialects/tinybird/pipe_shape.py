"""Pipes and nodes as values: made from what was asked, shown as this platform shows them. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.schedule import Schedule, check
from runyard.dialects.tinybird import wire
from runyard.dialects.tinybird.template import TemplateError, parse

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
TYPES = ("standard", "default", "", "endpoint", "materialized", "copy", "sink")
ENGINE_PARTS = ("engine", "engine_partition_key", "engine_sorting_key", "engine_ver", "engine_ttl", "schema")


def new_node(pipe: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A node from what was asked; raises `invalid`."""
    name = str(given.get("name") or f"{pipe['name'][:110]}_{len(pipe['nodes'])}")
    if not _NAME.fullmatch(name):
        raise invalid(f"{name!r} cannot be the name of a node: use letters, digits and underscores.", field="name")
    if name.lower() == pipe["name"].lower():
        raise invalid(f"A node cannot have the name of its pipe, {name!r}.", field="name")
    if any(node["name"].lower() == name.lower() for node in pipe["nodes"]):
        raise RunyardError(Code.ALREADY_EXISTS, f"The pipe {pipe['name']!r} has a node {name!r} already.")
    sql = checked_sql(given.get("sql"), name)
    kind = str(given.get("type") or given.get("node_type") or "standard").lower()
    if kind not in TYPES:
        raise invalid(f"The type of a node is one of {', '.join(filter(None, TYPES))}; it is {kind!r}.", field="type")
    digest = hashlib.sha256(f"{pipe['id']}/{name}/{len(pipe['nodes'])}".encode()).hexdigest()
    return {
        "id": f"t_{digest[:32]}",
        "name": name,
        "sql": sql,
        "description": str(given.get("description") or ""),
        "node_type": "standard",
        "wanted": kind,
        "materialized": None,
        "target": given.get("datasource") or None,
        "copy": None,
        "sink": None,
        "dependencies": [],
        "tags": {},
    }


def checked_sql(sql: Any, name: str) -> str:
    """A node's text; raises `invalid` when it is missing or its template cannot be parsed."""
    if not isinstance(sql, str) or not sql.strip():
        raise invalid(f"The node {name!r} needs its SQL.", field="sql")
    try:
        parse(sql)
    except TemplateError as error:
        raise invalid(f"The node {name!r}: Template Syntax Error: {error}", field="sql") from None
    return sql.strip()


def node_of(pipe: dict[str, Any], name_or_id: str) -> dict[str, Any]:
    """A node by name or id; raises not_found."""
    nodes: list[dict[str, Any]] = pipe["nodes"]
    for node in nodes:
        if name_or_id == node["id"] or node["name"].lower() == name_or_id.lower():
            return node
    raise RunyardError(Code.NOT_FOUND, f'Node "{name_or_id}" not found in the pipe "{pipe["name"]}"')


def new_sink(given: dict[str, Any]) -> dict[str, Any]:
    """A sink's settings; raises `invalid`."""
    path = str(given.get("path") or given.get("bucket_uri") or given.get("bucket_path") or "").strip()
    if not path:
        raise invalid("A sink needs `path`: a folder that the settings allow, or s3://BUCKET/FOLDER.", field="path")
    form = str(given.get("format") or given.get("export_format") or "csv").lower()
    if form not in ("csv", "ndjson", "parquet"):
        raise invalid(f"A sink writes csv, ndjson or parquet, not {form!r}.", field="format")
    packed = str(given.get("compression") or given.get("export_compression") or "").lower()
    if packed not in ("", "none", "gz", "gzip", "zstd", "snappy"):
        raise invalid(f"A sink packs with gz or zstd, not {packed!r}.", field="compression")
    name = given.get("file_template") or given.get("export_file_template") or "export"
    cron = given.get("schedule_cron") or given.get("export_schedule")
    schedule = None if cron in (None, "", "@on-demand", "None") else str(cron)
    if schedule is not None:
        check(Schedule(cron=schedule))
    return {"path": path, "name": str(name), "format": form, "compression": packed, "schedule": schedule}


def kind_of(pipe: dict[str, Any]) -> str:
    """The type of a pipe: by the node that does something."""
    kinds = {node["node_type"] for node in pipe["nodes"]}
    for kind in ("materialized", "copy", "sink"):
        if kind in kinds:
            return kind
    return "endpoint" if pipe.get("endpoint") else "default"


def draw(pipe: dict[str, Any], base: str, next_at: int | None = None) -> dict[str, Any]:
    """A pipe as this platform shows it."""
    copy = next((node for node in pipe["nodes"] if node["copy"] is not None), None)
    sink = next((node for node in pipe["nodes"] if node["sink"] is not None), None)
    stamps = {"created_at": wire.stamp(pipe["created_at"]), "updated_at": wire.stamp(pipe["updated_at"])}
    body = {
        "id": pipe["id"],
        "name": pipe["name"],
        "description": pipe["description"],
        "type": kind_of(pipe),
        "endpoint": pipe.get("endpoint"),
        "nodes": [draw_node(pipe, node) | stamps for node in pipe["nodes"]],
        "url": f"{base}/v0/pipes/{pipe['name']}.json",
        "parent": None,
        "copy_node": copy["id"] if copy else None,
        "copy_target_datasource": copy["copy"]["target"] if copy else None,
        "copy_target_workspace": None,
        "sink_node": sink["id"] if sink else None,
        "stream_node": None,
        "schedule": _schedule(copy["copy"] if copy else sink["sink"] if sink else {}, next_at),
        "last_commit": {"content_sha": "", "status": "changed", "path": ""},
        "tags": {},
    }
    return body | stamps


def _schedule(doing: dict[str, Any], next_at: int | None) -> dict[str, Any]:
    if not doing.get("schedule"):
        return {}
    return {
        "cron": doing["schedule"],
        "timezone": "Etc/UTC",
        "status": "paused" if doing.get("paused") else "running",
        "next_run": wire.stamp_or_none(next_at),
    }


def draw_node(pipe: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A node as this platform shows it."""
    kind = "endpoint" if node["id"] == pipe.get("endpoint") else node["node_type"]
    try:
        found = parse(node["sql"]).parameters
    except TemplateError:
        found = []
    parameters = [
        {
            "name": one.name,
            "type": one.type,
            "default": one.default,
            "description": one.description,
            "required": one.required,
        }
        for one in found
    ]
    return {
        "id": node["id"],
        "name": node["name"],
        "sql": node["sql"],
        "description": node["description"],
        "type": kind,
        "node_type": kind,
        "materialized": node["materialized"],
        "cluster": None,
        "mode": (node["copy"] or {}).get("mode"),
        "dependencies": node["dependencies"],
        "params": parameters,
        "tags": node["tags"],
        "version": 0,
        "result": None,
    }


def datafile(pipe: dict[str, Any]) -> str:
    """A pipe as a .pipe file."""
    lines = [f"DESCRIPTION >\n    {pipe['description']}\n"] if pipe["description"] else []
    for node in pipe["nodes"]:
        lines.append(f"NODE {node['name']}")
        if node["description"]:
            lines.append(f"DESCRIPTION >\n    {node['description']}")
        lines.append("SQL >\n    " + node["sql"].replace("\n", "\n    "))
        if node["materialized"] is not None:
            lines.append(f"TYPE materialized\nDATASOURCE {node['target']}")
        elif node["copy"] is not None:
            copy = node["copy"]
            lines.append(f"TYPE copy\nTARGET_DATASOURCE {copy['target_name']}\nCOPY_MODE {copy['mode']}")
            lines.append(f"COPY_SCHEDULE {copy['schedule'] or '@on-demand'}")
        elif node["id"] == pipe.get("endpoint"):
            lines.append("TYPE endpoint")
        lines.append("")
    return "\n".join(lines) + "\n"
