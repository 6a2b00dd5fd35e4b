"""What each operation takes, written from AWS's model of the service. A test compares it with botocore's.

Source: botocore 1.44, glue/2017-03-31/service-2.json, and cloudwatch logs/2014-03-28.
"""

from __future__ import annotations

from typing import Any

from runyard.dialects.glue.shapes import Blob, Flag, Group, Int, Many, Map, Real, Text

# The same characters as AWS's pattern, whose surrogates Python's text does not have.
_LINE = "[\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff\t]*"
_LINES = "[\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff\r\n\t]*"

NAME = Text(255, 1, _LINE)
ID = Text(255, 1, _LINE)
FREE = Text()
DESCRIPTION = Text(2048, 0, _LINES)
ARGUMENTS = Map()
TAGS = Map(Text(128, 1), Text(256), 50)
ARN = Text(10240, 1, "arn:aws(-(cn|us-gov|iso(-[bef])?))?:glue:.*")
MINUTES = Int(1)
NOTIFICATION = Group({"NotifyDelayAfter": Int(1)})
WORKER = Text(enum=(
    "Standard", "G.1X", "G.2X", "G.4X", "G.8X", "G.025X", "Z.2X", "G.12X", "G.16X", "R.1X", "R.2X", "R.4X", "R.8X",
))  # fmt: skip
EXECUTION_CLASS = Text(16, enum=("FLEX", "STANDARD"))
JOB_RUN_STATES = (
    "STARTING", "RUNNING", "STOPPING", "STOPPED", "SUCCEEDED", "FAILED", "TIMEOUT", "ERROR", "WAITING", "EXPIRED",
)  # fmt: skip
CRAWL_STATES = ("RUNNING", "CANCELLING", "CANCELLED", "SUCCEEDED", "FAILED", "ERROR")
_WORD = Text(512, 1)

JOB: dict[str, Any] = {
    "JobMode": Text(enum=("SCRIPT", "VISUAL", "NOTEBOOK")),
    "JobRunQueuingEnabled": Flag(),
    "Description": DESCRIPTION,
    "LogUri": FREE,
    "Role": FREE,
    "ExecutionProperty": Group({"MaxConcurrentRuns": Int()}),
    "Command": Group(
        {
            "Name": FREE,
            "ScriptLocation": Text(400_000),
            "PythonVersion": Text(pattern=r"^([2-3]|3[.]9)$"),
            "Runtime": Text(64, pattern=".*"),
        }
    ),
    "DefaultArguments": ARGUMENTS,
    "NonOverridableArguments": ARGUMENTS,
    "Connections": Group({"Connections": Many(Text(255), 1000)}),
    "MaxRetries": Int(),
    "AllocatedCapacity": Int(),
    "Timeout": MINUTES,
    "MaxCapacity": Real(),
    "WorkerType": WORKER,
    "NumberOfWorkers": Int(),
    "SecurityConfiguration": NAME,
    "NotificationProperty": NOTIFICATION,
    "GlueVersion": Text(255, 1, r"^((\w+\.)+\w+|auto)$"),
    "CodeGenConfigurationNodes": Map(Text(pattern="[A-Za-z0-9_-]*"), Blob()),
    "ExecutionClass": EXECUTION_CLASS,
    "SourceControlDetails": Group(
        {
            "Provider": Text(enum=("GITHUB", "GITLAB", "BITBUCKET", "AWS_CODE_COMMIT")),
            "Repository": _WORD,
            "Owner": _WORD,
            "Branch": _WORD,
            "Folder": _WORD,
            "LastCommitId": _WORD,
            "AuthStrategy": Text(enum=("PERSONAL_ACCESS_TOKEN", "AWS_SECRETS_MANAGER")),
            "AuthToken": _WORD,
        }
    ),
    "MaintenanceWindow": Text(pattern=r"^(Sun|Mon|Tue|Wed|Thu|Fri|Sat):([01]?[0-9]|2[0-3])$"),
}

