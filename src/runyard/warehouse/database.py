"""Opens a workspace's DuckDB file: locked down for user SQL, with our own tables where SQL cannot name them."""

from __future__ import annotations

import secrets
import shutil
import sys
import types
import zoneinfo
from pathlib import Path
from typing import Any

import duckdb

from runyard.warehouse.checker import HIDDEN_SCHEMA, built_in
from runyard.warehouse.dialects import macros
from runyard.warehouse.names import path
from runyard.warehouse.refused import Refused

_OURS = f"""
CREATE SCHEMA IF NOT EXISTS {HIDDEN_SCHEMA};
CREATE TABLE IF NOT EXISTS {HIDDEN_SCHEMA}.effects (
    run_id BIGINT, task_key VARCHAR, iteration INTEGER, round INTEGER,
    token BIGINT NOT NULL, recorded_at BIGINT NOT NULL, outcome BLOB NOT NULL,
    PRIMARY KEY (run_id, task_key, iteration, round)
);
ALTER TABLE {HIDDEN_SCHEMA}.effects ADD COLUMN IF NOT EXISTS task_run_id BIGINT;
ALTER TABLE {HIDDEN_SCHEMA}.effects ADD COLUMN IF NOT EXISTS reads VARCHAR[];
ALTER TABLE {HIDDEN_SCHEMA}.effects ADD COLUMN IF NOT EXISTS writes VARCHAR[];
CREATE TABLE IF NOT EXISTS {HIDDEN_SCHEMA}.reads (
    name VARCHAR NOT NULL, run_id BIGINT NOT NULL, task_run_id BIGINT NOT NULL, task_key VARCHAR NOT NULL,
    recorded_at BIGINT NOT NULL, reads VARCHAR[] NOT NULL
);
CREATE TABLE IF NOT EXISTS {HIDDEN_SCHEMA}.views (
    name VARCHAR NOT NULL, schema VARCHAR NOT NULL, source VARCHAR NOT NULL, statement VARCHAR NOT NULL,
    target VARCHAR NOT NULL, dialect VARCHAR NOT NULL, query VARCHAR NOT NULL, created_at BIGINT NOT NULL
)
"""

_STORED_TEXTS = f"""
SELECT query FROM {HIDDEN_SCHEMA}.views
UNION ALL SELECT comment FROM duckdb_tables() WHERE comment IS NOT NULL
"""

# Named whole, and with operators that no macro can stand for: the file may be anybody's.
_MACROS = "SELECT schema_name, function_name, function_type FROM system.main.duckdb_functions() WHERE internal IS FALSE"

# The only options that our own cursors change after the lock; SET is refused in user SQL.
_OPEN_OPTIONS = "['schema', 'search_path', 'enable_progress_bar', 'enable_progress_bar_print', 'progress_bar_time']"


class _Zone(zoneinfo.ZoneInfo):
    def localize(self, value: Any) -> Any:
        return value.replace(tzinfo=self)


def _provide_zones() -> None:
    """DuckDB makes TIMESTAMPTZ values through a module that the standard library has replaced."""
    module: Any = types.ModuleType("pytz")
    module.timezone, module.utc = _Zone, _Zone("UTC")
    sys.modules.setdefault("pytz", module)


class Database:
    """One open database. It can only reach files in `spool`, a folder whose name cannot be guessed."""

    def __init__(
        self, path: Path, *, memory_limit: str | None = None, disk_limit: str | None = None, threads: int | None = None
    ) -> None:
        _provide_zones()
        home = path.with_suffix(".spool")
        shutil.rmtree(home, ignore_errors=True)
        self.spool = home / secrets.token_hex(16)
        self.spool.mkdir(parents=True, mode=0o700)
        self._root = duckdb.connect(str(path), config=_config(path, memory_limit, disk_limit, threads))
        _check_macros(self._root)
        for statement in _OURS.split(";"):
            self._root.execute(statement)
        macros.OURS.open(self._root, _STORED_TEXTS)
        self._lock_down()

    def _lock_down(self) -> None:
        """After this no statement, ours included, reads or writes a file outside the spool folder."""
        self._root.execute(f"SET allowed_directories = [{_quoted(f'{self.spool}/')}]")
        self._root.execute("SET GLOBAL TimeZone = 'UTC'")
        self._root.execute("SET allow_community_extensions = false")
        self._root.execute("SET enable_external_access = false")
        self._root.execute(f"SET allowed_configs = {_OPEN_OPTIONS}")
        self._root.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to this database; it costs some microseconds."""
        return self._root.cursor()


def _check_macros(root: duckdb.DuckDBPyConnection) -> None:
    """Raises `Refused` when the file has a macro that would be called in the place of one of DuckDB's functions.

    Such a one stands before the function in our own statements, too, those that hold the grants. User SQL cannot make
    it, but an older version or DuckDB itself could.
    """
    made = root.execute(_MACROS).fetchall()
    stolen = sorted(_dropped(*names) for names in made if names[1].lower() in built_in()) if made else []
    if stolen:
        raise Refused(
            "It holds macros that have the names of functions of DuckDB, and would be called instead of these. "
            f"Rename them with DuckDB itself: {'; '.join(stolen[:10])}"
        )


def _dropped(schema: str, macro: str, kind: str) -> str:
    return f"DROP {'MACRO TABLE' if kind == 'table_macro' else 'MACRO'} {path(schema, macro)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _config(path: Path, memory_limit: str | None, disk_limit: str | None, threads: int | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_persistent_secrets": False,
        "temp_directory": str(path.with_suffix(".tmp")),
    }
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    if disk_limit is not None:
        config["max_temp_directory_size"] = disk_limit
    if threads is not None:
        config["threads"] = threads
    return config
