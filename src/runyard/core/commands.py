"""What a caller may ask of runs. A face turns its requests into these; the core decides what they change."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.model import JobSpec, OnLimit


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request as a value."""


class Submit(Command, frozen=True, kw_only=True):
    """Start one run: of a kept job (`job_id`), or of a definition given here (`spec`).

    With both it is a run of the job by a definition of its own: the job's, changed for this run alone.
    """

    job_id: int | None = None
    spec: JobSpec | None = None
    parameters: dict[str, Any] = {}
    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    tags: dict[str, str] = {}
    only: list[str] | None = None
    """Run just these tasks (`key`, `+key` with what it needs, `key+` with what needs it); others are disabled."""
    idempotency_key: str | None = None
    """The same key and payload again answer with the first run; the same key with another payload is refused."""
    workspace: str = "default"
    origin: str = "native"
    trigger: str = "manual"
    max_live: int | None = None
    """Refuse when so many runs, of whatever job, are not over."""
    on_limit: OnLimit | None = None
    """What becomes of this run over its job's limit; None: what the job says."""
    extras: dict[str, Any] = {}


class Cancel(Command, frozen=True, kw_only=True):
    """End a run, or one task run of it. A finished one is refused."""

    run_id: int
    task_run_id: int | None = None
    detail: str = ""


class Repair(Command, frozen=True, kw_only=True):
    """Run parts of a finished run again, in a new round of the same run."""

    run_id: int
    tasks: list[str] | None = None
    """Task keys; None: every task that neither succeeded nor was skipped."""
    dependents: bool = True
    """Also what depends on them, even where it had succeeded."""
    parameters: dict[str, Any] = {}
    """Laid over the run's parameters."""
    after_round: int | None = None
    """Refuse if the run has been repaired since this round."""
    spec: JobSpec | None = None
    """The definition that the run follows from now on, with the same tasks and needs; None: as before."""


class Spawn(Command, frozen=True, kw_only=True):
    """Start a run for a live attempt, which waits for it: a run of its own that ends when the attempt does."""

    task_run_id: int
    claim: int
    """The claim by which the attempt holds its task."""
    key: str
    """The same key again gives the same run."""
    spec: JobSpec


class Rerun(Command, frozen=True, kw_only=True):
    """Start a new run with the definition and parameters of an earlier one."""

    run_id: int
    parameters: dict[str, Any] = {}
    idempotency_key: str | None = None
