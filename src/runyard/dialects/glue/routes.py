"""The card: every operation as a route of its own, with its own scope; what is not declared is refused."""

from __future__ import annotations

from runyard.config import Settings
from runyard.core.opaque import Opaque
from runyard.dialects.base import SIGNED_IN, Card, Route, bearer
from runyard.dialects.glue import call, errors, identity, logs, tables
from runyard.dialects.glue.bookmarks import Bookmarks
from runyard.dialects.glue.chains import Chains
from runyard.dialects.glue.jobs import Jobs
from runyard.dialects.glue.logs import Logs
from runyard.dialects.glue.requests import LOG_REQUESTS, REQUESTS
from runyard.dialects.glue.runs import JobRuns
from runyard.dialects.glue.tags import Tags
from runyard.dialects.glue.triggers import Triggers
from runyard.dialects.glue.workflows import Workflows
from runyard.engine.engine import Engine
from runyard.http.signatures import signed

SERVICE = "AWSGlue"


def card(engine: Engine, opaque: Opaque, settings: Settings) -> Card:
    """The Glue face over this engine; `opaque` makes run ids."""
    tags = Tags(engine.documents)
    jobs = Jobs(engine.registry, tags)
    runs = JobRuns(engine.runs, engine.registry, jobs, opaque, settings.account_runs)
    tags.exists["job"] = lambda name: jobs.find(name) is not None
    triggers = Triggers(
        engine.triggers, tags, lambda name: workflows.exists(name), lambda name, who: workflows.begin(name, {}, who)
    )
    chains = Chains(engine.triggers, engine.runs, runs)
    workflows = Workflows(engine.documents, engine.triggers, engine.runs, triggers, chains, tags, opaque)
    tags.exists["trigger"] = lambda name: triggers.find(name) is not None
    tags.exists["workflow"] = workflows.exists
    bookmarks = Bookmarks(engine.registry, jobs, runs, opaque)
    families = (jobs, runs, bookmarks, triggers, workflows, tags)
    account = settings.account
    routes = [call.route(SERVICE, op, REQUESTS[op.name], account) for family in families for op in family.operations()]
    log_ops = Logs(engine.runs, runs).operations()
    routes += [call.route(logs.SERVICE, op, LOG_REQUESTS[op.name], account) for op in log_ops]
    return Card(
        name=tables.NAME,
        prefixes=(),
        routes=(*routes, Route("POST", "/", SIGNED_IN, identity.handler(account))),
        readers=(signed, bearer),
        refuse=errors.refuse,
        connect=CONNECT,
    )


CONNECT = {
    "AWS_ENDPOINT_URL_GLUE": "{url}",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "{url}",
    "AWS_ENDPOINT_URL_STS": "{url}",
    "AWS_ENDPOINT_URL_IAM": "{url}",
    "AWS_DEFAULT_REGION": call.DEFAULT_REGION,
    "AWS_ACCESS_KEY_ID": "{key_id}",
    "AWS_SECRET_ACCESS_KEY": "{token}",
}
