"""What this dialect says, as data: states, limits, kinds of tasks, and which fields do nothing here.

Sources: databricks-sdk 0.156.0 `service/jobs.py` (enumerations), recorded answers of real workspaces, and the
service's documentation. Where nothing better is known the row says "our choice".
"""

from __future__ import annotations

import msgspec

from runyard.core.states import Reason, State

NAME = "databricks"
WORKSPACE_ID = "1"
FAILED_TASK = "Workload failed, see run output for details"


class Shown(msgspec.Struct, frozen=True):
    """One of our states in this service's words: the old `state` and the new `status`."""

    life_cycle: str
    result: str | None = None
    status: str = "TERMINATED"
    code: str | None = None
    type: str | None = None
    stopped: bool = False
    """user_cancelled_or_timedout."""


_LIVE = {
    State.QUEUED: Shown("PENDING", status="PENDING"),
    State.BLOCKED: Shown("BLOCKED", status="BLOCKED"),
    State.STARTING: Shown("PENDING", status="PENDING"),
    State.RUNNING: Shown("RUNNING", status="RUNNING"),
    State.CANCELLING: Shown("TERMINATING", status="TERMINATING"),
    State.WAITING: Shown("WAITING_FOR_RETRY", status="WAITING"),
}

TASK_STATES: dict[State, Shown] = {
    **_LIVE,
    State.SUCCEEDED: Shown("TERMINATED", "SUCCESS", code="SUCCESS", type="SUCCESS"),
    State.FAILED: Shown("TERMINATED", "FAILED", code="RUN_EXECUTION_ERROR", type="CLIENT_ERROR"),
    State.CANCELLED: Shown("TERMINATED", "CANCELED", code="USER_CANCELED", type="CLIENT_ERROR", stopped=True),
    State.TIMED_OUT: Shown("TERMINATED", "TIMEDOUT", code="CANCELED", type="CLIENT_ERROR", stopped=True),
    State.SKIPPED: Shown("SKIPPED", "EXCLUDED", code="SKIPPED", type="SUCCESS"),
    State.UPSTREAM_FAILED: Shown("SKIPPED", "UPSTREAM_FAILED", code="SKIPPED", type="CLIENT_ERROR"),
    State.LOST: Shown("INTERNAL_ERROR", "FAILED", code="INTERNAL_ERROR", type="INTERNAL_ERROR"),
}
"""Total over our states. Of a task run."""

RUN_STATES: dict[State, Shown] = {
    **TASK_STATES,
    # A run with a failed task is told as an internal error, unlike the task itself: clients depend on it.
    State.FAILED: Shown("INTERNAL_ERROR", "FAILED", code="RUN_EXECUTION_ERROR", type="CLIENT_ERROR"),
}

QUEUED = Shown("QUEUED", status="QUEUED")
"""A run that its job's limit has not let in."""

BY_REASON: dict[tuple[State, str], Shown] = {
    (State.SUCCEEDED, Reason.WITH_FAILURES): Shown(
        "TERMINATED", "SUCCESS_WITH_FAILURES", code="SUCCESS_WITH_FAILURES", type="SUCCESS"
    ),
    (State.SKIPPED, Reason.JOB_LIMIT): Shown(
        "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", code="MAX_CONCURRENT_RUNS_EXCEEDED", type="CLIENT_ERROR"
    ),
    (State.SKIPPED, Reason.DISABLED): Shown("SKIPPED", "DISABLED", code="DISABLED", type="SUCCESS"),
    (State.UPSTREAM_FAILED, Reason.UPSTREAM_CANCELLED): Shown(
        "SKIPPED", "UPSTREAM_CANCELED", code="SKIPPED", type="CLIENT_ERROR"
    ),
    (State.CANCELLED, Reason.RUN_TIMEOUT): Shown(
        "TERMINATED", "CANCELED", code="CANCELED", type="CLIENT_ERROR", stopped=True
    ),
}

FAILURE_CODES: dict[str, tuple[str, str]] = {
    Reason.START_ERROR: ("RESOURCE_NOT_FOUND", "CLIENT_ERROR"),
    Reason.BAD_REFERENCE: ("INVALID_RUN_CONFIGURATION", "CLIENT_ERROR"),
    Reason.CHECKOUT: ("REPOSITORY_CHECKOUT_FAILED", "CLIENT_ERROR"),
    Reason.ENVIRONMENT: ("LIBRARY_INSTALLATION_ERROR", "CLIENT_ERROR"),
    Reason.LOST_WORKER: ("INTERNAL_ERROR", "INTERNAL_ERROR"),
    Reason.INTERNAL: ("INTERNAL_ERROR", "INTERNAL_ERROR"),
}
"""Termination code and type of a failed task run, by our reason; others are RUN_EXECUTION_ERROR."""

