"""What a decision changes: the values to store, and what to tell the outside after the commit."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import msgspec

from runyard.core.actions import ENGINE
from runyard.core.graph import Snapshot
from runyard.core.ids import IdSource
from runyard.core.model import Event, JobSpec, Run, TaskRun
from runyard.core.states import RUN_MOVES, TASK_MOVES, TERMINAL, Move, Reason, State, advance


class StopWork(msgspec.Struct, frozen=True):
    """An executor must be told to end an attempt, once the change is committed."""

    task_run_id: int
    token: int
    executor: str
    why: Literal["cancel", "timeout"]


class ChildRun(msgspec.Struct, frozen=True):
    """A run-job task asks for a run of another job, in the same transaction."""

    task_run_id: int
    job_id: int
    parameters: dict[str, Any]


class Changes:
    """Everything that one decision changes, to be stored in one transaction."""

    __slots__ = (
        "added",
        "cancel_children",
        "children",
        "ended",
        "events",
        "new_run",
        "outputs",
        "ready",
        "run",
        "run_changed",
        "spec",
        "stops",
        "updated",
    )

    def __init__(self, run: Run) -> None:
        self.run = run
        self.new_run = False
        self.run_changed = False
        self.spec: JobSpec | None = None
        """The definition that the run follows from now on, where it is another than before."""
        self.added: dict[int, TaskRun] = {}
        self.updated: dict[int, TaskRun] = {}
        self.events: list[Event] = []
        self.outputs: dict[int, bytes] = {}
        self.stops: list[StopWork] = []
        self.children: list[ChildRun] = []
        self.cancel_children: list[int] = []
        self.ready = False
        """Whether a task run became queued."""
        self.ended = False
        """Whether the run came to its end."""

    def __bool__(self) -> bool:
        return bool(self.events or self.new_run)

    def queued(self) -> list[TaskRun]:
        """The task runs that are queued now, for a worker to claim."""
        changed = (*self.added.values(), *self.updated.values())
        return [one for one in changed if one.state is State.QUEUED and one.executor != ENGINE]


class Decision:
    """One decision in the making: moves values by the table, keeps the snapshot in step, writes the history."""

    __slots__ = ("changes", "ended", "ids", "now", "snapshot")

    def __init__(self, snapshot: Snapshot, now: int, ids: IdSource) -> None:
        self.snapshot = snapshot
        self.now = now
        self.ids = ids
        self.changes = Changes(snapshot.run)
        self.ended: deque[TaskRun] = deque()
        """Task runs that ended for good in this decision and whose dependants were not looked at yet."""

    def draw(self) -> int:
        """A new id."""
        return self.ids.draw(self.now)

    def find(self, task_run_id: int) -> TaskRun | None:
        """The newest attempt with this id; None for an older attempt or a stranger."""
        return self.snapshot.find(task_run_id)

    # --- the history ---

    def note(
        self,
        kind: str,
        *,
        task_run_id: int | None = None,
        state: State | None = None,
        reason: str = "",
        detail: str = "",
        by: str = "",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Adds one line to the run's history."""
        seq = self.snapshot.run.seq + len(self.changes.events) + 1
        event = Event(
            run_id=self.snapshot.run.id,
            seq=seq,
            at=self.now,
            kind=kind,
            task_run_id=task_run_id,
            state=state,
            reason=reason,
            detail=detail,
            by=by,
            data=data,
        )
        self.changes.events.append(event)

    # --- task runs ---

    def add(self, task_run: TaskRun) -> TaskRun:
        """A new task run. It becomes the newest attempt of its task or iteration."""
        self.changes.added[task_run.id] = task_run
        if task_run.attempt or task_run.iteration >= 0:
            self.note("state", task_run_id=task_run.id, state=task_run.state, reason=task_run.reason)
        self._place(task_run, None)
        return task_run

    def move(self, task_run: TaskRun, move: Move, **fields: Any) -> TaskRun:
        """Moves a task run by the table; raises `IllegalMove` (a defect of ours) where it has no entry."""
        state = advance(TASK_MOVES, task_run.state, move)
        fields.setdefault("reason", "")
        fields.setdefault("detail", "")
        moved = msgspec.structs.replace(task_run, state=state, **fields)
        changes = self.changes
        (changes.added if moved.id in changes.added else changes.updated)[moved.id] = moved
        data = None
        if moved.worker and state is State.STARTING:
            data = {"worker": moved.worker}
        self.note("state", task_run_id=moved.id, state=state, reason=moved.reason, detail=moved.detail, data=data)
        self._place(moved, task_run)
        return moved

    def amend(self, task_run: TaskRun, **fields: Any) -> TaskRun:
        """Changes facts of a task run without moving it."""
        amended = msgspec.structs.replace(task_run, **fields)
        changes = self.changes
        (changes.added if amended.id in changes.added else changes.updated)[amended.id] = amended
        self._place(amended, task_run)
        return amended

    def _place(self, task_run: TaskRun, before: TaskRun | None) -> None:
        snapshot = self.snapshot
        snapshot.where[task_run.id] = (task_run.task_key, task_run.iteration)
        if task_run.iteration >= 0:
            snapshot.fans[task_run.task_key].newest[task_run.iteration] = task_run
            return
        old = before if before is not None else snapshot.slots.get(task_run.task_key)
        was_live = old is not None and old.state not in TERMINAL
        snapshot.live += (task_run.state not in TERMINAL) - was_live
        snapshot.slots[task_run.task_key] = task_run

    # --- the run ---

    def set_run(self, **fields: Any) -> None:
        """Changes facts of the run without moving it."""
        self.snapshot.run = msgspec.structs.replace(self.snapshot.run, **fields)
        self.changes.run_changed = True

    def move_run(self, move: Move, **fields: Any) -> None:
        """Moves the run by the table."""
        state = advance(RUN_MOVES, self.snapshot.run.state, move)
        fields.setdefault("reason", "")
        fields.setdefault("detail", "")
        self.set_run(state=state, **fields)
        self.note("state", state=state, reason=fields["reason"], detail=fields["detail"])
        self.changes.ended = state in TERMINAL

    def begin_run(self) -> None:
        """The first task of a round was taken: the run is running, and its time counts from now."""
        run = self.snapshot.run
        if run.state is not State.QUEUED:
            return
        timeout = self.snapshot.plan.spec.timeout
        deadline = self.now + round(timeout * 1000) if timeout else None
        self.move_run(Move.START, started_at=run.started_at or self.now, deadline_at=deadline)

    def finish_if_over(self) -> None:
        """Ends the run once none of its tasks is live, with the result that its tasks give it."""
        run = self.snapshot.run
        if self.snapshot.live or run.state in TERMINAL:
            return
        move, reason, detail = result_of(self.snapshot)
        self.move_run(move, reason=reason, detail=detail, ended_at=self.now, deadline_at=None)

    def close(self) -> Changes:
        """The finished changes; the run's sequence number stands at its newest event."""
        changes = self.changes
        if changes.events:
            self.set_run(seq=changes.events[-1].seq)
        changes.run = self.snapshot.run
        return changes


