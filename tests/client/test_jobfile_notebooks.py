"""How notebooks, wheels and checkouts are written in a job file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runyard.client.jobfile import parse
from runyard.client.nodes import JobFileError
from runyard.core.actions import Checkout, Notebook, Python, Shell, Wheel


def action(text: str, folder: Path) -> Any:
    return parse(f"job: j\ntasks:\n  t:\n    {text}\n", folder=folder).tasks[0].action


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("notebook: /reports/daily", Notebook(path="/reports/daily")),
        ("notebook: {path: a, parameters: {n: 1}}", Notebook(path="a", parameters={"n": "1"})),
        ("notebook: {file: n.ipynb}", Notebook(source='{"cells": []}', format="jupyter")),
        ("notebook: {file: n.sql}", Notebook(source="select 1", language="sql")),
        ("notebook: {file: n.py, root: /lib}", Notebook(source="x = 1", root="/lib")),
        ("wheel: {package: p, entry_point: e, index: false}", Wheel(package="p", entry_point="e", index=False)),
        ("shell: {command: ls, checkout: /srv/r}", Shell(command="ls", checkout=Checkout(url="/srv/r"))),
        (
            "python: {module: m, requirements: [a], checkout: {url: /srv/r, tag: v1}}",
            Python(module="m", requirements=["a"], checkout=Checkout(url="/srv/r", tag="v1")),
        ),
    ],
)
def test_it_is_read_as_it_is_meant(text: str, expected: object, tmp_path: Path) -> None:
    for name, content in (("n.ipynb", '{"cells": []}'), ("n.sql", "select 1"), ("n.py", "x = 1")):
        (tmp_path / name).write_text(content)
    assert action(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notebook: {file: none.py}", "cannot read 'none.py'"),
        ("notebook: {source: x, file: y.py}", "source and file exclude each other"),
        ("wheel: {package: p}", "wheel needs 'entry_point'"),
        ("shell: {command: ls, checkout: {branch: main}}", "a checkout needs the 'url'"),
        ("shell: {command: ls, checkout: {url: /r, brunch: main}}", "branch"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=said):
        action(text, tmp_path)
