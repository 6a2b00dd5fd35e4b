"""Which runs a filter finds: the same as a naive look at every run, whatever the filters and the page size."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from runyard.core.ids import IdSource
from runyard.core.model import Run
from runyard.core.query import RunFilter
from runyard.core.states import State
from runyard.store.base import Store
from tests.store.make import NOW, a_run, clear, write
from tests.store.values import on_one_store

_HOUR = 3_600_000
_EQUAL = ("job_id", "name", "origin", "workspace", "queue", "submitted_by", "trigger", "reason", "parent_task_run_id")
_VALUES: dict[str, list[Any]] = {
    "job_id": [None, 1, 2],
    "name": ["a", "b"],
    "origin": ["native", "glue"],
    "workspace": ["default", "other"],
    "queue": ["default", "big"],
    "submitted_by": ["ann", "bob"],
    "trigger": ["manual", "cron"],
    "reason": ["", "task_failed"],
    "parent_task_run_id": [None, 5],
}
# The clock may be set back; ids go on from where they are.
_moments = st.builds(lambda n, back: NOW + n * 1000 - back, st.integers(-3, 3), st.sampled_from([0, 0, _HOUR]))
_given: st.SearchStrategy[Any] = st.sampled_from(["x", 'ü"\n', 5, "5", True, None, 1.5, ["x"]])
_kept_runs = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(values) for name, values in _VALUES.items()},
        "state": st.sampled_from([State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED]),
        "tags": st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["x", "y"])),
        "parameters": st.fixed_dictionaries(
            {}, optional={"day": _given, "a.b": _given, "a": st.dictionaries(st.sampled_from(["b", "c"]), _given)}
        ),
        "created_at": _moments,
        "ended_at": st.none() | _moments | _moments.map(lambda at: at + 2 * 86_400_000),
    }
)
_CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "of_job": st.booleans(),
    **{name: st.sampled_from([v for v in values if v is not None]) for name, values in _VALUES.items()},
    "states": st.lists(st.sampled_from(State), max_size=3, unique=True)
    | st.permutations([State.QUEUED, State.SUCCEEDED, State.FAILED]),
    "tag": st.tuples(st.sampled_from(["team", "tier"]), st.sampled_from(["x", "y"])),
    "parameter": st.tuples(
        st.sampled_from(["day", "a.b", "a.c", "none"]), st.sampled_from(["x", 'ü"\n', "5", "true", "null", "1.5"])
    ),
    "created_after": _moments,
    "created_before": _moments,
    "ended_after": _moments,
    "ended_before": _moments,
}
_PAIRS = [*((name,) for name in _CHOICES), *combinations(_CHOICES, 2)]


@st.composite
def _filters(draw: st.DrawFn) -> RunFilter:
    """One filter alone, two, or any number together."""
    names = draw(st.sampled_from(_PAIRS) | st.sets(st.sampled_from(list(_CHOICES))).map(tuple))
    return RunFilter(**{name: draw(_CHOICES[name]) for name in names})


def _has(parameters: dict[str, Any], name: str, value: str) -> bool:
    outer, _, inner = name.partition(".")
    within = parameters.get(outer) if inner else None
    found = [values[key] for values, key in ((parameters, name), (within or {}, inner)) if key in values]
    return any(one == value or (not isinstance(one, str) and json.dumps(one) == value) for one in found)


def _holds(run: Run, where: RunFilter) -> bool:
    return (
        (where.states is None or run.state in where.states)
        and all(getattr(where, name) in (None, getattr(run, name)) for name in _EQUAL)
        and (where.of_job is None or where.of_job is (run.job_id is not None))
        and (where.tag is None or run.tags.get(where.tag[0]) == where.tag[1])
        and (where.parameter is None or _has(run.parameters, *where.parameter))
        and (where.created_after is None or run.created_at >= where.created_after)
        and (where.created_before is None or run.created_at < where.created_before)
        and (where.ended_after is None or (run.ended_at is not None and run.ended_at >= where.ended_after))
        and (where.ended_before is None or (run.ended_at is not None and run.ended_at < where.ended_before))
    )


examples = given(kept=st.lists(_kept_runs, max_size=25), wheres=st.lists(_filters(), min_size=30, max_size=30))


def compare(store: Store, kept: list[dict[str, Any]], wheres: list[RunFilter]) -> None:
    """Keeps these runs only, and looks for them by each filter."""
    clear(store)
    ids = IdSource()
    runs = [a_run(**{"id": ids.draw(fields["created_at"]), **fields}) for fields in kept]
    write(store, *runs)
    with store.reading() as reads:
        for where in wheres:
            wanted = [run for run in reversed(runs) if _holds(run, where)]
            assert reads.runs(where, 100, None) == wanted, where
            if len(wanted) > 1:
                assert reads.runs(where, 1, wanted[0].id) == wanted[1:2], where
                assert reads.runs(where, 2, wanted[-1].id, newer=True) == wanted[-2:-4:-1], where


@on_one_store
@examples
@example(  # the clock is set back an hour: a run whose id is later than the time that was asked for
    kept=[{"created_at": NOW}, {"created_at": NOW - _HOUR}], wheres=[RunFilter(created_before=NOW - _HOUR + 1)]
)
def test_a_filter_finds_what_a_look_at_every_run_finds(
    store: Store, kept: list[dict[str, Any]], wheres: list[RunFilter]
) -> None:
    compare(store, kept, wheres)


def test_every_field_of_the_filter_is_tried() -> None:
    assert set(_CHOICES) == set(RunFilter.__struct_fields__)


def test_pages_neither_repeat_nor_miss_a_run_while_others_come_in(store: Store) -> None:
    first = [a_run() for _ in range(10)]
    write(store, *first)
    seen: list[Run] = []
    after = None
    for _ in range(4):
        with store.reading() as reads:
            page = reads.runs(RunFilter(name="nightly"), 3, after)
        seen += page
        after = page[-1].id
        write(store, a_run(), a_run())
    assert seen == first[::-1]


def test_the_newest_come_first_and_a_limit_is_kept(store: Store) -> None:
    runs = [a_run() for _ in range(5)]
    write(store, *runs)
    with store.reading() as reads:
        assert reads.runs(RunFilter(), 2, None) == [runs[4], runs[3]]
        assert reads.runs(RunFilter(), 9, runs[2].id) == [runs[1], runs[0]]
        assert reads.runs(RunFilter(states=[]), 9, None) == []
