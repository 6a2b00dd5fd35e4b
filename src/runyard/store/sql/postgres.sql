-- name: begin
BEGIN;

-- name: insert_run
-- A new run; the spec is there only for a one-time submission.
INSERT INTO run VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27);

-- name: update_run
-- Everything of a run that can change after its submission.
UPDATE run SET state=$1, reason=$2, detail=$3, parameters=$4, admitted_at=$5, started_at=$6, ended_at=$7, deadline_at=$8,
  round=$9, seq=$10 WHERE id=$11;

-- name: update_run_spec
-- The definition that the run follows from now on, its own even where the run is one of a job.
UPDATE run SET spec=$1, job_version=NULL WHERE id=$2;

-- name: insert_tag
INSERT INTO run_tag VALUES ($1,$2,$3) ON CONFLICT DO NOTHING;

-- name: insert_task_run
-- A new attempt; its output comes when it ends.
INSERT INTO task_run VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30);

-- name: update_task_run
-- Everything of a task run that can change after it was made; an output stays unless there is a new one.
UPDATE task_run SET state=$1, reason=$2, detail=$3, queued_at=$4, due_at=$5, claimed_at=$6, started_at=$7, ended_at=$8,
  deadline_at=$9, worker=$10, token=$11, exit_code=$12, child_run_id=$13, input=$14, "values"=$15, metrics=$16, error=$17,
  output=coalesce($18, output) WHERE id=$19;

-- name: insert_event
INSERT INTO event VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10);

-- name: run
SELECT id, job_id, job_version, name, workspace, origin, state, reason, detail, queue, priority, parameters, trigger,
  tags, submitted_by, created_at, admitted_at, started_at, ended_at, deadline_at, round, seq, depth,
  parent_task_run_id, rerun_of, extras FROM run WHERE id=$1;

-- name: run_spec
-- The definition that a run pins, wherever it is kept.
SELECT coalesce(r.spec, (SELECT v.spec FROM job_version v WHERE v.job_id = r.job_id AND v.version = r.job_version))
  FROM run r WHERE r.id=$1;

-- name: task_runs
-- All attempts of a run, oldest first.
SELECT id, run_id, task_key, iteration, round, attempt, failures, losses, state, reason, detail, executor, queue,
  priority, created_at, queued_at, due_at, claimed_at, started_at, ended_at, deadline_at, worker, token, exit_code,
  child_run_id, input, "values", metrics, error FROM task_run WHERE run_id=$1 ORDER BY id;

-- name: task_run
SELECT id, run_id, task_key, iteration, round, attempt, failures, losses, state, reason, detail, executor, queue,
  priority, created_at, queued_at, due_at, claimed_at, started_at, ended_at, deadline_at, worker, token, exit_code,
  child_run_id, input, "values", metrics, error FROM task_run WHERE id=$1;

-- name: job_task_runs
-- Every attempt of a job's runs, newest first, from the one after (run, task run); a run without any stands alone.
SELECT r.id, r.job_id, r.job_version, r.name, r.workspace, r.origin, r.state, r.reason, r.detail, r.queue, r.priority,
  r.parameters, r.trigger, r.tags, r.submitted_by, r.created_at, r.admitted_at, r.started_at, r.ended_at,
  r.deadline_at, r.round, r.seq, r.depth, r.parent_task_run_id, r.rerun_of, r.extras,
  t.id, t.run_id, t.task_key, t.iteration, t.round, t.attempt, t.failures, t.losses, t.state, t.reason, t.detail,
  t.executor, t.queue, t.priority, t.created_at, t.queued_at, t.due_at, t.claimed_at, t.started_at, t.ended_at,
  t.deadline_at, t.worker, t.token, t.exit_code, t.child_run_id, t.input, t."values", t.metrics, t.error
  FROM run r LEFT JOIN task_run t ON t.run_id = r.id
  WHERE r.job_id=$1 AND r.id <= $2 AND (r.id < $2 OR t.id < $3) ORDER BY r.id DESC, t.id DESC LIMIT $4;

-- name: output
SELECT output FROM task_run WHERE id=$1;

-- name: events
SELECT run_id, seq, at, kind, task_run_id, state, reason, detail, by, data FROM event
  WHERE run_id=$1 AND seq>$2 ORDER BY seq LIMIT $3;

-- name: live_admitted
-- How many runs of a job count against its limit.
SELECT count(*) FROM run WHERE job_id=$1 AND admitted_at IS NOT NULL AND ended_at IS NULL;

-- name: live_waiting
-- Runs that wait for their job's limit, in the order in which they will be let in.
SELECT id FROM run WHERE job_id=$1 AND admitted_at IS NULL AND ended_at IS NULL ORDER BY priority DESC, id LIMIT $2;

