-- Jobs, runs, task runs and their history. Times are milliseconds since 1970; JSON is text.

CREATE TABLE job (
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  name TEXT NOT NULL,
  workspace TEXT NOT NULL,
  origin TEXT NOT NULL,
  key TEXT,
  owner TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  extras TEXT
);
CREATE UNIQUE INDEX job_key ON job (workspace, origin, key) WHERE key IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX job_name ON job (name, id) WHERE deleted_at IS NULL;
CREATE INDEX job_origin ON job (origin, id) WHERE deleted_at IS NULL;

CREATE TABLE job_version (
  job_id INTEGER NOT NULL,
  version INTEGER NOT NULL,
  spec TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  PRIMARY KEY (job_id, version)
) WITHOUT ROWID;

CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  job_id INTEGER,
  job_version INTEGER,
  name TEXT NOT NULL,
  workspace TEXT NOT NULL,
  origin TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  parameters TEXT,
  trigger TEXT NOT NULL,
  tags TEXT,
  submitted_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  admitted_at INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  deadline_at INTEGER,
  round INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  parent_task_run_id INTEGER,
  rerun_of INTEGER,
  extras TEXT,
  spec TEXT -- the definition of a one-time submission; a job's run pins job_id and job_version instead
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
CREATE INDEX run_ahead ON run (id) WHERE (id >> 12) + 1577836800000 - min(created_at, coalesce(ended_at, created_at)) > 100;
-- Runs that ended more than a day after they were made: few.
CREATE INDEX run_long ON run (ended_at, id) WHERE ended_at - ((id >> 12) + 1577836800000) > 86400000;
-- Runs of a job that are not over, those that the job's limit let in apart from those that wait for it.
CREATE INDEX run_live ON run (job_id, admitted_at IS NULL, priority DESC, id) WHERE job_id IS NOT NULL AND ended_at IS NULL;

CREATE TABLE run_tag (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  run_id INTEGER NOT NULL,
  PRIMARY KEY (key, value, run_id)
) WITHOUT ROWID;
CREATE INDEX run_tag_run ON run_tag (run_id);

CREATE TABLE task_run (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL,
  task_key TEXT NOT NULL,
  iteration INTEGER NOT NULL,
  round INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  executor TEXT NOT NULL,
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  queued_at INTEGER,
  due_at INTEGER,
  claimed_at INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  deadline_at INTEGER,
  worker TEXT,
  token INTEGER NOT NULL,
  exit_code INTEGER,
  child_run_id INTEGER,
  input TEXT,
  "values" TEXT,
  metrics TEXT,
  error TEXT,
  output TEXT
);
CREATE INDEX task_run_run ON task_run (run_id, id);
CREATE INDEX task_run_queued ON task_run (executor, queue, priority DESC, id) WHERE state = 'queued';
CREATE INDEX task_run_active ON task_run (queue, executor) WHERE state IN ('starting', 'running', 'cancelling');
CREATE INDEX task_run_due ON task_run (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX task_run_deadline ON task_run (deadline_at) WHERE deadline_at IS NOT NULL;

CREATE TABLE event (
  run_id INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  task_run_id INTEGER,
  state TEXT,
  reason TEXT,
  detail TEXT,
  by TEXT,
  data TEXT,
  PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE submission_key (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  run_id INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE TABLE queue (
  name TEXT PRIMARY KEY,
  slots INTEGER,
  priority INTEGER NOT NULL,
  paused INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE bookmark (
  job_key TEXT NOT NULL,
  version INTEGER NOT NULL,
  run_id INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  state TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (job_key, version)
) WITHOUT ROWID;
CREATE INDEX bookmark_run ON bookmark (job_key, run_id, version);

CREATE TABLE principal (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  expires_at INTEGER,
  disabled INTEGER NOT NULL
);
CREATE UNIQUE INDEX principal_name ON principal (name);

CREATE TABLE delivery (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL,
  url TEXT NOT NULL,
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  due_at INTEGER,
  error TEXT
);
CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_run ON delivery (run_id);

-- One row: the largest id that something held which is gone.
CREATE TABLE id_mark (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
