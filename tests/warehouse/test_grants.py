"""A request that was granted some schemas reaches no other, whatever way it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from runyard.core.actions import Sql
from runyard.core.errors import RunyardError
from tests.e2e.service import wait
from tests.warehouse.desk import Desk

SETUP = """
CREATE SCHEMA open; CREATE SCHEMA secret; CREATE SCHEMA mine;
CREATE TABLE open.t AS SELECT 1 AS a; CREATE TABLE secret.s AS SELECT 42 AS a; CREATE TABLE mine.m AS SELECT 2 AS a;
CREATE TABLE secret.t AS SELECT 43 AS a;
CREATE VIEW open.through AS SELECT * FROM secret.s;
CREATE VIEW open.twice AS SELECT * FROM open.through;
CREATE MACRO open.value() AS (SELECT max(a) FROM secret.s);
CREATE MACRO open.rows() AS TABLE SELECT * FROM secret.s;
CREATE SEQUENCE secret.numbers
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(Path(tmp_path_factory.mktemp("grants")))
    desk.rows(SETUP)
    yield desk
    desk.close()


FORBIDDEN = [
    "SELECT * FROM secret.s",
    'SELECT * FROM "SECRET"."s"',
    "SELECT * FROM secret . /* x */ s",
    'SELECT * FROM "default".secret.s',
    "SELECT * FROM open.t, secret.s",
    "SELECT (SELECT max(a) FROM secret.s)",
    "SELECT count(*) FROM secret.s",
    "WITH x AS (SELECT * FROM secret.s) SELECT * FROM x",
    "WITH secret AS (SELECT 1) SELECT * FROM secret.s",
    "SELECT * FROM through",
    "SELECT * FROM open.through",
    "SELECT * FROM twice WHERE false",
    "SELECT open.value()",
    "SELECT value()",
    "SELECT * FROM open.rows()",
    "SELECT * FROM rows()",
    "SELECT * FROM query('SELECT * FROM secret.s')",
    "SELECT * FROM query_table('secret.s')",
    "SELECT * FROM query_table(['secret.s'])",
    "SUMMARIZE secret.s",
    "DESCRIBE secret.s",
    "EXPLAIN ANALYZE SELECT * FROM secret.s",
    "PIVOT secret.s ON a",
    "FROM information_schema.columns",
    "FROM system.information_schema.tables",
    "SHOW TABLES",
    "SELECT nextval('secret.numbers')",
    "SELECT * FROM main.nothing",
    "INSERT INTO mine.m SELECT * FROM secret.s",
    "INSERT INTO mine.m SELECT * FROM through",
    "INSERT INTO mine.m SELECT open.value()",
    "INSERT INTO secret.s VALUES (1)",
    "INSERT INTO open.t VALUES (1)",
    "INSERT INTO t VALUES (1)",
    "WITH x AS (SELECT 1) INSERT INTO secret.s SELECT * FROM x",
    "UPDATE secret.s SET a = 1",
    "UPDATE mine.m SET a = (SELECT max(a) FROM secret.s)",
    "UPDATE mine.m SET a = (SELECT max(a) FROM through)",
    "DELETE FROM secret.s",
    "DELETE FROM open.t",
    "DELETE FROM mine.m WHERE a IN (SELECT a FROM twice)",
    "MERGE INTO secret.s USING open.t ON true WHEN MATCHED THEN DELETE",
    "MERGE INTO mine.m USING secret.s ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE secret.s",
    "TRUNCATE open.t",
    "DROP TABLE secret.s",
    "DROP TABLE open.t",
    "DROP SCHEMA secret CASCADE",
    "CREATE SCHEMA another",
    "ALTER TABLE secret.s RENAME TO x",
    "ALTER TABLE open.t ADD COLUMN x INTEGER",
    "CREATE TABLE secret.n (a INTEGER)",
    "CREATE TABLE open.n (a INTEGER)",
    "CREATE TABLE n (a INTEGER)",
    "CREATE TABLE mine.n AS SELECT * FROM secret.s",
    "CREATE TABLE mine.n AS SELECT * FROM through",
    "CREATE VIEW mine.v AS SELECT * FROM secret.s",
    "CREATE OR REPLACE VIEW open.t2 AS SELECT 1",
    "CREATE MACRO mine.f() AS (SELECT max(a) FROM secret.s)",
    "CREATE TEMP TABLE x AS SELECT * FROM secret.s",
    "CREATE INDEX i ON secret.s (a)",
    "CREATE VIEW mine.v2 AS SELECT * FROM open.through; SELECT * FROM mine.v2",
    "VACUUM secret.s",
]


