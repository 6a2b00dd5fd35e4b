"""Control flow inside a run: what happens when a task is ready, ends, or must stop.

Condition, for-each and run-job tasks are decided here; they need no worker.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any, Literal

import msgspec

from runyard.core import references
from runyard.core.actions import ENGINE, Condition, ForEach, RunJob, executor_of
from runyard.core.changes import ChildRun, Decision, StopWork
from runyard.core.graph import Fan, Snapshot, Verdict, judge
from runyard.core.model import Run, TaskRun
from runyard.core.moments import parts
from runyard.core.references import Unresolved
from runyard.core.schedule import local_text
from runyard.core.states import TERMINAL, Move, Reason, State

MAX_DEPTH = 3
"""How deep run-job tasks may nest."""
MAX_INPUTS = 100_000
OUTPUT = "output"
"""Among a task's values: the rows that others refer to as `tasks.KEY.output`."""
OUTPUT_ROWS, OUTPUT_BYTES = 1000, 48 * 1024

CAUSES = {
    "manual": "one_time",
    "schedule": "periodic",
    "backfill": "periodic",
    "run_job": "run_job_task",
    "rerun": "retry",
    "table_update": "table",
}
"""What started a run, in one word that definitions may ask for; other triggers are their own word."""
RESULTS = {
    State.SUCCEEDED: "success",
    State.FAILED: "failed",
    State.LOST: "failed",
    State.CANCELLED: "canceled",
    State.TIMED_OUT: "timedout",
}


# --- readiness --------------------------------------------------------------------------------------------


def follow_up(d: Decision) -> None:
    """Works through everything that ended in this decision, and at last ends the run if nothing is left.

    A work list instead of recursion: a chain of ten thousand skipped tasks is one loop.
    """
    while d.ended:
        slot = d.ended.popleft()
        if slot.iteration >= 0:
            _iteration_ended(d, slot)
        else:
            _settle(d, slot.task_key)
    d.finish_if_over()


def _settle(d: Decision, key: str) -> None:
    """A task is settled: its dependants have one open need less, and those with none are released."""
    snapshot = d.snapshot
    for follower in snapshot.plan.dependents[key]:
        snapshot.open_needs[follower] -= 1
        slot = snapshot.slots[follower]
        run = snapshot.run
        admitted = run.admitted_at is not None and run.state is not State.CANCELLING
        if admitted and not snapshot.open_needs[follower] and slot.state is State.BLOCKED:
            release(d, slot)


def release(d: Decision, slot: TaskRun) -> None:
    """All needs of a blocked task are settled: it is queued, decided here, or ends without running."""
    snapshot = d.snapshot
    if slot.reason == Reason.DISABLED:
        d.ended.append(d.move(slot, Move.SKIP, reason=Reason.DISABLED, detail="Not part of this run.", ended_at=d.now))
        return
    verdict = judge(snapshot, snapshot.task_of(slot))
    if verdict == Verdict.RUN:
        if slot.executor == ENGINE:
            decide_inline(d, slot)
        else:
            _queue(d, slot)
        return
    if verdict == Verdict.EXCLUDE:
        slot = d.move(slot, Move.SKIP, reason=Reason.EXCLUDED, detail="Its conditions did not hold.", ended_at=d.now)
    else:
        cancelled = verdict == Verdict.UPSTREAM_CANCELLED
        reason = Reason.UPSTREAM_CANCELLED if cancelled else Reason.UPSTREAM_FAILED
        detail = "A task that it needs was cancelled." if cancelled else "A task that it needs failed."
        slot = d.move(slot, Move.UPSTREAM, reason=reason, detail=detail, ended_at=d.now)
    d.ended.append(slot)


def _queue(d: Decision, slot: TaskRun) -> None:
    if slot.id in d.changes.added:  # just made: it is stored as queued, with no line of its own in the history
        queued = msgspec.structs.replace(slot, state=State.QUEUED, queued_at=d.now, reason="")
        d.changes.added[slot.id] = queued
        d.snapshot.slots[slot.task_key] = queued
    else:
        d.move(slot, Move.UNBLOCK, queued_at=d.now)
    d.changes.ready = True


# --- ends -------------------------------------------------------------------------------------------------


def cancel(d: Decision, slot: TaskRun, reason: Reason, detail: str) -> None:
    """Ends a live task run: at once if no worker holds it, else by asking for its stop."""
    if slot.state in (State.STARTING, State.RUNNING):
        stop(d, slot, Move.CANCEL, reason, detail)
    elif slot.state is not State.CANCELLING:
        d.ended.append(d.move(slot, Move.CANCEL, reason=reason, detail=detail, ended_at=d.now, due_at=None))


