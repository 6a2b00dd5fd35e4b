"""The catalog over HTTP: rows, bytes, lineage, quarantine and materialized views of a table."""

from __future__ import annotations

import time

import pytest

import runyard
from runyard.client.client import Client
from tests.api.helpers import Api, Server


def name(word: str) -> str:
    return f"{word}_{time.monotonic_ns()}"


def sql(api: Api, statement: str, key: str = "a") -> dict[str, object]:
    run = api.wait(api.submit({"key": key, "action": {"kind": "sql", "statement": statement}}))
    assert run["state"] == "succeeded", run
    return run


def test_a_table_says_who_wrote_it_and_who_reads_it(api: Api) -> None:
    source, target = name("source"), name("target")
    made = sql(api, f"CREATE TABLE {source} AS SELECT range AS n FROM range(10)", "make")
    copy = {"kind": "copy", "statement": f"SELECT n FROM {source} WHERE n > 3", "table": target}
    copied = api.wait(api.submit({"key": "copy", "action": copy}))
    table = api.call("GET", f"/tables/{source}")
    assert (table["rows"], table["quarantine_rows"], table["kind"]) == (10, 0, "table")
    assert table["columns"] == [{"name": "n", "type": "BIGINT"}]
    assert table["bytes"] > 0
    assert (table["last_write"]["run_id"], table["last_write"]["task_key"]) == (made["id"], "make")
    assert table["last_write"]["at"].endswith("Z")
    (read,) = table["read_by"]
    assert (read["run_id"], read["run_name"], read["writes"]) == (copied["id"], copied["name"], [f"main.{target}"])
    (write,) = table["written_by"]
    assert write["run_name"] == made["name"]
    api.call("DELETE", f"/runs/{made['id']}", 204)
    (write,) = api.call("GET", f"/tables/{source}")["written_by"]
    assert (write["run_id"], write["run_name"]) == (made["id"], None)
    listed = {one["name"]: one for one in api.call("GET", "/tables")["items"]}
    assert listed[target]["last_write"]["run_id"] == copied["id"]
    metrics = copied["tasks"][0]["metrics"]
    assert (metrics["tables_written"], metrics["tables_read"]) == ([f"main.{target}"], [f"main.{source}"])


def test_a_run_that_only_reads_stands_in_its_table_s_lineage_and_a_query_that_is_no_run_does_not(api: Api) -> None:
    table = name("looked_at")
    sql(api, f"CREATE TABLE {table} AS SELECT 1 AS n")
    looked = sql(api, f"SELECT n FROM {table}", "look")
    assert api.call("POST", "/query", json={"sql": f"SELECT n FROM {table}"})["rows"] == [[1]]
    (read,) = api.call("GET", f"/tables/{table}")["read_by"]
    assert (read["run_id"], read["task_key"], read["reads"]) == (looked["id"], "look", [f"main.{table}"])
    assert read["at"].endswith("Z")


def test_a_load_shows_its_quarantine_at_its_table(api: Api, server: Server) -> None:
    table = name("loaded")
    kept = api.call("POST", "/uploads", 201, content=b"n\n1\nx\n2\n")
    load = {"kind": "load", "source": kept["source"], "table": table, "columns": {"n": "INTEGER"}}
    assert api.wait(api.submit({"key": "load", "action": load}))["state"] == "succeeded"
    shown = api.call("GET", f"/tables/{table}")
    assert (shown["rows"], shown["quarantine_rows"]) == (2, 1)


def test_a_view_follows_and_is_filled(api: Api) -> None:
    source, target, view = name("s"), name("t"), name("v")
    sql(api, f"CREATE TABLE {source} AS SELECT 1 AS n")
    body = {"name": view, "source": source, "statement": f"SELECT n * 2 AS n FROM {source}", "target": target}
    made = api.call("POST", "/views", 201, json=body)
    assert (made["created"], made["target"], made["created_at"].endswith("Z")) == (True, target, True)
    assert api.call("POST", "/views", 200, json=body)["created"] is False
    api.refused("POST", "/views", 400, json=body | {"target": "other"})
    sql(api, f"INSERT INTO {source} VALUES (5)")
    run = api.wait(api.submit({"key": "fill", "action": {"kind": "materialize", "view": view, "truncate": True}}))
    assert run["tasks"][0]["metrics"]["rows"] == 2, run
    assert api.call("POST", "/query", json={"sql": f"SELECT n FROM {target} ORDER BY n"})["rows"] == [[2], [10]]
    assert view in [one["name"] for one in api.call("GET", "/views")["items"]]
    assert [one["name"] for one in api.call("GET", f"/tables/{target}")["views"]] == [view]
    api.refused("DELETE", f"/tables/{source}", 400)
    assert api.call("DELETE", f"/tables/{source}?with_views=true")["views"] == [view]
    api.refused("DELETE", f"/views/{view}", 404)
    api.call("DELETE", f"/tables/{target}")


