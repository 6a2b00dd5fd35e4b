-- Where the schedules of jobs stand, and what became of each of their ticks. Times are milliseconds since 1970.

CREATE TABLE schedule (
  job_id INTEGER PRIMARY KEY,
  anchor_at INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  next_at INTEGER, -- null while it is paused, and when there is no tick any more
  last_at INTEGER
);
CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;

-- The primary key is the fence: a tick gives one run, however many schedulers look at it.
CREATE TABLE schedule_tick (
  job_id INTEGER NOT NULL,
  at INTEGER NOT NULL,
  run_id INTEGER, -- null: it got none, and detail says why
  detail TEXT,
  PRIMARY KEY (job_id, at)
) WITHOUT ROWID;
CREATE INDEX schedule_tick_run ON schedule_tick (run_id) WHERE run_id IS NOT NULL;
