"""The page of one run: what it is, how it stands, and its tasks with their attempts and iterations. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from runyard.core.actions import kind_of
from runyard.core.model import JobSpec, Run, Task, TaskRun
from runyard.core.states import TERMINAL, State
from runyard.web.frame import badge, lasted, moment, page
from runyard.web.markup import Markup, element

TASKS = 200
"""Tasks on one page of a run, and iterations of one task."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page is made from."""

    run: Run
    spec: JobSpec
    task_runs: list[TaskRun]
    """All attempts, oldest first."""
    waiting: str | None = None
    sentences: Mapping[int, str] = {}
    """Why task runs wait, by id."""
    now: int
    first: int = 0
    """How many tasks come before this page."""
    who: str = ""


def run_page(shown: Shown) -> Markup:
    """The whole page."""
    run = shown.run
    said = run.detail or shown.waiting
    content = (
        element("h1", run.name, " ", badge(run.state)),
        element("p", said, class_="said") if said else None,
        element("dl", _facts(shown)),
        _values("Parameters", run.parameters),
        _values("Tags", run.tags),
        element("h2", f"Tasks ({len(shown.spec.tasks)})"),
        element("ol", _tasks(shown), class_="tasks"),
        _pages(shown),
    )
    live = None if run.state in TERMINAL else f"/runs/{run.id}/changes?seq={run.seq}"
    return page(f"{run.name} {run.id}", *content, live=live, who=shown.who)


# --- the run ----------------------------------------------------------------------------------------------


def _facts(shown: Shown) -> Iterator[Markup]:
    run = shown.run
    facts: dict[str, str | Markup | None] = {
        "Run": str(run.id),
        "Job": element("a", run.job_id, href=f"/?job={run.job_id}") if run.job_id else "a submission",
        "Started by": f"{run.submitted_by} ({run.trigger.replace('_', ' ')}, {run.origin})",
        "Reason": run.reason.replace("_", " "),
        "Created": moment(run.created_at),
        "Started": moment(run.started_at),
        "Ended": moment(run.ended_at),
        "Duration": lasted(run.state, run.started_at, run.ended_at, shown.now),
        "Repairs": str(run.round) if run.round else None,
        "Repeats": element("a", run.rerun_of, href=f"/runs/{run.rerun_of}") if run.rerun_of else None,
        "Part of": _link_to_task(run.parent_task_run_id) if run.parent_task_run_id else None,
        "Queue": run.queue,
    }
    for name, value in facts.items():
        if value:
            yield element("div", element("dt", name), element("dd", value))


def _link_to_task(task_run_id: int) -> Markup:
    return element("a", f"task run {task_run_id}", href=f"/task-runs/{task_run_id}")


def _values(title: str, values: Mapping[str, object]) -> Markup | None:
    if not values:
        return None
    rows = (element("tr", element("th", name), element("td", _text(value))) for name, value in values.items())
    return element("section", element("h2", title), element("table", rows))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# --- its tasks --------------------------------------------------------------------------------------------


def _tasks(shown: Shown) -> Iterator[Markup]:
    attempts: dict[str, list[TaskRun]] = {}
    iterations: dict[str, dict[int, TaskRun]] = {}
    for one in shown.task_runs:
        if one.iteration < 0:
            attempts.setdefault(one.task_key, []).append(one)
        else:
            iterations.setdefault(one.task_key, {})[one.iteration] = one
    for task in shown.spec.tasks[shown.first : shown.first + TASKS]:
        yield _task(shown, task, attempts.get(task.key, []), iterations.get(task.key, {}))


def _task(shown: Shown, task: Task, attempts: list[TaskRun], iterations: dict[int, TaskRun]) -> Markup:
    needs = ", ".join(need.task for need in task.needs)
    about = f"{kind_of(task.action).replace('_', ' ')}{f', after {needs}' if needs else ''}"
    name = element("span", element("b", task.key), " ", element("small", about))
    newest = _attempt(shown, attempts[-1], name) if attempts else name
    earlier = [_attempt(shown, one, element("small", f"attempt {one.attempt}")) for one in attempts[-2::-1]]
    return element(
        "li",
        newest,
        _folded(f"a{task.key}", f"{len(earlier)} earlier", (element("li", one) for one in earlier)),
        _iterations(shown, task.key, iterations),
    )


def _iterations(shown: Shown, key: str, found: dict[int, TaskRun]) -> Markup | None:
    counts = Counter(one.state.value.replace("_", " ") for one in found.values())
    title = f"{len(found):,} iterations: " + ", ".join(f"{count:,} {word}" for word, count in counts.most_common())
    # What needs a look comes first where not all of them are shown.
    ordered = sorted(found.values(), key=lambda one: (one.state is State.SUCCEEDED, one.iteration))[:TASKS]
    lines = [element("li", _attempt(shown, one, element("small", f"iteration {one.iteration}"))) for one in ordered]
    if len(found) > TASKS:
        lines.append(element("li", element("small", f"and {len(found) - TASKS:,} more")))
    return _folded(f"i{key}", title, lines)


def _folded(key: str, title: str, lines: Iterator[Markup] | list[Markup]) -> Markup | None:
    inner = list(lines)
    if not inner:
        return None
    return element("details", element("summary", title), element("ul", inner), data_key=key)


def _attempt(shown: Shown, one: TaskRun, name: Markup) -> Markup:
    said = one.detail or shown.sentences.get(one.id)
    has_log = one.executor == "process" and one.claimed_at is not None
    log = element("a", "log", href=f"/task-runs/{one.id}/log") if has_log else None
    child = element("a", f"run {one.child_run_id}", href=f"/runs/{one.child_run_id}") if one.child_run_id else None
    return element(
        "div",
        badge(one.state),
        name,
        element("span", lasted(one.state, one.started_at, one.ended_at, shown.now), class_="took"),
        element("span", log, " " if log and child else None, child, class_="links"),
        element("p", said, class_="said") if said else None,
        class_="attempt",
        id=f"t{one.id}",
    )


def _pages(shown: Shown) -> Markup | None:
    links, address = [], f"/runs/{shown.run.id}?first="
    if shown.first:
        links.append(element("a", "Earlier tasks", href=f"{address}{max(0, shown.first - TASKS)}", class_="more"))
    if shown.first + TASKS < len(shown.spec.tasks):
        links.append(element("a", "Later tasks", href=f"{address}{shown.first + TASKS}", class_="more"))
    return element("p", links) if links else None
