"""What is PostgreSQL's alone: how it is reached, what it cannot keep as it is, and that it may go away for a while."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from runyard import app
from runyard.config import load
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Document
from runyard.store.base import Store
from runyard.store.sqlite import SqliteStore
from tests import postgres
from tests.store.make import NOW, a_run, added, write


@pytest.fixture
def url() -> str:
    return postgres.fresh_url()


def _open(url: str, **options: Any) -> Any:
    from runyard.store.postgres import PostgresStore

    return PostgresStore(url, **options)


# --- how it is reached ---


def test_a_store_that_cannot_be_reached_names_host_and_cause_but_never_the_password() -> None:
    postgres.server()
    with pytest.raises(RunyardError) as refused:
        _open("postgresql://ann:s3cret@127.0.0.1:1/jobs")
    assert refused.value.code is Code.UNAVAILABLE
    assert "127.0.0.1:1/jobs" in refused.value.message
    assert "refused" in refused.value.message
    assert "s3cret" not in repr(refused.value)
    assert "s3cret" not in str(refused.value.details)


def test_a_store_url_that_cannot_be_read_is_refused_without_showing_it() -> None:
    postgres.server()
    with pytest.raises(RunyardError) as refused:
        _open("postgresql://ann:s3cret@host/jobs?nonsense=1")
    assert refused.value.code is Code.INVALID
    assert "s3cret" not in str(refused.value)


def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in ("runyard.store.postgres", "runyard.store.postgres_reads"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(RunyardError) as refused:
        app.open_store(load({"store": "postgresql://localhost/jobs"}, {}))
    assert refused.value.code is Code.UNAVAILABLE
    assert "runyard[postgres]" in refused.value.message


def test_the_setting_opens_the_store_that_it_names(url: str) -> None:
    store = app.open_store(load({"store": url}, {}))
    assert store.name == "postgres"
    store.close()


def test_servers_that_start_at_the_same_time_migrate_once(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(_open, [url] * 4))
    for store in stores:
        store.close()


# --- the same schema ---


def test_both_stores_keep_the_same_columns(url: str) -> None:
    _open(url).close()
    with postgres.connect(url) as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        ).fetchall()
    connection.close()
    sqlite = SqliteStore(":memory:")
    names = [name for (name,) in sqlite.writer.connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
    columns = {
        (table, row[1]) for table in names for row in sqlite.writer.connection.execute(f"PRAGMA table_info({table})")
    }
    sqlite.close()
    assert columns <= set(found)


def test_both_stores_name_the_same_statements() -> None:
    from runyard.store import sql

    assert set(sql.load("sqlite.sql")) <= set(sql.load("postgres.sql"))


# --- text ---


def test_text_with_nul_is_given_back_and_stays_in_its_order(url: str) -> None:
    keys = ["a", "a\x00", "a\x00b", "a\x01", "a\x01\x01", "a\x01\x02", "a\x02", "ab"]
    store = _open(url)
    for key in reversed(keys):
        write(store, Document(workspace="w", dialect="d", kind="k", key=key, version=1, body={"text": key},
                              created_at=NOW, updated_at=NOW, updated_by="ann"))  # fmt: skip
    with store.reading() as reads:
        found = reads.documents("w", "d", "k", "a", None, 100)
        assert [one.key for one in found] == keys
        assert [one.body["text"] for one in found] == keys
        assert [one.key for one in reads.documents("w", "d", "k", "a\x00", None, 100)] == ["a\x00", "a\x00b"]
    store.close()


# --- it may go away ---


def _cut(url: str) -> None:
    """Ends every connection, as a restart of the server does."""
    with postgres.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'runyard' AND pid <> pg_backend_pid()"
        )
    connection.close()


def test_readers_and_the_writer_find_their_way_back_after_the_connections_were_cut(url: str) -> None:
    store: Store = _open(url, readers=2)
    run, later = a_run(), a_run()
    write(store, run)
    _cut(url)
    for _ in range(3):
        with store.reading() as reads:
            assert reads.run(run.id) == run
    write(store, later)
    with store.reading() as reads:
        assert reads.run(later.id) == later
    store.close()


def test_a_connection_that_is_cut_inside_of_a_transaction_keeps_nothing_of_it(url: str) -> None:
    store: Store = _open(url)
    run, later = a_run(), a_run()
    store.writer.begin()
    store.writer.apply(added(run), None)
    assert store.writer.run(run.id) == run
    _cut(url)
    with pytest.raises(RunyardError) as refused:
        store.writer.commit()
    store.writer.rollback()
    assert refused.value.code is Code.UNAVAILABLE
    write(store, later)
    with store.reading() as reads:
        assert reads.run(run.id) is None
        assert reads.run(later.id) == later
    store.close()


def _added(run: Any) -> Any:
    from tests.store.make import added

    return added(run)
