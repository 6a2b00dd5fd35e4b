"""The lifecycle story through both official command lines, each in an environment of its own.

The environments are made once, under the folder that TINYBIRD_CLIENTS names or one of this test run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.tinybird.calls import Tinybird, files_at
from tests.live_server import live_server

pytestmark = pytest.mark.long

CLIENTS = {"classic": "tinybird-cli==6.5.5", "newer": "tinybird==5.0.2"}
QUIET = {"TB_VERSION_WARNING": "0", "TB_CLI_TELEMETRY_OPTOUT": "1", "NO_COLOR": "1"}

VISITS = """
SCHEMA >
    `at` DateTime `json:$.at`,
    `city` LowCardinality(String) `json:$.user.city`,
    `ms` Float32 `json:$.ms`

ENGINE "MergeTree"
ENGINE_PARTITION_KEY "toYYYYMM(at)"
ENGINE_SORTING_KEY "city, at"
"""
PER_CITY = """
SCHEMA >
    `city` String,
    `visits` AggregateFunction(count),
    `total` AggregateFunction(sum, Float32)

ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "city"
"""
SNAPSHOT = """
SCHEMA >
    `city` String,
    `visits` UInt64

ENGINE "MergeTree"
ENGINE_SORTING_KEY "city"
"""
MATERIALIZED = """
NODE per_city_node
SQL >
    SELECT city, countState() AS visits, sumState(ms) AS total FROM visits GROUP BY city

TYPE materialized
DATASOURCE per_city
"""
TOP = """
TOKEN "top_token" READ

NODE merged
SQL >
    SELECT city, countMerge(visits) AS visits, sumMerge(total) AS total FROM per_city GROUP BY city

NODE ordered
SQL >
    %
    SELECT city, visits FROM merged
    {% if defined(cities) %} WHERE city IN {{Array(cities, 'String')}} {% end %}
    ORDER BY visits DESC, city LIMIT {{Int32(n, 10)}}

TYPE endpoint
"""
COPY = """
NODE rows
SQL >
    SELECT city, countMerge(visits) AS visits FROM per_city GROUP BY city

TYPE copy
TARGET_DATASOURCE snapshot
COPY_SCHEDULE @on-demand
COPY_MODE replace
"""
LINES = """{"at":"2026-01-01 10:00:00","user":{"city":"Rome"},"ms":1.5}
{"at":"2026-01-01 11:00:00","user":{"city":"Rome"},"ms":2.5}
{"at":"2026-02-01 11:00:00","user":{"city":"Oslo"},"ms":"slow"}
{"at":"2026-02-01 11:00:00","user":{"city":"Oslo"},"ms":7}
"""


class Command:
    """One of the command lines, in a project folder."""

    def __init__(self, program: Path, folder: Path, *first: str) -> None:
        self._program, self.folder, self._first = program, folder, first
        self.environment: dict[str, str] = {}

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """Runs it; what it printed."""
        command = [str(self._program), *self._first, *arguments]
        run = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **QUIET, **self.environment},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = run.stdout + run.stderr
        assert (run.returncode != 0) is fails, said
        assert "Traceback" not in said, said
        return said


def _installed(name: str, folder: Path) -> Path:
    """The client's program, installed when it is not there; skips when it cannot be."""
    home = Path(os.environ.get("TINYBIRD_CLIENTS") or folder) / name
    program = home / "bin" / "tb"
    if not program.exists():
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [str(home / "bin" / "pip"), "install", "--quiet", CLIENTS[name]],
        ):
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                pytest.skip(f"{CLIENTS[name]} cannot be installed here: {run.stderr[-300:]}")
    return program


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Tinybird]:
    with live_server(tmp_path, "--dev") as url:
        client = Tinybird(url)
        yield client
        client.http.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    files = {
        "datasources/visits.datasource": VISITS, "datasources/per_city.datasource": PER_CITY,
        "datasources/snapshot.datasource": SNAPSHOT, "pipes/mv.pipe": MATERIALIZED, "pipes/top.pipe": TOP,
        "pipes/snap.pipe": COPY, "visits.ndjson": LINES, "rows.csv": "city,visits\nBonn,3\nKyiv,many\n",
    }  # fmt: skip
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_project_is_pushed_filled_queried_copied_and_torn_down_by_the_classic_client(
    environments: Path, server: Tinybird, project: Path
) -> None:
    tb = Command(_installed("classic", environments), project)
    assert "successful" in tb("--host", server.url, "--token", "any", "auth")
    assert "workspace_name: default" in tb("auth", "info")
    assert "default" in tb("workspace", "current")
    for name in ("visits", "per_city", "snapshot"):
        assert f"'{name}' created" in tb("push", f"datasources/{name}.datasource")
    assert "Materialized pipe" in tb("push", "pipes/mv.pipe")
    assert "Test endpoint" in tb("push", "pipes/top.pipe")
    assert "Copy pipe 'snap'" in tb("push", "pipes/snap.pipe")
    server.call("GET", "/v0/pipes/top.json?n=5")
    tb("push", "--force", "--yes", "pipes/top.pipe")
    assert "Total rows in visits: 3" in tb("datasource", "append", "visits", "visits.ndjson")
    with files_at(project) as (at, gate):
        assert "Total rows in visits: 6" in tb("datasource", "append", "visits", f"{at}/visits.ndjson")
        gate.set()
        assert "Error" in tb("datasource", "append", "visits", f"{at}/nowhere.ndjson", fails=True)
    assert "Rome" in tb("pipe", "data", "top", "--n", "1")
    assert "Oslo" in tb("sql", "SELECT city FROM top ORDER BY city LIMIT 1")
    assert "Data copied to 'snapshot'" in tb("pipe", "copy", "run", "snap", "--wait", "--yes")
    assert server.rows("SELECT city, visits FROM snapshot ORDER BY city") == [
        {"city": "Oslo", "visits": 2}, {"city": "Rome", "visits": 4},
    ]  # fmt: skip
    tb("pipe", "populate", "mv", "--node", "per_city_node", "--wait")
    assert "rows deleted" in tb("datasource", "delete", "visits", "--sql-condition", "city = 'Oslo'", "--wait", "--yes")
    assert "truncated" in tb("datasource", "truncate", "snapshot", "--yes")
    listed = tb("job", "ls")
    for kind in ("import", "copy", "populateview", "delete_data"):
        assert f"kind: {kind}" in listed
    assert "kind: import" in tb("job", "ls", "-s", "error")
    done = server.call("GET", "/v0/jobs?kind=copy")["jobs"][0]["id"]
    assert "done" in tb("job", "details", done)
    assert "Error" in tb("job", "cancel", done, fails=True)
    assert "top_token" in tb("token", "ls")
    assert "not exist" in tb("datasource", "rm", "nowhere", "--yes", fails=True)
    for what, name in (("pipe", "top"), ("pipe", "snap"), ("pipe", "mv")):
        tb(what, "rm", name, "--yes")
    for name in ("snapshot", "per_city", "visits"):
        assert "deleted" in tb("datasource", "rm", name, "--yes")
    assert server.call("GET", "/v0/datasources")["datasources"] == []


