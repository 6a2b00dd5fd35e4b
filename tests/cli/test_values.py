"""Small parts of the command line, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.cli import exits, words
from runyard.cli.following import depths
from runyard.cli.options import pairs, parameters, scalar
from runyard.cli.render import clean, clean_log, seconds, size, width_of
from runyard.cli.timeline import print_timeline
from runyard.client.views import Run, TaskRun
from runyard.core.states import TERMINAL, State

START = datetime(2026, 1, 1, tzinfo=UTC)


SCALARS: dict[str, Any] = {
    "5": 5, "-1.5": -1.5, "1e3": 1000.0, "true": True, "null": None, '"5"': "5", "": "", "JFK": "JFK", "010": "010",
    "2013-01-01": "2013-01-01", "[1]": "[1]", '{"a": 1}': '{"a": 1}', "NaN": "NaN", "True": "True",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_a_parameter_is_a_json_scalar_or_text(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@given(st.text())
def test_any_text_can_be_a_parameter(text: str) -> None:
    assert parameters([f"key={text}"]).keys() == {"key"}


def test_only_the_first_equals_sign_divides() -> None:
    assert pairs(["a=b=c"], "--param") == {"a": "b=c"}


@given(st.text())
def test_nothing_that_a_job_wrote_can_steer_the_terminal(text: str) -> None:
    assert clean(text).isprintable()
    assert clean_log(text).replace("\t", "").isprintable()


@given(st.text())
def test_a_width_is_never_negative(text: str) -> None:
    assert width_of(text) >= 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(-1, "0.00 s"), (0.123, "0.12 s"), (12.34, "12.3 s"), (61, "1m 01s"), (3599, "59m 59s"), (7380, "2h 03m")],
)
def test_spans_are_told_in_the_unit_that_fits(count: float, text: str) -> None:
    assert seconds(count) == text


def test_sizes_are_told_in_the_unit_that_fits() -> None:
    assert [size(n) for n in (0, 999, 1000, 31_053_850, 5e12)] == ["0 B", "999 B", "1.0 KB", "31.1 MB", "5.0 TB"]


def task(key: str, state: State = State.SUCCEEDED, **more: Any) -> TaskRun:
    return TaskRun(id=more.pop("id", 1), run_id=1, task_key=key, state=state, **more)


def test_a_tasks_depth_is_its_longest_way_from_the_start() -> None:
    tasks = [task("a"), task("b", needs=[{"task": "a"}]), task("c", needs=[{"task": "a"}, {"task": "b"}]), task("d")]
    assert depths(tasks) == {"a": 0, "b": 1, "c": 2, "d": 0}


def test_a_failed_run_says_which_task_failed_and_why() -> None:
    tasks = [task("a"), task("b", State.FAILED, detail="ValueError:\nno such day"), task("c", State.UPSTREAM_FAILED)]
    run = Run(id=7, state=State.FAILED, tasks=tasks, started_at=START, ended_at=START + timedelta(seconds=2))
    assert words.why(run) == "run 7 failed after 2.00 s: task 'b' failed: ValueError: no such day"


def test_a_run_that_failed_without_a_failed_task_says_its_own_detail() -> None:
    run = Run(id=7, state=State.SKIPPED, detail="The job runs already.")
    assert words.why(run) == "run 7 skipped: The job runs already."


def test_every_final_state_has_an_exit_code_and_only_success_has_0() -> None:
    assert [state for state in TERMINAL if exits.of_state(state) == 0] == [State.SUCCEEDED]


def test_a_timeline_shows_every_attempt_in_the_order_in_which_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    def at(second: float) -> datetime:
        return START + timedelta(seconds=second)

    tasks = [
        task("load", started_at=at(0), ended_at=at(5)),
        task("report", id=4, started_at=at(8), ended_at=at(10), round=1, attempt=0),
        task("report", State.FAILED, id=2, started_at=at(5), ended_at=at(6)),
        task("never", State.UPSTREAM_FAILED, id=3),
    ]
    print_timeline(Run(id=1, state=State.SUCCEEDED, tasks=tasks))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("10.0 s")
    assert [line.split("  ")[0].strip() for line in lines[1:]] == ["load", "report", "report (repair 1)"]
    bars = [(line.index("#"), line.count("#")) for line in lines[1:]]
    assert bars[0][0] < bars[1][0] < bars[2][0]
    assert bars[0][1] > bars[2][1] > bars[1][1]


def test_a_run_that_never_began_has_no_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    print_timeline(Run(id=1, state=State.QUEUED, tasks=[task("a", State.BLOCKED)]))
    assert capsys.readouterr().out == ""
