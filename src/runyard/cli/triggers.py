"""Commands for triggers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from runyard.cli.options import COMMON, Common, Params, parameters
from runyard.cli.render import Column, clean, emit, emit_one, print_table, when
from runyard.client import triggerfile
from runyard.client.views import Firing, Preview, Trigger

app = App(name="triggers", help="What starts runs by itself.", version_flags=[], help_format="plaintext")

TRIGGERS = [
    Column("ID", lambda one: one.id),
    Column("KEY", lambda one: one.key),
    Column("KIND", lambda one: one.kind),
    Column("JOB", lambda one: one.job_id),
    Column("ACTIVE", lambda one: "yes" if one.active else "no"),
    Column("FIRED", lambda one: one.fired, right=True),
    Column("LAST", lambda one: when(one.last_at)),
    Column("NEXT", lambda one: when(one.next_at)),
    Column("DETAIL", lambda one: one.detail),
]
APPLIED = [
    Column("ID", lambda one: one["id"]),
    Column("KEY", lambda one: one["key"]),
    Column("KIND", lambda one: one["kind"]),
    Column("VERSION", lambda one: one["version"], right=True),
    Column("CHANGE", lambda one: one["change"]),
    Column("NEXT", lambda one: when(one["next_at"])),
]
FIRINGS = [
    Column("NUMBER", lambda one: one.number, right=True),
    Column("AT", lambda one: when(one.at)),
    Column("KIND", lambda one: one.kind),
    Column("AFTER", lambda one: ", ".join(map(str, one.after))),
    Column("RUNS", lambda one: ", ".join(map(str, one.runs))),
    Column("BY", lambda one: one.by),
    Column("DETAIL", lambda one: one.detail),
]
PLANNED = [
    Column("JOB", lambda one: one.job_id),
    Column("NAME", lambda one: one.name),
    Column("PARAMETERS", lambda one: one.parameters or ""),
    Column("REFUSED", lambda one: one.refused),
]


@app.default
@app.command(name="list")
def list_triggers(
    *,
    key: str | None = None,
    job: Annotated[int | None, Parameter(help="only those of this job's definition")] = None,
    kind: Annotated[str | None, Parameter(help="schedule, after_runs, file_arrival, table_update ...")] = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="how many")] = 100,
    common: Common = COMMON,
) -> None:
    """List triggers, newest first."""
    with common.client() as client:
        emit(client.triggers(key=key, job=job, kind=kind, limit=limit), TRIGGERS, common.output)


@app.command
def apply(
    file: Annotated[str, Parameter(help="a trigger file; it may hold several triggers divided by ---")],
    /,
    *,
    common: Common = COMMON,
) -> None:
    """Make the server's triggers be as the file says: new ones are created, changed ones get a new version."""
    documents = triggerfile.load_all(file)
    applied: list[dict[str, Any]] = []
    with common.client() as client:
        for one in documents:
            trigger, change = client.apply_trigger(one.spec, one.key, active=not one.paused)
            row = {"id": trigger.id, "key": one.key, "kind": trigger.kind, "version": trigger.version}
            applied.append({**row, "change": change, "next_at": trigger.next_at})
    emit(applied, APPLIED, common.output)


@app.command
def show(trigger_id: int, /, *, common: Common = COMMON) -> None:
    """One trigger: its definition, where it stands, and when its schedule fires next."""
    with common.client() as client:
        trigger = client.trigger(trigger_id)
        timed = trigger.active and trigger.kind == "schedule" and common.output == "table"
        coming = client.dry_run(trigger_id).next if timed else []
    emit_one(trigger, common.output, lambda: _print(trigger, coming))


def _print(trigger: Trigger, coming: Sequence[datetime] = ()) -> None:
    state = "active" if trigger.active else "paused"
    print(f"trigger {trigger.id}  {clean(trigger.key)}  {trigger.kind}, {state}, version {trigger.version}")
    facts = {
        "job": trigger.job_id,
        "source": msgspec.to_builtins(trigger.spec.source),
        "detail": trigger.detail,
        "fired": trigger.fired,
        "last": when(trigger.last_at),
        "next": ", ".join(map(when, coming)) or when(trigger.next_at),
        "owner": trigger.owner,
    }
    for name, value in facts.items():
        if value:
            print(f"  {name:<11} {clean(value)}")
    for action in trigger.spec.actions:
        print(f"  {'starts':<11} {clean(msgspec.to_builtins(action))}")


@app.command
def pause(trigger_id: int, /, *, common: Common = COMMON) -> None:
    """Stop a trigger; runs that it started go on."""
    with common.client() as client:
        trigger = client.pause_trigger(trigger_id)
    emit_one(trigger, common.output, lambda: _print(trigger))


@app.command
def resume(trigger_id: int, /, *, common: Common = COMMON) -> None:
    """Let a trigger fire from now on."""
    with common.client() as client:
        trigger = client.resume_trigger(trigger_id)
    emit_one(trigger, common.output, lambda: _print(trigger))


@app.command
def fire(trigger_id: int, /, *, param: Params = (), common: Common = COMMON) -> None:
    """Fire a trigger now, paused or not."""
    with common.client() as client:
        firing = client.fire(trigger_id, parameters=parameters(param) or None)
    emit_one(firing, common.output, lambda: _print_firing(firing))


def _print_firing(firing: Firing) -> None:
    print_table(FIRINGS, [firing])


@app.command
def history(
    trigger_id: int,
    /,
    *,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="how many")] = 25,
    common: Common = COMMON,
) -> None:
    """What a trigger did, newest first."""
    with common.client() as client:
        emit(client.firings(trigger_id, limit=limit), FIRINGS, common.output)


@app.command(name="dry-run")
def dry_run(
    trigger_id: int,
    /,
    *,
    run: Annotated[int | None, Parameter(help="as if this run had ended just now")] = None,
    common: Common = COMMON,
) -> None:
    """What a trigger would start now, and why; nothing is started."""
    with common.client() as client:
        preview = client.dry_run(trigger_id, run=run)
    emit_one(preview, common.output, lambda: _print_preview(preview))


def _print_preview(preview: Preview) -> None:
    print(f"{'fires' if preview.fires else 'does not fire'}: {clean(preview.why)}")
    if preview.next:
        print(f"next: {', '.join(when(at) for at in preview.next)}")
    print()
    print_table(PLANNED, preview.starts)


@app.command
def delete(trigger_id: int, /, *, common: Common = COMMON) -> None:
    """Remove a trigger; its runs stay."""
    with common.client() as client:
        client.delete_trigger(trigger_id)
    emit_one({"deleted": trigger_id}, common.output, lambda: print(f"trigger {trigger_id} deleted"))
