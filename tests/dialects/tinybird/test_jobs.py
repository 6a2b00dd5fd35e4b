"""The Jobs API, line by line: each filter, each rule of cancelling, each field, over plain HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.helpers import Server
from tests.dialects.tinybird.calls import Tinybird, files_at

Name = Callable[[str], str]
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
CSV = "n,t\n1,a\n2,b\nx,c\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "rows.csv").write_text(CSV)
    (folder / "more.csv").write_text("n,t\n" + "".join(f"{n},x\n" for n in range(1000)))
    with files_at(folder) as server:
        yield server


def _import(tb: Tinybird, name: str, url: str, mode: str = "append", **more: str) -> dict[str, Any]:
    return dict(tb.call("POST", "/v0/datasources", params={"name": name, "url": url, "mode": mode, **more}))


def test_an_import_from_a_url_is_a_job_with_all_its_fields(tb: Tinybird, name: Name, files: Any) -> None:
    source = tb.source(name("ds"), "n Int32, t String")
    made = _import(tb, source["name"], f"{files[0]}/rows.csv", debug="blocks_block_log", format="csv")
    assert "error" not in made
    assert made["id"] == made["job_id"] == made["import_id"] == made["job"]["id"]
    assert made["status"] in ("waiting", "working")
    job = tb.ended(made)
    golden = json.loads((Path(__file__).parent / "golden" / "import_done.json").read_text())
    assert job.keys() == golden.keys()
    assert job["datasource"].keys() >= golden["datasource"].keys()
    assert {key: job[key] for key in ("kind", "status", "mode", "is_cancellable")} == {
        "kind": "import", "status": "done", "mode": "append", "is_cancellable": False,
    }  # fmt: skip
    assert job["url"] == f"{files[0]}/rows.csv"
    assert job["statistics"]["row_count"] == 2
    assert job["statistics"]["bytes"] > 0
    assert (job["quarantine_rows"], job["invalid_lines"]) == (1, 0)
    assert job["job_url"] == f"{tb.url}/v0/jobs/{job['id']}"
    assert all(STAMP.fullmatch(job[key]) for key in ("created_at", "started_at", "updated_at"))
    assert job["created_at"] <= job["started_at"] <= job["updated_at"]


def test_the_block_log_is_there_when_it_is_asked_for(tb: Tinybird, name: Name, files: Any) -> None:
    source = tb.source(name("ds"), "n Int32, t String")
    job = tb.ended(_import(tb, source["name"], f"{files[0]}/rows.csv"))
    assert "block_log" not in job
    full = tb.call("GET", f"/v0/jobs/{job['id']}?debug=blocks,block_log")
    assert full["block_log"] == [{"block_id": job["id"], "status": "done"}]
    (returned,) = full["blocks"][0]["process_return"]
    assert (returned["lines"], returned["quarantine"]) == (3, 1)
    assert full["blocks"][0]["table_name"] == source["name"]


def test_an_import_that_fails_says_why(tb: Tinybird, name: Name, files: Any) -> None:
    source = tb.source(name("ds"), "n Int32")
    job = tb.ended(_import(tb, source["name"], f"{files[0]}/nowhere.csv"))
    assert job["status"] == "error"
    assert "404" in job["error"]
    assert job["errors"] == [job["error"]]
    assert job["statistics"]["row_count"] == 0


def test_the_list_has_the_fields_that_clients_read(tb: Tinybird, name: Name, files: Any) -> None:
    source = tb.source(name("ds"), "n Int32, t String")
    job = tb.ended(_import(tb, source["name"], f"{files[0]}/rows.csv"))
    for path in ("/v0/jobs", "/v0/jobs/"):
        first = tb.call("GET", path)["jobs"][0]
        assert first == {
            "id": job["id"], "kind": "import", "status": "done", "created_at": job["created_at"],
            "updated_at": job["updated_at"], "job_url": job["job_url"],
            "datasource": {"id": source["id"], "name": source["name"]},
        }  # fmt: skip


@pytest.fixture(scope="module")
def history(url: str, files: Any) -> Iterator[dict[str, Any]]:
    """A copy that was done, an import that failed, and a populate; with the moments between them."""
    tb = Tinybird(url)
    source, target = tb.source("history", "n Int32, t String"), tb.source("history_copy", "n Int32, t String")
    failed = tb.ended(_import(tb, "history", f"{files[0]}/nowhere.csv"))
    time.sleep(0.01)
    pipe = tb.pipe("history_pipe", {"name": "n0", "sql": "SELECT * FROM history", "type": "copy",
                                    "target_datasource": "history_copy"})  # fmt: skip
    copied = tb.ended(tb.call("POST", "/v0/pipes/history_pipe/copy")["job"])
    yield {"failed": failed, "copied": copied, "pipe": pipe, "source": source, "target": target}
    tb.http.close()


def _ids(tb: Tinybird, **wanted: str) -> set[str]:
    return {job["id"] for job in tb.call("GET", "/v0/jobs", params=wanted)["jobs"]}


def test_jobs_are_filtered_by_kind(tb: Tinybird, history: dict[str, Any]) -> None:
    assert history["copied"]["id"] in _ids(tb, kind="copy")
    assert history["failed"]["id"] not in _ids(tb, kind="copy")
    assert _ids(tb, kind="nonsense") == set()


def test_jobs_are_filtered_by_status(tb: Tinybird, history: dict[str, Any]) -> None:
    assert history["failed"]["id"] in _ids(tb, status="error")
    assert history["copied"]["id"] not in _ids(tb, status="error")
    assert _ids(tb, status="nonsense") == set()


def test_jobs_are_filtered_by_pipe_id(tb: Tinybird, history: dict[str, Any]) -> None:
    assert _ids(tb, pipe_id=history["pipe"]["id"]) == {history["copied"]["id"]}


def test_jobs_are_filtered_by_pipe_name(tb: Tinybird, history: dict[str, Any]) -> None:
    assert _ids(tb, pipe_name="history_pipe") == {history["copied"]["id"]}
    assert _ids(tb, pipe_name="history_pipe", kind="import") == set()
    assert _ids(tb, pipe_name="history_pipe", status="done", kind="copy") == {history["copied"]["id"]}


def test_jobs_are_filtered_by_created_after_and_before(tb: Tinybird, history: dict[str, Any]) -> None:
    first, second = history["failed"], history["copied"]
    moment = first["created_at"].replace(" ", "T")[:23] + "Z"
    assert second["id"] in _ids(tb, created_after=moment)
    assert first["id"] not in _ids(tb, created_after=moment)
    assert first["id"] in _ids(tb, created_before=second["created_at"].replace(" ", "T") + "Z")
    assert second["id"] not in _ids(tb, created_before=second["created_at"].replace(" ", "T") + "Z")


def test_a_bad_date_is_refused(tb: Tinybird) -> None:
    assert "created_after" in tb.error("GET", "/v0/jobs?created_after=soon", 400)


def test_an_unknown_job_is_not_found(tb: Tinybird) -> None:
    for job_id in ("nonsense", "c8ae13ef-e739-40b6-8bd5-b1e07c8671c2"):
        assert "not found" in tb.error("GET", f"/v0/jobs/{job_id}", 404)
        tb.error("POST", f"/v0/jobs/{job_id}/cancel", 404)
        tb.error("POST", f"/v0/jobs/{job_id}/retry", 404)


# --- cancel -----------------------------------------------------------------------------------------------


@pytest.fixture
def slow(tb: Tinybird, name: Name, tmp_path: Path) -> Iterator[Any]:
    """An import that works until the event is set, and one that waits behind it."""
    (tmp_path / "rows.csv").write_text(CSV)
    with files_at(tmp_path) as (at, gate):
        source = tb.source(name("slow"), "n Int32, t String")
        first = tb.ended(_import(tb, source["name"], f"{at}/slow/rows.csv"), "working")
        second = _import(tb, source["name"], f"{at}/rows.csv")
        yield first, second, gate


def test_jobs_of_one_data_source_run_first_in_first_out(tb: Tinybird, slow: Any) -> None:
    first, second, gate = slow
    time.sleep(0.1)
    assert tb.job(second["id"])["status"] == "waiting"
    assert tb.job(second["id"])["started_at"] is None
    gate.set()
    done = tb.ended(second)
    assert done["started_at"] >= tb.job(first["id"])["updated_at"]


def test_a_waiting_job_of_any_kind_can_be_cancelled(tb: Tinybird, slow: Any) -> None:
    _, second, gate = slow
    assert tb.job(second["id"])["is_cancellable"] is True
    cancelled = tb.call("POST", f"/v0/jobs/{second['id']}/cancel")
    assert cancelled["status"] == "cancelled"
    assert cancelled["id"] == second["id"]
    gate.set()
    assert tb.job(second["id"])["status"] == "cancelled"
    assert "cancelled" in tb.error("POST", f"/v0/jobs/{second['id']}/cancel", 400)


def test_a_working_import_cannot_be_cancelled(tb: Tinybird, slow: Any) -> None:
    first, _, gate = slow
    assert tb.job(first["id"])["is_cancellable"] is False
    assert "working" in tb.error("POST", f"/v0/jobs/{first['id']}/cancel", 400)
    gate.set()
    assert tb.ended(first)["status"] == "done"


def test_a_finished_job_cannot_be_cancelled(tb: Tinybird, history: dict[str, Any]) -> None:
    assert "done" in tb.error("POST", f"/v0/jobs/{history['copied']['id']}/cancel", 400)
    assert "error" in tb.error("POST", f"/v0/jobs/{history['failed']['id']}/cancel", 400)


def test_a_working_populate_can_be_cancelled(tb: Tinybird, name: Name) -> None:
    source, target, pipe = name("big"), name("big_mv"), name("big_pipe")
    tb.source(source, "n Int64")
    rows = tb.call("POST", f"/v0/sql_copy?copy_to={source}", content="SELECT number AS n FROM numbers(3000000)")
    assert tb.ended(rows)["status"] == "done"
    tb.pipe(pipe, {"name": "m", "sql": f"SELECT a.n % 7 AS k, count() AS c FROM {source} AS a"
                   f" JOIN (SELECT number AS j FROM numbers(3000)) AS b ON b.j % 3 = a.n % 3 GROUP BY k",
                   "type": "materialized", "datasource": target})  # fmt: skip
    job = tb.call("POST", f"/v0/pipes/{pipe}/nodes/m/population?truncate=true")["job"]
    working = tb.ended(job, "working", "done")
    assert working["status"] == "working", "the populate was too quick to be cancelled"
    assert working["is_cancellable"] is True
    answer = tb.call("POST", f"/v0/jobs/{job['id']}/cancel")
    assert answer["status"] in ("cancelling", "cancelled")
    assert answer["kind"] == "populateview"
    assert answer["is_cancellable"] is False
    assert {"query_id", "pipe_id", "pipe_name", "queries", "progress_percentage", "datasource"} <= answer.keys()
    tb.error("POST", f"/v0/jobs/{job['id']}/cancel", 400)  # cancelling, or cancelled by now
    assert tb.ended(job)["status"] == "cancelled"


def test_a_failed_job_can_be_tried_again(tb: Tinybird, history: dict[str, Any]) -> None:
    again = tb.call("POST", f"/v0/jobs/{history['failed']['id']}/retry")
    assert again["id"] != history["failed"]["id"]
    assert tb.ended(again)["status"] == "error"


def test_a_job_that_has_not_ended_cannot_be_tried_again(tb: Tinybird, slow: Any) -> None:
    first, second, gate = slow
    for job in (first, second):
        assert "ended" in tb.error("POST", f"/v0/jobs/{job['id']}/retry", 400)
    gate.set()
    tb.ended(second)


def test_only_an_administrators_token_sees_all_jobs(tb: Tinybird, history: dict[str, Any], name: Name) -> None:
    reader = tb.token(name("reader"), "DATASOURCES:READ:history")
    appender = tb.token(name("appender"), "DATASOURCES:APPEND:history")
    failed, copied = history["failed"]["id"], history["copied"]["id"]
    reader.error("GET", "/v0/jobs", 403)
    reader.error("GET", f"/v0/jobs/{failed}", 403)
    reader.error("POST", f"/v0/jobs/{failed}/cancel", 403)
    assert {job["id"] for job in appender.call("GET", "/v0/jobs")["jobs"]} >= {failed}
    assert copied not in {job["id"] for job in appender.call("GET", "/v0/jobs")["jobs"]}
    appender.error("GET", f"/v0/jobs/{copied}", 403)
    for one in (reader, appender):
        one.http.close()


def test_the_kinds_have_their_own_fields(tb: Tinybird, history: dict[str, Any], name: Name) -> None:
    copied = tb.job(history["copied"]["id"])
    assert copied["datasource"]["id"] == history["target"]["id"]
    assert {"query_id", "pipe_id", "pipe_name", "mode", "statistics"} <= copied.keys()
    deleted = tb.call("POST", "/v0/datasources/history/delete", 201, data={"delete_condition": "n > 5"})
    assert deleted["delete_id"] == deleted["id"]
    assert tb.ended(deleted)["delete_condition"] == "n > 5"
    asked = tb.call("POST", "/v0/sql?background=true", content="SELECT number FROM numbers(10)")
    assert tb.ended(asked)["statistics"]["row_count"] == 10
    assert tb.job(asked["id"])["kind"] == "query"


def test_runs_of_other_faces_can_be_seen_by_their_id(tb: Tinybird, name: Name) -> None:
    spec = {"name": "native", "tasks": [{"key": "a", "action": {"kind": "sql", "statement": "SELECT 1"}}]}
    run = httpx.post(f"{tb.url}/api/v1/runs", json={"spec": spec}).json()
    assert run["id"]
    assert all(job["kind"] != "native" for job in tb.call("GET", "/v0/jobs")["jobs"])


def test_options_change_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    options = "tinybird.cancel_any=true:tinybird.serial=true:tinybird.jobs_listed=2:tinybird.imports_per_minute=3"
    server = Server(tmp_path / "data", dev=True, options=options)
    try:
        with files_at(tmp_path) as (at, gate):
            tb = Tinybird(server.url)
            for one in ("a", "b"):
                tb.source(one, "n Int32, t String")
            first = tb.ended(_import(tb, "a", f"{at}/slow/rows.csv"), "working")
            second = _import(tb, "b", f"{at}/rows.csv")
            time.sleep(0.1)
            assert tb.job(second["id"])["status"] == "waiting"
            third = _import(tb, "b", f"{at}/rows.csv")
            refused = tb.http.post(f"/v0/datasources?name=b&mode=append&url={at}/rows.csv")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert refused.headers["x-ratelimit-limit"] == "3"
            assert tb.call("POST", f"/v0/jobs/{first['id']}/cancel")["status"] in ("cancelling", "cancelled")
            gate.set()
            assert tb.ended(third)["status"] == "done"
            assert len(tb.call("GET", "/v0/jobs")["jobs"]) == 2
            tb.http.close()
    finally:
        server.stop()
