"""Pure: Glue's job settings and arguments as our definition of a job, and as what one run of it follows."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import Python
from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import JobSpec, OnLimit, Retries, Task
from runyard.dialects.glue import tables

SCRIPT_MODULE = "runyard.runtime.glue_script"
TASK = "script"
Json = dict[str, Any]


def definition(name: str, job: Json) -> JobSpec:
    """The job as we run it: one task, whose program sets up the script's world and runs the script."""
    timeout = int(job.get("Timeout") or default_timeout(job))
    task = Task(
        key=TASK,
        action=Python(module=SCRIPT_MODULE),
        retries=Retries(max=job.get("MaxRetries", 0), delay=tables.RETRY_SECONDS),
        timeout=timeout * 60.0,
    )
    return JobSpec(
        name=name,
        tasks=[task],
        parameters={
            "command": job["Command"],
            # A run's arguments lie between the job's defaults and what nobody may override; see `arguments`.
            "defaults": job.get("DefaultArguments", {}),
            "arguments": {},
            "fixed": job.get("NonOverridableArguments", {}),
            "settings": {name: job[name] for name in tables.JOB_SETTINGS if name in job},
            "overrides": {},
            "window": {},
        },
        description=job.get("Description", ""),
        max_concurrent_runs=max_concurrent_runs(job),
        on_limit=OnLimit.QUEUE if job.get("JobRunQueuingEnabled") else OnLimit.REFUSE,
    )


def is_script(action: object) -> bool:
    """Whether this is the work of a job of Glue's."""
    return isinstance(action, Python) and action.module == SCRIPT_MODULE


def checked(job: Json) -> Json:
    """A job's settings, or a refusal of what can never run."""
    command = job.get("Command") or {}
    known = (*tables.SPARK, tables.PYTHON_SHELL)
    if not job.get("Role"):
        raise invalid("Role cannot be null or empty.", field="Role")
    if command.get("Name", "glueetl") not in known:
        raise invalid(f"Command name {command.get('Name')!r} is unknown; it is one of {', '.join(known)}.")
    if not command.get("ScriptLocation"):
        raise invalid("Command.ScriptLocation cannot be null or empty: say where the script is.")
    if command.get("PythonVersion") == "2":
        raise invalid("PythonVersion 2 is not offered any more: use 3.")
    retries = job.get("MaxRetries", 0)
    if not 0 <= retries <= tables.MAX_RETRIES:
        raise invalid(f"MaxRetries must be between 0 and {tables.MAX_RETRIES}; it is {retries}.")
    if max_concurrent_runs(job) < 1:
        raise invalid("MaxConcurrentRuns must be 1 or more.")
    check_capacity(job, job)
    return {**job, "Command": {"Name": "glueetl", **command}}


def max_concurrent_runs(job: Json) -> int:
    """How many runs of the job may be under way at once; 1 unless it says otherwise."""
    return int(job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1))


def default_timeout(job: Json) -> int:
    """Minutes: 2,880, or 480 from Glue 5.0 on."""
    major = str(job.get("GlueVersion", "")).partition(".")[0]
    newer = major.isdigit() and int(major) >= 5
    return tables.DEFAULT_TIMEOUT_5 if newer else tables.DEFAULT_TIMEOUT


