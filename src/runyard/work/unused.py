"""Removes environments, wheels and mirrors that no attempt has used for long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from runyard.core.attempts import Places


def remove(places: Places, before: float) -> None:
    """Removes what was used last before that time (seconds since 1970); what somebody holds just now stays."""
    if places.environments:
        _remove_environments(Path(places.environments), before)
        for wheel in Path(places.environments, "wheels").glob("*/*"):
            if wheel.stat().st_mtime < before:
                shutil.rmtree(wheel.parent, ignore_errors=True)
    if places.checkouts:
        for mirror in Path(places.checkouts).glob("*.git"):
            with _unused(Path(f"{mirror}.lock"), before) as unused:
                if unused:
                    shutil.rmtree(mirror, ignore_errors=True)


def _remove_environments(root: Path, before: float) -> None:
    for built in root.glob("built/*"):
        key = built.name.partition("-")[0]
        with _unused(root / f"{key}.lock", before) as unused:
            if unused:
                # The link is the promise that all of it is there: it goes first.
                with contextlib.suppress(OSError):
                    if (root / key).readlink() == built:
                        (root / key).unlink()
                if built.is_symlink():
                    built.unlink()
                else:
                    shutil.rmtree(built, ignore_errors=True)


@contextlib.contextmanager
def _unused(path: Path, before: float) -> Iterator[bool]:
    """Holds the lock of something that is shared; True if nobody has it, and its last use was before that time."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield os.fstat(lock).st_mtime < before
    finally:
        os.close(lock)
