"""Sources and targets s3://: over a real connection, and in the folder that stands for a service."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.core.actions import Export, Load
from runyard.warehouse.objects import S3
from tests.warehouse.desk import Desk
from tests.warehouse.object_server import ObjectServer

SECRET = "the-secret-key"
BODY = b"n,t\n" + b"".join(b"%d,text\n" % n for n in range(400_000))


@pytest.fixture(scope="module")
def service() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, service: ObjectServer) -> Iterator[Desk]:
    s3 = S3(endpoint=service.url, access_key="the-key", secret_key=SECRET)
    desk = Desk(tmp_path_factory.mktemp("remote"), s3=s3, allow_private_urls=False)
    yield desk
    desk.close()


def test_an_object_is_loaded_and_every_request_is_signed(remote: Desk, service: ObjectServer) -> None:
    service.objects["/lake/a b/days.csv.gz"] = gzip.compress(BODY)
    service.asked.clear()
    outcome = remote.run(Load(source="s3://lake/a b/days.csv.gz", table="days"))
    assert outcome.result == "succeeded", outcome.detail
    assert outcome.metrics["rows"] == 400_000
    assert {signed for *_, signed in service.asked} == {"the-key"}


def test_a_download_that_breaks_off_goes_on_where_it_was(remote: Desk, service: ObjectServer) -> None:
    service.objects["/lake/broken.csv"] = BODY
    service.asked.clear()
    service.break_after = [1_500_000, 1_000_000]
    outcome = remote.run(Load(source="s3://lake/broken.csv", table="resumed"))
    service.break_after = []
    assert outcome.result == "succeeded", outcome.detail
    assert outcome.metrics["rows"] == 400_000
    assert remote.rows("SELECT count(DISTINCT n) FROM resumed") == [[400_000]]
    starts = [asked for method, _, asked, _ in service.asked if method == "GET"]
    assert len(starts) >= 2
    assert starts[0] != starts[-1]


@pytest.mark.parametrize("rows", [10, 3_000_000])
def test_an_export_appears_whole_as_an_object(remote: Desk, service: ObjectServer, rows: int) -> None:
    outcome = remote.run(Export(statement=f"SELECT range AS n FROM range({rows})", target=f"s3://lake/o/{rows}.csv"))
    assert outcome.result == "succeeded", outcome.detail
    body = service.objects[f"/lake/o/{rows}.csv"]
    assert (len(body), body.count(b"\n")) == (outcome.metrics["bytes"], rows + 1)


def test_an_object_that_is_not_there_or_too_large_fails_with_one_sentence(service: ObjectServer, remote: Desk) -> None:
    outcome = remote.run(Load(source="s3://lake/nothing.csv", table="none"))
    assert (outcome.result, outcome.retry) == ("failed", False)
    assert "s3://lake/nothing.csv cannot be read" in outcome.detail
    assert SECRET not in str(outcome)


def test_the_secret_is_in_no_process_s_arguments(remote: Desk) -> None:
    pid = remote.pid()
    assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_without_a_service_a_folder_stands_for_it(shared: Desk) -> None:
    folder = shared.home / "s3" / "lake" / "in"
    folder.mkdir(parents=True)
    (folder / "x.csv").write_bytes(BODY)
    assert shared.run(Load(source="s3://lake/in/x.csv", table="placed")).metrics["rows"] == 400_000
    outcome = shared.run(Export(statement="SELECT count(*) AS n FROM placed", target="s3://lake/out/n.ndjson"))
    assert outcome.result == "succeeded", outcome.detail
    assert (shared.home / "s3" / "lake" / "out" / "n.ndjson").read_text() == '{"n":400000}\n'


@pytest.mark.parametrize(
    "url",
    [
        "s3://../x.csv",
        "s3://lake/../../x.csv",
        "s3://lake",
        "s3:///x.csv",
        "s3://lake/x.csv?a=1",
        "s3://./x.csv",
        "s3://lake/out/x.csv",
    ],
)
def test_an_object_outside_of_the_folder_is_refused(shared: Desk, url: str) -> None:
    if url.startswith("s3://lake/out"):
        (shared.home / "s3" / "lake").mkdir(parents=True, exist_ok=True)
        os.symlink("/etc", shared.home / "s3" / "lake" / "link")
        url = "s3://lake/link/x.csv"
    assert shared.run(Export(statement="SELECT 1 AS n", target=url)).result == "failed"
    assert shared.run(Load(source=url, table="never")).result == "failed"
