"""Apache Airflow's operators, in an environment of their own: they submit, start, watch, repair and cancel."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dialects.glue.own import environment, told

from .conftest import Rest, condition

STORY = """
import json, sys
from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.databricks.operators.databricks import DatabricksRunNowOperator, DatabricksSubmitRunOperator

job, failing, task = json.loads(sys.argv[1])
pause = {"polling_period_seconds": 1, "do_xcom_push": False, "databricks_retry_delay": 1}
once = DatabricksSubmitRunOperator(task_id="once", tasks=[task], **pause)
once.execute({})
kept = DatabricksRunNowOperator(task_id="kept", job_name="for airflow", job_parameters={"p": "from airflow"}, **pause)
kept.execute({})
try:
    DatabricksRunNowOperator(task_id="failing", job_id=failing, **pause).execute({})
    said = "nothing was raised"
except Exception as error:
    said = str(error)
hook = DatabricksHook(retry_delay=1)
found = {"once": hook.get_run_state(once.run_id).result_state, "kept": hook.get_run_state(kept.run_id).result_state}
found |= {"run": kept.run_id, "said": said, "job": hook.find_job_id_by_name("for airflow")}
print("FOUND " + json.dumps(found))
"""


@pytest.mark.long
def test_the_operators_submit_start_and_tell_why_a_run_failed(rest: Rest, url: str, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment", "apache-airflow-providers-databricks>=7,<8")
    where = {"conn_type": "databricks", "host": "127.0.0.1", "port": urlsplit(url).port, "schema": "http"}
    connection = json.dumps({**where, "password": "any"})
    good = condition("c", "{{job.parameters.p}}", "from airflow")
    job = rest.create(good, name="for airflow", parameters=[{"name": "p", "default": "none"}])
    failing = rest.create(rest.python("main", "raise SystemExit('out of luck')"), name="fails for airflow")
    asked = json.dumps([job, failing, condition("c")])
    folder = str(tmp_path)
    printed = told(python, STORY, asked, AIRFLOW_HOME=folder, HOME=folder, AIRFLOW_CONN_DATABRICKS_DEFAULT=connection)
    found = json.loads(printed.partition("FOUND ")[2].splitlines()[0])
    assert (found["once"], found["kept"], found["job"]) == ("SUCCESS", "SUCCESS", job)
    assert "failed" in found["said"]
    assert rest.run(found["run"])["tasks"][0]["condition_task"]["outcome"] == "true"
