"""The simulation finds nothing in the engine as it is."""

from __future__ import annotations

import pytest

from .process import simulate


def told(seeds: int) -> str:
    """What the simulation says at its end, when it found nothing."""
    done = simulate("--seeds", f"{seeds}")
    assert done.returncode == 0, f"replay one with: python -m sim --seed N\n{done.stdout}{done.stderr}"
    return done.stdout.splitlines()[-1]


def test_every_promise_holds_in_five_thousand_stories() -> None:
    assert told(5_000).startswith("5000 stories")


@pytest.mark.long
def test_every_promise_holds_in_a_hundred_thousand_stories() -> None:
    assert told(100_000).startswith("100000 stories")
