"""Jobs and pages as this service's bodies. Pure.

What is shown beside what was sent follows recorded answers of real workspaces (see the dialect's page in docs).
"""

from __future__ import annotations

import base64
from typing import Any

from runyard.core.errors import RunyardError, invalid
from runyard.core.ids import LIMIT, time_of
from runyard.core.model import Job
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks.tables import LIMITS

Body = dict[str, Any]

_ARRAYS_OF_SETTINGS = ("tasks", "job_clusters", "environments", "parameters")
_SOURCES = {"notebook_task", "spark_python_task", "dbt_task"}


# --- pages ------------------------------------------------------------------------------------------------


def page_token(last_id: int, *, newer: bool = False) -> str:
    """Continues a list after this id, by the moment and the id: later inserts do not shift it.

    The form is the service's own: base64 of a protocol buffer {1: direction, 2: start time, 4: id}.
    """
    parts = (0x08, 2 if newer else 1), (0x10, time_of(last_id)), (0x20, last_id)
    return base64.b64encode(b"".join(bytes([tag]) + _varint(value) for tag, value in parts)).decode()


def parse_page_token(token: str) -> tuple[int, bool]:
    """The id that a page continues after, and whether towards newer ones; raises invalid for what we did not make."""
    try:
        data = base64.b64decode(token, validate=True)
        fields, at = {}, 0
        while at < len(data):
            tag = data[at]
            fields[tag], at = _read_varint(data, at + 1)
        last = fields[0x20]
    except (ValueError, KeyError, IndexError):
        raise _bad_token(token) from None
    if not 0 < last < LIMIT or fields.get(0x08) not in (1, 2):
        raise _bad_token(token)
    return last, fields[0x08] == 2


def _bad_token(token: str) -> RunyardError:
    return invalid(f"Invalid page token: {token}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def array_token(offset: int) -> str:
    """Continues the arrays of one job or run."""
    return base64.b64encode(b"a" + str(offset).encode()).decode()


def parse_array_token(token: str | None) -> int:
    """Where the arrays go on; 0 without a token."""
    if token is None:
        return 0
    try:
        text = base64.b64decode(token, validate=True).decode("ascii")
        offset = int(text[1:])
    except ValueError:
        raise _bad_token(token) from None
    if text[0] != "a" or not 0 < offset < 1 << 31:
        raise _bad_token(token)
    return offset


def cut(body: Body, names: tuple[str, ...], offset: int, *, whole: bool) -> int | None:
    """Cuts the named arrays of a body to their page of 100, in place; answers where the next page begins.

    Later pages leave exhausted arrays out. `whole` keeps everything, as versions before 2.2 did.
    """
    if whole:
        return None
    size, more = LIMITS["page_of_arrays"], False
    for name in names:
        items = body.get(name)
        if not isinstance(items, list):
            continue
        part = items[offset : offset + size]
        more |= len(items) > offset + size
        if part or not offset:
            body[name] = part
        else:
            del body[name]
    return offset + size if more else None


# --- jobs -------------------------------------------------------------------------------------------------


def shown_settings(settings: Body) -> Body:
    """Settings as a job shows them: with the service's defaults."""
    shown = {
        "name": "Untitled",
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
        **settings,
    }
    for name in ("schedule", "trigger", "continuous"):
        if name in shown:
            shown[name] = {"pause_status": "UNPAUSED", **shown[name]}
    source = "GIT" if "git_source" in settings else "WORKSPACE"
    if "tasks" in shown:
        shown["tasks"] = [shown_task(one, source) for one in shown["tasks"]]
    if "job_clusters" in shown:
        shown["job_clusters"] = [without_policy(one) for one in shown["job_clusters"]]
    return shown


def shown_task(task: Body, source: str) -> Body:
    """A task as a job or run shows it."""
    shown = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}, **without_policy(task)}
    if shown.get("depends_on"):
        shown["depends_on"] = sorted(shown["depends_on"], key=lambda one: str(one.get("task_key")))
    for name in _SOURCES & set(shown):
        shown[name] = {"source": source, **shown[name]}
    if "for_each_task" in shown and "task" in shown["for_each_task"]:
        inner = shown_task(shown["for_each_task"]["task"], source)
        shown["for_each_task"] = {**shown["for_each_task"], "task": inner}
    return shown


def without_policy(one: Body) -> Body:
    """`apply_policy_default_values` is never given back."""
    cluster = one.get("new_cluster")
    if isinstance(cluster, dict) and "apply_policy_default_values" in cluster:
        kept = {key: value for key, value in cluster.items() if key != "apply_policy_default_values"}
        return {**one, "new_cluster": kept}
    return one


def job_body(job: Job, version: str, *, offset: int = 0, trigger_state: Body | None = None) -> Body:
    """One job, as `jobs/get` gives it."""
    settings = shown_settings(compiling.settings_in(job.spec))
    following = cut(settings, _ARRAYS_OF_SETTINGS, offset, whole=version != "2.2")
    if version == "2.0":
        settings = _single(settings)
    body = {**_about(job), "settings": settings}
    if trigger_state is not None:
        body["trigger_state"] = trigger_state
    if following is not None:
        body["next_page_token"] = array_token(following)
        body["has_more"] = True
    return body


def listed_job(job: Job, version: str, *, expand: bool) -> Body:
    """One job of a list: without its arrays unless they are asked for."""
    settings = shown_settings(compiling.settings_in(job.spec))
    has_more = cut(settings, _ARRAYS_OF_SETTINGS, 0, whole=version != "2.2") is not None
    if version == "2.0":
        settings = _single(settings)
    elif not expand:
        settings.pop("tasks", None)
        settings.pop("job_clusters", None)
    body = {**_about(job), "settings": settings}
    if expand and has_more:
        body["has_more"] = True
    return body


def _about(job: Job) -> Body:
    kept = compiling.settings_in(job.spec)
    run_as = kept.get("run_as", {})
    about = {
        "job_id": job.id,
        "created_time": job.created_at,
        "creator_user_name": job.owner,
        "run_as_user_name": run_as.get("user_name") or run_as.get("service_principal_name") or job.owner,
        "run_as_owner": True,
    }
    if "usage_policy_id" in kept:
        about["effective_usage_policy_id"] = kept["usage_policy_id"]
    if "budget_policy_id" in kept:
        about["effective_budget_policy_id"] = kept["budget_policy_id"]
    return about


def _single(settings: Body) -> Body:
    """The form of version 2.0: a single task's fields stand among the settings."""
    if settings.get("format") != "SINGLE_TASK":
        return settings
    tasks = settings.get("tasks", [])
    rest = {key: value for key, value in settings.items() if key != "tasks"}
    one = tasks[0] if tasks else {}
    hidden = ("task_key", "run_if", "email_notifications", "timeout_seconds")
    return {**{key: value for key, value in one.items() if key not in hidden}, **rest}
