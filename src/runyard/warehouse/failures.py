"""How loads and exports fail."""

from __future__ import annotations


class NotFound(Exception):
    """What was asked about is not there."""


class LoadFailed(Exception):
    """A load or export that cannot be done; nothing was changed. `retry` false: trying again cannot help."""

    def __init__(self, sentence: str, *, retry: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry
