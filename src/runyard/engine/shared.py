"""What changes in the engine when several servers write to one store.

Whatever is in memory may be out of date. A run is looked at under its row's lock and loaded again when its sequence
number has moved; a job's limit is counted under the job's lock, a queue's slots under the queue's. Locks are tried,
never waited for: a command that finds one taken is undone, and tried again in a moment.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from runyard.core import lifecycle
from runyard.core.attempts import Outcome
from runyard.core.changes import StopWork
from runyard.core.errors import Code, RunyardError, not_found
from runyard.core.graph import Plan, Snapshot
from runyard.core.ids import IdSource, NodeIdSource
from runyard.core.model import Job, TaskRun
from runyard.core.states import Reason, State
from runyard.core.triggers import Trigger
from runyard.engine.clock import Clock
from runyard.engine.ledger import Effects, Ledger
from runyard.engine.worker import Claims, Worker
from runyard.engine.writer import Batch, Command, Done, InlineWriter, LoopWriter, Reply, Transactions
from runyard.executors.base import Executor
from runyard.store.base import Contended, HeldClaim, Membership, SharedSession

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")
PATIENCE_SECONDS = 10.0
"""How long a command is tried again before its caller is told that another server has what it needs."""
_LONGEST_PAUSE = 0.008
_NAMED = 400
_NOTICE_BYTES = 7_500
"""PostgreSQL takes up to 8,000 bytes; a longer list of runs becomes "any run"."""


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a server tells the others of one commit: it says where to look, never what is there."""

    node: str
    runs: list[int] | None = []
    """Those that changed; None: too many to name."""
    look: bool = False
    """Whether there may be work to claim."""
    settings: bool = False
    """Whether queues or principals changed."""
    gone: list[int] = []
    """Runs that were deleted, and what is left of them on disks should be."""


encode_notice = msgspec.json.Encoder().encode
decode_notice = msgspec.json.Decoder(Notice).decode


class SharedLedger(Ledger):
    """The ledger of one server among several."""

    def __init__(self, session: SharedSession, clock: Clock) -> None:
        super().__init__(session, clock, IdSource())
        self.shared = session
        self._sure: set[int] = set()
        """Runs whose snapshots are right until the transaction ends."""
        self._sure_jobs: set[int] = set()
        self._locked: set[tuple[str, object]] = set()
        self.settings_changed = False

    def join(self, membership: Membership) -> None:
        """Writes in the name of this node from now on, with ids that no other node draws."""
        self.shared.lease = (membership.name, membership.life)
        self.ids = NodeIdSource(membership.number, max(membership.last_id, self.ids.last))

    def begin(self) -> None:
        """A new transaction: nothing is locked, and what is in memory may be out of date."""
        self._doubt()
        self.settings_changed = False

    def _doubt(self) -> None:
        self._sure.clear()
        self._sure_jobs.clear()
        self._locked.clear()

    def undo(self, effects: Effects) -> None:
        """What had these effects did not happen; its locks may be free again."""
        super().undo(effects)
        self._doubt()

    def hold(self, held: dict[K, V], key: K, value: V | None) -> None:
        """Changes what is held in memory of the store; the other servers are told."""
        super().hold(held, key, value)
        self.settings_changed = True

    def lock(self, kind: str, key: object) -> None:
        """Nobody else changes this until the transaction ends; raises `Contended`."""
        if (kind, key) in self._locked:
            return
        self.shared.lock(kind, key)
        self._locked.add((kind, key))
        if kind == "job":
            self._sure_jobs.discard(cast("int", key))

    def locked(self, trigger: Trigger) -> Trigger:
        """The trigger as it stands, which nobody else changes until the transaction ends; raises `Contended`."""
        self.lock("trigger", trigger.id)
        return self.session.trigger(trigger.id) or trigger

    # --- runs ---

    def snapshot(self, run_id: int) -> Snapshot:
        """The run as it stands, locked; raises not_found, and `Contended` while another server has it."""
        if run_id in self._sure and run_id in self._snapshots:
            return super().snapshot(run_id)
        seq, found = self.shared.lock_run(run_id), self._snapshots.get(run_id)
        if found is not None and found.run.seq != seq:
            self.forget([run_id])
        if seq is None:
            raise not_found("run", run_id)
        self._sure.add(run_id)
        return super().snapshot(run_id)

    def _remember(self, snapshot: Snapshot) -> None:
        super()._remember(snapshot)
        self._sure.add(snapshot.run.id)

    def _cancel_child(self, run_id: int, detail: str) -> None:
        try:
            self.snapshot(run_id)  # nobody ends it between the look and the cancel
        except RunyardError:
            return
        super()._cancel_child(run_id, detail)

    # --- jobs ---

    def job(self, job_id: int) -> tuple[Job, Plan]:
        """A job that is not deleted, as it was when the transaction first looked, with its newest version's plan."""
        if job_id not in self._sure_jobs:
            known = self._jobs.get(job_id)
            if known is not None and self.shared.job_version_now(job_id) != known.version:
                del self._jobs[job_id]
            self._sure_jobs.add(job_id)
        return super().job(job_id)

    def standing(self, job_id: int) -> tuple[int, int]:
        """As kept: other servers let runs in, too. How many wait is looked up by whoever lets them in."""
        return self.session.admitted_count(job_id), 1

    def live(self) -> int:
        """As kept: other servers start runs, too."""
        return sum(self.session.live_by_state().values())

    def _limit(self, job_id: int) -> int | None:
        limit = super()._limit(job_id)
        if limit is not None:
            self.lock("job", job_id)  # from here on nobody else lets a run of the job in
            limit = super()._limit(job_id)
        return limit


