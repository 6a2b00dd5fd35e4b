"""What starts runs by itself: the definitions of standing triggers, and what is kept of each firing.

A *trigger* has a source (when it fires) and actions (the runs that a firing starts). A *firing* happens once: its
record is written in the transaction of the runs that it starts. A firing that no run brought about begins a *chain*;
the runs that it starts, the firings that follow when they end, and so on, belong to that chain. A trigger fires at
most once in a chain, so circles of triggers come to an end.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runyard.core import schedule as schedules
from runyard.core.errors import RunyardError, invalid
from runyard.core.schedule import Schedule
from runyard.core.states import TERMINAL, State

MAX_ACTIONS = 100
MAX_WATCHED = 500
MAX_TABLES = 100
MAX_KEY = 255
LONGEST_WAIT = 7 * 86_400.0
ENDS = sorted(TERMINAL)

Match = Literal["all", "any"]


class _Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """As a caller writes it: unknown fields are refused, defaults are not stored."""


class Watched(_Definition, frozen=True, kw_only=True):
    """A job, by id or by its key in the trigger's workspace and origin, and the ends of its runs that count."""

    job: int | str
    states: list[State] = msgspec.field(default_factory=lambda: [State.SUCCEEDED])


class OnSchedule(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="schedule"):
    """Fires by the clock."""

    schedule: Schedule


class AfterRuns(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="after_runs"):
    """Fires when runs of one chain have ended as it says: all of the watched ones, or any."""

    watch: list[Watched]
    match: Match = "all"
    by_hand: bool = False
    """Whether a run that nobody but a caller started counts too; it is then a chain of its own."""


class FileArrival(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="file_arrival"):
    """Fires when files are new or changed: below a folder of the server, or at a URL."""

    location: str
    """A folder below an allowed path, or an http(s) URL."""
    pattern: str = "*"
    """Which file names count, with `*` and `?`; for folders."""
    wait_after_last_change: float = 0.0
    """Seconds without a further change before it fires."""
    min_time_between: float = 0.0
    """Seconds between two firings at least."""
    batch_size: int = 0
    """So many changes make a firing, without the wait after the last one; 0: any number, once they have settled."""
    batch_window: float = 0.0
    """With a batch_size: seconds from the first change to the firing, if there are fewer."""


class TableUpdate(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="table_update"):
    """Fires when tasks have changed tables of the warehouse: any of them, or all since the last firing."""

    tables: list[str]
    """`table` or `schema.table`; upper and lower case are the same."""
    match: Match = "any"
    wait_after_last_change: float = 0.0
    min_time_between: float = 0.0
    batch_size: int = 0
    batch_window: float = 0.0


class Continuous(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="continuous"):
    """Keeps its jobs running: fires again when all runs of its last firing are over."""

    delay: float = 1.0
    """Seconds from their end to the next firing."""
    backoff: float = 2.0
    """After each failure in a row the delay is the one before it times this."""
    max_delay: float = 3600.0


class Manual(_Definition, frozen=True, kw_only=True, tag_field="kind", tag="manual"):
    """Fires only when somebody asks."""


Source = OnSchedule | AfterRuns | FileArrival | TableUpdate | Continuous | Manual


class StartRun(_Definition, frozen=True, kw_only=True):
    """One run that a firing starts."""

    job: int | str
    """An id, or a key in the trigger's workspace and origin."""
    parameters: dict[str, Any] = {}
    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    timeout: float | None = None
    """Seconds for the whole run, instead of the job's own."""
    task_timeout: float | None = None
    """Seconds for one attempt of each task, instead of the tasks' own."""
    tags: dict[str, str] = {}
    extras: dict[str, Any] = {}


class TriggerSpec(_Definition, frozen=True, kw_only=True):
    """A standing trigger as its author defines it."""

    source: Source
    actions: list[StartRun]
    description: str = ""


class JobTrigger(_Definition, frozen=True, kw_only=True):
    """A trigger that is part of a job's definition, and starts this job."""

    key: str
    source: Source
    parameters: dict[str, Any] = {}
    """Laid over the job's own."""
    paused: bool = False


