"""The facade for runs: submit, watch, stop, repair, and everything that is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from runyard.core import lifecycle
from runyard.core.commands import Cancel, Repair, Rerun, Spawn, Submit
from runyard.core.errors import Code, RunyardError, conflict, invalid, not_found
from runyard.core.graph import Plan, merge_parameters, validate
from runyard.core.model import Event, Job, JobSpec, Run, TaskRun
from runyard.core.query import Page, RunFilter, check_limit, cursor_of, parse_cursor
from runyard.core.states import TERMINAL, Reason
from runyard.engine import notices, spawned, waiting
from runyard.engine.bus import Bus
from runyard.engine.ledger import Ledger, new_run
from runyard.engine.logs import Read
from runyard.engine.waiting import Waiting
from runyard.engine.worker import Worker
from runyard.engine.writer import Reply, Writer
from runyard.store.base import Store, Submission

T = TypeVar("T")
MAX_KEY = 256
_digest_encoder = msgspec.msgpack.Encoder(order="sorted")


class Submitted(msgspec.Struct, frozen=True):
    """A run, and whether this submission made it (False: an earlier one with the same idempotency key did)."""

    run: Run
    created: bool


class Runs:
    """What faces call. Write verbs answer with a `Reply` once the change is on disk."""

    def __init__(self, store: Store, writer: Writer, worker: Worker, bus: Bus, *, mail: bool = False) -> None:
        self._store = store
        self._writer = writer
        self._worker = worker
        self._bus = bus
        self.elsewhere: Read | None = None
        """Reads the log of an attempt that was not this process's."""
        self._mail = mail

    # --- writes ---

    def submit(self, command: Submit, by: str, *, expect_version: int | None = None) -> Reply[Submitted]:
        """Starts a run; raises `RunyardError` at once for a definition that can never run.

        conflict when the job's version is not the expected one.
        """
        plan = _plan_of(command, mail=self._mail)
        digest = _digest(command)
        if expect_version is None:
            return self._writer.execute(lambda ledger: _submit(ledger, command, plan, digest, by))

        def run(ledger: Ledger) -> Submitted:
            _check_version(ledger, command, expect_version)
            return _submit(ledger, command, plan, digest, by)

        return self._writer.execute(run)

    def submit_many(self, commands: list[Submit], by: str) -> Reply[list[Run]]:
        """Starts several runs, all or none."""
        prepared = [(command, _plan_of(command, mail=self._mail), _digest(command)) for command in commands]

        def run(ledger: Ledger) -> list[Run]:
            return [_submit(ledger, command, plan, digest, by).run for command, plan, digest in prepared]

        return self._writer.execute(run)

    def spawn(self, command: Spawn) -> Reply[Run]:
        """Starts a run for a live attempt; conflict when it holds its task no longer."""
        plan = validate(command.spec)
        return self._writer.execute(lambda ledger: spawned.spawn(ledger, command, plan, _submit))

    def spawned(self, task_run_id: int, run_id: int) -> spawned.Spawned:
        """How a run stands that an attempt started; raises not_found for any other run."""
        return spawned.look(self, task_run_id, run_id)

    def cancel(self, command: Cancel, by: str) -> Reply[Run]:
        """Asks for the end of a run or of one task run; conflict if that has ended."""

        def run(ledger: Ledger) -> Run:
            if command.task_run_id is None:
                event: lifecycle.Input = lifecycle.CancelRun(by, detail=command.detail)
            else:
                event = lifecycle.CancelTask(command.task_run_id, by, command.detail)
            return ledger.advance(command.run_id, event).run

        return self._writer.execute(run)

    def cancel_job(self, job_id: int, by: str) -> Reply[int]:
        """Asks for the end of every run of a job; answers how many that were."""

        def run(ledger: Ledger) -> int:
            live = ledger.session.live_runs(job_id)
            # Those that wait first: none of them must slip in while the others end.
            for run_id in reversed(live):
                if ledger.snapshot(run_id).run.state not in TERMINAL:
                    ledger.advance(run_id, lifecycle.CancelRun(by))
            return len(live)

        return self._writer.execute(run)

    def repair(self, command: Repair, by: str) -> Reply[Run]:
        """Runs parts of a finished run again, as a new round of it."""
        return self._writer.execute(lambda ledger: _repair(ledger, command, by))

    def rerun(self, command: Rerun, by: str) -> Reply[Submitted]:
        """Starts a new run like an earlier one: its definition as it was, its parameters with changes over them."""
        spec, earlier = self.spec(command.run_id), self.get(command.run_id)
        submit = Submit(
            spec=spec,
            parameters={**earlier.parameters, **command.parameters},
            name=earlier.name,
            queue=earlier.queue,
            priority=earlier.priority,
            tags=earlier.tags,
            idempotency_key=command.idempotency_key,
            workspace=earlier.workspace,
            origin=earlier.origin,
            trigger="rerun",
            extras=earlier.extras,
        )
        plan, digest = Plan(spec), _digest(command)  # what was asked: the earlier run may be repaired meanwhile
        return self._writer.execute(lambda ledger: _rerun(ledger, submit, plan, digest, by, earlier))

    def delete(self, run_id: int, by: str) -> Reply[None]:
        """Removes a finished run with its history; conflict while it is active."""

        def run(ledger: Ledger) -> None:
            found = ledger.snapshot(run_id).run
            if found.state not in TERMINAL:
                raise conflict(f"Run {run_id} is {found.state.value}; cancel it before you delete it.")
            ledger.delete(run_id)

        return self._writer.execute(run)

    # --- reads ---

    def get(self, run_id: int) -> Run:
        """One run; raises not_found."""
        with self._store.reading() as reads:
            return _found(reads.run(run_id), "run", run_id)

    def names(self, run_ids: Iterable[int]) -> dict[int, str]:
        """What runs are called, as far as they are kept."""
        with self._store.reading() as reads:
            return {run.id: run.name for run in map(reads.run, run_ids) if run is not None}

    def find(self, where: RunFilter, limit: int = 25, cursor: str | None = None) -> Page[Run]:
        """A page of runs, newest first."""
        check_limit(limit)
        with self._store.reading() as reads:
            found = reads.runs(where, limit + 1, parse_cursor(cursor))
        more = len(found) > limit
        return Page(found[:limit], cursor_of(found[limit - 1].id) if more else None)

    def newer(self, where: RunFilter, than: int, limit: int = 25) -> tuple[Page[Run], bool]:
        """The page before one that begins after run `than`: newest first, and whether there are newer ones still.

        The page's own cursor leads back to where it came from.
        """
        check_limit(limit)
        with self._store.reading() as reads:
            found = reads.runs(where, limit + 1, than, newer=True)
        page = found[:limit][::-1]
        return Page(page, cursor_of(page[-1].id) if page else None), len(found) > limit

    def task_runs(self, run_id: int, *, newest: bool = True) -> list[TaskRun]:
        """The run's attempts, oldest first; `newest` keeps only the last one of each task and iteration."""
        with self._store.reading() as reads:
            found = reads.task_runs(run_id)
        if not newest:
            return found
        last = {(one.task_key, one.iteration): one for one in found}
        return sorted(last.values(), key=lambda one: one.id)

    def of_job(self, job_id: int, limit: int, after: tuple[int, int] | None = None) -> list[tuple[Run, TaskRun | None]]:
        """Every attempt of a job's runs with its run, newest first; `after` is the last pair of the page before."""
        with self._store.reading() as reads:
            return reads.job_task_runs(job_id, limit, after)

    def task_run(self, task_run_id: int) -> TaskRun:
        """One attempt; raises not_found."""
        with self._store.reading() as reads:
            return _found(reads.task_run(task_run_id), "task run", task_run_id)

    def spec(self, run_id: int) -> JobSpec:
        """The definition that the run follows."""
        with self._store.reading() as reads:
            return _found(reads.run_spec(run_id), "run", run_id)

    def events(self, run_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
        """The run's history after a sequence number, oldest first."""
        with self._store.reading() as reads:
            return reads.events(run_id, after, limit)

    def output(self, task_run_id: int) -> bytes | None:
        """The JSON that an attempt gave back, or None."""
        with self._store.reading() as reads:
            return reads.output(task_run_id)

    def log(self, task_run_id: int, start: int = 0, end: int | None = None) -> tuple[bytes, int]:
        """Bytes `[start, end)` of an attempt's log, and its whole size so far."""
        one = self.task_run(task_run_id)
        executor = self._worker.executors.get(one.executor)
        found = executor.read_log(one.run_id, one.id, start, end) if executor else (b"", 0)
        if found[1] or self.elsewhere is None:
            return found
        return self.elsewhere(one.run_id, one.id, start, end)

    def log_index(self, task_run_id: int) -> list[tuple[int, int, int]]:
        """(milliseconds, stream 1 or 2, offset) of each piece of an attempt's log, in order."""
        one = self.task_run(task_run_id)
        executor = self._worker.executors.get(one.executor)
        return executor.read_log_index(one.run_id, one.id) if executor else []

    def artifact(self, task_run_id: int, name: str) -> bytes:
        """A named file that an attempt left, such as `export.html`; raises not_found, or too_large over 64 MiB."""
        one = self.task_run(task_run_id)
        executor = self._worker.executors.get(one.executor)
        return _found(executor.read_artifact(one.run_id, one.id, name) if executor else None, "artifact", name)

    def progress(self, task_run_id: int) -> dict[str, object] | None:
        """The last progress that a live attempt reported."""
        return self._worker.progress.get(task_run_id)

    def waiting(self, run_id: int) -> Waiting:
        """Why the run, and each task run of it that waits, is waiting."""
        with self._store.reading() as reads:
            run = _found(reads.run(run_id), "run", run_id)
            return waiting.explain(reads, run, self._worker)

    def watch(self, run_id: int, wake: Callable[[], None]) -> Callable[[], None]:
        """Calls `wake` after each commit that touches the run; returns the function that ends it."""
        return self._bus.watch(run_id, wake)


def _found(value: T | None, what: str, key: object) -> T:
    if value is None:
        raise not_found(what, key)
    return value


def _plan_of(command: Submit, *, mail: bool) -> Plan | None:
    if command.job_id is None and command.spec is None:
        raise invalid("Say which job to run, or give a definition: job or spec.", field="job")
    key = command.idempotency_key
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise invalid(f"An idempotency key has 1 to {MAX_KEY} characters.", field="idempotency_key")
    if command.spec is None:
        return None
    notices.check_mail(command.spec, mail=mail)
    return validate(command.spec)


def _digest(command: Submit | Rerun) -> bytes:
    if command.idempotency_key is None:
        return b""
    return hashlib.sha256(_digest_encoder.encode(command)).digest()


def _submit(ledger: Ledger, command: Submit, plan: Plan | None, digest: bytes, by: str, **more: Any) -> Submitted:
    key, scope = command.idempotency_key, f"{command.workspace}/{command.origin}"
    if key is not None:
        earlier = _earlier(ledger, scope, key, digest)
        if earlier is not None:
            return Submitted(earlier, created=False)
    job, newest = ledger.job(command.job_id) if command.job_id is not None else (None, None)
    plan = plan or _present(newest)
    _check_live(ledger, command.max_live)
    run = _new_run(ledger, command, plan, job, by, more)
    only = plan.select(command.only) if command.only is not None else None
    run = ledger.create(run, plan, None if plan is newest else plan.spec, only, command.on_limit)
    if key is not None:
        ledger.session.put(Submission(scope, key, digest, run.id, run.created_at))
    return Submitted(run, created=True)


def _check_version(ledger: Ledger, command: Submit, expected: int) -> None:
    if command.job_id is None:
        return
    job, _ = ledger.job(command.job_id)
    if job.version != expected:
        raise conflict(f"Job {job.id} is at version {job.version}, not {expected}.", version=job.version)


def _new_run(ledger: Ledger, command: Submit, plan: Plan, job: Job | None, by: str, more: dict[str, Any]) -> Run:
    spec = plan.spec
    run = new_run(
        ledger,
        spec,
        job=job,
        by=by,
        name=command.name,
        queue=command.queue,
        priority=command.priority,
        parameters=merge_parameters(spec, command.parameters),
        trigger=command.trigger,
        tags={**spec.tags, **command.tags},
        workspace=job.workspace if job else command.workspace,
        origin=command.origin,
        extras=command.extras,
        **more,
    )
    return run if command.spec is None else msgspec.structs.replace(run, job_version=None)


def _present(plan: Plan | None) -> Plan:
    assert plan is not None  # a command has a job or a definition
    return plan


def _check_live(ledger: Ledger, limit: int | None) -> None:
    if limit is not None and ledger.live() >= limit:
        said = f"{limit} runs are not over yet, which is the limit. Wait for one to end, or raise the limit."
        raise RunyardError(Code.LIMIT, said, max_live=limit)


def _earlier(ledger: Ledger, scope: str, key: str, digest: bytes) -> Run | None:
    ledger.lock("submission", (scope, key))
    found = ledger.session.submission(scope, key)
    if found is None:
        return None
    if found.digest != digest:
        raise RunyardError(
            Code.ALREADY_EXISTS,
            f"The idempotency key {key!r} was used for another submission (run {found.run_id}); use a new key.",
            run_id=found.run_id,
        )
    run = ledger.session.run(found.run_id)
    if run is None:
        raise conflict(f"The idempotency key {key!r} gave run {found.run_id}, which was deleted; use a new key.")
    return run


def _rerun(ledger: Ledger, submit: Submit, plan: Plan, digest: bytes, by: str, earlier: Run) -> Submitted:
    submit = msgspec.structs.replace(submit, only=_part(ledger, earlier, plan))
    if earlier.job_id is None:
        return _submit(ledger, submit, plan, digest, by, rerun_of=earlier.id)
    # The run counts against its job's limit, and pins the version that the earlier run pinned.
    job, _ = ledger.job(earlier.job_id)
    if submit.idempotency_key is not None:
        scope = f"{submit.workspace}/{submit.origin}"
        known = _earlier(ledger, scope, submit.idempotency_key, digest)
        if known is not None:
            return Submitted(known, created=False)
    run = _new_run(ledger, submit, plan, job, by, {"rerun_of": earlier.id})
    own = plan.spec if earlier.job_version is None else None
    only = set(submit.only) if submit.only is not None else None
    run = ledger.create(msgspec.structs.replace(run, job_version=earlier.job_version), plan, own, only)
    if submit.idempotency_key is not None:
        scope = f"{submit.workspace}/{submit.origin}"
        ledger.session.put(Submission(scope, submit.idempotency_key, digest, run.id, run.created_at))
    return Submitted(run, created=True)


def _part(ledger: Ledger, earlier: Run, plan: Plan) -> list[str] | None:
    """The tasks that the earlier run was made of; None: all."""
    first = {one.task_key: one for one in reversed(ledger.session.task_runs(earlier.id)) if one.iteration < 0}
    left_out = {key for key, one in first.items() if one.reason == Reason.DISABLED}
    return [key for key in plan.tasks if key not in left_out] if left_out else None


def _repair(ledger: Ledger, command: Repair, by: str) -> Run:
    snapshot = ledger.snapshot(command.run_id)
    run, spec = snapshot.run, command.spec or snapshot.plan.spec
    if command.after_round is not None and command.after_round != run.round:
        raise conflict(f"Run {run.id} has been repaired since: it is in round {run.round}.", round=run.round)
    unknown = sorted(set(command.parameters) - set(spec.parameters))
    if unknown:
        raise invalid(f"The job has no parameter {unknown[0]!r}.", field=f"parameters.{unknown[0]}")
    admitted = run.job_id is None or not ledger.at_limit(run.job_id)
    plan = validate(command.spec) if command.spec is not None else None
    event = lifecycle.RepairRun(by, command.tasks, command.dependents, command.parameters, admitted, plan)
    return ledger.advance(run.id, event).run
