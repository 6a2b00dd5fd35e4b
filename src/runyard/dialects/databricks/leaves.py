"""Kinds of work that really run: notebooks, Python files, wheels, SQL. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import Dbt, Leaf, Notebook, Python, Sql, Wheel
from runyard.core.errors import invalid
from runyard.dialects.databricks import paths
from runyard.dialects.databricks.parts import Parts, Settings
from runyard.dialects.databricks.tables import LIMITS


def notebook(settings: Settings, parts: Parts) -> Notebook:
    """A notebook of the workspace or of a repository; its widgets are the base parameters, the job's over them."""
    given = settings["notebook_task"]
    path = given.get("notebook_path")
    if not path:
        raise invalid("notebook_task needs a notebook_path.")
    requirements, wheels = parts.packages(settings)
    where: dict[str, Any] = {"requirements": [*requirements, *wheels], "environment": parts.environment(settings)}
    checkout = parts.checkout(given)
    if checkout is not None:
        where |= {"path": path.lstrip("/"), "checkout": checkout}
    else:
        paths.workspace(parts.surroundings.roots, path)
        where |= {"path": path.removeprefix("/Workspace"), "root": parts.surroundings.roots.workspace}
    widgets = parts.named(given.get("base_parameters", {}), notebook_path=path)
    return Notebook(parameters=widgets, **where)


def spark_python(settings: Settings, parts: Parts) -> Python:
    """A Python file with its arguments; it gets the job's parameters by reference only."""
    given = settings["spark_python_task"]
    file = given.get("python_file")
    if not file:
        raise invalid("spark_python_task needs a python_file.")
    requirements, wheels = parts.packages(settings)
    checkout = parts.checkout(given) if ":" not in file else None
    return Python(
        file=file.lstrip("/") if checkout else paths.file(parts.surroundings.roots, file),
        arguments=parts.refs(given.get("parameters", [])),
        requirements=[*requirements, *wheels],
        environment=parts.environment(settings),
        checkout=checkout,
    )


def wheel(settings: Settings, parts: Parts) -> Wheel:
    """A wheel's entry point; named parameters come as `--name=value`, the job's over them."""
    given = settings["python_wheel_task"]
    if not given.get("package_name") or not given.get("entry_point"):
        raise invalid("python_wheel_task needs a package_name and an entry_point.")
    if given.get("parameters") and given.get("named_parameters"):
        raise invalid("python_wheel_task takes parameters or named_parameters, not both.")
    arguments = parts.refs(given.get("parameters", []))
    if "named_parameters" in given:
        arguments = [f"--{name}={value}" for name, value in parts.named(given["named_parameters"]).items()]
    requirements, wheels = parts.packages(settings)
    return Wheel(
        package=given["package_name"],
        entry_point=given["entry_point"],
        arguments=arguments,
        wheels=wheels,
        requirements=requirements,
        index=bool(requirements) or not wheels,
        environment=parts.environment(settings),
    )


def sql(settings: Settings, parts: Parts) -> Leaf:
    """A stored query or a file, in the warehouse; a file of a repository runs as a notebook of SQL does."""
    given = settings["sql_task"]
    if not given.get("warehouse_id"):
        raise invalid("sql_task needs a warehouse_id.")
    kinds = [name for name in ("query", "file", "alert", "dashboard") if name in given]
    if len(kinds) != 1:
        raise invalid("sql_task has exactly one of query, file, alert and dashboard.")
    named = parts.named(given.get("parameters", {}))
    if kinds[0] == "query":
        query_id = given["query"].get("query_id", "")
        file = paths.inside(parts.surroundings.roots.queries, f"{query_id}.sql")
    elif kinds[0] == "file":
        path = given["file"].get("path", "")
        checkout = parts.checkout(given["file"])
        if checkout is not None:
            return Notebook(path=path.lstrip("/"), checkout=checkout, language="sql", parameters=named)
        file = paths.file(parts.surroundings.roots, path)
    else:
        raise invalid(f"sql_task with {kinds[0]} cannot run here: there are no alerts and dashboards.")
    return Sql(file=file, parameters=named, dialect="databricks")


def dbt(settings: Settings, parts: Parts) -> Dbt:
    """Commands of dbt over the warehouse's tables; its profile is made here, whatever the project says."""
    given = settings["dbt_task"]
    commands = given.get("commands", [])
    if not 1 <= len(commands) <= LIMITS["dbt_commands"]:
        raise invalid(f"dbt_task needs 1 to {LIMITS['dbt_commands']} commands; it has {len(commands)}.")
    folder = given.get("project_directory", "")
    checkout = parts.checkout(given)
    if checkout is None and not folder:
        raise invalid("dbt_task needs a project_directory, or a git_source.")
    project = folder.lstrip("/") or "." if checkout else paths.file(parts.surroundings.roots, folder)
    work = Dbt(
        commands=parts.refs(commands),
        project=project,
        schema=given.get("schema", "main"),
        environment=parts.environment(settings),
        checkout=checkout,
    )
    requirements, wheels = parts.packages(settings)
    # The adapter of the vendor's own warehouse is of no use here; ours comes with the action.
    more = [one for one in (*requirements, *wheels) if not one.startswith("dbt-")]
    return msgspec.structs.replace(work, requirements=[*work.requirements, *more])
