"""A commit that waits for the disk leaves the loop free; one that does not is made at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from runyard.core.errors import Code, RunyardError
from runyard.engine import writer
from runyard.engine.writer import ALONE_SECONDS, HAND_OVER_SECONDS, Committer


class Disk:
    """Commits that take a while by the clock that they move, or fail; where each of them was made."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.failure: BaseException | None = None
        self.threads: list[str] = []

    def commit(self) -> None:
        self.threads.append(threading.current_thread().name)
        if self.failure is not None:
            raise self.failure
        self.now += self.seconds


async def commit(committer: Committer) -> BaseException | None:
    """One commit, awaited."""
    answer: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    committer.start(answer.set_result)
    return await asyncio.wait_for(answer, 10)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    one = Disk()
    monkeypatch.setattr(writer, "perf_counter", lambda: one.now)
    return one


def commits(disk: Disk, count: int, *, alone: bool = False) -> list[BaseException | None]:
    async def run() -> list[BaseException | None]:
        committer = Committer(cast(Any, disk), asyncio.get_running_loop())
        committer.alone = lambda: alone
        try:
            return [await commit(committer) for _ in range(count)]
        finally:
            committer.close()

    return asyncio.run(run())


def test_fast_commits_come_to_be_made_on_the_loop_itself(disk: Disk) -> None:
    assert commits(disk, 200) == [None] * 200
    assert disk.threads[0] == "commit"  # nothing is known of the disk yet
    assert disk.threads[-1] != "commit"


def test_slow_commits_stay_on_a_thread_of_their_own(disk: Disk) -> None:
    disk.seconds = 20 * HAND_OVER_SECONDS
    commits(disk, 20)
    assert set(disk.threads) == {"commit"}


def test_a_command_alone_waits_longer_for_the_disk_before_it_is_handed_over(disk: Disk) -> None:
    disk.seconds = (HAND_OVER_SECONDS + ALONE_SECONDS) / 2
    commits(disk, 20, alone=True)
    assert "commit" not in disk.threads
    disk.threads.clear()
    commits(disk, 20)
    assert set(disk.threads) == {"commit"}
    disk.threads.clear()
    disk.seconds = 20 * ALONE_SECONDS
    commits(disk, 20, alone=True)
    assert set(disk.threads[1:]) == {"commit"}


def test_a_disk_that_becomes_slow_is_left_to_the_thread_again(disk: Disk) -> None:

    async def run() -> None:
        committer = Committer(cast(Any, disk), asyncio.get_running_loop())
        for _ in range(200):
            await commit(committer)
        disk.seconds = 20 * HAND_OVER_SECONDS
        for _ in range(20):
            await commit(committer)
        committer.close()

    asyncio.run(run())
    assert disk.threads[-1] == "commit"


def test_what_went_wrong_is_told_from_either_place(disk: Disk) -> None:
    disk.failure = RunyardError(Code.STORAGE_FULL, "The disk is full.")
    told = commits(disk, 200)
    assert told == [disk.failure] * 200
    assert {"commit"} < set(disk.threads)
