"""What clients ask beside jobs: who they are, which clusters there are. This server is the one cluster."""

from __future__ import annotations

from runyard.core.errors import invalid
from runyard.dialects.databricks import parse, serve
from runyard.dialects.databricks.serve import Place, host_of
from runyard.dialects.databricks.tables import WORKSPACE_ID
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.policy import OPEN, SIGNED_IN
from runyard.http.request import Request

SPARK_VERSIONS = [
    {"key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
    {"key": "14.3.x-scala2.12", "name": "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
]
"""Names that clients choose from; tasks run in this server's own Python whatever is chosen."""
NODE = {
    "node_type_id": "i3.xlarge",
    "memory_mb": 31232,
    "num_cores": 4.0,
    "category": "Storage Optimized",
    "description": "This server",
    "instance_type_id": "i3.xlarge",
    "is_deprecated": False,
    "is_hidden": False,
    "num_gpus": 0,
    "support_cluster_tags": True,
    "support_ebs_volumes": True,
    "node_instance_type": {
        "instance_type_id": "i3.xlarge",
        "local_disks": 1,
        "local_disk_size_gb": 950,
    },
}


class SideRoutes:
    """Handlers of the light endpoints."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            Route("GET", "/.well-known/databricks-config", OPEN, self.config),
            *serve.routes("GET", "/preview/scim/v2/Me", SIGNED_IN, self.me),
            *serve.routes("GET", "/clusters/get", SIGNED_IN, self.cluster),
            *serve.routes("GET", "/clusters/list", SIGNED_IN, self.clusters),
            *serve.routes("POST", "/clusters/start", SIGNED_IN, self.start),
            *serve.routes("GET", "/clusters/spark-versions", SIGNED_IN, self.spark_versions),
            *serve.routes("GET", "/clusters/list-node-types", SIGNED_IN, self.node_types),
        )

    async def config(self, request: Request) -> Answer:
        """GET /.well-known/databricks-config: the first thing that clients ask, without a credential"""
        host = host_of(request)
        return answer({"oidc_endpoint": f"{host}/oidc", "workspace_id": WORKSPACE_ID})

    async def me(self, request: Request) -> Answer:
        """GET preview/scim/v2/Me"""
        who = request.principal
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": str(who.id),
            "userName": who.name,
            "displayName": who.name,
            "active": True,
            "emails": [{"type": "work", "value": who.name, "primary": True}],
            "groups": [{"display": "admins", "type": "direct"}] if "admin" in who.scopes else [],
        }
        return answer(body)

    async def cluster(self, request: Request) -> Answer:
        """GET clusters/get: any id is this server"""
        given = parse.query(request.scope["query_string"])
        cluster_id = given.get("cluster_id")
        if not cluster_id:
            raise invalid("Missing required field: cluster_id")
        return answer(self._cluster(str(cluster_id)))

    async def clusters(self, request: Request) -> Answer:
        """GET clusters/list"""
        return answer({"clusters": [self._cluster("runyard")]})

    def _cluster(self, cluster_id: str) -> dict[str, object]:
        started = self._place.engine.started_at
        return {
            "cluster_id": cluster_id,
            "cluster_name": cluster_id,
            "state": "RUNNING",
            "state_message": "",
            "spark_version": SPARK_VERSIONS[0]["key"],
            "node_type_id": NODE["node_type_id"],
            "driver_node_type_id": NODE["node_type_id"],
            "num_workers": 0,
            "autotermination_minutes": 0,
            "cluster_source": "API",
            "creator_user_name": "runyard",
            "start_time": started,
            "last_restarted_time": started,
        }

    async def start(self, request: Request) -> Answer:
        """POST clusters/start: it runs already"""
        return serve.done()

    async def spark_versions(self, request: Request) -> Answer:
        """GET clusters/spark-versions"""
        return answer({"versions": SPARK_VERSIONS})

    async def node_types(self, request: Request) -> Answer:
        """GET clusters/list-node-types"""
        return answer({"node_types": [NODE]})
