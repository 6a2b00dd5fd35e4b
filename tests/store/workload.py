"""Mixed work on a store through the engine's own parts: submit, claim, finish, cancel, repair, prune.

It keeps the books: what the store must hold by what was acknowledged, and what the commit under way would add.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from runyard.core.actions import Sql
from runyard.core.attempts import Assignment, Outcome
from runyard.core.commands import Cancel, Repair, Submit
from runyard.core.ids import IdSource
from runyard.core.model import Dependency, JobSpec, Retries, Task
from runyard.core.query import RunFilter
from runyard.core.states import TERMINAL
from runyard.engine.bus import Bus
from runyard.engine.duties import pruner, timers
from runyard.engine.ledger import Ledger
from runyard.engine.runs import Runs
from runyard.engine.worker import Worker
from runyard.engine.writer import Batch, Command, Done, Reply, Transactions
from runyard.store.base import Reads, Store
from tests.engine.fakes import HandExecutor
from tests.store.make import NOW

Facts = dict[int, Any]
"""By run id: the run, its task runs with their outputs, its events and its idempotency key's entry."""
KEEP_MS = 3_000
_QUERY = Sql(statement="SELECT 1")
_SPECS = [
    JobSpec(name="one", tasks=[Task(key="a", action=_QUERY)]),
    JobSpec(name="timed", tasks=[Task(key="a", action=_QUERY, timeout=3)], timeout=9, tags={"team": "x"}),
    JobSpec(
        name="two",
        tasks=[
            Task(key="a", action=_QUERY, retries=Retries(max=2, delay=1)),
            Task(key="b", action=_QUERY, needs=[Dependency(task="a")]),
        ],
    ),
]


class Clock:
    """Goes on by a second a step."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> int:
        return self.time


class Gather:
    """A writer that runs what was asked of it in one transaction, when it is told to."""

    def __init__(self) -> None:
        self.commands: list[Command[Any]] = []

    def execute(self, command: Command[Any]) -> Reply[Any]:
        self.commands.append(command)
        return Done(None)


class Server:
    """What one life of a server does to a store."""

    def __init__(self, store: Store, clock: Clock, chance: random.Random, before: Facts) -> None:
        self.store = store
        self.clock = clock
        self.chance = chance
        self.acknowledged: Facts = dict(before)
        self.under_way: Facts = dict(before)
        self.executor = HandExecutor("warehouse", capacity=5)
        self.worker = Worker("worker", [self.executor], grace=1)
        self.ledger = Ledger(store.writer, clock, IdSource(store.last_id))
        self.writer = Gather()
        self.runs = Runs(store, self.writer, self.worker, Bus())  # type: ignore[arg-type]  # it only executes
        self.transactions = Transactions(self.ledger, self.worker.claim, self._announce, self.worker.give_back)
        self.executor.open(lambda reports: self.writer.commands.append(self.worker.recorder(reports)))
        self.stopping: list[Assignment] = []
        self.pruned: list[int] = []

    # --- what it does ---

    def start(self) -> None:
        """Takes up what the last life held: it is lost."""
        held = [(claim.held, claim.executor) for claim in self.store.writer.held()]
        self.writer.commands.append(self.worker.recorder(self.worker.recover(held, self.clock.now())))

    def step(self, cut: Callable[[], bool]) -> None:
        """Some commands, one transaction."""
        self.clock.time += 1000
        for _ in range(self.chance.randint(1, 4)):
            self.chance.choice([self._submit, self._submit, self._finish, self._finish, self._end, self._duties])()
        commands, self.writer.commands = self.writer.commands, []
        batch = self.transactions.execute(commands)
        under_way = {**self.acknowledged, **self._facts(batch.effects.touched)}
        for run_id in self.pruned:
            under_way.pop(run_id, None)
        self.pruned.clear()
        if cut():
            return
        self.under_way = under_way
        self.store.writer.commit()
        if not cut():
            self.acknowledged = under_way
            self.transactions.committed(batch)

    def _submit(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            key = f"key-{self.chance.randrange(10**9)}" if self.chance.random() < 0.5 else None
            spec = self.chance.choice(_SPECS)
            self.runs.submit(Submit(spec=spec, idempotency_key=key, extras={"key": key} if key else {}), "ann")

    def _finish(self) -> None:
        for one in [*self.stopping]:
            self.executor.end(one, Outcome(result="stopped"), self.clock.now())
        self.stopping.clear()
        for one in self.chance.sample([*self.executor.held.values()], min(2, len(self.executor.held))):
            result = self.chance.choice(["succeeded", "succeeded", "failed", "lost", "released"])
            output = {"rows": [[self.chance.random()]]} if result == "succeeded" else None
            self.executor.end(one, Outcome(result=result, output=output, values={"n": 1}), self.clock.now())  # type: ignore[arg-type]  # one of its words

    def _end(self) -> None:
        """Cancels a live run or repairs one that is over."""
        for run_id in self.chance.sample([*self.acknowledged], min(2, len(self.acknowledged))):
            state = self.acknowledged[run_id][0].state
            self.runs.repair(Repair(run_id=run_id), "bob") if state in TERMINAL else self.runs.cancel(
                Cancel(run_id=run_id), "bob"
            )

    def _duties(self) -> None:
        for timer in timers.find(self.store.writer, self.clock.now(), 100):
            self.writer.commands.append(partial(timers.handle, timer=timer))
        self.writer.commands.append(self._prune)

    def _prune(self, ledger: Ledger) -> None:
        self.pruned += ledger.session.ended_before(ledger.now() - KEEP_MS, pruner.BATCH)
        pruner.prune(ledger, KEEP_MS / pruner.DAY_MS)

    def _announce(self, batch: Batch) -> None:
        for stop in batch.effects.stops:
            if stop.task_run_id in self.executor.held:
                self.stopping.append(self.executor.held[stop.task_run_id])
        if batch.claims is not None:
            self.worker.start(batch.claims)

    # --- the books ---

    def everything(self) -> Facts:
        """What the store holds."""
        return self._facts({run.id for run in self.store.writer.runs(RunFilter(), 100_000, None)})

    def _facts(self, run_ids: set[int]) -> Facts:
        reads: Reads = self.store.writer
        found: Facts = {}
        for run_id in run_ids:
            run = reads.run(run_id)
            if run is not None:
                task_runs = reads.task_runs(run_id)
                outputs = [reads.output(one.id) for one in task_runs]
                key = reads.submission("default/native", run.extras["key"]) if run.extras else None
                found[run_id] = (run, task_runs, outputs, reads.events(run_id, 0, 1000), key)
        return found
