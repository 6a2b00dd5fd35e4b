"""Notebooks through a real server: their runs, the runs that they start, tables, what they leave."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from runyard import Client, Error, Job, Notebook, Python, Run, Task
from tests.live_server import environment, live_server
from tests.work.test_notebook import book, magic
from tests.work.wheels import wheel

TOKEN = "operators-own"
ENDED = {"succeeded", "failed", "cancelled", "timed_out", "skipped", "lost"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # A server that asks for credentials, and that can do one thing at a time.
    folder = tmp_path_factory.mktemp("notebooks")
    with live_server(folder, "--token", TOKEN, RUNYARD_PROCESS_CAPACITY="1") as one:
        yield one


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url, TOKEN) as one:
        yield one


def ran(client: Client, action: Any, **fields: Any) -> Run:
    return client.run(Job(name="n", tasks=[Task(key="main", action=action, **fields)]))


def children(client: Client, run: Run) -> list[Run]:
    return [one for one in client.list(trigger="attempt") if one.parent_task_run_id == run.tasks[0].id]


def folder_of(tmp_path: Path, **files: str) -> str:
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(f"# Databricks notebook source\n{text}\n")
    return str(tmp_path)


def test_a_notebook_ends_with_the_value_that_it_exits_with(client: Client) -> None:
    run = ran(client, book("dbutils.notebook.exit(dbutils.widgets.get('day'))", parameters={"day": "monday"}))
    assert run.succeeded, run
    assert client.output(run.task("main").id) == {"result": "monday", "truncated": False}


def test_task_values_reach_the_next_task(client: Client) -> None:
    first = Task(key="first", action=book("dbutils.jobs.taskValues.set('n', {'a': [1]})"))
    code = "dbutils.notebook.exit(dbutils.jobs.taskValues.get('first', 'n')['a'])"
    second = Task(key="second", action=book(code), needs=[{"task": "first"}])  # type: ignore[list-item]  # as written
    run = client.run(Job(name="n", tasks=[first, second]))
    assert run.succeeded, run
    assert client.output(run.task("second").id)["result"] == "[1]"


def test_a_notebook_runs_another_as_a_run_of_its_own(client: Client, tmp_path: Path) -> None:
    root = folder_of(
        tmp_path,
        parent="got = dbutils.notebook.run('./child', 60, {'n': 3})\ndbutils.notebook.exit(got + '!')",
        child="dbutils.notebook.exit(dbutils.widgets.get('n') * 2)",
    )
    run = ran(client, Notebook(path="/parent", root=root))
    assert run.succeeded, run
    assert client.output(run.task("main").id)["result"] == "33!"
    (child,) = children(client, run)
    assert (child.name, child.trigger, child.state, child.queue) == ("./child", "attempt", "succeeded", "children")
    assert client.get(run.id).task("main").child_run_id == child.id


def test_a_child_runs_in_the_environment_of_its_parent(client: Client, tmp_path: Path) -> None:
    code = "import greeter\ngreeter.plain()\ndbutils.notebook.exit("
    root = folder_of(
        tmp_path, parent=f"{code}dbutils.notebook.run('child'))", child=f"{code}greeter.__file__.count('environments'))"
    )
    needs = [f"greeter @ {wheel(tmp_path).as_uri()}"]
    run = ran(client, Notebook(path="/parent", root=root, requirements=needs))
    assert run.succeeded, run
    assert client.output(run.task("main").id)["result"] == "1"


def test_a_child_that_fails_raises_in_its_parent(client: Client, tmp_path: Path) -> None:
    root = folder_of(tmp_path, parent="dbutils.notebook.run('child')", child="1 / 0")
    run = ran(client, Notebook(path="/parent", root=root))
    assert run.state == "failed"
    error = run.task("main").error
    assert error is not None
    assert error["type"].endswith("ChildFailed")
    assert "ZeroDivisionError: division by zero" in error["message"]


def test_a_child_that_takes_too_long_times_out(client: Client, tmp_path: Path) -> None:
    root = folder_of(
        tmp_path, parent="dbutils.notebook.run('child', 0.3)", child="import time\nprint('begun')\ntime.sleep(60)"
    )
    run = ran(client, Notebook(path="/parent", root=root))
    assert children(client, run)[0].state == "timed_out"
    assert run.state == "failed"
    assert "timed out" in run.detail


def test_children_are_cancelled_with_their_parent(client: Client, tmp_path: Path) -> None:
    root = folder_of(tmp_path, parent="dbutils.notebook.run('child')", child="import time\ntime.sleep(60)")
    begun = client.submit(Job(name="n", tasks=[Task(key="main", action=Notebook(path="/parent", root=root))]))
    until(lambda: [one for one in children(client, client.get(begun.id)) if one.state == "running"])
    client.cancel(begun.id)
    ended = client.wait(begun.id)
    assert ended.state == "cancelled"
    (child,) = until(lambda: [one for one in children(client, ended) if one.finished])
    assert (child.state, child.reason) == ("cancelled", "parent_cancelled")


def test_runs_start_runs_only_so_deep(client: Client, tmp_path: Path) -> None:
    root = folder_of(tmp_path, again="dbutils.notebook.run('again')")
    run = ran(client, Notebook(path="/again", root=root))
    assert run.state == "failed"
    deepest = next(client.list(name="again", state="failed"))
    assert "Runs may start runs 8 deep" in deepest.detail


def test_an_attempts_token_opens_nothing_else(client: Client, url: str) -> None:
    code = """
        import json
        from runyard.runtime import context
        facts = [context.fact("server")["token"], context.task_run_id(), context.fact("claim")]
        dbutils.notebook.exit(json.dumps(facts))
    """
    run = ran(client, book(code))
    token, task_run_id, claim = json.loads(client.output(run.task("main").id)["result"])
    with httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as http:
        assert http.get("/runs").status_code == 403
        given = {"claim": claim, "key": "k", "name": "n", "action": {"kind": "shell", "command": "true"}}
        late = http.post(f"/task-runs/{task_run_id}/children", json=given)
        assert late.status_code == 409, late.text  # it has ended
        assert http.post(f"/task-runs/{task_run_id + 1}/children", json=given).status_code == 403
        assert http.post(f"/task-runs/{task_run_id}/children", json=given | {"claim": claim + 1}).status_code == 403
        http.headers["Authorization"] = f"Bearer {token[:-1]}{'a' if token[-1] != 'a' else 'b'}"
        assert http.get("/runs").status_code == 401


def test_sql_cells_and_spark_sql_work_on_the_warehouse(client: Client) -> None:
    cells = (
        magic("%sql\ncreate table nb_sales (day string, n int);\ninsert into nb_sales values ('mo', 1), ('tu', 2);"),
        magic("%sql\nselect `day`, n from nb_sales where day = :day"),
        "frame = spark.sql('select sum(n)::int as s from nb_sales where n >= :least', {'least': 1})\nframe.show()",
        "first = frame.first()\n(first.s, first['s'], frame.columns, frame.count(), spark.table('nb_sales').count())",
        "try:\n    spark.read.csv('x')\nexcept AttributeError as error:\n    print(error)",
    )
    run = ran(client, book(*cells, parameters={"day": "tu"}))
    assert run.succeeded, run
    kept = json.loads(client.artifact(run.task("main").id, "notebook.json"))["cells"]
    assert "<td>tu</td><td>2</td>" in kept[1]["outputs"][0]["html"]
    assert "|  s |" in kept[2]["outputs"][0]["text"] or "| s |" in kept[2]["outputs"][0]["text"]
    assert kept[3]["outputs"][0]["text"] == "(3, 3, ['s'], 1, 2)"
    assert "spark.read needs PySpark" in kept[4]["outputs"][0]["text"]
    assert [one.name for one in children(client, run)] == ["sql", "sql"]


def test_a_sql_notebook_fails_with_the_warehouses_sentence(client: Client) -> None:
    run = ran(client, Notebook(source="select 1;\n-- COMMAND ----------\nselect * from nowhere", language="sql"))
    assert run.state == "failed"
    assert "nowhere" in run.detail


def test_an_export_shows_code_and_results_to_people_and_programs(client: Client, url: str) -> None:
    run = ran(client, book("print('<hello>')", "displayHTML('<script>alert(1)</script>')", "1 / 0"))
    page = client.artifact(run.task("main").id, "export.html").decode()
    assert "&lt;hello&gt;" in page
    assert "<script>alert" not in page
    (packed,) = re.findall(r"var __DATABRICKS_NOTEBOOK_MODEL = '(.*)';", page)
    model = json.loads(unquote(base64.b64decode(packed).decode()))
    first, second, third = model["commands"]
    assert first["results"]["data"] == [{"type": "ansi", "data": "<hello>\n"}]
    assert second["results"]["data"] == [{"type": "html", "data": "<script>alert(1)</script>"}]
    assert (third["state"], third["errorSummary"]) == ("error", "ZeroDivisionError: division by zero")
    answer = httpx.get(
        f"{url}/api/v1/task-runs/{run.task('main').id}/artifacts/export.html",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert answer.headers["content-security-policy"].startswith("sandbox;")


def test_a_program_is_exported_with_its_output(client: Client, url: str, tmp_path: Path) -> None:
    run = ran(client, Python(source="print(6 * 7)"))
    words = [sys.executable, "-m", "runyard", "export", str(run.task("main").id), "-o", str(tmp_path / "out.html")]
    done = subprocess.run(
        words, env=environment(RUNYARD_URL=url, RUNYARD_TOKEN=TOKEN), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out.html").read_text()
    assert "print(6 * 7)" in page
    assert "<pre class=out>42\n</pre>" in page


def test_the_command_line_prints_what_a_notebook_exits_with(url: str, tmp_path: Path) -> None:
    (tmp_path / "n.py").write_text("dbutils.notebook.exit(dbutils.widgets.get('who'))")
    (tmp_path / "job.yaml").write_text("job: n\ntasks: {n: {notebook: {file: n.py, parameters: {who: you}}}}\n")
    words = [sys.executable, "-m", "runyard", "run", str(tmp_path / "job.yaml")]
    env = environment(RUNYARD_URL=url, RUNYARD_TOKEN=TOKEN)
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "you\n"), done.stderr


@pytest.mark.parametrize("name", ["..%2Fclaim", "%2e%2e", "claim", "nothing.txt", "link", "pipe", "folder"])
def test_only_files_among_the_artifacts_are_given(client: Client, name: str) -> None:
    code = """
        import os
        os.chdir("../artifacts"); os.symlink("/etc/passwd", "link"); os.mkfifo("pipe"); os.mkdir("folder")
        open("mine.bin", "wb").write(b"\\0\\1")
    """
    run = ran(client, book(code))
    assert run.succeeded, run
    assert client.artifact(run.task("main").id, "mine.bin") == b"\0\1"
    with pytest.raises(Error) as refused:
        client.transport.send("GET", f"/task-runs/{run.task('main').id}/artifacts/{name}")
    assert refused.value.status == 404


def until(what: Any) -> Any:
    end = time.monotonic() + 20
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
