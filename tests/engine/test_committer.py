"""A commit that waits for the disk leaves the loop free; one that does not is made at once."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, cast

from runyard.core.errors import Code, RunyardError
from runyard.engine.writer import HAND_OVER_SECONDS, Committer


class Disk:
    """Commits that take a while, or fail; where each of them was made."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.failure: BaseException | None = None
        self.threads: list[str] = []

    def commit(self) -> None:
        self.threads.append(threading.current_thread().name)
        if self.failure is not None:
            raise self.failure
        time.sleep(self.seconds)


async def commit(committer: Committer) -> BaseException | None:
    """One commit, awaited."""
    answer: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    committer.start(answer.set_result)
    return await asyncio.wait_for(answer, 10)


def commits(disk: Disk, count: int) -> list[BaseException | None]:
    async def run() -> list[BaseException | None]:
        committer = Committer(cast(Any, disk), asyncio.get_running_loop())
        try:
            return [await commit(committer) for _ in range(count)]
        finally:
            committer.close()

    return asyncio.run(run())


def test_fast_commits_come_to_be_made_on_the_loop_itself() -> None:
    disk = Disk()
    assert commits(disk, 200) == [None] * 200
    assert disk.threads[0] == "commit"  # nothing is known of the disk yet
    assert disk.threads[-1] != "commit"


def test_slow_commits_stay_on_a_thread_of_their_own() -> None:
    disk = Disk(seconds=20 * HAND_OVER_SECONDS)
    commits(disk, 20)
    assert set(disk.threads) == {"commit"}


def test_a_disk_that_becomes_slow_is_left_to_the_thread_again() -> None:
    disk = Disk()

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


def test_what_went_wrong_is_told_from_either_place() -> None:
    disk = Disk()
    disk.failure = RunyardError(Code.STORAGE_FULL, "The disk is full.")
    told = commits(disk, 200)
    assert told == [disk.failure] * 200
    assert {"commit"} < set(disk.threads)
