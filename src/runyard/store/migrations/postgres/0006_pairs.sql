-- What else a job's runs are filtered by stands in its index: a run that is not wanted is passed over without being read.
DROP INDEX run_job;
CREATE INDEX run_job ON run (job_id, id, origin, workspace, trigger, submitted_by, queue) WHERE job_id IS NOT NULL;
