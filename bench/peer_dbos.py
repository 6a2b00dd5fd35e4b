"""DBOS on SQLite: enqueue, run no-op workflows to a kept result, idle latency."""

from __future__ import annotations

import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dbos import DBOS, DBOSClient

from bench.report import percentile

QUEUE = "bench"


@DBOS.workflow(name="noop")
def noop(n: int) -> int:
    """Gives its argument back."""
    return n


@DBOS.workflow(name="clock")
def clock() -> int:
    """Gives the time of its first instruction."""
    return time.time_ns()


def launch(work: dict[str, Any], polling: float) -> None:
    """A worker in this process."""
    url = f"sqlite:///{work['folder']}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    DBOS.listen_queues([QUEUE]) if hasattr(DBOS, "listen_queues") else None
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=polling)


def client(work: dict[str, Any]) -> DBOSClient:
    """Enqueues only."""
    return DBOSClient(system_database_url=f"sqlite:///{work['folder']}/dbos.sqlite")


def enqueue(work: dict[str, Any]) -> dict[str, float]:
    """Workflows enqueued a second, from so many threads, nobody working on them."""
    launch(work, 1.0)
    DBOS.destroy()
    asking, count = client(work), work["count"]
    options = {"queue_name": "held", "workflow_name": "noop"}
    begun = time.perf_counter()
    with ThreadPoolExecutor(work["clients"]) as pool:
        list(pool.map(lambda n: asking.enqueue(options, n), range(count)))
    seconds = time.perf_counter() - begun
    assert len(asking.list_workflows(queue_name="held", limit=count + 1)) == count
    return {"rate": count / seconds}


def drain(work: dict[str, Any]) -> dict[str, float]:
    """Workflows run to a kept result a second, all enqueued before."""
    launch(work, 1.0)
    DBOS.destroy()
    asking = client(work)
    handles = [asking.enqueue({"queue_name": QUEUE, "workflow_name": "noop"}, n) for n in range(work["count"])]
    launch(work, 0.01)
    begun = time.perf_counter()
    values = [handle.get_result(polling_interval_sec=0.01) for handle in handles]
    seconds = time.perf_counter() - begun
    assert values == list(range(work["count"]))
    DBOS.destroy()
    return {"rate": work["count"] / seconds}


def latency(work: dict[str, Any]) -> dict[str, float]:
    """From the enqueue to the first instruction of the workflow, idle before."""
    launch(work, work["polling"])
    found = []
    for _ in range(work["count"]):
        time.sleep(0.05)
        sent = time.time_ns()
        handle = DBOS.enqueue_workflow(QUEUE, clock)
        # How it is asked for the result is not measured: by default it would ask once a second.
        found.append((handle.get_result(polling_interval_sec=0.01) - sent) / 1e9)
    DBOS.destroy()
    return {"p50": statistics.median(found), "p95": percentile(found, 0.95)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(globals()[asked["what"]](asked)))
