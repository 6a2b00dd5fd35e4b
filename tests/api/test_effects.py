"""Effects of real runs: once for each input of a for-each and each round of repairs, however often it is tried."""

from __future__ import annotations

from typing import Any

from tests.api.helpers import Api


def sql(statement: str, key: str = "a") -> dict[str, Any]:
    return {"key": key, "action": {"kind": "sql", "statement": statement}}


def rows(api: Api, text: str) -> Any:
    return api.call("POST", "/query", json={"sql": text})["rows"]


def test_a_repair_does_the_failed_input_of_a_for_each_and_no_other_again(api: Api) -> None:
    api.wait(api.submit(sql("CREATE TABLE gate (open BOOLEAN); CREATE TABLE each_done (n INTEGER, open BIGINT)")))
    statement = (
        "SELECT {{ input }} AS n, CASE WHEN {{ input }} = 3 AND (SELECT count(*) FROM gate) = 0"
        " THEN error('closed') ELSE (SELECT count(*) FROM gate) END AS open"
    )
    copy = {"kind": "copy", "statement": statement, "table": "each_done"}
    each = {"key": "each", "action": {"kind": "for_each", "inputs": [1, 2, 3, 4], "action": copy, "concurrency": 2}}
    run = api.wait(api.submit(each))
    assert run["state"] == "failed"
    assert rows(api, "SELECT n, open FROM each_done ORDER BY n") == [[1, 0], [2, 0], [4, 0]]

    api.wait(api.submit(sql("INSERT INTO gate VALUES (true)")))
    api.call("POST", f"/runs/{run['id']}/repair", json={})
    assert api.wait(run, "succeeded")["state"] == "succeeded"
    done = rows(api, "SELECT n, open FROM each_done ORDER BY n, open")
    assert done == [[1, 0], [2, 0], [3, 1], [4, 0]], done


def test_a_repaired_task_is_an_effect_of_its_own(api: Api) -> None:
    api.wait(api.submit(sql("CREATE TABLE twice_done (n INTEGER)")))
    run = api.wait(api.submit(sql("INSERT INTO twice_done VALUES (1)")))
    api.call("POST", f"/runs/{run['id']}/repair", json={"tasks": ["a"]})
    again = api.wait(run, "succeeded")
    while again["round"] == run["round"]:
        again = api.wait(run, "succeeded")
    assert rows(api, "SELECT count(*) FROM twice_done") == [[2]]
