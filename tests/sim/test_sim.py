"""The simulation finds nothing in the engine as it is, and something in every engine that is broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .mutants import MUTANTS
from .runner import first_failure, tell_traced

ROOT = Path(__file__).parents[2]


def simulate(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    """`python -m sim` in a process of its own."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "sim", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def stories_of(done: subprocess.CompletedProcess[str]) -> int:
    """How many were told, none of which may have broken a promise."""
    assert done.returncode == 0, f"replay one with: python -m sim --seed N\n{done.stdout}{done.stderr}"
    found = re.search(r"^(\d+) stories", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return int(found.group(1))


def test_every_promise_holds_in_thousands_of_stories() -> None:
    assert stories_of(simulate("--seeds", "5000", "--seconds", "25")) >= 200


@pytest.mark.long
def test_every_promise_holds_in_a_hundred_thousand_stories() -> None:
    assert stories_of(simulate("--seeds", "100000")) == 100_000


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
