"""The only code that moves a run: events in, changes out.

`create` makes a run and `decide` advances one. Both take the time and a source of ids, change the snapshot
in step, and return the `Changes` that the store must make in one transaction. A report that carries a lost
claim's token decides nothing. A request that the state forbids raises `RunyardError`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core import control, references
from runyard.core.actions import ENGINE, executor_of
from runyard.core.attempts import Outcome
from runyard.core.changes import Changes, Decision
from runyard.core.errors import conflict, invalid, not_found
from runyard.core.graph import Plan, Snapshot
from runyard.core.ids import IdSource
from runyard.core.model import Run, Task, TaskRun
from runyard.core.retry import LOSS_BUDGET, due_at, may_retry
from runyard.core.states import ACTIVE, TERMINAL, Move, Reason, State


class Admit(msgspec.Struct, frozen=True):
    """The job's limit lets the run in."""


class Claim(msgspec.Struct, frozen=True):
    """A worker takes a queued task run; `token` fences everything that it will report."""

    task_run_id: int
    worker: str
    token: int


class Refuse(msgspec.Struct, frozen=True):
    """A queued task run cannot be started: a reference of it has no value."""

    task_run_id: int
    detail: str


class Start(msgspec.Struct, frozen=True):
    """The first instruction of the work ran at `at`."""

    task_run_id: int
    token: int
    at: int


class Finish(msgspec.Struct, frozen=True):
    """The work ended."""

    task_run_id: int
    token: int
    outcome: Outcome


class CancelRun(msgspec.Struct, frozen=True):
    """Somebody asks for the end of the whole run."""

    by: str
    reason: Reason = Reason.USER_CANCEL
    detail: str = ""


class CancelTask(msgspec.Struct, frozen=True):
    """Somebody asks for the end of one task run."""

    task_run_id: int
    by: str
    detail: str = ""


class ExpireTask(msgspec.Struct, frozen=True):
    """An attempt's time is over."""

    task_run_id: int


class ExpireRun(msgspec.Struct, frozen=True):
    """The run's time is over."""


class Due(msgspec.Struct, frozen=True):
    """A back-off is over."""

    task_run_id: int


class RepairRun(msgspec.Struct, frozen=True):
    """Run parts of a finished run again."""

    by: str
    tasks: list[str] | None
    dependents: bool
    parameters: dict[str, Any]
    admitted: bool
    plan: Plan | None = None
    """What the run follows from now on; the same tasks and needs as before."""


class ChildStarted(msgspec.Struct, frozen=True):
    """The run that a run-job task asked for exists."""

    task_run_id: int
    child_run_id: int


class ChildRefused(msgspec.Struct, frozen=True):
    """The run that a run-job task asked for could not be started."""

    task_run_id: int
    detail: str


class ChildEnded(msgspec.Struct, frozen=True):
    """The run that a run-job task started has ended."""

    task_run_id: int
    child: Run


Input = (
    Admit | Claim | Refuse | Start | Finish | CancelRun | CancelTask | ExpireTask | ExpireRun | Due
    | RepairRun | ChildStarted | ChildRefused | ChildEnded
)  # fmt: skip


def create(run: Run, plan: Plan, now: int, ids: IdSource, *, only: set[str] | None = None) -> tuple[Snapshot, Changes]:
    """A new run (whose `admitted_at` says whether its job's limit let it in) with a task run for every task."""
    snapshot = Snapshot(run, plan, ())
    decision = Decision(snapshot, now, ids)
    decision.changes.new_run = True
    decision.note("submitted", by=run.submitted_by, state=run.state, reason=run.reason, detail=run.detail)
    if run.state in TERMINAL:  # refused by a limit, and kept as skipped
        return snapshot, decision.close()
    admitted = run.admitted_at is not None
    for task in plan.spec.tasks:
        disabled = task.disabled or (only is not None and task.key not in only)
        decision.add(_first_attempt(decision, task, disabled=disabled, admitted=admitted))
    for key in snapshot.slots:
        snapshot.recount(key)
    if admitted:
        _release_ready(decision, list(plan.tasks))
    control.follow_up(decision)
    return snapshot, decision.close()


def decide(snapshot: Snapshot, event: Input, now: int, ids: IdSource) -> Changes:
    """Advances the run by one event; empty changes mean that the event came too late to matter."""
    decision = Decision(snapshot, now, ids)
    _HANDLERS[type(event)](decision, event)
    control.follow_up(decision)
    return decision.close()


