-- Where the schedules of jobs stand, and what became of each of their ticks. Times are milliseconds since 1970.

CREATE TABLE schedule (
  job_id BIGINT PRIMARY KEY,
  anchor_at BIGINT NOT NULL,
  paused BIGINT NOT NULL,
  next_at BIGINT, -- null while it is paused, and when there is no tick any more
  last_at BIGINT
);
CREATE INDEX schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;

-- The primary key is the fence: a tick gives one run, however many schedulers look at it.
CREATE TABLE schedule_tick (
  job_id BIGINT NOT NULL,
  at BIGINT NOT NULL,
  run_id BIGINT, -- null: it got none, and detail says why
  detail TEXT COLLATE "C",
  PRIMARY KEY (job_id, at)
);
CREATE INDEX schedule_tick_run ON schedule_tick (run_id) WHERE run_id IS NOT NULL;
