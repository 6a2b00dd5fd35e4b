"""What starts runs by itself: a schedule, a trigger by the clock, one after runs, one that keeps a job running.

Half of the stories have some of it. What the clock calls for is worked out here by plain arithmetic, from what the
server read of it, and compared with what was kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

from runyard.core.commands import Repair
from runyard.core.model import JobSpec, OnLimit, Run, Task, Tick
from runyard.core.schedule import Schedule
from runyard.core.states import TERMINAL, State
from runyard.core.triggers import (
    AfterRuns,
    Cause,
    Continuous,
    Firing,
    OnSchedule,
    StartRun,
    Trigger,
    TriggerSpec,
    Watched,
    cause_of,
)
from runyard.store.base import Reads

from . import jobs
from .checks import require

if TYPE_CHECKING:
    from .world import World

GRACE_MS = 3_000
"""When a tick is late, in a story: a minute would be longer than most of them."""
SELF_STARTED = ("schedule", "after_runs", "continuous")
MISFIRES: tuple[Literal["skip", "catch_up"], ...] = ("skip", "catch_up")
KINDS = ("", "", "", "", "", "schedule", "schedule", "trigger", "schedule after", "trigger after", "continuous")


def called_for(schedule: Schedule, anchor: int, next_at: int, now: int) -> tuple[int, frozenset[int]]:
    """What a look at a schedule at this moment gives: the next tick, and the ticks of which a line is kept."""
    step = round((schedule.every or 0) * 1000)
    following = anchor + ((now - anchor) // step + 1) * step
    ticks = range(next_at, following, step)
    late = [tick for tick in ticks if tick < now - GRACE_MS]
    given_up = late[: max(len(late) - (schedule.catch_up_limit if schedule.misfire == "catch_up" else 0), 0)]
    # Of those that are given up only the last one has a line, which tells of all of them.
    return following, frozenset(ticks) - frozenset(given_up[:-1])


class Ticks(Protocol):
    """Something that fires by the clock."""

    id: int
    schedule: Schedule

    def stands(self, reads: Reads) -> tuple[int, int | None]:
        """From where it counts, and its next tick; None while it is paused."""

    def lines(self, reads: Reads, start: int, end: int) -> set[int]:
        """The ticks of a stretch of time that something is kept of."""


class ByJob:
    """A job's own schedule."""

    def __init__(self, job_id: int, schedule: Schedule) -> None:
        self.id = job_id
        self.schedule = schedule

    def stands(self, reads: Reads) -> tuple[int, int | None]:
        table = reads.timetable(self.id)
        assert table is not None
        return table.anchor_at, table.next_at

    def lines(self, reads: Reads, start: int, end: int) -> set[int]:
        return {tick.at for tick in reads.ticks(self.id, start, end, 10_000)}


class ByTrigger:
    """A trigger with a schedule."""

    def __init__(self, trigger_id: int, schedule: Schedule) -> None:
        self.id = trigger_id
        self.schedule = schedule

    def stands(self, reads: Reads) -> tuple[int, int | None]:
        trigger = _trigger(reads, self.id)
        return trigger.anchor_at, trigger.next_at

    def lines(self, reads: Reads, start: int, end: int) -> set[int]:
        ticks = [firing.data["schedule"]["at"] for firing in reads.firings(self.id, 10_000, None)]
        assert len(ticks) == len(set(ticks)), f"each tick fires once: {sorted(ticks)}"
        return {tick for tick in ticks if start <= tick < end}


