"""Virtual time, and just as much of an event loop as the engine asks for."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from runyard.store.base import Session

Call = Callable[..., object]


class Crash(BaseException):
    """The server process ends here."""


class Agenda:
    """What happens when, in milliseconds; things of the same moment in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = itertools.count()

    def at(self, delay_ms: int, call: Call, *args: Any) -> Timer:
        """Plans a call."""
        timer = Timer(call, args)
        heapq.heappush(self._heap, (self.now + max(0, delay_ms), next(self._count), timer))
        return timer

    def next(self) -> Timer | None:
        """Moves time on to the next thing that was not cancelled."""
        while self._heap:
            moment, _, timer = heapq.heappop(self._heap)
            if not timer.cancelled:
                self.now = moment
                return timer
        return None


class Timer:
    """A planned call."""

    __slots__ = ("args", "call", "cancelled")

    def __init__(self, call: Call, args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """It will not happen."""
        self.cancelled = True


class VirtualLoop:
    """The loop of one server process. `die` drops everything that it still had to do.

    `freeze` stops it as SIGSTOP does, or a machine that swaps: the world goes on, and all that comes waits for `thaw`.
    """

    def __init__(self, agenda: Agenda, commit_takes: Callable[[], int]) -> None:
        self._agenda = agenda
        self._commit_takes = commit_takes
        self._ready: deque[Timer] = deque()
        self._dead = False
        self.committing = False
        self.frozen = False

    def freeze(self) -> None:
        """Nothing is done from now on."""
        self.frozen = True

    def thaw(self) -> None:
        """It goes on with all that has come meanwhile."""
        self.frozen = False

    def die(self) -> None:
        """The process is gone."""
        self._dead = True
        self._ready.clear()

    def drain(self) -> None:
        """Runs what is ready, until nothing is."""
        while self._ready and not self.frozen:
            timer = self._ready.popleft()
            if not timer.cancelled:
                timer.call(*timer.args)

    # --- what asyncio's own futures, the writer and the engine call ---

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]  # all that a future needs of a loop is here

    def call_soon(self, call: Call, *args: Any, context: object = None) -> Timer:
        timer = Timer(call, args)
        if not self._dead:
            self._ready.append(timer)
        return timer

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, call: Call, *args: Any) -> Timer:
        return self._agenda.at(round(delay * 1000), self._wake, call, args)

    def _wake(self, call: Call, args: tuple[Any, ...]) -> None:
        if self.frozen:
            self.call_soon(call, *args)
        elif not self._dead:
            call(*args)

    def commit(self, session: Session, done: Callable[[BaseException | None], None]) -> None:
        """A commit: at once, or it waits for the disk, and meanwhile the next batch gathers."""
        self.committing = True
        delay = self._commit_takes()
        if delay:
            self._agenda.at(delay, self._commit, session, done)
        else:
            self._commit(session, done)

    def _commit(self, session: Session, done: Callable[[BaseException | None], None]) -> None:
        if self._dead:
            return
        self.committing = False
        failure = None
        try:
            session.commit()
        except Exception as error:
            failure = error
        self._wake(done, (failure,))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise context.get("exception") or RuntimeError(context.get("message"))


class VirtualCommitter:
    """Takes the place of the writer's own, which has a thread."""

    def __init__(self, session: Session, loop: VirtualLoop) -> None:
        self._session = session
        self._loop = loop

    def start(self, done: Callable[[BaseException | None], None]) -> None:
        self._loop.commit(self._session, done)

    def close(self) -> None:
        """Nothing to end."""
