"""One writer, group commit: concurrent commands share a transaction, each in a savepoint.

A command is a function of the ledger. One that raises is undone alone. After the last command of a batch the
dispatcher claims queued work in the same transaction, so that a submit and its start cost one commit. Nobody
is answered, and no work is started, before the commit is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar, cast

from runyard.core.errors import Code, RunyardError
from runyard.engine.ledger import Effects, Ledger
from runyard.store.base import Contended, Session

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Command = Callable[[Ledger], T]
MAX_BATCH = 256
HAND_OVER_SECONDS = 0.0003
"""A commit faster than this costs less than handing it to another thread and waiting for the interpreter lock."""
ALONE_SECONDS = 0.001
"""So also where the transaction has one command: hardly anybody else is there whom the loop could serve meanwhile."""
log = logging.getLogger("runyard.engine")


class Reply(Protocol[T_co]):
    """The answer of a command: await it on the loop, or take `result()` where commands run inline."""

    def __await__(self) -> Generator[Any, None, T_co]: ...
    def result(self) -> T_co: ...


class Done(Generic[T]):
    """A reply that is there already."""

    __slots__ = ("_error", "_value")

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self._value = value
        self._error = error

    def result(self) -> T:
        """The value; raises what the command raised."""
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def __await__(self) -> Generator[Any, None, T]:
        return self._ready().__await__()

    async def _ready(self) -> T:
        return self.result()


class Batch:
    """The commands of one transaction and what came of each."""

    __slots__ = ("claims", "effects", "outcomes")

    def __init__(self) -> None:
        self.effects = Effects()
        self.outcomes: list[tuple[Any, BaseException | None]] = []
        self.claims: Any = None


class Transactions:
    """Runs batches of commands on the ledger; the caller decides on which thread the commit waits for the disk."""

    def __init__(
        self,
        ledger: Ledger,
        claim: Callable[[Ledger, Effects], Any],
        announce: Callable[[Batch], None],
        give_back: Callable[[Any], None],
    ) -> None:
        self.ledger = ledger
        self._claim = claim
        self._announce = announce
        self._give_back = give_back
        self.commits = 0
        self.commands = 0

    def execute(self, commands: list[Command[Any]]) -> Batch:
        """Everything but the commit. Raises only if the transaction as a whole is impossible."""
        batch = Batch()
        ledger, session = self.ledger, self.ledger.session
        try:
            session.begin()
            for command in commands:
                self._run_one(batch, command)
            batch.claims = self._claim_in(batch)
            session.flush()
        except BaseException as error:
            self.failed(batch, error)
            raise
        self.commands += len(commands)
        ledger.effects = Effects()
        return batch

    def _run_one(self, batch: Batch, command: Command[Any]) -> None:
        ledger, session = self.ledger, self.ledger.session
        ledger.effects = Effects()
        session.mark()
        try:
            value = command(ledger)
            ledger.follow_up()
        except Exception as error:  # the command's own refusal, or a defect: undone alone, answered alone
            session.undo()
            ledger.undo(ledger.effects)
            batch.outcomes.append((None, error))
        else:
            session.keep()
            batch.effects.absorb(ledger.effects)
            batch.outcomes.append((value, None))

    def _claim_in(self, batch: Batch) -> Any:
        ledger, session = self.ledger, self.ledger.session
        ledger.effects = Effects()
        session.mark()
        try:
            claims = self._claim(ledger, batch.effects)
        except Exception as error:  # a defect here must not refuse the commands that came before it
            session.undo()
            ledger.undo(ledger.effects)
            if isinstance(error, Contended):  # the work is still there, and looked at again
                return None
            log.exception("claiming failed", exc_info=error)
            return None
        session.keep()
        batch.effects.absorb(ledger.effects)
        return claims

    def committed(self, batch: Batch) -> None:
        """The batch is on disk: tell everybody, start the claimed work."""
        self.commits += 1
        self._announce(batch)

    def failed(self, batch: Batch, error: BaseException) -> None:
        """The batch is not on disk: nothing of it happened."""
        ledger = self.ledger
        ledger.session.rollback()
        ledger.undo(ledger.effects)
        ledger.undo(batch.effects)
        ledger.effects = Effects()
        if batch.claims is not None:
            self._give_back(batch.claims)


def refused(error: BaseException) -> BaseException:
    """What a caller is told when the whole transaction failed."""
    if isinstance(error, RunyardError):
        return error
    return RunyardError(Code.INTERNAL, f"The transaction failed ({type(error).__name__}: {error}); nothing changed.")


class InlineWriter:
    """Runs each command at once, on the caller's thread: for tests and tools."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._queue: deque[tuple[Command[Any], Callable[[BaseException], None] | None]] = deque()
        self._busy = False

    def execute(self, command: Command[T]) -> Reply[T]:
        """Runs the command and commits."""
        batch = self._transactions.execute([command])
        value, error = batch.outcomes[0]
        self._commit(batch)
        return Done(value, error)

    def post(self, command: Command[Any], on_error: Callable[[BaseException], None] | None = None) -> None:
        """Runs a command that nobody waits for, after the one that is under way."""
        self._queue.append((command, on_error))
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                command, on_error = self._queue.popleft()
                self._post_one(command, on_error)
        finally:
            self._busy = False

    def _post_one(self, command: Command[Any], on_error: Callable[[BaseException], None] | None) -> None:
        try:
            self.execute(command).result()
        except Exception as error:
            if on_error is None:
                raise
            on_error(error)

    def _commit(self, batch: Batch) -> None:
        try:
            self._transactions.ledger.session.commit()
        except Exception as error:
            self._transactions.failed(batch, error)
            raise
        self._transactions.committed(batch)

    async def close(self) -> None:
        """Nothing waits."""


