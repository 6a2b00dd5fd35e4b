"""Tasks that Spark runs: refused where there is none, and really run where there is one."""

from __future__ import annotations

import base64
import importlib.util
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runyard.core.actions import Shell
from runyard.core.errors import RunyardError
from runyard.dialects.databricks import compile as compiling
from runyard.dialects.databricks import spark
from runyard.dialects.databricks.parts import Spark, Surroundings
from runyard.dialects.databricks.paths import Roots
from tests.dialects.glue.own import environment, told
from tests.live_server import live_server

from .conftest import Rest

AROUND = Surroundings(roots=Roots.below("/data"), spark=Spark("/opt/spark", "spark://host:7077", "/opt/java"))
JAR = {"main_class_name": "com.example.Main", "parameters": ["{{job.run_id}}", "b"]}


def command(task: dict[str, object]) -> Shell:
    spec = compiling.job({"tasks": [{"task_key": "t", **task}]}, AROUND)
    action = spec.tasks[0].action
    assert isinstance(action, Shell)
    return action


def test_a_jar_is_started_with_its_libraries_and_parameters() -> None:
    maven = {"coordinates": "org.example:tool:1.0", "exclusions": ["a:b"], "repo": "https://maven.example.com"}
    libraries = [{"jar": "dbfs:/app.jar"}, {"jar": "/Workspace/Shared/more.jar"}, {"maven": maven}]
    found = command({"spark_jar_task": JAR, "libraries": libraries})
    assert found.command == [
        "/opt/spark/bin/spark-submit", "--master", "spark://host:7077", "--class", "com.example.Main",
        "--packages", "org.example:tool:1.0", "--exclude-packages", "a:b",
        "--repositories", "https://maven.example.com", "--jars", "/data/databricks/workspace/Shared/more.jar",
        "/data/files/app.jar", "{{ run.id }}", "b",
    ]  # fmt: skip
    assert found.environment == {"SPARK_HOME": "/opt/spark", "JAVA_HOME": "/opt/java"}


def test_what_spark_submit_is_given_goes_through_with_paths_of_ours() -> None:
    given = ["--jars", "dbfs:/a.jar,dbfs:/b.jar", "--class", "Main", "dbfs:/app.jar", "10", "a,b"]
    found = command({"spark_submit_task": {"parameters": given}})
    jars = "/data/files/a.jar,/data/files/b.jar"
    assert found.command[3:] == ["--jars", jars, "--class", "Main", "/data/files/app.jar", "10", "a,b"]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"spark_jar_task": {}}, "needs a main_class_name"),
        ({"spark_jar_task": {"main_class_name": "Main"}}, "needs a jar among the task's libraries"),
        ({"spark_submit_task": {"parameters": []}}, "needs parameters"),
    ],
)
def test_a_wrong_spark_task_is_refused(task: dict[str, object], said: str) -> None:
    with pytest.raises(RunyardError, match=said):
        command(task)


@pytest.mark.parametrize("task", [{"spark_jar_task": JAR}, {"spark_submit_task": {"parameters": ["x.py"]}}])
def test_without_spark_the_refusal_says_what_to_set(rest: Rest, task: dict[str, object]) -> None:
    said = rest.refused("/jobs/create", tasks=[{"task_key": "t", **task, "libraries": [{"jar": "dbfs:/a.jar"}]}])
    assert "databricks.spark_home" in said
    assert "record_only" in said


def test_unknown_options_are_refused() -> None:
    with pytest.raises(RunyardError, match=r"no option databricks\.spark"):
        spark.installation({"spark": "/opt/spark"})


def spark_home(folder: Path) -> Path:
    """Where pyspark lies; installed into an environment of its own where the tests' has none."""
    found = importlib.util.find_spec("pyspark")
    if found is not None and found.origin:
        return Path(found.origin).parent
    python = environment(folder / "environment", "pyspark>=3.5,<4")
    return Path(told(python, "import pyspark; print(pyspark.__path__[0])").strip())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    if shutil.which("java") is None:
        pytest.skip("there is no java on this machine")
    folder = tmp_path_factory.mktemp("spark")
    options = f"databricks.spark_home={spark_home(folder)}"
    with live_server(folder, "--dev", RUNYARD_OPTIONS=options) as url, httpx.Client(base_url=url, timeout=30) as http:
        yield Rest(http, "2.2", folder)


def put(rest: Rest, path: str, content: bytes) -> None:
    rest.call("POST", "/dbfs/put", json={"path": path, "contents": base64.b64encode(content).decode()})


@pytest.mark.long
def test_spark_runs_an_application_and_its_parameters_are_resolved(cluster: Rest) -> None:
    program = b"""
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("sum", sys.argv[1], spark.range(101).selectExpr("sum(id) AS n").first().n)
"""
    put(cluster, "/app.py", program)
    task = {"task_key": "t", "spark_submit_task": {"parameters": ["dbfs:/app.py", "{{job.run_id}}"]}}
    run = cluster.until(cluster.start(cluster.create(task)), seconds=150)
    assert run["state"]["result_state"] == "SUCCESS"
    task_run = run["tasks"][0]["run_id"]
    assert f"sum {run['run_id']} 5050" in cluster.get("/jobs/runs/get-output", run_id=task_run)["logs"]
    shown = cluster.run(run["run_id"], include_resolved_values="true")["tasks"][0]["resolved_values"]
    file = str(cluster.folder / "data" / "files" / "app.py")
    assert shown == {"spark_submit_task": {"parameters": [file, str(run["run_id"])]}}


@pytest.mark.long
def test_spark_runs_the_main_class_of_a_jar(cluster: Rest) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    put(cluster, "/app.jar", packed.getvalue())  # the class comes with Spark itself: no compiler is needed
    work = {"main_class_name": "org.apache.hadoop.util.VersionInfo"}
    task = {"task_key": "t", "spark_jar_task": work, "libraries": [{"jar": "dbfs:/app.jar"}]}
    run = cluster.until(cluster.start(cluster.create(task)), seconds=150)
    assert run["state"]["result_state"] == "SUCCESS"
    assert "Hadoop 3." in cluster.get("/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"])["logs"]
