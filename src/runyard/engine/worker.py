"""The worker: claims queued task runs for the executors it has, and records what they report.

It claims inside the writer's transactions and starts work only after the commit. Every report is compared
with the claim's token (in `decide`), so what a lost claim says changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import msgspec

from runyard.core import lifecycle
from runyard.core.actions import PROCESS, executor_of
from runyard.core.attempts import Assignment, Finished, Held, Outcome, Progress, Report, Started
from runyard.core.changes import StopWork
from runyard.core.errors import Code, RunyardError
from runyard.core.graph import Snapshot
from runyard.core.model import Queue, TaskRun
from runyard.core.references import Unresolved
from runyard.core.states import State
from runyard.core.triggers import cause_of
from runyard.engine import bookmarks, firings
from runyard.engine.ledger import Effects, Ledger
from runyard.executors.base import Executor
from runyard.store.base import Queued

log = logging.getLogger("runyard.worker")

TIMEOUT_GRACE = 0.5
"""Seconds between TERM and KILL after a timeout: a timeout of N seconds ends within N + 1."""


class Claims:
    """Work that one transaction claimed, by executor."""

    __slots__ = ("by_executor", "refused")

    def __init__(self) -> None:
        self.by_executor: dict[str, list[Assignment]] = {}
        self.refused = False
        """Whether a task could not be started: that left its place free, and may have readied others."""

    def add(self, executor: str, assignment: Assignment) -> None:
        """One more."""
        self.by_executor.setdefault(executor, []).append(assignment)

    def all(self) -> Iterable[Assignment]:
        """Every assignment."""
        return (one for some in self.by_executor.values() for one in some)


class Worker:
    """The link between the ledger and this process's executors."""

    def __init__(self, name: str, executors: Sequence[Executor], *, grace: float) -> None:
        self.name = name
        self.executors = {executor.name: executor for executor in executors}
        self.grace = grace
        self.queues: dict[str, Queue] = {}
        """Settings of the queues that have any, kept current by the registry."""
        self.held: dict[int, tuple[Held, str]] = {}
        """Claims that an executor holds, by task run id, with the executor's name."""
        self.progress: dict[int, dict[str, object]] = {}
        self.draining = False
        self._load = dict.fromkeys(self.executors, 0)
        self._backlog = dict.fromkeys(self.executors, True)
        """Executors for which the store may hold queued task runs that nobody offered to claim since."""

    # --- claiming ---

    def claim(self, ledger: Ledger, effects: Effects) -> Claims | None:
        """Claims as much queued work as the executors and the queues have room for."""
        if self.draining:
            return None
        if effects.look or (effects.touched and any(queue.slots is not None for queue in self.queues.values())):
            self._look_again()
        claims = Claims()
        try:
            self._claim_round(ledger, claims, effects.ready)
            while claims.refused:
                claims.refused = False
                ledger.follow_up()
                self._look_again()
                self._claim_round(ledger, claims, ())
        except BaseException:
            self.give_back(claims)
            raise
        return claims if claims.by_executor else None

    def _look_again(self) -> None:
        self._backlog = dict.fromkeys(self._backlog, True)

    def _claim_round(self, ledger: Ledger, claims: Claims, fresh: Sequence[TaskRun]) -> None:
        for name, executor in self.executors.items():
            free = executor.capacity - self._load[name]
            lent = self._lent(ledger, name)
            mine = [_queued(one) for one in fresh if one.executor == name]
            if free + lent <= 0:
                self._backlog[name] |= bool(mine)
            elif self._backlog[name] or mine:
                self._claim_for(ledger, executor, free, lent, mine, claims)

    def _lent(self, ledger: Ledger, name: str) -> int:
        """Places whose attempts wait for runs that they started: these may take them, and nobody else."""
        return sum(one in self.held and self.held[one][1] == name for one in ledger.lent) if ledger.lent else 0

    def _claim_for(
        self, ledger: Ledger, executor: Executor, free: int, lent: int, fresh: list[Queued], claims: Claims
    ) -> None:
        """Without a backlog in the store, what became queued in this transaction is all that there is."""
        closed, room = self._room(ledger)
        most = free + lent
        candidates = ledger.session.queued(executor.name, most + 1, closed) if self._backlog[executor.name] else fresh
        self._backlog[executor.name] = len(candidates) > most
        if len(candidates) > 1:
            candidates.sort(key=self._order)
        for one in candidates:
            if not free + lent:
                break
            if room.get(one.queue, 1) <= 0:
                continue
            if free <= 0 and ledger.snapshot(one.run_id).run.parent_task_run_id not in ledger.lent:
                self._backlog[executor.name] = True
                continue
            assignment = self._claim_one(ledger, one, claims)
            if assignment is None:
                continue
            free -= 1
            claims.add(executor.name, assignment)
            self._hold(assignment, executor.name)
            if one.queue in room:
                room[one.queue] -= 1

    def _order(self, one: Queued) -> tuple[int, int, int]:
        queue = self.queues.get(one.queue)
        return (-queue.priority if queue else 0, -one.priority, one.task_run_id)

    def _room(self, ledger: Ledger) -> tuple[Container[str], dict[str, int]]:
        """Queues from which nothing may be taken now, and the free slots of those that count them."""
        room = {queue.name: 0 for queue in self.queues.values() if queue.paused}
        counted = [queue for queue in self.queues.values() if queue.slots is not None and not queue.paused]
        if counted:
            active = ledger.session.queue_active()
            room |= {queue.name: (queue.slots or 0) - active.get(queue.name, 0) for queue in counted}
        return {name for name, free in room.items() if free <= 0}, room

    def _claim_one(self, ledger: Ledger, one: Queued, claims: Claims) -> Assignment | None:
        snapshot = ledger.snapshot(one.run_id)
        slot = snapshot.find(one.task_run_id)
        if slot is None or slot.state is not State.QUEUED:
            return None
        try:
            action = lifecycle.resolved_action(snapshot, slot)
        except Unresolved as error:
            ledger.advance(one.run_id, lifecycle.Refuse(slot.id, str(error)))
            claims.refused = True
            return None
        token = ledger.draw()
        ledger.advance(one.run_id, lifecycle.Claim(slot.id, self.name, token))
        assignment = _assignment(snapshot, slot, token, action)
        if executor_of(assignment.action) != PROCESS:
            return assignment
        assignment = msgspec.structs.replace(assignment, before=_values_before(snapshot, slot))
        kept = ledger.session.bookmark(bookmarks.key_of(snapshot.run), None)
        if kept is None:
            return assignment
        return msgspec.structs.replace(assignment, bookmark=kept.state, bookmark_version=kept.version)

    def _hold(self, assignment: Assignment, executor: str) -> None:
        held = Held(
            assignment.run_id,
            assignment.task_run_id,
            assignment.token,
            State.STARTING.value,
            assignment.task_key,
            assignment.iteration,
            assignment.round,
            assignment.workspace,
        )
        self.held[assignment.task_run_id] = (held, executor)
        self._load[executor] += 1

    def give_back(self, claims: Claims | None) -> None:
        """The transaction of these claims did not happen."""
        self._look_again()
        for assignment in claims.all() if claims else ():
            self.let_go(assignment.task_run_id, assignment.token)

    def let_go(self, task_run_id: int, token: int) -> bool:
        """Frees the place of a claim; False if this worker does not hold it (any more)."""
        entry = self.held.get(task_run_id)
        if entry is None or entry[0].token != token:
            return False
        del self.held[task_run_id]
        self._load[entry[1]] -= 1
        self.progress.pop(task_run_id, None)
        return True

    # --- after the commit ---

    def start(self, claims: Claims) -> None:
        """Hands committed claims to their executors."""
        for name, assignments in claims.by_executor.items():
            self.executors[name].start(assignments)

    def stop(self, stop: StopWork) -> None:
        """Asks an executor for the end of an attempt."""
        executor = self.executors.get(stop.executor)
        if executor is not None:
            grace = TIMEOUT_GRACE if stop.why == "timeout" else self.grace
            executor.stop(stop.task_run_id, stop.token, grace=grace, why=stop.why)

    def release_all(self, grace: float) -> None:
        """Asks every executor to give its attempts back unharmed."""
        for held, name in list(self.held.values()):
            self.executors[name].stop(held.task_run_id, held.token, grace=grace, why="release")

    # --- reports ---

    def recorder(self, reports: Sequence[Report]) -> Callable[[Ledger], None]:
        """A command that records reports; it may be run again if its transaction fails."""
        known: list[tuple[int, Report]] = []
        finished = {(one.task_run_id, one.token) for one in reports if isinstance(one, Finished)}
        for report in reports:
            entry = self.held.get(report.task_run_id)
            if entry is None or entry[0].token != report.token:
                continue
            if isinstance(report, Progress):
                self.progress[report.task_run_id] = report.data
            elif isinstance(report, Finished) or (report.task_run_id, report.token) not in finished:
                known.append((entry[0].run_id, report))

        def record(ledger: Ledger) -> None:
            for run_id, report in known:
                try:
                    self._record_one(ledger, run_id, report)
                except RunyardError as error:  # its run was deleted since: the report came a second time
                    if error.code is not Code.NOT_FOUND:
                        raise

        return record

    def _record_one(self, ledger: Ledger, run_id: int, report: Report) -> None:
        if isinstance(report, Started):
            ledger.advance(run_id, lifecycle.Start(report.task_run_id, report.token, report.at))
        elif isinstance(report, Finished):
            self.let_go(report.task_run_id, report.token)
            self._finish(ledger, run_id, report)

    def _finish(self, ledger: Ledger, run_id: int, report: Finished) -> None:
        run = ledger.snapshot(run_id).run
        outcome = bookmarks.checked(ledger, run_id, report.outcome)
        changes = ledger.advance(run_id, lifecycle.Finish(report.task_run_id, report.token, outcome))
        if changes and outcome.bookmark is not None and outcome.result == "succeeded":
            bookmarks.put(ledger, bookmarks.key_of(run), outcome.bookmark, run_id, run.round)
        if changes and outcome.result == "succeeded":
            firings.tables_changed(ledger, run.workspace, _written(outcome.metrics))

    def touched_by(self, reports: Sequence[Report]) -> set[int]:
        """The runs whose progress these reports tell."""
        entries = (self.held.get(one.task_run_id) for one in reports if isinstance(one, Progress))
        return {entry[0].run_id for entry in entries if entry is not None}

    # --- a restart ---

    def recover(self, claims: Iterable[tuple[Held, str]], now: int) -> list[Finished]:
        """Lets executors take up what they held before; what provably ended without a word is reported lost."""
        by_executor: dict[str, list[Held]] = {}
        for held, name in claims:
            by_executor.setdefault(name, []).append(held)
            self._load.setdefault(name, 0)
            self.held[held.task_run_id] = (held, name)
            self._load[name] += 1
        # What an executor held that this server does not have is lost too: nobody else would ever report on it.
        gone = [one for name, some in by_executor.items() if name not in self.executors for one in some]
        for name, executor in self.executors.items():
            gone += executor.recover(by_executor.get(name, []))
        self._stop_again(set(self.held) - {one.task_run_id for one in gone})
        outcome = Outcome(result="lost", reason="lost_worker", detail="The server stopped and its work with it.")
        return [Finished(one.task_run_id, one.token, now, outcome) for one in gone]

    def _stop_again(self, kept: set[int]) -> None:
        """The former server may have died before it told the executor about a cancel that it had recorded."""
        for task_run_id in kept:
            held, name = self.held[task_run_id]
            if held.state == State.CANCELLING.value:
                self.executors[name].stop(task_run_id, held.token, grace=self.grace, why="cancel")


