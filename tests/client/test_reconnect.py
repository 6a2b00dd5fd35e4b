"""A follower outlives its server: it comes back to where it was and misses nothing."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import runyard
from tests.live_server import live_server

JOB = runyard.Job(
    name="long",
    tasks=[runyard.Task(key="say", action=runyard.Shell(command="for i in 1 2 3 4 5 6 7 8 9; do sleep 0.4; done"))],
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_events_are_followed_across_a_restart_of_the_server(tmp_path: Path) -> None:
    port = str(free_port())
    seqs: list[int] = []
    with live_server(tmp_path, "--dev", "--port", port) as url:
        client = runyard.Client(url)
        run = client.submit(JOB)
        begun = threading.Event()

        def read() -> None:
            for event in client.events(run.id, follow=True):
                seqs.append(event.seq)
                begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(20)
    with live_server(tmp_path, "--dev", "--port", port):
        ended = client.wait(run.id, timeout=60)
        reader.join(30)
        assert not reader.is_alive()
        assert ended.succeeded
        assert seqs == list(range(1, ended.seq + 1))
        client.close()
