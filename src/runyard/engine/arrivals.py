"""What triggers remember until they fire: changes that must settle first, ends that must rest.

All of it stands in the trigger's `memory` and `next_at`, so it outlives the server; the duty fires what is due.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from runyard.core.model import Run
from runyard.core.states import State
from runyard.core.triggers import Continuous, FileArrival, TableUpdate, Trigger, cause_of, qualified
from runyard.engine.ledger import Ledger

MAX_FILES = 1000
"""How many names of files a firing keeps; more are only counted."""
FAILED = frozenset({State.FAILED, State.TIMED_OUT})


# --- changes that must settle -----------------------------------------------------------------------------


def table(ledger: Ledger, trigger: Trigger, source: TableUpdate, name: str) -> None:
    """A table that the trigger waits for was changed."""
    pending = sorted({*trigger.memory.get("tables", []), name})
    whole = source.match == "any" or set(pending) >= {qualified(one) for one in source.tables}
    memory = {**trigger.memory, "tables": pending} | _counted(ledger, trigger, source, 1)
    due = _due(ledger, trigger, source, memory) if whole else None
    ledger.session.put(replace(trigger, memory=memory, next_at=due))


def files(ledger: Ledger, trigger: Trigger, source: FileArrival, names: list[str], memory: dict[str, Any]) -> None:
    """Files are new or changed since the last look; `memory` is what the watcher wants kept with that."""
    pending = list(dict.fromkeys([*trigger.memory.get("files", []), *names]))
    count = trigger.memory.get("more", 0) + max(len(pending) - MAX_FILES, 0)
    kept = {**trigger.memory, **memory, "files": pending[:MAX_FILES]} | ({"more": count} if count else {})
    kept |= _counted(ledger, trigger, source, len(names))
    ledger.session.put(replace(trigger, memory=kept, next_at=_due(ledger, trigger, source, kept)))


def _counted(ledger: Ledger, trigger: Trigger, source: TableUpdate | FileArrival, changes: int) -> dict[str, int]:
    """How many changes wait to make a batch, and since when; nothing where they make none."""
    if not source.batch_size:
        return {}
    memory = trigger.memory
    return {"changes": memory.get("changes", 0) + changes, "since": memory.get("since", ledger.now())}


def _due(ledger: Ledger, trigger: Trigger, source: TableUpdate | FileArrival, memory: dict[str, Any]) -> int:
    settled = ledger.now() + round(source.wait_after_last_change * 1000)
    if source.batch_size and memory["changes"] < source.batch_size:
        settled = memory["since"] + round(source.batch_window * 1000)
    rested = 0 if trigger.last_at is None else trigger.last_at + round(source.min_time_between * 1000)
    return max(settled, rested)


def taken(trigger: Trigger) -> tuple[dict[str, Any], Trigger]:
    """What has settled, as a firing's data; and the trigger without it."""
    names = ("files", "more", "tables", "changes", "since")
    data = {name: trigger.memory[name] for name in names if name in trigger.memory}
    memory = {name: value for name, value in trigger.memory.items() if name not in names}
    return data, replace(trigger, memory=memory, next_at=None)


# --- jobs that are kept running ---------------------------------------------------------------------------


def rest(ledger: Ledger, trigger: Trigger, source: Continuous, run: Run) -> None:
    """A run of a job that is kept running has ended: once none is left, the next firing is due after the delay."""
    cause = cause_of(run.extras)
    firing = ledger.session.firing(cause.firing) if cause is not None and cause.id == trigger.id else None
    if firing is None or firing.number != trigger.fired:
        return
    runs = [ledger.session.run(one) for one in firing.runs]
    if any(one is not None and one.ended_at is None for one in runs):
        return
    failed = any(one is not None and one.state in FAILED for one in runs)
    ledger.session.put(rested(trigger, source, ledger.now(), failed=failed))


def under_way(ledger: Ledger, trigger: Trigger) -> bool:
    """Whether a run of the trigger's newest firing is not over."""
    newest = ledger.session.firings(trigger.id, 1, None)
    runs = [ledger.session.run(one) for firing in newest for one in firing.runs]
    return any(one is not None and one.ended_at is None for one in runs)


def rested(trigger: Trigger, source: Continuous, now: int, *, failed: bool) -> Trigger:
    """The trigger with its next firing due: after the delay, longer for each failure in a row."""
    failures = trigger.memory.get("failures", 0) + 1 if failed else 0
    delay = min(source.delay * source.backoff ** min(failures, 64), source.max_delay)
    return replace(trigger, memory={"failures": failures} if failures else {}, next_at=now + round(delay * 1000))
