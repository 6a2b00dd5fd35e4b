"""A dbt project over the warehouse's tables. Long: dbt is installed from the package index first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import Client, Dbt, Job, Run, Sql, Task
from tests.live_server import live_server

PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0.0'\nprofile: any\nmodel-paths: [models]\nseed-paths: [seeds]\n",
    "models/sources.yml": "sources:\n  - {name: raw, schema: main, tables: [{name: orders}]}\n",
    "models/daily.sql": "select day, sum(n)::int as n from {{ source('raw', 'orders') }} group by day\n",
    "models/best.sql": (
        "{{ config(materialized='table', schema='marts') }}\nselect d.day, p.title from {{ ref('daily') }} d "
        "join {{ ref('names') }} p using (day) order by n desc limit 1\n"
    ),
    "models/broken.sql": "{{ config(tags=['broken']) }}\nselect nothing from {{ ref('daily') }}\n",
    "models/grown.sql": (
        "{{ config(materialized='incremental') }}\nselect count(*)::int as n from {{ source('raw', 'orders') }}\n"
    ),
    "seeds/names.csv": "day,title\nmo,Monday\ntu,Tuesday\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with live_server(tmp_path_factory.mktemp("dbt"), "--dev") as url, Client(url) as one:
        text = "create table orders (day text, n int); insert into orders values ('mo', 1), ('tu', 2), ('tu', 3)"
        assert one.run(Job(name="orders", tasks=[Task(key="main", action=Sql(statement=text))])).succeeded
        yield one


def ran(client: Client, project: Path, *commands: str) -> Run:
    action = Dbt(project=str(project), commands=list(commands))
    return client.run(Job(name="shop", tasks=[Task(key="main", action=action)]), timeout=300)


@pytest.mark.long
def test_models_read_the_warehouse_and_come_back_to_it(client: Client, project: Path) -> None:
    run = ran(client, project, "dbt seed", "dbt run --exclude tag:broken", "dbt test")
    main = run.task("main")
    assert run.succeeded, client.log(main.id).decode()
    assert client.query("select n from daily order by n").rows == [[1], [5]]
    assert client.query("select * from main_marts.best").rows == [["tu", "Tuesday"]]
    assert main.metrics == {"results": 4}
    assert [one["success"] for one in client.output(main.id)["commands"]] == [True, True, True]
    assert json.loads(client.artifact(main.id, "run_results.json"))["args"]["which"] in ("run", "test")
    assert not (project / "target").exists()


@pytest.mark.long
def test_what_an_earlier_run_built_is_there_for_the_next(client: Client, project: Path) -> None:
    for count in (1, 2):
        run = ran(client, project, "dbt run --select grown")
        assert run.succeeded, client.log(run.task("main").id).decode()
        assert client.query("select count(*) from grown").rows == [[count + 1]]  # one stands from the first test


@pytest.mark.long
def test_a_model_that_fails_fails_the_task_and_the_others_are_kept(client: Client, project: Path) -> None:
    run = ran(client, project, "dbt run --select daily broken", "dbt test")
    assert run.state == "failed"
    error = run.task("main").error
    assert error is not None
    assert "dbt run --select daily broken did not succeed. model.shop.broken" in error["message"]
    (only,) = client.output(run.task("main").id)["commands"]
    assert {one["id"]: one["status"] for one in only["results"]} == {
        "model.shop.daily": "success",
        "model.shop.broken": "error",
    }
