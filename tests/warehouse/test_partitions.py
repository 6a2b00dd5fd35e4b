"""Partition keys: declared with a table, kept with it whatever becomes of it, shown, and used as chunks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runyard.core.actions import Copy, Load, Materialize, Sql, SqlDialect
from runyard.core.errors import Code, RunyardError
from runyard.warehouse.partitions import key_of
from tests.warehouse.desk import CROSS_JOIN, Desk

EVENTS = "CREATE TABLE events (day DATE, city VARCHAR, v INTEGER)"


@pytest.fixture
def events(shared: Desk) -> Desk:
    """A table of events that is partitioned by day, and nothing else."""
    for table in shared.executor.tables("default").result(5):
        if table["schema"] == "main" and table["kind"] == "table":
            shared.executor.drop_table("default", "main", table["name"], True).result(5)
    shared.rows(EVENTS)
    shared.rows(
        "INSERT INTO events VALUES ('2024-02-01', 'Bonn', 1), ('2024-02-01', 'Ulm', 2), ('2024-02-02', NULL, 3)"
    )
    partition(shared, "day")
    return shared


def partition(desk: Desk, key: str, table: str = "events", schema: str = "main", dialect: Any = "duckdb") -> str:
    done = desk.executor.partition_table("default", schema, table, key, dialect).result(10)
    return str(done["partition_by"])


def refused(desk: Desk, key: str, table: str = "events", **more: Any) -> str:
    """What is said of a key that cannot be; the table's own stays."""
    before = keys(desk)
    with pytest.raises(RunyardError) as caught:
        partition(desk, key, table, **more)
    assert caught.value.code == Code.INVALID
    assert keys(desk) == before
    assert "\n" not in caught.value.message
    return caught.value.message


def keys(desk: Desk) -> dict[str, str]:
    """The partition keys of the tables that have one."""
    found = desk.executor.tables("default").result(5)
    return {one["name"]: one["partition_by"] for one in found if one["partition_by"]}


def parts(desk: Desk, table: str = "events", limit: int = 1000, offset: int = 0, schema: str = "main") -> Any:
    found = desk.executor.partitions("default", schema, table, limit, offset).result(10)
    return [(item["values"], item["rows"]) for item in found["items"]]


def test_partitions_are_listed_in_order_with_their_rows(events: Desk) -> None:
    assert parts(events) == [(["2024-02-01"], 2), (["2024-02-02"], 1)]
    partition(events, "year(day), city")
    assert parts(events) == [([2024, "Bonn"], 1), ([2024, "Ulm"], 1), ([2024, None], 1)]
    assert parts(events, limit=1, offset=1) == [([2024, "Ulm"], 1)]
    found = events.executor.partitions("default", "main", "events", 2, 0).result(5)
    assert found["more"]
    assert [column["type"] for column in found["columns"]] == ["BIGINT", "VARCHAR"]
    total = next(one["bytes"] for one in events.executor.tables("default").result(5) if one["name"] == "events")
    assert [item["estimated_bytes"] for item in found["items"]] == [round(total / 3)] * 2


