"""huey on SQLite: enqueue, run no-ops with kept results, idle latency."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from huey import SqliteHuey

from bench.report import percentile

FSYNC = {"huey-full": True, "huey-default": None, "huey-off": False}


def make(work: dict[str, Any]) -> tuple[SqliteHuey, Any, Any]:
    """A queue with a no-op task that gives its argument back, and one that gives the time."""
    queue = SqliteHuey(filename=f"{work['folder']}/huey.db", fsync=FSYNC[work["variant"]])

    @queue.task()
    def noop(n: int) -> int:
        return n

    @queue.task()
    def clock() -> int:
        return time.time_ns()

    return queue, noop, clock


def enqueue(work: dict[str, Any]) -> dict[str, float]:
    """Tasks enqueued a second, from so many threads, nobody working on them."""
    queue, noop, _ = make(work)
    count = work["count"]
    begun = time.perf_counter()
    with ThreadPoolExecutor(work["clients"]) as pool:
        list(pool.map(noop, range(count)))
    seconds = time.perf_counter() - begun
    assert queue.pending_count() == count
    return {"rate": count / seconds}


def drain(work: dict[str, Any]) -> dict[str, float]:
    """Tasks run to a kept result a second, all enqueued before."""
    queue, noop, _ = make(work)
    results = [noop(n) for n in range(work["count"])]
    consumer = queue.create_consumer(workers=work["workers"], periodic=False, initial_delay=0.001, max_delay=0.01)
    begun = time.perf_counter()
    consumer.start()
    while queue.result_count() < work["count"]:
        time.sleep(0.005)
    seconds = time.perf_counter() - begun
    assert [one.get() for one in results] == list(range(work["count"]))
    consumer.stop(graceful=True)
    return {"rate": work["count"] / seconds}


def latency(work: dict[str, Any]) -> dict[str, float]:
    """From the enqueue to the first instruction of the task, idle before."""
    queue, _, clock = make(work)
    consumer = queue.create_consumer(workers=1, periodic=False, **work["polling"])
    threading.Thread(target=consumer.start).start()
    found = []
    for _ in range(work["count"]):
        time.sleep(0.05)
        sent = time.time_ns()
        found.append((clock()(blocking=True) - sent) / 1e9)
    consumer.stop(graceful=True)
    return {"p50": statistics.median(found), "p95": percentile(found, 0.95)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(globals()[asked["what"]](asked)))
