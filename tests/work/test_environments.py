"""Wheels and requirements: installed once, shared, and told about when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from runyard.core.actions import Notebook, Python, Wheel
from runyard.core.attempts import Places
from tests.executors.harness import Bench
from tests.work.served import served
from tests.work.wheels import wheel


def greeter(folder: Path, entry_point: str, *arguments: str, version: str = "1.0") -> Wheel:
    path = folder / f"greeter-{version}-py3-none-any.whl"
    if not path.exists():
        wheel(folder, version)
    return Wheel(package="greeter", entry_point=entry_point, arguments=list(arguments), wheels=[str(path)], index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


def built(bench: Bench) -> int:
    root = bench.root.parent / "environments"
    return sum(one.is_symlink() for one in root.iterdir()) if root.exists() else 0


def test_a_wheel_is_installed_once_and_its_entry_points_run(bench: Bench, folder: Path) -> None:
    before = built(bench)
    one = bench.start(greeter(folder, "greet", "a", "b c"))
    assert bench.outcome(one).result == "succeeded", bench.log(one)
    log = bench.log(one).decode()
    assert "Successfully installed greeter-1.0" in log
    assert log.endswith("greet ['greet', 'a', 'b c'] greeter.main\n")
    two = bench.start(greeter(folder, "nightly", "x"))
    ended = bench.outcome(two)
    assert (ended.result, ended.exit_code) == ("failed", 3)
    assert bench.log(two) == b"nightly ['x']\n"  # nothing was installed again
    three = bench.start(greeter(folder, "plain"))
    assert bench.outcome(three).result == "succeeded"
    assert bench.log(three) == b"plain 1.0\n"
    four = bench.start(greeter(folder, "none"))
    error = bench.outcome(four).error
    assert error is not None
    assert error["message"] == (
        "The package greeter has no entry point and no function 'none'; its entry points are: greet, nightly."
    )
    assert built(bench) == before + 1


def test_two_attempts_that_need_the_same_build_it_once(bench: Bench, folder: Path) -> None:
    before = built(bench)
    some = [bench.start(greeter(folder, "plain", version="1.1")) for _ in range(2)]
    assert [bench.outcome(one).result for one in some] == ["succeeded"] * 2
    assert sum(b"Successfully installed" in bench.log(one) for one in some) == 1
    assert built(bench) == before + 1


def test_another_content_under_the_same_name_is_another_environment(bench: Bench, tmp_path: Path) -> None:
    wheel(tmp_path)
    assert bench.run(greeter(tmp_path, "plain")).result == "succeeded"
    wheel(tmp_path, extra="def plain():\n    print('changed')")
    one = bench.start(greeter(tmp_path, "plain"))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one).endswith(b"changed\n")


def test_python_and_notebooks_run_in_the_environment_of_their_requirements(bench: Bench, folder: Path) -> None:
    path = wheel(folder)
    requirements = [f"greeter @ {path.as_uri()}"]
    code = "import greeter, sys\ngreeter.plain()\nfrom runyard import context\ncontext.set_value('venv', sys.prefix)\n"
    for action in (
        Python(source=code, requirements=requirements),
        Notebook(source=code + "!greet me\n", requirements=requirements),
    ):
        one = bench.start(action)
        outcome = bench.outcome(one)
        assert outcome.result == "succeeded", bench.log(one)
        assert "environments" in outcome.values["venv"]
        assert b"plain 1.0\n" in bench.log(one)
    assert b"greet ['" in bench.log(one)  # the console script is on the path


@pytest.mark.parametrize("spelt", ["{path}", "greeter @ file://{path}"])
def test_a_requirement_that_is_a_file_counts_by_its_content(bench: Bench, tmp_path: Path, spelt: str) -> None:
    for said in ("first", "second"):
        path = wheel(tmp_path, "4.0", extra=f"def plain():\n    print('{said}')")
        action = Python(source="import greeter\ngreeter.plain()", requirements=[spelt.format(path=path)])
        one = bench.start(action)
        assert bench.outcome(one).result == "succeeded", bench.log(one)
        assert bench.log(one).endswith(f"{said}\n".encode())


def test_what_cannot_be_installed_fails_with_its_reason_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    before = built(bench)
    wheel(tmp_path, "2.0", needs="no-such-package-anywhere")
    one = bench.start(greeter(tmp_path, "plain", version="2.0"))
    outcome = bench.outcome(one)
    assert (outcome.result, outcome.reason, outcome.retry) == ("failed", "environment", True)
    assert outcome.detail == "The requirements could not be installed (exit code 1); the log says why."
    assert b"no-such-package-anywhere" in bench.log(one)
    assert built(bench) == before
    missing = bench.run(Wheel(package="p", entry_point="e", wheels=["/no/such.whl"]))
    assert missing.detail == "There is no wheel /no/such.whl."


def test_a_wheel_at_a_url_is_fetched_only_from_an_address_that_is_allowed(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    with served(tmp_path) as url:
        action = Wheel(package="greeter", entry_point="plain", wheels=[f"{url}/{path.name}"], index=False)
        for private, result in ((False, "failed"), (True, "succeeded")):
            places = Places(environments=str(tmp_path / "environments"), private_urls=private)
            bench = Bench(tmp_path / f"attempts-{private}", places=places)
            one = bench.start(action)
            outcome = bench.outcome(one)
            assert outcome.result == result, bench.log(one)
            assert private or "which is not public" in outcome.detail
            bench.close()