# --- creation and readiness -------------------------------------------------------------------------------


def _first_attempt(
    d: Decision, task: Task, round_: int = 0, *, disabled: bool = False, admitted: bool = False
) -> TaskRun:
    """A disabled task waits for its needs as others do, so that what comes after it keeps its place.

    Work that waits for nothing in an admitted run is queued at once.
    """
    spec = d.snapshot.plan.spec
    run = d.snapshot.run
    executor = executor_of(task.action)
    queued = admitted and not (task.needs or disabled or executor == ENGINE)
    d.changes.ready |= queued
    return TaskRun(
        id=d.draw(),
        run_id=run.id,
        task_key=task.key,
        state=State.QUEUED if queued else State.BLOCKED,
        queued_at=d.now if queued else None,
        executor=executor,
        queue=task.queue or run.queue or spec.queue,
        priority=task.priority if task.priority is not None else run.priority,
        created_at=d.now,
        round=round_,
        reason="" if queued else _why_blocked(task, disabled=disabled),
    )


def _why_blocked(task: Task, *, disabled: bool) -> Reason:
    return Reason.DISABLED if disabled else Reason.UPSTREAM if task.needs else Reason.JOB_LIMIT


def _release_ready(d: Decision, keys: list[str]) -> None:
    for key in keys:
        slot = d.snapshot.slots[key]
        if slot.state is State.BLOCKED and not d.snapshot.open_needs[key]:
            control.release(d, slot)


def _admit(d: Decision, _: Admit) -> None:
    run = d.snapshot.run
    if run.admitted_at is not None or run.state in TERMINAL:
        return
    d.set_run(admitted_at=d.now, reason="", detail="")
    d.note("admitted", state=run.state)
    _release_ready(d, list(d.snapshot.plan.tasks))


# --- claims and reports -----------------------------------------------------------------------------------


def _claim(d: Decision, event: Claim) -> None:
    slot = d.find(event.task_run_id)
    if slot is None or slot.state is not State.QUEUED:
        return
    d.begin_run()
    d.move(slot, Move.CLAIM, worker=event.worker, token=event.token, claimed_at=d.now)


def _refuse(d: Decision, event: Refuse) -> None:
    slot = d.find(event.task_run_id)
    if slot is None or slot.state is not State.QUEUED:
        return
    d.begin_run()
    d.ended.append(d.move(slot, Move.FAIL, reason=Reason.BAD_REFERENCE, detail=event.detail, ended_at=d.now))


def _held(d: Decision, task_run_id: int, token: int) -> TaskRun | None:
    """The task run if this token still holds it: the fence that every report passes."""
    slot = d.find(task_run_id)
    return slot if slot is not None and slot.state in ACTIVE and slot.token == token else None


def _start(d: Decision, event: Start) -> None:
    slot = _held(d, event.task_run_id, event.token)
    if slot is None or slot.state is not State.STARTING:
        return
    timeout = d.snapshot.task_of(slot).timeout
    deadline = event.at + round(timeout * 1000) if timeout else None
    d.move(slot, Move.START, started_at=event.at, deadline_at=deadline)


def _finish(d: Decision, event: Finish) -> None:
    slot = _held(d, event.task_run_id, event.token)
    if slot is None:
        return
    out = event.outcome
    if slot.started_at is None and out.started_at is not None and slot.state is State.STARTING:
        slot = d.move(slot, Move.START, started_at=out.started_at)
    if out.output is not None:
        d.changes.outputs[slot.id] = msgspec.json.encode(out.output)
    _ENDINGS[out.result](d, slot, out)


def _facts(d: Decision, out: Outcome) -> dict[str, Any]:
    return {
        "ended_at": out.ended_at or d.now,
        "exit_code": out.exit_code,
        "values": out.values,
        "metrics": out.metrics,
        "error": out.error,
        "due_at": None,
        "deadline_at": None,
    }


def _succeeded(d: Decision, slot: TaskRun, out: Outcome) -> None:
    late = slot.state is State.CANCELLING
    detail = "Finished before the stop reached it." if late else out.detail
    facts = _facts(d, out)
    if slot.task_key in d.snapshot.plan.outputs and slot.iteration < 0:
        facts["values"] = {**out.values, control.OUTPUT: control.as_output(out.output)}
    slot = d.move(slot, Move.SUCCEED, reason="", detail=detail, **facts)
    d.ended.append(slot)


