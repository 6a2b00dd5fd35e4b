"""Runs that an attempt started, when the server goes away and comes back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import ENDED, Service

SLOW_CHILD = "import time\nprint('begun', flush=True)\ntime.sleep(2.5)\ndbutils.notebook.exit('from below')\n"
PARENT = "dbutils.notebook.exit(dbutils.notebook.run('child') + ' and above')\n"


@pytest.fixture
def root(tmp_path: Path) -> str:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "parent.py").write_text(PARENT)
    (folder / "child.py").write_text(SLOW_CHILD)
    return str(folder)


def child_of(service: Service, run_id: int) -> dict[str, Any] | None:
    found = service.get("/runs", trigger="attempt")["items"]
    return next((one for one in found if one["parent_task_run_id"] == service.task(run_id)["id"]), None)


def running_child(service: Service, run_id: int) -> dict[str, Any]:
    end = time.monotonic() + 20
    while (found := child_of(service, run_id)) is None or found["state"] != "running":
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_parent_finds_its_child_again_after_the_server_was_killed(tmp_path: Path, root: str) -> None:
    with Service(tmp_path, grace=1, process_capacity=1) as service:
        run_id = service.submit({"kind": "notebook", "path": "/parent", "root": root})
        child = running_child(service, run_id)
        before = service.task(run_id)["id"]
        service.kill()
        service.start()  # on another port
        ended = service.ended(run_id)
        assert ended["state"] == "succeeded", ended
        assert service.task(run_id)["id"] == before
        assert service.get(f"/task-runs/{before}/output")["result"] == "from below and above"
        (only,) = service.get("/runs", trigger="attempt")["items"]
        assert (only["id"], only["state"]) == (child["id"], "succeeded")


@pytest.mark.long
def test_a_child_that_is_queued_at_a_kill_still_gets_its_parents_place(tmp_path: Path, root: str) -> None:
    with Service(tmp_path, grace=1, process_capacity=1) as service:
        service.http.put("/queues/children", json={"paused": True}).raise_for_status()
        run_id = service.submit({"kind": "notebook", "path": "/parent", "root": root})
        end = time.monotonic() + 20
        while child_of(service, run_id) is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        service.kill()
        service.start()
        service.http.put("/queues/children", json={"paused": False}).raise_for_status()
        assert service.ended(run_id)["state"] == "succeeded"


@pytest.mark.long
def test_a_server_that_stops_ends_the_children_of_what_it_gives_back(tmp_path: Path, root: str) -> None:
    with Service(tmp_path, grace=0.2, process_capacity=1) as service:
        run_id = service.submit({"kind": "notebook", "path": "/parent", "root": root})
        first = running_child(service, run_id)
        service.terminate()
        service.start()
        assert service.ended(run_id)["state"] == "succeeded"
        found = {one["id"]: one["state"] for one in service.get("/runs", trigger="attempt")["items"]}
        assert len(found) == 2
        assert found.pop(first["id"]) == "cancelled"
        assert set(found.values()) == {"succeeded"} <= ENDED
