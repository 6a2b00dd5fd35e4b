"""Pure translation: times, ids, and runs as this platform's jobs."""

from __future__ import annotations

import functools
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from runyard.core.actions import kind_of
from runyard.core.errors import invalid
from runyard.core.model import JobSpec, Run, TaskRun
from runyard.core.opaque import Opaque
from runyard.dialects.tinybird import tables
from runyard.dialects.tinybird.tables import TAG

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


# --- times ------------------------------------------------------------------------------------------------


def stamp(at_ms: int) -> str:
    """`2024-07-22 11:47:58.207000`, in UTC."""
    days, left = divmod(at_ms, 86_400_000)
    seconds, milliseconds = divmod(left, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_day(days)} {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{milliseconds:03d}000"


@functools.lru_cache(maxsize=128)
def _day(days: int) -> str:
    """Lists of jobs hold many times of few days."""
    return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d")


def stamp_or_none(at_ms: int | None) -> str | None:
    """As `stamp`; None stays None."""
    return None if at_ms is None else stamp(at_ms)


def moment_of(text: str, field: str) -> int:
    """An ISO 8601 date or time (UTC when it says no zone) in milliseconds; raises `invalid`."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        example = "2023-06-15T18:13:25.855Z"
        raise invalid(f"{field} must be an ISO 8601 date such as {example}; it is {text!r}.", field=field) from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int((aware - _EPOCH) / timedelta(milliseconds=1))


# --- ids --------------------------------------------------------------------------------------------------


class JobIds:
    """Job ids in UUID form, made from ours with a key and read back without a table."""

    def __init__(self, key: bytes) -> None:
        self._opaque = Opaque(key, 16)
        self.text = functools.lru_cache(maxsize=8192)(self._text)
        """The job id of a run; the newest are asked for again and again."""

    def _text(self, run_id: int) -> str:
        raw = self._opaque.text(run_id)
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"

    def read(self, text: str) -> int | None:
        """The run of a job id; None for what was not made here."""
        return self._opaque.read(text.replace("-", "")) if _UUID.fullmatch(text) else None


def query_id(run_id: int, task_run_id: int, created_at: int) -> str:
    """A ULID (26 characters): the time, then digits that follow from the ids."""
    digest = hashlib.sha256(f"{run_id}/{task_run_id}".encode()).digest()
    number = (created_at << 80) | int.from_bytes(digest[:10], "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


# --- jobs -------------------------------------------------------------------------------------------------


def kind_of_run(run: Run, spec: JobSpec | None = None) -> str:
    """The kind as it was tagged; of a run that another face made, by what it does."""
    tagged = run.tags.get(f"{TAG}kind")
    if tagged is not None or spec is None:
        return tagged or tables.QUERY
    return tables.KIND_OF_ACTION.get(kind_of(spec.tasks[0].action), tables.QUERY)


def tags_of(
    kind: str, datasource: dict[str, Any] | None = None, pipe: dict[str, Any] | None = None, **more: str
) -> dict[str, str]:
    """The tags of a job's run."""
    tags = {f"{TAG}kind": kind}
    for what, one in (("datasource", datasource), ("pipe", pipe)):
        if one is not None:
            tags |= {f"{TAG}{what}_id": one["id"], f"{TAG}{what}_name": one["name"]}
    return tags | {f"{TAG}{name}": value for name, value in more.items()}


def tag(run: Run, name: str) -> str | None:
    """One tag of ours."""
    return run.tags.get(f"{TAG}{name}")


def status(run: Run) -> str:
    """The run's state in this platform's words."""
    return tables.STATES[run.state]


def updated_at(run: Run, cancelled_at: int | None = None) -> int:
    """When the status last changed; `cancelled_at` is when a cancel was asked for, if it still goes on."""
    if run.ended_at is not None:
        return run.ended_at
    return cancelled_at or run.started_at or run.created_at


def is_cancellable(run: Run, kind: str, any_kind: bool) -> bool:
    """Waiting: every kind. Working: populates, and with a setting all."""
    now = status(run)
    return now == tables.WAITING or (now == tables.WORKING and (any_kind or kind == tables.POPULATE))


def job_item(run: Run, job_id: str, base: str, cancelled_at: int | None = None) -> dict[str, Any]:
    """A job as lists show it."""
    body: dict[str, Any] = {
        "id": job_id,
        "kind": kind_of_run(run),
        "status": status(run),
        "created_at": stamp(run.created_at),
        "updated_at": stamp(updated_at(run, cancelled_at)),
        "job_url": f"{base}/v0/jobs/{job_id}",
    }
    if (datasource := named(run, "datasource")) is not None:
        body["datasource"] = datasource
    if (pipe := named(run, "pipe")) is not None:
        body |= {"pipe_id": pipe["id"], "pipe_name": pipe["name"]}
    if (deployment := tag(run, "deployment_id")) is not None:
        body["deployment_id"] = deployment
    return body


def named(run: Run, what: str) -> dict[str, str] | None:
    """Id and name of the run's Data Source or pipe, as they were when it was made."""
    found = tag(run, f"{what}_id")
    return None if found is None else {"id": found, "name": tag(run, f"{what}_name") or ""}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's details are drawn from beside its run."""

    spec: JobSpec
    tasks: list[TaskRun]
    datasource: dict[str, Any] | None = None
    """The Data Source in full, or None when it is gone."""
    progress: dict[str, Any] = {}
    """What the live attempt reported last."""
    cancelled_at: int | None = None
    any_kind: bool = False


def job_body(run: Run, job_id: str, base: str, facts: Facts) -> dict[str, Any]:
    """A job in full."""
    kind = kind_of_run(run, facts.spec)
    item = job_item(run, job_id, base, facts.cancelled_at)
    body: dict[str, Any] = {
        "kind": kind,
        "id": job_id,
        "job_id": job_id,
        "status": item["status"],
        "created_at": item["created_at"],
        "updated_at": item["updated_at"],
        "started_at": stamp_or_none(run.started_at),
        "is_cancellable": is_cancellable(run, kind, facts.any_kind),
        "job_url": item["job_url"],
    }
    if "datasource" in item:
        body["datasource"] = facts.datasource or item["datasource"]
    body |= _BY_KIND[kind](run, job_id, facts)
    if "pipe_id" in item:
        body |= {"pipe_id": item["pipe_id"], "pipe_name": item["pipe_name"]}
    return body | _trouble(run, facts)


def _trouble(run: Run, facts: Facts) -> dict[str, Any]:
    if status(run) != tables.ERROR:
        return {}
    failed = [one.detail for one in facts.tasks if one.detail and one.ended_at is not None]
    errors = failed or [run.detail or "The job did not succeed."]
    return {"error": errors[0], "errors": errors}


def _import(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    task, counts = facts.spec.tasks[0].action, metrics(facts)
    source = getattr(task, "source", "")
    body: dict[str, Any] = {"mode": tag(run, "mode") or getattr(task, "mode", "append"), "import_id": job_id}
    if "://" in source:
        body["url"] = source
    return body | {
        "statistics": _statistics(facts),
        "quarantine_rows": counts.get("quarantine_rows", 0),
        "invalid_lines": counts.get("invalid_lines", 0),
    }


def _populate(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    queries = [
        {"query_id": query_id(run.id, place, run.created_at), "status": said}
        for place, said in enumerate(_query_states(run, facts))
    ]
    begun = sum(query["status"] != tables.WAITING for query in queries)
    return {
        "query_id": queries[0]["query_id"],
        "queries": queries,
        "progress_percentage": round(100.0 * begun / len(queries), 2),
        "statistics": _statistics(facts),
    }


def _query_states(run: Run, facts: Facts) -> list[str]:
    """One of waiting, working and done for each part that the source is read in."""
    parts = int(facts.progress.get("chunks") or metrics(facts).get("chunks") or 1)
    now = status(run)
    if now == tables.DONE:
        return [tables.DONE] * parts
    if now == tables.WAITING or (run.started_at is None and now == tables.CANCELLED):
        return [tables.WAITING] * parts
    done = min(int(facts.progress.get("chunks_done") or 0), parts - 1)
    here = tables.WORKING if run.ended_at is None else tables.DONE
    return [tables.DONE] * done + [here] + [tables.WAITING] * (parts - done - 1)


def _copy(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    action = facts.spec.tasks[0].action
    counts = metrics(facts)
    return {
        "query_id": query_id(run.id, 0, run.created_at),
        "query_sql": getattr(action, "statement", ""),
        "mode": tag(run, "mode") or getattr(action, "mode", "append"),
        "rows": counts.get("rows", 0),
        "statistics": _statistics(facts),
    }


def _delete(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    action = facts.spec.tasks[0].action
    return {
        "delete_id": job_id,
        "delete_condition": tag(run, "condition") or getattr(action, "where", ""),
        "rows_affected": metrics(facts).get("rows", 0),
        "statistics": _statistics(facts),
    }


def _query(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    counts = metrics(facts)
    return {
        "query_id": query_id(run.id, 0, run.created_at),
        "query": getattr(facts.spec.tasks[0].action, "statement", ""),
        "statistics": {"bytes": counts.get("bytes", 0), "row_count": counts.get("rows", 0)},
    }


def _sink(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    counts = facts.tasks[-1].metrics if facts.tasks else {}
    return {
        "query_id": query_id(run.id, 0, run.created_at),
        "format": getattr(facts.spec.tasks[-1].action, "format", ""),
        "path": sink_path(run, facts.spec),
        "rows": counts.get("rows", 0),
        "bytes": counts.get("bytes", 0),
    }


SINK_MARKS = {"{YYYYMMDD}": "%Y%m%d", "{YYYY}": "%Y", "{MM}": "%m", "{DD}": "%d", "{HH}": "%H", "{mm}": "%M"}
"""What a sink's file name may hold of the time."""


def sink_part(mark: str) -> str:
    """What stands for a mark in the definition of a scheduled sink: its first task spells the time of the tick."""
    return f"{{{{ tasks.moment.output.first_row.{mark[1:-1]}_ }}}}"


def sink_path(run: Run, spec: JobSpec) -> str:
    """Where a sink writes."""
    path = str(getattr(spec.tasks[-1].action, "target", ""))
    tick = run.extras.get("schedule")
    at = _EPOCH + timedelta(milliseconds=tick["at"] if isinstance(tick, dict) else run.created_at)
    for mark, form in SINK_MARKS.items():
        path = path.replace(sink_part(mark), at.strftime(form))
    return path


def _deployment(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    return {"deployment_id": tag(run, "deployment_id"), "query_id": query_id(run.id, 0, run.created_at)}


_BY_KIND = {
    tables.IMPORT: _import,
    tables.POPULATE: _populate,
    tables.COPY: _copy,
    tables.DELETE: _delete,
    tables.QUERY: _query,
    tables.SINK: _sink,
    tables.DEPLOYMENT: _deployment,
}


def metrics(facts: Facts) -> dict[str, Any]:
    """The counts of the job's tasks, added up."""
    total: dict[str, Any] = {}
    for one in facts.tasks:
        for name, value in one.metrics.items():
            if isinstance(value, int | float):
                total[name] = total.get(name, 0) + value
    return total


def _statistics(facts: Facts) -> dict[str, Any] | None:
    """Rows and bytes of the target Data Source, as the Jobs API's page says."""
    return facts.datasource.get("statistics") if facts.datasource is not None else None


def block_log(run: Run, job_id: str, facts: Facts) -> dict[str, Any]:
    """`?debug=blocks,block_log`: the import as one block."""
    counts, now = metrics(facts), status(run)
    state = "idle" if now == tables.WAITING else "processing" if now == tables.WORKING else "done"
    lines = counts.get("rows", 0) + counts.get("quarantine_rows", 0) + counts.get("invalid_lines", 0)
    trouble = _trouble(run, facts).get("error")
    returned = {
        "lines": lines,
        "parser": "duckdb",
        "quarantine": counts.get("quarantine_rows", 0),
        "empty_lines": 0,
        "bytes": counts.get("bytes", 0),
        "time": counts.get("seconds", 0.0),
    }
    block = {
        "block_id": job_id,
        "process_return": [returned] if now == tables.DONE else [],
        "processing_time": counts.get("seconds", 0.0),
        "fetch_time": counts.get("download_seconds", 0.0),
        "processing_error": trouble,
        "table_name": (named(run, "datasource") or {}).get("name"),
    }
    return {"block_log": [{"block_id": job_id, "status": state}], "blocks": [block]}
