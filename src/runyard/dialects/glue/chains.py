"""Workflow runs as chains of firings: their status, their graph, their statistics, and which are live."""

from __future__ import annotations

from typing import Any, NamedTuple

from runyard.core.model import Run, TaskRun
from runyard.core.query import MAX_PAGE, RunFilter
from runyard.core.states import TERMINAL, State
from runyard.core.triggers import Firing, cause_of
from runyard.dialects.glue import scheme, tables, wire
from runyard.dialects.glue.runs import JobRuns, found_run
from runyard.engine.runs import Runs
from runyard.engine.triggers import Triggers

Json = dict[str, Any]
RUNNING, COMPLETED, STOPPING, STOPPED, ERROR = "RUNNING", "COMPLETED", "STOPPING", "STOPPED", "ERROR"
LIVE = [state for state in State if state not in TERMINAL]
_COUNTED = {
    "TIMEOUT": "TimeoutActions",
    "FAILED": "FailedActions",
    "STOPPED": "StoppedActions",
    "SUCCEEDED": "SucceededActions",
    "ERROR": "ErroredActions",
    "WAITING": "WaitingActions",
    "STARTING": "RunningActions",
    "RUNNING": "RunningActions",
    "STOPPING": "RunningActions",
}


class Chain(NamedTuple):
    """One workflow run: the firing that it began with, all its firings, and its runs by job, oldest first."""

    root: Firing
    firings: list[Firing]
    runs: list[Run]

    @property
    def live(self) -> list[Run]:
        """Runs that are not over."""
        return [run for run in self.runs if run.state not in TERMINAL]

    @property
    def status(self) -> str:
        """COMPLETED also when jobs of it failed; ERROR when it could start nothing."""
        if self.root.closed_at is not None:
            return STOPPING if self.live else STOPPED
        if not self.runs:
            return ERROR
        return RUNNING if self.live else COMPLETED

    @property
    def completed_at(self) -> int | None:
        """When its last run ended, in milliseconds."""
        if self.live:
            return None
        ends = [run.ended_at for run in self.runs if run.ended_at is not None and run.ended_at >= self.root.at]
        return max([*ends, self.root.closed_at or self.root.at])

    @property
    def resumed(self) -> int | None:
        """The chain from which it goes on."""
        found = self.root.data.get("resumed")
        return int(found) if found is not None else None

    @property
    def given(self) -> Json:
        """The run properties with which it was started; None of them where the engine started it."""
        return dict(self.root.extras.get(tables.NAME, {}).get("properties", {}))


class Chains:
    """Reads chains, and shows them as Glue's WorkflowRun."""

    def __init__(self, triggers: Triggers, runs: Runs, job_runs: JobRuns) -> None:
        self._triggers = triggers
        self._runs = runs
        self._job_runs = job_runs

    def load(self, chain: int) -> Chain | None:
        """The chain that began with this firing; None when there is none."""
        firings = self._triggers.chain(chain)
        root = next((one for one in firings if one.id == chain), None)
        if root is None:
            return None
        ids = sorted({run_id for one in firings for run_id in one.runs})
        found = [found_run(self._runs, run_id) for run_id in ids]
        return Chain(root, firings, [run for run in found if run is not None])

    def live(self, scope: str) -> set[int]:
        """The chains of a workflow that are not over: a chain has a live run until its end."""
        found: set[int] = set()
        cursor = None
        while True:
            page = self._runs.find(RunFilter(origin=tables.NAME, states=LIVE), MAX_PAGE, cursor)
            causes = [cause_of(run.extras) for run in page.items]
            found |= {one.chain for one in causes if one is not None and one.scope == scope}
            cursor = page.next
            if cursor is None:
                return found

    def attempts(self, chain: Chain) -> dict[str, list[tuple[Run, TaskRun | None]]]:
        """The attempts of each job in the chain, oldest first."""
        found: dict[str, list[tuple[Run, TaskRun | None]]] = {}
        for run in chain.runs:
            attempts: list[TaskRun | None] = list(self._runs.task_runs(run.id, newest=False))
            found.setdefault(run.name, []).extend((run, one) for one in attempts or [None])
        return found

    def graph(self, workflow: str, triggers: list[Json], chain: Chain) -> Json:
        """The graph as it was when the run started, with what became of each job."""
        drawn = scheme.graph(workflow, triggers)
        attempts = self.attempts(chain)
        for node in drawn["Nodes"]:
            if node["Type"] == "JOB":
                shown = [self._job_runs.body(run, one) for run, one in attempts.get(node["Name"], [])]
                node["JobDetails"] = {"JobRuns": shown}
        return drawn

    def statistics(self, triggers: list[Json], chain: Chain) -> Json:
        """How many actions there are, and how many stand where; by the newest attempt of each."""
        counts = dict.fromkeys(["TotalActions", *_COUNTED.values()], 0)
        counts["TotalActions"] = len({name for one in triggers for name in scheme.started_jobs(one)})
        for attempts in self.attempts(chain).values():
            counts[_COUNTED[wire.state_of(*attempts[-1])]] += 1
        refused = [one for one in chain.firings if one.detail]
        counts["ErroredActions"] += len(refused)
        return counts
