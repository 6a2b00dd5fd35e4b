"""Scripts and data on an S3 service: fetched and written with the server's keys."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from runyard import Client, Python, Task
from runyard import Job as Spec
from tests.dialects.glue import own
from tests.dialects.glue.world import World
from tests.live_server import live_server
from tests.warehouse.object_server import ObjectServer

KEYS = {"RUNYARD_S3_ACCESS_KEY": "the-key", "RUNYARD_S3_SECRET_KEY": "the-secret"}
ETL = """
import json, sys
import helpers, lone
from awsglue.context import GlueContext
from awsglue.job import Job
context = GlueContext()
job = Job(context)
job.init("etl", {})
frame = context.create_dynamic_frame.from_options(
    connection_type="s3", connection_options={"paths": ["s3://lake/in/"], "recurse": True}, format="csv",
    format_options={"withHeader": True}, transformation_ctx="orders",
)
print(json.dumps([helpers.name, lone.name, frame.count()]))
if frame.count():
    context.write_dynamic_frame.from_options(
        frame=frame, connection_type="s3", connection_options={"path": "s3://lake/out", "partitionKeys": ["day"]},
        format="parquet",
    )
    again = context.create_dynamic_frame.from_options(
        connection_type="s3", connection_options={"paths": ["s3://lake/out/day=mon/"]}, format="parquet"
    )
    again.show()
job.commit()
"""


def test_a_script_is_fetched_with_the_servers_keys_which_other_programs_do_not_see(tmp_path: Path) -> None:
    service = ObjectServer()
    service.objects["/bucket/scripts/hello.py"] = b"print('from s3')"
    see = "from runyard.runtime import context\nprint([name for name in context.world() if name.startswith('s3_')])"
    try:
        with (
            live_server(tmp_path, "--dev", RUNYARD_S3_ENDPOINT=service.url, **KEYS) as url,
            closing(World(url, tmp_path)) as world,
            Client(url) as client,
        ):
            run = world.run(world.job(ScriptLocation="s3://bucket/scripts/hello.py"))
            assert world.output(run) == ["from s3"]
            assert [signed for method, _, _, signed in service.asked if method == "GET"] == ["the-key"]
            lost = world.run(world.job(ScriptLocation="s3://bucket/lost.py"))
            assert lost["JobRunState"] == "FAILED"
            assert "s3://bucket/lost.py cannot be read" in lost["ErrorMessage"]
            action = Python(source=see)
            done = client.run(Spec(name="other", tasks=[Task(key="a", action=action)]), timeout=30)
            assert client.log(done.task("a").id).decode().strip() == "['s3_root', 's3_endpoint']"
    finally:
        service.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = own.environment(tmp_path_factory.mktemp("moto") / "environment", "moto[server]>=5.2,<6")
    with own.s3_service(python) as url:
        yield url


@pytest.mark.long
def test_frames_are_read_from_and_written_to_an_s3_service_with_bookmarks(service: str, tmp_path: Path) -> None:
    arguments = {
        "--extra-py-files": "s3://lake/code/helpers.zip,s3://lake/code/lone.py",
        "--job-bookmark-option": "job-bookmark-enable",
    }
    with (
        live_server(tmp_path, "--dev", RUNYARD_S3_ENDPOINT=service, **KEYS) as url,
        closing(World(url, tmp_path)) as world,
        closing(bucket(service)) as store,
    ):
        fill(store)
        job = world.job(ScriptLocation="s3://lake/code/etl.py", command="glueetl", DefaultArguments=arguments)
        first = world.run(job)
        assert first["JobRunState"] == "SUCCEEDED", world.output(first)
        told, *rows = map(json.loads, world.output(first))
        assert told == ["zipped", "alone", 3]
        assert sorted(row["id"] for row in rows) == ["1", "3"]
        written = [one["Key"] for one in store.list_objects_v2(Bucket="lake", Prefix="out/")["Contents"]]
        assert sorted({key.split("/")[1] for key in written}) == ["day=mon", "day=tue"]
        assert json.loads(world.output(world.run(job))[0]) == ["zipped", "alone", 0]


def fill(store: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("helpers.py", "name = 'zipped'")
    store.put_object(Bucket="lake", Key="code/etl.py", Body=ETL.encode())
    store.put_object(Bucket="lake", Key="code/helpers.zip", Body=archive.getvalue())
    store.put_object(Bucket="lake", Key="code/lone.py", Body=b"name = 'alone'")
    store.put_object(Bucket="lake", Key="in/a.csv", Body=b"id,day\n1,mon\n2,tue\n")
    store.put_object(Bucket="lake", Key="in/deep/b.csv", Body=b"id,day\n3,mon\n")


def bucket(url: str) -> Any:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    store = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=Config(read_timeout=30), **keys)
    store.create_bucket(Bucket="lake")
    return store
