"""The engine as a whole: built from a store and executors, started, driven, drained.

`Engine` owns the order of things: what is committed is announced, stopped and started in that order, and
nothing is started or answered before it is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runyard.core.attempts import Finished, Report
from runyard.core.ids import IdSource
from runyard.core.query import RunFilter
from runyard.engine import firings
from runyard.engine.bus import Bus
from runyard.engine.clock import Clock, SystemClock
from runyard.engine.data import Data, Tables
from runyard.engine.documents import Documents
from runyard.engine.duties import firer, notifier, pruner, scheduler, timers
from runyard.engine.duties.apart import Apart
from runyard.engine.ledger import LIVE, MAX_SPAWNED, Ledger, look
from runyard.engine.registry import Registry
from runyard.engine.runs import Runs
from runyard.engine.schedules import Schedules
from runyard.engine.triggers import Triggers
from runyard.engine.uploads import Uploads
from runyard.engine.worker import Worker
from runyard.engine.writer import Batch, InlineWriter, LoopWriter, Transactions, Writer
from runyard.executors.base import Executor
from runyard.store.base import Delivery, Store

log = logging.getLogger("runyard.engine")

TICK_SECONDS = 0.2
RETRY_SECONDS = 0.5
"""How long a report waits when it could not be stored (a full disk): it is kept until it can."""
PRUNE_EVERY_SECONDS = 60.0


class Engine:
    """Facades (`runs`, `registry`, `schedules`, `triggers`, `documents`, `data`) and the machinery behind them."""

    def __init__(
        self,
        store: Store,
        executors: Sequence[Executor],
        *,
        clock: Clock | None = None,
        worker_name: str = "local",
        grace: float = 5.0,
        tables: Tables | None = None,
        uploads: Uploads | None = None,
        keep_days: float | None = None,
        post: notifier.Post | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.bus = Bus()
        self.worker = Worker(worker_name, executors, grace=grace)
        self.ledger = Ledger(store.writer, self.clock, IdSource(store.last_id))
        self.transactions = Transactions(self.ledger, self.worker.claim, self._announce, self._give_back)
        self._loop = loop
        self.writer: Writer = LoopWriter(self.transactions, loop) if loop else InlineWriter(self.transactions)
        self.runs = Runs(store, self.writer, self.worker, self.bus)
        self.registry = Registry(store, self.writer, self.worker, self.clock)
        self.documents = Documents(store, self.writer)
        self.schedules = Schedules(store, self.writer, self.clock)
        self.triggers = Triggers(store, self.writer, self.clock)
        self.ledger.on_end = firings.run_ended
        self._apart: list[Apart[Any]] = [
            Apart(self.writer, "timer", timers.find, timers.handle, trouble_ms=0),
            Apart(self.writer, "schedule of job", scheduler.find, scheduler.fire, scheduler.set_back),
            Apart(self.writer, "trigger", firer.find, firer.fire, firer.set_back),
        ]
        self.data = Data(tables, uploads)
        self._keep_days = keep_days
        self._post = post
        self._senders = ThreadPoolExecutor(4, thread_name_prefix="notify") if post else None
        self._sending: set[int] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._next_prune = 0
        self.started_at = self.clock.now()

    # --- life ---

    def start(self) -> None:
        """Opens the executors, takes up what a former server left, and begins to claim."""
        self.registry.open()
        for executor in self.worker.executors.values():
            executor.open(self.report)
        with self.store.reading() as reads:
            held = [(claim.held, claim.executor) for claim in reads.held()]
            for claim in held:
                where = RunFilter(parent_task_run_id=claim[0].task_run_id, states=LIVE)
                for _ in reads.runs(where, MAX_SPAWNED, None):
                    self.ledger.lent[claim[0].task_run_id] = self.ledger.lent.get(claim[0].task_run_id, 0) + 1
        lost = self.worker.recover(held, self.clock.now())
        self.report(lost)
        self.writer.post(look)
        if self._loop is not None:
            self._schedule_tick()

    def stop_claims(self) -> None:
        """From now on nothing new is started; what runs goes on."""
        self.worker.draining = True

    async def drain(self, grace: float) -> None:
        """No new claims; what runs may end within `grace` seconds, then is stopped and requeued."""
        self.stop_claims()
        await self._until_idle(grace)
        if self.worker.held:
            self.worker.release_all(self.worker.grace)
            await self._until_idle(self.worker.grace + 5)
        if self._ticker is not None:
            self._ticker.cancel()
        for executor in self.worker.executors.values():
            executor.close(0.0)
        await self.writer.close()
        if self._senders is not None:
            self._senders.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    async def _until_idle(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while self.worker.held and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)

    # --- reports ---

    def report(self, reports: Sequence[Report]) -> None:
        """The executors' sink: from any thread."""
        if not reports:
            return
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._record, reports)
        else:
            self._record(reports)

    def _record(self, reports: Sequence[Report]) -> None:
        touched = self.worker.touched_by(reports)
        record = self.worker.recorder(reports)

        def again(error: BaseException) -> None:
            log.warning("a report could not be stored, it is kept and tried again: %s", error)
            if self._loop is not None:
                self._loop.call_later(RETRY_SECONDS, self.writer.post, record, again)

        if any(isinstance(one, Finished) for one in reports) or not touched:
            self.writer.post(record, again)
        self.bus.tell(touched)

    # --- after a commit ---

    def _announce(self, batch: Batch) -> None:
        for stop in batch.effects.stops:
            self.worker.stop(stop)
        if batch.claims is not None:
            self.worker.start(batch.claims)
        for run_id in batch.effects.deleted:
            for executor in self.worker.executors.values():
                executor.forget(run_id)
        self.bus.tell(batch.effects.touched)

    def _give_back(self, claims: Any) -> None:
        self.worker.give_back(claims)

    # --- duties ---

    def _schedule_tick(self) -> None:
        assert self._loop is not None
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        try:
            self.tick()
        except Exception:
            log.exception("a duty failed; it is tried again at the next tick")
        self._schedule_tick()

    def tick(self) -> None:
        """Looks at the timers, and does what is due."""
        now = self.clock.now()
        with self.store.reading() as reads:
            due = [(kind, kind.find(reads, now)) for kind in self._apart]
            owed = reads.deliveries(now) if self._post is not None else []
        for kind, keys in due:
            kind.handle(keys, now)
        if self._post is not None:
            self._send(owed, self._post)
        if self._keep_days is not None and now >= self._next_prune:
            self._next_prune = now + round(PRUNE_EVERY_SECONDS * 1000)
            keep = self._keep_days
            self.writer.post(lambda ledger: self._prune(ledger, keep), self._duty_failed)

    def _duty_failed(self, error: BaseException) -> None:
        log.warning("a duty could not be carried out, it is tried again: %s", error)

    def _prune(self, ledger: Ledger, keep_days: float) -> None:
        if pruner.prune(ledger, keep_days) == pruner.BATCH:
            self._next_prune = 0  # there is more

    def _send(self, deliveries: list[Delivery], post: notifier.Post) -> None:
        assert self._senders is not None
        for delivery in deliveries:
            if delivery.id not in self._sending:
                self._sending.add(delivery.id)
                self._senders.submit(self._send_one, delivery, post)

    def _send_one(self, delivery: Delivery, post: notifier.Post) -> None:
        trouble = post(delivery)
        self.writer.post(lambda ledger: self._sent(ledger, delivery, trouble), self._duty_failed)

    def _sent(self, ledger: Ledger, delivery: Delivery, trouble: str) -> None:
        notifier.settle(ledger, delivery, trouble)
        self._sending.discard(delivery.id)

    # --- what it says of itself ---

    def info(self) -> dict[str, Any]:
        """Facts for operators: workers, queues' load, group commits."""
        with self.store.reading() as reads:
            live = reads.live_by_state()
        workers = [
            {
                "name": self.worker.name,
                "executor": executor.name,
                "capacity": executor.capacity,
                "active": sum(name == executor.name for _, name in self.worker.held.values()),
                "trouble": executor.healthy(),
            }
            for executor in self.worker.executors.values()
        ]
        return {
            "store": self.store.name,
            "started_at": self.started_at,
            "live_runs": live,
            "workers": workers,
            "draining": self.worker.draining,
            "commits": self.transactions.commits,
            "commands": self.transactions.commands,
        }
