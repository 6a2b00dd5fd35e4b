"""The card of this dialect: its routes, credentials and errors."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from runyard.core.errors import invalid
from runyard.dialects.base import Card, bearer
from runyard.dialects.databricks import spark
from runyard.dialects.databricks.destinations import DestinationRoutes
from runyard.dialects.databricks.errors import refuse
from runyard.dialects.databricks.files import DbfsRoutes
from runyard.dialects.databricks.jobs import JobRoutes
from runyard.dialects.databricks.output import OutputRoutes
from runyard.dialects.databricks.paths import Roots
from runyard.dialects.databricks.permissions import Permissions
from runyard.dialects.databricks.queries import QueryRoutes
from runyard.dialects.databricks.runs import RunRoutes
from runyard.dialects.databricks.serve import Place
from runyard.dialects.databricks.side import SideRoutes
from runyard.dialects.databricks.tables import NAME
from runyard.dialects.databricks.workspace import WorkspaceRoutes
from runyard.engine.engine import Engine
from runyard.http.request import Request


def card(
    engine: Engine,
    folder: Path,
    *,
    record_only: bool = False,
    mail: bool = False,
    options: dict[str, str] | None = None,
) -> Card:
    """The dialect over the engine; its files lie below the data folder. Raises invalid for wrong options."""
    found = spark.installation(options or {})
    if found is not None and not Path(found.spark_home, "bin", "spark-submit").is_file():
        said = f"The option databricks.spark_home is {found.spark_home}; there is no bin/spark-submit in it."
        raise invalid(said, field="options")
    place = Place(engine, Roots.below(str(folder)), record_only, mail, found)
    permissions = Permissions(place)
    runs = RunRoutes(place, permissions)
    families = (
        JobRoutes(place, permissions),
        runs,
        OutputRoutes(place, runs),
        permissions,
        SideRoutes(place),
        DbfsRoutes(place),
        WorkspaceRoutes(place),
        QueryRoutes(place),
        DestinationRoutes(place),
    )
    return Card(
        name=NAME,
        prefixes=("/api/2.0", "/api/2.1", "/api/2.2", "/.well-known/databricks-config"),
        routes=tuple(route for family in families for route in family.routes()),
        readers=(bearer, password),
        refuse=refuse,
        connect={"DATABRICKS_HOST": "{url}", "DATABRICKS_TOKEN": "{token}"},
    )


def password(request: Request) -> str | None:
    """The password of `Authorization: Basic`, whoever the user claims to be: it is a token of ours."""
    value = request.header(b"authorization")
    if value is None or value[:6].lower() != "basic ":
        return None
    try:
        user, _, secret = base64.b64decode(value[6:], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return secret or user or None
