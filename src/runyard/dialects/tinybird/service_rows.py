"""The service Data Sources: their columns, and the rows that runs, operations and the catalog give. Pure.

Columns as in the official client's own description of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from runyard.core.model import JobSpec, Run, TaskRun
from runyard.dialects.tinybird import tables, wire
from runyard.dialects.tinybird.compile import JSON_COLUMN, JSON_END
from runyard.dialects.tinybird.tables import TAG

SCHEMA = "tinybird"
JOBS, OPS, BLOCKS, SINKS, STORAGE = (
    "jobs_log",
    "datasources_ops_log",
    "block_log",
    "sinks_ops_log",
    "datasources_storage",
)
CALLS = "pipe_calls"
OF_RUNS = (JOBS, OPS, BLOCKS, SINKS)
EVENTS_KIND = "append-hfi"
"""The kind of the inner runs of the events endpoint."""

_T, _N, _F, _L = "VARCHAR", "BIGINT", "DOUBLE", "VARCHAR[]"
_AT = "TIMESTAMP"

TABLES: dict[str, dict[str, str]] = {
    JOBS: {
        "job_id": _T, "job_type": _T, "status": _T, "error": _T, "workspace_id": _T, "request_id": _T, "pipe_id": _T,
        "pipe_name": _T, "datasource_id": _T, "created_at": _AT, "started_at": _AT, "updated_at": _AT,
        "job_metadata": _T,
    },
    OPS: {
        "timestamp": _AT, "event_type": _T, "datasource_id": _T, "datasource_name": _T, "result": _T,
        "elapsed_time": _F, "error": _T, "Options.Names": _L, "Options.Values": _L, "request_id": _T, "import_id": _T,
        "job_id": _T, "rows": _N, "rows_quarantine": _N, "blocks_ids": _L, "operation_id": _T, "read_rows": _N,
        "read_bytes": _N, "cpu_time": _F, "memory_usage": _N, "written_rows": _N, "written_bytes": _N,
        "written_rows_quarantine": _N, "written_bytes_quarantine": _N, "pipe_id": _T, "pipe_name": _T, "release": _T,
        "resource_tags": _L,
    },
    BLOCKS: {
        "timestamp": _AT, "request_id": _T, "import_id": _T, "job_id": _T, "source": _T, "block_id": _T, "status": _T,
        "datasource_id": _T, "datasource_name": _T, "start_offset": _N, "end_offset": _N, "rows": _N, "parser": _T,
        "quarantine_lines": _N, "empty_lines": _N, "bytes": _N, "processing_time": _F, "processing_error": _T,
    },
    SINKS: {
        "timestamp": _AT, "service": _T, "pipe_id": _T, "pipe_name": _T, "token_name": _T, "result": _T, "error": _T,
        "elapsed_time": _F, "job_id": _T, "read_rows": _N, "written_rows": _N, "read_bytes": _N, "written_bytes": _N,
        "output": _L, "parameters": _T, "options": _T, "resource_tags": _L,
    },
    STORAGE: {
        "timestamp": _AT, "datasource_id": _T, "datasource_name": _T, "bytes": _N, "rows": _N, "bytes_quarantine": _N,
        "rows_quarantine": _N,
    },
    CALLS: {
        "start_datetime": _AT, "pipe_id": _T, "pipe_name": _T, "duration": _F, "read_bytes": _N, "read_rows": _N,
        "result_rows": _N, "url": _T, "error": "UTINYINT", "request_id": _T, "token": _T, "token_name": _T,
        "status_code": "INTEGER", "method": _T, "parameters": "MAP(VARCHAR, VARCHAR)", "release": _T,
        "user_agent": _T, "resource_tags": _L, "cpu_time": _F, "message": _T,
    },
}  # fmt: skip

VIEWS: dict[str, str] = {
    "pipe_stats_rt": f"SELECT * EXCLUDE (message) FROM {SCHEMA}.{CALLS}",
    "pipe_stats": (
        "SELECT start_datetime::DATE AS date, pipe_id, pipe_name, count(*) AS view_count,"
        " sum(error)::BIGINT AS error_count, avg(duration) AS avg_duration,"
        " quantile_cont(duration, [0.9, 0.95, 0.99]) AS quantile_timing, sum(read_bytes)::BIGINT AS read_bytes_sum,"
        f" sum(read_rows)::BIGINT AS read_rows_sum FROM {SCHEMA}.{CALLS} GROUP BY ALL"
    ),
    "endpoint_errors": (
        "SELECT start_datetime, request_id, pipe_id, pipe_name, parameters AS params, url, status_code,"
        f" message AS error FROM {SCHEMA}.{CALLS} WHERE error = 1"
    ),
}

_encode = msgspec.json.Encoder().encode


def definitions() -> list[str]:
    """Statements that make what is not there yet."""
    found = [f"CREATE TABLE IF NOT EXISTS {SCHEMA}.refreshed (state VARCHAR)"]
    for name, columns in TABLES.items():
        listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        found.append(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({listed})")
    found += [f"CREATE VIEW IF NOT EXISTS {SCHEMA}.{name} AS {query}" for name, query in VIEWS.items()]
    for name in [*TABLES, *VIEWS]:
        whole = f"SELECT t.*, to_json(t)::VARCHAR AS {JSON_COLUMN} FROM {SCHEMA}.{name} AS t"
        found.append(f"CREATE VIEW IF NOT EXISTS {SCHEMA}.{name}{JSON_END} AS {whole}")
    return found


def uuid_of(text: str) -> str:
    """A text of UUID form that follows from another."""
    raw = hashlib.sha256(text.encode()).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:32]}"


def workspace_id(workspace: str) -> str:
    """The id of a workspace, which follows from its name."""
    return uuid_of(f"workspace/{workspace}")


Found = Iterable[tuple[Run, JobSpec, list[TaskRun]]]


def of_runs(found: Found, ids: wire.JobIds, workspace: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of jobs_log, datasources_ops_log, block_log and sinks_ops_log."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in OF_RUNS}
    for run, spec, tasks in found:
        job_id, facts = ids.text(run.id), wire.Facts(spec=spec, tasks=tasks)
        kind = wire.kind_of_run(run, spec)
        if kind != EVENTS_KIND:
            rows[JOBS].append(_job(run, job_id, facts, kind, workspace))
        ended = run.ended_at is not None
        if ended and wire.tag(run, "datasource_id") is not None:
            rows[OPS].append(_operation(run, job_id, facts, kind))
        if ended and kind == tables.IMPORT:
            rows[BLOCKS].append(_block(run, job_id, facts))
        if ended and kind == tables.SINK:
            rows[SINKS].append(_sink(run, job_id, facts))
    return rows


def _error(run: Run, facts: wire.Facts) -> str | None:
    if wire.status(run) != tables.ERROR:
        return None
    return next((one.detail for one in facts.tasks if one.detail), run.detail) or "failed"


def _job(run: Run, job_id: str, facts: wire.Facts, kind: str, workspace: str) -> dict[str, Any]:
    body = wire.job_body(run, job_id, "", facts)
    extra = {"pipe_name": wire.tag(run, "pipe_name"), "parameters": _parameters(run)}
    return {
        "job_id": job_id,
        "job_type": tables.LOG_TYPE.get(kind, kind),
        "status": wire.status(run),
        "error": _error(run, facts),
        "workspace_id": workspace,
        "request_id": uuid_of(f"request/{run.id}"),
        "pipe_id": wire.tag(run, "pipe_id") or "",
        "pipe_name": extra["pipe_name"] or "",
        "datasource_id": wire.tag(run, "datasource_id") or "",
        "created_at": wire.stamp(run.created_at),
        "started_at": wire.stamp_or_none(run.started_at),
        "updated_at": wire.stamp(wire.updated_at(run)),
        "job_metadata": _encode({**body, **extra}).decode(),
    }


def _parameters(run: Run) -> dict[str, str]:
    mark = f"{TAG}parameter."
    return {key.removeprefix(mark): value for key, value in run.tags.items() if key.startswith(mark)}


_EVENTS = {tables.POPULATE: "populateview", tables.COPY: "copy", tables.DELETE: "delete", EVENTS_KIND: EVENTS_KIND}


def _operation(run: Run, job_id: str, facts: wire.Facts, kind: str) -> dict[str, Any]:
    counts, error = wire.metrics(facts), _error(run, facts)
    ended = run.ended_at or run.created_at
    return {
        "timestamp": wire.stamp(ended),
        "event_type": _EVENTS.get(kind) or wire.tag(run, "mode") or "append",
        "datasource_id": wire.tag(run, "datasource_id"),
        "datasource_name": wire.tag(run, "datasource_name"),
        "result": "error" if error else "ok",
        "elapsed_time": (ended - (run.started_at or ended)) / 1000,
        "error": error,
        "Options.Names": ["source"],
        "Options.Values": [str(getattr(facts.spec.tasks[0].action, "source", ""))],
        "request_id": uuid_of(f"request/{run.id}"),
        "import_id": job_id if kind == tables.IMPORT else "",
        "job_id": job_id,
        "rows": counts.get("rows", 0),
        "rows_quarantine": counts.get("quarantine_rows", 0),
        "blocks_ids": [job_id],
        "operation_id": job_id,
        "read_rows": counts.get("rows", 0),
        "read_bytes": counts.get("bytes", 0),
        "cpu_time": counts.get("seconds", 0.0),
        "memory_usage": 0,
        "written_rows": counts.get("rows", 0),
        "written_bytes": counts.get("bytes", 0),
        "written_rows_quarantine": counts.get("quarantine_rows", 0),
        "written_bytes_quarantine": 0,
        "pipe_id": wire.tag(run, "pipe_id") or "",
        "pipe_name": wire.tag(run, "pipe_name") or "",
        "release": "",
        "resource_tags": [],
    }


def of_operations(found: Iterable[tuple[str, int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of datasources_ops_log for what is no job: a new Data Source, a truncate, a rename."""
    return [
        {
            "timestamp": wire.stamp(at),
            "event_type": body["event_type"],
            "datasource_id": body["datasource_id"],
            "datasource_name": body["datasource_name"],
            "result": "ok",
            "elapsed_time": 0.0,
            "job_id": "",
            "operation_id": key,
            "rows": 0,
            "rows_quarantine": 0,
        }
        for key, at, body in found
    ]