MACROS = [
    "CREATE MACRO lower(x) AS 'nothing'",
    'CREATE OR REPLACE TEMP MACRO "LOWER"(x) AS 1',
    "CREATE FUNCTION main.mine.coalesce_list(x) AS x; CREATE FUNCTION IF NOT EXISTS mine.count(x) AS 1",
    'CREATE MACRO mine."||"(a, b) AS true',
    "CREATE MACRO mine.duckdb_tables() AS TABLE SELECT 1",
    "CREATE MACRO mine.range(a) AS TABLE SELECT 1",
]


@pytest.mark.parametrize("text", MACROS)
def test_no_macro_takes_the_place_of_a_function_that_the_grants_are_checked_with(desk: Desk, text: str) -> None:
    for writes in (["mine"], None):
        outcome = desk.run(Sql(statement=text, schema="mine", writes=writes))
        assert (outcome.result, outcome.retry) == ("failed", False), outcome
    outcome = desk.run(Sql(statement="SELECT * FROM secret.s", schema="open", reads=["open"], writes=["mine"]))
    assert outcome.detail == "This request may not read the schema secret."


OLDER = [
    ("CREATE MACRO lower(x) AS 'nothing'", 'DROP MACRO "main"."lower"'),
    ('CREATE SCHEMA mine; CREATE MACRO mine."||"(a, b) AS true', 'DROP MACRO "mine"."||"'),
    ("CREATE MACRO Duckdb_Tables() AS TABLE SELECT 1", 'DROP MACRO TABLE "main"."Duckdb_Tables"'),
    (
        'CREATE MACRO duckdb_functions() AS TABLE SELECT 1; CREATE MACRO "~~"(a, b) AS true',
        'DROP MACRO "main"."~~"; DROP MACRO TABLE "main"."duckdb_functions"',
    ),
]


@pytest.mark.parametrize(("made", "mend"), OLDER)
def test_a_file_with_a_macro_in_the_place_of_a_function_is_not_opened_and_says_how_to_mend_it(
    tmp_path: Path, made: str, mend: str
) -> None:
    (tmp_path / "warehouse").mkdir()
    file = tmp_path / "warehouse" / "default.duckdb"
    with duckdb.connect(str(file)) as theirs:
        theirs.execute(made)
        theirs.execute("CREATE TABLE t AS SELECT 42 AS a; CREATE MACRO harmless(x) AS x + 1")
    desk = Desk(tmp_path)
    number = desk.start("SELECT a FROM t")
    wait(lambda: desk.executor.healthy() is not None)
    said = desk.executor.healthy() or ""
    assert "The warehouse cannot open its database: It holds macros that have the names of functions" in said
    assert mend in said
    with pytest.raises(RunyardError, match="It holds macros"):
        desk.executor.query("default", "SELECT 1").result(20)
    statements = said.partition("itself: ")[2]
    wait(lambda: mended(file, statements))
    assert desk.wait(number, 30).output["rows"] == [[42]]
    assert desk.rows("SELECT harmless(1), lower('A')") == [[2, "a"]]
    desk.close()


def mended(file: Path, statements: str) -> bool:
    """Between two tries of the warehouse process to open the file."""
    try:
        with duckdb.connect(str(file)) as theirs:
            theirs.execute(statements)
    except duckdb.IOException:
        return False
    return True


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_schema_that_was_not_granted_is_out_of_reach(desk: Desk, text: str) -> None:
    outcome = desk.run(Sql(statement=text, schema="open", reads=["open"], writes=["mine"]))
    assert outcome.result == "failed", outcome.output
    assert outcome.retry is False
    assert "42" not in str(outcome.output)


