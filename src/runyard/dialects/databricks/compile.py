"""From job settings to the core's definition. Pure.

`job` takes settings as `parse` gives them and answers a `JobSpec`; `checked` refuses what the service refuses.
The settings themselves go along in `JobSpec.extras`, so that every version and run can show them as they came.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import Condition
from runyard.core.errors import invalid
from runyard.core.model import JobSpec, OnLimit, Task
from runyard.dialects.databricks import compile_notices, compile_tasks, compile_triggers, parse
from runyard.dialects.databricks.parts import Parts, Surroundings
from runyard.dialects.databricks.schema import TYPES
from runyard.dialects.databricks.tables import LIMITS, NAME

SINGLE_KEY = "main"
"""The task key of settings in the single-task form, which have none (our choice)."""
NO_TASKS = "no_tasks"
_PROVIDERS = (
    "github,gitlab,bitbucketcloud,gitlabenterpriseedition,bitbucketserver,azuredevopsservices,githubenterprise,"
    "awscodecommit"
)
_OF_TASKS = frozenset(TYPES["Task"]) - frozenset(TYPES["JobSettings"]) - {"task_key", "depends_on", "description"}


# --- settings ---------------------------------------------------------------------------------------------


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    """Known settings; the single-task form becomes one task, and says so in `format`."""
    _no_shared_libraries(given)
    settings, single = parse.structure("JobSettings", given), single_fields(given)
    if single and "tasks" not in settings:
        for name in ("email_notifications", "timeout_seconds"):  # these belong to the job in that form
            single.pop(name, None)
        settings["tasks"] = [{"task_key": SINGLE_KEY, **single}]
        settings["format"] = "SINGLE_TASK"
    else:
        settings["format"] = "MULTI_TASK"
    return settings


def single_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a task that stand among settings, as the single-task form has them."""
    return parse.structure("Task", {key: value for key, value in given.items() if key in _OF_TASKS})


def _no_shared_libraries(given: dict[str, Any]) -> None:
    clusters = given.get("job_clusters")
    for cluster in clusters if isinstance(clusters, list) else []:
        if isinstance(cluster, dict) and cluster.get("libraries"):
            raise invalid("Libraries cannot be declared in a shared job cluster; declare them in task settings.")


