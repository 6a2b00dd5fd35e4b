-- Jobs, runs, task runs and their history. Times are milliseconds since 1970; JSON is text.

CREATE TABLE job (
  id BIGINT PRIMARY KEY,
  version BIGINT NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  workspace TEXT COLLATE "C" NOT NULL,
  origin TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C",
  owner TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  extras TEXT COLLATE "C"
);
CREATE UNIQUE INDEX job_key ON job (workspace, origin, key) WHERE key IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX job_name ON job (name, id) WHERE deleted_at IS NULL;
CREATE INDEX job_origin ON job (origin, id) WHERE deleted_at IS NULL;

CREATE TABLE job_version (
  job_id BIGINT NOT NULL,
  version BIGINT NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (job_id, version)
);

CREATE TABLE run (
  id BIGINT PRIMARY KEY,
  job_id BIGINT,
  job_version BIGINT,
  name TEXT COLLATE "C" NOT NULL,
  workspace TEXT COLLATE "C" NOT NULL,
  origin TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL,
  queue TEXT COLLATE "C" NOT NULL,
  priority BIGINT NOT NULL,
  parameters TEXT COLLATE "C",
  trigger TEXT COLLATE "C" NOT NULL,
  tags TEXT COLLATE "C",
  submitted_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  admitted_at BIGINT,
  started_at BIGINT,
  ended_at BIGINT,
  deadline_at BIGINT,
  round BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  depth BIGINT NOT NULL,
  parent_task_run_id BIGINT,
  rerun_of BIGINT,
  extras TEXT COLLATE "C",
  spec TEXT COLLATE "C" -- the definition of a one-time submission; a job's run pins job_id and job_version instead
);
CREATE INDEX run_job ON run (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX run_state ON run (state, id);
CREATE INDEX run_name ON run (name, id);
CREATE INDEX run_origin ON run (origin, id);
CREATE INDEX run_workspace ON run (workspace, id);
CREATE INDEX run_queue ON run (queue, id);
CREATE INDEX run_submitter ON run (submitted_by, id);
CREATE INDEX run_trigger ON run (trigger, id);
CREATE INDEX run_reason ON run (reason, id) WHERE reason <> '';
CREATE INDEX run_ended ON run (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX run_parent ON run (parent_task_run_id, id) WHERE parent_task_run_id IS NOT NULL;
CREATE INDEX run_deadline ON run (deadline_at) WHERE deadline_at IS NOT NULL;
-- Runs whose id is ahead of their times, because the clock was set back: nearly always none.
CREATE INDEX run_ahead ON run (id) WHERE (id >> 12) + 1577836800000 - LEAST(created_at, coalesce(ended_at, created_at)) > 100;
-- Runs that ended more than a day after they were made: few.
CREATE INDEX run_long ON run (ended_at, id) WHERE ended_at - ((id >> 12) + 1577836800000) > 86400000;
-- Runs of a job that are not over, those that the job's limit let in apart from those that wait for it.
CREATE INDEX run_live ON run (job_id, id) WHERE job_id IS NOT NULL AND ended_at IS NULL;
CREATE INDEX run_admitted ON run (job_id) WHERE job_id IS NOT NULL AND ended_at IS NULL AND admitted_at IS NOT NULL;
CREATE INDEX run_waiting ON run (job_id, priority DESC, id)
  WHERE job_id IS NOT NULL AND ended_at IS NULL AND admitted_at IS NULL;

CREATE TABLE run_tag (
  key TEXT COLLATE "C" NOT NULL,
  value TEXT COLLATE "C" NOT NULL,
  run_id BIGINT NOT NULL,
  PRIMARY KEY (key, value, run_id)
);
CREATE INDEX run_tag_run ON run_tag (run_id);

CREATE TABLE task_run (
  id BIGINT PRIMARY KEY,
  run_id BIGINT NOT NULL,
  task_key TEXT COLLATE "C" NOT NULL,
  iteration BIGINT NOT NULL,
  round BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  losses BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL,
  executor TEXT COLLATE "C" NOT NULL,
  queue TEXT COLLATE "C" NOT NULL,
  priority BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  queued_at BIGINT,
  due_at BIGINT,
  claimed_at BIGINT,
  started_at BIGINT,
  ended_at BIGINT,
  deadline_at BIGINT,
  worker TEXT COLLATE "C",
  token BIGINT NOT NULL,
  exit_code BIGINT,
  child_run_id BIGINT,
  input TEXT COLLATE "C",
  "values" TEXT COLLATE "C",
  metrics TEXT COLLATE "C",
  error TEXT COLLATE "C",
  output TEXT COLLATE "C"
);
CREATE INDEX task_run_run ON task_run (run_id, id);
CREATE INDEX task_run_queued ON task_run (executor, queue, priority DESC, id) WHERE state = 'queued';
CREATE INDEX task_run_active ON task_run (queue, executor) WHERE state IN ('starting', 'running', 'cancelling');
CREATE INDEX task_run_due ON task_run (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX task_run_deadline ON task_run (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE event (
  run_id BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  task_run_id BIGINT,
  state TEXT COLLATE "C",
  reason TEXT COLLATE "C",
  detail TEXT COLLATE "C",
  by TEXT COLLATE "C",
  data TEXT COLLATE "C",
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE submission_key (
  scope TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  digest BYTEA NOT NULL,
  run_id BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope, key)
);

CREATE TABLE queue (
  name TEXT COLLATE "C" PRIMARY KEY,
  slots BIGINT,
  priority BIGINT NOT NULL,
  paused BIGINT NOT NULL
);

CREATE TABLE bookmark (
  job_key TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  run_id BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (job_key, version)
);
CREATE INDEX bookmark_run ON bookmark (job_key, run_id, version);

CREATE TABLE principal (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  scopes TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  version BIGINT NOT NULL,
  expires_at BIGINT,
  disabled BIGINT NOT NULL
);
CREATE UNIQUE INDEX principal_name ON principal (name);

CREATE TABLE delivery (
  id BIGINT PRIMARY KEY,
  run_id BIGINT NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT,
  error TEXT COLLATE "C"
);
CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_run ON delivery (run_id);

-- One row: the largest id that something held which is gone.
CREATE TABLE id_mark (one BIGINT PRIMARY KEY CHECK (one = 1), last BIGINT NOT NULL);