def stop(d: Decision, slot: TaskRun, move: Move, reason: Reason, detail: str) -> None:
    """Asks a held attempt (or a for-each's iterations, or a child run) to end."""
    slot = d.move(slot, move, reason=reason, detail=detail, deadline_at=None)
    if slot.executor != ENGINE:
        why: Literal["cancel", "timeout"] = "timeout" if move is Move.EXPIRE else "cancel"
        d.changes.stops.append(StopWork(slot.id, slot.token, slot.executor, why))
        return
    if slot.child_run_id is not None:
        d.changes.cancel_children.append(slot.child_run_id)
    fan = d.snapshot.fans.get(slot.task_key)
    if fan is not None and slot.iteration < 0:  # an iteration that runs a job stops alone
        _stop_fan(d, slot, fan, detail)


def _stop_fan(d: Decision, slot: TaskRun, fan: Fan, detail: str) -> None:
    fan.pending.clear()
    for one in list(fan.newest.values()):
        if one.state not in TERMINAL:
            cancel(d, one, Reason.PARENT_CANCELLED, detail)
    if not fan.active:
        _close_fan(d, d.snapshot.slots[slot.task_key], fan)


# --- decided here -----------------------------------------------------------------------------------------


def decide_inline(d: Decision, slot: TaskRun) -> None:
    """Starts control flow whose turn has come; most of it is over at once."""
    d.begin_run()
    action = d.snapshot.task_of(slot).action
    if isinstance(action, ForEach) and slot.iteration >= 0:
        action = action.action
    try:
        # The strings of a for-each's inner action are resolved for each iteration, with its own input.
        action = _resolve_own(action, lookup(d.snapshot, slot))
    except Unresolved as error:
        return _fail_inline(d, slot, Reason.BAD_REFERENCE, str(error))
    if isinstance(action, Condition):
        return _decide_condition(d, slot, action)
    if isinstance(action, ForEach):
        return _start_fan(d, slot, action)
    assert isinstance(action, RunJob)
    return _start_child(d, slot, action)


def _resolve_own(action: Any, find: references.Lookup) -> Any:
    if isinstance(action, ForEach):
        return msgspec.structs.replace(action, inputs=references.resolve(action.inputs, find))
    return references.resolve(action, find)


def _fail_inline(d: Decision, slot: TaskRun, reason: Reason, detail: str) -> None:
    d.ended.append(d.move(slot, Move.FAIL, reason=reason, detail=detail, ended_at=d.now))


def _succeed_inline(d: Decision, slot: TaskRun, values: dict[str, Any]) -> None:
    d.ended.append(d.move(slot, Move.SUCCEED, values=values, ended_at=d.now, deadline_at=None))


def _decide_condition(d: Decision, slot: TaskRun, action: Condition) -> None:
    try:
        holds = compare(action.op, action.left, action.right)
    except ValueError as error:
        return _fail_inline(d, slot, Reason.BAD_REFERENCE, str(error))
    slot = d.move(slot, Move.START, started_at=d.now)
    return _succeed_inline(d, slot, {"outcome": "true" if holds else "false"})


def compare(op: str, left: Any, right: Any) -> bool:
    """`==` and `!=` compare the values' text, the others compare numbers; raises ValueError with a sentence."""
    if op in ("==", "!="):
        same = references.as_text(left) == references.as_text(right)
        return same if op == "==" else not same
    a, b = _number(left, op), _number(right, op)
    return {">": a > b, ">=": a >= b, "<": a < b, "<=": a <= b}[op]


def _number(value: Any, op: str) -> float:
    try:
        return float(references.as_text(value))
    except ValueError:
        raise ValueError(f"{op} compares numbers; {references.as_text(value)!r} is none.") from None


def _start_child(d: Decision, slot: TaskRun, action: RunJob) -> None:
    if d.snapshot.run.depth >= MAX_DEPTH:
        detail = f"run_job tasks may nest {MAX_DEPTH} deep; this run is already that deep."
        return _fail_inline(d, slot, Reason.CHILD_RUN, detail)
    slot = d.move(slot, Move.START, reason=Reason.CHILD_RUN, started_at=d.now, deadline_at=_deadline(d, slot))
    d.changes.children.append(ChildRun(slot.id, action.job, action.parameters))
    return None


def _deadline(d: Decision, slot: TaskRun) -> int | None:
    timeout = d.snapshot.task_of(slot).timeout
    return d.now + round(timeout * 1000) if timeout else None


# --- for each ---------------------------------------------------------------------------------------------


def _start_fan(d: Decision, slot: TaskRun, action: ForEach) -> None:
    try:
        inputs = _inputs(action.inputs)
    except ValueError as error:
        return _fail_inline(d, slot, Reason.BAD_REFERENCE, str(error))
    slot = d.move(slot, Move.START, started_at=d.now, input=inputs)
    fan = d.snapshot.fans.setdefault(slot.task_key, Fan())
    fan.active = fan.failed = 0
    needed = [i for i in range(len(inputs)) if d.snapshot.needs_iteration(slot, fan, i)]
    fan.pending = needed[::-1]
    return _feed(d, slot, fan, action.concurrency)


