"""Builds and deployments of a data project over plain HTTP, as the newer client sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dialects.tinybird.calls import Tinybird

VISITS = """
SCHEMA >
    `at` DateTime `json:$.at`,
    `city` LowCardinality(String) `json:$.user.city`,
    `ms` Float32 `json:$.ms`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "city, at"
"""
PER_CITY = """
TOKEN "reader" READ
SCHEMA >
    `city` String,
    `visits` AggregateFunction(count)

ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "city"
"""
MV = """
NODE per_city_node
SQL >
    SELECT city, countState() AS visits FROM visits GROUP BY city

TYPE materialized
DATASOURCE per_city
"""
TOP = """
DESCRIPTION the busiest cities
TOKEN "reader" READ

NODE merged
SQL >
    SELECT city, countMerge(visits) AS n FROM per_city GROUP BY city

NODE ordered
SQL >
    %
    SELECT city, n FROM merged WHERE n >= {{Int32(least, 1)}} ORDER BY n DESC, city

TYPE endpoint
"""
PROJECT = {
    "datasources/visits.datasource": VISITS, "datasources/per_city.datasource": PER_CITY,
    "materializations/mv.pipe": MV, "endpoints/top.pipe": TOP,
}  # fmt: skip
LINES = "\n".join(
    f'{{"at":"2026-01-01 10:00:0{n}","user":{{"city":"{city}"}},"ms":{n}}}'
    for n, city in enumerate(["Rome", "Rome", "Oslo"])
)


class Project:
    """A workspace of its own, and a project that is sent to it."""

    def __init__(self, admin: Tinybird, name: str) -> None:
        made = admin.call("POST", f"/v1/workspaces?name={name}")
        self.tb = Tinybird(admin.url, made["token"])
        self.id = made["id"]
        self.files = dict(PROJECT)

    def _send(self, path: str) -> Any:
        parts = [("context://", ("cli-version", "1.0.0", "text/plain"))]
        parts += [("data_project://", (name, text, "text/plain")) for name, text in self.files.items()]
        return self.tb.call("POST", path, files=parts)

    def build(self) -> dict[str, Any]:
        """`tb build`"""
        return dict(self._send("/v1/build"))

    def deploy(self, query: str = "auto_promote=true") -> dict[str, Any]:
        """`tb deploy`"""
        return dict(self._send(f"/v1/deploy?{query}"))

    def lines(self) -> None:
        """Three rows into visits."""
        self.tb.append("visits", LINES, "ndjson")

    def top(self) -> list[Any]:
        """What the endpoint gives."""
        return list(self.tb.call("GET", "/v0/pipes/top.json")["data"])

    def sources(self) -> set[str]:
        """The names of the Data Sources."""
        return {one["name"] for one in self.tb.call("GET", "/v0/datasources")["datasources"]}

    def pipes(self) -> set[str]:
        """The names of the pipes."""
        return {one["name"] for one in self.tb.call("GET", "/v0/pipes")["pipes"]}


@pytest.fixture
def project(tb: Tinybird, name: Callable[[str], str]) -> Iterator[Project]:
    made = Project(tb, name("project"))
    yield made
    made.tb.http.close()


TOP_ROWS = [{"city": "Rome", "n": 2}, {"city": "Oslo", "n": 1}]


def test_a_project_is_deployed_and_works(project: Project) -> None:
    found = project.deploy()
    assert found["result"] == "success"
    one = found["deployment"]
    assert (one["id"], one["status"], one["live"]) == ("1", "data_ready", True)
    assert one["new_datasource_names"] == ["per_city", "visits"]
    assert sorted(one["new_pipe_names"]) == ["mv", "top"]
    project.lines()
    assert project.top() == TOP_ROWS
    (job,) = project.tb.call("GET", "/v0/jobs?kind=deployment")["jobs"]
    assert (job["deployment_id"], job["status"]) == ("1", "done")
    assert project.tb.job(job["id"])["kind"] == "deployment"
    assert project.deploy()["result"] == "no_changes"
    assert [item["id"] for item in project.tb.call("GET", "/v1/deployments")["deployments"]] == ["1"]


def test_a_build_makes_the_workspace_what_the_files_say(project: Project) -> None:
    built = project.build()["build"]
    assert (built["new_datasource_names"], built["errors"]) == (["per_city", "visits"], [])
    project.lines()
    del project.files["endpoints/top.pipe"]
    assert project.build()["build"]["deleted_pipe_names"] == ["top"]
    assert project.pipes() == {"mv"}
    again = project.build()["build"]
    assert not [key for key, value in again.items() if key.endswith("_names") and value]


def test_a_changed_pipe_takes_the_place_of_the_old_one(project: Project) -> None:
    project.deploy()
    project.lines()
    before = project.tb.call("GET", "/v0/pipes/top")["id"]
    project.files["endpoints/top.pipe"] = TOP.replace("n DESC", "n")
    assert project.deploy()["deployment"]["changed_pipe_names"] == ["top"]
    assert project.top() == TOP_ROWS[::-1]
    assert project.tb.call("GET", "/v0/pipes/top")["id"] == before
    assert [one["id"] for one in project.tb.call("GET", "/v1/deployments")["deployments"]] == ["2"]
    known = project.tb.call("GET", "/v1/deployments?include_deleted=true")["deployments"]
    assert [(one["id"], one["status"], one["live"]) for one in known] == [
        ("1", "deleted", False), ("2", "data_ready", True),
    ]  # fmt: skip


def test_an_added_column_is_added_in_place(project: Project) -> None:
    project.deploy()
    project.lines()
    project.files["datasources/visits.datasource"] = VISITS.replace(
        "`json:$.ms`", "`json:$.ms`,\n    `agent` Nullable(String) `json:$.agent`,\n    `n` UInt64 `json:$.n`"
    )
    assert project.deploy()["deployment"]["changed_datasource_names"] == ["visits"]
    project.tb.append(
        "visits", '{"at":"2026-01-02 10:00:00","user":{"city":"Bonn"},"ms":1,"agent":"x","n":7}', "ndjson"
    )
    assert project.tb.rows("SELECT agent, n, count() AS c FROM visits GROUP BY agent, n ORDER BY c") == [
        {"agent": "x", "n": 7, "c": 1}, {"agent": None, "n": None, "c": 3},
    ]  # fmt: skip
    assert {"city": "Bonn", "n": 1} in project.top()


def test_a_partition_key_is_deployed_changed_and_proved(project: Project) -> None:
    def keyed(key: str) -> str:
        return VISITS + f'ENGINE_PARTITION_KEY "{key}"\n'

    def delete(part: str) -> int:
        done = project.tb.call("POST", "/v1/datasources/visits/delete", data={"partition": part})
        return int(done["rows_affected"])

    project.files["datasources/visits.datasource"] = keyed("toYYYYMM(nope)")
    (error,) = project.build()["errors"]
    assert (error["filename"], "nope" in error["error"]) == ("datasources/visits.datasource", True)
    project.files["datasources/visits.datasource"] = keyed("toYYYYMM(at)")
    assert project.deploy()["result"] == "success"
    project.lines()
    assert delete("202402") == 0
    project.files["datasources/visits.datasource"] = keyed("(toDate(at), city)")
    assert project.deploy()["result"] == "success"
    assert (delete("20260101-Oslo"), delete("20260101-Rome")) == (1, 2)


def test_a_forward_query_carries_rows_into_a_new_schema(project: Project) -> None:
    project.deploy()
    project.lines()
    project.files["datasources/visits.datasource"] = (
        VISITS.replace("`ms` Float32 `json:$.ms`", "`ms` UInt32 `json:$.ms`,\n    `slow` UInt8 `json:$.slow`")
        + "\nFORWARD_QUERY >\n    SELECT at, upper(city) AS city, toUInt32(ms * 10) AS ms, if(ms > 1, 1, 0) AS slow\n"
    )
    one = project.deploy()["deployment"]
    assert one["data_movements"] == [
        {"datasource_name": "visits", "kind": "backfill_with_forward_query", "source_mv_name": None}
    ]
    assert project.tb.rows("SELECT city, ms, slow FROM visits ORDER BY ms") == [
        {"city": "ROME", "ms": 0, "slow": 0}, {"city": "ROME", "ms": 10, "slow": 0},
        {"city": "OSLO", "ms": 20, "slow": 1},
    ]  # fmt: skip
    assert project.top() == TOP_ROWS, "what was filled from the rows before stays"
    project.tb.append("visits", '{"at":"2026-01-02 10:00:00","user":{"city":"Oslo"},"ms":1,"slow":0}', "ndjson")
    assert {"city": "Oslo", "n": 2} in project.top()


def test_another_type_without_a_forward_query_is_refused(project: Project) -> None:
    project.deploy()
    project.lines()
    project.files["datasources/visits.datasource"] = VISITS.replace("Float32", "String")
    found = project.deploy()
    (error,) = found["deployment"]["errors"]
    assert found["result"] == "failed"
    assert error["filename"] == "datasources/visits.datasource"
    assert "FORWARD_QUERY" in error["error"]
    assert project.tb.call("GET", "/v0/datasources/visits")["statistics"]["row_count"] == 3


def test_a_new_materialization_is_filled_from_what_is_there(project: Project) -> None:
    del project.files["materializations/mv.pipe"]
    project.deploy()
    project.lines()
    assert project.top() == []
    project.files["materializations/mv.pipe"] = MV
    one = project.deploy()["deployment"]
    assert one["data_movements"][0]["kind"] == "backfill_with_mv_queries"
    assert project.top() == TOP_ROWS
    project.files["materializations/mv.pipe"] = MV.replace("FROM visits", "FROM visits WHERE city != 'Oslo'")
    project.deploy()
    assert project.top() == TOP_ROWS[:1], "a changed materialization is made anew"
    project.lines()
    assert project.top() == [{"city": "Rome", "n": 4}]


def test_a_data_source_goes_only_when_that_is_allowed(project: Project) -> None:
    project.deploy()
    for name in ("datasources/per_city.datasource", "materializations/mv.pipe", "endpoints/top.pipe"):
        del project.files[name]
    refused = project.deploy()
    assert "allow-destructive-operations" in refused["deployment"]["errors"][0]["error"]
    assert project.sources() == {"visits", "per_city"}
    gone = project.deploy("auto_promote=true&allow_destructive_operations=true")["deployment"]
    assert gone["deleted_datasource_names"] == ["per_city"]
    assert project.sources() == {"visits"}
    assert project.tb.call("GET", "/v0/tokens")["tokens"][0]["name"] == "workspace admin token"
    assert "per_city" in project.tb.error("GET", "/v0/sql?q=SELECT+1+FROM+per_city", 400)


def test_what_no_project_made_stays(project: Project) -> None:
    project.tb.source("mine", "a Int32")
    project.deploy()
    project.build()
    assert project.sources() == {"mine", "visits", "per_city"}


def test_a_project_with_a_mistake_changes_nothing(project: Project) -> None:
    project.files["endpoints/top.pipe"] = TOP.replace("city, n FROM", "city, nonsense FROM")
    project.files["datasources/other.datasource"] = "SCHEMA >\n    a Nonsense\n"
    found = project.build()
    assert (found["result"], len(found["errors"])) == ("failed", 1)
    assert "Nonsense" in found["error"]
    del project.files["datasources/other.datasource"]
    (error,) = project.build()["errors"]
    assert error["filename"] == "endpoints/top.pipe"
    assert "nonsense" in error["error"]
    assert (project.sources(), project.pipes()) == (set(), set())


MISTAKES = {
    "no_schema": ("x.datasource", 'ENGINE "MergeTree"\n', "SCHEMA is mandatory"),
    "option": ("x.datasource", "SCHEMA >\n    a Int32\n\nNONSENSE 1\n", "Line 4: NONSENSE is not a valid option"),
    "kafka": ("x.datasource", "SCHEMA >\n    a Int32\n\nKAFKA_TOPIC x\n", "other services"),
    "shared": ("x.datasource", "SCHEMA >\n    a Int32\n\nSHARED_WITH >\n    other\n", "SHARED_WITH"),
    "two_nodes_that_do": ("x.pipe", "NODE a\nSQL >\n    SELECT 1\nTYPE endpoint\nNODE b\nSQL >\n    SELECT 2\n"
                          "TYPE copy\nTARGET_DATASOURCE visits\n", "one node that is not standard"),
    "no_sql": ("x.pipe", "NODE a\nTYPE endpoint\n", "needs its SQL"),
    "template": ("x.pipe", "NODE a\nSQL >\n    %\n    SELECT {{nonsense(1)}}\n", "Template Syntax Error"),
    "target": ("x.pipe", "NODE a\nSQL >\n    SELECT 1 AS a\nTYPE copy\nTARGET_DATASOURCE nowhere\n", "nowhere"),
    "columns": ("x.pipe", "NODE a\nSQL >\n    SELECT 1 AS z\nTYPE copy\nTARGET_DATASOURCE visits\n", "z"),
    "cron": ("x.pipe", "NODE a\nSQL >\n    SELECT city FROM visits\nTYPE copy\nTARGET_DATASOURCE visits\n"
             "COPY_SCHEDULE often\n", "The schedule cannot be used"),
    "permission": ("x.pipe", "TOKEN t APPEND\nNODE a\nSQL >\n    SELECT 1\n", "permission"),
    "connection": ("x.connection", "TYPE kafka\n", "kafka"),
    "name": ("1x.pipe", "NODE a\nSQL >\n    SELECT 1\n", "cannot be the name"),
    "twice": ("other/visits.pipe", "NODE a\nSQL >\n    SELECT 1\n", "already"),
    "circle": ("x.pipe", "NODE a\nSQL >\n    SELECT * FROM x\n", "reads itself"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mistaken(url: str) -> Iterator[Project]:
    admin = Tinybird(url)
    made = Project(admin, "mistaken")
    yield made
    made.tb.http.close()
    admin.http.close()


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_datafile_is_told_with_its_file(mistaken: Project, case: str) -> None:
    path, text, said = MISTAKES[case]
    mistaken.files = {**PROJECT, path: text}
    found = mistaken.deploy("check=true")
    assert found["result"] == "failed"
    assert [error["filename"] for error in found["deployment"]["errors"]] == [path]
    assert said in found["deployment"]["errors"][0]["error"]
    assert mistaken.sources() == set()


def test_a_check_changes_nothing(project: Project) -> None:
    assert project.deploy("check=true")["result"] == "success"
    assert project.sources() == set()
    assert [one["id"] for one in project.tb.call("GET", "/v1/deployments")["deployments"]] == ["0"]


def test_a_deployment_waits_until_it_is_promoted(project: Project) -> None:
    one = project.deploy("")["deployment"]
    assert (one["status"], one["live"], project.sources()) == ("data_ready", False, set())
    assert "in progress" in project.tb.error(
        "POST", "/v1/deploy", 409, files=[("data_project://", ("a.pipe", "NODE a\nSQL >\n    SELECT 1\n"))]
    )
    listed = project.tb.call("GET", "/v1/deployments")["deployments"]
    assert [(item["id"], item["live"]) for item in listed] == [("0", True), ("1", False)]
    assert project.tb.call("POST", "/v1/deployments/1/set-live")["deployment"]["live"]
    assert project.sources() == {"visits", "per_city"}
    assert project.tb.call("DELETE", "/v1/deployments/0")["deployment"]["status"] == "deleted"
    project.tb.error("DELETE", "/v1/deployments/1", 400)
    project.tb.error("GET", "/v1/deployments/7", 404)


def test_a_deployment_that_waits_is_discarded(project: Project) -> None:
    project.deploy("")
    assert project.tb.call("DELETE", "/v1/deployments/1")["deployment"]["status"] == "deleted"
    assert project.sources() == set()
    project.tb.error("POST", "/v1/deployments/1/set-live", 400)
    assert project.deploy()["deployment"]["live"]


def test_a_deployment_whose_rows_do_not_fit_changes_nothing(project: Project) -> None:
    project.deploy()
    project.lines()
    project.files["datasources/visits.datasource"] = (
        VISITS.replace("`ms` Float32", "`ms` Date") + "\nFORWARD_QUERY >\n    SELECT at, city, toDate(city) AS ms\n"
    )
    project.files["endpoints/new.pipe"] = "NODE new_node\nSQL >\n    SELECT 1 AS one\nTYPE endpoint\n"
    found = project.deploy()
    one = project.tb.call("GET", f"/v1/deployments/{found['deployment']['id']}")["deployment"]
    assert (one["status"], one["live"], len(one["errors"])) == ("deleted", False, 1)
    assert project.pipes() == {"mv", "top"}
    project.lines()
    assert project.top() == [{"city": "Rome", "n": 4}, {"city": "Oslo", "n": 2}]


def test_the_tokens_of_a_project_may_do_what_its_files_say(project: Project) -> None:
    changes = project.deploy()["deployment"]["token_changes"]
    assert [one["token_name"] for one in changes] == ["reader"]
    project.lines()
    text = project.tb.call("GET", "/v0/tokens/reader")["token"]
    reader = Tinybird(project.tb.url, text)
    assert reader.call("GET", "/v0/pipes/top.json")["rows"] == 2
    reader.error("GET", "/v0/sql?q=SELECT+1+FROM+visits", 403)
    project.files["endpoints/top.pipe"] = TOP.replace('TOKEN "reader" READ\n', "")
    project.deploy()
    reader.error("GET", "/v0/pipes/top.json", 403)
    reader.http.close()


def test_only_an_administrator_deploys(project: Project) -> None:
    other = project.tb.token("other", "DATASOURCES:CREATE", "PIPES:CREATE")
    other.error("POST", "/v1/build", 403, files=[("data_project://", ("a.pipe", "x"))])
    other.error("GET", "/v1/deployments", 403)
    other.http.close()


def test_a_body_that_is_no_project_is_refused(project: Project) -> None:
    assert "multipart" in project.tb.error("POST", "/v1/build", 400, content=b"x")
    assert "data_project" in project.tb.error("POST", "/v1/deploy", 400, files=[("other", ("a", "b"))])
