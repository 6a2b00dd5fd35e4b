"""Small random jobs."""

from __future__ import annotations

import random
from typing import Any

from runyard.core.actions import Action, Condition, ForEach, RunJob, Shell, Sql
from runyard.core.model import Dependency, JobSpec, OnLimit, Retries, RunIf, Task

RETRIES = (
    Retries(),
    Retries(),
    Retries(max=1),
    Retries(max=2, delay=2.0),
    Retries(max=1, delay=0.5, on_timeout=True),
)
QUEUES = ("default", "default", "narrow", "other")
RULES = (RunIf.ALL_SUCCESS, RunIf.ALL_SUCCESS, RunIf.ALL_DONE, RunIf.AT_LEAST_ONE_FAILED, RunIf.AT_LEAST_ONE_SUCCESS)
SHELL, SQL = Shell(command="work"), Sql(statement="SELECT 1")


def job(rng: random.Random, children: list[int], name: str = "job", **fields: Any) -> JobSpec:
    """A graph of one to four tasks; `children` are the jobs that it may run."""
    tasks: list[Task] = []
    for index in range(rng.choice((1, 1, 2, 3, 4))):
        tasks.append(_task(rng, "abcd"[index], tasks, children))
    timeout = rng.choice((None, None, None, 4.0))
    return JobSpec(name=name, tasks=tasks, queue=rng.choice(QUEUES), timeout=timeout, **fields)


def _task(rng: random.Random, key: str, earlier: list[Task], children: list[int]) -> Task:
    needs = [
        Dependency(task=one.key, outcome=rng.choice(("true", None)) if isinstance(one.action, Condition) else None)
        for one in earlier
        if rng.random() < 0.5
    ]
    return Task(
        key=key,
        action=_action(rng, children),
        needs=needs,
        run_if=rng.choice(RULES),
        retries=rng.choice(RETRIES),
        timeout=rng.choice((None, None, 3.0)),
    )


def _action(rng: random.Random, children: list[int]) -> Action:
    roll = rng.random()
    if roll < 0.55:
        return SHELL
    if roll < 0.7:
        return SQL
    if roll < 0.78:
        return Condition(op="==", left=1, right=rng.randint(0, 1))
    if roll < 0.92 or not children:
        return ForEach(inputs=list(range(rng.randint(0, 3))), concurrency=rng.randint(1, 2), action=SHELL)
    return RunJob(job=rng.choice(children))


def limits(rng: random.Random) -> dict[str, Any]:
    """A limit of concurrent runs, or none."""
    limit = rng.choice((None, 1, 1, 2))
    if limit is None:
        return {}
    return {"max_concurrent_runs": limit, "on_limit": rng.choice((OnLimit.QUEUE, OnLimit.QUEUE, *OnLimit))}