CONDITION = Group(
    {
        # The one value is checked by the operation itself, whose text for it is known.
        "LogicalOperator": FREE,
        "JobName": NAME,
        "State": Text(enum=JOB_RUN_STATES),
        "CrawlerName": NAME,
        "CrawlState": Text(enum=CRAWL_STATES),
    }
)
ACTION = Group(
    {
        "JobName": NAME,
        "Arguments": ARGUMENTS,
        "Timeout": MINUTES,
        "SecurityConfiguration": NAME,
        "NotificationProperty": NOTIFICATION,
        "CrawlerName": NAME,
    }
)
TRIGGER: dict[str, Any] = {
    "Description": DESCRIPTION,
    "Schedule": FREE,
    "Actions": Many(ACTION),
    "Predicate": Group({"Logical": Text(enum=("AND", "ANY")), "Conditions": Many(CONDITION, 500)}),
    "EventBatchingCondition": Group({"BatchSize": Int(1, 100), "BatchWindow": Int(1, 900)}, ("BatchSize",)),
}
WORKFLOW: dict[str, Any] = {
    "Name": NAME,
    "Description": Text(120_000),
    "DefaultRunProperties": Map(ID, FREE),
    "MaxConcurrentRuns": Int(),
}
_PAGE_1000 = {"NextToken": FREE, "MaxResults": Int(1, 1000)}
_PAGE_200 = {"NextToken": FREE, "MaxResults": Int(1, 200)}
_PAGE_25 = {"NextToken": FREE, "MaxResults": Int(1, 25)}
_OF_RUN = {"Name": NAME, "RunId": ID}

REQUESTS: dict[str, Group] = {
    "CreateJob": Group({"Name": NAME, **JOB, "Tags": TAGS}, ("Name", "Role", "Command")),
    "GetJob": Group({"JobName": NAME}, ("JobName",)),
    "GetJobs": Group(_PAGE_1000),
    "ListJobs": Group({**_PAGE_1000, "Tags": TAGS}),
    "BatchGetJobs": Group({"JobNames": Many(NAME)}, ("JobNames",)),
    "UpdateJob": Group({"JobName": NAME, "JobUpdate": Group(JOB)}, ("JobName", "JobUpdate")),
    "DeleteJob": Group({"JobName": NAME}, ("JobName",)),
    "StartJobRun": Group(
        {
            "JobName": NAME,
            "JobRunQueuingEnabled": Flag(),
            "JobRunId": ID,
            "Arguments": ARGUMENTS,
            "AllocatedCapacity": Int(),
            "Timeout": MINUTES,
            "MaxCapacity": Real(),
            "SecurityConfiguration": NAME,
            "NotificationProperty": NOTIFICATION,
            "WorkerType": WORKER,
            "NumberOfWorkers": Int(),
            "ExecutionClass": EXECUTION_CLASS,
            "ExecutionRoleSessionPolicy": Text(2048, 2),
        },
        ("JobName",),
    ),
    "GetJobRun": Group({"JobName": NAME, "RunId": ID, "PredecessorsIncluded": Flag()}, ("JobName", "RunId")),
    "GetJobRuns": Group({"JobName": NAME, **_PAGE_200}, ("JobName",)),
    "BatchStopJobRun": Group({"JobName": NAME, "JobRunIds": Many(ID, 25, 1)}, ("JobName", "JobRunIds")),
    "GetJobBookmark": Group({"JobName": FREE, "RunId": FREE}, ("JobName",)),
    "ResetJobBookmark": Group({"JobName": FREE, "RunId": FREE}, ("JobName",)),
    "CreateTrigger": Group(
        {
            "Name": NAME,
            "WorkflowName": NAME,
            "Type": Text(enum=("SCHEDULED", "CONDITIONAL", "ON_DEMAND", "EVENT")),
            "StartOnCreation": Flag(),
            "Tags": TAGS,
            **TRIGGER,
        },
        ("Name", "Type", "Actions"),
    ),
    "GetTrigger": Group({"Name": NAME}, ("Name",)),
    "GetTriggers": Group({**_PAGE_200, "DependentJobName": NAME}),
    "ListTriggers": Group({**_PAGE_200, "DependentJobName": NAME, "Tags": TAGS}),
    "BatchGetTriggers": Group({"TriggerNames": Many(NAME)}, ("TriggerNames",)),
    "UpdateTrigger": Group(
        {"Name": NAME, "TriggerUpdate": Group({"Name": NAME, **TRIGGER})}, ("Name", "TriggerUpdate")
    ),
    "DeleteTrigger": Group({"Name": NAME}, ("Name",)),
    "StartTrigger": Group({"Name": NAME}, ("Name",)),
    "StopTrigger": Group({"Name": NAME}, ("Name",)),
    "CreateWorkflow": Group({**WORKFLOW, "Tags": TAGS}, ("Name",)),
    "GetWorkflow": Group({"Name": NAME, "IncludeGraph": Flag()}, ("Name",)),
    "ListWorkflows": Group(_PAGE_25),
    "BatchGetWorkflows": Group({"Names": Many(NAME, 25, 1), "IncludeGraph": Flag()}, ("Names",)),
    "UpdateWorkflow": Group(WORKFLOW, ("Name",)),
    "DeleteWorkflow": Group({"Name": NAME}, ("Name",)),
    "StartWorkflowRun": Group({"Name": NAME, "RunProperties": Map(ID, FREE)}, ("Name",)),
    "GetWorkflowRun": Group({**_OF_RUN, "IncludeGraph": Flag()}, ("Name", "RunId")),
    "GetWorkflowRuns": Group({"Name": NAME, "IncludeGraph": Flag(), **_PAGE_1000}, ("Name",)),
    "GetWorkflowRunProperties": Group(_OF_RUN, ("Name", "RunId")),
    "PutWorkflowRunProperties": Group({**_OF_RUN, "RunProperties": Map(ID, FREE)}, ("Name", "RunId", "RunProperties")),
    "StopWorkflowRun": Group(_OF_RUN, ("Name", "RunId")),
    "ResumeWorkflowRun": Group({**_OF_RUN, "NodeIds": Many(NAME)}, ("Name", "RunId", "NodeIds")),
    "TagResource": Group({"ResourceArn": ARN, "TagsToAdd": TAGS}, ("ResourceArn", "TagsToAdd")),
    "UntagResource": Group(
        {"ResourceArn": ARN, "TagsToRemove": Many(Text(128, 1), 50)}, ("ResourceArn", "TagsToRemove")
    ),
    "GetTags": Group({"ResourceArn": ARN}, ("ResourceArn",)),
}

