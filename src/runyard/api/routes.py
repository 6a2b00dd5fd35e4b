"""The native API's card: all its families of routes, how its callers sign in, how it refuses."""

from __future__ import annotations

from runyard.api.data import DataRoutes
from runyard.api.errors import refuse
from runyard.api.jobs import JobRoutes
from runyard.api.registry import BookmarkRoutes, PrincipalRoutes, QueueRoutes
from runyard.api.results import ResultRoutes
from runyard.api.runs import RunRoutes
from runyard.api.schedules import ScheduleRoutes
from runyard.api.spawned import SpawnedRoutes
from runyard.api.system import SystemRoutes
from runyard.api.tables import TableRoutes
from runyard.api.task_runs import TaskRunRoutes
from runyard.api.triggers import TriggerRoutes
from runyard.engine.engine import Engine
from runyard.http.card import Card
from runyard.http.counters import Counters
from runyard.http.gate import bearer, query_token
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens


def card(
    engine: Engine, tokens: Tokens, streams: Streams, counters: Counters, dialects: dict[str, dict[str, str]]
) -> Card:
    """The native face over this engine; it tells which dialects are served, and the environment of each."""
    system = SystemRoutes(engine, counters, streams, dialects)
    families = (
        JobRoutes(engine.registry, engine.runs, engine.schedules),
        ScheduleRoutes(engine.schedules),
        TriggerRoutes(engine.triggers),
        RunRoutes(engine.runs, streams),
        TaskRunRoutes(engine.runs, streams),
        SpawnedRoutes(engine.runs),
        QueueRoutes(engine.registry),
        BookmarkRoutes(engine.registry),
        PrincipalRoutes(engine.registry, tokens),
        DataRoutes(engine.data),
        TableRoutes(engine.data, engine.runs),
        ResultRoutes(engine.runs, engine.data),
        system,
    )
    routes = tuple(one for family in families for one in family.routes())
    system.documented = lambda: list(routes)
    return Card(name="native", prefixes=("/",), routes=routes, readers=(bearer, query_token), refuse=refuse)
