"""What a notebook finds, does and leaves when an attempt runs it."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Notebook
from runyard.core.attempts import Assignment, Outcome
from tests.executors.harness import Bench
from tests.work.wheels import wheel

CUT = "\n# COMMAND ----------\n"


def book(*cells: str, **fields: Any) -> Notebook:
    source = CUT.join(textwrap.dedent(cell).strip("\n") for cell in cells)
    return Notebook(source=f"# Databricks notebook source\n{source}\n", **fields)


def magic(text: str) -> str:
    return "\n".join(f"# MAGIC {line}" for line in textwrap.dedent(text).strip().splitlines())


def record(bench: Bench, one: Assignment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.folder(one) / "artifacts" / "notebook.json").read_text())
    return found


def ran(bench: Bench, action: Notebook, **fields: Any) -> tuple[Assignment, Outcome]:
    one = bench.start(action, **fields)
    return one, bench.outcome(one)


EITHER = pytest.mark.parametrize("interpreter", [None, sys.executable], ids=["forked", "exec"])


@EITHER
def test_cells_share_a_namespace_and_leave_what_they_gave(bench: Bench, interpreter: str | None) -> None:
    cells = ("x = 20", "print('hello')\nx + 1", magic("%md\n# Title"), "import sys; print('err', file=sys.stderr)")
    one, outcome = ran(bench, book(*cells, interpreter=interpreter))
    assert outcome.result == "succeeded", bench.log(one)
    kept = record(bench, one)["cells"]
    assert [(cell["kind"], cell["state"]) for cell in kept] == [
        ("python", "done"), ("python", "done"), ("markdown", "done"), ("python", "done"),
    ]  # fmt: skip
    assert kept[1]["outputs"] == [
        {"kind": "text", "name": "stdout", "text": "hello\n"},
        {"kind": "data", "text": "21"},
    ]
    assert kept[3]["outputs"] == [{"kind": "text", "name": "stderr", "text": "err\n"}]
    assert all(cell["started_at"] <= cell["ended_at"] for cell in kept)
    assert bench.log(one) == b"hello\n21\nerr\n"
    assert outcome.output is None


@EITHER
def test_a_failing_cell_fails_the_attempt_and_the_rest_is_skipped(bench: Bench, interpreter: str | None) -> None:
    action = book("def half(n):\n    return n / 0", "print('before')\nhalf(3)", "never = 1", interpreter=interpreter)
    one, outcome = ran(bench, action)
    assert (outcome.result, outcome.reason, outcome.exit_code) == ("failed", "exception", 1)
    assert outcome.detail == "ZeroDivisionError: division by zero"
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["message"]) == ("ZeroDivisionError", "division by zero")
    assert 'File "cell 2", line 2, in <module>' in outcome.error["trace"]
    assert 'File "cell 1", line 2, in half\n    return n / 0' in outcome.error["trace"]
    assert "session.py" not in outcome.error["trace"]
    kept = record(bench, one)["cells"]
    assert [cell["state"] for cell in kept] == ["done", "failed", "skipped"]
    assert kept[1]["error"]["type"] == "ZeroDivisionError"


def test_exit_ends_the_notebook_as_a_success_with_its_value(bench: Bench) -> None:
    one, outcome = ran(bench, book("try:\n    dbutils.notebook.exit({'a': 1})\nexcept Exception:\n    pass", "1 / 0"))
    assert outcome.result == "succeeded"
    assert outcome.output == {"result": "{'a': 1}", "truncated": False}
    assert [cell["state"] for cell in record(bench, one)["cells"]] == ["done", "skipped"]


def test_a_long_result_is_kept_in_a_file_up_to_five_megabytes(bench: Bench) -> None:
    one, outcome = ran(bench, book("dbutils.notebook.exit('é' * 3_000_000)"))
    assert outcome.output["truncated"] is True
    assert outcome.output["file"] == "result.txt"
    assert outcome.output["result"] == "é" * 10_240
    assert (bench.folder(one) / "artifacts" / "result.txt").stat().st_size == 5 * 1024 * 1024


def test_widgets_take_what_the_run_gives_over_what_the_notebook_declares(bench: Bench) -> None:
    code = """
        dbutils.widgets.text("day", "monday")
        dbutils.widgets.dropdown("size", "s", ["s", "m"])
        dbutils.widgets.combobox("c", "1", ["1"]); dbutils.widgets.multiselect("m", "1", ["1", "2"])
        assert dbutils.widgets.get("day") == "friday"
        assert dbutils.widgets.get("given") == "only"
        assert dbutils.widgets.getArgument("none", "default") == "default"
        assert dbutils.widgets.getAll() == {"day": "friday", "given": "only", "size": "s", "c": "1", "m": "1"}
        dbutils.widgets.remove("size")
        dbutils.widgets.get("size")
    """
    _, outcome = ran(bench, book(code, parameters={"day": "friday", "given": "only"}))
    assert outcome.error is not None, outcome
    assert outcome.error["type"].endswith("InputWidgetNotDefined")
    assert outcome.error["message"] == "No input widget named size is defined; there are: c, day, given, m."


def test_shell_cells_and_lines_run_and_their_failure_is_the_cells(bench: Bench) -> None:
    cells = (magic("%sh\necho from $NAME; echo oops >&2"), "for i in range(2):\n    !echo line\n", magic("%sh exit 3"))
    one, outcome = ran(bench, book(*cells, environment={"NAME": "shell"}))
    assert outcome.detail.endswith("The shell cell ended with exit code 3.")
    assert bench.log(one).startswith(b"from shell\noops\nline\nline\n")
    assert record(bench, one)["cells"][0]["outputs"][0]["text"] == "from shell\noops\n"


def test_display_keeps_html_images_and_tables(bench: Bench) -> None:
    code = """
        class Picture:
            def _repr_png_(self): return b"png"
            def __repr__(self): return "a picture"
        displayHTML("<b>bold</b>")
        display([{"a": 1, "b": "<x>"}, {"a": 2}], Picture())
        Picture();
    """
    one, outcome = ran(bench, book(code))
    assert outcome.result == "succeeded", bench.log(one)
    html, table, picture = record(bench, one)["cells"][0]["outputs"]
    assert html["html"] == "<b>bold</b>"
    assert "<td>1</td><td>&lt;x&gt;</td>" in table["html"]
    assert (picture["png"], picture["text"]) == ("cG5n", "a picture")


def test_run_inlines_another_notebook_with_its_values(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shared.py").write_text("# Databricks notebook source\nname = dbutils.widgets.get('who')\n")
    (tmp_path / "main.py").write_text(
        f"# Databricks notebook source\n{magic('%run ./lib/shared $who=you')}{CUT}dbutils.notebook.exit(name)\n"
    )
    _, outcome = ran(bench, Notebook(path=str(tmp_path / "main.py")))
    assert outcome.output == {"result": "you", "truncated": False}
    _, outcome = ran(bench, Notebook(path="/Workspace/main", root=str(tmp_path)))
    assert outcome.output == {"result": "you", "truncated": False}


def test_a_notebook_that_is_run_finds_what_lies_beside_itself(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "outer.py").write_text("# MAGIC %run ./inner")
    (tmp_path / "lib" / "inner.py").write_text("where = 'lib'")
    (tmp_path / "inner.py").write_text("where = 'above'")
    (tmp_path / "main.py").write_text(f"# MAGIC %run ./lib/outer{CUT}dbutils.notebook.exit(where)\n")
    _, outcome = ran(bench, Notebook(path=str(tmp_path / "main.py")))
    assert outcome.output == {"result": "lib", "truncated": False}


def test_run_in_a_circle_and_out_of_the_root_are_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# MAGIC %run ./b")
    (tmp_path / "b.py").write_text("# MAGIC %run /a")
    _, outcome = ran(bench, Notebook(path="/a", root=str(tmp_path)))
    assert "%run goes in a circle" in outcome.detail
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "c.py").write_text("# MAGIC %run ../a")
    _, outcome = ran(bench, Notebook(path="/c", root=str(tmp_path / "inside")))
    assert outcome.error is not None
    assert "No such notebook" in outcome.error["message"]


def test_a_notebook_that_is_not_there_is_told_before_it_starts(bench: Bench) -> None:
    _, outcome = ran(bench, Notebook(path="/no/such/notebook"))
    assert (outcome.reason, outcome.retry) == ("start_error", False)
    assert outcome.detail == "Cannot be started: No such notebook: /no/such/notebook"


def test_an_ipynb_file_runs(bench: Bench, tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": ["import asyncio\n", "await asyncio.sleep(0, 'slept')"]}
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}}))
    one, outcome = ran(bench, Notebook(path=str(tmp_path / "n")))
    assert outcome.result == "succeeded", bench.log(one)
    assert record(bench, one)["cells"][0]["outputs"] == [{"kind": "data", "text": "'slept'"}]


def test_task_values_reach_later_notebooks(bench: Bench) -> None:
    code = """
        dbutils.jobs.taskValues.set("mine", [1, 2])
        values = dbutils.jobs.taskValues
        assert values.get(taskKey="first", key="n") == 7
        assert values.get("first", "none", default=0) == 0
        values.get("other", "n", debugValue=5)
    """
    one, outcome = ran(bench, book(code), before={"first": {"n": 7}})
    assert outcome.values == {"mine": [1, 2]}
    assert outcome.error is not None, bench.log(one)
    expected = "The task 'other' published no value 'n' before this one; this task comes after: first."
    assert outcome.error["message"] == expected


def test_files_are_kept_below_their_root(bench: Bench) -> None:
    code = """
        fs = dbutils.fs
        assert fs.mkdirs("dbfs:/box") and fs.put("/box/a.txt", "hello", True)
        assert fs.head("/dbfs/box/a.txt", 4) == "hell"
        assert fs.cp("/box/a.txt", "/box/b/c.txt") and fs.mv("/box/b/c.txt", "dbfs:/box/d.txt")
        assert [(one.path, one.name, one.size, one.isDir()) for one in fs.ls("/box")] == [
            ("dbfs:/box/a.txt", "a.txt", 5, False), ("dbfs:/box/b/", "b/", 0, True),
            ("dbfs:/box/d.txt", "d.txt", 5, False)]
        assert fs.rm("/box/d.txt") and not fs.rm("/box/d.txt") and fs.rm("/box/b")
        try:
            fs.put("/box/a.txt", "again")
        except FileExistsError:
            pass
        import os
        os.symlink("/etc", "evil"); os.rename("evil", os.path.join(os.path.realpath(fs._root()), "evil"))
        for bad in ("/../x", "/box/../../x", "/evil/passwd"):
            try:
                fs.head(bad)
            except PermissionError as error:
                print("refused", bad)
        fs.rm("/evil/x")
    """
    one, outcome = ran(bench, book(code))
    assert outcome.error is not None
    assert outcome.error["type"] == "PermissionError", bench.log(one)
    assert bench.log(one).count(b"refused") == 3


def test_secrets_come_from_the_tasks_environment(bench: Bench) -> None:
    code = "print(dbutils.secrets.get('my-scope', 'k1'))\ndbutils.secrets.get('my-scope', 'k2')"
    one, outcome = ran(bench, book(code, environment={"RUNYARD_SECRET_MY_SCOPE_K1": "hush"}))
    assert bench.log(one).startswith(b"hush\n")
    assert outcome.error is not None
    assert "give the task RUNYARD_SECRET_MY_SCOPE_K2" in outcome.error["message"]


@pytest.mark.parametrize(("code", "expected"), [("sys.exit(0)", "succeeded"), ("sys.exit(4)", "failed")])
def test_sys_exit_ends_a_notebook_by_its_code(bench: Bench, code: str, expected: str) -> None:
    one, outcome = ran(bench, book(f"import sys; {code}"))
    assert outcome.result == expected
    assert bench.log(one) == b""


def test_text_that_json_cannot_hold_threads_and_forks_do_not_spoil_the_record(bench: Bench) -> None:
    code = """
        import os, threading
        print("half \\udcff")
        threads = [threading.Thread(target=lambda: [print("x" * 100) for _ in range(200)]) for _ in range(4)]
        [one.start() for one in threads]; [one.join() for one in threads]
        pid = os.fork()
        if pid == 0:
            print("below")
            os._exit(0)
        os.waitpid(pid, 0)
    """
    one, outcome = ran(bench, book(code))
    assert outcome.result == "succeeded", bench.log(one)
    (cell,) = record(bench, one)["cells"]
    text = "".join(output["text"] for output in cell["outputs"])
    assert text.startswith("half \\udcff\n")
    assert text.count("x") == 4 * 200 * 100
    assert "below" not in text
    assert b"below" in bench.log(one)


def test_cells_of_a_shell_notebook_are_shell(bench: Bench) -> None:
    one, outcome = ran(bench, book("echo one", "echo $((1 + 1))", language="shell"))
    assert outcome.result == "succeeded"
    assert bench.log(one) == b"one\n2\n"


def test_a_cell_that_is_no_python_says_so_with_its_place(bench: Bench) -> None:
    _, outcome = ran(bench, book("x = 1", "y = = 2"))
    assert outcome.detail == "SyntaxError: invalid syntax"
    assert outcome.error is not None
    assert 'File "cell 2", line 1' in outcome.error["trace"]


def test_pip_installs_into_the_attempt_alone(bench: Bench, tmp_path: Path) -> None:
    path = wheel(tmp_path, "3.0")
    one, outcome = ran(bench, book(magic(f"%pip install --no-index {path}"), "import greeter\ngreeter.plain()"))
    assert outcome.result == "succeeded", bench.log(one)
    assert bench.log(one).endswith(b"plain 3.0\n")
    _, outcome = ran(bench, book("import greeter"))
    assert outcome.detail == "ModuleNotFoundError: No module named 'greeter'"


def test_the_record_is_there_while_a_cell_runs(bench: Bench) -> None:
    one = bench.start(book("print('begun')", "import time; time.sleep(30)"))
    bench.says(one, b"begun")
    bench.wait(lambda: (bench.folder(one) / "artifacts" / "notebook.json").exists())
    bench.wait(lambda: record(bench, one)["cells"][1]["state"] == "running")
    bench.stop(one)
    assert bench.outcome(one).result == "stopped"