def _inputs(given: Any) -> list[Any]:
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            raise ValueError(f"inputs must be a list; found the text {given[:80]!r}.") from None
    if not isinstance(given, list):
        raise ValueError(f"inputs must be a list; found {references.as_text(given)[:80]}.")
    if len(given) > MAX_INPUTS:
        raise ValueError(f"inputs may have {MAX_INPUTS} elements; found {len(given)}.")
    return given


def _feed(d: Decision, slot: TaskRun, fan: Fan, concurrency: int) -> None:
    while fan.pending and fan.active < concurrency:
        _start_iteration(d, slot, fan, fan.pending.pop())
    if not fan.active:
        _close_fan(d, slot, fan)


def _start_iteration(d: Decision, slot: TaskRun, fan: Fan, index: int) -> None:
    action = d.snapshot.task_of(slot).action
    assert isinstance(action, ForEach)
    inner = action.action
    executor = executor_of(inner)
    one = TaskRun(
        id=d.draw(),
        run_id=slot.run_id,
        task_key=slot.task_key,
        iteration=index,
        round=slot.round,
        state=State.BLOCKED if executor == ENGINE else State.QUEUED,
        executor=executor,
        queue=slot.queue,
        priority=slot.priority,
        created_at=d.now,
        queued_at=d.now,
        input=slot.input[index],
    )
    fan.active += 1
    d.add(one)
    if executor != ENGINE:
        d.changes.ready = True
        return
    decide_inline(d, one)


def _iteration_ended(d: Decision, one: TaskRun) -> None:
    snapshot = d.snapshot
    slot, fan = snapshot.slots[one.task_key], snapshot.fans[one.task_key]
    if slot.state in TERMINAL or one.round != slot.round:
        return
    fan.active -= 1
    fan.failed += one.state is not State.SUCCEEDED
    if slot.state is State.CANCELLING:
        if not fan.active:
            _close_fan(d, slot, fan)
        return
    action = snapshot.task_of(slot).action
    assert isinstance(action, ForEach)
    _feed(d, slot, fan, action.concurrency)


def _close_fan(d: Decision, slot: TaskRun, fan: Fan) -> None:
    if slot.state in TERMINAL:
        return
    total = len(slot.input or ())
    metrics = {"iterations": total, "failed": fan.failed}
    facts: dict[str, Any] = {"ended_at": d.now, "deadline_at": None, "metrics": metrics}
    if slot.state is State.CANCELLING and not _all_succeeded(slot, fan):
        move = Move.STOP_EXPIRED if slot.reason == Reason.TIMEOUT else Move.STOP
        slot = d.move(slot, move, reason=slot.reason, detail=slot.detail, **facts)
    elif fan.failed:
        detail = f"{fan.failed} of {total} iterations did not succeed. {_first_trouble(fan, slot.round)}".rstrip()
        slot = d.move(slot, Move.FAIL, reason=Reason.ITERATIONS, detail=detail, **facts)
    else:
        slot = d.move(slot, Move.SUCCEED, **facts)
    d.ended.append(slot)


def _all_succeeded(slot: TaskRun, fan: Fan) -> bool:
    """What the work really did wins over what was asked: nothing was left to stop."""
    newest = (fan.newest.get(index) for index in range(len(slot.input or ())))
    return slot.input is not None and all(one is not None and one.state is State.SUCCEEDED for one in newest)


def _first_trouble(fan: Fan, round_: int) -> str:
    mine = (one for one in fan.newest.values() if one.round == round_)
    bad = [one for one in mine if one.state in TERMINAL and one.state is not State.SUCCEEDED]
    first = min(bad, key=lambda one: one.iteration, default=None)
    return f"First: [{first.iteration}] {first.detail or first.state.value}" if first else ""


# --- references -------------------------------------------------------------------------------------------


def lookup(snapshot: Snapshot, slot: TaskRun) -> references.Lookup:
    """Gives references their values as this task run sees them."""

    def find(path: list[str]) -> Any:
        head, rest = path[0], path[1:]
        if head == "parameters":
            return _member(snapshot.run.parameters, rest, "parameter")
        if head == "input":
            return _member(slot.input, rest, "field of the input")
        if head == "tasks":
            return _task_value(snapshot, rest)
        if head == "literal":
            return "{{"
        return _member(_fact(snapshot, slot, head, rest[0]), rest, head)

    return find


def _fact(snapshot: Snapshot, slot: TaskRun, head: str, name: str) -> dict[str, Any]:
    """The fact `head.name`, under its name; empty if there is none."""
    facts = {"run": _RUN_FACTS, "job": _JOB_FACTS, "task": _TASK_FACTS}[head]
    return {name: facts[name](snapshot, slot)} if name in facts else {}