def result_of(snapshot: Snapshot) -> tuple[Move, str, str]:
    """How a run without live tasks ends: (move, reason, detail).

    An early end (cancel, run timeout) stands unless every task had succeeded by then. Otherwise the leaf
    tasks decide: a run whose leaves succeeded is a success, "with failures" if another task failed.
    """
    run = snapshot.run
    bad = [slot for slot in snapshot.slots.values() if slot.state not in (State.SUCCEEDED, State.SKIPPED)]
    if run.state is State.CANCELLING and bad:
        expired = run.reason == Reason.RUN_TIMEOUT
        return (Move.STOP_EXPIRED if expired else Move.STOP), run.reason, run.detail
    leaves = set(snapshot.plan.leaves)
    bad_leaves = [slot for slot in bad if slot.task_key in leaves]
    if not bad_leaves:
        return Move.SUCCEED, (Reason.WITH_FAILURES if bad else ""), (_blame(bad) if bad else "")
    stopped = (State.CANCELLED, State.TIMED_OUT)
    roots = [slot for slot in bad if slot.state is not State.UPSTREAM_FAILED] or bad
    if all(slot.state is State.CANCELLED for slot in roots):
        return Move.STOP, Reason.USER_CANCEL, _blame(bad)
    if snapshot.run.state is State.RUNNING and all(slot.state in stopped for slot in roots):
        return Move.STOP_EXPIRED, Reason.TIMEOUT, _blame(bad)
    return Move.FAIL, Reason.TASK_FAILED, _blame(bad)


def _blame(bad: list[TaskRun]) -> str:
    """One line that names the first task that went wrong by itself, and why."""
    own = [slot for slot in bad if slot.state is not State.UPSTREAM_FAILED] or bad
    first = min(own, key=lambda slot: (slot.state is State.CANCELLED, slot.ended_at or 0, slot.id))
    more = f" ({len(own) - 1} more)" if len(own) > 1 else ""
    what = {State.LOST: "was lost", State.TIMED_OUT: "timed out", State.CANCELLED: "was cancelled"}
    said = f": {first.detail}" if first.detail else ""
    return f"Task {first.task_key!r} {what.get(first.state, 'failed')}{said}{more}"
