"""A worker of a peer, for `bench.fences`: one task that writes a diary while it works, then its effect, then ends.

`python -m bench.peer_fences PEER ROLE NAME FOLDER URL`; ROLE is `submit`, `work`, `lost` (declare lost what a silent
worker held, the way the peer's documentation says) or `status`, which prints what the peer tells of the task.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

PEER, ROLE, NAME, FOLDER, URL = sys.argv[1:6]
SILENT = 3.0


def work() -> str:
    """Works for eight seconds when it is the first, else for two."""
    diary, effects = Path(FOLDER, "diary"), Path(FOLDER, "effects")
    seconds = 8.0 if not diary.exists() else 2.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with diary.open("a") as file:
            file.write(f"{NAME} {time.clock_gettime(time.CLOCK_BOOTTIME)}\n")
        time.sleep(0.02)
    with effects.open("a") as file:
        file.write(f"{NAME}\n")
    return NAME


def dbos() -> None:
    """DBOS on SQLite: a worker recovers what an executor of its name left pending when it starts."""
    from dbos import DBOS, SetWorkflowID

    DBOS(config={"name": "fences", "system_database_url": f"sqlite:///{FOLDER}/dbos.sqlite", "run_admin_server": False,
                 "log_level": "ERROR"})  # fmt: skip
    task = DBOS.workflow(name="task")(work)
    DBOS.launch()
    if ROLE == "work" and NAME == "A":
        with SetWorkflowID("the-task"):
            DBOS.start_workflow(task)
    if ROLE == "status":
        found = DBOS.get_workflow_status("the-task")
        assert found is not None
        print(json.dumps({"state": found.status, "result": found.output}))
        return
    while True:
        time.sleep(0.1)


async def procrastinate() -> None:
    """Procrastinate on PostgreSQL: a job whose worker has no heartbeat is stalled, and is retried by who looks."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=URL))
    task = app.task(name="task", pass_context=False)(work)
    async with app.open_async():
        if ROLE == "submit":
            await app.schema_manager.apply_schema_async()
            await task.defer_async()
        elif ROLE == "work":
            await app.run_worker_async(name=NAME, update_heartbeat_interval=1, stalled_worker_timeout=SILENT)
        elif ROLE == "lost":
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT):
                await app.job_manager.retry_job(job)
                print("retried", job.id)
        else:
            (job,) = await app.job_manager.list_jobs_async(task="task")
            print(json.dumps({"state": str(job.status), "result": f"attempts {job.attempts}"}))


if __name__ == "__main__":
    os.setpgid(0, 0)
    dbos() if PEER == "dbos" else asyncio.run(procrastinate())