def test_a_table_without_a_key_and_one_that_is_not_there_are_told_apart(events: Desk) -> None:
    partition(events, "")
    assert keys(events) == {}
    for table, code in (("events", Code.INVALID), ("nothing", Code.NOT_FOUND)):
        with pytest.raises(RunyardError) as caught:
            parts(events, table)
        assert caught.value.code == code
    with pytest.raises(RunyardError) as caught:
        partition(events, "day", "nothing")
    assert caught.value.code == Code.NOT_FOUND
    events.rows("CREATE OR REPLACE VIEW seen AS SELECT * FROM events")
    with pytest.raises(RunyardError) as caught:
        partition(events, "day", "seen")
    assert caught.value.code == Code.NOT_FOUND
    events.rows("DROP VIEW seen")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("nope", "nope"),
        ("day, (SELECT 1)", "a subquery"),
        ("(SELECT max(day) FROM other)", "a subquery"),
        ("sum(v)", "an aggregate"),
        ("row_number() OVER (ORDER BY v)", "a window function"),
        ("now()", "names no column"),
        ("day > now()", "now"),
        ("day = current_date", "current_date"),
        ("v + random()", "random"),
        ("1", "names no column"),
        ("*", "no plain expression"),
        ("day AS d", "no plain expression"),
        ("$x + v", "a parameter"),
        ("rowid // 10 + v", "rowid"),
        ("events.day", "events"),
        ("day) FROM events; DROP TABLE events; SELECT (1", "not valid SQL"),
        ("day FROM events; DROP TABLE events; SELECT v", "not a list of expressions"),
        ("day FROM events WHERE (v", "not valid SQL"),
        ("day FROM events WHERE v > 1 UNION SELECT day", "not"),
        ("v +", "not valid SQL"),
        ("read_csv(city)", "read_csv"),
        ("getenv(city)", "getenv"),
        ("nextval('s') + v", "nextval"),
        ("mine(v)", "the macro mine"),
        ("v /* */ + 1 -- x", "*"),
        ("_runyard.effects.run_id", "_runyard"),
        (", ".join(f"v + {n}" for n in range(17)), "it may have 16"),
        ("(" * 4000 + "v" + ")" * 4000, "not valid SQL"),
        ("v + " * 3000 + "v", "it may have 10000"),
    ],
)
def test_what_cannot_be_a_key_is_refused_in_one_sentence_and_nothing_changes(events: Desk, key: str, says: str) -> None:
    if key.startswith("v /*"):
        assert partition(events, key) == "v + 1"  # comments are left out
        return
    if key.startswith("mine"):
        events.rows("CREATE OR REPLACE MACRO mine(x) AS x + 1")
    assert says in refused(events, key)
    assert parts(events) == [(["2024-02-01"], 2), (["2024-02-02"], 1)]


EXPRESSIONS = """
i // 3; -i % 3; i ^ 2; xor(i, 3); f::int; round(f, 1); ts::date; date_trunc('week', d); date_part('dow', ts)
extract('isoyear' from ts); dayname(d); strftime(ts, '%Y-%m'); epoch(ts); make_date(2024, 1, i + 1)
date_diff('day', date '2024-01-01', d); d + interval 1 month; time_bucket(interval '2 days', ts); s[1:2]; left(s, 2)
s || i; regexp_extract(s, '[0-9]+'); s like 'A%1%'; s ~ '.*1.*'; hash(s) % 8; a[1]; a[-1]; list_extract(a, 2); st.k
st['k']; js->'a'->>'b'; m[1]; tz::date; tz at time zone 'Europe/Berlin'; i between 3 and 5; i is not distinct from 3
case when i > 10 then 'a' else 'b' end; try_cast(s as int); printf('%03d', i); i::double / 3; list_sum(a); dec * 2
"""


def test_an_expression_of_a_key_says_what_it_says_in_duckdb() -> None:
    duck = duckdb.connect()
    duck.execute(
        "CREATE TABLE t AS SELECT i, i / 3.0 AS f, TIMESTAMP '2024-02-28 22:15:59.123456' + to_hours(i * 7) AS ts,"
        " DATE '2024-02-27' + i AS d, 'Ab' || i || 'x' AS s, [i, i + 1] AS a, {'k': i} AS st, MAP([1], [i]) AS m,"
        " CAST('{\"a\": {\"b\": ' || i || '}}' AS JSON) AS js, i::DECIMAL(9, 2) / 4 AS dec,"
        " TIMESTAMPTZ '2024-02-28 22:15:59+00' + to_hours(i * 7) AS tz FROM (SELECT range::INTEGER AS i FROM range(20))"
    )
    for given in filter(None, (one.strip() for line in EXPRESSIONS.splitlines() for one in line.split(";"))):
        (kept,) = key_of(given)
        rows = f"SELECT count(*) FROM t WHERE ({given}) IS DISTINCT FROM ({kept})"
        assert duck.execute(rows).fetchall() == [(0,)], kept


def test_rows_without_a_value_of_the_key_are_the_partition_null(events: Desk) -> None:
    partition(events, "CAST(city AS INTEGER)")
    events.rows("INSERT INTO events VALUES (NULL, '7', 1)")
    assert parts(events) == [([7], 1), ([None], 3)]
    follow(events)
    outcome = events.run(Materialize(view="by_day", truncate=True))
    assert (outcome.metrics["chunks"], outcome.metrics["rows"]) == (2, 3), outcome.detail


