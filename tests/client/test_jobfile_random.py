"""Whatever stands in a file, it is read or refused: nothing else is ever raised."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from runyard.client import jobfile
from runyard.client.jobfields import JOB, TASK
from runyard.client.jobfile import JobFileError

EVERYTHING = (Path(__file__).parent / "golden" / "everything.yaml").read_text()

LINES = [
    "job: x\n",
    "tasks:\n",
    "  a:\n",
    "    sql: select 1\n",
    "    needs: ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\n",
    "  ",
]
SIGNS = [
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!!",
    "!x ",
    "|\n",
    ">\n",
    "'",
    '"',
    "#",
    "? ",
    "\t",
    "<<: ",
    "=",
]
WORDS = ["0x1", "1e400", "~", "\\ud800", "\ufeff", "\u2028", "2013-01-01", "{{ parameters.a }}", "{{ input"]
SNIPPETS = st.sampled_from([*LINES, *SIGNS, *WORDS])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
TASKS = st.dictionaries(st.sampled_from([*TASK, "x"]), VALUES, max_size=4)
JOBS = st.fixed_dictionaries(
    {"job": st.text(max_size=5) | VALUES, "tasks": st.dictionaries(st.sampled_from("abc"), TASKS, max_size=3) | VALUES},
    optional={name: VALUES for name in JOB if name not in {"job", "tasks"}},
)


def read_or_refuse(text: str) -> None:
    with contextlib.suppress(JobFileError):
        for job in jobfile.parse_all(text):
            msgspec.json.encode(job.spec)


@given(st.lists(SNIPPETS | st.text(max_size=5), max_size=40).map("".join))
@example("%YAML 99999999999999999999.1\n---\na")
@example('"\\U00110000"')
@example("job: x\ntasks: {a: {sql: *a}}")
@example("? [a]\n: b")
@example("{" * 500)
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refuse(text)


@given(JOBS)
def test_any_values_are_read_or_refused(job: dict[str, Any]) -> None:
    read_or_refuse(yaml.safe_dump(job, allow_unicode=True))


@given(st.integers(0, len(EVERYTHING)), st.integers(0, 10), SNIPPETS | st.text(max_size=3))
def test_any_damage_to_a_good_file_is_read_or_refused(at: int, cut: int, instead: str) -> None:
    read_or_refuse(EVERYTHING[:at] + instead + EVERYTHING[at + cut :])
