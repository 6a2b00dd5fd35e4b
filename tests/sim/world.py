"""One story: users, faults, a server that is started again and again, and time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import patch

import msgspec

from runyard.core import schedule
from runyard.core.commands import Cancel, Repair, Rerun, Submit
from runyard.core.errors import Code, RunyardError
from runyard.core.model import Job, JobSpec, OnLimit, Queue, Run
from runyard.core.states import TERMINAL, State
from runyard.engine import engine as engine_module
from runyard.engine import writer
from runyard.engine.duties.pruner import DAY_MS
from runyard.engine.engine import Engine
from runyard.engine.runs import Submitted
from runyard.store.base import Store

from . import jobs
from .checks import Checks, Violation, is_held, require
from .clockwork import GRACE_MS, Clockwork
from .field import Field, FieldExecutor
from .loop import Agenda, Crash, VirtualCommitter, VirtualLoop
from .store import SimStore

TROUBLE_MS = 6_000
"""How long users and faults go on."""
PATIENCE_MS = 240_000
"""How long all of it may take to end after that."""
SETTLED_MS = 7_000
"""How long after the last fault all that is due must have been done; what met with one rests five seconds."""
LATEST_MS = 2_000
"""How late the engine may be then: its tick, and a commit."""
FROZEN_MS = (200, 1_000, 4_000)
REFUSALS = {Code.CONFLICT, Code.NOT_FOUND, Code.LIMIT, Code.INVALID, Code.UNAVAILABLE}
engine_module.TICK_SECONDS = 1.0  # the engine's own tick would make most of the steps
engine_module.PRUNE_EVERY_SECONDS = 2.0
KEPT_MS = 3_000
"""How long runs are kept in stories whose history is pruned."""


class World:
    """The story of one seed."""

    def __init__(self, seed: int, store: SimStore, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.store = store
        self.agenda = Agenda()
        self.field = Field(self.agenda, self.rng)
        self.prunes = self.rng.random() < 0.2
        self.checks = Checks(store, self.field, KEPT_MS if self.prunes else None)
        self.clockwork = Clockwork(self)
        self.checks.on_change = self.clockwork.changed
        self.steps = 0
        self.digest = hashlib.sha256()
        self.queues: dict[str, Queue] = {}
        self.jobs: dict[int, Job] = {}
        self.asked: dict[str, Submit | Rerun] = {}
        """Submissions by key that were not acknowledged yet: they are sent again until they are."""
        self.answered: dict[str, int] = {}
        self.mine: list[int] = []
        self.deleted: list[int] = []
        self.up = False
        self._wall = Wall(self.field, self.clockwork.readings)
        self._tell = tell
        self._capacity = {"process": self.rng.randint(1, 4), "warehouse": self.rng.randint(1, 2)}
        self._keys = 0
        self._furthest = 0

    # --- the server ---

    def boot(self) -> None:
        """A server process starts on what the one before it left."""
        self.store.reopen()
        self.loop = VirtualLoop(self.agenda, lambda: self.rng.choice((0, 0, 1, 5)))
        self.executors = [
            FieldExecutor(name, capacity, self.field, self._check_start) for name, capacity in self._capacity.items()
        ]
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        keep = KEPT_MS / DAY_MS if self.prunes else None
        self.engine = Engine(
            cast(Store, self.store), self.executors, clock=self._wall, grace=0.8, loop=loop, keep_days=keep
        )
        self.up = True
        self.engine.start()

    def die(self) -> None:
        """The server process ends in the middle of whatever it does."""
        self.note("the server dies")
        self.up = False
        self.loop.die()
        for executor in self.executors:
            executor.dead = True
        self.field.crash()
        self.store.reopen()
        self.store.writer.fault = ""
        for job_id in self.jobs:  # the answer to a change may have been lost with the process
            job = self.store.writer.job(job_id)
            assert job is not None
            self._keep_job(job)
        self.agenda.at(self.rng.choice((0, 50, 2000)), self.boot)

    def _check_start(self, executor: FieldExecutor, one: Any) -> None:
        self.checks.start(executor.name, executor.capacity, one)

    # --- the story ---

    def tell(self) -> None:
        """From the first submission until everything is over; raises `Violation`."""
        committer, grace = (
            patch.object(writer, "Committer", VirtualCommitter),
            patch.object(schedule, "GRACE_MS", GRACE_MS),
        )
        with Ears() as ears, committer, grace:
            self.boot()
            self._settle()
            self._prepare()
            for _ in range(self.rng.randint(3, 8)):
                self.agenda.at(self.rng.randrange(TROUBLE_MS), self._user)
            for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
                self.agenda.at(self.rng.randrange(TROUBLE_MS), self._fault)
            if self.rng.random() < 0.4:
                self.agenda.at(self.rng.randrange(TROUBLE_MS), self._freeze, self.rng.choice(FROZEN_MS))
            self.agenda.at(TROUBLE_MS, self._calm)
            while self._step():
                require(not ears.heard, "no defect is logged", *ears.heard)
            self.checks.the_end()
            self._nothing_is_held()
        for row in self.store.writer.connection.execute("SELECT * FROM event ORDER BY run_id, seq"):
            self.digest.update(repr(row).encode())

    def _step(self) -> bool:
        timer = self.agenda.next()
        require(self.agenda.now < TROUBLE_MS + PATIENCE_MS, "every run ends", self._unfinished())
        assert timer is not None, "the engine's tick never ends"
        self.steps += 1
        try:
            timer.call(*timer.args)
            self._settle()
        except Crash:
            self.die()
            self._look()
        return not self._over()

    def _settle(self) -> None:
        if self.up:
            self.loop.drain()
        self._look()

    def _look(self) -> None:
        """The checks, whenever everything that was said is on disk."""
        session = self.store.writer
        if session.connection.in_transaction:
            return
        if session.changed:
            self.queues = {queue.name: queue for queue in session.queues()}
            self.checks.step(self.queues)
        self.clockwork.look(session.stirred)
        session.stirred = False

    def _over(self) -> bool:
        if not self.field.calm or not self.up or self.asked or self.loop.committing or not self.clockwork.over:
            return False
        return all(run.state in TERMINAL for run in self.checks.runs.values())

    def _unfinished(self) -> list[Any]:
        return [
            (run, list(self.checks.seen[run.id].values()))
            for run in self.checks.runs.values()
            if run.state not in TERMINAL
        ]

    def _nothing_is_held(self) -> None:
        self.loop.drain()
        require(not self.engine.worker.held, "no place stays taken", self.engine.worker.held)

    def note(self, *words: object) -> None:
        """One line of the story."""
        line = " ".join(str(word) for word in words)
        self.digest.update(f"{self.agenda.now} {line}\n".encode())
        if self._tell is not None:
            self._tell(f"{self.agenda.now / 1000:8.3f}  {line}")

    # --- replies ---

    def ask(self, what: str, call: Callable[[], Any], then: Callable[[Any], None], key: str | None = None) -> None:
        """Calls a facade; `then` hears the answer, unless the server dies first. `key` is sent again until then."""
        if not self.up:
            return
        if self.loop.frozen:
            self.agenda.at(FROZEN_MS[0], self.ask, what, call, then, key)
            return
        self.note(what)
        if self.mine and not self.field.calm and self.rng.random() < 0.15:
            self._break_next_commit()
        try:
            reply = call()
        except RunyardError as error:
            return self._refused(what, error, key)
        reply.add_done_callback(lambda done: self._answer(what, done, then, key))
        return None

    def _answer(self, what: str, done: asyncio.Future[Any], then: Callable[[Any], None], key: str | None) -> None:
        error = done.exception()
        if isinstance(error, RunyardError):
            self._refused(what, error, key)
        elif error is not None:
            raise Violation(f"a defect was answered: {what}: {error!r}") from error
        else:
            then(done.result())

    def _refused(self, what: str, error: RunyardError, key: str | None) -> None:
        require(error.code in REFUSALS, "refusals are of a user's making", what, error)
        if error.code is not Code.UNAVAILABLE:
            self.asked.pop(key or "", None)
        self.note("refused", error.message)

    # --- users ---

    def _prepare(self) -> None:
        """Three jobs: one that others run, one with a limit, one that runs the first."""
        child = self.create(jobs.job(self.rng, [], "child", **jobs.limits(self.rng)))
        self.limited = self.create(jobs.job(self.rng, [], "limited", max_concurrent_runs=1, on_limit=OnLimit.QUEUE))
        self.create(jobs.job(self.rng, [child], "parent"))
        self._put_queue(Queue(name="narrow", slots=self.rng.randint(1, 2)))
        self.clockwork.prepare()

    def create(self, spec: JobSpec) -> int:
        """A job, once it is kept."""
        job: Job = self.made("create job", lambda: self.engine.registry.create_job(spec, by="ann"))
        self._keep_job(job)
        return job.id

    def made(self, what: str, call: Callable[[], Any]) -> Any:
        """The answer to a call, while the story goes on."""
        answers: list[Any] = []
        self.ask(what, call, answers.append)
        while not answers:
            self._step()
        return answers[0]

    def _keep_job(self, job: Job) -> None:
        self.jobs[job.id] = job
        self.checks.limits[job.id] = (job.spec.max_concurrent_runs, job.spec.on_limit)

    def _user(self) -> None:
        roll = self.rng.random()
        if roll < 0.5 or not self.mine:
            self._submit()
        elif roll < 0.64:
            self._cancel(self._target())
        elif roll < 0.78:
            self._repair(self._target())
        elif roll < 0.83:
            self._send(self._key(), Rerun(run_id=self._target()))
        elif roll < 0.88:
            self._delete(self._target())
        elif roll < 0.95:
            slots = self.rng.choice((None, 0, 1, 2))
            name = self.rng.choice(("narrow", "other"))
            self._put_queue(Queue(name=name, slots=slots, paused=self.rng.random() < 0.3))
        else:
            self._update(self.rng.choice(list(self.jobs)))

    def _target(self) -> int:
        """One of their runs, or now and then one that they have deleted."""
        gone = self.deleted and self.rng.random() < 0.3
        return self.rng.choice(self.deleted if gone else self.mine)

    def _key(self) -> str:
        self._keys += 1
        return f"k{self._keys}"

    def _submit(self) -> None:
        key = self._key()
        if self.rng.random() < 0.55 and self.jobs:
            job_id = self.rng.choice([*self.jobs, self.limited])
            self._send(key, Submit(job_id=job_id, priority=self.rng.randint(0, 2)))
        else:
            spec = jobs.job(self.rng, list(self.jobs)[:1])
            self._send(key, Submit(spec=spec, priority=self.rng.randint(0, 2)))

    def _send(self, key: str, command: Submit | Rerun) -> None:
        """Sends a submission, and sends it again until it is answered; some answers get lost on their way."""
        command = msgspec.structs.replace(command, idempotency_key=key)
        self.asked[key] = command
        verb = self.engine.runs.submit if isinstance(command, Submit) else self.engine.runs.rerun
        self.ask(f"submit {key}", lambda: verb(command, "ann"), lambda got: self._submitted(key, got), key)  # type: ignore[arg-type]
        self.agenda.at(1500, self._send_again, key)

    def _send_again(self, key: str) -> None:
        if key in self.asked:
            self._send(key, self.asked[key])

    def _submitted(self, key: str, got: Submitted) -> None:
        earlier = self.answered.setdefault(key, got.run.id)
        require(earlier == got.run.id, "a submission is answered with one run, however often it is sent", key)
        self.note("submitted", key, got.run.id, got.run.state.value)
        if self.rng.random() < 0.15 and not self.field.calm:
            self.note("the answer is lost")
            return
        self.asked.pop(key, None)
        if got.run.id not in self.mine:
            self.mine.append(got.run.id)

    def _cancel(self, run_id: int) -> None:
        attempts = self.checks.seen.get(run_id, {})
        one = self.rng.choice(list(attempts)) if attempts and self.rng.random() < 0.3 else None
        endless = sorted(self._endless())
        if endless and self.rng.random() < 0.8:  # what does not end by itself
            run_id, one = self.rng.choice(endless), None
        command = Cancel(run_id=run_id, task_run_id=one)
        heard = self.checks.cancelled if one is None else _ignore
        if self.rng.random() < 0.5:  # the worst moment: recorded, and the worker not told
            self.store.writer.fault = "crash after"
        self.ask(f"cancel {run_id} {one}", lambda: self.engine.runs.cancel(command, "ann"), heard)

    def _repair(self, run_id: int) -> None:
        over = [one for one in self.mine if one in self.checks.runs and self.checks.runs[one].state in TERMINAL]
        if over and self.rng.random() < 0.8:
            run_id = self.rng.choice(over)
        job_id = self.checks.runs[run_id].job_id if run_id in self.checks.runs else None
        if job_id is not None and self.rng.random() < 0.5:  # so that the repair may meet the job's limit
            self._send(self._key(), Submit(job_id=job_id))
        keys = sorted({one.task_key for one in self.checks.seen.get(run_id, {}).values()})
        tasks = [self.rng.choice(keys)] if keys and self.rng.random() < 0.5 else None
        command = Repair(run_id=run_id, tasks=tasks, dependents=self.rng.random() < 0.7)
        self.ask(f"repair {run_id}", lambda: self.engine.runs.repair(command, "ann"), _ignore)

    def _delete(self, run_id: int) -> None:
        self.checks.asked_to_delete.add(run_id)
        self.ask(f"delete {run_id}", lambda: self.engine.runs.delete(run_id, "ann"), lambda _: self._gone(run_id))

    def _gone(self, run_id: int) -> None:
        require(self.store.writer.run(run_id) is None, "a deleted run is gone", run_id)
        if run_id in self.mine:
            self.mine.remove(run_id)
            self.deleted.append(run_id)

    def _put_queue(self, queue: Queue) -> None:
        self.ask(f"set {queue}", lambda: self.engine.registry.put_queue(queue, "ann"), _ignore)

    def _update(self, job_id: int) -> None:
        job = self.jobs[job_id]
        spec = msgspec.structs.replace(job.spec, max_concurrent_runs=self.rng.choice((None, 1, 2)))
        self.ask(f"update {job_id}", lambda: self.engine.registry.update_job(job_id, spec, by="ann"), self._keep_job)

    # --- faults ---

    def _fault(self) -> None:
        roll = self.rng.random()
        if roll < 0.2 and self.up:
            raise Crash
        if roll < 0.7:
            self._break_next_commit()
        else:
            self.field.skew += self.rng.choice((-3_600_000, 3_600_000))
            self._furthest = max(self._furthest, self.field.skew)
            self.note("the clock is off by", self.field.skew // 1000)

    def _freeze(self, milliseconds: int) -> None:
        """The server stands still, and nobody else does."""
        if not self.up:
            return
        self.note("the server is frozen for", milliseconds)
        self.loop.freeze()
        self.agenda.at(milliseconds, self.loop.thaw)

    def _break_next_commit(self) -> None:
        self.store.writer.fault = self.rng.choice(("refused", "crash before", "crash after"))
        self.note("the next commit:", self.store.writer.fault)

    def _calm(self) -> None:
        """No more faults: whatever does not end by itself is cancelled, and what waits gets room."""
        self.note("calm")
        self.field.calm = True
        self.loop.thaw()
        self.field.skew = self._furthest  # or what is due would wait until the clock has caught up
        self.store.writer.fault = ""
        self.agenda.at(SETTLED_MS, self._settled)
        self._help()

    def _settled(self) -> None:
        """Long enough after the last fault: everything that was due is done."""
        self.checks.timers(LATEST_MS)
        self.clockwork.settled(LATEST_MS)

    def _help(self) -> None:
        if self.up:
            self.queues = {queue.name: queue for queue in self.store.writer.queues()}
            for name in ("narrow", "other"):
                if name in self.queues and (self.queues[name].paused or self.queues[name].slots == 0):
                    self._put_queue(Queue(name=name, slots=1))
            for run_id in sorted(self._endless()):
                self._cancel_run(run_id)
            self.clockwork.stop()
        if not self._over():
            self.agenda.at(7_000, self._help)

    def _cancel_run(self, run_id: int) -> None:
        command = Cancel(run_id=run_id)
        self.ask(f"cancel {run_id}", lambda: self.engine.runs.cancel(command, "ann"), self.checks.cancelled)

    def _endless(self) -> set[int]:
        endless = {one.claim for one in self.field.attempts.values() if one.alive and one.fate == "endless"}
        held = (one for attempts in self.checks.seen.values() for one in attempts.values() if is_held(one))
        runs = {one.run_id for one in held if (one.id, one.token) in endless}
        return {run_id for run_id in runs if self.checks.runs[run_id].state is not State.CANCELLING}


class Wall:
    """The server's clock: the field's, with its jumps; what it told is noted."""

    def __init__(self, field: Field, told: list[int]) -> None:
        self._field = field
        self._told = told

    def now(self) -> int:
        """The time in milliseconds."""
        moment = self._field.wall()
        if not self._told or self._told[-1] != moment:
            self._told.append(moment)
        return moment


class Ears(logging.Handler):
    """Hears what the engine logs: a defect that it survived is a defect all the same."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        self._log = logging.getLogger("runyard")

    def emit(self, record: logging.LogRecord) -> None:
        causes = [one for one in (record.args or ()) if isinstance(one, BaseException)]
        expected = causes and all(isinstance(one, RunyardError) and one.code is Code.UNAVAILABLE for one in causes)
        if not expected:
            error = record.exc_info[1] if record.exc_info else ""
            self.heard.append(f"{record.getMessage()} {error!r}")

    def __enter__(self) -> Ears:
        self._propagate, self._log.propagate = self._log.propagate, False
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagate


def _ignore(_: Run | object) -> None:
    """The checks look at the store instead."""
