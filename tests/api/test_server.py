"""The process: how it starts, what it refuses, how it stops."""

import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from runyard import app, config
from runyard.core.errors import RunyardError
from tests.api.helpers import Api, Server, shell


def test_the_data_folder_and_key_are_for_their_owner_only(server: Server) -> None:
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data / "master.key").stat().st_mode) == 0o600


def test_a_second_server_cannot_have_the_same_folder(server: Server) -> None:
    with pytest.raises(RunyardError, match=f"process {server.process.pid}"):
        app.claim_folder(server.data)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_dev_is_refused_on_another_address_than_loopback(host: str) -> None:
    with pytest.raises(RunyardError, match="loopback only"):
        app.check(config.Settings(dev=True, host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_dev_is_taken_on_loopback(host: str) -> None:
    app.check(config.Settings(dev=True, host=host))


def test_a_port_that_is_taken_is_said(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RunyardError, match="Address already in use"):
        app.listen(config.Settings(port=port))


def test_what_cannot_start_ends_with_2_and_says_why(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "runyard.app"],
        env={"PYTHONPATH": ":".join(sys.path), "RUNYARD_DATA": str(tmp_path / "d"), "RUNYARD_PORT": "many"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (ended.returncode, "port" in ended.stderr, ended.stdout) == (2, True, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_first_and_the_exit_code_is_0(tmp_path: Path, number: signal.Signals) -> None:
    server = Server(tmp_path / "data")
    with server.client(server.admin_token) as client:
        stopped_while_followed(server, Api(client), number)


def stopped_while_followed(server: Server, api: Api, number: signal.Signals) -> None:
    run = api.submit(shell("a", "sleep 60"))
    api.wait(run, "running")
    ended: list[float] = []
    began = threading.Event()

    def follow() -> None:
        with api.http.stream(
            "GET", f"/api/v1/runs/{run['id']}/events", headers={"Accept": "text/event-stream"}
        ) as answer:
            for _ in answer.iter_bytes():
                began.set()
            ended.append(time.monotonic())

    thread = threading.Thread(target=follow)
    thread.start()
    assert began.wait(10)
    asked = time.monotonic()
    assert server.stop(number) == 0
    thread.join(10)
    assert ended, "the stream was not ended cleanly"
    assert ended[0] - asked < 2
    assert "Traceback" not in server.errors.read_text()


def test_a_restart_keeps_runs_tokens_and_shows_no_token_again(tmp_path: Path) -> None:
    first = Server(tmp_path / "data")
    token = first.admin_token
    with first.client(token) as client:
        run = Api(client).wait(Api(client).submit())
    assert first.stop() == 0
    second = Server(tmp_path / "data")
    try:
        with second.client(token) as client:
            assert Api(client).call("GET", f"/runs/{run['id']}") == run
        assert len(re.findall(r"\bry_\w+", second.errors.read_text())) == 1
    finally:
        assert second.stop() == 0


def test_the_store_can_be_another_file(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", dev=True, store=f"sqlite:///{tmp_path}/other.db")
    assert server.stop() == 0
    assert (tmp_path / "other.db").exists()


def test_the_operators_own_token_is_taken_and_none_is_made(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", token="of-the-operator")
    try:
        with server.client("of-the-operator") as client:
            assert client.get("/api/v1/whoami").json() == {"name": "operator", "scopes": ["admin"]}
        with server.client("of-the-operato") as client:
            assert client.get("/api/v1/whoami").status_code == 401
        assert "ry_" not in server.errors.read_text()
    finally:
        server.stop()


def test_metrics_count_requests_runs_and_commits(api: Api) -> None:
    api.wait(api.submit())
    text = api.http.get("/metrics").text
    labels = 'face="native",method="POST",path="/api/v1/runs",status="201"'
    assert re.search(rf"runyard_http_request_seconds_count\{{{labels}\}} \d", text)
    assert re.search(r"runyard_commits_total \d", text)
    assert re.search(r'runyard_worker_capacity\{executor="process",name="\w+"\} \d', text)


def test_a_query_of_many_clients_at_once_is_answered(api: Api, server: Server) -> None:
    def ask() -> None:
        with httpx.Client(base_url=server.url, headers=api.http.headers, timeout=20) as client:
            statuses.extend(client.get("/api/v1/runs").status_code for _ in range(5))

    statuses: list[int] = []
    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 80
