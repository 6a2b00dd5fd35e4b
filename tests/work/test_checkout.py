"""Work that begins in a repository, at the branch, tag or commit that it names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Checkout, Notebook, Python, Shell
from runyard.core.attempts import Places
from tests.executors.harness import Bench
from tests.work.served import redirecting, served


def git(folder: Path, *words: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(bench: Bench) -> Path:
    folder = bench.root.parent / "repositories" / "team"
    (folder / "lib").mkdir(parents=True)
    git(folder, "init", "-q")
    commit(
        folder,
        {"run.py": "import lib.words\nprint(lib.words.SAID)", "lib/words.py": "SAID = 'first'", "lib/__init__.py": ""},
    )
    git(folder, "tag", "v1")
    git(folder, "checkout", "-qb", "feature/x")
    commit(folder, {"lib/words.py": "SAID = 'feature'"})
    git(folder, "checkout", "-q", "main")
    note = "# MAGIC %run ./lib/words\n# COMMAND ----------\nprint(SAID)"
    commit(folder, {"lib/words.py": "SAID = 'main'", "note.py": note})
    return folder


def at(repository: Path, **ref: str) -> Checkout:
    return Checkout(url=str(repository), **ref)


@pytest.mark.parametrize(
    ("ref", "said"),
    [({}, "main"), ({"branch": "feature/x"}, "feature"), ({"tag": "v1"}, "first"), ({"branch": "main"}, "main")],
)
def test_work_begins_in_the_tree_of_its_ref(bench: Bench, repository: Path, ref: dict[str, str], said: str) -> None:
    one = bench.start(Python(file="run.py", checkout=at(repository, **ref)))
    outcome = bench.outcome(one)
    assert outcome.result == "succeeded", bench.log(one)
    assert bench.log(one).decode().splitlines()[-1] == said
    name = f"refs/tags/{ref['tag']}" if "tag" in ref else ref.get("branch", "main")
    assert outcome.metrics == {"commit": git(repository, "rev-parse", name)}
    page = bench.executor.read_artifact(one.run_id, one.task_run_id, "export.html")
    assert page is not None
    assert b"print(lib.words.SAID)" in page


def test_a_commit_is_found_also_by_its_beginning(bench: Bench, repository: Path) -> None:
    full = git(repository, "rev-parse", "v1")
    for text in (full, full[:10]):
        one = bench.start(Shell(command="cat lib/words.py", checkout=at(repository, commit=text)))
        assert bench.outcome(one).metrics == {"commit": full}, bench.log(one)
        assert b"SAID = 'first'" in bench.log(one)


def test_what_is_pushed_later_is_seen_by_the_next_attempt(bench: Bench, repository: Path) -> None:
    action = Shell(command=["cat", "later"], checkout=at(repository, branch="later"))
    git(repository, "checkout", "-qb", "later")
    commit(repository, {"later": "one"})
    assert bench.run(action).result == "succeeded"
    commit(repository, {"later": "two"})
    one = bench.start(action)
    bench.outcome(one)
    assert bench.log(one).endswith(b"two")
    git(repository, "checkout", "-q", "main")


def test_a_notebook_and_its_run_lie_in_the_repository(bench: Bench, repository: Path) -> None:
    one = bench.start(Notebook(path="note", checkout=at(repository)))
    assert bench.outcome(one).result == "succeeded", bench.log(one)
    assert bench.log(one).endswith(b"main\n")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"branch": "none"}, "does not have the branch 'none'"),
        ({"tag": "none"}, "does not have the tag 'none'"),
        ({"commit": "0123456789"}, "does not have the commit '0123456789'"),
        ({"url": "/etc"}, "not below a folder of the setting allowed_paths"),
        ({"url": "file:///etc"}, "not below a folder of the setting allowed_paths"),
        ({"url": "http://127.0.0.1:9/x.git"}, "which is not public"),
        ({"url": "http://user:word@example.com/x.git"}, "user name or password"),
        ({"url": "ssh://host/x.git"}, "neither an http(s) URL nor a path"),
        ({"url": "ext::sh -c true"}, "neither an http(s) URL nor a path"),
    ],
)
def test_what_cannot_be_checked_out_says_why(bench: Bench, repository: Path, asked: dict[str, Any], said: str) -> None:
    outcome = bench.run(Shell(command="true", checkout=Checkout(**({"url": str(repository)} | asked))))
    assert (outcome.result, outcome.reason) == ("failed", "checkout")
    assert said in outcome.detail


def test_a_path_out_of_the_repository_is_refused(bench: Bench, repository: Path) -> None:
    outcome = bench.run(Python(file="../../claim", checkout=at(repository)))
    assert (outcome.reason, outcome.detail) == ("checkout", "The path '../../claim' leads out of the repository.")


def test_no_hook_of_a_repository_runs(bench: Bench, repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    assert bench.run(Shell(command="true", checkout=at(repository))).result == "succeeded"
    assert not (tmp_path / "ran").exists()


def test_a_repository_over_http_is_cloned_from_the_address_that_was_checked(repository: Path, tmp_path: Path) -> None:
    git(repository, "update-server-info")  # a plain file server is enough then
    bench = Bench(tmp_path / "attempts", places=Places(checkouts=str(tmp_path / "c"), private_urls=True))
    with served(repository / ".git") as url:
        # The name resolves in the check; git is told the address that was found there.
        named = url.replace("127.0.0.1", "localhost")
        one = bench.start(Shell(command="cat lib/words.py", checkout=Checkout(url=named, tag="v1")))
        outcome = bench.outcome(one)
    assert outcome.metrics == {"commit": git(repository, "rev-parse", "v1")}, bench.log(one)
    bench.close()


def test_a_redirect_to_another_address_is_not_followed(repository: Path, tmp_path: Path) -> None:
    git(repository, "update-server-info")
    bench = Bench(tmp_path / "attempts", places=Places(checkouts=str(tmp_path / "c"), private_urls=True))
    with served(repository / ".git") as there, redirecting(there) as url:
        one = bench.start(Shell(command="true", checkout=Checkout(url=url)))
        assert bench.outcome(one).reason == "checkout"
    assert b"302" in bench.log(one) or b"redirect" in bench.log(one)
    bench.close()