def check_capacity(job: Json, given: Json) -> None:
    """Raises `invalid` for capacities and times that Glue does not offer; `given` is the job's or the run's."""
    shell = job["Command"].get("Name") == tables.PYTHON_SHELL
    allocated, most = given.get("AllocatedCapacity"), given.get("MaxCapacity")
    if allocated and not shell and not tables.MIN_CAPACITY <= allocated <= tables.MAX_CAPACITY:
        raise invalid(f"Allocated capacity must be between {_capacities()}; it is {allocated}.")
    if most is not None and shell and most not in tables.SHELL_CAPACITIES:
        raise invalid(f"MaxCapacity of a Python shell job is 0.0625 or 1; it is {most}.")
    if most is not None and not shell and not tables.MIN_CAPACITY <= most <= tables.MAX_CAPACITY:
        raise invalid(f"MaxCapacity must be between {_capacities()}; it is {most}.")
    if most is not None and not shell and most != int(most):
        raise invalid(f"MaxCapacity of a Spark job is a whole number of DPU; it is {most}.")
    if given.get("ExecutionClass") == "FLEX" and not _flexible(job):
        raise invalid("ExecutionClass FLEX is for jobs of command glueetl with GlueVersion 3.0 or later.")
    worker, number = given.get("WorkerType"), given.get("NumberOfWorkers")
    if number is not None and number < 1:
        raise invalid(f"Number of Workers must be 1 or more; it is {number}.")
    limit = tables.MAX_WORKERS.get(worker or "")
    if limit is not None and number is not None and number > limit:
        raise invalid(f"To use Worker Type {worker}, maximum allowed value of Number of Workers is {limit}.")
    if given.get("Timeout", 1) > tables.MAX_TIMEOUT:
        raise invalid(f"Timeout must be at most {tables.MAX_TIMEOUT} minutes; it is {given['Timeout']}.")


def _flexible(job: Json) -> bool:
    major = str(job.get("GlueVersion", "")).partition(".")[0]
    return job["Command"].get("Name", "glueetl") == "glueetl" and not (major.isdigit() and int(major) < 3)


def _capacities() -> str:
    return f"{tables.MIN_CAPACITY} and {tables.MAX_CAPACITY} DPU"


def settings(parameters: Json) -> Json:
    """What a run shows beside its arguments: its own settings over its job's, and the capacity; by its parameters."""
    job, own = parameters.get("settings", {}), parameters.get("overrides", {})
    found = dict(job)
    if own.keys() & {"MaxCapacity", "AllocatedCapacity", "WorkerType"}:
        for name in ("AllocatedCapacity", "MaxCapacity", "WorkerType", "NumberOfWorkers"):
            found.pop(name, None)
    found |= own
    if "Timeout" not in found:
        found["Timeout"] = default_timeout(job)
    return found | capacity(parameters.get("command", {}).get("Name"), found)


def arguments(parameters: Json) -> dict[str, str]:
    """Arguments by precedence: the job's defaults, the run's, what the job allows nobody to override."""
    return {**parameters.get("defaults", {}), **parameters.get("arguments", {}), **parameters.get("fixed", {})}


def capacity(command: str | None, found: Json) -> Json:
    """AllocatedCapacity and MaxCapacity by what was said of either, or of workers; in DPU."""
    if command == tables.PYTHON_SHELL:
        most = found.get("MaxCapacity", tables.SHELL_CAPACITIES[0])
        return {"MaxCapacity": float(most), "AllocatedCapacity": int(most)}
    most = found.get("MaxCapacity")
    if most is None and found.get("WorkerType") and found.get("NumberOfWorkers"):
        most = tables.WORKER_DPU[found["WorkerType"]] * found["NumberOfWorkers"]
    if most is None:
        most = found.get("AllocatedCapacity") or tables.DEFAULT_CAPACITY
    return {"MaxCapacity": float(most), "AllocatedCapacity": found.get("AllocatedCapacity") or int(most)}


def run_parameters(job: Json, given: Json) -> Json:
    """The parameters of one run, by what StartJobRun or a trigger's action gives."""
    own = given.get("Arguments", {})
    whole = arguments({"defaults": job.get("DefaultArguments", {}), "arguments": own})
    size = sum(len(key.encode()) + len(value.encode()) for key, value in whole.items())
    if size > tables.MAX_ARGUMENT_BYTES:
        said = f"the arguments have {size} bytes; {tables.MAX_ARGUMENT_BYTES} are allowed."
        raise RunyardError(Code.TOO_LARGE, said)
    return {"arguments": own, "overrides": {name: given[name] for name in tables.RUN_SETTINGS if name in given}}


def amended(spec: JobSpec, given: Json) -> JobSpec | None:
    """The definition of a run that has a timeout of its own; None when the job's will do."""
    minutes = given.get("Timeout")
    if minutes is None or minutes * 60.0 == spec.tasks[0].timeout:
        return None
    task = msgspec.structs.replace(spec.tasks[0], timeout=minutes * 60.0)
    return msgspec.structs.replace(spec, tasks=[task])