def _queued(one: TaskRun) -> Queued:
    return Queued(one.id, one.run_id, one.queue, one.priority)


def _written(metrics: dict[str, Any]) -> list[str]:
    """The tables that work says it wrote; a program may say anything."""
    told = metrics.get("tables_written")
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []


def _values_before(snapshot: Snapshot, slot: TaskRun) -> dict[str, dict[str, Any]]:
    """What the tasks that come before this one published, by their keys."""
    found: dict[str, dict[str, Any]] = {}
    seen, ahead = {slot.task_key}, [slot.task_key]
    while ahead:
        for need in snapshot.plan.tasks[ahead.pop()].needs:
            if need.task not in seen:
                seen.add(need.task)
                ahead.append(need.task)
                found[need.task] = snapshot.slots[need.task].values
    return found


def _assignment(snapshot: Snapshot, slot: TaskRun, token: int, action: object) -> Assignment:
    run = snapshot.run
    cause = cause_of(run.extras)
    return Assignment(
        chain=cause.chain if cause else None,
        scope=cause.scope if cause else "",
        run_id=run.id,
        task_run_id=slot.id,
        token=token,
        task_key=slot.task_key,
        action=action,  # type: ignore[arg-type]  # claimed task runs are never control flow
        iteration=slot.iteration,
        round=slot.round,
        attempt=slot.attempt,
        job_id=run.job_id,
        job_name=run.name,
        workspace=run.workspace,
        parameters=run.parameters,
        input=slot.input if slot.iteration >= 0 else None,
        limits=snapshot.task_of(slot).limits,
    )