def _block(run: Run, job_id: str, facts: wire.Facts) -> dict[str, Any]:
    counts, error = wire.metrics(facts), _error(run, facts)
    return {
        "timestamp": wire.stamp(run.ended_at or run.created_at),
        "request_id": uuid_of(f"request/{run.id}"),
        "import_id": job_id,
        "job_id": job_id,
        "source": str(getattr(facts.spec.tasks[0].action, "source", "")),
        "block_id": job_id,
        "status": "error" if error else "done",
        "datasource_id": wire.tag(run, "datasource_id"),
        "datasource_name": wire.tag(run, "datasource_name"),
        "start_offset": 0,
        "end_offset": counts.get("bytes", 0),
        "rows": counts.get("rows", 0),
        "parser": "duckdb",
        "quarantine_lines": counts.get("quarantine_rows", 0),
        "empty_lines": 0,
        "bytes": counts.get("bytes", 0),
        "processing_time": counts.get("seconds", 0.0),
        "processing_error": error,
    }


def _sink(run: Run, job_id: str, facts: wire.Facts) -> dict[str, Any]:
    counts, error = facts.tasks[-1].metrics if facts.tasks else {}, _error(run, facts)
    ended = run.ended_at or run.created_at
    action, target = facts.spec.tasks[-1].action, wire.sink_path(run, facts.spec)
    return {
        "timestamp": wire.stamp(ended),
        "service": "s3" if target.startswith("s3://") else "file",
        "pipe_id": wire.tag(run, "pipe_id"),
        "pipe_name": wire.tag(run, "pipe_name"),
        "token_name": run.submitted_by,
        "result": "error" if error else "ok",
        "error": error,
        "elapsed_time": (ended - (run.started_at or ended)) / 1000,
        "job_id": job_id,
        "read_rows": counts.get("rows", 0),
        "written_rows": counts.get("rows", 0),
        "read_bytes": 0,
        "written_bytes": counts.get("bytes", 0),
        "output": [target],
        "parameters": _encode(_parameters(run)).decode(),
        "options": _encode({"format": str(getattr(action, "format", ""))}).decode(),
        "resource_tags": [],
    }


def of_storage(bodies: list[dict[str, Any]], found: dict[str, dict[str, Any]], now: int) -> list[dict[str, Any]]:
    """Rows of datasources_storage: what each Data Source holds now."""
    return [
        {
            "timestamp": wire.stamp(now),
            "datasource_id": body["id"],
            "datasource_name": body["name"],
            "bytes": body["statistics"]["bytes"],
            "rows": body["statistics"]["row_count"],
            "bytes_quarantine": (found.get(f"{body['name']}_quarantine") or {}).get("bytes") or 0,
            "rows_quarantine": body["quarantine_rows"],
        }
        for body in bodies
    ]
