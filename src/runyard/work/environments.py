"""Environments of installed requirements, kept by content: the next attempt that asks for the same finds them made.

An environment is a folder below `built`, and a link that names it by its key: the link is the promise that the
installation was complete. One builder at a time holds the key's lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from runyard.core.attempts import Places
from runyard.work.prepare import EnvironmentFailed

WHEEL_BYTES = 1024 * 1024 * 1024
WHEEL_SECONDS = 1800.0
_LOCAL = re.compile(r"(?:(?<=^)|(?<=file://))/[^\s;#]+")
_LAYOUT = "1"
"""Part of every key: raised when what we make changes."""


def made(requirements: list[str], wheels: list[str], index: bool, places: Places, variables: dict[str, str]) -> str:
    """The Python of an environment with these packages; made now unless it was before. Raises `EnvironmentFailed`.

    `variables` are the task's own; those of pip (PIP_INDEX_URL ...) hold for the installation.
    """
    if not places.environments:
        raise EnvironmentFailed("This server keeps no environments.")
    root = Path(places.environments)
    (root / "built").mkdir(parents=True, exist_ok=True)
    files = [_file(one, root, places) for one in wheels]
    pip = {name: value for name, value in variables.items() if name.startswith("PIP_")}
    key = _key(requirements, files, index, pip)
    place = root / key
    with open(root / f"{key}.lock", "a", encoding="ascii") as lock:
        if not place.exists():
            _wait_for(lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(lock.fileno())  # what is not used for long is removed
        if not place.exists():
            _build(root, key, [*map(str, files), *requirements], index, pip)
    return str(place / "bin" / "python")


def _wait_for(lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("Another attempt installs the same requirements; this one waits for it.")


def _key(requirements: list[str], files: list[Path], index: bool, pip: dict[str, str]) -> str:
    # A requirement may name a file: what counts is what is in it.
    named = [Path(found.group()) for one in requirements if (found := _LOCAL.search(one))]
    wheels = [(one.name, _digest(one)) for one in (*files, *named) if one.is_file()]
    facts = [_LAYOUT, sys.version, sys.base_prefix, requirements, wheels, index, sorted(pip.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]


def _build(root: Path, key: str, packages: list[str], index: bool, pip: dict[str, str]) -> None:
    for stale in (root / "built").glob(f"{key}-*"):  # of a builder that was killed: the lock was free
        shutil.rmtree(stale, ignore_errors=True)
    folder = root / "built" / f"{key}-{secrets.token_hex(4)}"
    _say(f"Installing {', '.join(os.path.basename(one) for one in packages)}.")
    try:
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], pip, "An environment could not be made")
        python = str(folder / "bin" / "python")
        words = ["install", "--no-input", "--disable-pip-version-check", *([] if index else ["--no-index"]), "--"]
        command = [sys.executable, "-m", "pip", "--python", python, *words, *packages]
        _run(command, pip, "The requirements could not be installed")
        _see_our_packages(python)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    draft = folder.with_name(f"{folder.name}.link")
    draft.symlink_to(folder)
    draft.rename(root / key)


def _see_our_packages(python: str) -> None:
    """Behind its own packages the environment finds the server's, so that `runyard.context` works in it."""
    import runyard

    ours = [str(Path(runyard.__file__).parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    Path(found, "zz_runyard.pth").write_text("\n".join(dict.fromkeys(ours)) + "\n")


def _run(arguments: list[str], pip: dict[str, str], otherwise: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | pip
    ended = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, stderr=1, check=False)
    if ended.returncode:
        raise EnvironmentFailed(f"{otherwise} (exit code {ended.returncode}); the log says why.")


def _file(wheel: str, root: Path, places: Places) -> Path:
    """The wheel as a file here; one at a URL is downloaded, from an address that was checked."""
    if "://" not in wheel:
        path = Path(wheel)
        if not path.is_file():
            raise EnvironmentFailed(f"There is no wheel {wheel}.")
        return path.absolute()
    name = os.path.basename(unquote(urlsplit(wheel).path))
    if not name.endswith((".whl", ".tar.gz", ".zip")):
        raise EnvironmentFailed(f"{wheel} does not end in the name of a wheel or source archive.")
    folder = root / "wheels"
    folder.mkdir(exist_ok=True)
    draft = folder / f"{secrets.token_hex(8)}.part"
    try:
        _download(wheel, draft, places)
        kept = folder / _digest(draft)[:40] / name
        kept.parent.mkdir(exist_ok=True)
        draft.rename(kept)
    finally:
        draft.unlink(missing_ok=True)
    return kept


def _download(url: str, path: Path, places: Places) -> None:
    import runyard

    request = {
        "type": "fetch",
        "url": url,
        "path": str(path),
        "allow_private": places.private_urls,
        "max_bytes": WHEEL_BYTES,
        "max_seconds": WHEEL_SECONDS,
        "read_seconds": 60.0,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "runyard.warehouse.download"],
        env={**os.environ, "PYTHONPATH": str(Path(runyard.__file__).parents[1])},
        input=json.dumps(request), stdout=subprocess.PIPE, stderr=1, text=True, check=False,
    )  # fmt: skip
    last = json.loads(ended.stdout.splitlines()[-1]) if ended.stdout else {"failed": f"{url} could not be downloaded."}
    if "failed" in last:
        raise EnvironmentFailed(last["failed"])


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(text: str) -> None:
    os.write(1, f"runyard: {text}\n".encode(errors="backslashreplace"))
