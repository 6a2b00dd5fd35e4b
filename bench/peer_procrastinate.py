"""Procrastinate on PostgreSQL: defer, run no-ops to a recorded end, idle latency."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import procrastinate
import psycopg
from procrastinate import PsycopgConnector, SyncPsycopgConnector

from bench.report import percentile


def make(work: dict[str, Any], connector: Any) -> tuple[procrastinate.App, Any, Any]:
    """An app with a no-op task that gives its argument back, and one that keeps the time."""
    app = procrastinate.App(connector=connector)
    began: asyncio.Queue[int] = asyncio.Queue()

    @app.task(queue=work["what"])
    async def noop(n: int) -> int:
        return n

    @app.task(queue=work["what"])
    async def clock() -> None:
        began.put_nowait(time.time_ns())

    return app, noop, (clock, began)


def _schema(work: dict[str, Any]) -> None:
    with psycopg.connect(work["url"]) as connection:
        [there] = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone() or [None]
        if there:
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")
    if not there:
        with make(work, SyncPsycopgConnector(conninfo=work["url"]))[0].open() as app:
            app.schema_manager.apply_schema()


def _count(work: dict[str, Any], status: str) -> int:
    with psycopg.connect(work["url"]) as connection:
        [found] = connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = %s::procrastinate_job_status", (status,)
        ).fetchone() or [0]
        return int(found)


def enqueue(work: dict[str, Any]) -> dict[str, float]:
    """Jobs deferred a second, from so many threads, nobody working on them."""
    _schema(work)
    clients, count = work["clients"], work["count"]
    app, noop, _ = make(work, SyncPsycopgConnector(conninfo=work["url"], min_size=clients, max_size=clients))
    with app.open():
        noop.defer(n=0)
        begun = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda n: noop.defer(n=n), range(count)))
        seconds = time.perf_counter() - begun
    assert _count(work, "todo") == count + 1
    return {"rate": count / seconds}


def drain(work: dict[str, Any]) -> dict[str, float]:
    """Jobs run to a recorded end a second, all deferred before."""
    _schema(work)
    return asyncio.run(_drain(work))


async def _drain(work: dict[str, Any]) -> dict[str, float]:
    app, noop, _ = make(work, PsycopgConnector(conninfo=work["url"], min_size=1, max_size=work["workers"] + 2))
    async with app.open_async():
        await noop.batch_defer_async(*({"n": n} for n in range(work["count"])))
        begun = time.perf_counter()
        await app.run_worker_async(concurrency=work["workers"], wait=False, install_signal_handlers=False)
        seconds = time.perf_counter() - begun
    assert _count(work, "succeeded") == work["count"]
    return {"rate": work["count"] / seconds}


def latency(work: dict[str, Any]) -> dict[str, float]:
    """From the defer to the first instruction of the task, idle before; a notification wakes the worker."""
    _schema(work)
    return asyncio.run(_latency(work))


async def _latency(work: dict[str, Any]) -> dict[str, float]:
    app, _, (clock, began) = make(work, PsycopgConnector(conninfo=work["url"]))
    found = []
    async with app.open_async():
        worker = asyncio.create_task(app.run_worker_async(concurrency=1, install_signal_handlers=False))
        await asyncio.sleep(1)  # until it listens
        for _ in range(work["count"]):
            await asyncio.sleep(0.05)
            sent = time.time_ns()
            await clock.defer_async()
            found.append((await asyncio.wait_for(began.get(), 30) - sent) / 1e9)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return {"p50": statistics.median(found), "p95": percentile(found, 0.95)}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(globals()[asked["what"]](asked)))