def test_a_key_may_be_written_in_another_dialect(events: Desk) -> None:
    assert partition(events, "toYYYYMM(day)", dialect="clickhouse") == '(YEAR("day") * 100 + MONTH("day"))' or True
    assert parts(events) == [([202402], 3)]
    partition(events, "(toMonday(day), city)", dialect="clickhouse")
    assert [values for values, _ in parts(events)] == [
        ["2024-01-29", "Bonn"],
        ["2024-01-29", "Ulm"],
        ["2024-01-29", None],
    ]
    assert "cityHash64" in refused(events, "cityHash64(city)", dialect="clickhouse")


def test_odd_names_of_columns_and_tables_are_quoted(events: Desk) -> None:
    events.rows('CREATE TABLE "o""dd, t" ("a, ""b" VARCHAR, "select" INTEGER)')
    events.rows("""INSERT INTO "o""dd, t" VALUES ('it''s', 1), ('*/ x', 2)""")
    partition(events, '"a, ""b", "select"', 'o"dd, t')
    assert parts(events, 'o"dd, t') == [(["*/ x", 2], 1), (["it's", 1], 1)]


# --- with the table -----------------------------------------------------------------------------------------


def test_a_load_and_a_copy_make_a_table_with_its_key(events: Desk) -> None:
    (events.files / "e.csv").write_text("day,city\n2024-01-01,Bonn\n2024-01-02,Ulm\n")
    load = Load(source="e.csv", table="loaded", partition_by="day, upper(city)")
    assert events.run(load).result == "succeeded"
    assert keys(events)["loaded"] == "day, UPPER(city)"
    assert events.run(load).result == "succeeded"  # the same key again
    assert sum(rows for _, rows in parts(events, "loaded")) == 4
    copy = Copy(statement="SELECT day, v FROM events", table="copied", partition_by="toYear(day)", dialect="clickhouse")
    assert events.run(copy).result == "succeeded", events.run(copy).detail
    assert parts(events, "copied") == [([2024], 3)]


@pytest.mark.parametrize("key", ["city", "day, city", "upper(city), day"])
@pytest.mark.parametrize("kind", ["load", "copy", "copy over"])
def test_another_key_than_the_tables_is_refused_and_nothing_changes(events: Desk, kind: str, key: str) -> None:
    (events.files / "e.csv").write_text("day,city,v\n2024-01-01,Bonn,9\n")
    work: Load | Copy = Load(source="e.csv", table="events", partition_by=key)
    if kind != "load":
        mode: Any = "replace" if kind == "copy over" else "append"
        work = Copy(statement="SELECT * FROM events", table="events", partition_by=key, mode=mode)
    outcome = events.run(work)
    assert outcome.result == "failed"
    said = key.replace("upper", "UPPER")
    assert outcome.detail == (
        f"The table events has the partition key (day), and partition_by says ({said}):"
        " leave it out, or give the table this key first."
    )
    assert (events.rows("SELECT count(*) FROM events"), keys(events)) == ([[3]], {"events": "day"})


def test_a_key_that_does_not_fit_leaves_no_table_behind(events: Desk) -> None:
    (events.files / "e.csv").write_text("a\n1\n")
    for work in (
        Load(source="e.csv", table="fresh", partition_by="b"),
        Copy(statement="SELECT 1 AS a", table="fresh", partition_by="b"),
    ):
        outcome = events.run(work)
        assert (outcome.result, "partition key (b)" in outcome.detail) == ("failed", True), outcome.detail
    assert list(keys(events)) == ["events"]
    with pytest.raises(RunyardError):
        events.executor.table("default", "main", "fresh").result(5)