class SharedWorker(Worker):
    """Claims beside the workers of other servers."""

    def __init__(self, name: str, executors: Sequence[Executor], *, grace: float, only: set[str] | None = None) -> None:
        """`only`: the queues whose work it takes; None for all."""
        super().__init__(name, executors, grace=grace)
        self._only = only
        self.passed_over = False
        """Whether something could not be claimed because another server was at it."""

    def claim(self, ledger: Ledger, effects: Effects) -> Claims | None:
        """Claims as much queued work as the executors and the queues have room for."""
        try:
            return super().claim(ledger, effects)
        except Contended:
            self.passed_over = True
            raise

    def _claim_round(self, ledger: Ledger, claims: Claims, fresh: Sequence[TaskRun]) -> None:
        super()._claim_round(ledger, claims, [one for one in fresh if self._only is None or one.queue in self._only])
        self.passed_over |= cast("SharedLedger", ledger).shared.passed_over

    def _room(self, ledger: Ledger) -> tuple[Container[str], dict[str, int]]:
        self.queues, taken = cast("SharedLedger", ledger).shared.lock_queues()
        self.passed_over |= bool(taken)
        closed, room = super()._room(ledger)
        room |= dict.fromkeys(taken, 0)
        return _Closed({*taken, *cast("set[str]", closed)}, self._only), room

    def check(self, claims: Iterable[HeldClaim], reason: Callable[[int], str]) -> None:
        """Stops what another server ended, cancelled or gave to somebody else; `claims` are this node's, as kept."""
        kept = {claim.held.task_run_id: claim.held for claim in claims}
        for task_run_id, (mine, name) in list(self.held.items()):
            one = kept.get(task_run_id)
            if one is None or one.token != mine.token:
                self.executors[name].stop(task_run_id, mine.token, grace=0.0, why="cancel")
            elif one.state == State.CANCELLING.value:
                expired = reason(task_run_id) in (Reason.TIMEOUT, Reason.RUN_TIMEOUT)
                self.stop(StopWork(task_run_id, one.token, name, "timeout" if expired else "cancel"))

    def give_up(self) -> None:
        """The lease was lost, and with it every claim: nothing of them may go on."""
        for task_run_id, (held, name) in list(self.held.items()):
            self.executors[name].stop(task_run_id, held.token, grace=0.0, why="cancel")
            self.let_go(task_run_id, held.token)

    def look_again(self) -> None:
        """There may be work that other servers queued or gave back."""
        self._look_again()


class _Closed:
    """The queues from which nothing may be taken now."""

    def __init__(self, closed: set[str], only: set[str] | None) -> None:
        self._closed = closed
        self._only = only

    def __contains__(self, name: object) -> bool:
        return name in self._closed or (self._only is not None and name not in self._only)