THEIRS = [
    "DESCRIBE secret.s", "DESCRIBE TABLE EXTENDED `main`.`secret`.`s`", "DESCRIBE QUERY SELECT * FROM secret.s",
    "SHOW TABLES", "SHOW TABLES IN secret", "SHOW VIEWS", "SHOW SCHEMAS", "SHOW COLUMNS IN secret.s",
    "OPTIMIZE secret.s", "REFRESH TABLE through", "ALTER TABLE secret.s SET TBLPROPERTIES ('a' = 'b')",
    "SELECT 1; OPTIMIZE secret.s",
]  # fmt: skip


@pytest.mark.parametrize("text", THEIRS)
def test_nor_is_it_in_reach_of_the_statements_of_databricks(desk: Desk, text: str) -> None:
    outcome = desk.run(Sql(statement=text, schema="open", reads=["open"], writes=["mine"], dialect="databricks"))
    assert outcome.result == "failed", outcome.output


def test_after_all_of_that_the_tables_are_as_they_were(desk: Desk) -> None:
    assert desk.rows("SELECT a FROM open.t UNION ALL SELECT a FROM secret.s UNION ALL SELECT a FROM secret.t") == [
        [1],
        [42],
        [43],
    ]


ALLOWED = [
    "SELECT * FROM t",
    "SELECT * FROM open.t JOIN mine.m ON true",
    "WITH x AS (SELECT a FROM t) SELECT * FROM x",
    "SELECT a FROM t WHERE a >= $n AND $text = 'it''s $n'",
    "INSERT INTO mine.m SELECT a FROM open.t",
    "UPDATE mine.m SET a = a + 1 WHERE a IN (SELECT a FROM t)",
    "DELETE FROM mine.m WHERE a = 77",
    "CREATE TABLE IF NOT EXISTS mine.made AS SELECT * FROM t",
    "CREATE OR REPLACE VIEW mine.seen AS SELECT * FROM open.t; SELECT * FROM mine.seen",
]


@pytest.mark.parametrize("text", ALLOWED)
def test_a_schema_that_was_granted_is_reached(desk: Desk, text: str) -> None:
    action = Sql(statement=text, schema="open", reads=["Open"], writes=["MINE"], parameters={"n": 1, "text": "it's $n"})
    outcome = desk.run(action)
    assert outcome.result == "succeeded", outcome.detail


TRICKS = [
    "SELECT a $a$ /* $a$ FROM through -- */",
    "SELECT a $a$ ' $a$ FROM through --'",
    "SELECT a FROM through WHERE '$a' <> $$ $a $$",
    "SELECT a AS b$a FROM through",
    'SELECT a AS " $a" FROM through',
    "SELECT a, $a FROM through",
    "SELECT a FROM through /* $a */ WHERE $a IS NULL",
]


@pytest.mark.parametrize("text", TRICKS)
def test_a_value_cannot_make_the_text_that_is_looked_at_another_one(desk: Desk, text: str) -> None:
    parameters = {"a": "x' -- /*"}
    outcome = desk.run(Sql(statement=text, schema="open", reads=["open"], writes=[], parameters=parameters))
    assert outcome.result == "failed", outcome.output
    assert "42" not in str(outcome.output)


def test_a_view_that_was_changed_since_is_looked_at_again(desk: Desk) -> None:
    desk.rows("CREATE VIEW open.moving AS SELECT a FROM open.t")
    action = Sql(statement="SELECT * FROM moving", schema="open", reads=["open"], writes=[])
    assert desk.run(action).result == "succeeded"
    desk.rows("CREATE OR REPLACE VIEW open.moving AS SELECT a FROM secret.s")
    assert desk.run(action).detail == "This request may not read the schema secret."


def test_an_interactive_query_has_grants_too(desk: Desk) -> None:
    def ask(text: str) -> object:
        return desk.executor.query("default", text, schema="open", reads=["open"]).result(10)["rows"]

    assert [list(row) for row in ask("SELECT a FROM t")] == [[1]]  # type: ignore[attr-defined] # rows are lists
    for text in ("SELECT * FROM secret.s", "SELECT * FROM twice", "SELECT value()"):
        with pytest.raises(RunyardError, match="may not read the schema secret"):
            ask(text)


def test_without_grants_all_of_the_workspace_is_reached(desk: Desk) -> None:
    assert desk.rows("SELECT * FROM open.twice") == [[42]]