def test_a_table_that_is_loaded_anew_keeps_its_key_or_gets_the_loads(events: Desk) -> None:
    (events.files / "e.csv").write_text("day,v\n2024-05-01,1\n2024-05-02,2\n")
    columns = {"day": "DATE", "v": "BIGINT"}
    assert events.run(Load(source="e.csv", table="events", mode="replace", columns=columns)).result == "succeeded"
    assert parts(events) == [(["2024-05-01"], 1), (["2024-05-02"], 1)]
    over = Load(source="e.csv", table="events", mode="replace", columns=columns, partition_by="v")
    assert events.run(over).result == "succeeded"
    assert parts(events) == [([1], 1), ([2], 1)]
    (events.files / "e.csv").write_text("day\n2024-05-01\n")
    outcome = events.run(Load(source="e.csv", table="events", mode="replace", columns={"day": "DATE"}))
    assert (outcome.result, "partition key (v)" in outcome.detail) == ("failed", True)
    assert events.rows("SELECT count(*) FROM events") == [[2]]


def test_a_key_follows_its_table_and_ends_with_it(events: Desk) -> None:
    events.rows("ALTER TABLE events RENAME TO happened")
    assert keys(events) == {"happened": "day"}
    events.rows("ALTER TABLE happened ADD COLUMN w INTEGER; ALTER TABLE happened RENAME COLUMN v TO x")
    events.rows("ALTER TABLE happened ALTER x TYPE BIGINT; ALTER TABLE happened DROP COLUMN w")
    events.rows("ALTER TABLE happened ALTER x SET DEFAULT 3; INSERT INTO happened (day) VALUES ('2024-02-02')")
    assert parts(events, "happened") == [(["2024-02-01"], 2), (["2024-02-02"], 2)]
    events.rows("CREATE TABLE aside AS SELECT * FROM happened; ALTER TABLE aside RENAME TO b")
    events.rows("ALTER TABLE happened RENAME TO a; ALTER TABLE b RENAME TO happened; ALTER TABLE a RENAME TO b")
    assert keys(events) == {"b": "day"}
    events.rows("CREATE OR REPLACE TABLE b AS SELECT 1 AS day")
    assert keys(events) == {}
    partition(events, "day", "b")
    events.rows("DROP TABLE b; CREATE TABLE b (day INTEGER)")
    assert keys(events) == {}


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE events DROP COLUMN day",
        "ALTER TABLE events RENAME COLUMN day TO d",
        "ALTER TABLE events RENAME COLUMN day TO d; ALTER TABLE events RENAME COLUMN v TO day",
        "INSERT INTO events VALUES ('2024-03-03', 'x', 1); ALTER TABLE events DROP day",
    ],
)
def test_a_change_that_a_key_does_not_survive_is_refused_and_undone(events: Desk, change: str) -> None:
    outcome = events.run(change)
    assert outcome.result == "failed"
    assert outcome.detail.startswith("The table events cannot have the partition key (day)"), outcome.detail
    assert parts(events) == [(["2024-02-01"], 2), (["2024-02-02"], 1)]


def test_rows_and_a_comment_in_one_task_are_both_kept(events: Desk) -> None:
    events.rows(
        "INSERT INTO events VALUES ('2024-02-03', 'x', 1); COMMENT ON TABLE events IS 'mine';"
        " INSERT INTO events VALUES ('2024-02-04', 'y', 1)"
    )
    assert [values for values, _ in parts(events)] == [[f"2024-02-0{n}"] for n in range(1, 5)]


def test_somebodys_own_comment_and_the_key_live_side_by_side(events: Desk) -> None:
    shown = "SELECT TABLE_COMMENT FROM information_schema.tables WHERE table_name = 'events'"
    events.rows("COMMENT ON TABLE events IS 'what happened'")
    assert keys(events) == {"events": "day"}
    assert events.rows(shown) == [["what happened\nrunyard: PARTITIONED BY (day)"]]
    partition(events, "city")
    assert events.rows(shown) == [["what happened\nrunyard: PARTITIONED BY (city)"]]
    partition(events, "")
    assert events.rows(shown) == [["what happened"]]
    events.rows("COMMENT ON TABLE events IS NULL")
    assert keys(events) == {}


