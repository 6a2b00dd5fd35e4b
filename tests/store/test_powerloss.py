"""A power cut loses nothing that was acknowledged; `python -m tests.store.powerloss --seed N` plays a seed again."""

from __future__ import annotations

import pytest

from tests.store.powerloss import trial


def _wrong(seeds: range, synchronous: str = "") -> list[str]:
    found = (trial(seed, synchronous=synchronous) for seed in seeds)
    return [trouble for trouble in found if trouble]


def test_a_power_cut_loses_no_acknowledged_commit_and_damages_nothing() -> None:
    assert _wrong(range(200)) == []


def test_the_simulation_bites_where_commits_are_not_synced() -> None:
    wrong = _wrong(range(30), "NORMAL")
    assert len(wrong) >= 5
    assert all("lost" in one for one in wrong)  # lost, but never damaged


def test_a_seed_tells_the_same_story_again() -> None:
    seeds = range(10)
    assert _wrong(seeds, "NORMAL") == _wrong(seeds, "NORMAL")


@pytest.mark.long
def test_a_power_cut_loses_nothing_in_two_thousand_stories() -> None:
    assert _wrong(range(1000, 3000)) == []
