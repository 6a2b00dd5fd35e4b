-- name: clock
-- The database's time, by which leases are kept.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: lock_membership
-- Nodes come and go one at a time.
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' nodes', 0));

-- name: rejoin
-- The same node again, after a restart: its older process writes no more, and its last transaction is over.
UPDATE node SET life = GREATEST(life + 1, $3), expires_at = $2
  WHERE ctid = (SELECT ctid FROM node WHERE name=$1 FOR UPDATE) RETURNING number, life;

-- name: join
-- The smallest number that no node has. A life is a time, so that no two are the same.
INSERT INTO node SELECT $1, free.number, $3, $2 FROM generate_series(0, 63) AS free(number)
  WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.number = free.number) ORDER BY free.number LIMIT 1
  RETURNING number, life;

-- name: renew
UPDATE node SET expires_at = $3 WHERE name=$1 AND life=$2;

-- name: fence
-- Held until the transaction ends: no one can take the lease away meanwhile.
SELECT 1 FROM node WHERE name=$1 AND life=$2 FOR KEY SHARE;

-- name: leave
DELETE FROM node WHERE name=$1 AND life=$2;

-- name: leader
SELECT leader.name, leader.life, term, coalesce(node.expires_at, 0) FROM leader
  LEFT JOIN node ON node.name = leader.name AND node.life = leader.life;

-- name: lead
-- Leads from now on, if the leader is the one that was seen.
INSERT INTO leader VALUES (1, $1, $2, 1)
  ON CONFLICT (one) DO UPDATE SET name=excluded.name, life=excluded.life, term=leader.term + 1 WHERE leader.term=$3
  RETURNING term;

-- name: leads
-- Held until the transaction ends: no one can begin to lead meanwhile.
SELECT 1 FROM leader WHERE name=$1 AND life=$2 AND term=$3 FOR KEY SHARE;

-- name: expired
SELECT name, life FROM node WHERE expires_at < $1;

-- name: end_life
-- Takes the lease away from a process; not while one of its transactions is open.
DELETE FROM node WHERE ctid = (SELECT ctid FROM node WHERE name=$1 AND life=$2
  AND expires_at < floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint FOR UPDATE SKIP LOCKED);

-- name: nodes
SELECT name, number, life, expires_at FROM node ORDER BY number;

-- name: claim_home
INSERT INTO home VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: home
SELECT node FROM home WHERE workspace=$1;

-- name: lock_run
-- The run's row for this transaction, unless another one has it.
SELECT seq FROM run WHERE id=$1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: run_exists
SELECT 1 FROM run WHERE id=$1;

-- name: lock_job
SELECT 1 FROM job WHERE id=$1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: job_exists
SELECT 1 FROM job WHERE id=$1;

-- name: job_version_now
SELECT version, deleted_at FROM job WHERE id=$1;

-- name: lock_key
-- A name that has no row of its own yet.
SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0));

-- name: lock_queues
-- The queues whose slots this transaction may give away: it counts them, and nobody else does meanwhile.
SELECT name, slots, priority, paused FROM queue WHERE slots IS NOT NULL ORDER BY name FOR NO KEY UPDATE SKIP LOCKED;

-- name: lock_queued
-- The next queued task runs of one queue, with the rows of their runs; what others are claiming is passed over.
SELECT t.id, t.run_id, t.priority, r.seq FROM task_run t JOIN run r ON r.id = t.run_id
  WHERE t.state='queued' AND t.executor=$1 AND t.queue=$2
  ORDER BY t.priority DESC, t.id LIMIT $3 FOR NO KEY UPDATE OF r SKIP LOCKED;

-- name: count_queued
-- How many there are, whoever is at them.
SELECT count(*) FROM (SELECT 1 FROM task_run WHERE state='queued' AND executor=$1 AND queue=$2 LIMIT $3) AS waiting;

-- name: notify
SELECT pg_notify($1, $2);

-- name: claims_of
-- The claims of one node.
SELECT t.run_id, t.id, t.token, t.state, t.executor, t.worker, t.task_key, t.iteration, t.round, r.workspace
  FROM task_run t JOIN run r ON r.id = t.run_id
  WHERE t.worker=$1 AND t.state IN ('starting', 'running', 'cancelling') AND t.executor <> 'engine';

-- name: put_log
INSERT INTO log_piece VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: log_size
SELECT start + length(data) FROM log_piece WHERE run_id=$1 AND task_run_id=$2 ORDER BY start DESC LIMIT 1;

-- name: log_pieces
-- The pieces that hold the bytes from one place up to another.
SELECT start, data FROM log_piece WHERE run_id=$1 AND task_run_id=$2 AND start < $4
  AND start >= coalesce((SELECT max(start) FROM log_piece WHERE run_id=$1 AND task_run_id=$2 AND start <= $3), 0)
  ORDER BY start;
