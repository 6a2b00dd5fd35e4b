"""The engine's side of a store that several servers use: what is done at each beat, at each notice, and as leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from runyard.core.attempts import Finished, Report
from runyard.engine.ledger import Ledger
from runyard.engine.logs import LogCarrier
from runyard.engine.nodes import Beat, Node
from runyard.engine.shared import Notice, SharedLedger, SharedTransactions, SharedWorker, give_back_unknown, reap
from runyard.store.base import Membership, SharedStore

if TYPE_CHECKING:
    from runyard.engine.engine import Engine

log = logging.getLogger("runyard.node")

PROCESS = "process"
AGAIN_SECONDS = 0.01
"""When work that another server was at is looked at again."""


class Peers:
    """What this server does because there may be others."""

    def __init__(
        self,
        engine: Engine,
        store: SharedStore,
        worker: SharedWorker,
        ledger: SharedLedger,
        transactions: SharedTransactions,
        lease: float,
        may_lead: bool,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._worker = worker
        self._ledger = ledger
        self._transactions = transactions
        self._loop = loop
        self._term: int | None = None
        self._looking = False
        self._logs = LogCarrier(self._read_log, self.kept_log, store.keep_log)
        self.node = Node(
            store,
            worker.name,
            lease=lease,
            may_lead=may_lead,
            each_beat=self._follow_logs,
            on_beat=lambda beat: self._call(self._beat, beat),
            on_notice=lambda notice: self._call(self._notice, notice),
            on_loss=lambda membership: self._call(self._lost, membership),
        )
        ledger.join(self.node.membership)

    def start(self) -> None:
        """Begins to renew the lease and to listen. Without a loop, whoever drives the engine calls `beat`."""
        for executor in self._worker.executors.values():
            executor.extend(self.node.until)
        if self._loop is not None:
            self.node.start()

    def stop(self) -> None:
        """Gives the lease back."""
        self.node.stop()

    def _call(self, function: Callable[[Any], None], value: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._safely, function, value)
        else:
            function(value)

    def _safely(self, function: Callable[[Any], None], value: Any) -> None:
        try:
            function(value)
        except Exception as error:  # the store may be away for a while: the next beat looks at everything again
            log.warning("the other servers could not be followed, it is tried again: %s", error)

    # --- logs ---

    def kept_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """Of an attempt that ran on another server: what was brought to the store."""
        with self._store.reading() as reads:
            return reads.log(run_id, task_run_id, start, end)

    def _read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        executor = self._worker.executors.get(PROCESS)
        return executor.read_log(run_id, task_run_id, start, end) if executor is not None else (b"", 0)

    def _follow_logs(self) -> None:
        held = list(self._worker.held.values())
        self._logs.follow([(one.run_id, one.task_run_id) for one, name in held if name == PROCESS])

    def before_reports(self, reports: Sequence[Report]) -> None:
        """Nobody sees an attempt as ended before its log is there. On the executor's thread."""
        for one in reports:
            entry = self._worker.held.get(one.task_run_id) if isinstance(one, Finished) else None
            if entry is not None and entry[1] == PROCESS:
                self._logs.finish(entry[0].run_id, one.task_run_id)

    # --- who leads ---

    @property
    def leading(self) -> bool:
        """Whether this server led at the last beat."""
        return self._term is not None

    def leads(self) -> bool:
        """Whether it leads, for sure until the transaction under way ends."""
        name, life = self.node.name, self.node.membership.life
        return self._term is not None and self._ledger.shared.leads(name, life, self._term)

    # --- what happens elsewhere ---

    def beat(self) -> None:
        """One renewal of the lease, and a look at everything."""
        self.node.beat()

    def _beat(self, beat: Beat) -> None:
        for executor in self._worker.executors.values():
            executor.extend(beat.until)
        self._term = beat.term
        for name, life in beat.expired:
            self._reap(name, life)
        if self._transactions.unsure:
            self._transactions.unsure = False
            self._engine.writer.post(lambda ledger: give_back_unknown(self._ledger, self._worker), self._failed)
        self._engine.registry.open()
        self._check()
        self._engine.bus.tell_all()
        self._look()

    def _reap(self, name: str, life: int) -> None:
        def run(ledger: Ledger) -> None:
            lost = reap(self._ledger, name, life)
            log.warning("the node %s let its lease expire; it had claimed %s task runs", name, lost)

        self._engine.writer.post(run, self._failed)

    def _notice(self, notice: Notice) -> None:
        if notice.runs is None:
            self._engine.bus.tell_all()
        else:
            self._engine.bus.tell(notice.runs)
        for run_id in notice.gone:
            for executor in self._worker.executors.values():
                executor.forget(run_id)
        if notice.settings:
            self._engine.registry.open()
        held = {held.run_id for held, _ in self._worker.held.values()}
        if notice.runs is None or not held.isdisjoint(notice.runs):
            self._check()
        if notice.look:
            self._look()

    def _check(self) -> None:
        if self._worker.held:
            with self._store.reading() as reads:
                self._worker.check(reads.claims_of(self._worker.name), lambda one: _reason(reads, one))

    def _lost(self, membership: Membership) -> None:
        self._term = None
        self._worker.give_up()
        self._ledger.join(membership)

    def _failed(self, error: BaseException) -> None:
        log.warning("what is due among the servers could not be done, it is tried again: %s", error)

    # --- looking for work ---

    def after_commit(self) -> None:
        """What another server was at is looked at again in a moment."""
        if self._worker.passed_over:
            self._worker.passed_over = False
            if self._loop is not None:
                self._loop.call_later(AGAIN_SECONDS, self._look)

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self._engine.writer.post(self._looked, self._not_looked)

    def _looked(self, ledger: Ledger) -> None:
        self._looking = False
        self._worker.look_again()

    def _not_looked(self, error: BaseException) -> None:
        self._looking = False

    # --- what it says of itself ---

    def nodes(self) -> list[dict[str, Any]]:
        """Every node, and until when its lease lasts."""
        with self._store.reading() as reads:
            found = reads.nodes()
        mine = self.node.name
        return [
            {"name": name, "number": number, "lease_until": until, "here": name == mine}
            for name, number, _, until in found
        ]


def _reason(reads: Any, task_run_id: int) -> str:
    one = reads.task_run(task_run_id)
    return one.reason if one is not None else ""
