"""dbt tasks: what they become, and one that really runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from runyard.core.actions import Dbt
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks.parts import Surroundings
from runyard.dialects.databricks.paths import Roots

from .conftest import Rest

AROUND = Surroundings(roots=Roots.below("/data"))


def compiled(**task: object) -> Dbt:
    action = compiling.job({"tasks": [{"task_key": "a", **task}]}, AROUND).tasks[0].action
    assert isinstance(action, Dbt)
    return action


def test_a_dbt_task_keeps_its_commands_and_takes_our_adapter() -> None:
    libraries = [{"pypi": {"package": "dbt-databricks>=1.0"}}, {"pypi": {"package": "extra==1"}}]
    given = {"commands": ["dbt deps", "dbt run"], "project_directory": "/Workspace/p", "schema": "s"}
    action = compiled(dbt_task=given, libraries=libraries)
    assert (action.commands, action.project, action.schema) == (
        ["dbt deps", "dbt run"],
        "/data/databricks/workspace/p",
        "s",
    )
    assert "extra==1" in action.requirements
    assert not [one for one in action.requirements if one.startswith("dbt-databricks")]


def test_too_many_commands_are_refused(rest: Rest) -> None:
    task = {"task_key": "a", "dbt_task": {"commands": ["dbt run"] * 11, "project_directory": "/Workspace/p"}}
    assert "1 to 10 commands" in rest.refused("/jobs/create", tasks=[task])


@pytest.mark.long
def test_a_dbt_task_builds_its_models(rest: Rest, folder: Path) -> None:
    project = folder / "data" / "files" / "dbt"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: any\nmodel-paths: [models]\n")
    (project / "models" / "seven.sql").write_text("select 7 as n")
    task = {"task_key": "a", "dbt_task": {"commands": ["dbt run"], "project_directory": "dbfs:/dbt", "schema": "shop"}}
    run_id = rest.start(rest.create(task))
    for _ in range(20):  # an environment is made first
        try:
            run = rest.until(run_id)
            break
        except AssertionError:
            continue
    output = rest.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])
    assert run["state"]["result_state"] == "SUCCESS", output
    assert "Completed successfully" in output["logs"]