def _failed(d: Decision, slot: TaskRun, out: Outcome) -> None:
    cancelling = slot.state is State.CANCELLING
    slot = d.move(slot, Move.FAIL, reason=out.reason or Reason.INTERNAL, detail=out.detail, **_facts(d, out))
    if not cancelling and out.retry and _retry(d, slot, timed_out=False):
        return
    d.ended.append(slot)


def _stopped(d: Decision, slot: TaskRun, out: Outcome) -> None:
    if slot.state is not State.CANCELLING:  # stopped by nobody that we know of: its worker is not to be trusted
        return _lost(d, slot, out)
    expired = slot.reason == Reason.TIMEOUT
    move = Move.STOP_EXPIRED if expired else Move.STOP
    slot = d.move(slot, move, reason=slot.reason, detail=slot.detail, **_facts(d, out))
    if expired and _retry(d, slot, timed_out=True):
        return None
    d.ended.append(slot)
    return None


def _released(d: Decision, slot: TaskRun, out: Outcome) -> None:
    if slot.state is State.CANCELLING:
        return _stopped(d, slot, out)
    d.move(
        slot,
        Move.RELEASE,
        reason=Reason.REQUEUED,
        detail="Its worker shut down and gave it back.",
        worker=None,
        token=0,
        claimed_at=None,
        started_at=None,
        deadline_at=None,
        queued_at=d.now,
    )
    d.changes.ready = True
    return None


def _lost(d: Decision, slot: TaskRun, out: Outcome) -> None:
    if slot.state is State.CANCELLING:
        return _stopped(d, slot, out)
    detail = out.detail or "Its worker vanished."
    slot = d.move(slot, Move.LOSE, reason=Reason.LOST_WORKER, detail=detail, **_facts(d, out))
    if slot.losses < LOSS_BUDGET and d.snapshot.run.state is not State.CANCELLING:
        d.add(_next_attempt(d, slot, State.QUEUED, losses=slot.losses + 1))
        d.changes.ready = True
        return None
    d.ended.append(slot)
    return None


_ENDINGS = {
    "succeeded": _succeeded,
    "failed": _failed,
    "stopped": _stopped,
    "released": _released,
    "lost": _lost,
}


# --- retries ----------------------------------------------------------------------------------------------


def _retry(d: Decision, slot: TaskRun, *, timed_out: bool) -> bool:
    policy = d.snapshot.task_of(slot).retries
    parent = d.snapshot.slots[slot.task_key]  # for an iteration; otherwise the slot itself, which has ended
    if State.CANCELLING in (d.snapshot.run.state, parent.state) or not may_retry(
        policy, slot.failures, timed_out=timed_out
    ):
        return False
    due = due_at(policy, slot, d.now)
    waits = due > d.now or slot.executor == ENGINE  # control flow starts again when its back-off is looked at
    state = State.WAITING if waits else State.QUEUED
    d.add(_next_attempt(d, slot, state, failures=slot.failures + 1, due_at=due if waits else None))
    d.changes.ready |= not waits
    return True


def _next_attempt(d: Decision, ended: TaskRun, state: State, **fields: Any) -> TaskRun:
    fresh = TaskRun(
        id=d.draw(),
        run_id=ended.run_id,
        task_key=ended.task_key,
        iteration=ended.iteration,
        round=ended.round,
        attempt=ended.attempt + 1,
        state=state,
        executor=ended.executor,
        queue=ended.queue,
        priority=ended.priority,
        created_at=d.now,
        queued_at=d.now if state is State.QUEUED else None,
        reason=Reason.BACKOFF if state is State.WAITING else Reason.RETRY,
        input=ended.input,
        failures=ended.failures,
        losses=ended.losses,
    )
    return msgspec.structs.replace(fresh, **fields)


def _due(d: Decision, event: Due) -> None:
    slot = d.find(event.task_run_id)
    if slot is None or slot.state is not State.WAITING:
        return
    slot = d.move(slot, Move.DUE, reason=Reason.RETRY, due_at=None, queued_at=d.now)
    if slot.executor == ENGINE:
        control.decide_inline(d, slot)
    else:
        d.changes.ready = True


