"""Runs that a live attempt starts and waits for: they are its children, end with it, and use its place meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from runyard.core import lifecycle
from runyard.core.actions import WAREHOUSE, executor_of
from runyard.core.commands import Spawn, Submit
from runyard.core.errors import Code, RunyardError, conflict, invalid, not_found
from runyard.core.graph import Plan
from runyard.core.model import Run
from runyard.core.states import TERMINAL, State
from runyard.engine.ledger import MAX_SPAWNED, Ledger

if TYPE_CHECKING:
    from runyard.engine.runs import Runs

MAX_DEPTH = 8
"""How deep runs may start runs."""
QUEUE = "children"
"""Where they wait unless their definition says otherwise: a queue of their own, for their parents hold slots."""
TRIGGER = "attempt"
NATIVE = "native"


class Spawned(msgspec.Struct, frozen=True):
    """A run that an attempt started, as its program is told of it."""

    run_id: int
    state: State
    detail: str
    error: dict[str, Any] | None
    output: Any


def spawn(ledger: Ledger, command: Spawn, plan: Plan, submit: Callable[..., Any]) -> Run:
    """The child run, new or, for a key that was used before, as it is."""
    parent = ledger.session.task_run(command.task_run_id)
    if parent is None:
        raise not_found("task run", command.task_run_id)
    if parent.token != command.claim or parent.state not in (State.STARTING, State.RUNNING):
        raise conflict(f"Task run {parent.id} is {parent.state.value} and not held by this attempt: it starts nothing.")
    above = ledger.snapshot(parent.run_id).run
    if above.depth >= MAX_DEPTH:
        raise invalid(f"Runs may start runs {MAX_DEPTH} deep; this run is already that deep.")
    if ledger.lent.get(parent.id, 0) >= MAX_SPAWNED:
        said = f"The attempt waits for {MAX_SPAWNED} runs already; wait until one of them has ended."
        raise RunyardError(Code.LIMIT, said)
    asked = Submit(
        spec=plan.spec,
        idempotency_key=f"{parent.id}/{command.claim}/{command.key}",
        workspace=above.workspace,
        origin=_origin(plan, above),
        trigger=TRIGGER,
    )
    made = submit(ledger, asked, plan, b"", above.submitted_by, depth=above.depth + 1, parent_task_run_id=parent.id)
    if made.created:
        ledger.advance(parent.run_id, lifecycle.ChildStarted(parent.id, made.run.id))
        ledger.lend(parent.id, 1)
    run: Run = made.run
    return run


def _origin(plan: Plan, above: Run) -> str:
    """The face that the parent came through, if the child is a run there: a statement of a program is one only here."""
    only_statements = all(executor_of(task.action) == WAREHOUSE for task in plan.spec.tasks)
    return NATIVE if only_statements else above.origin


def look(runs: Runs, task_run_id: int, run_id: int) -> Spawned:
    """How it stands; once it has ended, with what its last task gave back or failed of."""
    run = runs.get(run_id)
    if run.parent_task_run_id != task_run_id:
        raise not_found("run of this attempt", run_id)
    if run.state not in TERMINAL:
        return Spawned(run.id, run.state, run.detail, None, None)
    last = next(iter(runs.task_runs(run_id)[-1:]), None)
    if last is None:  # it was skipped before it had tasks
        return Spawned(run.id, run.state, run.detail, None, None)
    data = runs.output(last.id)
    output = msgspec.json.decode(data) if data is not None else None
    if isinstance(output, dict) and "result" in output and "file" in output:  # the whole of a long result
        output["result"] = runs.artifact(last.id, output["file"]).decode("utf-8", "replace")
    return Spawned(run.id, run.state, last.detail or run.detail, last.error, output)