def test_what_is_not_there_is_not_found(api: Api) -> None:
    for method, path in (("GET", "/tables/none"), ("DELETE", "/tables/none"), ("DELETE", "/views/none")):
        api.refused(method, path, 404)
    api.refused("GET", "/tables/none?workspace=nowhere", 404)


def test_the_client_says_the_same(server: Server) -> None:
    with Client(server.url, token=server.admin_token) as client:
        table, target = name("c"), name("d")
        kept = client.upload(b"n\n1\n2\n")
        load = runyard.Load(source=kept.source, table=table)
        done = client.wait(client.submit(runyard.Job(name="load", tasks=[runyard.Task(key="a", action=load)])).id)
        assert done.state == "succeeded"
        view = client.create_view("v_" + table, table, f"SELECT n FROM {table}", target)
        assert view in list(client.views())
        shown = client.table(table)
        assert (shown.rows, shown.last_write and shown.last_write.run_id) == (2, done.id)
        client.drop_view(view.name)
        client.drop_table(table)
        assert table not in [one.name for one in client.tables()]


ODD = [
    "two words",
    "a/b",
    "a%2Fb",
    "50%",
    "a.b",
    ".",
    "..",
    "a?b#c",
    "\u00fc\u65e5\U0001f600",
    'say "x"',
    "it's",
    "a+b&c=d",
    "x;y",
    "{z}",
    "\\",
]


@pytest.mark.parametrize("odd", ODD)
def test_a_table_of_any_name_is_shown_keyed_and_dropped_through_the_client(server: Server, odd: str) -> None:
    with Client(server.url, token=server.admin_token) as client:
        source = name("source")
        for action in (
            runyard.Copy(statement="SELECT 1 AS n", table=source),
            runyard.Copy(statement="SELECT 1 AS n", table=odd),
            runyard.Delete(table=odd, where="n > 1", dry_run=True),
        ):
            done = client.run(runyard.Job(name="odd", tasks=[runyard.Task(key="a", action=action)]))
            assert done.state == "succeeded", done.detail
        shown = client.table(odd)
        assert (shown.name, shown.rows, len(shown.written_by), len(shown.read_by)) == (odd, 1, 1, 1)
        assert odd in [table.name for table in client.tables()]
        assert client.partition_table(odd, "n") == "n"
        assert client.partitions(odd).items[0].rows == 1
        view = client.create_view(odd, source, f"SELECT n FROM {source}", name("target"))
        client.drop_view(view.name)
        client.drop_table(odd)
        assert odd not in [table.name for table in client.tables()]


def test_a_tables_partitions_are_set_shown_and_paged(api: Api) -> None:
    table = name("p")
    sql(api, f"CREATE TABLE {table} AS SELECT range % 3 AS n FROM range(10)")
    path = f"/tables/{table}/partitions"
    assert api.call("GET", f"/tables/{table}")["partition_by"] == ""
    api.refused("GET", path, 400)
    assert api.call("PUT", path, json={"partition_by": "n"}) == {"table": table, "partition_by": "n"}
    assert api.call("GET", f"/tables/{table}")["partition_by"] == "n"
    assert {one["name"]: one["partition_by"] for one in api.call("GET", "/tables")["items"]}[table] == "n"
    page = api.call("GET", f"{path}?limit=2")
    assert [(one["values"], one["rows"]) for one in page["items"]] == [([0], 4), ([1], 3)]
    assert (page["partition_by"], page["columns"], page["next"]) == ("n", [{"name": "n", "type": "BIGINT"}], 2)
    rest = api.call("GET", f"{path}?limit=2&offset={page['next']}")
    assert ([one["values"] for one in rest["items"]], "next" in rest) == ([[2]], False)
    for body in ({"partition_by": "nope"}, {"partition_by": "random()"}, {}, {"partition_by": 1}):
        api.refused("PUT", path, 400, json=body)
    api.refused("GET", f"{path}?limit=0", 400)
    api.refused("GET", f"{path}?offset=-1", 400)
    api.refused("PUT", "/tables/none/partitions", 404, json={"partition_by": "n"})
    api.refused("GET", "/tables/none/partitions", 404)
    api.refused("GET", f"{path}?schema=other", 404)
    key = {"partition_by": "toString(n)", "dialect": "clickhouse"}
    assert "n" in api.call("PUT", path, json=key)["partition_by"]
    assert api.call("PUT", path, json={"partition_by": ""})["partition_by"] == ""


def test_the_client_sets_and_lists_partitions(server: Server) -> None:
    with Client(server.url, token=server.admin_token) as client:
        table = name("odd t")
        copy = runyard.Copy(statement="SELECT 1 AS a UNION ALL SELECT NULL", table=table, partition_by="a")
        done = client.wait(client.submit(runyard.Job(name="c", tasks=[runyard.Task(key="a", action=copy)])).id)
        assert done.state == "succeeded", done.detail
        found = client.partitions(table)
        assert ([one.values for one in found.items], found.next) == ([[1], [None]], None)
        assert client.partition_table(table, "a + 1") == "a + 1"
        assert client.partitions(table, limit=1, offset=1).items[0].rows == 1