_GROUP_NAME = Text(512, 1, r"[\.\-_/#A-Za-z0-9]+")
_STREAM_NAME = Text(512, 1, r"[^:*]*")
_MOMENT = Real(0)
_GROUP_ID = Text(2048, 1, r"[\w#+=/:,.@-]*")
_NEXT = Text(min=1)

LOG_REQUESTS: dict[str, Group] = {
    "DescribeLogStreams": Group(
        {
            "logGroupName": _GROUP_NAME,
            "logGroupIdentifier": _GROUP_ID,
            "logStreamNamePrefix": _STREAM_NAME,
            "orderBy": Text(enum=("LogStreamName", "LastEventTime")),
            "descending": Flag(),
            "nextToken": _NEXT,
            "limit": Int(1, 50),
        }
    ),
    "GetLogEvents": Group(
        {
            "logGroupName": _GROUP_NAME,
            "logGroupIdentifier": _GROUP_ID,
            "logStreamName": _STREAM_NAME,
            "startTime": _MOMENT,
            "endTime": _MOMENT,
            "nextToken": _NEXT,
            "limit": Int(1, 10_000),
            "startFromHead": Flag(),
            "unmask": Flag(),
        },
        ("logStreamName",),
    ),
    "FilterLogEvents": Group(
        {
            "logGroupName": _GROUP_NAME,
            "logGroupIdentifier": _GROUP_ID,
            "logStreamNames": Many(_STREAM_NAME, 100, 1),
            "logStreamNamePrefix": _STREAM_NAME,
            "startTime": _MOMENT,
            "endTime": _MOMENT,
            "filterPattern": Text(1024),
            "nextToken": _NEXT,
            "limit": Int(1, 10_000),
            "startFromHead": Flag(),
            "interleaved": Flag(),
            "unmask": Flag(),
        }
    ),
}
