-- Standing triggers and what became of each of their firings. Times are milliseconds since 1970; JSON is text.

CREATE TABLE standing_trigger (
  id INTEGER PRIMARY KEY,
  workspace TEXT NOT NULL,
  origin TEXT NOT NULL,
  key TEXT,
  job_id INTEGER, -- the job whose definition holds it
  scope TEXT NOT NULL,
  kind TEXT NOT NULL,
  spec TEXT NOT NULL,
  version INTEGER NOT NULL,
  active INTEGER NOT NULL,
  detail TEXT,
  owner TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  anchor_at INTEGER NOT NULL,
  next_at INTEGER, -- null: when something happens
  last_at INTEGER,
  fired INTEGER NOT NULL,
  memory TEXT,
  extras TEXT
);
CREATE UNIQUE INDEX standing_trigger_key ON standing_trigger (workspace, origin, key, coalesce(job_id, 0)) WHERE key IS NOT NULL;
CREATE INDEX standing_trigger_job ON standing_trigger (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX standing_trigger_next ON standing_trigger (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX standing_trigger_kind ON standing_trigger (kind, id);

-- What happens elsewhere (a run of a job ends, a table changes), and which triggers want to be told.
CREATE TABLE trigger_topic (
  topic TEXT NOT NULL,
  trigger_id INTEGER NOT NULL,
  PRIMARY KEY (topic, trigger_id)
) WITHOUT ROWID;
CREATE INDEX trigger_topic_trigger ON trigger_topic (trigger_id);

CREATE TABLE firing (
  id INTEGER PRIMARY KEY,
  trigger_id INTEGER NOT NULL,
  number INTEGER NOT NULL,
  name TEXT,
  kind TEXT NOT NULL,
  chain INTEGER NOT NULL,
  scope TEXT NOT NULL,
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  after TEXT,
  runs TEXT,
  detail TEXT,
  data TEXT,
  extras TEXT,
  closed_at INTEGER
);
-- The fence: a trigger fires at most once in a chain, whoever looks at it.
CREATE UNIQUE INDEX firing_once ON firing (chain, trigger_id);
-- And so is this, for firings that begin a chain: two servers that see the same moment count alike.
CREATE UNIQUE INDEX firing_number ON firing (trigger_id, number);
CREATE INDEX firing_trigger ON firing (trigger_id, id);
