"""This dialect's tables: statuses, kinds, options, and what is answered. The dialect's page is drawn from them.

Sources: Tinybird API reference, 'Jobs API', 'Data Sources API', 'Pipes API', 'Query API', 'Tokens API', 'Events API'.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runyard.core.states import State

WAITING, WORKING, DONE, ERROR = "waiting", "working", "done", "error"
CANCELLING, CANCELLED = "cancelling", "cancelled"

STATES: dict[State, str] = {
    State.QUEUED: WAITING,
    State.BLOCKED: WAITING,
    State.WAITING: WAITING,
    State.STARTING: WORKING,
    State.RUNNING: WORKING,
    State.CANCELLING: CANCELLING,
    State.SUCCEEDED: DONE,
    State.SKIPPED: CANCELLED,
    State.CANCELLED: CANCELLED,
    State.FAILED: ERROR,
    State.TIMED_OUT: ERROR,
    State.UPSTREAM_FAILED: ERROR,
    State.LOST: ERROR,
}
"""Every state of ours as a status; one that still moves never looks finished."""

IMPORT, POPULATE, COPY, QUERY = "import", "populateview", "copy", "query"
DELETE, SINK, DEPLOYMENT = "delete_data", "sink", "deployment"
KINDS: dict[str, str] = {
    IMPORT: "rows of a URL, a file or a body into a Data Source",
    POPULATE: "a Data Source filled from a materialized node",
    COPY: "a copy pipe's rows, or a query's, into a Data Source",
    QUERY: "a background query",
    DELETE: "rows deleted by a condition",
    SINK: "a pipe's rows into files",
    DEPLOYMENT: "what a build or a deployment does in the warehouse",
}

KIND_OF_ACTION: dict[str, str] = {
    "load": IMPORT,
    "materialize": POPULATE,
    "copy": COPY,
    "delete": DELETE,
    "export": SINK,
}
"""How a run of another face is shown when it is asked for by its id; whatever is not here is a query."""

LOG_TYPE: dict[str, str] = {POPULATE: "populateview", DELETE: "delete"}
"""`job_type` of tinybird.jobs_log where it is not the kind itself."""

TAG = "tinybird."
"""Before the tags that tell which kind, Data Source and pipe a run is about."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator can set for this dialect: `RUNYARD_OPTIONS=tinybird.NAME=VALUE:tinybird.NAME=VALUE`."""

    job_hours: float = 48.0
    """How many hours back a list of jobs reaches; 0: all."""
    jobs_listed: int = 100
    """How many jobs a list holds at most."""
    expire_jobs: bool = False
    """Answer 404 for a job older than job_hours, as the platform does. Ours stay by default."""
    cancel_any: bool = False
    """Let a job of any kind be cancelled while it works, not only populates."""
    serial: bool = False
    """One job at a time over all Data Sources; by default only those that write the same one wait for each other."""
    creates_per_minute: int = 0
    """Data Sources that one token may create from a schema in a minute; 0: no limit. The platform allows 25."""
    imports_per_minute: int = 0
    """Creates from a URL, appends and replaces of one token in a minute; 0: no limit. The platform allows 5."""
    events_wait: float = 0.02
    """Seconds that the events endpoint waits for more bodies before it stores what came."""


OPTION_HELP: dict[str, str] = {
    "job_hours": "how many hours back a list of jobs reaches; 0: all",
    "jobs_listed": "how many jobs a list holds at most",
    "expire_jobs": "404 for a job older than `job_hours`, as the platform does",
    "cancel_any": "let a job of any kind be cancelled while it works, not only populates",
    "serial": "one job at a time; by default only jobs that write the same Data Source wait for each other",
    "creates_per_minute": "Data Sources from a schema, a token and minute; 0: no limit (the platform: 25)",
    "imports_per_minute": "creates from a URL, appends and replaces, a token and minute; 0: no limit (the platform: 5)",
    "events_wait": "seconds that the events endpoint gathers bodies before it stores them",
}

State_ = Literal["yes", "partly", "never", "notyet"]


class Support(msgspec.Struct, frozen=True):
    """One call or rule: whether it is answered, and what there is to say about it."""

    call: str
    state: State_
    note: str = ""