class Trigger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A kept trigger: its definition, and where it stands. Times in milliseconds."""

    id: int
    workspace: str
    origin: str
    key: str | None
    """A name that is unique within (workspace, origin), or within its job."""
    job_id: int | None = None
    """The job whose definition holds it; it comes and goes with it."""
    scope: str = ""
    """Runs reach triggers of their own chain's scope only."""
    spec: TriggerSpec
    version: int = 1
    active: bool = True
    detail: str = ""
    """Why it was paused without being asked."""
    owner: str
    """In whose name its runs are submitted."""
    created_at: int
    updated_at: int
    started_at: int | None = None
    """When it was last started; None: never."""
    anchor_at: int = 0
    """Where an interval counts from."""
    next_at: int | None = None
    """When it is to be looked at next; None: when something happens."""
    last_at: int | None = None
    """Its newest firing."""
    fired: int = 0
    """How many firings it had."""
    memory: dict[str, Any] = {}
    """What its source must remember between firings."""
    extras: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """The source's `kind` as it stands in JSON."""
        return kind_of(self.spec.source)


class Firing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One firing of a trigger: written once, with the runs that it started."""

    id: int
    trigger_id: int
    number: int
    """Counts the firings of the trigger, from 1."""
    name: str | None
    """The trigger's key, which outlives it here."""
    kind: str
    """The source's kind, or `manual` when somebody asked for it."""
    chain: int
    """The firing that its chain began with: its own id, or an earlier firing's, or a run's that began without one."""
    scope: str = ""
    at: int
    by: str
    after: list[int] = []
    """The runs whose ends satisfied it."""
    runs: list[int] = []
    """The runs that it started."""
    detail: str = ""
    """Why it started fewer than its actions say."""
    data: dict[str, Any] = {}
    """What it saw: `scheduled_at`, `files`, `tables`."""
    extras: dict[str, Any] = {}
    """What the caller who began the chain gave for all its runs."""
    closed_at: int | None = None
    """Since when nothing follows in the chain that it began."""


class TriggerFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which triggers; fields that are None do not restrict."""

    workspace: str | None = None
    origin: str | None = None
    key: str | None = None
    job_id: int | None = None
    """Only those of this job's definition."""
    kind: str | None = None
    active: bool | None = None


def kind_of(source: Source) -> str:
    """The source's `kind` as it stands in JSON."""
    return str(type(source).__struct_config__.tag)


# --- what happens elsewhere, as topics --------------------------------------------------------------------


def job_topics(job_id: int, workspace: str, origin: str, key: str | None) -> list[str]:
    """Under which topics the ends of a job's runs are told."""
    named = [] if key is None else [f"job:{workspace}/{origin}/{key}"]
    return [f"job:{job_id}", *named]


def table_topic(workspace: str, table: str) -> str:
    """Under which topic a change of a table is told."""
    return f"table:{workspace}/{qualified(table)}"


def qualified(table: str) -> str:
    """`schema.table` in lower case; without a schema it is `main`."""
    name = table.strip().lower()
    return name if "." in name else f"main.{name}"


def topics(trigger: Trigger) -> list[str]:
    """What a trigger wants to be told."""
    source = trigger.spec.source
    if isinstance(source, TableUpdate):
        found = [table_topic(trigger.workspace, table) for table in source.tables]
    elif isinstance(source, AfterRuns):
        found = [_topic(trigger, watched.job) for watched in source.watch]
    elif isinstance(source, Continuous):
        found = [_topic(trigger, action.job) for action in trigger.spec.actions]
    else:
        found = []
    return list(dict.fromkeys(found))


def _topic(trigger: Trigger, job: int | str) -> str:
    return f"job:{job}" if isinstance(job, int) else f"job:{trigger.workspace}/{trigger.origin}/{job}"


# --- what is wrong with a definition ----------------------------------------------------------------------


def check(spec: TriggerSpec) -> None:
    """Refuses a trigger that can never be right; whether its jobs exist is seen when it is kept."""
    check_source(spec.source, "source")
    if not 1 <= len(spec.actions) <= MAX_ACTIONS:
        said = f"A trigger has 1 to {MAX_ACTIONS} actions; this one has {len(spec.actions)}."
        raise invalid(said, field="actions")
    for index, action in enumerate(spec.actions):
        for name in ("timeout", "task_timeout"):
            value = getattr(action, name)
            if value is not None and not value > 0:
                field = f"actions[{index}].{name}"
                raise invalid(f"{field} must be more than 0 seconds; it is {value:g}.", field=field)


def check_key(key: str | None, field: str = "key") -> None:
    """Refuses a name that nobody could use."""
    if key is not None and not (1 <= len(key) <= MAX_KEY and key.isprintable()):
        raise invalid(f"A trigger's name has 1 to {MAX_KEY} printable characters.", field=field)


