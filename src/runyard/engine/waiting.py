"""Why is it waiting? One true sentence for every run and task run that is not running yet."""

from __future__ import annotations

import functools

import msgspec

from runyard.core.actions import ENGINE
from runyard.core.model import Run, TaskRun
from runyard.core.states import TERMINAL, State
from runyard.engine.worker import Worker
from runyard.store.base import Reads

COUNTED = 1000
"""So many that go first are counted."""


class Waiting(msgspec.Struct, frozen=True):
    """The run's sentence (None if it does not wait), and those of its waiting task runs by id."""

    run: str | None
    tasks: dict[int, str]


def explain(reads: Reads, run: Run, worker: Worker) -> Waiting:
    """Looks at the limits, queues and workers as they are now."""
    if run.state in TERMINAL:
        return Waiting(None, {})
    if run.admitted_at is None:
        return Waiting(_job_limit(reads, run), {})
    newest = {(one.task_key, one.iteration): one for one in reads.task_runs(run.id)}
    look = _Look(reads, run, newest, worker)
    tasks = {one.id: look.task(one) for one in newest.values() if _waits(one)}
    alive = any(one.state in (State.STARTING, State.RUNNING, State.CANCELLING) for one in newest.values())
    first = next((tasks[one.id] for one in newest.values() if one.id in tasks and one.state is not State.BLOCKED), None)
    return Waiting(None if alive else first, tasks)


def _waits(one: TaskRun) -> bool:
    return one.state in (State.QUEUED, State.BLOCKED, State.WAITING)


def _job_limit(reads: Reads, run: Run) -> str:
    job = reads.job(run.job_id or 0)
    limit = job.spec.max_concurrent_runs if job else None
    ahead = reads.awaiting_admission(run.job_id or 0, 1000)
    place = ahead.index(run.id) if run.id in ahead else 0
    others = f"; {place} other runs go first" if place else ""
    return f"It waits for its job's limit of {limit} concurrent runs{others}."


class _Look:
    """One look at a run's tasks: what they have in common is read once, and only when one needs it."""

    def __init__(self, reads: Reads, run: Run, newest: dict[tuple[str, int], TaskRun], worker: Worker) -> None:
        self._reads, self._run, self._newest, self._worker = reads, run, newest, worker
        self._lines: dict[tuple[str, str], dict[int, int]] = {}
        """By executor and queue: the places of the first task runs that wait there."""

    @functools.cached_property
    def _needs(self) -> dict[str, list[str]]:
        """By the key of a task: the keys of those that it needs."""
        spec = self._reads.run_spec(self._run.id)
        return {task.key: [need.task for need in task.needs] for task in spec.tasks} if spec else {}

    @functools.cached_property
    def _active(self) -> dict[str, int]:
        """How many task runs of a queue are active."""
        return self._reads.queue_active()

    def task(self, one: TaskRun) -> str:
        """The sentence of a task run that waits."""
        if one.state is State.BLOCKED:
            return self._upstream(one)
        if one.state is State.WAITING:
            return f"Attempt {one.attempt} failed; the next starts at {_clock(one.due_at or 0)}."
        return self._queued(one)

    def _upstream(self, one: TaskRun) -> str:
        newest = self._newest
        still = [
            key
            for key in self._needs.get(one.task_key, ())
            if (key, -1) in newest and newest[key, -1].state not in TERMINAL
        ]
        shown = ", ".join(still[:3]) + (f" and {len(still) - 3} more" if len(still) > 3 else "")
        return f"It waits for {shown or 'the tasks that it needs'}."

    def _queued(self, one: TaskRun) -> str:
        worker = self._worker
        if one.executor == ENGINE:
            return "It is decided at the next turn."
        queue = worker.queues.get(one.queue)
        if queue is not None and queue.paused:
            return f"The queue {one.queue!r} is paused."
        if queue is not None and queue.slots == 0:
            return f"The queue {one.queue!r} has no slots."
        if queue is not None and queue.slots is not None and self._active.get(one.queue, 0) >= queue.slots:
            return f"All {queue.slots} slots of the queue {one.queue!r} are taken{self._ahead(one)}."
        if worker.draining:
            return "The server is shutting down; it starts after the restart."
        executor = worker.executors.get(one.executor)
        if executor is None:
            return f"No worker runs {one.executor} tasks."
        trouble = executor.healthy()
        if trouble is not None:
            return trouble
        return f"All {executor.capacity} places for {one.executor} tasks are taken{self._ahead(one)}."

    def _ahead(self, one: TaskRun) -> str:
        line = self._line(one.executor, one.queue)
        # One that is not in a line which is whole has just been claimed.
        place = line.get(one.id, COUNTED + 1 if len(line) > COUNTED else 0)
        if not place:
            return "; it is the next"
        return f"; {f'more than {COUNTED}' if place > COUNTED else place} go first"

    def _line(self, executor: str, queue: str) -> dict[int, int]:
        if (executor, queue) not in self._lines:
            first = self._reads.queued(executor, COUNTED + 1, _Others(queue))
            self._lines[executor, queue] = {waits.task_run_id: place for place, waits in enumerate(first)}
        return self._lines[executor, queue]


class _Others:
    """The queues but for one."""

    def __init__(self, queue: str) -> None:
        self._queue = queue

    def __contains__(self, name: object) -> bool:
        return name != self._queue


def _clock(moment: int) -> str:
    seconds = moment // 1000 % 86400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
