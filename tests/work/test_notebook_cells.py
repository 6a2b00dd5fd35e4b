"""A notebook's text is cut into the cells that its author sees."""

from __future__ import annotations

import json

import pytest

from runyard.work.notebooks import cells
from runyard.work.notebooks.cells import BadNotebook

PYTHON = """# Databricks notebook source
# MAGIC %md
# MAGIC # A title

# COMMAND ----------

# DBTITLE 1,Counts
x = 1
# not a MAGIC comment

# COMMAND ----------

# MAGIC %sql
# MAGIC select 1
# MAGIC
# MAGIC -- and more

# COMMAND ----------

# MAGIC %run ./other $day="2026-01-01"

# COMMAND ----------

# MAGIC %pip install one two
"""


def test_a_python_source_notebook_has_the_cells_that_its_marks_divide() -> None:
    found = cells.read(PYTHON, "source", "python")
    assert [(one.kind, one.title) for one in found] == [
        ("markdown", ""), ("python", "Counts"), ("sql", ""), ("run", ""), ("pip", ""),
    ]  # fmt: skip
    assert found[0].source == "# A title"
    assert found[1].source == "x = 1\n# not a MAGIC comment"
    assert found[2].source == "select 1\n\n-- and more"
    assert cells.arguments(found[3].source) == ("./other", {"day": "2026-01-01"})
    assert found[4].source == "install one two"


def test_a_sql_notebook_reads_its_own_comment_marks() -> None:
    text = "-- Databricks notebook source\nselect 1\n-- COMMAND ----------\n-- MAGIC %python\n-- MAGIC print(1)\n"
    found = cells.read(text, "source", "sql")
    assert [(one.kind, one.source) for one in found] == [("sql", "select 1"), ("python", "print(1)")]


def test_a_file_without_marks_is_one_cell() -> None:
    assert [one.source for one in cells.read("a = 1\nb = 2\n", "source", "python")] == ["a = 1\nb = 2"]


def test_an_ipynb_file_gives_its_code_and_markdown_cells() -> None:
    book = {
        "cells": [
            {"cell_type": "markdown", "source": ["# A\n", "text"]},
            {"cell_type": "code", "source": "%%sql\nselect 1"},
            {"cell_type": "code", "source": ["x = 1\n", "x"]},
            {"cell_type": "raw", "source": "left out"},
            {"cell_type": "code", "source": "  \n"},
        ],
        "nbformat": 4,
    }
    found = cells.read(json.dumps(book), "jupyter", "python")
    assert [(one.kind, one.source) for one in found] == [
        ("markdown", "# A\ntext"), ("sql", "select 1"), ("python", "x = 1\nx"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": [{}]}', '{"cells": 3}'])
def test_what_is_no_ipynb_file_is_refused(text: str) -> None:
    with pytest.raises(BadNotebook, match=r"no \.ipynb file"):
        cells.read(text, "jupyter", "python")


@pytest.mark.parametrize(("magic", "name"), [("%scala", "Scala"), ("%r", "R")])
def test_a_language_that_cannot_run_here_is_refused_before_anything_runs(magic: str, name: str) -> None:
    with pytest.raises(BadNotebook, match=f"Cell 2 is written in {name}"):
        cells.read(f"x = 1\n# COMMAND ----------\n# MAGIC {magic}\n# MAGIC val x = 1", "source", "python")


def test_lines_that_are_commands_become_calls_and_python_stays_as_it_is() -> None:
    assert cells.as_python("x = '''\n!ls\n'''") == "x = '''\n!ls\n'''"
    assert cells.as_python("if x:\n    !ls -l\n") == f"if x:\n    {cells.FOREIGN}('!ls -l')\n"
    assert cells.as_python("await x") == "await x"
