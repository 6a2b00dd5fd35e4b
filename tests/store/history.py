"""A history of some size, with statistics, for both databases: so that a plan is one for a store that has been used."""

from __future__ import annotations

import re

import apsw

from tests.store.make import NOW

RUNS = 20_000
STATE = f"""CASE WHEN n > {RUNS} - 100 THEN 'running' WHEN n > {RUNS} - 300 THEN 'queued'
      WHEN n % 9 = 0 THEN 'failed' ELSE 'succeeded' END"""

HISTORY = f"""
INSERT INTO run SELECT n << 12, n % 50, 1, 'name ' || (n % 50), 'space ' || (n % 9), 'origin ' || (n % 9),
    {STATE}, CASE n % 9 WHEN 0 THEN 'task_failed' ELSE '' END, '',
    'queue ' || (n % 9), 0, NULL, 'trigger ' || (n % 9), NULL, 'user ' || (n % 50), {NOW} + n, {NOW} + n, {NOW} + n,
    CASE WHEN n < {RUNS} - 300 THEN {NOW} + n END, NULL, 0, 1, 0, CASE n % 50 WHEN 0 THEN n END, NULL, NULL, NULL
  FROM generate_series(1, {RUNS}) AS n;
INSERT INTO run_tag SELECT 'key ' || (n % 9), 'value ' || (n % 50), n << 12 FROM generate_series(1, {RUNS}) AS n;
INSERT INTO task_run SELECT (n << 12) + 1, n << 12, 'only', -1, 0, 0, 0, 0,
    {STATE}, '', '', 'warehouse', 'queue ' || (n % 9), 0,
    {NOW} + n,
    NULL, CASE n % 50 WHEN 0 THEN n END, NULL, NULL, NULL, CASE n % 50 WHEN 1 THEN n END, NULL, n,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM generate_series(1, {RUNS}) AS n;
INSERT INTO event SELECT n << 12, m, {NOW}, 'state' FROM generate_series(1, {RUNS}) AS n, generate_series(1, 2) AS m;
INSERT INTO job SELECT n, 1, 'name ' || n, 'space', 'origin', 'key ' || n, 'user', {NOW}, {NOW}
  FROM generate_series(1, 2000) AS n;
INSERT INTO job_version SELECT n, 1, '{{}}', {NOW}, 'user' FROM generate_series(1, 2000) AS n;
INSERT INTO delivery SELECT n, n << 12, 'http://a/', 'start', '{{}}', 1, CASE n % 50 WHEN 0 THEN n END
  FROM generate_series(1, 5000) AS n;
INSERT INTO schedule_tick SELECT n % 50, n, n << 12 FROM generate_series(1, 5000) AS n;
INSERT INTO schedule SELECT n, 0, 0, n FROM generate_series(1, 2000) AS n;
INSERT INTO submission_key SELECT 'scope', 'key ' || n, '', n, 0 FROM generate_series(1, 5000) AS n;
INSERT INTO bookmark SELECT 'key ' || (n % 50), n, n, 0, '{{}}', 0 FROM generate_series(1, 5000) AS n;
INSERT INTO document SELECT 'space', 'face', 'kind', 'key ' || n, 1, '{{}}', 0, 0, ''
  FROM generate_series(1, 5000) AS n;
INSERT INTO log_piece SELECT n << 12, (n << 12) + 1, 0, '' FROM generate_series(1, 5000) AS n;
INSERT INTO home SELECT 'space ' || n, '' FROM generate_series(1, 500) AS n;
INSERT INTO queue SELECT 'queue ' || n, 5, 0, 0 FROM generate_series(1, 500) AS n;
INSERT INTO principal SELECT n, 'user ' || n, '[]', 0, 1, NULL, 0 FROM generate_series(1, 500) AS n;
INSERT INTO standing_trigger SELECT n, 'space', 'origin', 'key ' || n, n, '', 'kind ' || (n % 5), '{{}}', 1, 1, NULL,
    'user', 0, 0, NULL, 0, n, NULL, 0 FROM generate_series(1, 2000) AS n;
INSERT INTO trigger_topic SELECT 'topic ' || (n % 500), n FROM generate_series(1, 2000) AS n;
INSERT INTO firing SELECT n, n % 50, n, NULL, 'kind', n, '', 0, 'user' FROM generate_series(1, 5000) AS n;
ANALYZE;
"""


_SERIES = re.compile(r"generate_series\(1, (\d+)\) AS (\w)")
_COUNTED = r"(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < \1) SELECT x AS \2 FROM c)"


def fill(connection: apsw.Connection) -> None:
    """The same in SQLite, which has no short way of giving a table's first columns only."""
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, select in re.findall(r"INSERT INTO (\w+) (SELECT.*?);\n", HISTORY, re.DOTALL):
        if table in there:
            connection.execute(f"CREATE TEMP TABLE given AS {_SERIES.sub(_COUNTED, select)}")
            count = len(_columns(connection, "given"))
            into = ", ".join(f'"{name}"' for name in _columns(connection, table)[:count])
            connection.execute(f"INSERT INTO {table} ({into}) SELECT * FROM given; DROP TABLE given")
    connection.execute("ANALYZE")


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