class Committer:
    """Carries out one commit after another: on a thread of its own, or here where the disk is faster than that."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self._session = session
        self._loop = loop
        self.alone: Callable[[], bool] = lambda: False
        """Says whether there is one command in what is to be committed, and none that waits."""
        self._asked: SimpleQueue[Callable[[BaseException | None], None] | None] = SimpleQueue()
        self._seconds = 2 * HAND_OVER_SECONDS
        """What a commit took of late."""
        threading.Thread(target=self._serve, name="commit", daemon=True).start()

    def start(self, done: Callable[[BaseException | None], None]) -> None:
        """Commits, and calls `done` on the loop's thread with what went wrong, if anything did."""
        if self._seconds > (ALONE_SECONDS if self.alone() else HAND_OVER_SECONDS):
            self._asked.put(done)
        else:
            done(self._timed())

    def close(self) -> None:
        """Ends the thread."""
        self._asked.put(None)

    def _timed(self) -> BaseException | None:
        begun, failure = perf_counter(), None
        try:
            self._session.commit()
        except Exception as error:
            failure = error
        self._seconds += (perf_counter() - begun - self._seconds) / 8
        return failure

    def _serve(self) -> None:
        while (done := self._asked.get()) is not None:
            self._loop.call_soon_threadsafe(done, self._timed())


class LoopWriter:
    """Runs commands on the event loop's thread in batches; a commit that waits for the disk does so on another.

    Statements on the loop's own thread meet no contention for the interpreter lock; while a commit waits for
    the disk, the loop serves requests and the next batch gathers.
    """

    def __init__(self, transactions: Transactions, loop: asyncio.AbstractEventLoop) -> None:
        self._transactions = transactions
        self._loop = loop
        self._queue: deque[tuple[Command[Any], asyncio.Future[Any] | Callable[[BaseException], None] | None]] = deque()
        self._busy = False
        self._taken = 0
        self._committer = Committer(transactions.ledger.session, loop)
        self._committer.alone = lambda: self._taken == 1 and not self._queue
        self._thread = threading.get_ident()

    def execute(self, command: Command[T]) -> Reply[T]:
        """Queues a command; only on the loop's thread."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append((command, future))
        self._wake()
        return future

    def post(self, command: Command[Any], on_error: Callable[[BaseException], None] | None = None) -> None:
        """Queues a command that nobody waits for; from any thread."""
        if threading.get_ident() == self._thread:
            self._queue.append((command, on_error))
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self.post, command, on_error)

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
        try:
            batch = self._transactions.execute([command for command, _ in taken])
        except Exception as error:
            self._answer(taken, [(None, refused(error))] * len(taken))
            self._next()
            return
        self._taken = len(taken)
        self._committer.start(lambda error: self._after(error, batch, taken))

    def _after(self, error: BaseException | None, batch: Batch, taken: list[Any]) -> None:
        if error is not None:
            self._transactions.failed(batch, error)
            self._answer(taken, [(None, refused(error))] * len(taken))
        else:
            self._answer(taken, batch.outcomes)
            self._committed(batch)
        self._next()

    def _committed(self, batch: Batch) -> None:
        try:
            self._transactions.committed(batch)
        except Exception:  # a defect of an executor or a watcher must not stop the writer
            log.exception("what was committed could not be told to everybody")

    def _answer(self, taken: list[Any], outcomes: list[tuple[Any, BaseException | None]]) -> None:
        for (_, waiter), (value, error) in zip(taken, outcomes, strict=True):
            if isinstance(waiter, asyncio.Future):
                if waiter.cancelled():
                    continue
                if error is None:
                    waiter.set_result(value)
                else:
                    waiter.set_exception(error)
            elif error is not None and waiter is not None:
                waiter(error)

    def _next(self) -> None:
        self._busy = False
        if self._queue:
            self._wake()

    async def close(self) -> None:
        """Waits until everything queued is committed."""
        while self._busy or self._queue:
            await asyncio.sleep(0.001)
        self._committer.close()


Writer = InlineWriter | LoopWriter
