"""The kinds of work, each really run: notebooks, wheels, SQL, repositories."""

from __future__ import annotations

import base64
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import Rest, condition, needs, results, tasks_of


def notebook(rest: Rest, name: str, source: str, language: str = "PYTHON") -> str:
    """A notebook in the workspace; its path."""
    path = f"/Users/dev/{name}"
    content = base64.b64encode(source.encode()).decode()
    rest.post("/workspace/import", path=path, content=content, format="SOURCE", language=language, overwrite=True)
    return path


def output(rest: Rest, run: dict[str, Any], key: str = "main") -> dict[str, Any]:
    return dict(rest.get("/jobs/runs/get-output", run_id=tasks_of(run)[key]["run_id"]))


def ended(rest: Rest, task: dict[str, Any], **more: Any) -> dict[str, Any]:
    return rest.ended(rest.create({"task_key": "main", **task}, **more))


# --- notebooks --------------------------------------------------------------------------------------------


def test_a_notebook_runs_with_widgets_and_gives_its_result_back(rest: Rest) -> None:
    path = notebook(rest, "exits", "w = dbutils.widgets.get('w') + dbutils.widgets.get('p')\ndbutils.notebook.exit(w)")
    task = {"notebook_task": {"notebook_path": path, "base_parameters": {"w": "own ", "p": "hidden"}}}
    job_id = rest.create({"task_key": "main", **task}, parameters=[{"name": "p", "default": "of the job"}])
    run = rest.ended(job_id)
    assert output(rest, run)["notebook_output"] == {"result": "own of the job", "truncated": False}
    run = rest.ended(job_id, notebook_params={"w": "given "})
    assert output(rest, run)["notebook_output"]["result"] == "given of the job"
    assert run["overriding_parameters"] == {"notebook_params": {"w": "given "}}


def test_a_notebook_without_an_exit_gives_nothing_and_a_failed_one_its_error(rest: Rest) -> None:
    run = ended(rest, {"notebook_task": {"notebook_path": notebook(rest, "fails", "assert 1 == 2, 'not so'")}})
    found = output(rest, run)
    assert found["error"] == "AssertionError: not so"
    assert "AssertionError" in found["error_trace"]
    assert found["notebook_output"] == {}
    assert found["metadata"]["state"]["state_message"] == "Workload failed, see run output for details"


def test_a_notebooks_export_holds_its_cells(rest: Rest) -> None:
    path = notebook(rest, "cells", "print('one')\n# COMMAND ----------\nprint('two')")
    run = ended(rest, {"notebook_task": {"notebook_path": path}})
    view = rest.get("/jobs/runs/export", run_id=run["tasks"][0]["run_id"], views_to_export="ALL")["views"][0]
    assert (view["name"], view["type"]) == ("cells", "NOTEBOOK")
    assert "one" in view["content"]
    assert "two" in view["content"]


def test_task_values_reach_later_tasks_and_conditions(rest: Rest) -> None:
    path = notebook(rest, "says", "dbutils.jobs.taskValues.set(key='n', value=5)")
    first = {"task_key": "first", "notebook_task": {"notebook_path": path}}
    check = condition("check", "{{tasks.first.values.n}}", "4", "GREATER_THAN", depends_on=needs("first"))
    run = rest.ended(rest.create(first, check))
    assert tasks_of(run)["check"]["condition_task"]["outcome"] == "true"


def test_a_notebook_that_another_one_runs_is_a_run_of_its_own(rest: Rest) -> None:
    notebook(rest, "inner", "dbutils.notebook.exit('from inside')")
    outer = notebook(rest, "outer", "dbutils.notebook.exit(dbutils.notebook.run('/Users/dev/inner', 60))")
    run = ended(rest, {"notebook_task": {"notebook_path": outer}})
    assert output(rest, run)["notebook_output"]["result"] == "from inside"
    found = rest.get("/jobs/runs/list", run_type="WORKFLOW_RUN")["runs"][0]
    assert found["run_type"] == "WORKFLOW_RUN"
    assert found["start_time"] >= run["start_time"]


