"""References: what they find, what they keep, what they leave alone, and how they fail."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.core import lifecycle
from runyard.core.actions import Python, RunJob, Shell, Sql
from runyard.core.attempts import Outcome
from runyard.core.errors import RunyardError
from runyard.core.model import RunIf
from runyard.core.references import Unresolved, as_text, find, path_of, resolve
from runyard.core.states import State

from .driver import Driver, condition, for_each, retries, task

VALUES = {"n": 5, "list": [1, "two"], "text": "hi", "none": None, "yes": True, "map": {"a.b": {"c": 1.5}}}


def lookup(path: list[str]) -> Any:
    if path[0] == "input":
        return VALUES
    return VALUES[path[1]]


@pytest.mark.parametrize("name", ["n", "list", "text", "none", "yes", "map"])
def test_a_text_that_is_one_reference_takes_the_value_with_its_type(name: str) -> None:
    assert resolve(f"  {{{{parameters.{name}}}}} ", lookup) == VALUES[name]
    assert type(resolve(f"{{{{ parameters.{name} }}}}", lookup)) is type(VALUES[name])


def test_inside_other_text_a_value_is_written_out() -> None:
    assert resolve("n={{ parameters.n }}, t={{ parameters.text }}!", lookup) == "n=5, t=hi!"
    assert resolve("x{{ parameters.list }}", lookup) == 'x[1,"two"]'
    assert resolve("{{ parameters.yes }}{{ parameters.none }}", lookup) == "truenull"


def test_backticks_keep_a_dot_in_a_name() -> None:
    assert path_of("tasks.`a.b`.values.x") == ["tasks", "a.b", "values", "x"]
    assert path_of(" run . id ") == ["run", "id"]


@pytest.mark.parametrize(
    "text", ["{{ nobody.x }}", "{{ 5 }}", "{{}}", "{{ a b", "{ parameters.n }", "a {{ secrets.key }} b", "{{ }}"]
)
def test_what_names_no_namespace_of_ours_stays_as_it_is(text: str) -> None:
    assert resolve(text, lookup) == text
    assert not list(find(text))


def test_references_are_replaced_in_lists_and_maps_however_deep() -> None:
    value = {"a": ["{{ parameters.n }}", {"b": "{{ parameters.text }}"}], "c": 1, "{{ parameters.n }}": 2}
    assert resolve(value, lookup) == {"a": [5, {"b": "hi"}], "c": 1, "5": 2}


def test_a_field_that_is_text_stays_text() -> None:
    text = "{{ parameters.n }}"
    action = Python(source=text, arguments=[text], environment={"N": text})
    assert resolve(action, lookup) == Python(source="5", arguments=["5"], environment={"N": "5"})


def test_a_field_that_takes_any_value_keeps_its_type() -> None:
    assert resolve(RunJob(job=1, parameters={"n": "{{ parameters.n }}"}), lookup).parameters == {"n": 5}
    assert resolve(Sql(statement="s", parameters={"l": "{{ parameters.list }}"}), lookup).parameters["l"] == [1, "two"]


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("echo {{ parameters.n }}", "echo 5"),
        ("{{ parameters.n }}", "5"),
        ("{{ parameters.list }}", '[1,"two"]'),
        (["echo", "{{ parameters.n }}; {{ parameters.text }}"], ["echo", "5; hi"]),
    ],
)
def test_a_command_line_stays_one_and_an_argument_list_never_reaches_a_shell(command: Any, becomes: Any) -> None:
    assert resolve(Shell(command=command), lookup).command == becomes


def test_text_is_written_as_it_is_and_everything_else_as_json() -> None:
    values = ["a", 1, None, True, [1], {"k": 2.5}]
    assert [as_text(one) for one in values] == ["a", "1", "null", "true", "[1]", '{"k":2.5}']


# --- as a run sees them -----------------------------------------------------------------------------------


def resolved(run: Driver, key: str, iteration: int = -1) -> Any:
    return lifecycle.resolved_action(run.snapshot, run.slot(key, iteration)).command


def test_a_task_sees_parameters_run_job_and_itself() -> None:
    text = "{{ parameters.day }} {{ run.id }} {{ run.trigger }} {{ job.name }} {{ job.version }} {{ task.key }}"
    run = Driver(task("a", action=Shell(command=text)), parameters={"day": "x"}, given={"day": "monday"})
    assert resolved(run, "a") == f"monday {run.run.id} manual job 1 a"


def test_a_retry_sees_its_own_attempt_number() -> None:
    run = Driver(task("a", action=Shell(command="{{ task.attempt }}"), retries=retries(1)))
    assert resolved(run, "a") == "0"
    run.fail("a")
    assert resolved(run, "a") == "1"


def test_a_task_sees_what_earlier_tasks_published() -> None:
    action = Shell(command=["{{ tasks.a.values.rows }}", "{{ tasks.a.state }}", "{{ tasks.c.outcome }}"])
    run = Driver(task("a"), condition("c", "a"), task("b", "c", action=action))
    run.finish("a", values={"rows": 7})
    assert resolved(run, "b") == ["7", "succeeded", "true"]


def test_values_are_reached_by_path_and_index() -> None:
    action = Shell(command=["{{ tasks.a.values.list.1.name }}", "{{ tasks.a.values.`x.y` }}"])
    run = Driver(task("a"), task("b", "a", action=action))
    run.finish("a", values={"list": [0, {"name": "deep"}], "x.y": 3})
    assert resolved(run, "b") == ["deep", "3"]


def test_an_iteration_sees_its_own_input() -> None:
    action = Shell(command=["{{ input.id }}", "{{ input }}"])
    run = Driver(for_each("f", inputs=[{"id": 1}, {"id": 2}], concurrency=2, action=action))
    assert [resolved(run, "f", index) for index in (0, 1)] == [["1", '{"id":1}'], ["2", '{"id":2}']]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{ tasks.a.values.nope }}", "There is no value of task 'a' named 'nope'."),
        ("{{ tasks.a.values.list.9 }}", "There is no value of task 'a' named '9'."),
        ("{{ parameters.map.key }}", "There is no parameter named 'key'."),
    ],
)
def test_what_only_the_run_can_tell_fails_with_a_sentence(text: str, sentence: str) -> None:
    run = Driver(task("a"), task("b", "a", action=Shell(command=text)), parameters={"map": {}})
    run.finish("a", values={"list": [1]})
    with pytest.raises(Unresolved) as caught:
        resolved(run, "b")
    assert str(caught.value) == sentence


def test_an_unresolved_reference_fails_the_task_with_the_sentence_and_without_a_retry() -> None:
    run = Driver(task("a", retries=retries(3)))
    run.send(lifecycle.Refuse(run.slot("a").id, "There is no parameter named 'x'."))
    one = run.slot("a")
    assert (one.state, one.reason, one.detail) == (State.FAILED, "bad_reference", "There is no parameter named 'x'.")
    assert len(run.attempts("a")) == 1
    assert run.run.state is State.FAILED
    assert run.run.started_at is not None


def test_an_unresolved_reference_of_control_flow_fails_the_task_with_the_sentence() -> None:
    run = Driver(task("a"), condition("c", "a", left="{{ tasks.a.values.n }}"))
    run.succeed("a")
    assert (run.state("c"), run.slot("c").reason) == (State.FAILED, "bad_reference")
    assert run.slot("c").detail == "There is no value of task 'a' named 'n'."


def test_a_refusal_of_a_task_that_was_cancelled_meanwhile_changes_nothing() -> None:
    run = Driver(task("a"))
    run.cancel()
    assert not run.send(lifecycle.Refuse(run.slot("a").id, "x"))


# --- facts ------------------------------------------------------------------------------------------------


def _said(run: Driver, key: str) -> Any:
    action = lifecycle.resolved_action(run.snapshot, run.slot(key))
    assert isinstance(action, Shell)
    return action.command


def test_a_run_tells_the_parts_of_its_time() -> None:
    text = "{{ run.time.iso_date }} {{ run.time.iso_datetime }} {{ run.time.hour }} {{ run.scheduled.is_weekday }}"
    run = Driver(task("a", action=Shell(command=text)))
    assert _said(run, "a") == "2027-01-15 2027-01-15T08:00:00Z 8 true"


def test_a_part_of_a_time_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RunyardError, match=r"run\.time has iso_weekday"):
        Driver(task("a", action=Shell(command="{{ run.time.century }}")))


def test_a_task_tells_its_result_and_how_often_it_was_executed() -> None:
    text = "{{ tasks.a.result }} {{ tasks.x.result }} {{ tasks.a.executions }} {{ task.executions }} {{ run.cause }}"
    says = task("b", "a", "x", action=Shell(command=text), run_if=RunIf.ALL_DONE)
    run = Driver(condition("no", right=2), task("x", "no:true"), task("a", retries=retries(1)), says)
    run.fail("a")
    run.fail("a")
    assert _said(run, "b") == "failed excluded 2 1 one_time"


def test_two_braces_can_be_written() -> None:
    run = Driver(task("a", action=Shell(command="{{ literal.open }} run.id }}")))
    assert _said(run, "a") == "{{ run.id }}"


def test_rows_of_a_task_that_others_refer_to_are_kept_for_them() -> None:
    text = "{{ tasks.a.output.first_row.n }} {{ tasks.a.output.rows }}"
    run = Driver(task("a", action=Sql(statement="SELECT 1")), task("b", "a", action=Shell(command=text)))
    token = run.begin("a")
    output = {"columns": [{"name": "n"}, {"name": "t"}], "rows": [[1, "x"], [2, "y"]]}
    run.send(lifecycle.Finish(run.slot("a").id, token, Outcome(result="succeeded", output=output)))
    assert _said(run, "b") == '1 [{"n":1,"t":"x"},{"n":2,"t":"y"}]'
