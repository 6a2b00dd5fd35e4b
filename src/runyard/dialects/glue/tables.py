"""What AWS Glue says and how much, as data: states, defaults, capacities, what is answered and what never will be."""

from __future__ import annotations

from runyard.core.states import State

NAME = "glue"
STATES: dict[State, str] = {
    State.BLOCKED: "STARTING",
    State.QUEUED: "STARTING",
    State.WAITING: "STARTING",
    State.STARTING: "STARTING",
    State.RUNNING: "RUNNING",
    State.CANCELLING: "STOPPING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "STOPPED",
    State.TIMED_OUT: "TIMEOUT",
    State.SKIPPED: "FAILED",
    State.UPSTREAM_FAILED: "FAILED",
    State.LOST: "FAILED",
}
"""A task run's state as JobRunState. WAITING is said where queuing is on and a limit holds the run back, ERROR where
a trigger or workflow would have run a job that is gone; EXPIRED is never sent."""

WAITING_DETAIL = "max concurrent job runs per job exceeded"
"""StateDetail of a run that waits for its job's MaxConcurrentRuns."""

SPARK, PYTHON_SHELL = ("glueetl", "gluestreaming", "glueray"), "pythonshell"
LOG_GROUPS = {PYTHON_SHELL: "/aws-glue/python-jobs"}
SPARK_LOG_GROUP = "/aws-glue/jobs"

DEFAULT_TIMEOUT = 2880
"""Minutes (Developer Guide, 'Job runs'); 480 where GlueVersion is set and 5.0 or newer."""
DEFAULT_TIMEOUT_5 = 480
MAX_TIMEOUT = 10_080
MAX_RETRIES = 10
RETRY_SECONDS = 1.0
"""Our choice: AWS waits about half a minute."""
MIN_CAPACITY, MAX_CAPACITY, DEFAULT_CAPACITY = 2, 100, 10
SHELL_CAPACITIES = (0.0625, 1.0)
WORKER_DPU = {
    "Standard": 1.0, "G.025X": 0.25, "G.1X": 1.0, "G.2X": 2.0, "G.4X": 4.0, "G.8X": 8.0, "G.12X": 12.0, "G.16X": 16.0,
    "Z.2X": 2.0, "R.1X": 1.0, "R.2X": 2.0, "R.4X": 4.0, "R.8X": 8.0,
}  # fmt: skip
"""DPU (M-DPU for Z and R) of one worker of each type."""
MAX_WORKERS = {"G.025X": 299, "G.1X": 299, "G.2X": 149}
MAX_ARGUMENT_BYTES = 260 * 1024
RESERVED_ARGUMENTS = ("--debug", "--mode", "--JOB_NAME", "--endpoint")
"""Arguments that Glue keeps for itself: what a caller gives under these names is not passed on."""

RUN_SETTINGS = (
    "AllocatedCapacity", "MaxCapacity", "WorkerType", "NumberOfWorkers", "SecurityConfiguration",
    "NotificationProperty", "ExecutionClass", "Timeout", "ExecutionRoleSessionPolicy", "JobRunQueuingEnabled",
)  # fmt: skip
"""What a run may set for itself; the rest it takes from its job."""
JOB_SETTINGS = (
    "JobMode", "JobRunQueuingEnabled", "AllocatedCapacity", "MaxCapacity", "WorkerType", "NumberOfWorkers",
    "SecurityConfiguration", "NotificationProperty", "ExecutionClass", "Timeout", "GlueVersion", "MaintenanceWindow",
)  # fmt: skip
"""What a run shows of its job, as it was when the run started."""

LISTENABLE = ("SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT")
LISTENABLE_CRAWLS = ("SUCCEEDED", "FAILED", "CANCELLED")
MAX_TRIGGER_ACTIONS, MAX_NODES = 50, 100
BATCH_WINDOW = 900
"""Seconds from a batch's first event on where a trigger does not say (Developer Guide, 'EventBatchingCondition')."""
EVERY_MINUTES = 5
"""The shortest distance of a schedule on AWS; shorter ones fire here too."""
