"""Executors whose attempts take virtual time and do not behave."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from runyard.core.attempts import Assignment, Finished, Held, Outcome, Progress, Report, Started
from runyard.executors.base import Sink

from .loop import Agenda

FATES = ("plain", "plain", "twice", "vanish", "zombie", "released", "endless", "endless", "silent start")
Claim = tuple[int, int]
"""Task run and token."""


class Attempt:
    """The process of one claim, as it really is, whatever the server believes."""

    __slots__ = ("alive", "claim", "fate", "given_up", "one", "stopping", "told")

    def __init__(self, one: Assignment, fate: str) -> None:
        self.one = one
        self.claim: Claim = (one.task_run_id, one.token)
        self.fate = fate
        self.alive = True
        self.given_up = False
        """Reported lost although it still runs: what it does from now on must not count."""
        self.stopping: Outcome | None = None
        """Told to end, and how it will: its launcher sees to that, also while no server is there."""
        self.told: Outcome | None = None
        """How it ended, as its launcher wrote it down."""


class Field:
    """All that is physically there: attempts, and when each was reported to have started."""

    def __init__(self, agenda: Agenda, rng: random.Random) -> None:
        self.agenda = agenda
        self.rng = rng
        self.skew = 0
        self.calm = False
        self.attempts: dict[Claim, Attempt] = {}
        self.started: dict[Claim, int] = {}

    def wall(self) -> int:
        """The time on the machine's clock."""
        return 1_800_000_000_000 + self.agenda.now + self.skew

    def told_start(self, claim: Claim, moment: int) -> bool:
        """Whether a living attempt told its start before this moment."""
        attempt = self.attempts.get(claim)
        return attempt is not None and attempt.alive and self.started.get(claim, moment) < moment

    def living(self, name: str) -> list[Attempt]:
        """Attempts that an executor holds."""
        return [one for one in self.attempts.values() if one.alive and not one.given_up and _executor(one) == name]

    def crash(self) -> None:
        """The server is gone; some attempts go with it."""
        for one in self.attempts.values():
            if one.alive and self.rng.random() < 0.4:
                one.alive = False


def _executor(attempt: Attempt) -> str:
    return "warehouse" if type(attempt.one.action).__name__ in ("Sql", "Load") else "process"


