"""What attempts share is removed when none has used it for long."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from runyard.core.actions import Checkout, Shell
from runyard.core.attempts import Places
from runyard.executors import local
from runyard.work import unused
from tests.executors.harness import Bench, python
from tests.work.test_checkout import commit, git
from tests.work.test_environments import greeter


def age(lock: Path, days: float) -> None:
    at = time.time() - days * 86_400
    os.utime(lock, (at, at))


def test_an_environment_goes_when_none_used_it_for_long(tmp_path: Path) -> None:
    places = Places(environments=str(tmp_path / "environments"))
    bench = Bench(tmp_path / "attempts", places=places)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    try:
        assert bench.outcome(bench.start(greeter(wheels, "plain"))).result == "succeeded"
        (link,) = [one for one in (tmp_path / "environments").iterdir() if one.is_symlink()]
        unused.remove(places, time.time() - 60)
        assert link.exists()
        age(link.with_name(f"{link.name}.lock"), 31)
        again = bench.start(greeter(wheels, "plain"))  # its use makes it young again
        assert bench.outcome(again).result == "succeeded"
        assert bench.log(again) == b"plain 1.0\n"
        unused.remove(places, time.time() - 60)
        assert link.exists()
        age(link.with_name(f"{link.name}.lock"), 31)
        unused.remove(places, time.time() - 30 * 86_400)
        assert not link.is_symlink()
        assert list((tmp_path / "environments" / "built").iterdir()) == []
    finally:
        bench.close()


def test_a_mirror_goes_when_it_is_old_but_not_while_it_is_held(tmp_path: Path) -> None:
    (tmp_path / "repositories" / "team").mkdir(parents=True)
    git(tmp_path / "repositories" / "team", "init", "-q")
    commit(tmp_path / "repositories" / "team", {"a": "1"})
    places = Places(checkouts=str(tmp_path / "mirrors"), allowed=[str(tmp_path / "repositories")])
    bench = Bench(tmp_path / "attempts", places=places)
    action = Shell(command="cat a", checkout=Checkout(url=str(tmp_path / "repositories" / "team")))
    try:
        assert bench.run(action).result == "succeeded"
        (mirror,) = (tmp_path / "mirrors").glob("*.git")
        lock = Path(f"{mirror}.lock")
        age(lock, 31)
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            unused.remove(places, time.time())
        assert mirror.exists()
        unused.remove(places, time.time())
        assert not mirror.exists()
        assert bench.run(action).result == "succeeded"
    finally:
        bench.close()


def test_what_a_running_attempt_may_use_is_not_removed(tmp_path: Path) -> None:
    told: list[float] = []
    local_first, local._FIRST_TIDY = local._FIRST_TIDY, 0.3
    try:
        bench = Bench(tmp_path / "attempts", tidy=told.append)
    finally:
        local._FIRST_TIDY = local_first
    try:
        one = bench.start(python("import time; time.sleep(60)"))
        bench.started(one)
        bench.wait(lambda: told)
        begun = (bench.folder(one) / "claim").stat().st_mtime
        assert told == [begun]
    finally:
        bench.stop(one, grace=0.0)
        bench.close()
