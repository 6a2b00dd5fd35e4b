"""From one task's settings to the core's task. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from runyard.core.actions import Condition, ForEach, Leaf, Notebook, RunJob, executor_of
from runyard.core.errors import RunyardError, invalid
from runyard.core.model import Dependency, Retries, RunIf, Task
from runyard.dialects.databricks import compile_notices, leaves, spark
from runyard.dialects.databricks.parts import Parts, Settings
from runyard.dialects.databricks.tables import LIMITS, OPERATORS, SPARK_TASKS, TASK_TYPES


def task_types(settings: Settings) -> list[str]:
    """The kinds of work that a task's settings name: one, if they are right."""
    return [name for name in TASK_TYPES if name in settings]


def task(settings: Settings, parts: Parts) -> Task:
    """The core's task; raises invalid with the task's key for what cannot run."""
    key = settings["task_key"]
    try:
        return _task(settings, parts)
    except RunyardError as error:
        if "task_key" in error.details:
            raise
        raise invalid(f"Task {key!r}: {error.message}", **{**error.details, "task_key": key}) from None


def _task(settings: Settings, parts: Parts) -> Task:
    kind = _only_kind(settings)
    _check_surroundings(settings, parts)
    recorded = parts.surroundings.record_only and not _runs(kind, parts)
    # An iteration's retries and time limit are those of the nested task: they are what is tried again and limited.
    own = settings["for_each_task"].get("task", {}) if kind == "for_each_task" else settings
    return Task(
        key=settings["task_key"],
        action=_RECORDED if recorded else _action(kind, settings, parts),
        needs=[_need(one) for one in settings.get("depends_on", [])],
        run_if=RunIf[settings.get("run_if", "ALL_SUCCESS")],
        retries=_retries(own if "max_retries" in own else settings, parts, kind),
        timeout=own.get("timeout_seconds") or None,
        warn_after=compile_notices.warn_after(settings),
        notifications=compile_notices.of(settings, parts.surroundings, task=True),
        disabled=settings.get("disabled", False) or recorded,
        description=settings.get("description", ""),
    )


def _runs(kind: str, parts: Parts) -> bool:
    if kind in SPARK_TASKS:
        return parts.surroundings.spark is not None
    return TASK_TYPES[kind].startswith("works")


_RECORDED = Condition(op="==", left="1", right="1")


def _only_kind(settings: Settings) -> str:
    kinds = task_types(settings)
    if len(kinds) != 1:
        found = f"this one has {', '.join(kinds)}" if kinds else "this one has none"
        raise invalid(f"A task has exactly one kind of work, such as notebook_task; {found}.")
    return kinds[0]


def _check_surroundings(settings: Settings, parts: Parts) -> None:
    cluster, environment = settings.get("job_cluster_key"), settings.get("environment_key")
    if cluster is not None and cluster not in parts.clusters:
        raise invalid(f"job_cluster_key {cluster!r} names no cluster of job_clusters.")
    if environment is not None and environment not in parts.environments:
        raise invalid(f"environment_key {environment!r} names no entry of environments.")
    for name in ("timeout_seconds", "min_retry_interval_millis"):
        if settings.get(name, 0) < 0:
            raise invalid(f"{name} must be 0 or more; it is {settings[name]}.")


def _need(one: Settings) -> Dependency:
    outcome: Literal["true", "false"] | None = None
    if one.get("outcome"):
        word = one["outcome"].lower()
        if word not in ("true", "false"):
            raise invalid(f"outcome must be true or false; it is {one['outcome']!r}.")
        outcome = "true" if word == "true" else "false"
    if not one.get("task_key"):
        raise invalid("Each entry of depends_on needs a task_key.")
    return Dependency(task=one["task_key"], outcome=outcome)


def _retries(settings: Settings, parts: Parts, kind: str) -> Retries:
    """The interval counts from the start of the failed attempt; a condition is not tried again."""
    most = settings.get("max_retries", 0)
    if kind == "condition_task" or parts.continuous or not most:
        return Retries()
    if most < -1:
        raise invalid(f"max_retries must be -1 (without limit), 0 or more; it is {most}.")
    return Retries(
        max=most,
        delay=settings.get("min_retry_interval_millis", 0) / 1000,
        max_delay=1e12,
        on_timeout=settings.get("retry_on_timeout", False),
        measure="start",
    )


