"""What a message about a run or a task says, and how a face's own form of it is filled in."""

from __future__ import annotations

import re
from typing import Any

from runyard.core import references
from runyard.core.errors import invalid
from runyard.core.model import Notification, Run, TaskRun

MAX_ADDRESSES = 50
_ADDRESS = re.compile(r"[^\s@<>,;:\"]{1,64}@[^\s@<>,;:\"]{1,255}")
RUN = (
    "id", "name", "job_id", "state", "reason", "detail", "round", "trigger", "created_at", "started_at", "ended_at",
)  # fmt: skip
TASK_RUN = ("id", "task_key", "attempt", "state", "reason", "detail", "started_at", "ended_at")
NAMES = {"run": frozenset({*RUN, "event"}), "job": frozenset({"id", "name"}), "task": frozenset({*TASK_RUN, "key"})}
"""What a message of one's own may refer to."""


def message(event: str, run: Run, task_run: TaskRun | None, seconds: float | None) -> dict[str, Any]:
    """Our own form; `seconds` is the limit that was passed."""
    told: dict[str, Any] = {"event": event, "run": {name: getattr(run, name) for name in RUN}}
    if task_run is not None:
        facts = {name: getattr(task_run, name) for name in TASK_RUN}
        told["task_run"] = {"key": facts.pop("task_key"), **facts}
    if seconds is not None:
        told["limit_seconds"] = seconds
    return told


def filled(form: Any, told: dict[str, Any]) -> Any:
    """A face's own form with the facts of our message; what a message about a run says of a task is null."""
    run = told["run"]
    known = {
        "run": {**run, "event": told["event"]},
        "job": {"id": run["job_id"], "name": run["name"]},
        "task": told.get("task_run", {}),
    }
    return references.resolve(form, lambda path: known[path[0]].get("key" if path[1] == "task_key" else path[1]))


# --- what is wrong with a definition ----------------------------------------------------------------------


def check(notifications: list[Notification], at: str) -> None:
    """Refuses notifications that would reach nobody or tell nothing; `at` is where they stand."""
    for index, one in enumerate(notifications):
        place = f"{at}[{index}]"
        if bool(one.url) == bool(one.email):
            raise invalid("A notification has exactly one of url and email.", field=place)
        if one.url and not one.url.startswith(("http://", "https://")):
            raise invalid(f"A webhook is an http(s) URL; found {one.url!r}.", field=f"{place}.url")
        wrong = [address for address in one.email if not _ADDRESS.fullmatch(address)]
        if wrong or len(one.email) > MAX_ADDRESSES:
            said = f"email holds at most {MAX_ADDRESSES} addresses such as ann@example.com"
            raise invalid(f"{said}; found {wrong[0] if wrong else len(one.email)!r}.", field=f"{place}.email")
        if not one.on:
            raise invalid("A notification says of what it tells: on is empty.", field=f"{place}.on")
        if one.body is not None:
            _check_form(one, f"{place}.body")


def _check_form(one: Notification, field: str) -> None:
    if not one.url:
        raise invalid("A body of its own goes to a webhook: give a url.", field=field)
    for path in references.find(one.body):
        if len(path) != 2 or path[1] not in NAMES.get(path[0], ()):
            known = "; ".join(f"{name}: {', '.join(sorted(names))}" for name, names in NAMES.items())
            raise invalid(f"A message does not know {'.'.join(path)!r}. It knows {known}.", field=field)
