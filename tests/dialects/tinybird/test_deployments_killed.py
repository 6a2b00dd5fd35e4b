"""A server is killed in the middle of a deployment: the next one carries it out whole, or nothing was done."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.dialects.tinybird.calls import Tinybird
from tests.dialects.tinybird.test_deployments import PROJECT, TOP_ROWS, VISITS, Project
from tests.e2e.service import Service

MOMENTS = (0.08, 0.15, 0.4, *(pytest.param(one, marks=pytest.mark.long) for one in (0.03, 0.25)))
"""Seconds after which the server is killed, counted from when the deployment is sent."""


def again(service: Service, project: Project) -> None:
    """The project, on the server that is there now."""
    token = project.tb.http.headers["Authorization"].removeprefix("Bearer ")
    project.tb.http.close()
    project.tb = Tinybird(address(service), token)


def address(service: Service) -> str:
    return str(service.http.base_url).removesuffix("/api/v1/")


def settled(project: Project) -> list[dict[str, object]]:
    """The deployments, once none is being carried out."""
    deadline = time.monotonic() + 30
    while True:
        found = project.tb.call("GET", "/v1/deployments")["deployments"]
        if all(one["status"] != "creating_schema" for one in found):
            return list(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deployment_that_a_killed_server_began_is_carried_out_whole_or_was_never_begun(
    tmp_path: Path, moment: float
) -> None:
    with Service(tmp_path, grace=1) as service:
        admin = Tinybird(address(service), "any")
        project = Project(admin, "killed")
        admin.http.close()
        project.files = {"datasources/visits.datasource": VISITS}
        project.deploy()
        project.lines()
        project.files = dict(PROJECT)

        def deploy() -> None:
            with suppress(httpx.TransportError):
                project.deploy()

        sender = threading.Thread(target=deploy)
        sender.start()
        time.sleep(moment)
        service.kill()
        sender.join()
        service.start()
        again(service, project)
        (live,) = [one for one in settled(project) if one["live"]]
        if live["id"] == "1":
            assert project.pipes() == set()
            assert project.sources() == {"visits"}
            project.deploy()
            settled(project)
        assert project.top() == TOP_ROWS
        project.lines()
        assert [row["n"] for row in project.top()] == [4, 2]
        project.tb.http.close()