class FieldExecutor:
    """The server's hand in the field; a new one for each server process."""

    def __init__(self, name: str, capacity: int, field: Field, check_start: Any) -> None:
        self.name = name
        self.capacity = capacity
        self.field = field
        self.sink: Sink = lambda reports: None
        self.dead = False
        self._check_start = check_start

    # --- the seam ---

    def open(self, sink: Sink) -> None:
        self.sink = sink

    def start(self, assignments: Sequence[Assignment]) -> None:
        for one in assignments:
            self._check_start(self, one)
            fate = "plain" if self.field.calm else self.field.rng.choice(FATES)
            attempt = self.field.attempts[one.task_run_id, one.token] = Attempt(one, fate)
            self._plan(attempt)

    def stop(self, task_run_id: int, token: int, *, grace: float, why: str) -> None:
        attempt = self.field.attempts.get((task_run_id, token))
        if attempt is None or not attempt.alive:
            return
        roll = self.field.rng.random()
        # It was just done, or it ends politely, or after the grace period.
        result = "succeeded" if roll < 0.1 else "failed" if roll < 0.25 else "stopped"
        delay = 1 if roll < 0.25 else self.field.rng.randint(1, 400) if roll < 0.8 else round(grace * 1000)
        attempt.stopping = _outcome(attempt, result)
        self._later(delay, self._end, attempt, attempt.stopping)

    def extend(self, until: float) -> None:
        pass

    def recover(self, held: Sequence[Held]) -> list[Held]:
        gone: list[Held] = []
        for one in held:
            attempt = self.field.attempts.get((one.task_run_id, one.token))
            if attempt is not None and attempt.alive and not attempt.given_up:
                self._plan(attempt)
                if attempt.claim in self.field.started:  # its launcher tells whoever attaches
                    self._later(3, self._tell_start, attempt)
                if attempt.stopping is not None:
                    self._later(100, self._end, attempt, attempt.stopping)
            elif attempt is not None and attempt.told is not None:
                self._later(5, self._tell_end, attempt)
            else:
                gone.append(one)
        return gone

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        return b"", 0

    def read_log_index(self, run_id: int, task_run_id: int) -> list[tuple[int, int, int]]:
        return []

    def read_artifact(self, run_id: int, task_run_id: int, name: str) -> bytes | None:
        return None

    def forget(self, run_id: int) -> None:
        living = [one for one in self.field.living(self.name) if one.one.run_id == run_id]
        assert not living, f"a run is deleted while it works: {living}"

    def healthy(self) -> str | None:
        return None

    def close(self, grace: float) -> None:
        self.dead = True

    # --- what attempts do ---

    def _later(self, delay: int, call: Any, *args: Any) -> None:
        self.field.agenda.at(delay, self._if_up, call, args)

    def _if_up(self, call: Any, args: tuple[Any, ...]) -> None:
        if not self.dead:
            call(*args)

    def _plan(self, attempt: Attempt) -> None:
        """The rest of an attempt's life, from its start or from where a new server takes it up."""
        rng, fate = self.field.rng, attempt.fate
        first, length = rng.randint(1, 300), rng.choice((50, 400, 1500, 6000))
        if fate != "silent start":
            self._later(first, self._begin, attempt)
        if fate == "endless" and not self.field.calm:
            return
        if fate in ("vanish", "zombie"):
            self._later(first + length, self._give_up, attempt)
        if fate != "vanish":
            result = "released" if fate == "released" else rng.choice(("succeeded", "succeeded", "succeeded", "failed"))
            late = rng.randint(10, 3000) if fate == "zombie" else 0
            self._later(first + length + late, self._end, attempt, _outcome(attempt, result, rng.random() < 0.8))

    def _begin(self, attempt: Attempt) -> None:
        """Its start, or the word of it once more for a new server that took it up."""
        if attempt.alive:
            at = self.field.started.setdefault(attempt.claim, self.field.wall())
            roll = self.field.rng.random()
            reports: list[Report] = [Started(*attempt.claim, at)]
            if roll < 0.3:
                reports.append(Progress(*attempt.claim, at, {"fraction": 0.5}))
            for told in [reports] if roll < 0.15 else [[one] for one in reports]:  # in one breath, or one by one
                self.sink(told)

    def _tell_start(self, attempt: Attempt) -> None:
        if attempt.alive:
            self._report(Started(*attempt.claim, self.field.started[attempt.claim]))

    def _give_up(self, attempt: Attempt) -> None:
        """The executor lost sight of it. It is dead, or (a zombie) only believed to be."""
        if attempt.alive and not attempt.given_up:
            attempt.alive = attempt.fate == "zombie"
            attempt.given_up = True
            self._report(Finished(*attempt.claim, self.field.wall(), _outcome(attempt, "lost")))

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.alive:
            attempt.alive = False
            attempt.told = outcome
            self._tell_end(attempt)
            if attempt.fate == "twice":
                self._later(self.field.rng.randint(1, 2000), self._tell_end, attempt)
            if attempt.fate == "released":  # a last word after it was given back
                late = _outcome(attempt, "failed")
                self._later(700, self._report, Finished(*attempt.claim, self.field.wall(), late))

    def _tell_end(self, attempt: Attempt) -> None:
        assert attempt.told is not None
        self._report(Finished(*attempt.claim, self.field.wall(), attempt.told))

    def _report(self, report: Report) -> None:
        self.sink([report])


def _outcome(attempt: Attempt, result: Any, retry: bool = True) -> Outcome:
    """Marked with the claim that tells it, so that it can be recognised wherever it ends up."""
    values = {"token": attempt.one.token}
    reason = "exit_code" if result == "failed" else ""
    return Outcome(
        result=result, reason=reason, values=values, retry=retry, output=[1] if result == "succeeded" else None
    )
