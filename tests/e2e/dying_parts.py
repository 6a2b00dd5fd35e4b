"""`runyard up` whose parts die: launchers, the processes of the work, the fork server, the warehouse, the downloader.

`python -m tests.e2e.dying_parts FOLDER up ...` starts a server. Whoever comes to a point that a file in the folder is
named for (`launcher._keep.before`) takes the file away and kills itself with SIGKILL: one file is one death. A file
whose name ends with `~` lets one pass before; at one that ends with `!` the process does not die, but stands still.
The functions are wrapped here, in the part's own process; nothing of this is in the product.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).parents[2])
STEPS: dict[str, dict[str, tuple[str, ...]]] = {
    "forkserver": {"runyard.work.forkserver": ("_fork",)},
    "launcher": {
        "runyard.work.launcher": ("_spare", "_order", "_claim", "_clear"),
        "fcntl": ("flock",),
        "runyard.work.spare:Spare": ("alive", "tell"),
        "runyard.work.attempt:Attempt": ("__init__", "start", "_send", "_drain", "_keep", "run", "close", "_stop"),
        "runyard.work.tree": ("tell", "end", "kill"),
        "os": ("rename",),
        "runyard.work.launcher:Launcher": ("serve",),
    },
    "child": {
        "runyard.work.child": ("_streams", "_told", "_work", "_limits", "_command", "_exec"),
        "runyard.work.prepare": ("prepared",),
        "runyard.work.python": ("keep_source", "run_here"),
    },
    "warehouse": {
        "runyard.warehouse.holder": ("take",),
        "runyard.warehouse.database:Database": ("__init__",),
        "runyard.warehouse.runner:Runner": ("accept", "_hold", "_prepare", "_started", "_finish"),
        "runyard.warehouse.locks:WriterLocks": ("take", "give_back"),
        "runyard.warehouse.seat:Seat": ("take", "leave"),
        "runyard.warehouse.effects:Effects": ("_try",),
        "runyard.warehouse.effects": ("find", "_keep", "_commit"),
        "runyard.warehouse.sql": ("_statements",),
        "runyard.warehouse.views:Views": ("follow",),
        "runyard.warehouse.load:Loader": ("_source", "_load"),
        "runyard.warehouse.coming:Coming": ("finish",),
        "runyard.warehouse.export": ("_write",),
        "runyard.warehouse.export:Place": ("put",),
        "shutil": ("copyfile",),
        "runyard.warehouse.outbox:Outbox": ("_write",),
        "runyard.warehouse.tasks:Task": ("stop",),
    },
    "download": {
        "os": ("fork",),
        "runyard.warehouse.downloads": ("_own",),
        "runyard.warehouse.download:Download": ("run", "_ask", "_take", "_place", "_check"),
        "runyard.warehouse.download": ("say",),
    },
}
"""By part: the steps of its life, as functions by where they are kept."""
ENDLESS = {"child._exec.after", "download._own.after"}
"""Nobody comes back from these."""
PARTS: dict[str, tuple[str, ...]] = {
    "runyard.work.forkserver": ("forkserver", "launcher", "child"),
    "runyard.warehouse.process": ("warehouse",),
    "runyard.warehouse.downloads": ("download",),
}
"""What is started as a process, and the parts that it is, or that are forked from it."""
_rename, _unlink = os.rename, os.unlink


def steps(part: str) -> list[tuple[str, str, str]]:
    """Where each step of a part is kept, its name there, and its name among the points."""
    found = []
    for place, names in STEPS[part].items():
        for name in names:
            owner = place.rpartition(":")[2].rpartition(".")[2]
            twice = sum(name in others for others in STEPS[part].values()) > 1
            found.append((place, name, f"{part}.{owner}.{name}" if twice else f"{part}.{name}"))
    return found


def points(part: str) -> list[str]:
    """Before and after each step."""
    return [
        point for _, _, step in steps(part) for point in (f"{step}.before", f"{step}.after") if point not in ENDLESS
    ]


def arm(part: str, folder: str) -> None:
    """From now on whoever comes to a point looks for its file."""
    for place, name, step in steps(part):
        module, _, inner = place.partition(":")
        owner = importlib.import_module(module)
        _wrap(getattr(owner, inner) if inner else owner, name, f"{folder}/{step}")


def _wrap(owner: Any, name: str, file: str) -> None:
    wrapped: Callable[..., Any] = getattr(owner, name)

    def deadly(*arguments: Any, **named: Any) -> Any:
        _die(f"{file}.before")
        answer = wrapped(*arguments, **named)
        _die(f"{file}.after")
        return answer

    setattr(owner, name, deadly)


def _die(file: str) -> None:
    try:
        _rename(f"{file}~", file)
    except OSError:
        for end, word in (("", signal.SIGKILL), ("!", signal.SIGSTOP)):
            try:
                _unlink(file + end)
            except OSError:
                continue
            os.kill(os.getpid(), word)
            time.sleep(3600)  # a stop comes a moment later than the call that asks for it


def diverted(folder: str) -> type[subprocess.Popen[bytes]]:
    """Starts processes as ever, but the parts through this module."""

    class Diverted(subprocess.Popen):  # type: ignore[type-arg]  # of whatever it is asked for
        def __init__(self, command: Any, *arguments: Any, **named: Any) -> None:
            place = command.index("-m") + 1 if "-m" in command else 0
            if place and command[place] in PARTS:
                command = [*command[:place], "tests.e2e.dying_parts", folder, *command[place:]]
                given = named.get("env") or dict(os.environ)
                named["env"] = given | {"PYTHONPATH": os.pathsep.join([given.get("PYTHONPATH", ""), ROOT])}
            super().__init__(command, *arguments, **named)

    return Diverted


def main() -> None:
    """A server, or a part of one."""
    folder = sys.argv.pop(1)
    subprocess.Popen = diverted(folder)  # type: ignore[misc, assignment]  # it starts the same
    if sys.argv[1] not in PARTS:
        from runyard.cli import main as runyard

        sys.exit(runyard())
    module, argument = sys.argv[1:]
    for part in PARTS[module]:
        arm(part, folder)
    entered = importlib.import_module(module)
    if hasattr(entered, "serve"):
        entered.serve(socket.socket(fileno=int(argument)))
    else:
        entered.main(argument)


if __name__ == "__main__":
    main()
