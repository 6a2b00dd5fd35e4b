-- Standing triggers and what became of each of their firings. Times are milliseconds since 1970; JSON is text.

CREATE TABLE standing_trigger (
  id BIGINT PRIMARY KEY,
  workspace TEXT COLLATE "C" NOT NULL,
  origin TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C",
  job_id BIGINT, -- the job whose definition holds it
  scope TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  active BIGINT NOT NULL,
  detail TEXT COLLATE "C",
  owner TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  started_at BIGINT,
  anchor_at BIGINT NOT NULL,
  next_at BIGINT, -- null: when something happens
  last_at BIGINT,
  fired BIGINT NOT NULL,
  memory TEXT COLLATE "C",
  extras TEXT COLLATE "C"
);
CREATE UNIQUE INDEX standing_trigger_key ON standing_trigger (workspace, origin, key, coalesce(job_id, 0)) WHERE key IS NOT NULL;
CREATE INDEX standing_trigger_job ON standing_trigger (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX standing_trigger_next ON standing_trigger (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX standing_trigger_kind ON standing_trigger (kind, id);

-- What happens elsewhere (a run of a job ends, a table changes), and which triggers want to be told.
CREATE TABLE trigger_topic (
  topic TEXT COLLATE "C" NOT NULL,
  trigger_id BIGINT NOT NULL,
  PRIMARY KEY (topic, trigger_id)
);
CREATE INDEX trigger_topic_trigger ON trigger_topic (trigger_id);

CREATE TABLE firing (
  id BIGINT PRIMARY KEY,
  trigger_id BIGINT NOT NULL,
  number BIGINT NOT NULL,
  name TEXT COLLATE "C",
  kind TEXT COLLATE "C" NOT NULL,
  chain BIGINT NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  by TEXT COLLATE "C" NOT NULL,
  after TEXT COLLATE "C",
  runs TEXT COLLATE "C",
  detail TEXT COLLATE "C",
  data TEXT COLLATE "C",
  extras TEXT COLLATE "C",
  closed_at BIGINT
);
-- The fence: a trigger fires at most once in a chain, whoever looks at it.
CREATE UNIQUE INDEX firing_once ON firing (chain, trigger_id);
-- And so is this, for firings that begin a chain: two servers that see the same moment count alike.
CREATE UNIQUE INDEX firing_number ON firing (trigger_id, number);
CREATE INDEX firing_trigger ON firing (trigger_id, id);
