"""Bodies that callers send to be loaded: kept as files until their load is done, a day at most."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from runyard.core.errors import Code, RunyardError

KEPT_SECONDS = 24 * 3600.0
_SWEEP_SECONDS = 600.0
_PIECE = 1 << 20


class Upload(msgspec.Struct, frozen=True):
    """One body on disk. A load takes it by its `source`; `size` is in bytes."""

    id: str
    size: int

    @property
    def source(self) -> str:
        """What a load names as its source."""
        return f"upload:{self.id}"


class Uploads:
    """The folder of uploads. A load removes its own when it has committed; what is left goes after a day."""

    def __init__(self, folder: Path, cap: int) -> None:
        """`cap` is the largest upload, in bytes."""
        self._folder, self._cap = folder, cap
        self._next_sweep = 0.0

    async def take(self, pieces: AsyncIterator[bytes]) -> Upload:
        """Writes a body and syncs it to the disk; raises too_large, storage_full, or what `pieces` raises."""
        self._sweep()
        name = secrets.token_hex(16)
        path = self._folder / name
        loop = asyncio.get_running_loop()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            size = 0
            with path.open("xb", buffering=_PIECE) as file:
                async for piece in pieces:
                    size += len(piece)
                    if size > self._cap:
                        raise _too_large(self._cap)
                    await loop.run_in_executor(None, file.write, piece)
                file.flush()
                await loop.run_in_executor(None, os.fsync, file.fileno())
            await loop.run_in_executor(None, _sync, self._folder)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise RunyardError(Code.STORAGE_FULL, "The disk is full: the upload was not kept.") from error
            raise
        return Upload(name, size)

    def remove(self, upload: Upload) -> None:
        """Forgets an upload that nobody will load."""
        (self._folder / upload.id).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Removes what is older than a day, now and then."""
        if time.monotonic() < self._next_sweep or not self._folder.is_dir():
            return
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS
        oldest = time.time() - KEPT_SECONDS
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _sync(folder: Path) -> None:
    """A new file's name is on the disk, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _too_large(cap: int) -> RunyardError:
    message = f"The upload has more than {cap} bytes. Send less, or raise the setting upload_cap."
    return RunyardError(Code.TOO_LARGE, message, limit=cap)
