"""The engine as a whole: built from a store and executors, started, driven, drained.

`Engine` owns the order of things: what is committed is announced, stopped and started in that order, and
nothing is started or answered before it is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from runyard.core.attempts import Progress, Report
from runyard.core.errors import RunyardError
from runyard.core.ids import IdSource
from runyard.core.query import RunFilter
from runyard.engine import firings
from runyard.engine.bus import Bus
from runyard.engine.clock import Clock, SystemClock
from runyard.engine.data import Data, Tables
from runyard.engine.documents import Documents
from runyard.engine.duties import firer, notifier, pruner, scheduler, timers
from runyard.engine.duties.apart import Apart
from runyard.engine.duties.watcher import Watcher
from runyard.engine.folders import Folders
from runyard.engine.ledger import LIVE, MAX_SPAWNED, Ledger, look
from runyard.engine.nodes import LEASE_SECONDS
from runyard.engine.peers import Peers
from runyard.engine.registry import Registry
from runyard.engine.runs import Runs
from runyard.engine.schedules import Schedules
from runyard.engine.shared import (
    SharedInlineWriter,
    SharedLedger,
    SharedLoopWriter,
    SharedTransactions,
    SharedWorker,
)
from runyard.engine.triggers import Triggers
from runyard.engine.uploads import Uploads
from runyard.engine.worker import Worker
from runyard.engine.writer import Batch, InlineWriter, LoopWriter, Transactions, Writer
from runyard.executors.base import Executor
from runyard.store.base import SharedStore, Store

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
        mail: bool = False,
        folders: Folders | None = None,
        poll_seconds: float = 60.0,
        loop: asyncio.AbstractEventLoop | None = None,
        node: str | None = None,
        queues: set[str] | None = None,
        lease: float = LEASE_SECONDS,
        may_lead: bool = True,
    ) -> None:
        """Where several servers use the store, `node` is this one's name, and it works for `queues` (None: all)."""
        self.store = store
        self.clock = clock or SystemClock()
        self.bus = Bus()
        self.mail = mail
        """Whether e-mail can be sent; a definition that asks for it is refused otherwise."""
        self._loop = loop
        self.peers: Peers | None = None
        """The other servers, where there may be any."""
        if node is None:
            self.worker = Worker(worker_name, executors, grace=grace)
            self.ledger = Ledger(store.writer, self.clock, IdSource(store.last_id))
            self.transactions = Transactions(self.ledger, self.worker.claim, self._announce, self._give_back)
            self.writer: Writer = LoopWriter(self.transactions, loop) if loop else InlineWriter(self.transactions)
        else:
            self._join(node, executors, grace, queues, lease, may_lead)
        self.runs = Runs(store, self.writer, self.worker, self.bus, mail=mail)
        self.runs.elsewhere = self.peers.kept_log if self.peers is not None else None
        self.registry = Registry(store, self.writer, self.worker, self.clock, mail=mail, folders=folders)
        self.documents = Documents(store, self.writer)
        self.schedules = Schedules(store, self.writer, self.clock)
        self.triggers = Triggers(store, self.writer, self.clock, folders or Folders())
        self.ledger.on_end = firings.run_ended
        self._apart: list[Apart[Any]] = [
            Apart(self.writer, "timer", timers.find, timers.handle, may=self._may, trouble_ms=0),
            Apart(self.writer, "schedule of job", scheduler.find, scheduler.fire, scheduler.set_back, may=self._may),
            Apart(self.writer, "trigger", firer.find, firer.fire, firer.set_back, may=self._may),
        ]
        self.data = Data(tables, uploads)
        self._watcher = Watcher(self.writer, folders, poll_seconds) if folders else None
        self._keep_days = keep_days
        self._notifier = notifier.Notifier(self.writer, post) if post else None
        self._ticker: asyncio.TimerHandle | None = None
        self._reported: deque[Sequence[Report]] = deque()
        self._told = False
        """Whether the loop was asked to record what was reported."""
        self._next_prune = 0
        self.started_at = self.clock.now()

    def _join(
        self,
        name: str,
        executors: Sequence[Executor],
        grace: float,
        queues: set[str] | None,
        lease: float,
        may_lead: bool,
    ) -> None:
        store, loop = cast("SharedStore", self.store), self._loop
        worker = SharedWorker(name, executors, grace=grace, only=queues)
        ledger = SharedLedger(store.writer, self.clock)
        transactions = SharedTransactions(ledger, worker, self._announce, self._give_back)
        self.worker, self.ledger, self.transactions = worker, ledger, transactions
        self.writer = SharedLoopWriter(transactions, loop) if loop else SharedInlineWriter(transactions)
        self.peers = Peers(self, store, worker, ledger, transactions, lease, may_lead, loop)

    # --- life ---

    def start(self) -> None:
        """Opens the executors, takes up what a former server left, and begins to claim."""
        self.registry.open()
        for executor in self.worker.executors.values():
            executor.open(self.report)
        with self.store.reading() as reads:
            kept = [claim for claim in reads.held() if self.peers is None or claim.worker == self.worker.name]
            held = [(claim.held, claim.executor) for claim in kept]
            for claim in held:
                where = RunFilter(parent_task_run_id=claim[0].task_run_id, states=LIVE)
                for _ in reads.runs(where, MAX_SPAWNED, None):
                    self.ledger.lent[claim[0].task_run_id] = self.ledger.lent.get(claim[0].task_run_id, 0) + 1
        lost = self.worker.recover(held, self.clock.now())
        self.report(lost)
        self.writer.post(look)
        if self.peers is not None:
            self.peers.start()
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
        if self._notifier is not None:
            self._notifier.close()
        if self._watcher is not None:
            self._watcher.close()
        if self.peers is not None:
            self.peers.stop()
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
        if self.peers is not None:
            self.peers.before_reports(reports)
        if self._loop is None:
            return self._record(reports)
        self._reported.append(reports)
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._record_all)
        return None

    def _record_all(self) -> None:
        """What was reported while the loop was busy is one command."""
        self._told = False  # first: what is reported from here on has a call of its own
        reports: list[Report] = []
        while self._reported:
            reports += self._reported.popleft()
        if reports:
            self._record(reports)

    def _record(self, reports: Sequence[Report]) -> None:
        touched = self.worker.touched_by(reports)
        record = self.worker.recorder(reports)

        def again(error: BaseException) -> None:
            log.warning("a report could not be stored, it is kept and tried again: %s", error)
            if self._loop is not None:
                self._loop.call_later(RETRY_SECONDS, self.writer.post, record, again)

        if any(not isinstance(one, Progress) for one in reports):
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
        if self.peers is not None:
            self.peers.after_commit()

    def _give_back(self, claims: Any) -> None:
        self.worker.give_back(claims)

    # --- duties ---

    def _schedule_tick(self) -> None:
        assert self._loop is not None
        self._ticker = self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        try:
            self.tick()
        except RunyardError as error:  # the store is away or full for a while
            log.warning("duties could not be looked at, they are at the next tick: %s", error)
        except Exception:
            log.exception("a duty failed; it is tried again at the next tick")
        self._schedule_tick()

    def tick(self) -> None:
        """Looks at the timers, and does what is due; among several servers, the leader does."""
        if self.peers is not None and not self.peers.leading:
            return
        now = self.clock.now()
        with self.store.reading() as reads:
            due = [(kind, kind.find(reads, now)) for kind in self._apart]
            if self._notifier is not None:
                self._notifier.look(reads, now)
            if self._watcher is not None:
                self._watcher.look(reads, now)
        for kind, keys in due:
            kind.handle(keys, now)
        if self._keep_days is not None and now >= self._next_prune:
            self._next_prune = now + round(PRUNE_EVERY_SECONDS * 1000)
            keep = self._keep_days
            self.writer.post(lambda ledger: self._prune(ledger, keep), self._duty_failed)

    def _may(self) -> bool:
        """Whether duties are this server's to do, until the open transaction ends."""
        return self.peers is None or self.peers.leads()

    def _duty_failed(self, error: BaseException) -> None:
        log.warning("a duty could not be carried out, it is tried again: %s", error)

    def _prune(self, ledger: Ledger, keep_days: float) -> None:
        if not self._may():
            return
        if pruner.prune(ledger, keep_days) == pruner.BATCH:
            self._next_prune = 0  # there is more

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
            "nodes": self.peers.nodes() if self.peers is not None else [],
            "commits": self.transactions.commits,
            "commands": self.transactions.commands,
        }
