"""What docs/notebooks.md shows runs as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import Client, Job, Notebook, Task
from runyard.client.jobfile import parse
from tests.live_server import live_server

PAGE = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with live_server(tmp_path_factory.mktemp("docs"), "--dev") as url, Client(url) as one:
        yield one


def test_the_first_job_runs_and_exits_as_the_page_says(client: Client) -> None:
    run = client.run(parse(blocks("yaml")[0]))
    assert run.succeeded, run
    assert client.output(run.task("prepare").id) == {"result": "3 rows of monday", "truncated": False}
    page = client.artifact(run.task("report").id, "notebook.json")
    assert b"<td>6</td>" in page


def test_the_notebook_on_spark_and_files_runs(client: Client) -> None:
    (source,) = blocks("python")
    run = client.run(Job(name="n", tasks=[Task(key="main", action=Notebook(source=source))]))
    assert run.succeeded, run
    assert client.output(run.task("main").id)["result"] == "tuesday"
