"""A notebook on PySpark itself. Long: PySpark is installed from the package index, and a JVM is started."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runyard import Client, Job, Notebook, Task
from tests.live_server import live_server

BOOK = """# Databricks notebook source
frame = spark.range(5).withColumnRenamed("id", "n")
frame.createOrReplaceTempView("numbers")
display(frame)
# COMMAND ----------
# MAGIC %sql select sum(n) as s from numbers where n >= :least
# COMMAND ----------
dbutils.notebook.exit(spark.sql("select count(*) as c from numbers").first()["c"])
"""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, and this machine has none")
def test_spark_is_pyspark_where_it_is_installed(tmp_path: Path) -> None:
    action = Notebook(source=BOOK, requirements=["pyspark>=4,<5"], parameters={"least": "1"})
    with live_server(tmp_path, "--dev") as url, Client(url) as client:
        run = client.run(Job(name="spark", tasks=[Task(key="main", action=action)]), timeout=900)
        assert run.succeeded, client.log(run.task("main").id).decode()
        assert client.output(run.task("main").id)["result"] == "5"
        cells = json.loads(client.artifact(run.task("main").id, "notebook.json"))["cells"]
        assert "<td>4</td>" in cells[0]["outputs"][-1]["html"]
        assert "<td>10</td>" in cells[1]["outputs"][-1]["html"]
