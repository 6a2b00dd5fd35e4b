"""What a job has already processed: read when work is claimed, kept with its success, in one transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.attempts import Outcome
from runyard.core.errors import conflict
from runyard.core.model import Bookmark, Run
from runyard.core.states import Reason
from runyard.engine.ledger import Ledger


def key_of(run: Run) -> str:
    """The bookmark's key: the job's id, or the name of a one-time run."""
    return str(run.job_id) if run.job_id is not None else run.name


def put(
    ledger: Ledger, key: str, state: dict[str, Any], run_id: int, attempt: int, expect: int | None = None
) -> Bookmark:
    """A new version; conflict if the present one is not `expect`."""
    ledger.lock("bookmark", key)
    newest = ledger.session.bookmark(key, None)
    version = newest.version if newest else 0
    if expect is not None and expect != version:
        raise conflict(f"The bookmark {key!r} is at version {version}, not {expect}.", version=version)
    one = Bookmark(
        job_key=key, version=version + 1, run_id=run_id, attempt=attempt, state=state, created_at=ledger.now()
    )
    ledger.session.put(one)
    return one


def checked(ledger: Ledger, run_id: int, outcome: Outcome) -> Outcome:
    """The outcome, or a failure when another run moved the bookmark that this one would move."""
    if outcome.bookmark is None or outcome.result != "succeeded":
        return outcome
    key = key_of(ledger.snapshot(run_id).run)
    ledger.lock("bookmark", key)
    newest = ledger.session.bookmark(key, None)
    if (newest.version if newest else 0) == outcome.bookmark_version:
        return outcome
    detail = "Another run of the job moved its bookmark meanwhile; this attempt's was not kept."
    return msgspec.structs.replace(outcome, result="failed", reason=Reason.BOOKMARK, detail=detail, bookmark=None)
