"""Runs dbt commands over the warehouse's tables: `python -P dbtrun.py REQUEST`, in the environment that has dbt.

dbt works on a DuckDB file of the attempt's own, since the warehouse's file belongs to the warehouse process. The
project's relations that the warehouse has are brought in before the first command that needs them; what a command
built goes back, each table whole or not at all.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from runyard.core.actions import Sql
from runyard.runtime import children, context

_ALONE = {"deps", "clean", "debug", "init", "parse", "list", "ls", "--version"}
"""Commands that read no table; `deps` must come before a project can be parsed."""
_BUILT = {"model", "seed", "snapshot"}
_GOOD = {"success"}
_ARTIFACTS = ("manifest.json", "run_results.json", "sources.json", "catalog.json")


class DbtFailed(RuntimeError):
    """A command did not succeed; the log has dbt's own words."""


class Project:
    """A copy of the project, its profile and its database, in the attempt's folder."""

    def __init__(self, project: str, schema: str, folder: Path) -> None:
        self.folder, self.schema = folder / "project", schema
        shutil.copytree(project, self.folder, symlinks=True, ignore=shutil.ignore_patterns("target", "logs", ".git"))
        self.database = folder / "warehouse.duckdb"  # its name is the database's, too
        self.target = folder / "target"
        self.filled = False
        (folder / "profiles").mkdir()
        self._write_profile(folder / "profiles" / "profiles.yml")
        os.environ.update(
            DBT_PROFILES_DIR=str(folder / "profiles"),
            DBT_PROJECT_DIR=str(self.folder),
            DBT_TARGET_PATH=str(self.target),
            DBT_LOG_PATH=str(folder / "logs"),
            DBT_SEND_ANONYMOUS_USAGE_STATS="false",
            DBT_USE_COLORS="false",
        )

    def _write_profile(self, path: Path) -> None:
        settings = importlib.import_module("yaml").safe_load((self.folder / "dbt_project.yml").read_text())
        output = {"type": "duckdb", "path": str(self.database), "schema": self.schema, "threads": 4}
        path.write_text(json.dumps({settings["profile"]: {"target": "runyard", "outputs": {"runyard": output}}}))

    def run(self, words: list[str]) -> dict[str, Any]:
        """One command; what it built goes to the warehouse, also when something else of it failed."""
        dbt = importlib.import_module("dbt.cli.main").dbtRunner()
        if words[0] not in _ALONE and not self.filled:
            self._fill(dbt)
        result = dbt.invoke(words)
        told = [self._told(one) for one in getattr(result.result, "results", None) or []]
        if words[0] not in _ALONE:
            self._give_back(getattr(result.result, "results", None) or [])
        said = str(result.exception) if result.exception else ""
        return {"command": shlex.join(["dbt", *words]), "success": bool(result.success), "error": said, "results": told}

    def _told(self, one: Any) -> dict[str, Any]:
        message = str(getattr(one, "message", "") or "")[:300]
        return {"id": one.node.unique_id, "status": str(one.status), "seconds": one.execution_time, "message": message}

    def _fill(self, dbt: Any) -> None:
        """The project's relations as the warehouse has them now."""
        self.filled = True
        parsed = dbt.invoke(["parse", "--quiet"])
        if not parsed.success:
            raise DbtFailed(f"dbt parse did not succeed: {parsed.exception}")
        manifest = parsed.result
        nodes = [*manifest.sources.values(), *(one for one in manifest.nodes.values() if one.resource_type in _BUILT)]
        wanted = {(one.schema, getattr(one, "identifier", None) or one.alias) for one in nodes}
        known = context.read_table("select table_schema, table_name from information_schema.tables").to_pylist()
        there = {(one["table_schema"], one["table_name"]) for one in known}
        with self._connection() as connection:
            for schema, name in sorted(wanted & there):
                table = context.read_table(f"{schema}.{name}")
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
                connection.register("runyard_rows", table)
                connection.execute(f'CREATE TABLE "{schema}"."{name}" AS SELECT * FROM runyard_rows')
                connection.unregister("runyard_rows")

    def _give_back(self, results: list[Any]) -> None:
        built = [one.node for one in results if str(one.status) in _GOOD and one.node.resource_type in _BUILT]
        built = [one for one in built if one.config.materialized != "ephemeral"]
        with self._connection() as connection:
            for schema in sorted({one.schema for one in built} - {"main"}):
                children.run(Sql(statement=f'create schema if not exists "{schema}"'), "sql")
            for one in built:
                rows = connection.execute(f'SELECT * FROM "{one.schema}"."{one.alias}"').to_arrow_table()
                context.write_table(f"{one.schema}.{one.alias}", rows, "replace")

    def _connection(self) -> Any:
        return importlib.import_module("duckdb").connect(str(self.database))

    def keep(self, artifacts: Path) -> None:
        """What dbt wrote about its work."""
        artifacts.mkdir(exist_ok=True)
        for name in _ARTIFACTS:
            if (self.target / name).is_file():
                shutil.copyfile(self.target / name, artifacts / name)


def main(request: dict[str, Any]) -> None:
    """All commands; raises `DbtFailed` after the first that does not succeed."""
    project = Project(request["project"], request["schema"], Path.cwd())
    done: list[dict[str, Any]] = []
    try:
        for command in request["commands"]:
            done.append(project.run(shlex.split(command)[1:]))
            if not done[-1]["success"]:
                bad = [
                    f"{one['id']}: {one['message']}"
                    for one in done[-1]["results"]
                    if one["status"] in ("error", "fail")
                ]
                raise DbtFailed(f"{command} did not succeed. {done[-1]['error'] or '; '.join(bad[:3])}".strip())
    finally:
        project.keep(Path(request["artifacts"]))
        context.set_metrics(results=sum(len(one["results"]) for one in done))
        context.set_output({"commands": [{**one, "results": one["results"][:100]} for one in done]})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