class Clockwork:
    """The clockwork of one story, and what was seen of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.readings: list[int] = []
        """What the server read of the clock since the last look."""
        self.clocks: list[Ticks] = []
        self.triggers: list[int] = []
        self.after: tuple[int, int, list[State]] | None = None
        """A trigger, the job whose ends it waits for, and which of them."""
        self.continuous: int | None = None
        self.of_tick: dict[tuple[int, int], int] = {}
        """The run of each tick of a job's schedule."""
        self.caused: dict[int, Cause] = {}
        """New runs that say which firing started them, until the firing was seen."""
        self.owed: set[int] = set()
        """The chains in which the trigger after runs must have fired."""
        self.fired: dict[int, dict[int, Firing]] = {}
        """By trigger and chain."""
        self.still = True
        self._stood: dict[int, int] = {}
        self._running: set[str] = set()

    # --- the story ---

    def prepare(self) -> None:
        """Sets it up; the world steps on until each part of it is kept."""
        rng, kind = self.world.rng, self.world.rng.choice(KINDS)
        if not kind or self.world.prunes:  # firings are pruned, too, and could not be counted
            return
        every, misfire = rng.choice((2.5, 4.0)), rng.choice(MISFIRES)
        schedule = Schedule(every=every, misfire=misfire, catch_up_limit=rng.randint(1, 3))
        self.still = False
        first = self._job("first", schedule if "schedule" in kind else None)
        if "schedule" in kind:
            self._running.add(f"job {first}")
            self.clocks.append(ByJob(first, schedule))
        if "trigger" in kind:
            self.clocks.append(ByTrigger(self._trigger(OnSchedule(schedule=schedule), first), schedule))
        if "after" in kind:
            states = rng.choice(([State.SUCCEEDED], sorted(TERMINAL)))
            watch = [Watched(job=first, states=states)]
            # Kept on: it comes to rest with the runs that it waits for.
            source = AfterRuns(watch=watch, match=rng.choice(("any", "all")), by_hand=True)
            self.after = self._trigger(source, self._job("second", None), pauses=False), first, states
        if kind == "continuous":
            self.continuous = self._trigger(Continuous(delay=2.0, backoff=rng.choice((1.0, 2.0))), first)
        for clock in self.clocks:
            self._stood[clock.id] = clock.stands(self.world.store.writer)[1] or 0
        self.readings.clear()
        for moment in (rng.randrange(3_000, 6_000), rng.randrange(5_000, 9_000)):
            self.world.agenda.at(moment, self._repair, first)

    def _repair(self, job_id: int) -> None:
        """An operator does a run again, perhaps while the next one works, or after what followed its end."""
        over = [run.id for run in self.world.checks.runs.values() if run.job_id == job_id and run.state in TERMINAL]
        if over and self.world.up:
            command = Repair(run_id=self.world.rng.choice(over), tasks=["a"])
            self.world.ask("repair", lambda: self.world.engine.runs.repair(command, "bob"), lambda _: None)

    def _job(self, name: str, schedule: Schedule | None) -> int:
        rng = self.world.rng
        task = Task(key="a", action=jobs.SHELL, retries=rng.choice(jobs.RETRIES))
        limits = jobs.limits(rng)
        if self.world.rng.random() < 0.3:
            limits = {"max_concurrent_runs": 1, "on_limit": rng.choice(list(OnLimit))}
        return self.world.create(JobSpec(name=name, tasks=[task], schedule=schedule, timeout=4.0, **limits))

    def _trigger(self, source: Any, job_id: int, *, pauses: bool = True) -> int:
        spec = TriggerSpec(source=source, actions=[StartRun(job=job_id)])
        world = self.world
        trigger: Trigger = world.made("create trigger", lambda: world.engine.triggers.create(spec, "ann"))
        self.triggers.append(trigger.id)
        self.fired[trigger.id] = {}
        if pauses:
            self._running.add(f"trigger {trigger.id}")
        return trigger.id

    def settled(self, latest_ms: int) -> None:
        """No tick that was due so long ago is left; from now on nothing begins by itself."""
        reads, wall = self.world.store.writer, self.world.field.wall()
        for clock in self.clocks:
            next_at = clock.stands(reads)[1] or 0
            require(next_at > wall - latest_ms, "a tick that is due fires", clock.schedule, next_at, wall)
        self.still = True
        self.stop()

    def stop(self) -> None:
        """Pauses it, so that the story can end; asked again until it is so."""
        if not self.still:
            return
        for one in sorted(self._running):
            self._pause(one)

    def _pause(self, one: str) -> None:
        what, number = one.split()
        engine = self.world.engine
        facade = engine.schedules if what == "job" else engine.triggers
        self.world.ask(f"pause {one}", lambda: facade.pause(int(number), "ann"), lambda _: self._running.discard(one))

    @property
    def over(self) -> bool:
        """Whether nothing begins by itself any more."""
        return self.still and not self._running

    # --- what must hold ---

    def changed(self, run: Run, before: Run | None) -> None:
        """A run is as it was not before."""
        cause = cause_of(run.extras)
        if before is None and run.trigger in SELF_STARTED:
            self.world.mine.append(run.id)  # users meddle with it as with their own
            if cause is not None:
                self.caused[run.id] = cause
            else:
                tick = (run.job_id or 0, run.extras["schedule"]["at"])
                require(tick not in self.of_tick, "each tick gives one run", run, self.of_tick.get(tick))
                self.of_tick[tick] = run.id
        if self.after is not None and run.job_id == self.after[1] and run.state in self.after[2]:
            self.owed.add(run.id if cause is None else cause.chain)

    def look(self, stirred: bool) -> None:
        """Compares what is kept with what the clock and the ends of runs called for; `stirred`: some of it moved."""
        reads = self.world.store.writer
        if stirred:
            for clock in self.clocks:
                self._beat(clock, reads)
            for trigger_id in self.triggers:
                for firing in self._new_firings(reads, trigger_id):
                    self._firing(firing)
        require(not self.caused, "a run that a trigger started is told in its firing", self.caused)
        if self.after is not None:
            missing = self.owed - self.fired[self.after[0]].keys()
            require(not missing, "the end of a run fires what waits for it", missing)
        if self.continuous is not None:
            self._keeps_on(_trigger(reads, self.continuous))
        self.readings.clear()

    def _beat(self, clock: Ticks, reads: Reads) -> None:
        before = self._stood.get(clock.id)
        anchor, now = clock.stands(reads)
        self._stood[clock.id] = now or 0
        if before is None or now is None or now == before:
            return
        possible = [(before, frozenset[int]())]
        for reading in self.readings:
            for next_at, lines in list(possible):
                if next_at <= reading:
                    following, more = called_for(clock.schedule, anchor, next_at, reading)
                    possible.append((following, lines | more))
        found = (now, frozenset(clock.lines(reads, before, now)))
        require(found in possible, "each tick that is due is kept once", clock.schedule, before, found, possible[:3])
        if isinstance(clock, ByJob):
            for tick in reads.ticks(clock.id, before, now, 10_000):
                self._tick(tick)

    def _tick(self, tick: Tick) -> None:
        if tick.run_id is None:
            require(bool(tick.detail), "a tick without a run says why", tick)
        else:
            require(self.of_tick.get((tick.job_id, tick.at)) == tick.run_id, "a tick names its own run", tick)

    def _new_firings(self, reads: Reads, trigger_id: int) -> Iterator[Firing]:
        known, fired = self.fired[trigger_id], _trigger(reads, trigger_id).fired
        new = reads.firings(trigger_id, fired - len(known) + 1, None)[: fired - len(known)][::-1]
        numbers = [firing.number for firing in new]
        require(numbers == list(range(len(known) + 1, fired + 1)), "firings are counted", trigger_id, numbers, fired)
        yield from new

    def _firing(self, firing: Firing) -> None:
        known = self.fired[firing.trigger_id]
        require(firing.chain not in known, "a trigger fires once in a chain", firing, known.get(firing.chain))
        known[firing.chain] = firing
        require(bool(firing.runs or firing.detail), "a firing without a run says why", firing)
        for run_id in firing.runs:
            cause = self.caused.pop(run_id, None)
            require(cause is not None and cause.firing == firing.id, "a firing names its own runs", firing, cause)
        if self.after is not None and firing.trigger_id == self.after[0]:
            runs = [self.world.checks.runs.get(run_id) for run_id in firing.after]
            ended = [one is None or one.round or one.state in self.after[2] for one in runs]
            require(bool(runs) and all(ended), "it fires after the end that it waits for", firing, runs)

    def _keeps_on(self, trigger: Trigger) -> None:
        """A job that is kept running runs, or will at a known moment; and not twice."""
        firings = list(self.fired[trigger.id].values())
        live = [one for firing in firings for one in firing.runs if self._is_live(one)]
        if trigger.active:
            due = trigger.next_at is not None
            require(due or bool(live), "a job that is kept running goes on", trigger, firings[-1:])
        first_round = [one for one in live if not self.world.checks.runs[one].round]
        require(len(first_round) <= 1, "a job that is kept running runs once at a time", first_round)

    def _is_live(self, run_id: int) -> bool:
        run = self.world.checks.runs.get(run_id)
        return run is not None and run.state not in TERMINAL


def _trigger(reads: Reads, trigger_id: int) -> Trigger:
    trigger = reads.trigger(trigger_id)
    assert trigger is not None
    return trigger
