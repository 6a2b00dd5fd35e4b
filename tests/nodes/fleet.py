"""Several engines on one real PostgreSQL, each on a thread of its own, with work that ends when it is looked at."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from runyard.core.attempts import Assignment
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL, State
from runyard.engine.engine import Engine
from tests import postgres
from tests.engine.fakes import HandExecutor

PATIENCE_SECONDS = 60.0


class Meter:
    """How many attempts run at once, over all servers, the most that ever did, and how often each began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0
        self.begun: Counter[int] = Counter()

    def begin(self, one: Assignment) -> None:
        with self._lock:
            self.begun[one.task_run_id] += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def end(self) -> None:
        with self._lock:
            self.now -= 1


def an_engine(url: str, name: str, hand: HandExecutor | None = None, lease: float = 9.0) -> Engine:
    """A node without a loop: whoever has it drives it."""
    from runyard.store.postgres import PostgresStore

    engine = Engine(PostgresStore(url, readers=1), [hand or HandExecutor()], node=name, lease=lease)
    engine.start()
    return engine


def close(engine: Engine) -> None:
    assert engine.peers is not None
    engine.peers.stop()
    engine.store.close()


@contextmanager
def engines(*names: str, url: str | None = None) -> Iterator[list[Engine]]:
    """Nodes on one fresh store."""
    where = url or postgres.fresh_url()
    opened = [an_engine(where, name) for name in names]
    try:
        yield opened
    finally:
        for engine in opened:
            close(engine)


def beat(engine: Engine) -> None:
    """What a node does every second."""
    assert engine.peers is not None
    engine.peers.beat()


def hand_of(engine: Engine) -> Any:
    return engine.worker.executors["process"]


def compete(some: list[Engine], submit: Callable[[Engine], object], wanted: int) -> Meter:
    """Every node, on a thread of its own, submits its part of the runs, claims and ends work, until all are over."""
    meter, done = Meter(), threading.Event()
    with ThreadPoolExecutor(len(some)) as pool:
        found = [pool.submit(_take_part, engine, submit, wanted // len(some), meter, done) for engine in some]
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and not any(one.done() for one in found):
            if sum(state in TERMINAL for state in states(some[0])) == wanted:
                break
            time.sleep(0.02)
        done.set()
    for one in found:
        one.result()
    assert states(some[0]) == [State.SUCCEEDED] * wanted
    return meter


def _take_part(
    engine: Engine, submit: Callable[[Engine], object], runs: int, meter: Meter, done: threading.Event
) -> None:
    hand, begun = hand_of(engine), deque[Assignment]()

    def start(one: Assignment) -> None:
        meter.begin(one)
        begun.append(one)

    hand.on_start = start
    for _ in range(runs):
        submit(engine)
    while not done.is_set():
        beat(engine)
        time.sleep(0.002)
        for _ in range(len(begun)):
            meter.end()
            hand.end(begun.popleft())


def states(engine: Engine) -> list[State]:
    """The states of all runs."""
    with engine.store.reading() as reads:
        return [run.state for run in reads.runs(RunFilter(), 1000, None)]
