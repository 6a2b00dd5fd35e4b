"""A follower outlives its server: it comes back to where it was and misses nothing."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import runyard
from runyard.client.follow import Update, follow
from tests.live_server import live_server

JOB = runyard.Job(
    name="long",
    tasks=[
        runyard.Task(key="say", action=runyard.Shell(command="for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.4; done"))
    ],
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_run_is_followed_across_a_restart_of_the_server(tmp_path: Path) -> None:
    port = str(free_port())
    updates: list[Update] = []
    begun = threading.Event()

    def read(client: runyard.Client, run_id: int) -> None:
        for update in follow(client, run_id):
            updates.append(update)
            if update.lines:
                begun.set()

    with runyard.Client(f"http://127.0.0.1:{port}") as client:
        with live_server(tmp_path, "--dev", "--port", port):
            run = client.submit(JOB)
            reader = threading.Thread(target=read, args=(client, run.id))
            reader.start()
            assert begun.wait(20)
        with live_server(tmp_path, "--dev", "--port", port):
            ended = client.wait(run.id, timeout=60)
            reader.join(30)
            assert not reader.is_alive()
            assert ended.succeeded
            assert [event.seq for update in updates for event in update.events] == list(range(1, ended.seq + 1))
            lines = [line.text for update in updates for line in update.lines]
            assert lines[-9:] == list("123456789")
