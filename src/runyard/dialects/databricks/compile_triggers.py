"""What starts a job by itself: schedules and triggers as the core knows them. Pure."""

from __future__ import annotations

from typing import Any

from runyard.core.cron import Flavour
from runyard.core.errors import RunyardError, invalid
from runyard.core.schedule import Schedule
from runyard.core.triggers import Continuous, FileArrival, JobTrigger, OnSchedule, Source, TableUpdate
from runyard.dialects.databricks import paths
from runyard.dialects.databricks.parts import Settings, Surroundings
from runyard.dialects.databricks.tables import LIMITS

LEGACY = ("schedule", "continuous", "trigger")
_UNIT_SECONDS = {"MINUTES": 60, "HOURS": 3600, "DAYS": 86_400, "WEEKS": 604_800}
_CRON = (
    "Databricks uses Quartz cron syntax, which is different from the standard cron syntax. See "
    "http://www.quartz-scheduler.org/documentation/quartz-2.1.x/tutorials/crontrigger.html for more details."
)
_LEAST_TIMER = 60
_NOT_HERE = {
    "model": "there is no model registry here",
    "sql_condition": "conditions of stored queries are not watched here",
}


def check(settings: Settings) -> None:
    """Refuses kinds that exclude each other."""
    kinds = [name for name in LEGACY if name in settings]
    if len(kinds) > 1:
        raise invalid(f"A job has only one of schedule, continuous and trigger; this one has {' and '.join(kinds)}.")
    if settings.get("triggers") and kinds:
        raise invalid(f"triggers cannot be mixed with {kinds[0]}.")
    if is_continuous(settings) and any(task.get("depends_on") for task in settings.get("tasks", [])):
        raise invalid("Continuous jobs do not support task dependencies.")


def is_continuous(settings: Settings) -> bool:
    """Whether the job keeps itself running."""
    return "continuous" in settings or any("continuous" in one for one in settings.get("triggers", []))


def keeps_running(settings: Settings) -> bool:
    """Whether the job is continuous and not paused."""
    given = [settings.get("continuous"), *(one for one in settings.get("triggers", []) if "continuous" in one)]
    return any(one is not None and one.get("pause_status") != "PAUSED" for one in given)


def continuous_key(settings: Settings) -> str:
    """The name of the trigger that keeps the job running."""
    listed = [number for number, one in enumerate(settings.get("triggers", [])) if "continuous" in one]
    return f"trigger_{listed[0]}" if listed else "continuous"


def schedule(settings: Settings) -> Schedule | None:
    """The cron schedule or interval of a job."""
    given = settings.get("schedule")
    if given is not None:
        return _cron(given, given.get("pause_status") == "PAUSED")
    trigger = settings.get("trigger", {})
    if "periodic" in trigger:
        return _every(trigger["periodic"], trigger.get("pause_status") == "PAUSED")
    return None


def _cron(given: Settings, paused: bool) -> Schedule:
    expression, zone = given.get("quartz_cron_expression", ""), given.get("timezone_id", "")
    if not expression or not zone:
        raise invalid("A schedule needs a quartz_cron_expression and a timezone_id.")
    _refuse_unknown(given)
    return Schedule(cron=expression, flavour=Flavour.QUARTZ, time_zone=zone, paused=paused)


def _every(given: Settings, paused: bool) -> Schedule:
    interval, unit = given.get("interval", 0), given.get("unit")
    if interval < 1 or unit is None:
        raise invalid("trigger.periodic needs an interval of 1 or more and a unit.")
    return Schedule(every=float(interval * _UNIT_SECONDS[unit]), paused=paused)


def triggers(settings: Settings, around: Surroundings) -> list[JobTrigger]:
    """What else starts the job: arrivals of files, updates of tables, its own end."""
    found = []
    if "continuous" in settings:
        given = settings["continuous"]
        found.append(_trigger("continuous", _continuous(), given))
    if "trigger" in settings:
        given = settings["trigger"]
        _refuse_unknown(given)
        source = _source(given, around)
        if source is not None:
            found.append(_trigger("trigger", source, given))
        elif "periodic" not in given:
            raise invalid("trigger needs one of periodic, file_arrival and table_update.")
    for number, given in enumerate(settings.get("triggers", [])):
        found.append(_trigger(f"trigger_{number}", _listed(given, around), given))
    return found


def _trigger(key: str, source: Source, given: Settings) -> JobTrigger:
    return JobTrigger(key=key, source=source, paused=given.get("pause_status") == "PAUSED")


def _listed(given: Settings, around: Surroundings) -> Source:
    _refuse_unknown(given)
    source = _source(given, around)
    if source is not None:
        return source
    if "schedule" in given:
        return OnSchedule(schedule=_cron(given["schedule"], False))
    if "periodic" in given:
        return OnSchedule(schedule=_every(given["periodic"], False))
    if "continuous" in given:
        return _continuous()
    raise invalid("Each entry of triggers needs one of schedule, periodic, file_arrival, table_update and continuous.")


def _refuse_unknown(given: Settings) -> None:
    for name, why in _NOT_HERE.items():
        if name in given:
            raise invalid(f"{name} cannot be watched: {why}.")


def _source(given: Settings, around: Surroundings) -> Source | None:
    if "file_arrival" in given:
        return _file_arrival(given["file_arrival"], around)
    if "table_update" in given:
        return _table_update(given["table_update"])
    return None


def _file_arrival(given: Settings, around: Surroundings) -> FileArrival:
    url = given.get("url", "")
    if not url:
        raise invalid("trigger.file_arrival needs a url.")
    location = url if url.startswith(("http://", "https://")) else paths.file(around.roots, url)
    return FileArrival(location=location, **_timers(given))


def _table_update(given: Settings) -> TableUpdate:
    names = given.get("table_names", [])
    if not 1 <= len(names) <= LIMITS["table_names"]:
        raise invalid(f"trigger.table_update needs 1 to {LIMITS['table_names']} table_names.")
    tables = [".".join(name.split(".")[-2:]) for name in names]
    return TableUpdate(
        tables=tables, match="all" if given.get("condition") == "ALL_UPDATED" else "any", **_timers(given)
    )


def _timers(given: Settings) -> dict[str, Any]:
    names = {
        "min_time_between_triggers_seconds": "min_time_between",
        "wait_after_last_change_seconds": "wait_after_last_change",
    }
    for name in names:
        if 0 < given.get(name, 0) < _LEAST_TIMER or given.get(name, 0) < 0:
            raise invalid(f"{name} must be {_LEAST_TIMER} or more; it is {given[name]}.")
    return {ours: float(given[theirs]) for theirs, ours in names.items() if given.get(theirs)}


def _continuous() -> Continuous:
    """After a failure the next run waits longer and longer, as the service has it."""
    return Continuous()


def refusal(error: RunyardError, settings: Settings) -> RunyardError:
    """A refusal of the schedule in this service's words; others as they are."""
    expression = settings.get("schedule", {}).get("quartz_cron_expression", "")
    if not (error.field or "").startswith("schedule") or not expression:
        return error
    if "never fire" in error.message:
        return invalid(f"The provided cron expression: {expression} will never fire.")
    if "zone" in error.message:
        return invalid(f"Invalid timezone_id: {settings['schedule'].get('timezone_id')}.")
    return invalid(f"Invalid quartz_cron_expression: {expression}. {_CRON}")