-- name: live_runs
-- Runs of a job that are not over.
SELECT id FROM run WHERE job_id=$1 AND ended_at IS NULL ORDER BY id;

-- name: queues_waiting
-- The queues that hold queued task runs of an executor, found by one seek each.
WITH RECURSIVE found(queue) AS (
  SELECT min(queue) FROM task_run WHERE state='queued' AND executor=$1
  UNION ALL
  SELECT (SELECT min(queue) FROM task_run WHERE state='queued' AND executor=$1 AND queue > found.queue)
    FROM found WHERE found.queue IS NOT NULL
) SELECT queue FROM found WHERE queue IS NOT NULL;

-- name: queued
-- The next queued task runs of one queue.
SELECT id, run_id, priority FROM task_run WHERE state='queued' AND executor=$1 AND queue=$2
  ORDER BY priority DESC, id LIMIT $3;

-- name: queue_active
-- Active task runs by queue, whatever their executor; control flow takes no slot.
SELECT queue, count(*) FROM task_run WHERE state IN ('starting', 'running', 'cancelling') AND executor <> 'engine'
  GROUP BY queue;

-- name: queue_depth
SELECT queue, count(*) FROM task_run WHERE state='queued' GROUP BY queue;

-- name: held
-- The claims that executors may still hold.
SELECT t.run_id, t.id, t.token, t.state, t.executor, t.worker, t.task_key, t.iteration, t.round, r.workspace
  FROM task_run t JOIN run r ON r.id = t.run_id
  WHERE t.state IN ('starting', 'running', 'cancelling') AND t.executor <> 'engine';

-- name: due_retries
SELECT id, run_id FROM task_run WHERE due_at <= $1 ORDER BY due_at LIMIT 500;

-- name: expired_tasks
SELECT id, run_id FROM task_run WHERE deadline_at <= $1 ORDER BY deadline_at LIMIT 500;

-- name: expired_runs
SELECT id FROM run WHERE deadline_at <= $1 ORDER BY deadline_at LIMIT 500;

-- name: next_due
-- The earliest moment at which a timer has something to do.
SELECT min(at) FROM (SELECT min(due_at) AS at FROM task_run WHERE due_at IS NOT NULL
  UNION ALL SELECT min(deadline_at) FROM task_run WHERE deadline_at IS NOT NULL
  UNION ALL SELECT min(deadline_at) FROM run WHERE deadline_at IS NOT NULL
  UNION ALL SELECT min(due_at) FROM delivery WHERE due_at IS NOT NULL) AS moments;

-- name: submission
SELECT digest, run_id, created_at FROM submission_key WHERE scope=$1 AND key=$2;

-- name: insert_submission
INSERT INTO submission_key VALUES ($1,$2,$3,$4,$5);

-- name: delete_run_logs
DELETE FROM log_piece WHERE run_id=$1;

-- name: delete_run
-- With the next ones: everything that belongs to a run. What its job has already processed (bookmarks) stays, and
-- so does its idempotency key: a repeated submission must be told, and not run the work again.
DELETE FROM run WHERE id=$1;

-- name: delete_run_tags
DELETE FROM run_tag WHERE run_id=$1;

-- name: delete_run_task_runs
DELETE FROM task_run WHERE run_id=$1;

-- name: delete_run_events
DELETE FROM event WHERE run_id=$1;

-- name: delete_run_deliveries
DELETE FROM delivery WHERE run_id=$1;

-- name: ended_before
-- The oldest runs that ended before a moment, for the pruner.
SELECT id FROM run WHERE ended_at < $1 ORDER BY ended_at LIMIT $2;

-- name: put_job
INSERT INTO job VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)
  ON CONFLICT (id) DO UPDATE SET version=excluded.version, name=excluded.name, owner=excluded.owner,
    key=excluded.key, updated_at=excluded.updated_at, deleted_at=excluded.deleted_at, extras=excluded.extras;

-- name: insert_job_version
INSERT INTO job_version VALUES ($1,$2,$3,$4,$5);

-- name: job
SELECT j.id, j.version, v.spec, j.workspace, j.origin, j.key, j.owner, j.created_at, j.updated_at, j.deleted_at, j.extras
  FROM job j JOIN job_version v ON v.job_id = j.id AND v.version = j.version WHERE j.id=$1;

-- name: job_by_key
SELECT j.id, j.version, v.spec, j.workspace, j.origin, j.key, j.owner, j.created_at, j.updated_at, j.deleted_at, j.extras
  FROM job j JOIN job_version v ON v.job_id = j.id AND v.version = j.version
  WHERE j.workspace=$1 AND j.origin=$2 AND j.key=$3 AND j.deleted_at IS NULL;

-- name: job_versions
SELECT job_id, version, spec, created_at, created_by FROM job_version WHERE job_id=$1 ORDER BY version DESC;

