"""Opening a database: migrations, and the deadline of its readers."""

from __future__ import annotations

import importlib

import pytest

from runyard.core.errors import Code, RunyardError
from runyard.store.migrate import Migration, pending
from tests.store.harness import Harness, SqliteFile
from tests.store.make import a_run, a_task_run, added, write

_FIRST, _SECOND = Migration.read("0001_core.sql", "CREATE TABLE a"), Migration.read("0002_more.sql", "CREATE TABLE b")


def test_a_fresh_database_needs_every_migration_in_order() -> None:
    assert pending([_SECOND, _FIRST], {}) == [_FIRST, _SECOND]


def test_an_older_database_needs_only_what_is_new() -> None:
    assert pending([_FIRST, _SECOND], {1: _FIRST.checksum}) == [_SECOND]


def test_a_database_is_opened_again_as_it_is(kept: Harness) -> None:
    store = kept.open()
    run = a_run()
    write(store, run)
    store.close()
    for _ in range(2):
        store = kept.open()
        with store.reading() as reads:
            assert reads.run(run.id) == run
        store.close()


def test_a_database_of_a_newer_version_is_refused(kept: Harness) -> None:
    kept.open().close()
    kept.tamper("INSERT INTO migration (number, name, checksum) VALUES (9999, '9999_future.sql', 'x')")
    with pytest.raises(RunyardError, match="newer version") as refused:
        kept.open()
    assert refused.value.code is Code.UNAVAILABLE


def test_a_database_whose_schema_was_made_otherwise_is_refused(kept: Harness) -> None:
    kept.open().close()
    kept.tamper("UPDATE migration SET checksum = 'other' WHERE number = 1")
    with pytest.raises(RunyardError, match="another form") as refused:
        kept.open()
    assert refused.value.code is Code.UNAVAILABLE


def test_a_refused_database_is_left_as_it_was(kept: Harness) -> None:
    store = kept.open()
    run = a_run()
    write(store, run)
    store.close()
    kept.tamper("UPDATE migration SET checksum = checksum || 'x' WHERE number = 1")
    with pytest.raises(RunyardError):
        kept.open()
    kept.tamper("UPDATE migration SET checksum = substr(checksum, 1, length(checksum) - 1) WHERE number = 1")
    store = kept.open()
    with store.reading() as reads:
        assert reads.run(run.id) == run
    store.close()


def test_a_migration_that_breaks_off_leaves_nothing_of_itself_and_goes_through_later(
    kept: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept.open()
    run = a_run()
    write(store, run)
    store.close()
    begins = "CREATE TABLE half (n INTEGER)"
    module = "sqlite" if isinstance(kept, SqliteFile) else "postgres"
    known = importlib.import_module(f"runyard.store.{module}")._migrations()
    for text in (f"{begins}; SELECT nothing_of_that_name FROM half", begins):
        more = Migration.read("9000_more.sql", text)
        monkeypatch.setattr(f"runyard.store.{module}._migrations", lambda more=more: [*known, more])
        if text != begins:
            with pytest.raises(Exception, match="nothing_of_that_name"):
                kept.open()
    store = kept.open()
    with store.reading() as reads:
        assert reads.run(run.id) == run
    store.close()


def test_a_statement_that_reads_too_long_is_stopped_and_the_next_one_works(kept: Harness) -> None:
    store = kept.open(readers=1, read_deadline=kept.deadline)
    run = a_run()
    write(store, added(run, *(a_task_run(run) for _ in range(5000))))
    with kept.slow(), store.reading() as reads:
        with pytest.raises(RunyardError, match="stopped") as refused:
            reads.queue_depth()
        assert reads.run(run.id) == run
    assert refused.value.code is Code.UNAVAILABLE
    store.close()


def test_the_writer_is_never_stopped_by_the_readers_deadline(kept: Harness) -> None:
    store = kept.open(readers=1, read_deadline=0.0)
    run = a_run()
    write(store, added(run, *(a_task_run(run) for _ in range(5000))))
    assert store.writer.queue_depth() == {"default": 5000}
    store.close()
