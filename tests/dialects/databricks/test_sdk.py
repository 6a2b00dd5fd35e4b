"""The story of jobs and runs through databricks-sdk, its waiters and its pagination."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse
from datetime import timedelta
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, OperationFailed, ResourceDoesNotExist
from databricks.sdk.service import iam, jobs
from databricks.sdk.service.jobs import RunLifeCycleState, RunResultState, RunType, TerminationCodeCode, TriggerType
from databricks.sdk.service.workspace import ImportFormat, Language

from .conftest import Rest

WAIT = timedelta(seconds=40)


@pytest.fixture(scope="module")
def w(url: str) -> WorkspaceClient:
    return WorkspaceClient(host=url, token="any")


def program(rest: Rest, text: str, key: str = "main", **more: object) -> jobs.Task:
    """A task that runs this program."""
    task = rest.python(key, text)
    return jobs.Task(
        task_key=key,
        spark_python_task=jobs.SparkPythonTask(python_file=task["spark_python_task"]["python_file"]),
        **more,  # type: ignore[arg-type]  # fields of a task
    )


def test_the_client_configures_itself_and_knows_who_it_is(w: WorkspaceClient) -> None:
    assert w.current_user.me().user_name == "dev"
    assert w.config.workspace_id == "1"


def test_a_job_runs_and_the_waiter_gives_its_run(w: WorkspaceClient, rest: Rest) -> None:
    job_id = w.jobs.create(name="good", tasks=[program(rest, "print('hello')")]).job_id
    run = w.jobs.run_now(job_id or 0).result(timeout=WAIT)
    assert run.state
    assert (run.state.life_cycle_state, run.state.result_state) == (
        RunLifeCycleState.TERMINATED,
        RunResultState.SUCCESS,
    )
    assert run.status
    assert run.status.termination_details
    assert run.status.termination_details.code is TerminationCodeCode.SUCCESS
    assert (run.job_id, run.run_type, run.trigger) == (job_id, RunType.JOB_RUN, TriggerType.ONE_TIME)
    assert run.tasks
    output = w.jobs.get_run_output(run.tasks[0].run_id or 0)
    assert (output.logs, output.logs_truncated) == ("hello\n", False)


def test_the_waiter_raises_when_a_run_failed_and_the_output_says_why(w: WorkspaceClient, rest: Rest) -> None:
    job_id = w.jobs.create(name="bad", tasks=[program(rest, "assert False, 'boo'")]).job_id
    waiter = w.jobs.run_now(job_id or 0)
    with pytest.raises(OperationFailed, match="Task main failed with message: Workload failed"):
        waiter.result(timeout=WAIT)
    run = w.jobs.get_run(waiter.run_id)
    assert run.tasks
    output = w.jobs.get_run_output(run.tasks[0].run_id or 0)
    assert output.error == "AssertionError: boo"
    assert output.error_trace
    assert output.error_trace.startswith("Traceback")


def test_a_submission_runs_is_found_and_is_no_job(w: WorkspaceClient, rest: Rest) -> None:
    task = program(rest, "print(1)")
    submitted = w.jobs.submit(
        run_name="once", tasks=[jobs.SubmitTask(task_key="main", spark_python_task=task.spark_python_task)]
    ).result(timeout=WAIT)
    assert (submitted.run_name, submitted.run_type) == ("once", RunType.SUBMIT_RUN)
    assert submitted.job_id
    assert submitted.job_id not in {job.job_id for job in w.jobs.list()}
    assert submitted.run_id in {run.run_id for run in w.jobs.list_runs(run_type=RunType.SUBMIT_RUN)}
    assert submitted.run_id not in {run.run_id for run in w.jobs.list_runs(run_type=RunType.JOB_RUN)}


def test_a_repair_runs_what_failed_and_is_told_in_the_history(w: WorkspaceClient, rest: Rest) -> None:
    marker = rest.folder / "marker"
    flaky = f"import os\nassert os.path.exists({str(marker)!r})"
    good, bad = program(rest, "print('good')", "good"), program(rest, flaky, "bad")
    bad.depends_on = [jobs.TaskDependency(task_key="good")]
    job_id = w.jobs.create(name="mend", tasks=[good, bad]).job_id
    waiter = w.jobs.run_now(job_id or 0)
    with pytest.raises(OperationFailed):
        waiter.result(timeout=WAIT)
    marker.touch()
    run = w.jobs.repair_run(waiter.run_id, rerun_all_failed_tasks=True).result(timeout=WAIT)
    assert run.state
    assert run.state.result_state is RunResultState.SUCCESS
    history = w.jobs.get_run(waiter.run_id, include_history=True).repair_history
    assert history
    assert [one.type.value for one in history if one.type] == ["ORIGINAL", "REPAIR"]
    with pytest.raises(InvalidParameterValue, match="The latest repair ID needs to be provided"):
        w.jobs.repair_run(waiter.run_id, rerun_tasks=["good"])
    again = w.jobs.repair_run(waiter.run_id, rerun_tasks=["good"], latest_repair_id=history[1].id).result(timeout=WAIT)
    assert again.tasks
    assert sorted(one.task_key for one in again.tasks) == ["bad", "bad", "good", "good"]


def test_a_run_and_one_task_of_it_can_be_cancelled(w: WorkspaceClient, rest: Rest) -> None:
    slow = "import time\ntime.sleep(60)"
    job_id = w.jobs.create(name="slow", tasks=[program(rest, slow)]).job_id or 0
    cancelled = w.jobs.cancel_run_and_wait(w.jobs.run_now(job_id).run_id, timeout=WAIT)
    assert cancelled.state
    assert cancelled.state.result_state is RunResultState.CANCELED
    assert cancelled.state.user_cancelled_or_timedout
    run_id = w.jobs.run_now(job_id).run_id
    tasks = w.jobs.get_run(run_id).tasks
    assert tasks
    w.jobs.cancel_run(tasks[0].run_id or 0)
    assert rest.until(run_id)["state"]["result_state"] == "CANCELED"
    first, second = w.jobs.run_now(job_id).run_id, w.jobs.run_now(job_id).run_id
    assert rest.run(second)["state"]["life_cycle_state"] == "QUEUED"
    w.jobs.cancel_all_runs(job_id=job_id)
    assert [rest.until(one)["state"]["result_state"] for one in (first, second)] == ["CANCELED", "CANCELED"]
    w.jobs.delete_run(first)
    with pytest.raises(ResourceDoesNotExist):
        w.jobs.get_run(first)


def test_jobs_are_listed_page_by_page_changed_and_deleted(w: WorkspaceClient, rest: Rest) -> None:
    ids = [w.jobs.create(name="Paged", tasks=[program(rest, "print(1)")]).job_id for _ in range(5)]
    assert [job.job_id for job in w.jobs.list(name="paged", limit=2)] == ids[::-1]
    w.jobs.update(ids[0] or 0, new_settings=jobs.JobSettings(tags={"a": "b"}), fields_to_remove=["queue"])
    settings = w.jobs.get(ids[0] or 0).settings
    assert settings
    assert (settings.tags, settings.queue, settings.name) == ({"a": "b"}, None, "Paged")
    w.jobs.reset(ids[0] or 0, jobs.JobSettings(name="other"))
    settings = w.jobs.get(ids[0] or 0).settings
    assert settings
    assert (settings.name, settings.tags, settings.tasks) == ("other", None, [])
    for job_id in ids:
        w.jobs.delete(job_id or 0)
    assert not list(w.jobs.list(name="Paged"))
    with pytest.raises(ResourceDoesNotExist, match="does not exist"):
        w.jobs.get(ids[0] or 0)


def test_arrays_over_100_come_whole_through_the_client(w: WorkspaceClient, rest: Rest) -> None:
    conditions = [
        jobs.Task(
            task_key=f"t{n}", condition_task=jobs.ConditionTask(op=jobs.ConditionTaskOp.EQUAL_TO, left="1", right="1")
        )
        for n in range(250)
    ]
    job_id = w.jobs.create(name="wide", tasks=conditions).job_id or 0
    settings = w.jobs.get(job_id).settings
    assert settings
    assert len(settings.tasks or []) == 250
    run = w.jobs.run_now(job_id).result(timeout=WAIT)
    assert len(run.tasks or []) == 250 or len(w.jobs.get_run(run.run_id or 0).tasks or []) == 250
    listed = next(iter(w.jobs.list_runs(job_id=job_id, expand_tasks=True)))
    assert len(listed.tasks or []) == 250
    listed_job = next(iter(w.jobs.list(name="wide", expand_tasks=True)))
    assert listed_job.settings
    assert len(listed_job.settings.tasks or []) == 250


def test_runs_are_listed_page_by_page(w: WorkspaceClient, rest: Rest) -> None:
    task = jobs.Task(
        task_key="c", condition_task=jobs.ConditionTask(op=jobs.ConditionTaskOp.EQUAL_TO, left="1", right="1")
    )
    job_id = w.jobs.create(name="often", tasks=[task], max_concurrent_runs=10).job_id or 0
    ids = [w.jobs.run_now(job_id).run_id for _ in range(5)]
    assert [run.run_id for run in w.jobs.list_runs(job_id=job_id, limit=2)] == ids[::-1]
    assert [run.run_id for run in itertools.islice(w.jobs.list_runs(job_id=job_id, completed_only=True), 2)] == ids[
        :2:-1
    ]
    assert not list(w.jobs.list_runs(job_id=job_id, active_only=True))


def test_an_export_holds_the_model_that_clients_read(w: WorkspaceClient, rest: Rest) -> None:
    run = w.jobs.run_now(w.jobs.create(name="x", tasks=[program(rest, "print('shown')")]).job_id or 0).result(
        timeout=WAIT
    )
    assert run.tasks
    views = w.jobs.export_run(run.tasks[0].run_id or 0).views
    assert views
    content = views[0].content or ""
    encoded = content.split("__DATABRICKS_NOTEBOOK_MODEL = '")[1].split("'")[0]
    model = json.loads(urllib.parse.unquote(base64.b64decode(encoded).decode()))
    assert model["commands"][0]["results"]["data"] == "shown\n"


def test_permissions_on_a_job_are_kept(w: WorkspaceClient, rest: Rest) -> None:
    job_id = str(w.jobs.create(name="mine", tasks=[program(rest, "print(1)")]).job_id)
    level = iam.PermissionLevel.CAN_MANAGE_RUN
    entry = iam.AccessControlRequest(user_name="ann", permission_level=level)
    kept = w.permissions.update("jobs", job_id, access_control_list=[entry])
    shown = {
        one.user_name: one.all_permissions[0].permission_level
        for one in kept.access_control_list or []
        if one.all_permissions
    }
    assert shown == {"dev": iam.PermissionLevel.IS_OWNER, "ann": level}
    with pytest.raises(InvalidParameterValue, match=r"The job must have exactly one owner\."):
        w.permissions.set("jobs", job_id, access_control_list=[entry])
    levels = w.permissions.get_permission_levels("jobs", job_id).permission_levels
    assert [one.permission_level.value for one in levels or [] if one.permission_level] == [
        "CAN_VIEW",
        "CAN_MANAGE_RUN",
        "CAN_MANAGE",
        "IS_OWNER",
    ]


def test_permissions_are_also_called_through_the_jobs(w: WorkspaceClient, rest: Rest) -> None:
    job_id = str(w.jobs.create(name="ours", tasks=[program(rest, "print(1)")]).job_id)
    ann = jobs.JobAccessControlRequest(user_name="ann", permission_level=jobs.JobPermissionLevel.CAN_VIEW)
    dev = jobs.JobAccessControlRequest(user_name="dev", permission_level=jobs.JobPermissionLevel.IS_OWNER)
    w.jobs.update_permissions(job_id, access_control_list=[ann])
    assert {one.user_name for one in w.jobs.get_permissions(job_id).access_control_list or []} == {"ann", "dev"}
    assert len(w.jobs.get_permission_levels(job_id).permission_levels or []) == 4
    w.jobs.set_permissions(job_id, access_control_list=[dev])
    assert {one.user_name for one in w.jobs.get_permissions(job_id).access_control_list or []} == {"dev"}


def test_every_call_that_waits_gives_the_run_at_its_end(w: WorkspaceClient, rest: Rest) -> None:
    task = program(rest, "print(1)")
    job_id = w.jobs.create(name="waits", tasks=[task]).job_id or 0
    run = w.jobs.run_now_and_wait(job_id, timeout=WAIT)
    again = w.jobs.repair_run_and_wait(run.run_id or 0, rerun_tasks=["main"], timeout=WAIT)
    once = jobs.SubmitTask(task_key="main", spark_python_task=task.spark_python_task)
    submitted = w.jobs.submit_and_wait(tasks=[once], timeout=WAIT)
    looked = w.jobs.wait_get_run_job_terminated_or_skipped(run.run_id or 0, timeout=WAIT)
    for one in (run, again, submitted, looked):
        assert one.state
        assert one.state.result_state is RunResultState.SUCCESS


def test_every_method_of_the_client_is_called_here() -> None:
    methods = {name for name in vars(jobs.JobsAPI) if not name.startswith("_")}
    text = Path(__file__).read_text()
    assert {name for name in methods if f"w.jobs.{name}(" not in text} == set()


def test_clusters_versions_and_node_types_can_be_chosen(w: WorkspaceClient) -> None:
    w.clusters.ensure_cluster_is_running("any")
    assert w.clusters.select_spark_version(long_term_support=True) == "15.4.x-scala2.12"
    assert w.clusters.select_node_type(local_disk=True) == "i3.xlarge"


def test_dbfs_holds_files_that_tasks_run(w: WorkspaceClient, rest: Rest) -> None:
    with w.dbfs.open("/scripts/hi.py", write=True, overwrite=True) as file:
        file.write(b"print('from dbfs')\n")
    assert w.dbfs.exists("/scripts/hi.py")
    with w.dbfs.open("/scripts/hi.py", read=True) as file:
        assert file.read() == b"print('from dbfs')\n"
    assert [one.path for one in w.dbfs.list("/scripts")] == ["/scripts/hi.py"]
    task = jobs.SubmitTask(task_key="main", spark_python_task=jobs.SparkPythonTask(python_file="dbfs:/scripts/hi.py"))
    run = w.jobs.submit(tasks=[task]).result(timeout=WAIT)
    assert run.tasks
    assert w.jobs.get_run_output(run.tasks[0].run_id or 0).logs == "from dbfs\n"
    w.dbfs.delete("/scripts", recursive=True)
    assert not w.dbfs.exists("/scripts")


def test_the_workspace_holds_notebooks_and_files(w: WorkspaceClient, rest: Rest) -> None:
    source = base64.b64encode(b"print(1)").decode()
    w.workspace.mkdirs("/Users/ann")
    w.workspace.import_(
        "/Users/ann/nb", content=source, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )
    status = w.workspace.get_status("/Users/ann/nb")
    assert (status.path, status.language) == ("/Users/ann/nb", Language.PYTHON)
    assert status.object_type
    assert status.object_type.value == "NOTEBOOK"
    exported = base64.b64decode(w.workspace.export("/Users/ann/nb").content or "")
    assert exported == b"# Databricks notebook source\nprint(1)"
    w.workspace.upload("/Users/ann/tool.py", b"print('tool')", format=ImportFormat.AUTO, overwrite=True)
    assert [one.path for one in w.workspace.list("/Users/ann")] == ["/Users/ann/nb", "/Users/ann/tool.py"]
    task = jobs.SubmitTask(task_key="main", spark_python_task=jobs.SparkPythonTask(python_file="/Users/ann/tool.py"))
    run = w.jobs.submit(tasks=[task]).result(timeout=WAIT)
    assert run.tasks
    assert w.jobs.get_run_output(run.tasks[0].run_id or 0).logs == "tool\n"
    w.workspace.delete("/Users/ann", recursive=True)
    with pytest.raises(ResourceDoesNotExist):
        w.workspace.get_status("/Users/ann/nb")
