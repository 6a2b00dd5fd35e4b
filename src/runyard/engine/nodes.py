"""This process among those that share a store: its lease, its part as leader, and what the others tell.

One thread renews the lease and listens; everything else happens on the engine's own thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from runyard.core.errors import RunyardError
from runyard.engine.shared import Notice, decode_notice
from runyard.store.base import Membership, SharedStore

log = logging.getLogger("runyard.node")

LEASE_SECONDS = 9.0
BEAT_SECONDS = 1.0
"""How often the lease is renewed, and how often everything is looked at whether or not somebody told of it."""
MARGIN = 2 / 9
"""The part of its lease by which a process ends its work earlier: what is started elsewhere then never overlaps it."""


class Beat:
    """What one renewal of the lease tells the engine."""

    __slots__ = ("expired", "term", "until")

    def __init__(self, until: float, term: int | None, expired: list[tuple[str, int]]) -> None:
        self.until = until
        """Until when work may go on, by the clock that also counts while the machine sleeps (CLOCK_BOOTTIME)."""
        self.term = term
        """The term in which this node leads; None while another one does."""
        self.expired = expired


class Node:
    """The thread that keeps the lease. It calls back on itself: the engine moves each call to its own thread,
    but for `each_beat`, which is for what may wait for the store."""

    def __init__(
        self,
        store: SharedStore,
        name: str,
        *,
        each_beat: Callable[[], None],
        on_beat: Callable[[Beat], None],
        on_notice: Callable[[Notice], None],
        on_loss: Callable[[Membership], None],
        lease: float = LEASE_SECONDS,
        may_lead: bool = True,
    ) -> None:
        self._store = store
        self.name = name
        self._lease = lease
        self._may_lead = may_lead
        self._each_beat = each_beat
        self._on_beat, self._on_notice, self._on_loss = on_beat, on_notice, on_loss
        begun = boottime()
        self.membership: Membership = store.join(name, lease)
        self.until = begun + lease * (1 - MARGIN)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="node", daemon=True)

    def start(self) -> None:
        """Begins to renew and to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and gives the lease back."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self.membership.leave()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self.beat()
                self._each_beat()
                self._listen(time.monotonic() + BEAT_SECONDS)
            except RunyardError as error:
                log.warning("the store does not answer, the lease is not renewed: %s", error)
                self._stopping.wait(BEAT_SECONDS / 2)
            except Exception:
                log.exception("the node's thread met an error, and goes on")
                self._stopping.wait(BEAT_SECONDS)

    def beat(self) -> None:
        """Renews the lease, leads if nobody else does, and tells of it."""
        sent = boottime()  # before it is sent: the store counts from later
        if not self.membership.renew():
            log.warning("the lease of %s was taken away: its work is given up, and it begins anew", self.name)
            self.membership.leave()
            sent, self.membership = boottime(), self._store.join(self.name, self._lease)
            self._on_loss(self.membership)
        self.until = sent + self._lease * (1 - MARGIN)
        term = self.membership.lead() if self._may_lead else None
        expired = self.membership.expired() if term is not None else []
        self._on_beat(Beat(self.until, term, expired))

    def _listen(self, until: float) -> None:
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            for text in self.membership.wait(left):
                notice = decode_notice(text)
                if notice.node != self.name:
                    self._on_notice(notice)


def boottime() -> float:
    """Seconds of the clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
