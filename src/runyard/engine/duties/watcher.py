"""File triggers: folders are looked at when the system tells of a change there, URLs every so often."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from runyard.core.triggers import FileArrival, Trigger, TriggerFilter
from runyard.engine import arrivals
from runyard.engine.folders import Arrived, Folders, Gone, is_url
from runyard.engine.ledger import Ledger
from runyard.engine.writer import Writer
from runyard.store.base import Reads

log = logging.getLogger("runyard.engine")

LOOK_MS = 1_000
"""How often the triggers themselves are read."""
MAX_TRIGGERS = 1_000
LOOKERS = 2


class Watcher:
    """Looks for files on threads of its own, and records what they find by commands."""

    def __init__(self, writer: Writer, folders: Folders, poll_seconds: float) -> None:
        self._writer = writer
        self._folders = folders
        self._poll_ms = round(poll_seconds * 1000)
        self._lookers = ThreadPoolExecutor(LOOKERS, thread_name_prefix="watch")
        self._next_look = 0
        self._due: dict[int, int] = {}
        """When a trigger is looked at next, told or not."""
        self._looking: set[int] = set()
        self._ears: dict[str, Ear] = {}

    def look(self, reads: Reads, now: int) -> None:
        """Starts the looks that are due."""
        if now < self._next_look:
            return
        self._next_look = now + LOOK_MS
        triggers = reads.triggers(TriggerFilter(kind="file_arrival", active=True), MAX_TRIGGERS, None)
        self._listen({one.spec.source.location for one in triggers if isinstance(one.spec.source, FileArrival)})
        self._due = {one.id: self._due.get(one.id, 0) for one in triggers}
        for one in triggers:
            ear = self._ears.get(_source(one).location)
            told = ear is not None and ear.told(one.id)
            if one.id not in self._looking and (told or now >= self._due[one.id]):
                self._due[one.id] = now + self._poll_ms
                self._looking.add(one.id)
                self._lookers.submit(self._look, one)

    def _listen(self, locations: set[str]) -> None:
        folders = {one for one in locations if not is_url(one)}
        for gone in self._ears.keys() - folders:
            self._ears.pop(gone).close()
        for fresh in folders - self._ears.keys():
            self._ears[fresh] = Ear(fresh)

    def _look(self, trigger: Trigger) -> None:
        try:
            found = self._folders.look(_source(trigger), trigger.memory, trigger.anchor_at)
        except Gone as error:
            said = str(error)
            self._post(trigger, lambda ledger: self._paused(ledger, trigger, said))
        except Exception as error:  # trouble that may pass, or a defect: the next look tells
            log.warning("trigger %s could not be looked at: %s", trigger.id, error)
            self._post(trigger, lambda ledger: self._done(trigger))
        else:
            self._post(trigger, lambda ledger: self._found(ledger, trigger, found))

    def _post(self, trigger: Trigger, command: Callable[[Ledger], None]) -> None:
        self._writer.post(command, lambda error: self._done(trigger))

    def _done(self, trigger: Trigger) -> None:
        self._looking.discard(trigger.id)

    def _paused(self, ledger: Ledger, trigger: Trigger, why: str) -> None:
        self._done(trigger)
        ledger.lock("trigger", trigger.id)
        kept = ledger.session.trigger(trigger.id)
        if kept is not None and kept.active and kept.version == trigger.version:
            ledger.session.put(replace(kept, active=False, detail=why, next_at=None))

    def _found(self, ledger: Ledger, trigger: Trigger, found: Arrived) -> None:
        self._done(trigger)
        ledger.lock("trigger", trigger.id)
        kept = ledger.session.trigger(trigger.id)
        # Another server, or a pause, came between: the next look begins from what is kept then.
        if kept is None or not kept.active or _marks(kept) != _marks(trigger):
            return
        if found.names:
            arrivals.files(ledger, kept, _source(kept), found.names, found.memory)
        elif {**kept.memory, **found.memory} != kept.memory:
            ledger.session.put(replace(kept, memory={**kept.memory, **found.memory}))

    def close(self) -> None:
        """Stops listening; looks that are under way end by themselves."""
        for ear in self._ears.values():
            ear.close()
        self._lookers.shutdown(wait=False, cancel_futures=True)


class Ear:
    """Hears from the system that something changed below a folder. It says only that, so nothing is lost with it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._closed = threading.Event()
        self._count = 0
        self._heard: dict[int, int] = {}
        threading.Thread(target=self._listen, name="hear", daemon=True).start()

    def _listen(self) -> None:
        import watchfiles  # heavy, and needed by few

        try:
            for _ in watchfiles.watch(
                self._folder, watch_filter=None, stop_event=self._closed, rust_timeout=500, raise_interrupt=False
            ):
                self._count += 1
        except (OSError, RuntimeError) as error:  # the folder is gone, or there are no more watches: polling goes on
            log.warning("changes below %s are not told by the system: %s", self._folder, error)

    def told(self, trigger_id: int) -> bool:
        """Whether something changed since this trigger asked last."""
        count, before = self._count, self._heard.get(trigger_id, 0)
        self._heard[trigger_id] = count
        return count != before

    def close(self) -> None:
        """Ends its thread."""
        self._closed.set()


def _source(trigger: Trigger) -> FileArrival:
    source = trigger.spec.source
    assert isinstance(source, FileArrival)  # by the filter of `look`
    return source


def _marks(trigger: Trigger) -> tuple[object, ...]:
    names = ("mark", "at_mark", "tag")
    return (trigger.version, trigger.started_at, *(trigger.memory.get(name) for name in names))
