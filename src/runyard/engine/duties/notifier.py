"""Delivers messages: at least once, with back-off, given up after a day of trying."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from runyard.engine.ledger import Ledger
from runyard.engine.writer import Writer
from runyard.store.base import Delivery, Reads

MAX_ATTEMPTS = 12
FIRST_DELAY_MS = 1_000
MAX_DELAY_MS = 3 * 3600 * 1000
SENDERS = 4
log = logging.getLogger("runyard.engine")

Post = Callable[[Delivery], str]
"""Sends one message; answers "" or one sentence that says why it did not arrive. May block; runs in a thread."""


class Notifier:
    """Sends what is due, a few messages at a time."""

    def __init__(self, writer: Writer, post: Post) -> None:
        self._writer = writer
        self._post = post
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="notify")
        self._sending: set[int] = set()

    def look(self, reads: Reads, now: int) -> None:
        """Sends what is due now."""
        for delivery in reads.deliveries(now):
            if delivery.id in self._sending:
                continue
            self._sending.add(delivery.id)
            if needed(reads, delivery):
                self._senders.submit(self._send, delivery)
            else:
                self._settle(msgspec.structs.replace(delivery, attempts=MAX_ATTEMPTS), "It ended in time.")

    def _send(self, delivery: Delivery) -> None:
        try:
            trouble = self._post(delivery)
        except Exception as error:  # a defect: tried again like a receiver that is down
            log.exception("message %s could not be sent", delivery.id)
            trouble = f"The message could not be sent: {error}"
        self._settle(delivery, trouble)

    def _settle(self, delivery: Delivery, trouble: str) -> None:
        self._writer.post(lambda ledger: self._settled(ledger, delivery, trouble), lambda _: self._later(delivery))

    def _settled(self, ledger: Ledger, delivery: Delivery, trouble: str) -> None:
        settle(ledger, delivery, trouble)
        self._sending.discard(delivery.id)

    def _later(self, delivery: Delivery) -> None:
        log.warning("what became of message %s could not be kept: it is sent again", delivery.id)
        self._sending.discard(delivery.id)

    def close(self) -> None:
        """Lets what is under way end by itself."""
        self._senders.shutdown(wait=False, cancel_futures=True)


def needed(reads: Reads, delivery: Delivery) -> bool:
    """Whether a message that was owed in advance is still true: what it warns of has not ended before."""
    if not delivery.event.endswith(".duration"):
        return True
    told = msgspec.json.decode(delivery.body)
    run = reads.run(delivery.run_id)
    if run is None or run.ended_at is not None or run.round != told["run"]["round"]:
        return False
    task_run = reads.task_run(told["task_run"]["id"]) if "task_run" in told else None
    return task_run is None or task_run.ended_at is None


def settle(ledger: Ledger, delivery: Delivery, trouble: str) -> None:
    """Records what came of one try, and when the next one is."""
    attempts = delivery.attempts + 1
    again = bool(trouble) and attempts < MAX_ATTEMPTS
    delay = min(FIRST_DELAY_MS * 3**delivery.attempts, MAX_DELAY_MS) if again else 0
    due = ledger.now() + delay if again else None
    ledger.session.put(msgspec.structs.replace(delivery, attempts=attempts, due_at=due, error=trouble))
