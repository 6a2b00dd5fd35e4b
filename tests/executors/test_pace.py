"""How much short work is held ahead of the warehouse's threads: none where attempts are long."""

from __future__ import annotations

import time
from pathlib import Path

from runyard.executors.warehouse import AHEAD_FACTOR, AHEAD_SECONDS, Pace, WarehouseExecutor


def test_a_pace_counts_what_ended_of_late_and_forgets_it() -> None:
    pace = Pace(AHEAD_SECONDS)
    assert pace.count(100.0) == 0
    pace.add(10, 100.0)
    assert pace.count(100.0) == 10
    pace.add(10, 100.0 + AHEAD_SECONDS)
    assert pace.count(100.0 + AHEAD_SECONDS) == 13  # 10 and 10/e
    assert pace.count(100.0 + 10 * AHEAD_SECONDS) == 0


def test_long_attempts_are_never_held_ahead() -> None:
    pace = Pace(AHEAD_SECONDS)
    for second in range(1, 60):
        pace.add(1, float(second))
    assert pace.count(60.0) == 0


def test_capacity_is_bounded_however_fast_attempts_end(tmp_path: Path) -> None:
    executor = WarehouseExecutor(tmp_path / "warehouse", capacity=4)
    assert executor.capacity == 4
    executor._pace.add(1_000_000, time.monotonic())
    assert executor.capacity == 4 + AHEAD_FACTOR * 4