def _executions(snapshot: Snapshot, slot: TaskRun) -> int:
    """How many attempts of the task there were, over all rounds."""
    return sum(place == (slot.task_key, slot.iteration) for place in snapshot.where.values())


def _arrived(run: Run, what: str) -> Any:
    """What a trigger saw that started the run: its files or tables."""
    kept = run.extras.get("trigger")
    return kept.get(what, []) if isinstance(kept, dict) else []


def _scheduled_ms(run: Run) -> int:
    kept = run.extras.get("schedule")
    return int(kept["at"]) if isinstance(kept, dict) and "at" in kept else run.created_at


Fact = Callable[[Snapshot, TaskRun], Any]

_RUN_FACTS: dict[str, Fact] = {
    "id": lambda snapshot, _: snapshot.run.id,
    "name": lambda snapshot, _: snapshot.run.name,
    "round": lambda snapshot, _: snapshot.run.round,
    "created_at": lambda snapshot, _: snapshot.run.created_at,
    "trigger": lambda snapshot, _: snapshot.run.trigger,
    "cause": lambda snapshot, _: CAUSES.get(snapshot.run.trigger, snapshot.run.trigger),
    "scheduled_at": lambda snapshot, _: scheduled_at(snapshot.run),
    "scheduled_date": lambda snapshot, _: scheduled_at(snapshot.run)[:10],
    "time": lambda snapshot, _: parts(snapshot.run.created_at),
    "scheduled": lambda snapshot, _: parts(_scheduled_ms(snapshot.run)),
    "files": lambda snapshot, _: _arrived(snapshot.run, "files"),
    "tables": lambda snapshot, _: _arrived(snapshot.run, "tables"),
}
_JOB_FACTS: dict[str, Fact] = {
    "id": lambda snapshot, _: snapshot.run.job_id,
    "name": lambda snapshot, _: snapshot.plan.spec.name,
    "version": lambda snapshot, _: snapshot.run.job_version,
}
_TASK_FACTS: dict[str, Fact] = {
    "key": lambda _, slot: slot.task_key,
    "id": lambda _, slot: slot.id,
    "attempt": lambda _, slot: slot.attempt,
    "round": lambda _, slot: slot.round,
    "executions": lambda snapshot, slot: _executions(snapshot, slot),
}


def scheduled_at(run: Run) -> str:
    """For which moment it runs, in the schedule's time zone; of a run by hand, when it was made, in UTC."""
    kept = run.extras.get("schedule")
    return str(kept["local"]) if isinstance(kept, dict) and "local" in kept else local_text(run.created_at, UTC)


def _task_value(snapshot: Snapshot, rest: list[str]) -> Any:
    slot = snapshot.slots.get(rest[0])
    if slot is None or len(rest) < 2:
        raise Unresolved(f"There is no task {rest[0]!r} in this run.")
    if rest[1] == "values":
        return _member(slot.values, rest[2:], f"value of task {rest[0]!r}")
    if rest[1] == "output":
        return _member(slot.values.get(OUTPUT, {}), rest[2:], f"output of task {rest[0]!r}")
    facts = {
        "state": slot.state.value,
        "id": slot.id,
        "outcome": slot.values.get("outcome"),
        "result": result_word(slot),
        "reason": slot.reason,
    }
    if rest[1] == "executions":
        return _executions(snapshot, slot)
    return _member(facts, rest[1:], f"fact of task {rest[0]!r}")


def result_word(slot: TaskRun) -> str:
    """How a task ended, in one word: success, failed, canceled, timedout, or why it did not run; else its state."""
    if slot.state in (State.SKIPPED, State.UPSTREAM_FAILED):
        return "upstream_canceled" if slot.reason == Reason.UPSTREAM_CANCELLED else slot.reason
    return RESULTS.get(slot.state, slot.state.value)


def as_output(output: Any) -> dict[str, Any]:
    """A task's rows as references see them: at most 1,000 of them and 48 KiB, each by the names of its columns."""
    if not isinstance(output, dict) or not isinstance(output.get("rows"), list):
        return {}
    names = [str(column["name"]) for column in output.get("columns", [])]
    rows: list[dict[str, Any]] = []
    room = OUTPUT_BYTES
    for row in output["rows"][:OUTPUT_ROWS]:
        named = dict(zip(names, row, strict=False))
        room -= len(msgspec.json.encode(named)) + 1
        if room < 0:
            break
        rows.append(named)
    return {"rows": rows, "first_row": rows[0]} if rows else {"rows": []}


def _member(value: Any, path: list[str], what: str) -> Any:
    for name in path:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise Unresolved(f"There is no {what} named {name!r}.")
    return value
