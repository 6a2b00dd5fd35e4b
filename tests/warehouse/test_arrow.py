"""Programs of attempts read and write tables as Arrow: a real warehouse process, real attempts."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from runyard.core.actions import Copy
from runyard.core.attempts import Assignment, Outcome
from runyard.executors.warehouse import WarehouseExecutor
from runyard.runtime import context
from tests.executors.harness import Bench, python
from tests.warehouse.desk import Desk

HEAD = "import os\nfrom runyard import context\nimport pyarrow as pa\n"


class Both:
    """A warehouse and a local executor, wired as the composition root does it."""

    def __init__(self, home: Path) -> None:
        self.desk = Desk(home)
        self.bench = Bench(home / "attempts", grant=self.desk.executor.grant)
        self._run = 1_000_000

    def run(self, source: str, **fields: Any) -> Outcome:
        """One attempt; each is a task of its own, unless it names a run."""
        self._run += 1
        text = HEAD + textwrap.dedent(source)
        return self.bench.run(python(text), **({"run_id": self._run} | fields))

    def works(self, source: str, **fields: Any) -> dict[str, Any]:
        """The values of an attempt that must succeed."""
        outcome = self.run(source, **fields)
        assert outcome.result == "succeeded", (outcome.detail, outcome.error)
        return outcome.values

    def fails(self, source: str, **fields: Any) -> str:
        outcome = self.run(source, **fields)
        assert outcome.result == "failed"
        return outcome.detail

    def close(self) -> None:
        self.bench.close()
        self.desk.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    one = Both(tmp_path_factory.mktemp("both"))
    yield one
    one.close()


def test_types_come_back_as_they_were_written(both: Both) -> None:
    both.works(
        """
        import datetime as d, decimal
        moment = d.datetime(2024, 2, 29, 12, 30, 0, 123456)
        table = pa.table({
            "i": pa.array([1, None, -3], pa.int32()), "u": pa.array([0, 2**64 - 1, None], pa.uint64()),
            "f": [1.5, float("inf"), None], "b": [True, None, False], "s": ["a", "", "\\u00fc\\U0001f600"],
            "raw": [b"\\x00\\xff", None, b""], "day": [d.date(1969, 12, 31), None, d.date(9999, 1, 1)],
            "at": pa.array([moment, None, moment], pa.timestamp("us")),
            "zoned": pa.array([moment, None, moment], pa.timestamp("us", "UTC")),
            "amount": pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("-9.99")], pa.decimal128(9, 2)),
            "many": [[1, None], [], None], "pair": [{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}],
            "nothing": pa.nulls(3), "Odd name": [1, 2, 3],
        })
        assert context.write_table("types", table) == 3
        back = context.read_table("types")
        assert back.to_pylist() == table.to_pylist(), back.to_pylist()
        for name in set(table.column_names) - {"nothing"}:
            assert back.schema.field(name).type == table.schema.field(name).type, back.schema.field(name)
        """
    )
    (row,) = both.desk.rows("SELECT zoned, amount, many, pair FROM types WHERE i = 1")
    assert row == ["2024-02-29T12:30:00.123456+00:00", "1.20", [1, None], {"x": 1, "y": "a"}]


def test_a_table_that_is_replaced_keeps_its_partition_key_or_stays(both: Both) -> None:
    copy = Copy(statement="SELECT 1 AS day, 2 AS v", table="keyed", partition_by="day")
    assert both.desk.run(copy).result == "succeeded"
    both.works(
        """
        assert context.write_table("keyed", pa.table({"day": ["x", "y"]}), mode="replace") == 2
        try:
            context.write_table("keyed", pa.table({"v": [1]}), mode="replace")
        except Exception as error:
            assert "cannot have the partition key (day)" in str(error), error
        else:
            raise AssertionError
        """
    )
    found = both.desk.executor.partitions("default", "main", "keyed", 10, 0).result(5)
    assert [one["values"] for one in found["items"]] == [["x"], ["y"]]


def test_the_modes_and_all_that_holds_rows(both: Both) -> None:
    both.works(
        """
        batch = pa.record_batch({"a": [1, 2]})
        assert context.write_table("modes", {"a": [1]}, mode="create") == 1
        assert context.write_table("main.MODES", batch) == 2
        assert context.write_table("modes", (batch for _ in range(3))) == 6
        assert context.read_table("SELECT count(*) AS n FROM modes").to_pylist() == [{"n": 9}]
        assert context.write_table("modes", pa.table({"b": ["x"]}), mode="replace") == 1
        assert context.read_table("modes").to_pylist() == [{"b": "x"}]
        assert context.write_table("modes", pa.table({"b": pa.array([], pa.string())}), mode="replace") == 0
        assert context.read_table("SELECT b FROM modes WHERE b = $b", {"b": "x"}).to_pylist() == []
        """
    )
    assert "exists already" in both.fails("context.write_table('modes', {'a': [1]}, mode='create')")
    assert "a column 'z'" in both.fails("context.write_table('modes', {'z': [1]})")
    assert "is no table name" in both.fails("context.write_table('a b', {'z': [1]})")
    assert "mode 'upsert' is unknown" in both.fails("context.write_table('modes', {'b': ['x']}, mode='upsert')")
    assert both.desk.rows("SELECT count(*) FROM modes") == [[0]]


def test_a_repeated_attempt_writes_nothing_again(both: Both) -> None:
    source = """
        counts = [context.write_table("once", {"a": list(range(n))}) for n in (3, 4)]
        counts.append(context.write_table("once_too", {"a": [context.task_run_id()]}, mode="replace"))
        context.set_value("counts", counts)
        os._exit(7) if context.attempt() == 0 else None
        """
    first = both.run(source, run_id=50, attempt=0)
    kept = both.desk.rows("SELECT a FROM once_too")
    assert (first.exit_code, kept != []) == (7, True)
    assert both.works(source, run_id=50, attempt=1) == {"counts": [3, 4, 1]}
    assert both.desk.rows("SELECT count(*) FROM once") == [[7]]
    assert both.desk.rows("SELECT a FROM once_too") == kept
    both.works(source, run_id=50, attempt=1, round=1)
    both.works(source, run_id=50, attempt=1, iteration=3)
    both.works(source, run_id=50, attempt=1, task_key="other")
    assert both.desk.rows("SELECT count(*) FROM once") == [[28]]


def test_writes_are_counted_through_all_processes_of_an_attempt_and_only_when_done(both: Both) -> None:
    source = """
        context.write_table("counted", {"a": [1]})
        if context.attempt() == 0:
            try:
                context.write_table("counted", {"wrong": [1]})
            except context.TableError:
                pass
        if os.fork() == 0:
            context.write_table("counted", {"a": [2]})
            os._exit(0)
        os.wait()
        context.write_table("counted", {"a": [3]})
        """
    for attempt in (0, 1):
        both.works(source, run_id=60, attempt=attempt)
        assert both.desk.rows("SELECT a FROM counted ORDER BY a") == [[1], [2], [3]]


def test_half_a_write_changes_nothing(both: Both) -> None:
    both.works("context.write_table('half', {'a': [1]})")
    program = """
        batch = pa.record_batch({"a": list(range(200_000))})
        def rows():
            yield batch
            yield batch
            %s
        context.write_table("half", rows())
        """
    assert "the end of the file" in both.fails(program % 'raise ValueError("the end of the file")')
    assert "the disk is gone" in both.fails(program % 'raise OSError("the disk is gone")')
    assert both.run(program % "os._exit(9)").exit_code == 9
    assert both.desk.rows("SELECT count(*) FROM half") == [[1]]
    assert both.works("context.set_value('n', context.write_table('half', {'a': [2]}))") == {"n": 1}


def test_a_claim_that_was_lost_and_a_wrong_token_are_refused(both: Both) -> None:
    both.works("context.read_table('SELECT 1')", run_id=70, token=5_000_000)
    assert "a newer one" in both.fails("context.write_table('stale', {'a': [1]})", run_id=70, token=4_000_000)
    for field, value in (("token", "0" * 64), ("run_id", 1), ("task_key", "x"), ("round", 9), ("token", "\u00fc")):
        spoilt = f"import runyard.runtime.context as c; c._known(); c._facts['tables'][{field!r}] = {value!r}\n"
        assert "its token is not valid" in both.fails(f"{spoilt}context.read_table('SELECT 1')")
    assert not both.desk.rows("SELECT 1 FROM information_schema.tables WHERE table_name = 'stale'")


def test_the_token_of_an_attempt_outlives_its_server(tmp_path: Path) -> None:
    key = b"k" * 32
    desk = Desk(tmp_path, key=key)
    one = Bench(tmp_path / "attempts", grant=desk.executor.grant)
    source = """
        context.write_table("before", {"a": [1]})
        while not os.path.exists("go"):
            __import__("time").sleep(0.01)
        context.write_table("before", {"a": [2]})
        """
    held = one.start(python(HEAD + textwrap.dedent(source)))
    try:
        one.wait(lambda: any(file.stat().st_size for file in one.folder(held).glob("writes-*")))
        desk.close()
        (one.folder(held) / "work" / "go").touch()
        desk = Desk(tmp_path, key=key)
        assert one.outcome(held).result == "succeeded", one.log(held)
        assert desk.rows("SELECT a FROM before ORDER BY a") == [[1], [2]]
    finally:
        one.close()
        desk.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE evil (a INTEGER)", "A query reads"),
        ("SELECT 1; SELECT 2", "A query reads"),
        ("SELECT * FROM _runyard.effects", "not available"),
        ("SELECT 1; DROP TABLE half", "A query reads"),
        ("SELECT * FROM read_csv('/etc/passwd')", "not available"),
        ("SELECT * FROM '/etc/passwd'", "cannot read files"),
        ("duckdb_settings", "not available"),
        ("_runyard.effects", "not available"),
        ("SELECT * FROM duckdb_secrets()", "not available"),
        ("SELECT * FROM access", "access"),
        ("COMMIT; BEGIN", "not available"),
        ("SELECT $gone", "$gone"),
        ("SELECT 1 +", "syntax"),
        ("SELECT error('in the middle') FROM range(5)", "in the middle"),
        ("SELECT if(range < 900000, range, error('far in the middle')) FROM range(1000000)", "far in the middle"),
    ],
)
def test_a_statement_that_does_not_only_read_raises_one_sentence(both: Both, statement: str, said: str) -> None:
    detail = both.fails(f"access = 1\ncontext.read_table({statement!r})")
    assert said in detail
    assert "TableError" in detail


@pytest.mark.parametrize(
    "table", ["_runyard.effects", "temp.x", "information_schema.x", "nowhere.x", "default.x", "runyard_sql.x"]
)
def test_no_table_outside_the_workspaces_schemas_is_written(both: Both, table: str) -> None:
    assert "TableError" in both.fails(f"context.write_table({table!r}, {{'a': [1]}})")


def test_a_read_ends_with_its_program(both: Both) -> None:
    outcome = both.run(
        """
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        context.read_table("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 3")
        """
    )
    assert outcome.result == "failed"
    both.works("context.write_table('after', {'a': [1]})")


def test_outside_an_attempt_one_sentence_says_so() -> None:
    for call in (lambda: context.read_table("t"), lambda: context.write_table("t", {"a": [1]})):
        with pytest.raises(context.TableError, match="works only inside an attempt"):
            call()
    assert issubclass(context.TableError, RuntimeError)


def test_a_long_folder_and_a_long_workspace_name_fit(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()
    one = Both(home)
    try:
        one.works("assert context.write_table('t', {'a': [1]}) == 1", workspace="w" * 100)
    finally:
        one.close()


def test_grants_of_two_keys_differ(tmp_path: Path) -> None:
    executors = [WarehouseExecutor(tmp_path / str(n), key=bytes([n]) * 32) for n in (1, 2)]
    claim = msgspec.convert(
        {"run_id": 1, "task_run_id": 2, "token": 3, "task_key": "t", "action": {"kind": "shell", "command": "x"}},
        type=Assignment,
    )
    tokens = [executor.grant(claim)["token"] for executor in executors]
    assert tokens[0] != tokens[1]
    assert len(tokens[0]) == 64
    for executor in executors:
        executor.close(0.0)


def test_a_large_table_arrives_whole_and_is_written_back(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    both.desk.run("CREATE TABLE big AS SELECT range AS a, range * 0.5::DOUBLE AS b FROM range(6_250_000)")
    values = both.works(
        """
        import time
        best = {}
        for _ in range(3):
            began = time.perf_counter()
            table = context.read_table("big")
            best["read"] = min(best.get("read", 9e9), time.perf_counter() - began)
            began = time.perf_counter()
            context.write_table("big_copy", table, mode="replace")
            best["write"] = min(best.get("write", 9e9), time.perf_counter() - began)
        for what, seconds in best.items():
            context.set_value(what, table.nbytes / 1e6 / seconds)
        context.set_value("rows", context.read_table("big_copy").num_rows)
        """
    )
    bare = duckdb.connect(config={"python_enable_replacements": False})
    bare.execute("CREATE TABLE big AS SELECT range AS a, range * 0.5::DOUBLE AS b FROM range(6_250_000)")
    began = time.perf_counter()
    table = bare.sql("SELECT * FROM big").to_arrow_table()
    values["bare"] = table.nbytes / 1e6 / (time.perf_counter() - began)
    with capsys.disabled():
        sys.stdout.write(
            f"\n100 MB as Arrow: read {values['read']:.0f} MB/s"
            f" (DuckDB itself {values['bare']:.0f}), written {values['write']:.0f} MB/s\n"
        )
    assert values["rows"] == 6_250_000


def test_what_a_program_reads_is_told_by_the_catalog_and_what_nobody_s_query_reads_is_not(both: Both) -> None:
    both.desk.run("CREATE TABLE looked_at AS SELECT 1 AS n")
    both.works('assert context.read_table("looked_at").num_rows == 1', run_id=77, task_key="look")
    with contextlib.closing(both.desk.executor.stream("default", "FROM looked_at", {})) as stream:
        stream.begin()
        assert b"".join(stream)
    (read,) = both.desk.executor.table("default", "main", "looked_at").result(10)["read_by"]
    assert (read["run_id"], read["task_key"], read["reads"]) == (77, "look", ["main.looked_at"])