-- name: job_version
SELECT job_id, version, spec, created_at, created_by FROM job_version WHERE job_id=$1 AND version=$2;

-- name: queues
SELECT name, slots, priority, paused FROM queue ORDER BY name;

-- name: put_queue
INSERT INTO queue VALUES ($1,$2,$3,$4)
  ON CONFLICT (name) DO UPDATE SET slots=excluded.slots, priority=excluded.priority, paused=excluded.paused;

-- name: delete_queue
DELETE FROM queue WHERE name=$1;

-- name: newest_bookmark
SELECT job_key, version, run_id, attempt, state, created_at FROM bookmark WHERE job_key=$1 ORDER BY version DESC LIMIT 1;

-- name: bookmark_of_run
-- The newest state that a run (or one before it) committed: what a rewind to that run restores.
SELECT job_key, version, run_id, attempt, state, created_at FROM bookmark
  WHERE job_key=$1 AND run_id>0 AND run_id<=$2 ORDER BY run_id DESC, version DESC LIMIT 1;

-- name: put_bookmark
INSERT INTO bookmark VALUES ($1,$2,$3,$4,$5,$6);

-- name: principals
SELECT id, name, scopes, created_at, version, expires_at, disabled FROM principal ORDER BY id;

-- name: put_principal
INSERT INTO principal VALUES ($1,$2,$3,$4,$5,$6,$7)
  ON CONFLICT (id) DO UPDATE SET name=excluded.name, scopes=excluded.scopes, version=excluded.version,
    expires_at=excluded.expires_at, disabled=excluded.disabled;

-- name: delete_principal
DELETE FROM principal WHERE id=$1;

-- name: put_delivery
INSERT INTO delivery VALUES ($1,$2,$3,$4,$5,$6,$7,$8)
  ON CONFLICT (id) DO UPDATE SET attempts=excluded.attempts, due_at=excluded.due_at, error=excluded.error;

-- name: due_deliveries
SELECT id, run_id, url, event, body, attempts, due_at, error FROM delivery WHERE due_at <= $1 ORDER BY due_at LIMIT 50;

-- name: live_by_state
-- How many runs are not over, by state; finished ones are too many to count each time.
SELECT state, count(*) FROM run WHERE state IN ('queued', 'running', 'cancelling') GROUP BY state;

-- name: last_id
-- The largest id that was ever handed out and kept.
SELECT max(last) FROM (SELECT last FROM id_mark UNION ALL SELECT max(id) AS last FROM run UNION ALL SELECT max(id) FROM task_run UNION ALL SELECT max(id) FROM job
  UNION ALL SELECT max(id) FROM principal UNION ALL SELECT max(id) FROM delivery
  UNION ALL SELECT max(id) FROM standing_trigger UNION ALL SELECT max(id) FROM firing
  UNION ALL SELECT max(token) FROM task_run WHERE state IN ('starting', 'running', 'cancelling')) AS kept;

-- name: keep_last_id
-- Before something goes that may hold the largest id: whatever the clock says, no id is handed out twice.
INSERT INTO id_mark VALUES (1, (SELECT coalesce(max(last), 0) FROM (SELECT max(id) AS last FROM run UNION ALL SELECT max(id) FROM task_run UNION ALL SELECT max(id) FROM job
  UNION ALL SELECT max(id) FROM principal UNION ALL SELECT max(id) FROM delivery
  UNION ALL SELECT max(id) FROM standing_trigger UNION ALL SELECT max(id) FROM firing
  UNION ALL SELECT max(token) FROM task_run WHERE state IN ('starting', 'running', 'cancelling')) AS kept))
  ON CONFLICT (one) DO UPDATE SET last = GREATEST(id_mark.last, excluded.last);

-- name: timetable
SELECT job_id, anchor_at, paused, next_at, last_at FROM schedule WHERE job_id=$1;

-- name: put_timetable
INSERT INTO schedule VALUES ($1,$2,$3,$4,$5)
  ON CONFLICT (job_id) DO UPDATE SET anchor_at=excluded.anchor_at, paused=excluded.paused, next_at=excluded.next_at,
    last_at=excluded.last_at;

-- name: delete_timetable
DELETE FROM schedule WHERE job_id=$1;

-- name: due_timetables
-- The jobs whose next tick has come.
SELECT job_id FROM schedule WHERE next_at <= $1 ORDER BY next_at LIMIT $2;

-- name: insert_tick
-- Refused when the moment has its line already: it gets one run.
INSERT INTO schedule_tick VALUES ($1,$2,$3,$4);

-- name: delete_tick
-- A moment that got no run may get one later.
DELETE FROM schedule_tick WHERE job_id=$1 AND at=$2 AND run_id IS NULL;

