"""Delivers webhook messages: at least once, with back-off, given up after a day of trying."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from runyard.engine.ledger import Ledger
from runyard.store.base import Delivery

MAX_ATTEMPTS = 12
FIRST_DELAY_MS = 1_000
MAX_DELAY_MS = 3 * 3600 * 1000

Post = Callable[[Delivery], str]
"""Sends one message; answers "" or one sentence that says why it did not arrive. May block; runs in a thread."""


def settle(ledger: Ledger, delivery: Delivery, trouble: str) -> None:
    """Records what came of one try, and when the next one is."""
    attempts = delivery.attempts + 1
    again = bool(trouble) and attempts < MAX_ATTEMPTS
    delay = min(FIRST_DELAY_MS * 3**delivery.attempts, MAX_DELAY_MS)
    due = ledger.now() + delay if again else None
    ledger.session.put(msgspec.structs.replace(delivery, attempts=attempts, due_at=due, error=trouble))