def test_a_missing_notebook_is_told_when_it_runs(rest: Rest) -> None:
    run = ended(rest, {"notebook_task": {"notebook_path": "/Users/nobody/nothing"}})
    assert run["tasks"][0]["status"]["termination_details"]["code"] == "RESOURCE_NOT_FOUND"


def test_a_for_each_runs_a_notebook_for_each_input(rest: Rest) -> None:
    path = notebook(rest, "each", "dbutils.notebook.exit(dbutils.widgets.get('n'))")
    inner = {"task_key": "one", "notebook_task": {"notebook_path": path, "base_parameters": {"n": "{{input}}"}}}
    run = ended(rest, {"for_each_task": {"inputs": "[1, 2]", "concurrency": 2, "task": inner}})
    whole = rest.run(run["tasks"][0]["run_id"])
    said = [rest.get("/jobs/runs/get-output", run_id=one["run_id"])["notebook_output"] for one in whole["iterations"]]
    assert [one["result"] for one in said] == ["1", "2"]


# --- SQL --------------------------------------------------------------------------------------------------


def test_a_stored_query_runs_in_the_services_sql_with_parameters(rest: Rest) -> None:
    query = {"display_name": "q", "query_text": "SELECT CAST(:n AS INT) + 1 AS n, concat_ws('-', 'a', 'b') AS t"}
    query_id = rest.post("/sql/queries", query=query)["id"]
    task = {"sql_task": {"query": {"query_id": query_id}, "warehouse_id": "w", "parameters": {"n": "41"}}}
    run = ended(rest, task)
    assert run["state"]["result_state"] == "SUCCESS", output(rest, run)
    shown = output(rest, run)["sql_output"]["query_output"]
    assert (shown["columns"], shown["rows"]) == (["n", "t"], [[42, "a-b"]])


def test_a_file_of_sql_runs_and_its_rows_can_be_referred_to(rest: Rest) -> None:
    content = base64.b64encode(b"SELECT 7 AS seven UNION ALL SELECT 8").decode()
    rest.post("/workspace/import", path="/Shared/rows.sql", content=content, format="RAW", overwrite=True)
    task = {"task_key": "rows", "sql_task": {"file": {"path": "/Shared/rows.sql"}, "warehouse_id": "w"}}
    check = condition("check", "{{tasks.rows.output.first_row.seven}}", "7", depends_on=needs("rows"))
    run = rest.ended(rest.create(task, check))
    assert tasks_of(run)["check"]["condition_task"]["outcome"] == "true"


def test_a_table_is_partitioned_and_one_partition_is_written_over(rest: Rest) -> None:
    text = """
        DROP TABLE IF EXISTS main.default_sales;
        CREATE TABLE main.default_sales (item STRING, n INT) USING DELTA PARTITIONED BY (day DATE);
        INSERT INTO main.default_sales VALUES ('a', 1, '2024-02-01'), ('b', 2, '2024-02-02');
        INSERT OVERWRITE TABLE main.default_sales PARTITION (day = '2024-02-02')
            SELECT item, n + 40 FROM main.default_sales WHERE day = '2024-02-02';
        INSERT INTO main.default_sales PARTITION (day = '2024-02-03') VALUES ('c', 3)"""
    asked = {
        "SHOW PARTITIONS main.default_sales": [["day=2024-02-01"], ["day=2024-02-02"], ["day=2024-02-03"]],
        "DESCRIBE TABLE main.default_sales": [
            ["item", "string", None],
            ["n", "int", None],
            ["day", "date", None],
            ["# Partition Information", "", ""],
            ["# col_name", "data_type", "comment"],
            ["day", "date", None],
        ],
        "SELECT item, n FROM main.default_sales ORDER BY day": [["a", 1], ["b", 42], ["c", 3]],
    }
    for content in (text, *asked):
        query_id = rest.post("/sql/queries", query={"query_text": content})["id"]
        run = ended(rest, {"sql_task": {"query": {"query_id": query_id}, "warehouse_id": "w"}})
        assert run["state"]["result_state"] == "SUCCESS", output(rest, run)
        if content in asked:
            assert output(rest, run)["sql_output"]["query_output"]["rows"] == asked[content]
    source = """
spark.sql("INSERT OVERWRITE main.default_sales PARTITION (day) SELECT 'd', 4, DATE'2024-02-03'")
shown = spark.sql("SHOW PARTITIONS main.default_sales").collect()
dbutils.notebook.exit(str([row.partition for row in shown][-1]) + str(spark.table("main.default_sales").count()))
"""
    run = ended(rest, {"notebook_task": {"notebook_path": notebook(rest, "partitions", source)}})
    assert output(rest, run)["notebook_output"].get("result") == "day=2024-02-033", output(rest, run)


