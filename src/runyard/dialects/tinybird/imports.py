"""Imports: which load an import is, and how its end is told. Routes of them are in `source_routes`."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from runyard.core.actions import Load
from runyard.core.errors import invalid
from runyard.core.model import Run
from runyard.dialects.tinybird import tables, wire
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.datasources import Sources, partition_key
from runyard.dialects.tinybird.face import Face
from runyard.http.request import offload

Mode = Literal["create", "append", "replace"]
MODES = ("create", "append", "replace")
FORMATS = {"csv": "csv", "ndjson": "ndjson", "json": "ndjson", "jsonl": "ndjson", "parquet": "parquet", "": "auto"}
_TYPES = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/octet-stream": "",
    "text/plain": "",
}
_PATH = re.compile(r"\$(\.(\"[^\"]+\"|[\w-]+)|\[\d*:?\])*")
_OPTIONS = {"dialect_delimiter": "delimiter", "dialect_escapechar": "escape", "dialect_quotechar": "quote"}


class Imports:
    """Starts imports, and says how they ended."""

    def __init__(self, face: Face, sources: Sources) -> None:
        self._face, self._sources = face, sources

    async def start(
        self,
        caller: Caller,
        source: dict[str, Any],
        origin: str,
        mode: Mode,
        given: dict[str, Any],
        kind: str = tables.IMPORT,
    ) -> Run:
        """The run of an import from a URL or an upload."""
        load = load_of(source, origin, mode, given)
        tags = wire.tags_of(kind, source, mode=mode)
        queue = self._sources.queue(caller.workspace, source)
        return await self._face.submit(
            caller, f"{kind} {source['name']}", [load], tags=tags, queue=queue, keys=["import"]
        )

    async def local(self, caller: Caller, source: dict[str, Any], run: Run) -> dict[str, Any]:
        """The answer to an import of a body, once it is over; raises `invalid` with what is wrong with the rows."""
        tasks = await self._face.outcome(run)
        job_id = self._face.ids.text(run.id)
        ended = await offload(self._face.engine.runs.get, run.id)
        facts = wire.Facts(spec=await offload(self._face.engine.runs.spec, run.id), tasks=tasks)
        counts = wire.metrics(facts)
        shown = await self._sources.body(caller.workspace, source)
        return {
            "datasource": shown,
            "import_id": job_id,
            "error": False,
            "invalid_lines": counts.get("invalid_lines", 0),
            "quarantine_rows": counts.get("quarantine_rows", 0),
            "successful_rows": counts.get("rows", 0),
            "quarantined_rows": counts.get("quarantine_rows", 0) + counts.get("invalid_lines", 0),
            **wire.block_log(ended, job_id, facts),
        }


def mode_of(text: str) -> Mode:
    """The mode; raises `invalid`."""
    if text not in MODES:
        raise invalid(f"mode must be create, append or replace; it is {text!r}.", field="mode")
    return cast(Mode, text)


def format_of(given: dict[str, Any], content_type: str = "") -> str:
    """The format of a load, by the parameter, else by the body's type."""
    text = str(given.get("format") or "").lower()
    if not text:
        text = _TYPES.get(content_type.partition(";")[0].strip().lower(), "")
    if text not in FORMATS:
        raise invalid(f"format must be csv, ndjson or parquet; it is {text!r}.", field="format")
    return FORMATS[text]


def load_of(source: dict[str, Any], origin: str, mode: Mode, given: dict[str, Any]) -> Load:
    """The load of an import into a Data Source."""
    condition = str(given.get("replace_condition") or "").strip()
    if condition and mode != "replace":
        raise invalid("replace_condition goes with mode=replace.", field="replace_condition")
    wanted = format_of(given)
    options: dict[str, Any] = {name: str(given[key]) for key, name in _OPTIONS.items() if given.get(key)}
    if source["columns"] and wanted == "ndjson":
        options = {"paths": paths_of(source["columns"])}
    elif wanted in ("ndjson", "parquet"):
        options = {}
    key = partition_key(source["engine"]) if mode == "create" and not source["columns"] else ""
    return Load(
        source=origin,
        table=source["name"],
        format=cast(Any, wanted),
        mode="replace_where" if condition else mode,
        where=condition,
        partition_by=key,
        dialect="clickhouse" if condition or key else "duckdb",
        options=options,
    )


def paths_of(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Where in a line each column is: as its schema says, else under its own name. Raises `invalid`."""
    paths = {}
    for column in columns:
        path = column.get("jsonpath") or '$."' + column["name"].replace('"', "") + '"'
        if not _PATH.fullmatch(path):
            raise invalid(f"The column {column['name']!r} has the json path {path!r}, which cannot be followed.")
        paths[column["name"]] = path.replace("[:]", "")
    return paths
