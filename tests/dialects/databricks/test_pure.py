"""Pure parts by themselves: references, paths, page tokens, credentials, recorded-only tasks."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from runyard.core.errors import RunyardError
from runyard.core.references import find
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks import paths, refs, wire
from runyard.dialects.databricks.parts import Surroundings
from runyard.dialects.databricks.routes import password
from runyard.http.request import Request

ROOTS = paths.Roots.below("/data")
AROUND = refs.Around(url="http://here", workspace_id="1", notebook_path="/n", location="dbfs:/in")

COMPILED = {
    "{{job.id}}": "{{ job.id }}",
    "{{ job.run_id }}": "{{ run.id }}",
    "{{job.start_time.iso_date}}": "{{ run.time.iso_date }}",
    "{{job.trigger.time.hour}}": "{{ run.scheduled.hour }}",
    "{{job.trigger.file_arrival.location}}": "dbfs:/in",
    "{{job.trigger.table_update.updated_tables}}": "{{ run.tables }}",
    "{{job.parameters.`a b`}}": "{{ parameters.`a b` }}",
    "{{task.name}}": "{{ task.key }}",
    "{{task.notebook_path}}": "/n",
    "{{tasks.x.run_id}}": "{{ tasks.x.id }}",
    "{{tasks.x.error_code}}": "{{ tasks.x.reason }}",
    "{{tasks.x.output.first_row.c}}": "{{ tasks.x.output.first_row.c }}",
    "{{workspace.url}}/x": "http://here/x",
    "{{backfill.iso_date}}": "{{ run.scheduled.iso_date }}",
    "{{input.name}}": "{{ input.name }}",
    "{{run_id}} {{parent_run_id}} {{task_retry_count}}": "{{ task.id }} {{ run.id }} {{ task.attempt }}",
    "{{start_time}}": "{{ run.time.timestamp_ms }}",
}


@pytest.mark.parametrize("text", COMPILED)
def test_a_reference_becomes_ours(text: str) -> None:
    assert refs.compiled(text, AROUND) == COMPILED[text]


@pytest.mark.parametrize(
    "text", ["{{ run.id }}", "{{parameters.x}}", "{{ 1 + 1 }}", "{{a b}}", "{{unknown.x}}", "{{}}"]
)
def test_what_names_nothing_of_theirs_stays_literal_text(text: str) -> None:
    assert list(find(refs.compiled(text, AROUND))) in ([], [["literal", "open"]])


@given(st.text(alphabet="{} .`abcjobtasksrun_id", max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    with contextlib.suppress(RunyardError):
        assert isinstance(refs.compiled(text, AROUND), str)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("dbfs:/a/b.py", "/data/files/a/b.py"),
        ("/dbfs/a.py", "/data/files/a.py"),
        ("/Workspace/Users/x/a.py", "/data/databricks/workspace/Users/x/a.py"),
        ("/Users/x/a.py", "/data/databricks/workspace/Users/x/a.py"),
        ("file:/opt/a.py", "/opt/a.py"),
        ("/opt/a.py", "/opt/a.py"),
    ],
)
def test_a_path_lies_where_the_page_says(path: str, found: str) -> None:
    assert paths.file(ROOTS, path) == found


@pytest.mark.parametrize("path", ["dbfs:/../x", "/Users/../../x", "relative.py", "s3://b/x", "dbfs:x", "/Users/\0x"])
def test_a_path_that_leads_out_or_nowhere_is_refused(path: str) -> None:
    with pytest.raises(RunyardError):
        paths.file(ROOTS, path)


@given(st.integers(1, (1 << 53) - 1), st.booleans())
def test_a_page_token_gives_back_what_it_holds(last: int, newer: bool) -> None:
    assert wire.parse_page_token(wire.page_token(last, newer=newer)) == (last, newer)


def test_the_services_own_page_tokens_can_be_read() -> None:
    """Recorded from a real workspace: direction 1, start time 1716949802359, run 21836603204286."""
    assert wire.parse_page_token("CAEQ97q7kfwxIL7F6NfD-wQ=".replace("-", "+")) == (21836603204286, False)


def test_a_basic_credential_holds_the_token_as_its_password() -> None:
    def asked(value: str) -> str | None:
        scope: Scope = {"type": "http", "headers": [(b"authorization", value.encode())]}
        return password(Request(scope, None, 0))  # type: ignore[arg-type]  # nothing is received

    assert asked("Basic " + base64.b64encode(b"token:ry_1").decode()) == "ry_1"
    assert asked("Basic !") is None
    assert asked("Bearer ry_1") is None


def test_tasks_that_cannot_run_are_recorded_where_the_setting_says_so() -> None:
    tasks = [{"task_key": "p", "pipeline_task": {"pipeline_id": "x"}}]
    spec = compiling.job({"tasks": tasks}, Surroundings(roots=ROOTS, record_only=True))
    assert spec.tasks[0].disabled
    assert compiling.settings_in(spec)["tasks"] == tasks
    with pytest.raises(RunyardError, match="no pipeline service"):
        compiling.job({"tasks": tasks}, Surroundings(roots=ROOTS))