# --- ends that somebody asks for --------------------------------------------------------------------------


def _cancel_run(d: Decision, event: CancelRun) -> None:
    run = d.snapshot.run
    if run.state in TERMINAL:
        raise conflict(f"Run {run.id} has already ended ({run.state.value}); there is nothing to cancel.")
    if run.state is State.CANCELLING:
        return
    detail = event.detail or f"Cancelled by {event.by}."
    d.note("cancel", by=event.by, reason=event.reason, detail=detail)
    _end_run_early(d, Move.CANCEL, event.reason, detail)


def _expire_run(d: Decision, _: ExpireRun) -> None:
    run = d.snapshot.run
    if run.state in TERMINAL or run.state is State.CANCELLING:
        return
    seconds = d.snapshot.plan.spec.timeout
    _end_run_early(d, Move.EXPIRE, Reason.RUN_TIMEOUT, f"The run was not done after {seconds:g} s.")


def _end_run_early(d: Decision, move: Move, reason: Reason, detail: str) -> None:
    d.move_run(move, reason=reason, detail=detail, deadline_at=None)
    why = Reason.RUN_CANCELLED if move is Move.CANCEL else Reason.RUN_TIMEOUT
    for slot in list(d.snapshot.newest()):
        if slot.state not in TERMINAL and slot.iteration < 0:
            control.cancel(d, slot, why, detail)


def _cancel_task(d: Decision, event: CancelTask) -> None:
    slot = d.find(event.task_run_id)
    if slot is None:
        raise not_found("current task run", event.task_run_id)
    if slot.state in TERMINAL:
        raise conflict(f"Task run {slot.id} has already ended ({slot.state.value}); there is nothing to cancel.")
    if slot.state is State.CANCELLING and slot.reason != Reason.TIMEOUT:
        return
    detail = event.detail or f"Cancelled by {event.by}."
    d.note("cancel", task_run_id=slot.id, by=event.by, reason=Reason.USER_CANCEL, detail=detail)
    if slot.state is State.CANCELLING:  # its time was over already, but now no retry may follow
        d.amend(slot, reason=Reason.USER_CANCEL, detail=detail)
    else:
        control.cancel(d, slot, Reason.USER_CANCEL, detail)


def _expire_task(d: Decision, event: ExpireTask) -> None:
    slot = d.find(event.task_run_id)
    if slot is None or slot.state not in (State.STARTING, State.RUNNING):
        return
    timeout = d.snapshot.task_of(slot).timeout or 0
    detail = f"It was not done after its timeout of {timeout:g} s."
    control.stop(d, slot, Move.EXPIRE, Reason.TIMEOUT, detail)


# --- repair -----------------------------------------------------------------------------------------------


def _repair(d: Decision, event: RepairRun) -> None:
    run = d.snapshot.run
    if run.state not in TERMINAL:
        raise conflict(f"Run {run.id} is still {run.state.value}; cancel it or wait until it ends, then repair it.")
    if not d.snapshot.slots:
        raise conflict(f"Run {run.id} was {run.state.value} before it had tasks; submit it again instead.")
    keys = _to_repair(d, event)
    if event.plan is not None:
        d.snapshot.plan = _same_shape(d.snapshot.plan, event.plan)
        d.changes.spec = event.plan.spec
        d.set_run(job_version=None)
    round_ = run.round + 1
    data = {"tasks": keys, "round": round_, "parameters": event.parameters, "ended_at": run.ended_at}
    d.note("repair", by=event.by, state=run.state, reason=run.reason, detail=run.detail, data=data)
    d.move_run(
        Move.REPAIR,
        reason=Reason.REPAIRED if event.admitted else Reason.JOB_LIMIT,
        detail="",
        round=round_,
        ended_at=None,
        deadline_at=None,
        admitted_at=d.now if event.admitted else None,
        parameters={**run.parameters, **event.parameters},
    )
    passed = _disabled_after(d, keys)
    for key in (*keys, *passed):
        d.add(_first_attempt(d, d.snapshot.plan.tasks[key], round_, disabled=key in passed))
    followers = {follower for key in (*keys, *passed) for follower in d.snapshot.plan.dependents[key]}
    for key in followers.union(keys):
        d.snapshot.recount(key)
    if event.admitted:
        _release_ready(d, keys)