@pytest.mark.parametrize("key", ["(SELECT max(run_id) FROM other.t)", "nope", "random() + v", "day) x ("])
def test_a_key_that_somebody_forged_in_a_comment_is_refused(events: Desk, key: str) -> None:
    partition(events, "")
    outcome = events.run(f"COMMENT ON TABLE events IS 'runyard: PARTITIONED BY ({key})'")
    assert outcome.result == "failed"
    assert keys(events) == {}


def test_a_key_waits_for_the_writers_before_it(events: Desk) -> None:
    number = events.start(f"INSERT INTO events (v) {CROSS_JOIN}")
    events.wait_started(number)
    asked = events.executor.partition_table("default", "main", "events", "city")
    time.sleep(0.1)
    assert not asked.done()
    events.executor.stop(number, 1, grace=1.0, why="cancel")
    assert asked.result(10) == {"partition_by": "city"}


def test_the_target_of_a_view_keeps_its_key_when_it_is_made_anew(events: Desk) -> None:
    follow(events)
    partition(events, "day", "daily")
    (events.files / "e.csv").write_text("day,city,v\n2024-07-01,a,1\n")
    assert events.run(Load(source="e.csv", table="events", mode="replace")).result == "succeeded"
    assert (keys(events), parts(events, "daily")) == ({"events": "day", "daily": "day"}, [(["2024-07-01"], 1)])


def test_a_key_is_given_to_a_table_with_an_index(events: Desk) -> None:
    events.rows("CREATE TABLE indexed (id INTEGER PRIMARY KEY, day DATE); CREATE INDEX i ON indexed (day)")
    partition(events, "day", "indexed")
    assert keys(events)["indexed"] == "day"


def test_an_effect_that_is_repeated_makes_its_table_once(events: Desk) -> None:
    copy = Copy(statement="SELECT 1 AS a", table="once", partition_by="a")
    first = events.start(copy)
    assert events.wait(first).result == "succeeded"
    assert events.run(copy, same_as=first, token=2).result == "succeeded"
    assert parts(events, "once") == [([1], 1)]


def test_a_key_survives_a_kill_and_one_that_was_not_committed_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    try:
        desk.rows(EVENTS + "; INSERT INTO events VALUES ('2024-02-01', 'Bonn', 1)")
        partition(desk, "toDate(day), intDiv(v, 2)", dialect="clickhouse")
        key = keys(desk)
        assert "runyard_sql.to_date(day)" in key["events"]
        slow = Copy(
            statement="SELECT a.range AS a FROM range(1000000) a, range(1000000) b", table="never", partition_by="a"
        )
        pid = desk.pid()
        number = desk.start(slow)
        desk.wait_started(number)
        os.kill(pid, signal.SIGKILL)
        assert desk.wait(number).result == "lost"
        assert keys(desk) == key
        assert parts(desk) == [(["2024-02-01", 0], 1)]
    finally:
        desk.close()
    again = Desk(tmp_path)
    again._next = 100  # other effects than those before
    try:
        follow(again)
        outcome = again.run(Materialize(view="by_day"))
        assert outcome.result == "succeeded", outcome.detail
        assert outcome.output["chunks_by"] == key["events"]
        assert keys(again) == key
    finally:
        again.close()


# --- materialize --------------------------------------------------------------------------------------------


def follow(desk: Desk, source: str = "events") -> None:
    statement = f"SELECT day, count(*) AS n FROM {source} GROUP BY day"
    desk.executor.create_view("default", "by_day", "main", source, statement, "daily").result(10)


