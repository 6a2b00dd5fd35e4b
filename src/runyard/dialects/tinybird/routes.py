"""The card of the Tinybird dialect: its families of routes, how its callers sign in, how it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runyard.dialects.base import Card, bearer, query_token, read_options
from runyard.dialects.tinybird.analyze import AnalyzeRoutes
from runyard.dialects.tinybird.carrying import Carrier
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.deploy_routes import DeployRoutes
from runyard.dialects.tinybird.deployments import Deployments
from runyard.dialects.tinybird.errors import refuse
from runyard.dialects.tinybird.event_routes import EventRoutes, Events
from runyard.dialects.tinybird.face import Face
from runyard.dialects.tinybird.imports import Imports
from runyard.dialects.tinybird.jobs import JobRoutes
from runyard.dialects.tinybird.pipe_routes import PipeRoutes
from runyard.dialects.tinybird.pipes import Pipes
from runyard.dialects.tinybird.proving import Prover
from runyard.dialects.tinybird.query import Queries, QueryRoutes
from runyard.dialects.tinybird.service import Service
from runyard.dialects.tinybird.source_routes import SourceRoutes
from runyard.dialects.tinybird.tables import Options
from runyard.dialects.tinybird.token_routes import TokenRoutes, Tokens
from runyard.dialects.tinybird.workspace_routes import WorkspaceRoutes
from runyard.engine.engine import Engine
from runyard.http.tokens import Tokens as Keys

PREFIXES = (
    "/v0/", "/v1/workspace", "/v1/user", "/v1/datasources", "/v1/pipes", "/v1/regions", "/v1/build", "/v1/deploy",
    "/tokens",
)  # fmt: skip
CONNECT = {"TB_HOST": "{url}", "TB_TOKEN": "{token}", "TB_VERSION_WARNING": "0", "TB_CLI_TELEMETRY_OPTOUT": "1"}


def card(engine: Engine, tokens: Keys, files: Path, options: Mapping[str, str]) -> Card:
    """The dialect over this engine; `files` is a folder that exports may write, `options` are texts by name."""
    face = Face(engine, tokens, read_options(options, Options), files)
    sources = Sources(face)
    imports = Imports(face, sources)
    queries = Queries(face, sources, Service(face, sources))
    pipes, issued = Pipes(face, sources, queries), Tokens(face)
    deployments = Deployments(face, Prover(face, sources), Carrier(face, sources, pipes, issued))
    face.first = deployments.resume
    families = (
        JobRoutes(face, sources),
        SourceRoutes(face, sources, imports),
        PipeRoutes(face, sources, pipes, queries),
        QueryRoutes(face, sources, queries),
        EventRoutes(face, sources, Events(face, sources)),
        TokenRoutes(face, issued),
        WorkspaceRoutes(face, issued, sources, pipes),
        DeployRoutes(face, deployments),
        AnalyzeRoutes(face),
    )
    routes = tuple(route for family in families for route in family.routes())
    return Card(
        name="tinybird",
        prefixes=PREFIXES,
        routes=routes,
        readers=(face.signing.read, bearer, query_token),
        refuse=refuse,
        connect=CONNECT,
    )
