"""How loads and exports fail."""

from __future__ import annotations

import errno
import os

from runyard.warehouse.refused import Refused


class NotFound(Refused):
    """What was asked about is not there."""


class LoadFailed(Exception):
    """A load or export that cannot be done; nothing was changed. `retry` false: trying again cannot help."""

    def __init__(self, sentence: str, *, retry: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry


def is_full(error: BaseException) -> bool:
    """Whether a file system had no room, as the system, DuckDB or Arrow say it."""
    return os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error)
