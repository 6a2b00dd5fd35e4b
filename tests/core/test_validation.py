"""What a definition is refused for: the field that is named, and what the message says was found."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from runyard.core.actions import Checkout, Dbt, ForEach, Load, Notebook, Python, RunJob, Shell, Sql, Wheel
from runyard.core.errors import Code, RunyardError
from runyard.core.graph import MAX_NAME, MAX_TASKS, merge_parameters, validate
from runyard.core.model import JobSpec, Limits, Retries, Task

from .driver import condition, for_each, spec, task


def refusal(definition: JobSpec) -> RunyardError:
    with pytest.raises(RunyardError) as caught:
        validate(definition)
    assert caught.value.code is Code.INVALID
    return caught.value


def assert_refused(definition: JobSpec, field: str, *said: str) -> None:
    error = refusal(definition)
    assert error.field == field
    for words in said:
        assert words in error.message


def one(**fields: object) -> JobSpec:
    return spec(msgspec.structs.replace(task("a"), **fields))


def test_a_valid_definition_compiles_to_its_graph() -> None:
    plan = validate(spec(task("a"), task("b", "a"), task("c", "a")))
    assert plan.leaves == ["b", "c"]
    assert plan.dependents == {"a": ["b", "c"], "b": [], "c": []}


@pytest.mark.parametrize("name", ["", "   ", "x" * (MAX_NAME + 1)])
def test_a_job_without_a_usable_name_is_refused(name: str) -> None:
    assert_refused(JobSpec(name=name, tasks=[task("a")]), "name", str(MAX_NAME))


def test_a_job_without_tasks_is_refused() -> None:
    assert_refused(spec(), "tasks", "at least one task")


def test_a_job_with_too_many_tasks_is_refused() -> None:
    assert_refused(spec(*[task("a")] * (MAX_TASKS + 1)), "tasks", str(MAX_TASKS), str(MAX_TASKS + 1))


def test_a_negative_limit_of_concurrent_runs_is_refused() -> None:
    assert_refused(spec(task("a"), max_concurrent_runs=-1), "max_concurrent_runs", "-1")


@pytest.mark.parametrize("seconds", [0, -1.5, math.inf, math.nan])
def test_a_run_timeout_that_is_no_positive_time_is_refused(seconds: float) -> None:
    assert_refused(spec(task("a"), timeout=seconds), "timeout", str(seconds))


@pytest.mark.parametrize("seconds", [0, -1.5, math.inf, math.nan])
def test_a_task_timeout_that_is_no_positive_time_is_refused(seconds: float) -> None:
    assert_refused(one(timeout=seconds), "tasks[0].timeout", str(seconds))


def test_a_queue_name_of_other_characters_is_refused() -> None:
    assert_refused(spec(task("a"), queue="no spaces"), "queue", "'no spaces'")
    assert_refused(one(queue=""), "tasks[0].queue", "''")


def test_a_priority_out_of_range_is_refused() -> None:
    assert_refused(spec(task("a"), priority=1_000_001), "priority", "1000001")
    assert_refused(one(priority=-1_000_001), "tasks[0].priority", "-1000001")


@pytest.mark.parametrize("key", ["", "a b", "-a", "a\n", "é", "x" * 101])
def test_a_task_key_of_other_characters_is_refused(key: str) -> None:
    assert_refused(spec(task("ok"), task(key)), "tasks[1].key", repr(key))


def test_a_task_key_that_stands_twice_is_refused() -> None:
    assert_refused(spec(task("a"), task("b"), task("a")), "tasks[2].key", "'a'")


def test_a_need_that_does_not_exist_is_refused() -> None:
    assert_refused(spec(task("a"), task("b", "a", "nobody")), "tasks[1].needs[1]", "'b'", "'nobody'")


def test_a_task_that_needs_itself_is_refused() -> None:
    assert_refused(spec(task("a", "a")), "tasks[0].needs[0]", "'a' needs itself")


def test_a_need_that_stands_twice_is_refused() -> None:
    assert_refused(spec(task("a"), task("b", "a", "a")), "tasks[1].needs[1]", "'b' needs 'a' twice")


def test_an_outcome_of_a_task_that_is_no_condition_is_refused() -> None:
    assert_refused(spec(task("a"), task("b", "a:true")), "tasks[1].needs[0]", "'a' is no condition")


def test_a_circle_is_refused_and_names_its_tasks() -> None:
    assert_refused(spec(task("a"), task("b", "a", "d"), task("c", "b"), task("d", "c")), "tasks", "circle: b, c, d")


def test_fewer_than_minus_one_retries_are_refused() -> None:
    assert_refused(one(retries=Retries(max=-2)), "tasks[0].retries.max", "-2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delay", -1.0),
        ("backoff", 0.5),
        ("max_delay", -2.0),
        ("delay", math.nan),
        ("delay", math.inf),
        ("backoff", math.inf),
        ("max_delay", math.inf),
    ],
)
def test_a_retry_delay_that_cannot_be_waited_for_is_refused(name: str, value: float) -> None:
    policy = msgspec.structs.replace(Retries(max=1), **{name: value})
    assert_refused(one(retries=policy), f"tasks[0].retries.{name}", str(value))


@pytest.mark.parametrize("name", ["memory_bytes", "cpu_seconds", "log_bytes"])
def test_a_limit_that_is_not_positive_is_refused(name: str) -> None:
    assert_refused(one(limits=Limits(**{name: 0})), f"tasks[0].limits.{name}", "0")


def test_an_empty_sql_statement_is_refused() -> None:
    assert_refused(one(action=Sql(statement=" ")), "tasks[0].action.statement", "statement")


@pytest.mark.parametrize("action", [Load(source=" ", table="t"), Load(source="s", table="")])
def test_a_load_without_source_or_table_is_refused(action: Load) -> None:
    assert_refused(one(action=action), "tasks[0].action", "source and a table")


@pytest.mark.parametrize("command", ["", []])
def test_an_empty_shell_command_is_refused(command: str | list[str]) -> None:
    assert_refused(one(action=Shell(command=command)), "tasks[0].action.command", "command")


@pytest.mark.parametrize("action", [Python(), Python(source="1", file="x.py"), Python(file="x.py", module="x")])
def test_a_python_task_without_exactly_one_program_is_refused(action: Python) -> None:
    assert_refused(one(action=action), "tasks[0].action", "exactly one of source, file and module")


def test_a_run_job_task_without_a_job_is_refused() -> None:
    assert_refused(one(action=RunJob(job=0)), "tasks[0].action.job", "id of a job")


@pytest.mark.parametrize("concurrency", [0, 1001])
def test_a_for_each_concurrency_out_of_range_is_refused(concurrency: int) -> None:
    definition = spec(for_each("a", inputs=[1], concurrency=concurrency))
    assert_refused(definition, "tasks[0].action.concurrency", "1 to 1000", str(concurrency))


def test_the_action_inside_a_for_each_is_checked_too() -> None:
    action = ForEach(inputs=[1], action=Shell(command=""))
    assert_refused(one(action=action), "tasks[0].action.action.command", "command")


@pytest.mark.parametrize("document", ['{"key":"a","action":{"kind":"shell","command":"x"},"retry":1}'])
def test_an_unknown_field_is_refused_by_name(document: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `retry`"):
        msgspec.json.decode(document, type=Task)


# --- references -------------------------------------------------------------------------------------------


def referring(text: str, *others: Task, needs: tuple[str, ...] = (), **fields: object) -> JobSpec:
    return spec(*others, task("x", *needs, action=Shell(command=text)), **fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ parameters.day }}", "no parameter 'day'"),
        ("{{ parameters }}", "which of parameters"),
        ("{{ run.naem }}", "not 'naem'"),
        ("{{ job.owner }}", "not 'owner'"),
        ("{{ task.color }}", "not 'color'"),
        ("{{ input }}", "for_each"),
        ("{{ tasks.nobody.values.n }}", "no task 'nobody'"),
        ("{{ tasks.x.values.n }}", "does not come before"),
        ("{{ tasks.a.values.n }}", "does not come before"),
        ("{{ tasks }}", "which of tasks"),
    ],
)
def test_a_reference_that_can_never_be_resolved_is_refused(text: str, said: str) -> None:
    assert_refused(referring(text, task("a")), "tasks[1].action", said, text)


@pytest.mark.parametrize("path", ["tasks.a", "tasks.a.values", "tasks.a.color"])
def test_a_reference_to_something_that_tasks_do_not_offer_is_refused(path: str) -> None:
    definition = referring(f"{{{{ {path} }}}}", task("a"), needs=("a",))
    assert_refused(definition, "tasks[1].action", "values.NAME, state, result")


def test_a_reference_to_any_task_before_is_accepted() -> None:
    text = "{{ tasks.a.values.n }} {{ tasks.b.state }} {{ tasks.c.outcome }}"
    validate(referring(text, task("a"), task("b", "a"), condition("c", "b"), needs=("c",)))


def test_references_are_found_wherever_a_text_can_stand() -> None:
    action = Python(source="x", environment={"DAY": "{{ parameters.nope }}"})
    assert_refused(one(action=action), "tasks[0].action", "'nope'")
    assert_refused(spec(for_each("a", inputs="{{ parameters.list }}")), "tasks[0].action", "'list'")
    assert_refused(spec(condition("a", left="{{ parameters.n }}")), "tasks[0].action", "'n'")


def test_a_definition_of_the_largest_size_is_checked_in_a_moment() -> None:
    """Every server validates on the thread that serves everybody: the work must not grow with the square."""
    first = task("t0")
    refer = Shell(command="{{ tasks.t0.state }}")
    chain = [task(f"t{i}", f"t{i - 1}", action=refer) for i in range(1, MAX_TASKS)]
    looked_at = CountingList([first, *chain])
    validate(JobSpec(name="big", tasks=looked_at))
    assert looked_at.walks < 10


class CountingList(list[Task]):
    """Counts how often all tasks are walked through."""

    walks = 0

    def __iter__(self):  # type: ignore[no-untyped-def]  # the list's own signature
        self.walks += 1
        return super().__iter__()


# --- parameters -------------------------------------------------------------------------------------------


def test_a_parameter_that_the_job_does_not_have_is_refused_and_names_those_it_has() -> None:
    with pytest.raises(RunyardError, match=r"no parameter 'z'; it has: a, b") as caught:
        merge_parameters(spec(task("a"), parameters={"b": 1, "a": 2}), {"z": 1})
    assert caught.value.field == "parameters.z"


def test_a_parameter_without_a_default_must_be_given() -> None:
    definition = spec(task("a"), parameters={"day": None, "n": 1})
    with pytest.raises(RunyardError, match="'day'") as caught:
        merge_parameters(definition, {})
    assert (caught.value.code, caught.value.field) == (Code.INVALID, "parameters")
    assert merge_parameters(definition, {"day": "x"}) == {"day": "x", "n": 1}


def test_null_may_be_given_for_a_parameter() -> None:
    assert merge_parameters(spec(task("a"), parameters={"day": None}), {"day": None}) == {"day": None}


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (Notebook(), ""),
        (Notebook(path="a", source="b"), ""),
        (Python(source="1", requirements=["-r x"]), ".requirements[0]"),
        (Python(source="1", requirements=[" "]), ".requirements[0]"),
        (Python(source="1", requirements=["a"], interpreter="/usr/bin/python3"), ".requirements"),
        (Wheel(package="-p", entry_point="e"), ".package"),
        (Wheel(package="p", entry_point="e e"), ".entry_point"),
        (Wheel(package="p", entry_point="e", wheels=["--help"]), ".wheels[0]"),
        (Wheel(package="p", entry_point="e", requirements=["a"], index=False), ".requirements"),
        (Dbt(project="/p", commands=[]), ".commands"),
        (Dbt(project="/p", commands=["rm -rf x"]), ".commands[0]"),
        (Dbt(project="p", commands=["dbt run"]), ".project"),
        (Dbt(project="/p", commands=["dbt run"], schema="a b"), ".schema"),
        (Shell(command="x", checkout=Checkout(url="--upload-pack=x")), ".checkout.url"),
        (Shell(command="x", checkout=Checkout(url="/r", branch="--help")), ".checkout.branch"),
        (Shell(command="x", checkout=Checkout(url="/r", branch="a..b")), ".checkout.branch"),
        (Shell(command="x", checkout=Checkout(url="/r", tag="a b")), ".checkout.tag"),
        (Shell(command="x", checkout=Checkout(url="/r", tag="x~1")), ".checkout.tag"),
        (Shell(command="x", checkout=Checkout(url="/r", commit="HEAD")), ".checkout.commit"),
        (Shell(command="x", checkout=Checkout(url="/r", commit="abcdef1", tag="v")), ".checkout"),
    ],
)
def test_what_work_finds_around_it_is_checked(action: Any, field: str) -> None:
    with pytest.raises(RunyardError) as refused:
        validate(JobSpec(name="j", tasks=[Task(key="t", action=action)]))
    assert refused.value.field == f"tasks[0].action{field}"
