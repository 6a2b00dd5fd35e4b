"""Airflow's and Dagster's own clients, as their users have them: scripts and data on an S3 service, runs by us.

Long: each client is installed from the package index into an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.glue import own
from tests.dialects.glue.world import World
from tests.live_server import live_server

pytestmark = pytest.mark.long
S3_SETTINGS = {"RUNYARD_S3_ACCESS_KEY": "key", "RUNYARD_S3_SECRET_KEY": "secret"}

AIRFLOW = """
import json, os, sys
url, s3, script = sys.argv[1:]
extra = {"region_name": "us-east-1", "endpoint_url": url, "service_config": {"s3": {"endpoint_url": s3}}}
connection = {"conn_type": "aws", "login": "any", "password": "thing", "extra": extra}
os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)
from airflow.providers.amazon.aws.hooks.glue import GlueJobHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.amazon.aws.sensors.glue import GlueJobSensor

class TaskInstance:
    task_id = dag_id = run_id = "one"
    map_index = -1
    def xcom_push(self, key, value, **more): pass
    def xcom_pull(self, *given, **more): return None

def run(text, **more):
    with open(script, "w") as file:
        file.write(text)
    operator = GlueJobOperator(
        task_id="etl", job_name="from airflow", script_location=script, s3_bucket="scripts", replace_script_file=True,
        iam_role_name="runner", script_args={"--day": "monday"}, job_poll_interval=0.5, verbose=True,
        update_config=True, durable=False, **more,
    )
    return operator.execute({"ti": TaskInstance()})

S3Hook("aws_default").create_bucket("scripts")
settings = {"GlueVersion": "5.0", "WorkerType": "G.1X", "NumberOfWorkers": 2, "Tags": {"team": "a"}}
first = run("print('hello from the script')", create_job_kwargs=settings)
again = run("print('again')", create_job_kwargs={**settings, "NumberOfWorkers": 3, "Tags": {"owner": "b"}})
try:
    run("raise KeyError('no such day')", create_job_kwargs={**settings, "NumberOfWorkers": 3, "Tags": {"owner": "b"}})
    failed = "it did not fail"
except Exception as error:
    failed = str(error)
sensor = GlueJobSensor(task_id="wait", job_name="from airflow", run_id=again, verbose=True)
sleeper = GlueJobOperator(task_id="long", job_name="sleeper", script_location="s3://scripts/sleep.py",
    iam_role_name="runner", wait_for_completion=False, stop_job_run_on_kill=True, durable=False)
S3Hook("aws_default").load_string("import time; time.sleep(60)", "sleep.py", "scripts")
stopped = sleeper.execute({"ti": TaskInstance()})
sleeper.on_kill()
state = GlueJobHook(job_name="from airflow").get_job_state("from airflow", again)
print("TOLD", json.dumps({"runs": [first, again], "failed": failed, "poke": sensor.poke({}), "state": state,
    "stopped": stopped}))
"""

DAGSTER = """
import json, sys, boto3
url, s3, script = sys.argv[1:]
common = dict(region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="thing")
glue, logs = (boto3.client(one, endpoint_url=url, **common) for one in ("glue", "logs"))
store = boto3.client("s3", endpoint_url=s3, **common)
import dagster
from dagster_aws.pipes import PipesCloudWatchMessageReader, PipesGlueClient, PipesS3ContextInjector

store.create_bucket(Bucket="pipes")
store.upload_file(script, "pipes", "script.py")
command = {"Name": "glueetl", "ScriptLocation": "s3://pipes/script.py"}
modules = {"--additional-python-modules": "dagster-pipes,boto3"}
glue.create_job(Name="from dagster", Role="r", Command=command, DefaultArguments=modules)
client = PipesGlueClient(
    client=glue,
    context_injector=PipesS3ContextInjector(client=store, bucket="pipes"),
    message_reader=PipesCloudWatchMessageReader(client=logs),
)

@dagster.asset
def orders(context: dagster.AssetExecutionContext):
    given = {"JobName": "from dagster", "Arguments": {"--day": "monday"}}
    return client.run(context=context, start_job_run_params=given, extras={"rows": 3}).get_materialize_result()

done = dagster.materialize([orders])
(one,) = done.asset_materializations_for_node("orders")
print("TOLD", json.dumps({"success": done.success, "metadata": {k: v.value for k, v in one.metadata.items()}}))
"""

PIPES_SCRIPT = """
import sys
import boto3
from dagster_pipes import (
    PipesCliArgsParamsLoader, PipesDefaultMessageWriter, PipesS3ContextLoader, open_dagster_pipes,
)
client = boto3.client("s3", aws_access_key_id="key", aws_secret_access_key="secret")
with open_dagster_pipes(
    params_loader=PipesCliArgsParamsLoader(),
    context_loader=PipesS3ContextLoader(client=client),
    message_writer=PipesDefaultMessageWriter(),
) as pipes:
    day = sys.argv[sys.argv.index("--day") + 1]
    pipes.report_asset_materialization(metadata={"rows": pipes.get_extra("rows"), "day": day})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def story(folder: Path, text: str, *packages: str) -> Iterator[tuple[World, dict[str, Any]]]:
    """The server with an S3 service beside it, and what the client's program told."""
    python = own.environment(folder / "environment", *packages, "moto[server]>=5.2,<6")
    with own.s3_service(python) as s3, live_server(folder, "--dev", RUNYARD_S3_ENDPOINT=s3, **S3_SETTINGS) as url:
        (folder / "pipes.py").write_text(PIPES_SCRIPT)
        script, airflow = str(folder / "pipes.py"), str(folder / "airflow")
        said = own.told(python, text, url, s3, script, HOME=str(folder), AIRFLOW_HOME=airflow, DAGSTER_HOME="")
        world = World(url, folder)
        try:
            yield world, json.loads(said.split("TOLD ")[1].splitlines()[0])
        finally:
            world.close()


def test_airflows_operator_creates_updates_runs_follows_and_stops(folder: Path) -> None:
    for world, found in story(folder, AIRFLOW, "apache-airflow-providers-amazon>=9.39,<10"):
        assert (found["poke"], found["state"]) == (True, "SUCCEEDED")
        assert "Run State: FAILED" in found["failed"]
        runs = world.client.get_job_runs(JobName="from airflow")["JobRuns"]
        assert [run["JobRunState"] for run in runs] == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
        assert runs[0]["ErrorMessage"] == "KeyError: 'no such day'"
        assert [run["Id"] for run in runs[:0:-1]] == found["runs"]
        assert world.output(runs[2]) == ["hello from the script"]
        job = world.client.get_job(JobName="from airflow")["Job"]
        assert (job["Role"], job["NumberOfWorkers"]) == ("arn:aws:iam::123456789012:role/runner", 3)
        tags = world.client.get_tags(ResourceArn=world.arn("job", "from airflow"))["Tags"]
        assert tags == {"owner": "b"}
        assert world.ended("sleeper", found["stopped"])["JobRunState"] == "STOPPED"


def test_dagsters_pipes_client_gets_what_the_script_reports(folder: Path) -> None:
    for world, found in story(folder, DAGSTER, "dagster-aws>=0.29,<0.30"):
        assert found["success"]
        assert (found["metadata"]["rows"], found["metadata"]["day"]) == (3, "monday")
        (run,) = world.client.get_job_runs(JobName="from dagster")["JobRuns"]
        assert run["JobRunState"] == "SUCCEEDED"
        assert found["metadata"]["AWS Glue Job Run ID"] == run["Id"]