-- name: delete_run_tick
DELETE FROM schedule_tick WHERE run_id=$1;

-- name: ticks
-- What became of the ticks of a stretch of time, newest first.
SELECT job_id, at, run_id, detail FROM schedule_tick WHERE job_id=$1 AND at>=$2 AND at<$3 ORDER BY at DESC LIMIT $4;

-- name: document
-- A face's own definition.
SELECT workspace, dialect, kind, key, version, body, created_at, updated_at, updated_by FROM document
WHERE workspace=$1 AND dialect=$2 AND kind=$3 AND key=$4;

-- name: documents
-- Those of one kind whose keys lie between a prefix and its end, after a key, in their order.
SELECT workspace, dialect, kind, key, version, body, created_at, updated_at, updated_by FROM document
WHERE workspace=$1 AND dialect=$2 AND kind=$3 AND key>=$4 AND key<$5 AND key>$6 ORDER BY key LIMIT $7;

-- name: put_document
INSERT INTO document VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)
  ON CONFLICT (workspace, dialect, kind, key) DO UPDATE SET version=excluded.version, body=excluded.body,
    created_at=excluded.created_at, updated_at=excluded.updated_at, updated_by=excluded.updated_by;

-- name: delete_document
DELETE FROM document WHERE workspace=$1 AND dialect=$2 AND kind=$3 AND key=$4;

-- name: trigger
SELECT id, workspace, origin, key, job_id, scope, kind, spec, version, active, detail, owner, created_at, updated_at,
  started_at, anchor_at, next_at, last_at, fired, memory, extras FROM standing_trigger WHERE id=$1;

-- name: trigger_by_key
-- A trigger of its own, or (with a job's id) one of that job's definition.
SELECT id, workspace, origin, key, job_id, scope, kind, spec, version, active, detail, owner, created_at, updated_at,
  started_at, anchor_at, next_at, last_at, fired, memory, extras FROM standing_trigger
  WHERE workspace=$1 AND origin=$2 AND key=$3 AND coalesce(job_id, 0)=$4;

-- name: triggers_on
-- The active triggers that want to be told of a topic.
SELECT t.id, t.workspace, t.origin, t.key, t.job_id, t.scope, t.kind, t.spec, t.version, t.active, t.detail, t.owner,
  t.created_at, t.updated_at, t.started_at, t.anchor_at, t.next_at, t.last_at, t.fired, t.memory, t.extras
  FROM trigger_topic k JOIN standing_trigger t ON t.id = k.trigger_id WHERE k.topic=$1 AND t.active=1;

-- name: due_triggers
SELECT id FROM standing_trigger WHERE next_at <= $1 ORDER BY next_at LIMIT $2;

-- name: put_trigger
INSERT INTO standing_trigger VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21)
  ON CONFLICT (id) DO UPDATE SET key=excluded.key, scope=excluded.scope, kind=excluded.kind, spec=excluded.spec,
    version=excluded.version, active=excluded.active, detail=excluded.detail, owner=excluded.owner,
    updated_at=excluded.updated_at, started_at=excluded.started_at, anchor_at=excluded.anchor_at,
    next_at=excluded.next_at, last_at=excluded.last_at, fired=excluded.fired, memory=excluded.memory,
    extras=excluded.extras;

-- name: delete_trigger
-- Its firings stay: runs refer to them.
DELETE FROM standing_trigger WHERE id=$1;

-- name: delete_topics
DELETE FROM trigger_topic WHERE trigger_id=$1;

-- name: insert_topic
INSERT INTO trigger_topic VALUES ($1,$2);

-- name: put_firing
-- Refused when the trigger has fired in this chain already.
INSERT INTO firing VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)
  ON CONFLICT (id) DO UPDATE SET closed_at=excluded.closed_at;

-- name: firing
SELECT id, trigger_id, number, name, kind, chain, scope, at, by, after, runs, detail, data, extras, closed_at FROM firing WHERE id=$1;

-- name: firings
-- What a trigger did, newest first.
SELECT id, trigger_id, number, name, kind, chain, scope, at, by, after, runs, detail, data, extras, closed_at FROM firing
  WHERE trigger_id=$1 AND id<$2 ORDER BY id DESC LIMIT $3;

-- name: firings_before
-- The oldest firings, for the pruner.
SELECT id, trigger_id, number, name, kind, chain, scope, at, by, after, runs, detail, data, extras, closed_at FROM firing
  WHERE id<$1 ORDER BY id LIMIT $2;

-- name: delete_firing
DELETE FROM firing WHERE id=$1;

-- name: chain
-- All firings of a chain.
SELECT id, trigger_id, number, name, kind, chain, scope, at, by, after, runs, detail, data, extras, closed_at FROM firing
  WHERE chain=$1;
