"""Bodies against what real workspaces are recorded to answer; each file names its source."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from .conftest import Rest

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{name}.json").read_text()))


def test_the_output_of_a_failed_notebook_has_the_recorded_keys(rest: Rest) -> None:
    wanted = golden("failed_output")
    content = base64.b64encode(b"assert 1 + 1 == 3").decode()
    place = {"path": "/Users/golden/nb", "language": "PYTHON", "format": "SOURCE", "overwrite": True}
    rest.post("/workspace/import", content=content, **place)
    run = rest.ended(rest.create({"task_key": "main", "notebook_task": {"notebook_path": "/Users/golden/nb"}}))
    found = rest.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])
    metadata = found["metadata"]
    assert set(wanted["top"]) == set(found)
    assert set(wanted["metadata"]) <= set(metadata)
    assert set(wanted["state"]) == set(metadata["state"])
    assert set(wanted["task"]) <= set(metadata["tasks"][0])
    assert {name: metadata[name] for name in wanted["values"]} == wanted["values"]
    assert metadata["number_in_job"] == metadata["original_attempt_run_id"] == metadata["run_id"]
    assert metadata["job_run_id"] == metadata["parent_run_id"] == run["run_id"]
    assert found["error"].startswith("AssertionError")


def test_a_job_shows_the_recorded_defaults(rest: Rest) -> None:
    wanted = golden("create_then_get")
    job_id = rest.post("/jobs/create", **wanted["sent"])["job_id"]
    found = rest.get("/jobs/get", job_id=job_id)
    assert found["settings"] == wanted["settings"]
    assert set(found) >= {"job_id", "created_time", "creator_user_name", "run_as_user_name", "settings"}
