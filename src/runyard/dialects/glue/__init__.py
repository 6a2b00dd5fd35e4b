"""AWS Glue's jobs, job runs, bookmarks, triggers and workflows, for boto3, the AWS CLI and orchestrators unchanged.

How it differs from the core:

* The verb is a header: `POST /` with `X-Amz-Target: AWSGlue.StartJobRun` and JSON 1.1; errors are typed by `__type`.
* Jobs are known by name; a job has one task, its script (`runyard.runtime.glue_script`).
* A JobRun is one *task run* of ours: a retry is `jr_X_attempt_1`, and `jr_X` stays FAILED while it runs.
* Its arguments are a run's parameter `arguments`, its capacity and the like are the parameter `settings`.
* Over MaxConcurrentRuns a run is refused, or waits when JobRunQueuingEnabled says so.

What is answered, and what never will be, stands in docs/dialects/glue.md.
Source: AWS Glue Developer Guide, 'Jobs', 'Job runs', 'Triggers', 'Workflows', 'Job bookmarks'; botocore's model of it.
"""
