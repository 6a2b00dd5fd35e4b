"""Every engine that is broken on purpose is found out, and a seed tells the same story again."""

from __future__ import annotations

import pytest

from .mutants import MUTANTS
from .process import simulate
from .runner import first_failure, tell_traced


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_engine_is_found_out_within_two_hundred_stories(mutant: str) -> None:
    assert first_failure(200, mutant) is not None


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_tells_the_same_story_every_time(seed: int) -> None:
    assert tell_traced(seed) == tell_traced(seed)


def test_a_seed_that_fails_is_replayed_exactly_by_another_process() -> None:
    found = first_failure(200, "no_token_check")
    assert found is not None
    seed, failure = found
    replays = [simulate("--seed", str(seed), "--mutant", "no_token_check", hash_seed=value) for value in "12"]
    assert {replay.returncode for replay in replays} == {1}
    assert replays[0].stdout == replays[1].stdout
    assert replays[0].stdout.rstrip().endswith(failure)
