"""Who is told of a job's and its tasks' runs, by e-mail and webhook. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from runyard.core.errors import invalid
from runyard.core.model import Notification
from runyard.dialects.databricks.parts import Settings, Surroundings
from runyard.dialects.databricks.tables import LIMITS, WORKSPACE_ID

Point = Literal["start", "success", "failure", "cancelled", "skipped", "duration"]
_POINTS: dict[str, list[Point]] = {
    "on_start": ["start"],
    "on_success": ["success"],
    "on_failure": ["failure"],
    "on_duration_warning_threshold_exceeded": ["duration"],
}
RUN = {"run_id": "{{ run.id }}"}
JOB = {"job_id": "{{ job.id }}", "name": "{{ job.name }}"}


def of(settings: Settings, around: Surroundings, *, task: bool = False) -> list[Notification]:
    """The notifications of a job's or task's settings."""
    return [*_emails(settings, around, task), *_webhooks(settings, around, task)]


def warn_after(settings: Settings) -> float | None:
    """After how many seconds a run is told to take long."""
    for rule in settings.get("health", {}).get("rules", []):
        if not {"metric", "op", "value"} <= set(rule):
            raise invalid("Each rule of health needs a metric, an op and a value.")
        if rule["metric"] == "RUN_DURATION_SECONDS" and rule["value"] > 0:
            return float(rule["value"])
    return None


def _emails(settings: Settings, around: Surroundings, task: bool) -> Iterator[Notification]:
    given = settings.get("email_notifications", {})
    if not around.mail:  # recorded: there is no mail server
        return
    for name in _POINTS:
        if given.get(name):
            yield Notification(email=given[name], on=_points(name, settings), every_attempt=_every(settings, task))


def _webhooks(settings: Settings, around: Surroundings, task: bool) -> Iterator[Notification]:
    given = settings.get("webhook_notifications", {})
    for name in _POINTS:
        entries = given.get(name, [])
        if len(entries) > LIMITS["webhooks"]:
            raise invalid(f"webhook_notifications.{name} may name {LIMITS['webhooks']} destinations.")
        for one in entries:
            yield from _webhook(one.get("id", ""), name, settings, around, task)


def _webhook(
    destination: str, name: str, settings: Settings, around: Surroundings, task: bool
) -> Iterator[Notification]:
    config = around.destinations.get(destination)
    if config is None:
        raise invalid(f"There is no notification destination {destination!r}.")
    points, every = _points(name, settings), _every(settings, task)
    addresses = config.get("email", {}).get("addresses", [])
    if addresses and around.mail:
        yield Notification(email=addresses, on=points, every_attempt=every)
    for kind in ("generic_webhook", "slack", "microsoft_teams"):
        url = config.get(kind, {}).get("url")
        if url:
            yield Notification(url=url, on=points, every_attempt=every, body=_body(name, task))


def _body(name: str, task: bool) -> dict[str, Any]:
    """The service's own message."""
    message = {"event_type": f"jobs.{name}", "workspace_id": WORKSPACE_ID, "run": RUN, "job": JOB}
    return {**message, "task": {"task_key": "{{ task.key }}", "run_id": "{{ task.id }}"}} if task else message


def _points(name: str, settings: Settings) -> list[Point]:
    """Failure is told of skipped and cancelled runs too, unless the settings say otherwise."""
    points = list(_POINTS[name])
    if name == "on_failure":
        wanted = settings.get("notification_settings", {})
        skipped = settings.get("email_notifications", {}).get("no_alert_for_skipped_runs", False)
        if not (wanted.get("no_alert_for_skipped_runs", False) or skipped):
            points.append("skipped")
        if not wanted.get("no_alert_for_canceled_runs", False):
            points.append("cancelled")
    return points


def _every(settings: Settings, task: bool) -> bool:
    return not (task and settings.get("notification_settings", {}).get("alert_on_last_attempt", False))