def test_wrong_sql_fails_its_task_with_the_reason(rest: Rest) -> None:
    query_id = rest.post("/sql/queries", query={"query_text": "SELEC 1"})["id"]
    run = ended(rest, {"sql_task": {"query": {"query_id": query_id}, "warehouse_id": "w"}})
    assert run["tasks"][0]["state"]["result_state"] == "FAILED"
    assert "Databricks SQL" in output(rest, run)["error"]


# --- wheels -----------------------------------------------------------------------------------------------


def wheel(folder: Path) -> Path:
    """A small package with one entry point, as an archive that pip installs."""
    path = folder / "greet-1.0-py3-none-any.whl"
    info = "greet-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greet/__init__.py", "import sys\ndef main():\n    print('hello', *sys.argv[1:])\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngreet = greet:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.long
def test_a_wheel_runs_its_entry_point_with_positional_or_named_parameters(rest: Rest) -> None:
    library: dict[str, Any] = {"libraries": [{"whl": str(wheel(rest.folder))}]}
    task = {"package_name": "greet", "entry_point": "greet"}
    run = ended(rest, {"python_wheel_task": {**task, "parameters": ["a", "b"]}, **library})
    assert output(rest, run)["logs"].endswith("hello a b\n")
    named = {"python_wheel_task": {**task, "named_parameters": {"x": "1", "p": "own"}}, **library}
    run = ended(rest, named, parameters=[{"name": "p", "default": "job"}])
    assert output(rest, run)["logs"].endswith("hello --x=1 --p=job\n")


# --- repositories -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(folder: Path) -> str:
    """A repository with a program and a notebook, below the folder of shared files; its address."""
    place = folder / "data" / "files" / "repo"
    place.mkdir(parents=True)

    def git(*words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True)

    git("init")
    (place / "tool.py").write_text("print('from main')")
    (place / "nb.py").write_text("# Databricks notebook source\ndbutils.notebook.exit('from git')")
    git("add", ".")
    git("commit", "-m", "one")
    git("tag", "v1")
    (place / "tool.py").write_text("print('later')")
    git("commit", "-am", "two")
    return f"file://{place}"


def test_tasks_take_their_files_from_the_repository_at_a_tag(rest: Rest, repository: str) -> None:
    source = {"git_url": repository, "git_provider": "gitHub", "git_tag": "v1"}
    tasks = [
        {"task_key": "tool", "spark_python_task": {"python_file": "tool.py"}},
        {"task_key": "nb", "notebook_task": {"notebook_path": "nb"}},
    ]
    job_id = rest.create(*tasks, git_source=source)
    shown = rest.get("/jobs/get", job_id=job_id)["settings"]["tasks"][0]
    assert shown["spark_python_task"]["source"] == "GIT"
    run = rest.ended(job_id)
    assert output(rest, run, "tool")["logs"].endswith("from main\n")
    assert output(rest, run, "nb")["notebook_output"]["result"] == "from git"


def test_a_source_git_without_a_repository_is_refused(rest: Rest) -> None:
    task = {"task_key": "a", "spark_python_task": {"python_file": "x.py", "source": "GIT"}}
    assert "no git_source" in rest.refused("/jobs/create", tasks=[task])


def test_a_branch_that_does_not_exist_fails_the_task(rest: Rest, repository: str) -> None:
    source = {"git_url": repository, "git_provider": "gitHub", "git_branch": "none"}
    run = rest.ended(rest.create({"task_key": "a", "spark_python_task": {"python_file": "tool.py"}}, git_source=source))
    assert run["tasks"][0]["status"]["termination_details"]["code"] == "REPOSITORY_CHECKOUT_FAILED"
    assert results(run) == {"a": "FAILED"}
