"""What passes between the engine and whoever does the work: assignments out, reports back.

An `Assignment` is one claim of one task run. Everything that comes back names the claim's `token`; the
engine compares it, so that a report of a claim that was lost changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runyard.core.actions import InProcess, OnTables
from runyard.core.limits import Limits

INLINE_BYTES = 64 * 1024
"""Outputs up to this size (encoded JSON) are kept on the task run; larger ones as Parquet beside its log."""


class EffectKey(msgspec.Struct, frozen=True):
    """Names one data effect: the same for all attempts of a task, so that it is applied once."""

    run_id: int
    task_key: str
    iteration: int
    round: int


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Folders of the server that the work of a process may use; an empty text means that there is none."""

    files: str = ""
    """Files that programs and requests share."""
    environments: str = ""
    """Where installed requirements are kept for the next attempt that asks for the same."""
    checkouts: str = ""
    """Where repositories are mirrored."""
    allowed: list[str] = []
    """Folders below which a repository may lie."""
    private_urls: bool = False
    """Whether a repository's host may have an address that is not public."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of one task run, complete: whoever holds it needs nothing else to do the work."""

    run_id: int
    task_run_id: int
    token: int
    task_key: str
    action: OnTables | InProcess
    """References are already resolved."""
    iteration: int = -1
    round: int = 0
    attempt: int = 0
    job_id: int | None = None
    job_name: str = ""
    workspace: str = "default"
    parameters: dict[str, Any] = {}
    input: Any = None
    limits: Limits = Limits()
    bookmark: dict[str, Any] = {}
    """What the job had already processed when the work was claimed, for process tasks."""
    bookmark_version: int = 0
    before: dict[str, dict[str, Any]] = {}
    """What the tasks before this one published, for process tasks."""
    places: Places = Places()
    server: dict[str, Any] = {}
    """How the program reaches the server: {"address": the file that holds its URL, "token"}."""
    chain: int | None = None
    """The chain of firings that the run belongs to, and its scope."""
    scope: str = ""
    world: dict[str, Any] = {}
    """What the executor tells the program of the place where it runs: where files may be, what the run is called."""
    tables: dict[str, Any] = {}
    """What the executor gives the program so that it reaches the warehouse's tables: `core.tables.Access`."""

    @property
    def effect(self) -> EffectKey:
        """The key of this task's data effect."""
        return EffectKey(self.run_id, self.task_key, self.iteration, self.round)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one attempt ended.

    `stopped` means that it ended *because* we asked it to; work that ended by itself before the stop
    reached it says `succeeded` or `failed`. `lost` means that nobody can say.
    """

    result: Literal["succeeded", "failed", "stopped", "released", "lost"]
    reason: str = ""
    """A `Reason` code."""
    detail: str = ""
    """One line for people: the last line of a traceback, the exit code, the SQL error."""
    exit_code: int | None = None
    output: Any = None
    """For sql: {"columns": [{"name", "type"}], "rows": [[...]], "row_count": n} or {"file": name, ...}."""
    values: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    error: dict[str, Any] | None = None
    """{"type", "message", "trace"?}"""
    started_at: int | None = None
    ended_at: int | None = None
    bookmark: dict[str, Any] | None = None
    """What the job has processed now; kept only with a success, and only if nobody moved it meanwhile."""
    bookmark_version: int = 0
    """The version that the work began from."""
    retry: bool = True
    """False when trying again cannot help (bad input of the task itself)."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The first instruction of the work is about to run."""

    task_run_id: int
    token: int
    at: int


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the work is: {"fraction"?: 0..1, "message"?, "rows"?, "bytes"?, ...}."""

    task_run_id: int
    token: int
    at: int
    data: dict[str, Any]


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The work is over and its whole process tree is gone."""

    task_run_id: int
    token: int
    at: int
    outcome: Outcome


Report = Started | Progress | Finished


class Held(msgspec.Struct, frozen=True):
    """A claim that the store knows of, for an executor that recovers after a restart."""

    run_id: int
    task_run_id: int
    token: int
    state: str
    task_key: str = ""
    iteration: int = -1
    round: int = 0
    workspace: str = "default"

    @property
    def effect(self) -> EffectKey:
        """The key of the claimed task's data effect."""
        return EffectKey(self.run_id, self.task_key, self.iteration, self.round)