def merged(
    settings: dict[str, Any], new: dict[str, Any], remove: list[str], single: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An update: fields are replaced whole, arrays with keys entry by entry, then the named ones are removed.

    `single` are fields of the one task of a job in the single-task form.
    """
    result = dict(settings)
    if single and settings.get("format") == "SINGLE_TASK":
        result["tasks"] = [{**one, **single} for one in settings["tasks"]]
    for name, value in new.items():
        key = _KEYS.get(name)
        result[name] = _merged_list(result.get(name, []), value, key) if key else value
    for word in remove:
        _remove(result, word)
    return result


_KEYS = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
    "parameters": "name",
}


def _merged_list(old: list[dict[str, Any]], new: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    entries = {one.get(key): one for one in old}
    entries.update({one.get(key): one for one in new})
    return list(entries.values())


def _remove(settings: dict[str, Any], word: str) -> None:
    name, _, key = word.partition("/")
    if settings.get("format") == "SINGLE_TASK" and name in _OF_TASKS:
        settings["tasks"] = [{k: v for k, v in one.items() if k != name} for one in settings["tasks"]]
        return
    if name not in TYPES["JobSettings"]:
        raise invalid(f"Cannot remove the unknown field {word!r}.")
    if key and name in _KEYS:
        settings[name] = [one for one in settings.get(name, []) if one.get(_KEYS[name]) != key]
    else:
        settings.pop(name, None)


# --- checks -----------------------------------------------------------------------------------------------


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, unless the service would refuse them for another reason than a task's own."""
    _check_texts(settings)
    _check_counts(settings)
    _check_git(settings.get("git_source"))
    compile_triggers.check(settings)
    if settings.get("job_clusters") and not settings.get("tasks"):
        raise invalid("Shared job cluster feature is only supported in multi-task jobs.")
    _unique(settings.get("parameters", []), "name", "parameter")
    _unique(settings.get("job_clusters", []), "job_cluster_key", "job cluster")
    _unique(settings.get("environments", []), "environment_key", "environment")
    return settings


def _check_texts(settings: dict[str, Any]) -> None:
    if len(settings.get("name", "").encode()) > LIMITS["name_bytes"]:
        raise invalid(f"The name of a job may have {LIMITS['name_bytes']} bytes in UTF-8.")
    if len(settings.get("description", "")) > LIMITS["description"]:
        raise invalid(f"The description of a job may have {LIMITS['description']} characters.")


def _check_counts(settings: dict[str, Any]) -> None:
    for name, limit in (("tasks", "tasks"), ("tags", "tags"), ("environment_variables", "environment_variables")):
        if len(settings.get(name, ())) > LIMITS[limit]:
            raise invalid(f"A job may have {LIMITS[limit]} {name}; this one has {len(settings[name])}.")
    for name in ("timeout_seconds", "max_concurrent_runs"):
        if settings.get(name, 0) < 0:
            raise invalid(f"{name} must be 0 or more; it is {settings[name]}.")
    if settings.get("max_concurrent_runs", 1) > LIMITS["concurrent_runs"]:
        raise invalid(f"max_concurrent_runs cannot exceed {LIMITS['concurrent_runs']}.")


def _check_git(source: dict[str, Any] | None) -> None:
    if source is None:
        return
    if "git_provider" not in source:
        raise invalid(f"git_source.git_provider must be one of: {_PROVIDERS}")
    refs = [name for name in ("git_branch", "git_tag", "git_commit") if source.get(name)]
    if not source.get("git_url") or len(refs) > 1:
        raise invalid("git_source needs a git_url and at most one of git_branch, git_tag and git_commit.")
    for name in ("git_url", *refs):
        if source[name].startswith("-") or any(char.isspace() for char in source[name]):
            raise invalid(f"git_source.{name} {source[name]!r} is no name of that kind.")


def _unique(entries: list[dict[str, Any]], key: str, what: str) -> None:
    seen: set[str] = set()
    for one in entries:
        name = one.get(key)
        if not name:
            raise invalid(f"Each {what} needs a {key}.")
        if name in seen:
            raise invalid(f"Two of the {what} entries have the {key} {name!r}; each needs its own.")
        seen.add(name)


# --- to the core ------------------------------------------------------------------------------------------


def job(settings: dict[str, Any], around: Surroundings) -> JobSpec:
    """The definition that the core runs; raises invalid for what can never run."""
    checked(settings)
    _unique(settings.get("tasks", []), "task_key", "task")
    parts = Parts.of(settings, around)
    tasks = [compile_tasks.task(one, parts) for one in settings.get("tasks", [])]
    queued = parts.continuous or settings.get("queue", {}).get("enabled", False)
    return JobSpec(
        name=settings.get("name") or "Untitled",
        tasks=tasks or [Task(key=NO_TASKS, action=Condition(op="==", left="1", right="1"), disabled=True)],
        parameters={one["name"]: one.get("default", "") for one in settings.get("parameters", [])},
        description=settings.get("description", ""),
        timeout=settings.get("timeout_seconds") or None,
        max_concurrent_runs=1 if parts.continuous else settings.get("max_concurrent_runs", 1),
        on_limit=OnLimit.QUEUE if queued else OnLimit.SKIP,
        warn_after=compile_notices.warn_after(settings),
        notifications=compile_notices.of(settings, around),
        schedule=compile_triggers.schedule(settings),
        triggers=compile_triggers.triggers(settings, around),
        tags=settings.get("tags", {}),
        extras={NAME: {"settings": settings}},
    )


def settings_in(spec: JobSpec) -> dict[str, Any]:
    """The settings that a definition was made from; those of another face's job as far as they can be told."""
    kept = spec.extras.get(NAME)
    if isinstance(kept, dict):
        return dict(kept["settings"])
    tasks = [compile_tasks.foreign(task) for task in spec.tasks]
    return {"name": spec.name, "format": "MULTI_TASK", "tasks": tasks, "tags": spec.tags}


def is_empty(spec: JobSpec) -> bool:
    """Whether the job has no tasks yet: such a job can be kept, but not run."""
    return [task.key for task in spec.tasks] == [NO_TASKS]


# --- parameters of one run --------------------------------------------------------------------------------

_OLD_KINDS = {
    "notebook_params": ("notebook_task", "base_parameters"),
    "python_named_params": ("python_wheel_task", "named_parameters"),
    "sql_params": ("sql_task", "parameters"),
    "python_params": ("spark_python_task", "parameters"),
    "jar_params": ("spark_jar_task", "parameters"),
    "spark_submit_params": ("spark_submit_task", "parameters"),
    "dbt_commands": ("dbt_task", "commands"),
}
_WITHOUT_JOB_PARAMETERS = (
    "notebook_params", "python_params", "jar_params", "spark_submit_params", "python_named_params", "dbt_commands",
)  # fmt: skip


def overrides(given: dict[str, Any]) -> dict[str, Any]:
    """The older kinds of parameters that a request really gives; empty ones mean nothing."""
    found = {name: given[name] for name in (*_OLD_KINDS, "pipeline_params") if given.get(name)}
    for name, value in found.items():
        if len(msgspec.json.encode(value)) > LIMITS["parameter_bytes"]:
            raise invalid(f"The JSON of {name} may have {LIMITS['parameter_bytes']} bytes.")
    if given.get("job_parameters"):
        mixed = next((name for name in _WITHOUT_JOB_PARAMETERS if name in found), None)
        if mixed:
            raise invalid(f"job_parameters cannot be given together with {mixed}.")
    if "notebook_params" in found and "jar_params" in found:
        raise invalid("notebook_params cannot be given together with jar_params.")
    return found


def changed(settings: dict[str, Any], old: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    """The settings of one run: older parameters laid over its tasks', undefined job parameters added."""
    result = dict(settings)
    known = {one["name"] for one in settings.get("parameters", [])}
    more = [{"name": name, "default": value} for name, value in named.items() if name not in known]
    if more:
        result["parameters"] = [*settings.get("parameters", []), *more]
    if old:
        result["tasks"] = [_changed_task(one, old) for one in settings.get("tasks", [])]
    return result


def _changed_task(task: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    result = dict(task)
    for name, value in old.items():
        kind, field = _OLD_KINDS.get(name, ("", ""))
        if kind in task:
            before = task[kind].get(field)
            laid = {**(before or {}), **value} if isinstance(value, dict) else value
            result[kind] = {**task[kind], field: laid}
    if "python_params" in old and "python_wheel_task" in task:
        result["python_wheel_task"] = {**task["python_wheel_task"], "parameters": old["python_params"]}
    if "for_each_task" in task and "task" in task["for_each_task"]:
        result["for_each_task"] = {**task["for_each_task"], "task": _changed_task(task["for_each_task"]["task"], old)}
    return result


def repaired(old: JobSpec, newest: JobSpec) -> JobSpec:
    """What a repair follows: the run's own graph, with its tasks as the job's newest settings say them."""
    current = {task.key: task for task in newest.tasks}
    tasks = [_current(task, current.get(task.key)) for task in old.tasks]
    before, after = settings_in(old), settings_in(newest)
    shown = {one.get("task_key"): one for one in after.get("tasks", [])}
    given = [
        {**shown.get(one["task_key"], one), "depends_on": one.get("depends_on", [])} for one in before.get("tasks", [])
    ]
    parameters = {**newest.parameters, **{k: v for k, v in old.parameters.items() if k not in newest.parameters}}
    extras = {**old.extras, NAME: {"settings": {**after, "tasks": given}}}
    return msgspec.structs.replace(newest, tasks=tasks, extras=extras, parameters=parameters, name=old.name)


def _current(task: Task, newest: Task | None) -> Task:
    return task if newest is None else msgspec.structs.replace(newest, needs=task.needs)