TRIGGERS: dict[str, str] = {
    "manual": "ONE_TIME",
    "schedule": "PERIODIC",
    "backfill": "PERIODIC",
    "rerun": "RETRY",
    "run_job": "RUN_JOB_TASK",
    "file_arrival": "FILE_ARRIVAL",
    "table_update": "TABLE",
    "continuous": "CONTINUOUS",
    "submit": "ONE_TIME",
    "attempt": "ONE_TIME",
}
"""Our triggers in this service's words, and CONTINUOUS_RESTART for a continuous job that is restarted by hand; MODEL
is never sent, for there is no model registry."""

ACTIVE = (State.QUEUED, State.RUNNING, State.CANCELLING)
COMPLETED = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.SKIPPED)

OPERATORS = {
    "EQUAL_TO": "==",
    "NOT_EQUAL": "!=",
    "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
    "LESS_THAN": "<",
    "LESS_THAN_OR_EQUAL": "<=",
}

TASK_TYPES: dict[str, str] = {
    "notebook_task": "works",
    "spark_python_task": "works",
    "python_wheel_task": "works",
    "sql_task": "works: query and file, in the SQL that [this page](../sql.md) covers, partitions included; alert and"
    " dashboard are refused",
    "dbt_task": "works",
    "condition_task": "works",
    "for_each_task": "works",
    "run_job_task": "works: job_parameters; the older parameter kinds are refused",
    "spark_jar_task": "works where the option databricks.spark_home names a Spark installation; else it is refused",
    "spark_submit_task": "works where the option databricks.spark_home names a Spark installation; else it is refused",
    "pipeline_task": "never: there is no pipeline service here",
    "dashboard_task": "never: there are no dashboards here",
    "power_bi_task": "never: publishing to Power BI needs that service",
    "clean_rooms_notebook_task": "never: clean rooms exist in the vendor's cloud only",
    "alert_task": "never: there are no alerts here",
    "dbt_cloud_task": "never: needs the dbt cloud service",
    "dbt_platform_task": "never: needs the dbt platform service",
    "gen_ai_compute_task": "never: needs the vendor's GPU service",
    "ai_runtime_task": "never: needs the vendor's GPU service",
    "python_operator_task": "never: unpublished beyond its fields",
}
"""Every kind of task of the published schema."""
SPARK_TASKS = ("spark_jar_task", "spark_submit_task")

