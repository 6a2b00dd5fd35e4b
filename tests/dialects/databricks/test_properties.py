"""Any graph that the API accepts comes to an end, and its result follows the rule of the leaves."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Rest, broken, condition, results, tasks_of

RUN_IF = ["ALL_SUCCESS", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED", "ALL_FAILED"]
BAD = {"FAILED", "UPSTREAM_FAILED", "UPSTREAM_CANCELED", "CANCELED", "TIMEDOUT"}
GOOD = {"SUCCESS", "EXCLUDED", "DISABLED"}


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conditions that hold, do not hold, or fail; for-each tasks over a job; in any order that makes no circle."""
    tasks: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 9))):
        key = f"t{number}"
        kind = draw(st.sampled_from(["true", "true", "false", "fails", "loop"]))
        before = (
            draw(st.lists(st.sampled_from(tasks), max_size=3, unique_by=lambda one: one["task_key"])) if tasks else []
        )
        edges = [_edge(one, draw(st.sampled_from([None, "true", "false"]))) for one in before]
        more: dict[str, Any] = {
            "depends_on": edges,
            "run_if": draw(st.sampled_from(RUN_IF)),
            "disabled": draw(st.integers(0, 7)) == 0,
        }
        if kind == "fails":
            tasks.append(broken(key, **more))
        elif kind == "loop":
            nested = {"task_key": "one", "run_job_task": {"job_id": 0}}
            inputs = json.dumps(list(range(draw(st.integers(0, 3)))))
            tasks.append(
                {"task_key": key, "for_each_task": {"inputs": inputs, "task": nested, "concurrency": 2}, **more}
            )
        else:
            tasks.append(condition(key, "1", "1" if kind == "true" else "2", **more))
    return tasks


def _edge(one: dict[str, Any], outcome: str | None) -> dict[str, str]:
    edge = {"task_key": one["task_key"]}
    return {**edge, "outcome": outcome} if outcome and "condition_task" in one else edge


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=graphs())
def test_any_graph_ends_and_its_result_follows_the_leaves(rest: Rest, tasks: list[dict[str, Any]]) -> None:
    child = rest.create(condition("c"), max_concurrent_runs=1000)
    text = json.dumps(tasks).replace('"job_id": 0', f'"job_id": {child}')
    run = rest.ended(rest.create(*json.loads(text)))
    found = results(run)
    assert set(found) == {one["task_key"] for one in tasks}
    assert set(found.values()) <= BAD | GOOD
    needed = {edge["task_key"] for one in tasks for edge in one["depends_on"]}
    leaves = {key: result for key, result in found.items() if key not in needed}
    wanted = "SUCCESS"
    if set(leaves.values()) & BAD:
        wanted = "FAILED"
    elif set(found.values()) & BAD:
        wanted = "SUCCESS_WITH_FAILURES"
    assert run["state"]["result_state"] == wanted, (found, run["state"])
    for one in tasks:
        _check_order(one, tasks_of(run))


def _check_order(task: dict[str, Any], entries: dict[str, dict[str, Any]]) -> None:
    mine = entries[task["task_key"]]
    assert mine["end_time"] >= mine["start_time"] > 0
    if mine["state"]["result_state"] in ("SUCCESS", "FAILED"):
        assert all(mine["start_time"] >= entries[edge["task_key"]]["end_time"] for edge in task["depends_on"])


def test_the_clock_of_a_run_is_the_servers(rest: Rest) -> None:
    before = time.time_ns() // 1_000_000
    run = rest.ended(rest.create(condition("c")))
    assert before - 5 <= run["start_time"] <= run["end_time"] <= time.time_ns() // 1_000_000 + 5
