"""Removes old history, only where a setting asks for it: the default is to keep everything."""

from __future__ import annotations

from runyard.core.ids import first_at
from runyard.engine.ledger import Ledger

BATCH = 200
DAY_MS = 86_400_000


def prune(ledger: Ledger, keep_days: float) -> int:
    """Deletes up to a batch of the runs that ended longer ago than that, and of firings; answers how many runs."""
    moment = ledger.now() - round(keep_days * DAY_MS)
    gone = ledger.session.ended_before(moment, BATCH)
    for run_id in gone:
        ledger.delete(run_id)
    for firing in ledger.session.firings_before(first_at(moment), BATCH):
        ledger.session.delete(firing)
    return len(gone)