_CLUSTER = "this server is the only cluster"
_POLICY = "a label for costs that nobody charges here"
_PIP = "packages come from pip: pypi and whl; jar and maven are for Spark tasks"
KEPT: dict[str, str] = {
    "JobSettings.run_as": "recorded; work runs as the server's own user",
    "JobSettings.job_clusters": _CLUSTER,
    "JobSettings.deployment": "a record of the client that made the job",
    "JobSettings.edit_mode": "a hint for the vendor's page",
    "JobSettings.parent_path": "a place in the vendor's page",
    "JobSettings.budget_policy_id": _POLICY,
    "JobSettings.usage_policy_id": _POLICY,
    "JobSettings.performance_target": "shown as effective_performance_target; there is one speed",
    "JobSettings.duration_target": "there is one speed",
    "Task.new_cluster": _CLUSTER,
    "Task.existing_cluster_id": _CLUSTER,
    "Task.job_cluster_key": f"{_CLUSTER}; it must name an entry of job_clusters",
    "Task.compute": _CLUSTER,
    "Task.disable_auto_optimization": "the vendor's serverless retries do not exist here",
    "JobCluster.serverless_compute_id": _CLUSTER,
    "Continuous.maintenance_window": "there is no maintenance of the vendor's",
    "Continuous.task_retry_mode": "a continuous job starts a new run after a failure, later and later",
    "ContinuousTriggerConfiguration.maintenance_window": "there is no maintenance of the vendor's",
    "ContinuousTriggerConfiguration.task_retry_mode": "as of continuous",
    "Environment.base_environment": "environments are made of their dependencies alone",
    "Environment.client": "environments are made of their dependencies alone",
    "Environment.environment_version": "environments are made of their dependencies alone",
    "Environment.java_dependencies": "Spark tasks have libraries",
    "Environment.project_environment": "environments are made of their dependencies alone",
    "JobEnvironmentVariablesSpec.files": "only variables are set",
    "GitSource.git_snapshot": "a record; each attempt's metrics hold its commit",
    "GitSource.job_source": "a record of the client that made the job",
    "GitSource.sparse_checkout": "the whole tree is checked out",
    "SparkJarTask.run_as_repl": "the application is started by spark-submit",
    "Library.cran": _PIP,
    "Library.egg": _PIP,
    "Library.requirements": _PIP,
    "PythonPyPiLibrary.repo": "pip's own settings name the index",
    "NotebookTask.warehouse_id": "there is one warehouse",
    "SqlTask.warehouse_id": "there is one warehouse, whatever it is called",
    "DbtTask.warehouse_id": "there is one warehouse",
    "DbtTask.catalog": "there is one catalog",
    "DbtTask.profiles_directory": "the profile is made for the warehouse here",
    "RunJobTask.pipeline_params": "refused: a run_job_task takes job_parameters",
    "SqlTask.alert": "refused: there are no alerts",
    "SqlTask.dashboard": "refused: there are no dashboards",
    "CronSchedule.sql_condition": "refused: conditions of stored queries are not watched",
    "TriggerSettings.sql_condition": "refused: conditions of stored queries are not watched",
    "TriggerSettings.model": "refused: there is no model registry",
    "TriggerConfiguration.sql_condition": "refused: conditions of stored queries are not watched",
    "TriggerConfiguration.model": "refused: there is no model registry",
    "JobEmailNotifications.on_maintenance_start": "there is no maintenance of the vendor's",
    "JobEmailNotifications.on_maintenance_complete": "there is no maintenance of the vendor's",
    "JobEmailNotifications.on_streaming_backlog_exceeded": "there are no streams",
    "WebhookNotifications.on_maintenance_start": "there is no maintenance of the vendor's",
    "WebhookNotifications.on_maintenance_complete": "there is no maintenance of the vendor's",
    "WebhookNotifications.on_streaming_backlog_exceeded": "there are no streams",
    "TaskEmailNotifications.on_maintenance_start": "there is no maintenance of the vendor's",
    "TaskEmailNotifications.on_maintenance_complete": "there is no maintenance of the vendor's",
    "TaskEmailNotifications.on_streaming_backlog_exceeded": "there are no streams",
    "JobSettings.email_notifications": "sent where the setting smtp_url names a mail server; else recorded",
    "JobsHealthRule.metric": "RUN_DURATION_SECONDS works; the STREAMING_ ones are kept, for there are no streams",
}
"""Fields that are given back as they came and do nothing else, or are refused, with the reason.

What lies below a cluster's specification, and below a kind of task that cannot run, is kept as well.
"""

_NO_KIND = "of a kind of task that cannot run here"
NEVER_SENT: dict[str, str] = {
    "Run.deployment_id": "a record of the client that made the job, which stands in its settings",
    "Run.version_id": "a record of the client that made the job, which stands in its settings",
    "Run.duration_target": "there is one speed",
    "RunOutput.ai_runtime_task_output": _NO_KIND,
    "RunOutput.alert_output": _NO_KIND,
    "RunOutput.clean_rooms_notebook_output": _NO_KIND,
    "RunOutput.dashboard_output": _NO_KIND,
    "RunOutput.dbt_cloud_output": _NO_KIND,
    "RunOutput.dbt_platform_output": _NO_KIND,
    "RunOutput.info": "there is nothing to add",
    "SqlOutput.alert_output": _NO_KIND,
    "SqlOutput.dashboard_output": _NO_KIND,
    "SqlQueryOutput.output_link": "there is no page of queries; the rows themselves are given",
    "ResolvedValues.simulation_task": "unpublished beyond its name",
    "Job.trigger_details": "a preview; trigger_state is given",
}
"""Fields of the published answers that are never sent, with the reason."""

LIMITS = {
    "tasks": 1000,
    "name_bytes": 4096,
    "description": 27_700,
    "tags": 25,
    "dbt_commands": 10,
    "environment_variables": 10,
    "concurrent_runs": 1000,
    "for_each_concurrency": 100,
    "idempotency_token": 64,
    "parameter_bytes": 10_000,
    "page_of_arrays": 100,
    "runs_page": 26,
    "runs_page_2_0": 1000,
    "jobs_page": 100,
    "default_page": 20,
    "offset": 10_000,
    "log_bytes": 5 * 1024 * 1024,
    "table_names": 10,
    "webhooks": 3,
}
"""Published limits that are held here. Bytes, characters or counts."""

YOUNG_MS = 1000
"""How long a run is shown as running at least: clients take a run that is over at once for one that never began."""

QUEUED_VIA = "2.2"
"""Jobs made through this version queue by default, those of earlier ones skip (the vendor's own client says so)."""

NOTEBOOK_LANGUAGES = {"PYTHON": "py", "SQL": "sql", "SCALA": "scala", "R": "r"}
HEADERS = {"py": "# Databricks notebook source", "sql": "-- Databricks notebook source"}
