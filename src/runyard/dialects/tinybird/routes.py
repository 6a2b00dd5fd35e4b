"""The card of the Tinybird dialect: its families of routes, how its callers sign in, how it refuses."""

from __future__ import annotations

from collections.abc import Mapping

from runyard.dialects.base import Card, bearer, query_token, read_options
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.errors import refuse
from runyard.dialects.tinybird.face import Face
from runyard.dialects.tinybird.imports import Imports
from runyard.dialects.tinybird.jobs import JobRoutes
from runyard.dialects.tinybird.source_routes import SourceRoutes
from runyard.dialects.tinybird.tables import Options
from runyard.engine.engine import Engine
from runyard.http.tokens import Tokens

PREFIXES = ("/v0/", "/v1/", "/tokens")
CONNECT = {"TB_HOST": "{url}", "TB_TOKEN": "{token}", "TB_VERSION_WARNING": "0", "TB_CLI_TELEMETRY_OPTOUT": "1"}


def card(engine: Engine, tokens: Tokens, options: Mapping[str, str]) -> Card:
    """The dialect over this engine; `options` are texts by name, see `tables.Options`."""
    face = Face(engine, tokens, read_options(options, Options))
    sources = Sources(face)
    imports = Imports(face, sources)
    families = (JobRoutes(face, sources), SourceRoutes(face, sources, imports))
    routes = tuple(route for family in families for route in family.routes())
    return Card(
        name="tinybird",
        prefixes=PREFIXES,
        routes=routes,
        readers=(bearer, query_token),
        refuse=refuse,
        connect=CONNECT,
    )