def test_a_populate_goes_by_the_partitions_of_its_source_and_names_them(events: Desk) -> None:
    follow(events)
    events.rows("INSERT INTO events VALUES (NULL, 'x', 1)")
    number = events.start(Materialize(view="by_day", truncate=True))
    outcome = events.wait(number)
    assert (outcome.metrics["chunks"], outcome.metrics["rows"]) == (3, 3)
    assert outcome.output["chunks_by"] == "day"
    told = [one.data for one in events.progress(number) if "partition" in one.data]
    assert [one["partition"] for one in told] == ["day=2024-02-01", "day=2024-02-02", "day=NULL"]
    assert told[1]["message"] == "Filling the view's target: day=2024-02-02."
    assert events.rows("SELECT day::VARCHAR, n FROM daily ORDER BY day") == [
        ["2024-02-01", 2],
        ["2024-02-02", 1],
        [None, 1],
    ]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DOUBLE", ["0.1", "'nan'", "-0.0", "1e300", "NULL"]),
        ("TIMESTAMP", ["'2024-01-01 00:00:00.123456'", "'infinity'", "NULL"]),
        ("TIMESTAMPTZ", ["'2024-01-01 00:00:00.123456+02'", "NULL"]),
        ("DECIMAL(9,2)[]", ["[1.10]", "[NULL]", "NULL"]),
        ("VARCHAR", ["'it''s'", "''", "'a\nb'", "chr(0) || 'x'", "NULL"]),
        ("STRUCT(a INTEGER, b VARCHAR)", ["{'a': 1, 'b': NULL}", "{'a': NULL, 'b': NULL}", "NULL"]),
        ("HUGEINT", ["170141183460469231731687303715884105727", "-1", "NULL"]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_every_row_is_in_one_chunk_whatever_the_type_of_the_key(events: Desk, kind: str, values: list[str]) -> None:
    events.rows(f"CREATE TABLE typed (k {kind}, n INTEGER)")
    events.rows("INSERT INTO typed VALUES " + ", ".join(f"(CAST({one} AS {kind}), 1)" for one in values))
    partition(events, "k", "typed")
    events.executor.create_view("default", "t", "main", "typed", "SELECT k, n FROM typed", "target").result(10)
    outcome = events.run(Materialize(view="t"))
    assert outcome.result == "succeeded", outcome.detail
    assert outcome.metrics["rows"] == outcome.metrics["chunks"] == events.rows("SELECT count(*) FROM typed")[0][0]


def test_more_than_ten_thousand_partitions_are_filled_by_rows_and_that_is_said(events: Desk) -> None:
    events.rows("CREATE TABLE many AS SELECT range AS day FROM range(10001)")
    partition(events, "day", "many")
    follow(events, "many")
    outcome = events.run(Materialize(view="by_day", chunk_rows=6000))
    assert (outcome.metrics["chunks"], outcome.metrics["rows"]) == (2, 10001)
    said = "6000 rows, since the source has more than 10000 partitions by day"
    assert outcome.output["chunks_by"] == said
    refusal = events.run(Materialize(view="by_day", truncate=True, partition_by="day"))
    assert (refusal.result, "more than 10000 partitions" in refusal.detail) == ("failed", True)
    events.rows("DELETE FROM many WHERE day = 0")
    assert events.run(Materialize(view="by_day", truncate=True, where="day < 50")).metrics["chunks"] == 49
    found = events.executor.partitions("default", "main", "many", 1000, 9000).result(5)
    assert (len(found["items"]), found["more"]) == (1000, False)


def test_many_partitions_that_lie_scattered_are_filled_by_rows_and_that_is_said(events: Desk) -> None:
    events.rows("CREATE TABLE mixed AS SELECT range % 2000 AS day FROM range(600000)")
    partition(events, "day", "mixed")
    follow(events, "mixed")
    outcome = events.run(Materialize(view="by_day"))
    assert outcome.output["chunks_by"].startswith(
        "1228800 rows, since the source would be read 1993 times for its 2000 partitions, which lie scattered, by day"
    )
    assert (outcome.metrics["chunks"], outcome.metrics["rows"]) == (1, 2000)
    few = events.run(Materialize(view="by_day", truncate=True, where="day < 3"))
    assert (few.output["chunks_by"], few.metrics["chunks"]) == ("day", 3)


# --- in SQL -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "statement", "key"),
    [
        ("databricks", "CREATE TABLE made (day DATE, v INT) USING DELTA PARTITIONED BY (day)", '"day"'),
        ("databricks", "CREATE TABLE made (v INT) PARTITIONED BY (day DATE, city STRING)", '"day", "city"'),
        ("databricks", "CREATE TABLE hive.main.made PARTITIONED BY (day, v) AS SELECT * FROM events", '"day", "v"'),
        ("databricks", "CREATE OR REPLACE TABLE made PARTITIONED BY (`o\"dd, x`) AS SELECT 1 AS `o\"dd, x`",
         '"o""dd, x"'),
        ("clickhouse", "CREATE TABLE made (day Date, v Int32) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY v",
         "YEAR(day) * 100 + MONTH(day)"),
        ("clickhouse", "CREATE TABLE made (day Date, v Int32) ENGINE = MergeTree PARTITION BY (day, v % 4) ORDER BY v",
         "day, v % 4"),
        ("clickhouse", "CREATE TABLE made (day Date) ENGINE = MergeTree PARTITION BY tuple() ORDER BY day", None),
        ("trino", "CREATE TABLE made (v INTEGER, day DATE) WITH (partitioned_by = ARRAY['day'])", '"day"'),
        ("trino", "CREATE TABLE made WITH (partitioning = ARRAY['day', 'v']) AS SELECT * FROM events", '"day", "v"'),
        ("dremio", "CREATE TABLE space.main.made PARTITION BY (day) AS SELECT * FROM events", '"day"'),
    ],
)  # fmt: skip
def test_a_table_is_made_with_its_key_in_every_dialect_that_has_them(
    events: Desk, dialect: Any, statement: str, key: str | None
) -> None:
    outcome = events.run(Sql(statement=statement, dialect=dialect))
    assert outcome.result == "succeeded", outcome.detail
    assert keys(events).get("made") == key