# --- kinds of work ----------------------------------------------------------------------------------------


def _action(kind: str, settings: Settings, parts: Parts) -> Any:
    if kind == "condition_task":
        return _condition(settings[kind], parts)
    if kind == "for_each_task":
        return _for_each(settings[kind], parts)
    return _leaf(kind, settings, parts)


def _leaf(kind: str, settings: Settings, parts: Parts) -> Leaf:
    make: Make | None = _LEAVES.get(kind)
    if make is None:
        what = TASK_TYPES[kind].partition(": ")[2]
        raise invalid(f"{kind} cannot run here: {what}. The setting record_only accepts such tasks as a record only.")
    return make(settings, parts)


def _condition(given: Settings, parts: Parts) -> Condition:
    if not {"op", "left", "right"} <= set(given):
        raise invalid("condition_task needs op, left and right.")
    op: Any = OPERATORS[given["op"]]
    return Condition(op=op, left=parts.refs(given["left"]), right=parts.refs(given["right"]))


def _for_each(given: Settings, parts: Parts) -> ForEach:
    inner, inputs, most = given.get("task"), given.get("inputs"), given.get("concurrency", 1)
    if inner is None or inputs is None:
        raise invalid("for_each_task needs inputs and task.")
    if not 1 <= most <= LIMITS["for_each_concurrency"]:
        raise invalid(f"concurrency must be 1 to {LIMITS['for_each_concurrency']}; it is {most}.")
    kind = _only_kind(inner)
    _check_surroundings(inner, parts)
    if kind in ("for_each_task", "condition_task"):
        raise invalid(f"a for_each_task cannot hold a {kind}.")
    if "{{" not in inputs:
        _check_inputs(inputs)
    return ForEach(inputs=parts.refs(inputs), action=_leaf(kind, inner, parts), concurrency=most)


def _check_inputs(text: str) -> None:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = None
    if not isinstance(value, list):
        raise invalid(f"inputs must be a JSON array or a reference; found {text[:80]!r}.")


def _run_job(settings: Settings, parts: Parts) -> RunJob:
    given = settings["run_job_task"]
    if "job_id" not in given:
        raise invalid("run_job_task needs a job_id.")
    older = [name for name in given if name not in ("job_id", "job_parameters") and given[name]]
    if older:
        raise invalid(f"run_job_task takes job_parameters here, and not {older[0]}.")
    return RunJob(job=given["job_id"], parameters=parts.refs(given.get("job_parameters", {})))


Make = Callable[[Settings, Parts], Leaf]

_LEAVES: dict[str, Make] = {
    "run_job_task": _run_job,
    "notebook_task": leaves.notebook,
    "spark_python_task": leaves.spark_python,
    "python_wheel_task": leaves.wheel,
    "sql_task": leaves.sql,
    "dbt_task": leaves.dbt,
    "spark_jar_task": spark.jar,
    "spark_submit_task": spark.submit,
}


# --- tasks of other faces ---------------------------------------------------------------------------------


def foreign(one: Task) -> Settings:
    """A task that another face defined, as far as these settings can tell it."""
    shown: Settings = {"task_key": one.key, "run_if": one.run_if.name, "timeout_seconds": int(one.timeout or 0)}
    shown["depends_on"] = [
        {"task_key": need.task, **({"outcome": need.outcome} if need.outcome else {})} for need in one.needs
    ]
    if isinstance(one.action, Condition):
        words = {ours: theirs for theirs, ours in OPERATORS.items()}
        left, right = str(one.action.left), str(one.action.right)
        shown["condition_task"] = {"op": words[one.action.op], "left": left, "right": right}
    elif isinstance(one.action, RunJob):
        shown["run_job_task"] = {"job_id": one.action.job, "job_parameters": one.action.parameters}
    elif isinstance(one.action, Notebook):
        shown["notebook_task"] = {"notebook_path": one.action.path or "", "base_parameters": one.action.parameters}
    shown["description"] = one.description or f"A task of another face, run by {executor_of(one.action)}."
    return shown
