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
    "NotificationProperty": "kept, shown; there is no EventBridge: use a webhook of the native side",
    "MaintenanceWindow": "kept, shown; a streaming job is not restarted",
    "ExecutionRoleSessionPolicy": "kept, shown",
    "Profile, ProfileName, AutoUpgradeMetadata, DPUSeconds": "never in an answer: usage profiles and billing are AWS's",
    "UpdateTrigger: Name": "reserved on AWS too; ignored",
}

CHOICES: tuple[str, ...] = (
    "A violation of the model's limits, enums and patterns is InvalidInputException with AWS's general text; an "
    "unknown member is refused in the same way (AWS ignores it). Only LogicalOperator is ValidationException.",
    "A retry starts after 1 s (about 30 s on AWS). A run that is retried by our native `repair` is `jr_X_repair_1`.",
    "CreateJob and CreateTrigger twice: AlreadyExistsException for the same settings, "
    "IdempotentParameterMismatchException for others.",
    "MaxRetries is 0 to 10, MaxConcurrentRuns 1 or more, Timeout at most 10,080 minutes, G.1X and G.025X at most 299 "
    "workers, G.2X at most 149.",
    "BatchStopJobRun tells EntityNotFoundException or JobRunInTerminalStateException as ErrorCode.",
    "A run that a trigger starts over the job's MaxConcurrentRuns is a FAILED run; StartJobRun is refused instead. "
    "A run is WAITING also while queuing is on and no process is free.",
    "ERROR is the status of a workflow run that could start nothing, and is counted for a job that was gone when its "
    "trigger fired; a JobRun is never ERROR or EXPIRED.",
    "A run of a deleted job is still found by its id; GetJobRuns needs the job.",
    "A bookmark is kept with the success of its attempt: a script that fails after `job.commit()` leaves none. "
    "Python shell jobs have bookmarks too.",
    "An EVENT trigger says by tags what it waits for: `runyard:files` (a folder and a pattern, such as /data/in/*.csv) "
    "or `runyard:tables` (names, divided by commas). Without one it fires when it is fired natively.",
    "A workflow run shows the triggers with which it began; they decide as they are now. "
    "Deleting a workflow leaves its triggers. UpdateWorkflow leaves what is not given. MaxConcurrentRuns of a workflow "
    "holds for StartWorkflowRun.",
    "The account is the setting `account`, the region that of the signature. More unfinished runs than the setting "
    "`account_runs` without queuing: ResourceNumberLimitExceededException.",
)

SPECIAL: dict[str, str] = {
    "--scriptLocation": "instead of Command.ScriptLocation",
    "--extra-py-files": ".py, .zip, .egg and .whl files that the script may import",
    "--extra-files": "copied into the working directory",
    "--additional-python-modules": "installed by pip, once for each list (`--python-modules-installer-option` too)",
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
