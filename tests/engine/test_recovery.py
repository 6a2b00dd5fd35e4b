"""A restart: what an executor takes up again is told what the former server may not have got round to."""

from __future__ import annotations

from collections.abc import Sequence

from runyard.core.attempts import Held

from .bench import Bench
from .fakes import HandExecutor


class Survivor(HandExecutor):
    """Takes up all that it held before the restart."""

    def recover(self, held: Sequence[Held]) -> list[Held]:
        return []


def test_a_stop_that_died_with_its_server_is_said_again() -> None:
    bench = Bench()
    stopping, going_on = bench.submit(), bench.submit()
    one = bench.begin(stopping)
    bench.begin(going_on)
    bench.cancel(stopping)
    again = bench.restart(Survivor())
    assert again.hand.stops == [(one.task_run_id, one.token, "cancel")]
