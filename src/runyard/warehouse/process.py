"""The warehouse process of one workspace: `python -m runyard.warehouse.process SETTINGS`.

It ends itself at once when its control pipe closes or its parent changes, so that nothing is committed for a
server that is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec

from runyard.core.actions import Copy, Delete, Export, Load, Materialize, Truncate
from runyard.warehouse import holder
from runyard.warehouse.protocol import (
    CreateView,
    DropTable,
    DropView,
    Failed,
    PartitionTable,
    Ready,
    Serve,
    Stop,
    Work,
    decode_to_process,
    frame,
    frames,
)
from runyard.warehouse.settings import Settings

_PARENT_SECONDS = 0.25


def main(argument: str) -> None:
    """Serves until EOF. The argument is `Settings` as JSON."""
    settings = msgspec.json.decode(argument, type=Settings)
    pipe = socket.socket(fileno=settings.control_fd)
    os.set_inheritable(settings.control_fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(settings.parent,), daemon=True).start()
    path = Path(settings.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = holder.take(path)
        _serve(settings, pipe, path)
    except Exception as error:
        _say_failed(pipe, error)
        sys.exit(1)
    os.close(lock)


def _serve(settings: Settings, pipe: socket.socket, path: Path) -> None:
    # Imported late: the lock is taken first, so that an old holder ends while these load.
    from runyard.warehouse.answers import Answers
    from runyard.warehouse.arrow import Programs
    from runyard.warehouse.changes import Copier, Deleter, Truncater
    from runyard.warehouse.database import Database
    from runyard.warehouse.definer import Definer
    from runyard.warehouse.downloads import Downloads
    from runyard.warehouse.effects import Effects
    from runyard.warehouse.export import Exporter
    from runyard.warehouse.kinds import Kind
    from runyard.warehouse.load import Loader
    from runyard.warehouse.locks import WriterLocks
    from runyard.warehouse.materialize import Materializer
    from runyard.warehouse.outbox import Outbox
    from runyard.warehouse.reads import Reads
    from runyard.warehouse.runner import Runner
    from runyard.warehouse.views import Views

    limits = {"memory_limit": settings.memory_limit, "disk_limit": settings.disk_limit}
    database = Database(path, threads=settings.threads, **limits)
    outbox, locks, views = Outbox(pipe), WriterLocks(), Views()
    views.open(database.cursor())
    for view in views.all():
        locks.lead(view.source, view.target)
    effects, reads, downloads = Effects(views), Reads(database.cursor), Downloads()
    loader = Loader(effects, database.spool, settings, downloads)
    exporter = Exporter(effects, database.spool, settings, downloads)
    kinds: dict[type, Kind] = {
        Load: loader,
        Copy: Copier(effects),
        Truncate: Truncater(effects),
        Delete: Deleter(effects, reads),
        Export: exporter,
        Materialize: Materializer(effects, views),
    }
    attempts = Path(settings.attempts)
    runner = Runner(database, outbox, kinds, effects, reads, locks, threads=settings.capacity, attempts=attempts)
    answers = Answers(database, outbox, views, reads, attempts)
    definer = Definer(database, outbox, locks, views)
    outbox.send(Ready(os.getpid()))
    for body in frames(pipe):
        message = decode_to_process(body)
        match message:
            case Serve():
                loader.service = exporter.service = message.s3
                Programs(database, locks, effects, reads, Path(message.socket), message.key)
            case Work():
                runner.accept(message.assignments)
            case Stop():
                runner.stop(message)
            case CreateView() | DropView() | DropTable() | PartitionTable():
                definer.accept(message)
            case _:
                answers.ask(message)
    os._exit(0)


def _end_with_parent(parent: int) -> None:
    """A child of the server may hold the pipe's other end open; the parent's pid tells the truth."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(0)


def _say_failed(pipe: socket.socket, error: Exception) -> None:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    pipe.sendall(frame(Failed(f"The warehouse cannot open its database: {line}")))


if __name__ == "__main__":
    main(sys.argv[1])
