"""A job's graph: what is wrong with a definition, its compiled plan, and which tasks are ready.

Readiness is incremental: a live run's `Snapshot` counts the needs that each task still has open, so the end
of one task touches its dependants only, however large the run is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from runyard.core import notices, references, schedule, surroundings, triggers
from runyard.core.actions import (
    Condition,
    Copy,
    Dbt,
    Delete,
    Export,
    ForEach,
    Load,
    Materialize,
    Notebook,
    Python,
    RunJob,
    Shell,
    Sql,
    Truncate,
    Wheel,
    kind_of,
)
from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import JobSpec, Retries, Run, RunIf, Task, TaskRun
from runyard.core.moments import PARTS
from runyard.core.states import TERMINAL, Reason, State

MAX_TASKS = 10_000
MAX_NAME = 4096
MAX_TEXT = 4 * 1024 * 1024
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_RUN_KEYS = frozenset(
    {
        "id", "name", "round", "created_at", "trigger", "cause", "scheduled_at", "scheduled_date", "time", "scheduled",
        "files", "tables",
    }
)  # fmt: skip
_JOB_KEYS = frozenset({"id", "name", "version"})
_TASK_KEYS = frozenset({"key", "id", "attempt", "round", "executions"})
_TASKS_KEYS = frozenset({"values", "state", "id", "outcome", "result", "reason", "executions", "output"})


class Plan:
    """A validated definition, compiled once and shared by all its runs. Immutable by convention."""

    __slots__ = ("dependents", "leaves", "notifies", "outputs", "spec", "tasks", "templated")

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.tasks: dict[str, Task] = {task.key: task for task in spec.tasks}
        self.dependents: dict[str, list[str]] = {task.key: [] for task in spec.tasks}
        for task in spec.tasks:
            for need in task.needs:
                self.dependents[need.task].append(task.key)
        self.notifies = bool(spec.notifications) or any(task.notifications for task in spec.tasks)
        """Whether anybody is to be told of anything."""
        self.leaves = [key for key, followers in self.dependents.items() if not followers]
        found = {task.key: list(references.find(task.action)) for task in spec.tasks}
        self.templated = frozenset(key for key, paths in found.items() if paths)
        self.outputs = frozenset(
            path[1] for paths in found.values() for path in paths if path[0] == "tasks" and path[2:3] == ["output"]
        )
        """Tasks whose rows others refer to: these are kept where references find them."""

    def downstream(self, keys: Iterable[str]) -> set[str]:
        """The keys and everything that depends on them, directly or not."""
        return _closure(keys, lambda key: self.dependents[key])

    def upstream(self, keys: Iterable[str]) -> set[str]:
        """The keys and everything that they depend on, directly or not."""
        return _closure(keys, lambda key: [need.task for need in self.tasks[key].needs])

    def select(self, only: Iterable[str]) -> set[str]:
        """The tasks that `only` names: `key`, `+key` with its needs, `key+` with its dependants, `+key+`."""
        chosen: set[str] = set()
        for word in only:
            key = word.strip("+")
            if key not in self.tasks:
                raise invalid(f"only names the task {key!r}, which this job does not have.", field="only")
            chosen.add(key)
            if word.startswith("+"):
                chosen |= self.upstream([key])
            if word.endswith("+"):
                chosen |= self.downstream([key])
        return chosen


def _closure(keys: Iterable[str], step: Any) -> set[str]:
    seen = set(keys)
    stack = list(seen)
    while stack:
        for follower in step(stack.pop()):
            if follower not in seen:
                seen.add(follower)
                stack.append(follower)
    return seen


# --- validation -------------------------------------------------------------------------------------------


def validate(spec: JobSpec) -> Plan:
    """Checks a definition and compiles it; raises `RunyardError` (invalid) that names the field."""
    if not spec.name.strip() or len(spec.name) > MAX_NAME:
        raise invalid(f"A job needs a name of 1 to {MAX_NAME} characters.", field="name")
    if not spec.tasks:
        raise invalid("A job needs at least one task.", field="tasks")
    if len(spec.tasks) > MAX_TASKS:
        raise invalid(f"A job may have {MAX_TASKS} tasks; this one has {len(spec.tasks)}.", field="tasks")
    if spec.max_concurrent_runs is not None and spec.max_concurrent_runs < 0:
        found = spec.max_concurrent_runs
        raise invalid(f"max_concurrent_runs must be 0 or more; it is {found}.", field="max_concurrent_runs")
    _positive(spec.timeout, "timeout")
    _positive(spec.warn_after, "warn_after")
    notices.check(spec.notifications, "notifications")
    _queue_name(spec.queue, "queue")
    _priority(spec.priority, "priority")
    _check_schedule(spec)
    _check_triggers(spec)
    _check_keys(spec)
    actions = {task.key: task.action for task in spec.tasks}
    for index, task in enumerate(spec.tasks):
        _check_task(actions, task, f"tasks[{index}]")
    plan = Plan(spec)
    _check_references(plan, _in_order(plan))
    return plan


def _check_schedule(spec: JobSpec) -> None:
    if spec.schedule is None:
        return
    schedule.check(spec.schedule)
    try:
        merge_parameters(spec, spec.schedule.parameters)
    except RunyardError as error:
        said = f"A scheduled run could not start: {error.message} Give it a default, or set it in schedule.parameters."
        raise invalid(said, field="schedule.parameters") from None


def _check_triggers(spec: JobSpec) -> None:
    triggers.check_own(spec.triggers)
    for index, one in enumerate(spec.triggers):
        try:
            merge_parameters(spec, one.parameters)
        except RunyardError as error:
            said = f"A run of the trigger {one.key!r} could not start: {error.message}"
            raise invalid(said, field=f"triggers[{index}].parameters") from None


def _check_keys(spec: JobSpec) -> None:
    seen: set[str] = set()
    for index, task in enumerate(spec.tasks):
        if not _KEY.fullmatch(task.key):
            raise invalid(
                f"The task key {task.key!r} must be 1 to 100 letters, digits, '_', '-' or '.'.",
                field=f"tasks[{index}].key",
            )
        if task.key in seen:
            raise invalid(f"Two tasks have the key {task.key!r}; each needs its own.", field=f"tasks[{index}].key")
        seen.add(task.key)


def _check_task(actions: dict[str, Any], task: Task, at: str) -> None:
    _check_needs(actions, task, at)
    _positive(task.timeout, f"{at}.timeout")
    _positive(task.warn_after, f"{at}.warn_after")
    notices.check(task.notifications, f"{at}.notifications")
    _queue_name(task.queue, f"{at}.queue")
    _priority(task.priority or 0, f"{at}.priority")
    _check_retries(task.retries, f"{at}.retries")
    for name in ("memory_bytes", "cpu_seconds", "log_bytes"):
        _positive(getattr(task.limits, name), f"{at}.limits.{name}")
    _check_action(task.action, f"{at}.action")


def _check_retries(retries: Retries, at: str) -> None:
    if retries.max < -1:
        raise invalid(f"retries.max must be -1 (without limit), 0 or more; it is {retries.max}.", field=f"{at}.max")
    for name, least in (("delay", 0), ("backoff", 1), ("max_delay", 0)):
        value = getattr(retries, name)
        if not least <= value < 1e15:  # also refuses what is no number and what is without end
            raise invalid(f"retries.{name} must be {least} or more; it is {value}.", field=f"{at}.{name}")


def _check_needs(actions: dict[str, Any], task: Task, at: str) -> None:
    seen: set[str] = set()
    for index, need in enumerate(task.needs):
        field = f"{at}.needs[{index}]"
        if need.task not in actions:
            raise invalid(f"Task {task.key!r} needs {need.task!r}, which this job does not have.", field=field)
        if need.task == task.key:
            raise invalid(f"Task {task.key!r} needs itself.", field=field)
        if need.task in seen:
            raise invalid(f"Task {task.key!r} needs {need.task!r} twice.", field=field)
        if need.outcome is not None and not isinstance(actions[need.task], Condition):
            raise invalid(f"{need.task!r} is no condition task, so it has no outcome.", field=field)
        seen.add(need.task)


def _check_table_work(action: Any, at: str) -> None:
    for name in ("statement", "table", "where", "target"):
        if not getattr(action, name, "-").strip():
            raise invalid(f"A {kind_of(action)} task needs a {name}.", field=f"{at}.{name}")


def _check_materialize(action: Materialize, at: str) -> None:
    if not action.view.strip():
        raise invalid("A materialize task needs a view.", field=f"{at}.view")
    if not 0 < action.sample <= 1:
        raise invalid(f"sample must be more than 0 and at most 1; it is {action.sample}.", field=f"{at}.sample")
    if action.chunk_rows < 1:
        raise invalid(f"chunk_rows must be at least 1; it is {action.chunk_rows}.", field=f"{at}.chunk_rows")


def _check_action(action: Any, at: str) -> None:
    if isinstance(action, Sql) and bool(action.statement.strip()) == (action.file is not None):
        raise invalid("An sql task needs a statement, or a file of statements.", field=f"{at}.statement")
    if isinstance(action, Load) and not (action.source.strip() and action.table.strip()):
        raise invalid("A load task needs a source and a table.", field=at)
    if isinstance(action, Load) and (action.mode == "replace_where") != bool(action.where.strip()):
        raise invalid("A load task has a condition in where exactly with mode replace_where.", field=f"{at}.where")
    if isinstance(action, Copy | Truncate | Delete | Export):
        _check_table_work(action, at)
    if isinstance(action, Materialize):
        _check_materialize(action, at)
    if isinstance(action, Shell) and not action.command:
        raise invalid("A shell task needs a command.", field=f"{at}.command")
    if isinstance(action, Python) and sum(x is not None for x in (action.source, action.file, action.module)) != 1:
        raise invalid("A python task needs exactly one of source, file and module.", field=at)
    if isinstance(action, Notebook) and (action.path is None) == (action.source is None):
        raise invalid("A notebook task needs exactly one of path and source.", field=at)
    if isinstance(action, Python | Notebook | Wheel | Dbt | Shell):
        surroundings.check(action, at)
    if isinstance(action, RunJob) and action.job <= 0:
        raise invalid("A run_job task needs the id of a job.", field=f"{at}.job")
    if isinstance(action, ForEach):
        if not 1 <= action.concurrency <= 1000:
            said = f"A for_each task needs a concurrency of 1 to 1000; it is {action.concurrency}."
            raise invalid(said, field=f"{at}.concurrency")
        _check_action(action.action, f"{at}.action")


def _in_order(plan: Plan) -> list[str]:
    """All keys, each after what it needs; a circle is refused."""
    open_needs = {key: len(task.needs) for key, task in plan.tasks.items()}
    ready = [key for key, count in open_needs.items() if not count]
    order: list[str] = []
    while ready:
        order.append(ready.pop())
        for follower in plan.dependents[order[-1]]:
            open_needs[follower] -= 1
            if not open_needs[follower]:
                ready.append(follower)
    if len(order) < len(plan.tasks):
        stuck = sorted(key for key, count in open_needs.items() if count)
        raise invalid(f"These tasks need each other in a circle: {', '.join(stuck[:20])}.", field="tasks")
    return order


class _Before:
    """Which tasks come before which: one bit a task, so that ten thousand of them are known in a moment."""

    def __init__(self, plan: Plan, order: list[str]) -> None:
        self._place = {key: place for place, key in enumerate(order)}
        self._masks: dict[str, int] = {}
        for key in order:
            mask = 0
            for need in plan.tasks[key].needs:
                mask |= self._masks[need.task] | 1 << self._place[need.task]
            self._masks[key] = mask

    def __call__(self, earlier: str, later: str) -> bool:
        return bool(self._masks[later] >> self._place[earlier] & 1)


def _check_references(plan: Plan, order: list[str]) -> None:
    if not plan.templated:
        return
    before = _Before(plan, order)
    for index, task in enumerate(plan.spec.tasks):
        for path in references.find(task.action):
            problem = _reference_problem(plan, before, task, path)
            if problem:
                shown = "{{ " + ".".join(path) + " }}"
                raise invalid(f"{shown} in task {task.key!r}: {problem}", field=f"tasks[{index}].action")


def _reference_problem(plan: Plan, before: _Before, task: Task, path: list[str]) -> str | None:
    head, rest = path[0], path[1:]
    if head == "input":
        return None if isinstance(task.action, ForEach) else "only a for_each task's action has an input."
    if not rest:
        return f"say which of {head} is meant."
    if head == "parameters":
        return None if rest[0] in plan.spec.parameters else f"the job has no parameter {rest[0]!r}."
    if head == "tasks":
        return _task_reference_problem(plan, before, task, rest)
    if head == "run" and rest[0] in ("time", "scheduled") and rest[1:] not in ([part] for part in PARTS):
        return f"run.{rest[0]} has {', '.join(PARTS)}."
    known = {"run": _RUN_KEYS, "job": _JOB_KEYS, "task": _TASK_KEYS, "literal": frozenset({"open"})}[head]
    return None if rest[0] in known else f"{head} has {', '.join(sorted(known))}, not {rest[0]!r}."


def _task_reference_problem(plan: Plan, before: _Before, task: Task, rest: list[str]) -> str | None:
    if rest[0] not in plan.tasks:
        return f"the job has no task {rest[0]!r}."
    if not before(rest[0], task.key):
        return f"{rest[0]!r} does not come before this task; add it to needs."
    if len(rest) < 2 or rest[1] not in _TASKS_KEYS or (rest[1] in ("values", "output") and len(rest) < 3):
        return "a task offers values.NAME, state, result, reason, id, outcome, executions, output.rows and .first_row."
    return None


def _positive(value: float | None, field: str) -> None:
    if value is not None and not 0 < value < 1e15:
        raise invalid(f"{field} must be more than 0; it is {value}.", field=field)


def _queue_name(name: str | None, field: str) -> None:
    if name is not None and not _KEY.fullmatch(name):
        raise invalid(f"A queue's name is 1 to 100 letters, digits, '_', '-' or '.'; found {name!r}.", field=field)


def _priority(value: int, field: str) -> None:
    if not -1_000_000 <= value <= 1_000_000:
        raise invalid(f"A priority lies between -1000000 and 1000000; it is {value}.", field=field)


# --- a live run -------------------------------------------------------------------------------------------


class Fan:
    """The iterations of one for-each task: the newest attempt of each, and counts of the present round."""

    __slots__ = ("active", "failed", "newest", "pending")

    def __init__(self) -> None:
        self.newest: dict[int, TaskRun] = {}
        self.pending: list[int] = []
        """Indexes not started yet, the next one last."""
        self.active = 0
        self.failed = 0


class Snapshot:
    """A live run as its decisions need it: the newest attempt of every task, and counts that keep up.

    Decisions advance it in step with the changes that they return. Whoever fails to store those changes
    must drop the snapshot and load it again.
    """

    __slots__ = ("fans", "live", "open_needs", "plan", "run", "slots", "where")

    def __init__(self, run: Run, plan: Plan, task_runs: Collection[TaskRun]) -> None:
        self.run = run
        self.plan = plan
        self.slots: dict[str, TaskRun] = {}
        self.fans: dict[str, Fan] = {}
        self.open_needs: dict[str, int] = {}
        self.where: dict[int, tuple[str, int]] = {}
        """Task and iteration of every attempt, by id."""
        self.live = 0
        if not task_runs:  # a new run
            return
        for task_run in task_runs:
            self.where[task_run.id] = (task_run.task_key, task_run.iteration)
            if task_run.iteration < 0:
                self.slots[task_run.task_key] = task_run
            else:
                self.fans.setdefault(task_run.task_key, Fan()).newest[task_run.iteration] = task_run
        self.live = sum(slot.state not in TERMINAL for slot in self.slots.values())
        for key in self.slots:
            self.recount(key)
        for key, fan in self.fans.items():
            self._count_fan(key, fan)

    def recount(self, key: str) -> int:
        """How many needs of a task are not settled."""
        needs = self.plan.tasks[key].needs
        count = sum(self.slots[need.task].state not in TERMINAL for need in needs) if needs else 0
        self.open_needs[key] = count
        return count

    def _count_fan(self, key: str, fan: Fan) -> None:
        slot = self.slots[key]
        if slot.state in TERMINAL or slot.state is State.BLOCKED:
            return
        present = [one for one in fan.newest.values() if one.round == slot.round]
        fan.active = sum(one.state not in TERMINAL for one in present)
        fan.failed = sum(one.state in TERMINAL and one.state is not State.SUCCEEDED for one in present)
        if slot.state is not State.CANCELLING:
            fan.pending = [i for i in reversed(range(len(slot.input or ()))) if self.needs_iteration(slot, fan, i)]

    def needs_iteration(self, slot: TaskRun, fan: Fan, index: int) -> bool:
        """Whether an element has no attempt in this round and no earlier success to keep.

        A success of an earlier round is kept when its input is the same and nothing before the for-each
        task was run again since.
        """
        one = fan.newest.get(index)
        if one is None:
            return True
        if one.round == slot.round:
            return False
        kept = one.state is State.SUCCEEDED and one.input == slot.input[index]
        return not kept or self._upstream_round(slot.task_key) > one.round

    def _upstream_round(self, key: str) -> int:
        """The latest repair round in which a direct need of the task was run."""
        return max((self.slots[need.task].round for need in self.plan.tasks[key].needs), default=0)

    def find(self, task_run_id: int) -> TaskRun | None:
        """The newest attempt with this id, or None when it is an older attempt or not of this run."""
        key, iteration = self.where.get(task_run_id, ("", -1))
        one = self.slots.get(key) if iteration < 0 else self.fans[key].newest.get(iteration)
        return one if one is not None and one.id == task_run_id else None

    def newest(self) -> Iterator[TaskRun]:
        """The newest attempt of every task and iteration."""
        yield from self.slots.values()
        for fan in self.fans.values():
            yield from fan.newest.values()

    def task_of(self, task_run: TaskRun) -> Task:
        """The definition that a task run follows."""
        return self.plan.tasks[task_run.task_key]


class Verdict:
    """What `judge` can say of a task whose needs are all settled."""

    RUN, EXCLUDE, UPSTREAM_FAILED, UPSTREAM_CANCELLED = "run", "exclude", "upstream_failed", "upstream_cancelled"


def judge(snapshot: Snapshot, task: Task) -> str:
    """Whether a task runs, by its `run_if` and its needs' ends (all of them settled).

    An excluded or disabled need counts as a success, except that a task whose needs are all excluded is
    excluded itself. A condition's other outcome excludes the edge.
    """
    if not task.needs:
        return Verdict.RUN
    total, succeeded, failed, cancelled = len(task.needs), 0, 0, 0
    for need in task.needs:
        slot = snapshot.slots[need.task]
        if slot.state is State.SUCCEEDED:
            succeeded += need.outcome is None or slot.values.get("outcome") == need.outcome
        elif slot.reason == Reason.DISABLED:
            succeeded += 1
        elif slot.state is State.CANCELLED or slot.reason == Reason.UPSTREAM_CANCELLED:
            cancelled += 1
        elif slot.state is not State.SKIPPED:
            failed += 1
    if succeeded + failed + cancelled == 0:
        return Verdict.EXCLUDE
    return _apply_run_if(task.run_if, total, failed, cancelled)


def _apply_run_if(rule: RunIf, total: int, failed: int, cancelled: int) -> str:
    bad = failed + cancelled
    upstream = Verdict.UPSTREAM_FAILED if failed else Verdict.UPSTREAM_CANCELLED
    match rule:
        case RunIf.ALL_SUCCESS:
            return upstream if bad else Verdict.RUN
        case RunIf.AT_LEAST_ONE_SUCCESS:
            return Verdict.RUN if bad < total else upstream
        case RunIf.NONE_FAILED:
            return upstream if bad else Verdict.RUN
        case RunIf.ALL_DONE:
            return Verdict.RUN
        case RunIf.AT_LEAST_ONE_FAILED:
            return Verdict.RUN if bad else Verdict.EXCLUDE
        case RunIf.ALL_FAILED:
            return Verdict.RUN if bad == total else Verdict.EXCLUDE


def merge_parameters(spec: JobSpec, given: dict[str, Any]) -> dict[str, Any]:
    """The job's defaults with the run's values over them; unknown and missing names are refused."""
    if not given.keys() <= spec.parameters.keys():
        unknown = sorted(given.keys() - spec.parameters.keys())
        known = ", ".join(sorted(spec.parameters)) or "none"
        raise invalid(f"The job has no parameter {unknown[0]!r}; it has: {known}.", field=f"parameters.{unknown[0]}")
    merged = {**spec.parameters, **given}
    if None not in merged.values():
        return merged
    missing = sorted(name for name, value in merged.items() if value is None and name not in given)
    if missing:
        raise RunyardError(
            Code.INVALID, f"The parameter {missing[0]!r} has no default and was not given.", field="parameters"
        )
    return merged