def check_own(triggers: list[JobTrigger]) -> None:
    """Refuses wrong triggers of a job's definition."""
    seen: set[str] = set()
    for index, one in enumerate(triggers):
        check_key(one.key, f"triggers[{index}].key")
        if one.key in seen:
            raise invalid(f"Two triggers have the key {one.key!r}.", field=f"triggers[{index}].key")
        seen.add(one.key)
        check_source(one.source, f"triggers[{index}].source")


def check_source(source: Source, at: str) -> None:
    """Refuses a source that could never fire, or not as it says."""
    if isinstance(source, OnSchedule):
        _check_schedule(source.schedule, at)
    elif isinstance(source, AfterRuns):
        _check_watch(source.watch, at)
    elif isinstance(source, TableUpdate):
        _check_tables(source.tables, at)
    elif isinstance(source, FileArrival):
        _check_location(source.location, at)
    elif isinstance(source, Continuous):
        _seconds(source.delay, f"{at}.delay", least=0.1)
        _seconds(source.max_delay, f"{at}.max_delay", least=source.delay)
        if not 1 <= source.backoff <= 100:
            raise invalid(f"backoff must be 1 to 100; it is {source.backoff:g}.", field=f"{at}.backoff")
    if isinstance(source, (TableUpdate, FileArrival)):
        _seconds(source.wait_after_last_change, f"{at}.wait_after_last_change")
        _seconds(source.min_time_between, f"{at}.min_time_between")
        _check_batch(source, at)


def _check_schedule(schedule: Schedule, at: str) -> None:
    if schedule.paused or schedule.parameters:
        said = "A trigger is paused by itself, and its actions hold the parameters: its schedule has neither."
        raise invalid(said, field=f"{at}.schedule")
    try:
        schedules.check(schedule)
    except RunyardError as error:
        raise RunyardError(error.code, error.message, field=f"{at}.{error.field}", **error.details) from None


def _check_watch(watch: list[Watched], at: str) -> None:
    if not 1 <= len(watch) <= MAX_WATCHED:
        raise invalid(f"watch holds 1 to {MAX_WATCHED} jobs; it holds {len(watch)}.", field=f"{at}.watch")
    for index, watched in enumerate(watch):
        wrong = [state.value for state in watched.states if state not in TERMINAL]
        if wrong or not watched.states:
            said = f"states holds ends of runs ({', '.join(ENDS)}); it holds {wrong[0] if wrong else 'none'}."
            raise invalid(said, field=f"{at}.watch[{index}].states")


def _check_tables(tables: list[str], at: str) -> None:
    if not 1 <= len(tables) <= MAX_TABLES:
        raise invalid(f"tables holds 1 to {MAX_TABLES} names; it holds {len(tables)}.", field=f"{at}.tables")
    for index, table in enumerate(tables):
        parts = table.strip().split(".")
        if len(parts) > 2 or not all(parts):
            said = f"A table is named table or schema.table; found {table!r}."
            raise invalid(said, field=f"{at}.tables[{index}]")


def _check_location(location: str, at: str) -> None:
    if not location.startswith(("/", "http://", "https://")):
        said = f"location is an absolute folder of the server or an http(s) URL; found {location!r}."
        raise invalid(said, field=f"{at}.location")


def _check_batch(source: FileArrival | TableUpdate, at: str) -> None:
    if source.batch_size < 0:
        raise invalid(f"batch_size must be 0 or more; it is {source.batch_size}.", field=f"{at}.batch_size")
    _seconds(source.batch_window, f"{at}.batch_window")
    if source.batch_window and not source.batch_size:
        raise invalid("batch_window goes with a batch_size.", field=f"{at}.batch_window")
    if source.batch_size and source.wait_after_last_change:
        raise invalid("A batch does not wait after the last change: give one of the two.", field=f"{at}.batch_size")


def _seconds(value: float, field: str, least: float = 0.0) -> None:
    if not least <= value <= LONGEST_WAIT:
        said = f"{field.rpartition('.')[2]} must be {least:g} to {LONGEST_WAIT:g} seconds; it is {value:g}."
        raise invalid(said, field=field)


# --- what a run knows of the firing that started it -------------------------------------------------------


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Kept in a run's extras under `trigger`."""

    id: int
    """The trigger."""
    name: str | None = None
    firing: int
    chain: int
    scope: str = ""
    after: list[int] = []
    """The runs whose ends satisfied it."""
    files: list[str] = []
    tables: list[str] = []


def cause_of(extras: dict[str, Any]) -> Cause | None:
    """What a run's extras say of the firing that started it; None if none did."""
    kept = extras.get("trigger")
    known = isinstance(kept, dict) and {"id", "firing", "chain"} <= kept.keys()
    return msgspec.convert(kept, Cause) if known else None