def _disabled_after(d: Decision, keys: list[str]) -> list[str]:
    """Disabled tasks right after these: they are passed over again, so that what comes next waits for its turn."""
    slots, seen, stack = d.snapshot.slots, set(keys), list(keys)
    while stack:
        for follower in d.snapshot.plan.dependents[stack.pop()]:
            if follower not in seen and slots[follower].reason == Reason.DISABLED:
                seen.add(follower)
                stack.append(follower)
    return [key for key in d.snapshot.plan.tasks if key in seen and key not in keys]


def _same_shape(before: Plan, after: Plan) -> Plan:
    """The new plan, if it has the tasks and needs of the old one."""
    if {key: task.needs for key, task in before.tasks.items()} != {key: t.needs for key, t in after.tasks.items()}:
        raise invalid(
            "A repair may change what tasks do, but neither which there are nor what they need.", field="spec"
        )
    return after


def _to_repair(d: Decision, event: RepairRun) -> list[str]:
    slots, plan = d.snapshot.slots, d.snapshot.plan
    if event.tasks is None:
        # What was excluded runs again only where something before it does: alone it would be excluded again,
        # and what succeeded after it would be run a second time for nothing.
        chosen = {key for key, slot in slots.items() if slot.state not in (State.SUCCEEDED, State.SKIPPED)}
    else:
        chosen = set(event.tasks)
        if len(chosen) < len(event.tasks):
            raise invalid("tasks names a task twice.", field="tasks")
        unknown = sorted(chosen - set(slots))
        if unknown:
            raise invalid(f"The run has no task {unknown[0]!r}.", field="tasks")
    if not chosen:
        raise conflict(f"Every task of run {d.snapshot.run.id} succeeded; name the tasks to run again.")
    if event.dependents:
        chosen = {key for key in plan.downstream(chosen) if key in chosen or slots[key].reason != Reason.DISABLED}
    return [key for key in plan.tasks if key in chosen]


def _child_started(d: Decision, event: ChildStarted) -> None:
    slot = d.find(event.task_run_id)
    if slot is not None:
        d.amend(slot, child_run_id=event.child_run_id)
        d.note("child", task_run_id=slot.id, data={"run_id": event.child_run_id})


def _child_refused(d: Decision, event: ChildRefused) -> None:
    slot = d.find(event.task_run_id)
    if slot is not None and slot.state in ACTIVE:
        _failed(d, slot, Outcome(result="failed", reason=Reason.CHILD_RUN, detail=event.detail))


def _child_ended(d: Decision, event: ChildEnded) -> None:
    slot = d.find(event.task_run_id)
    if slot is None or slot.state not in ACTIVE or slot.child_run_id != event.child.id or slot.executor != ENGINE:
        return  # also what an attempt started itself: its program decides what that means
    child = event.child
    ended = Outcome(result="succeeded", values={"run_id": child.id}, ended_at=d.now)
    if child.state is State.SUCCEEDED:
        return _succeeded(d, slot, ended)
    if slot.state is State.CANCELLING:
        return _stopped(d, slot, msgspec.structs.replace(ended, result="stopped"))
    said = f": {child.detail}" if child.detail else ""
    detail = f"Run {child.id} of {child.name!r} ended {child.state.value}{said}"
    return _failed(d, slot, msgspec.structs.replace(ended, result="failed", reason=Reason.CHILD_RUN, detail=detail))


_HANDLERS: dict[type, Any] = {
    Admit: _admit,
    Claim: _claim,
    Refuse: _refuse,
    Start: _start,
    Finish: _finish,
    CancelRun: _cancel_run,
    CancelTask: _cancel_task,
    ExpireTask: _expire_task,
    ExpireRun: _expire_run,
    Due: _due,
    RepairRun: _repair,
    ChildStarted: _child_started,
    ChildRefused: _child_refused,
    ChildEnded: _child_ended,
}


def resolved_action(snapshot: Snapshot, slot: TaskRun) -> Any:
    """The action that a claimed task run carries out, its references resolved.

    Raises `references.Unresolved` with one sentence when a value that only the run can tell is missing.
    """
    action = snapshot.task_of(slot).action
    if slot.iteration >= 0:
        action = action.action  # type: ignore[union-attr]  # iterations exist for for-each tasks only
    if slot.task_key not in snapshot.plan.templated:
        return action
    return references.resolve(action, control.lookup(snapshot, slot))
