-- The processes that use this database together. Times are milliseconds since 1970, by the database's clock.

-- One row a process, its lease: whoever lets it expire has lost what it claimed.
CREATE TABLE node (
  name TEXT COLLATE "C" PRIMARY KEY,
  number BIGINT NOT NULL UNIQUE CHECK (number BETWEEN 0 AND 63), -- part of every id that it draws
  life BIGINT NOT NULL, -- which process has the name: what holds an older number writes nothing
  expires_at BIGINT NOT NULL
);

-- One row: who does what only one may do, and for the how manieth time somebody else began to.
CREATE TABLE leader (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  name TEXT COLLATE "C" NOT NULL,
  life BIGINT NOT NULL,
  term BIGINT NOT NULL
);

-- Which node has the tables of a workspace on its disk.
CREATE TABLE home (
  workspace TEXT COLLATE "C" PRIMARY KEY,
  node TEXT COLLATE "C" NOT NULL
);

-- The logs of attempts, so that every server can show them: pieces in the order of their place.
CREATE TABLE log_piece (
  run_id BIGINT NOT NULL,
  task_run_id BIGINT NOT NULL,
  start BIGINT NOT NULL,
  data BYTEA NOT NULL,
  PRIMARY KEY (run_id, task_run_id, start)
);

CREATE INDEX task_run_worker ON task_run (worker) WHERE state IN ('starting', 'running', 'cancelling');