class SharedTransactions(Transactions):
    """Transactions that tell the other servers where to look."""

    def __init__(
        self,
        ledger: SharedLedger,
        worker: SharedWorker,
        announce: Callable[[Batch], None],
        give_back: Callable[[Any], None],
    ) -> None:
        super().__init__(ledger, worker.claim, announce, give_back)
        self._ledger = ledger
        self._worker = worker
        self.unsure = False
        """Whether a commit may have happened although it failed: claims that nobody holds are then looked for."""

    def execute(self, commands: list[Command[Any]]) -> Batch:
        """Everything but the commit."""
        self._ledger.begin()
        batch = super().execute(commands)
        self._ledger.shared.notice = self._notice(batch)
        return batch

    def failed(self, batch: Batch, error: BaseException) -> None:
        """The batch is not on disk, as far as anybody can tell."""
        super().failed(batch, error)
        self.unsure |= batch.claims is not None

    def _notice(self, batch: Batch) -> str | None:
        effects, changed = batch.effects, self._ledger.settings_changed
        runs = [*effects.touched]
        claimed = sum(1 for _ in batch.claims.all()) if batch.claims is not None else 0
        slots = any(queue.slots is not None for queue in self._worker.queues.values())
        look = effects.look or len(effects.ready) > claimed or (slots and bool(effects.touched))
        if not (runs or changed or look or effects.deleted):
            return None
        told = encode_notice(Notice(self._worker.name, runs, look, changed, effects.deleted))
        if len(told) > _NOTICE_BYTES:
            told = encode_notice(Notice(self._worker.name, None, look, changed, effects.deleted[:_NAMED]))
        return told.decode()


def _given_up(error: Contended) -> RunyardError:
    message = f"Another server has been changing {error} for {PATIENCE_SECONDS:g} s: nothing was changed. Try again."
    return RunyardError(Code.UNAVAILABLE, message)


class SharedInlineWriter(InlineWriter):
    """Runs a command again at once while another server has what it needs."""

    def execute(self, command: Command[T]) -> Reply[T]:
        """Runs the command and commits."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = super().execute(command)
            try:
                reply.result()
            except Contended as error:
                if time.monotonic() > until:
                    return Done(None, _given_up(error))
                time.sleep(random.uniform(0.0, _LONGEST_PAUSE))
                continue
            except Exception:
                return reply
            return reply


class SharedLoopWriter(LoopWriter):
    """Puts commands back into the queue, after a moment, while another server has what they need."""

    def __init__(self, transactions: Transactions, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transactions, loop)
        self._until: dict[int, float] = {}
        """When a command that is tried again is given up, by its identity."""

    def _answer(self, taken: list[Any], outcomes: list[tuple[Any, BaseException | None]]) -> None:
        final, again = [], []
        for one, outcome in zip(taken, outcomes, strict=True):
            error = outcome[1]
            if not isinstance(error, Contended):
                final.append((one, outcome))
            elif self._until.setdefault(id(one[0]), time.monotonic() + PATIENCE_SECONDS) > time.monotonic():
                again.append(one)
                continue
            else:
                final.append((one, (None, _given_up(error))))
            self._until.pop(id(one[0]), None)
        super()._answer([one for one, _ in final], [outcome for _, outcome in final])
        if again:
            self._loop.call_later(random.uniform(0.0, _LONGEST_PAUSE), self._again, again)

    def _again(self, commands: list[Any]) -> None:
        self._queue.extendleft(reversed(commands))
        self._wake()

    async def close(self) -> None:
        """Waits until everything queued is committed."""
        while self._until:
            await asyncio.sleep(0.001)
        await super().close()


def reap(ledger: SharedLedger, name: str, life: int) -> int:
    """Ends a node whose lease has expired: what it had claimed is lost, and is tried again elsewhere."""
    claims = ledger.shared.end_lease(name, life) or []
    said = f"The node {name} let its lease expire."
    outcome = Outcome(result="lost", reason="lost_worker", detail=said)
    for claim in claims:
        held = claim.held
        ledger.advance(held.run_id, lifecycle.Finish(held.task_run_id, held.token, outcome))
    return len(claims)


def give_back_unknown(ledger: SharedLedger, worker: Worker) -> None:
    """Frees claims in this node's name that it does not know of: the answer of their commit was lost."""
    outcome = Outcome(result="released", detail="Its work had not begun.")
    for claim in ledger.shared.claims_of(worker.name):
        if claim.held.task_run_id not in worker.held:
            ledger.advance(claim.held.run_id, lifecycle.Finish(claim.held.task_run_id, claim.held.token, outcome))
