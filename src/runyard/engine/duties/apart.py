"""Things that are due, each handled by a command of its own: one that fails neither undoes nor holds up another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from runyard.core.errors import RunyardError
from runyard.engine.ledger import Ledger
from runyard.engine.timetables import TROUBLE
from runyard.engine.writer import Writer
from runyard.store.base import Reads

log = logging.getLogger("runyard.engine")
K = TypeVar("K", bound=Hashable)

AGAIN_MS = 5_000
"""How long something rests that could not be handled."""


class Apart(Generic[K]):
    """One kind of such things. `find` reads what is due, `handle` does it in a transaction.

    After passing trouble of ours it rests `trouble_ms`. `give_up`, where there is one, is told of any other failure,
    in a transaction. `may` is asked in each transaction whether it is this server's to do.
    """

    def __init__(
        self,
        writer: Writer,
        what: str,
        find: Callable[[Reads, int, int], Iterable[K]],
        handle: Callable[[Ledger, K], object],
        give_up: Callable[[Ledger, K, str], object] | None = None,
        *,
        may: Callable[[], bool] = lambda: True,
        trouble_ms: int = AGAIN_MS,
        at_once: int = 100,
    ) -> None:
        self._writer = writer
        self._what = what
        self._find = find
        self._handle = handle
        self._give_up = give_up
        self._may = may
        self._trouble_ms = trouble_ms
        self._at_once = at_once
        self._posted: set[K] = set()
        self._rests: dict[K, int] = {}

    def find(self, reads: Reads, now: int) -> list[K]:
        """What is to be handled now."""
        found = self._find(reads, now, self._at_once + len(self._rests))
        self._rests = {key: until for key, until in self._rests.items() if until > now}
        return [key for key in found if key not in self._posted and key not in self._rests]

    def handle(self, keys: Iterable[K], now: int) -> None:
        """Queues one command each."""
        for key in keys:
            self._posted.add(key)
            self._post(key, now)

    def _post(self, key: K, now: int) -> None:
        self._writer.post(lambda ledger: self._one(ledger, key), lambda error: self._failed(key, now, error))

    def _one(self, ledger: Ledger, key: K) -> None:
        self._posted.discard(key)
        if self._may():
            self._handle(ledger, key)

    def _failed(self, key: K, now: int, error: BaseException) -> None:
        self._posted.discard(key)
        passing = isinstance(error, RunyardError) and error.code in TROUBLE
        self._rests[key] = now + (self._trouble_ms if passing else AGAIN_MS)
        log.warning("the %s %s could not be handled: %s", self._what, key, error)
        give_up = self._give_up
        if give_up is not None and not passing:
            self._writer.post(lambda ledger: give_up(ledger, key, f"{error}"), lambda again: None)