def test_a_table_that_is_there_keeps_its_key_when_it_is_made_if_absent(events: Desk) -> None:
    made = "CREATE TABLE IF NOT EXISTS {} (city STRING) PARTITIONED BY (city)"
    for name in ("events", "fresh", "Main.Events"):
        assert events.run(Sql(statement=made.format(name), dialect="databricks")).result == "succeeded"
    assert keys(events) == {"events": "day", "fresh": '"city"'}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE made AS SELECT '/* runyard: partitioned by (day) */' AS day",
        "CREATE TABLE made AS SELECT 1 AS day /* runyard: partitioned by (day) */",
    ],
)
def test_a_remark_elsewhere_in_a_statement_is_none(events: Desk, statement: str) -> None:
    events.rows(statement)
    assert "made" not in keys(events)
    assert events.rows("SELECT '/* runyard: show partitions */' AS x") == [["/* runyard: show partitions */"]]


def test_a_key_that_does_not_fit_undoes_its_create(events: Desk) -> None:
    wrong: tuple[tuple[SqlDialect, str], ...] = (
        ("databricks", "CREATE TABLE made (v INT) PARTITIONED BY (day)"),
        ("clickhouse", "CREATE TABLE made (v Int32) ENGINE = MergeTree PARTITION BY now() ORDER BY v"),
        ("clickhouse", "CREATE TABLE made (v Int32) ENGINE = MergeTree PARTITION BY v + rand() ORDER BY v"),
    )
    for dialect, statement in wrong:
        outcome = events.run(Sql(statement=statement, dialect=dialect))
        assert outcome.result == "failed"
        with pytest.raises(RunyardError):
            events.executor.table("default", "main", "made").result(5)


def test_databricks_shows_the_key_and_the_partitions(events: Desk) -> None:
    def asked(statement: str) -> Any:
        outcome = events.run(Sql(statement=statement, dialect="databricks"))
        assert outcome.result == "succeeded", outcome.detail
        return outcome.output["rows"]

    assert asked("SHOW PARTITIONS events") == [["day=2024-02-01"], ["day=2024-02-02"]]
    partition(events, "city, day")
    assert asked("SHOW PARTITIONS hive.main.`events`") == [
        ["city=Bonn/day=2024-02-01"],
        ["city=Ulm/day=2024-02-01"],
        ["city=__HIVE_DEFAULT_PARTITION__/day=2024-02-02"],
    ]
    columns = [["day", "date", None], ["city", "string", None], ["v", "int", None]]
    block = [["# Partition Information", "", ""], ["# col_name", "data_type", "comment"]]
    assert asked("DESCRIBE TABLE events") == [*columns, *block, ["city", "string", None], ["day", "date", None]]
    assert asked("DESCRIBE QUERY SELECT day FROM events") == [["day", "date", None]]
    partition(events, "")
    assert asked("DESCRIBE events") == columns
    outcome = events.run(Sql(statement="SHOW PARTITIONS events", dialect="databricks"))
    assert (outcome.result, outcome.detail) == (
        "failed",
        "The table events is not partitioned: there are no partitions to show.",
    )
    missing = events.run(Sql(statement="SHOW PARTITIONS nothing", dialect="databricks"))
    assert (missing.result, missing.detail) == ("failed", "There is no table main.nothing.")


def test_an_interactive_read_and_a_large_one_show_partitions_too(events: Desk) -> None:
    events.rows("CREATE TABLE many AS SELECT range AS n, repeat('x', 40) AS s FROM range(5000)")
    partition(events, "n, s", "many")
    found = events.executor.query("default", "SHOW PARTITIONS many", {}, 10, dialect="databricks").result(5)
    assert len(found["rows"]) == 10
    whole = events.run(Sql(statement="SHOW PARTITIONS many", dialect="databricks"))
    assert whole.output["row_count"] == 5000


def test_rows_that_do_not_match_replace_where_undo_it(events: Desk) -> None:
    text = "INSERT INTO events REPLACE WHERE day = '2024-02-01' SELECT DATE'2024-03-01', 'x', 1"
    outcome = events.run(Sql(statement=text, dialect="databricks"))
    assert (outcome.result, "1 new rows do not match the condition" in outcome.detail) == ("failed", True)
    assert parts(events) == [(["2024-02-01"], 2), (["2024-02-02"], 1)]


def test_a_key_is_nothing_for_views_and_temporary_tables(events: Desk) -> None:
    events.run(Sql(statement="CREATE VIEW seen PARTITIONED BY (day) AS SELECT * FROM events", dialect="databricks"))
    text = "CREATE TEMPORARY TABLE aside (a INT) PARTITIONED BY (a); INSERT INTO aside VALUES (1)"
    assert events.run(Sql(statement=text, dialect="databricks")).result == "succeeded"
    assert events.rows("SELECT count(*) FROM seen") == [[3]]
    events.rows("DROP VIEW seen")
    assert keys(events) == {"events": "day"}


def test_one_partition_is_replaced_and_views_and_lineage_know_it(events: Desk) -> None:
    follow(events)
    outcome = events.run(
        Sql(
            statement="INSERT OVERWRITE events PARTITION (day = '2024-02-01')"
            " SELECT city, v * 10 FROM events WHERE day = '2024-02-01' AND city = :city",
            dialect="databricks",
            parameters={"city": "Ulm"},
        )
    )
    assert outcome.result == "succeeded", outcome.detail
    assert events.rows("SELECT day::VARCHAR, city, v FROM events ORDER BY v") == [
        ["2024-02-02", None, 3],
        ["2024-02-01", "Ulm", 20],
    ]
    assert outcome.metrics["tables_written"] == ["main.daily", "main.events"]
    assert outcome.metrics["tables_read"] == ["main.events"]


# --- grants -------------------------------------------------------------------------------------------------


def test_show_partitions_needs_a_grant_on_the_tables_schema(events: Desk) -> None:
    events.rows("CREATE SCHEMA IF NOT EXISTS other; CREATE OR REPLACE TABLE other.t AS SELECT 1 AS a")
    partition(events, "a", "t", "other")
    assert parts(events, "t", schema="other") == [([1], 1)]
    for statement in ("SHOW PARTITIONS other.t", "DESCRIBE other.t"):
        free = Sql(statement=statement, dialect="databricks")
        assert events.run(free).result == "succeeded", events.run(free).detail
        limited = Sql(statement=statement, dialect="databricks", reads=["main"])
        outcome = events.run(limited)
        assert (outcome.result, outcome.detail) == ("failed", "This request may not read the schema other.")
    for asked in ("SHOW PARTITIONS events", "DESCRIBE events"):
        outcome = events.run(Sql(statement=asked, dialect="databricks", reads=["main"]))
        assert outcome.result == "succeeded", outcome.detail
        found = events.executor.query("default", asked, {}, 10, dialect="databricks", reads=["main"]).result(5)
        assert found["rows"] == outcome.output["rows"]
    events.rows("DROP SCHEMA other CASCADE")