def test_a_waiting_job_is_cancelled_by_the_classic_client(environments: Path, server: Tinybird, project: Path) -> None:
    tb = Command(_installed("classic", environments), project)
    tb("--host", server.url, "--token", "any", "auth")
    server.source("slow", "city String, visits UInt64")
    with files_at(project) as (at, gate):
        first = server.call("POST", f"/v0/datasources?name=slow&mode=append&url={at}/slow/rows.csv")
        server.ended(first, "working")
        second = server.call("POST", f"/v0/datasources?name=slow&mode=append&url={at}/rows.csv")
        assert "cancelled" in tb("job", "cancel", second["id"])
        gate.set()
        assert server.ended(first)["status"] == "done"


def test_the_newer_client_lists_appends_queries_deletes_and_tries_again(
    environments: Path, server: Tinybird, project: Path
) -> None:
    where: Any = ("--cloud", "--host", server.url, "--token", "any")
    tb = Command(_installed("newer", environments), project, *where)
    server.source("snapshot", "`city` String `json:$.city`, `visits` UInt64 `json:$.visits`")
    assert "default" in tb("workspace", "ls")
    assert "1 row appended" in tb("datasource", "append", "snapshot", "--events", '{"city":"Rome","visits":2}')
    assert "appended" in tb("datasource", "append", "snapshot", "--file", "rows.csv")
    with files_at(project) as (at, gate):
        gate.set()
        assert "appended" in tb("datasource", "append", "snapshot", "--url", f"{at}/rows.csv")
        tb("datasource", "append", "snapshot", "--url", f"{at}/nowhere.csv", fails=True)
    assert "Rome" in tb("sql", "SELECT city, sum(visits) AS n FROM snapshot GROUP BY city ORDER BY city")
    assert "import" in tb("logs", "--source", "tinybird.jobs_log")
    failed = server.call("GET", "/v0/jobs?status=error")["jobs"][0]["id"]
    assert "status: error" in tb("job", "details", failed)
    assert "retried as" in tb("job", "retry", failed)
    tb("job", "cancel", failed, fails=True)
    assert "kind: import" in tb("job", "ls")
    assert "rows deleted" in tb("datasource", "delete", "snapshot", "--sql-condition", "city='Bonn'", "--wait", "--yes")
    tb("datasource", "truncate", "snapshot", "--yes")
    assert server.rows("SELECT count() AS n FROM snapshot") == [{"n": 0}]
    assert "snapshot" in tb("datasource", "ls")


