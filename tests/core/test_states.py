"""The two tables of transitions, pair by pair."""

from __future__ import annotations

import pytest

from runyard.core.changes import Decision
from runyard.core.states import ACTIVE, RUN_MOVES, TASK_MOVES, TERMINAL, IllegalMove, Move, State, advance

from .driver import Driver, task

# Written out once more, so that a changed table needs a changed promise.
TASK_TABLE = """
blocked          unblock:queued start:running cancel:cancelled fail:failed skip:skipped upstream:upstream_failed
queued           claim:starting start:running cancel:cancelled fail:failed
starting         start:running succeed:succeeded fail:failed cancel:cancelling expire:cancelling release:queued
starting         lose:lost
running          succeed:succeeded fail:failed cancel:cancelling expire:cancelling release:queued lose:lost
cancelling       succeed:succeeded fail:failed stop:cancelled stop_expired:timed_out
waiting_to_retry due:queued cancel:cancelled
"""
RUN_TABLE = """
queued     start:running skip:skipped cancel:cancelling expire:cancelling succeed:succeeded fail:failed stop:cancelled
running    cancel:cancelling expire:cancelling succeed:succeeded fail:failed stop:cancelled stop_expired:timed_out
cancelling succeed:succeeded fail:failed stop:cancelled stop_expired:timed_out
succeeded  repair:queued
failed     repair:queued
cancelled  repair:queued
timed_out  repair:queued
"""


def read(table: str) -> dict[tuple[State, Move], State]:
    lines = (line.split() for line in table.strip().splitlines())
    cells = ((state, *cell.split(":")) for state, *row in lines for cell in row)
    return {(State(state), Move(move)): State(to) for state, move, to in cells}


@pytest.mark.parametrize("state", State, ids=lambda one: one.value)
@pytest.mark.parametrize(
    ("moves", "stated"),
    [pytest.param(TASK_MOVES, read(TASK_TABLE), id="task"), pytest.param(RUN_MOVES, read(RUN_TABLE), id="run")],
)
def test_each_move_leads_where_the_table_says_or_is_refused(
    moves: dict[tuple[State, Move], State], stated: dict[tuple[State, Move], State], state: State
) -> None:
    for move in Move:
        if (state, move) in stated:
            assert advance(moves, state, move) is stated[state, move]
        else:
            with pytest.raises(IllegalMove, match=f"^{move.value} in state {state.value}$"):
                advance(moves, state, move)


def test_no_move_leads_out_of_a_terminal_state_of_a_task_run() -> None:
    assert not [pair for pair in TASK_MOVES if pair[0] in TERMINAL]


def test_only_a_repair_leads_out_of_a_terminal_state_of_a_run() -> None:
    assert {move for state, move in RUN_MOVES if state in TERMINAL} == {Move.REPAIR}


@pytest.mark.parametrize("table", [TASK_MOVES, RUN_MOVES], ids=["task", "run"])
def test_every_state_of_a_table_reaches_a_terminal_one(table: dict[tuple[State, Move], State]) -> None:
    ends = set(TERMINAL)
    for _ in State:
        ends |= {state for (state, _), to in table.items() if to in ends}
    assert {state for state, _ in table} | set(table.values()) <= ends


def test_active_states_are_those_in_which_work_may_run() -> None:
    assert {State.STARTING, State.RUNNING, State.CANCELLING} == ACTIVE
    assert not ACTIVE & TERMINAL


def test_an_illegal_move_of_a_task_changes_nothing() -> None:
    run = Driver(task("a"))
    decision = Decision(run.snapshot, run.now, run.ids)
    before = run.slot("a")
    with pytest.raises(IllegalMove):
        decision.move(before, Move.SUCCEED)
    assert run.slot("a") is before
    assert not decision.changes
    run.check()


def test_an_illegal_move_of_a_run_changes_nothing() -> None:
    run = Driver(task("a"))
    decision = Decision(run.snapshot, run.now, run.ids)
    before = run.run
    with pytest.raises(IllegalMove):
        decision.move_run(Move.STOP_EXPIRED)
    assert run.run is before
    assert not decision.changes
    assert not decision.changes.run_changed
