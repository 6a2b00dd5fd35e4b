"""Why is it waiting? One true sentence for every run and task run that is not running yet."""

from __future__ import annotations

import msgspec

from runyard.core.actions import ENGINE
from runyard.core.model import Run, TaskRun
from runyard.core.states import TERMINAL, State
from runyard.engine.worker import Worker
from runyard.store.base import Reads


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
    tasks = {one.id: _task(reads, run, one, newest, worker) for one in newest.values() if _waits(one)}
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


def _task(reads: Reads, run: Run, one: TaskRun, newest: dict[tuple[str, int], TaskRun], worker: Worker) -> str:
    if one.state is State.BLOCKED:
        return _upstream(reads, run, one, newest)
    if one.state is State.WAITING:
        return f"Attempt {one.attempt} failed; the next starts at {_clock(one.due_at or 0)}."
    return _queued(reads, one, worker)


def _upstream(reads: Reads, run: Run, one: TaskRun, newest: dict[tuple[str, int], TaskRun]) -> str:
    spec = reads.run_spec(run.id)
    task = next((task for task in spec.tasks if task.key == one.task_key), None) if spec else None
    needs = [need.task for need in task.needs] if task else []
    still = [key for key in needs if (key, -1) in newest and newest[key, -1].state not in TERMINAL]
    shown = ", ".join(still[:3]) + (f" and {len(still) - 3} more" if len(still) > 3 else "")
    return f"It waits for {shown or 'the tasks that it needs'}."


def _queued(reads: Reads, one: TaskRun, worker: Worker) -> str:
    if one.executor == ENGINE:
        return "It is decided at the next turn."
    queue = worker.queues.get(one.queue)
    if queue is not None and queue.paused:
        return f"The queue {one.queue!r} is paused."
    if queue is not None and queue.slots == 0:
        return f"The queue {one.queue!r} has no slots."
    active = reads.queue_active()
    if queue is not None and queue.slots is not None and active.get(one.queue, 0) >= queue.slots:
        return f"All {queue.slots} slots of the queue {one.queue!r} are taken{_ahead(reads, one)}."
    if worker.draining:
        return "The server is shutting down; it starts after the restart."
    executor = worker.executors.get(one.executor)
    if executor is None:
        return f"No worker runs {one.executor} tasks."
    trouble = executor.healthy()
    if trouble is not None:
        return trouble
    return f"All {executor.capacity} places for {one.executor} tasks are taken{_ahead(reads, one)}."


def _ahead(reads: Reads, one: TaskRun) -> str:
    ahead = reads.ahead(one)
    if not ahead:
        return "; it is the next"
    return f"; {'more than 1000' if ahead > 1000 else ahead} go first"


def _clock(moment: int) -> str:
    seconds = moment // 1000 % 86400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"