WITH_AGENT = VISITS.replace("`json:$.ms`", "`json:$.ms`,\n    `agent` Nullable(String) `json:$.agent`")
RETYPED = VISITS.replace("Float32", "UInt32")
FORWARD = "\nFORWARD_QUERY >\n    SELECT at, city, toUInt32(ms) AS ms\n"


def test_a_project_is_deployed_changed_and_promoted_by_the_newer_client(
    environments: Path, server: Tinybird, project: Path
) -> None:
    tb = Command(_installed("newer", environments), project, "--cloud", "--host", server.url, "--token", "any")
    top, visits = project / "pipes/top.pipe", project / "datasources/visits.datasource"
    assert "Deployment is valid" in tb("deploy", "--check")
    assert server.call("GET", "/v0/datasources")["datasources"] == []
    said = tb("deploy")
    assert "Deployment #1 is live!" in said
    assert "top_token" in said
    assert "Not deploying. No changes" in tb("deploy")
    assert "appended" in tb("datasource", "append", "visits", "--file", "visits.ndjson")
    assert server.rows("SELECT city, visits FROM top") == [{"city": "Rome", "visits": 2}, {"city": "Oslo", "visits": 1}]
    top.write_text(TOP.replace("visits DESC", "visits"))
    visits.write_text(WITH_AGENT)
    said = tb("deploy")
    assert said.count("modified") == 2, said
    assert server.rows("SELECT city FROM top") == [{"city": "Oslo"}, {"city": "Rome"}]
    visits.write_text(RETYPED)
    assert "FORWARD_QUERY" in tb("deploy", fails=True)
    visits.write_text(RETYPED + FORWARD)
    assert "Forward Query" in tb("deploy", "--check")
    assert "#3 is live!" in tb("deploy")
    assert server.rows("SELECT ms FROM visits ORDER BY ms LIMIT 1") == [{"ms": 1}]
    (project / "pipes/snap.pipe").unlink()
    (project / "datasources/snapshot.datasource").unlink()
    assert "would be deleted" in tb("deploy", fails=True)
    assert "Deployment is ready" in tb("deployment", "create", "--wait", "--allow-destructive-operations")
    assert "Staging" in tb("deployment", "ls")
    assert "successfully" in tb("deployment", "discard", "--wait")
    tb("deployment", "create", "--wait", "--allow-destructive-operations")
    assert "#5 is live!" in tb("deployment", "promote", "--wait")
    assert {one["name"] for one in server.call("GET", "/v0/datasources")["datasources"]} == {"visits", "per_city"}
    top.write_text("NODE broken\nSQL >\n    SELECT nonsense FROM visits\nTYPE endpoint\n")
    assert "nonsense" in tb("deploy", fails=True)
    assert server.rows("SELECT city FROM top") == [{"city": "Oslo"}, {"city": "Rome"}]


def test_a_project_is_built_in_a_workspace_of_its_own_by_the_newer_client(
    environments: Path, server: Tinybird, project: Path
) -> None:
    tb = Command(_installed("newer", environments), project, "--local")
    host, _, port = server.url.removeprefix("http://").partition(":")
    tb.environment = {"TB_LOCAL_HOST": host, "TB_LOCAL_PORT": port}
    (project / "fixtures").mkdir()
    (project / "fixtures/visits.ndjson").write_text(LINES.replace('"slow"', "3"))
    (project / "tests").mkdir()
    (project / "tests/top.yaml").write_text(
        "- name: two_cities\n  description: both\n  parameters: n=2\n"
        '  expected_result: |\n    {"city":"Oslo","visits":2}\n    {"city":"Rome","visits":2}\n'
    )
    said = tb("build")
    assert "Build completed" in said
    for name in ("visits.datasource", "per_city.datasource", "mv.pipe", "top.pipe", "snap.pipe"):
        assert f"{name} created" in said
    assert "Rome" in tb("sql", "SELECT city, visits FROM top")
    assert "No changes" in tb("build")
    (project / "pipes/top.pipe").write_text(TOP.replace("visits DESC", "visits"))
    assert "top.pipe changed" in tb("build")
    assert "two_cities" in tb("test", "run")
    (project / "pipes/snap.pipe").unlink()
    assert "snap.pipe deleted" in tb("build")
    (project / "pipes/top.pipe").write_text(TOP.replace("FROM per_city", "FROM nowhere"))
    said = tb("build", fails=True)
    assert "pipes/top.pipe" in said
    assert "nowhere" in said
    assert server.call("GET", "/v0/datasources")["datasources"] == []
