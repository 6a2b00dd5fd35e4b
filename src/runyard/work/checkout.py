"""Repositories: a bare mirror of each that attempts share, and a working tree of the attempt's own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runyard.core.actions import Checkout
from runyard.core.attempts import Places
from runyard.net import addresses
from runyard.work.prepare import CheckoutFailed

_SAFE = [
    "protocol.allow=never",
    "protocol.file.allow=always",
    "protocol.http.allow=always",
    "protocol.https.allow=always",
    "http.followRedirects=false",
    "core.hooksPath=/dev/null",
    "safe.directory=*",
    "gc.auto=0",
    "advice.detachedHead=false",
    "submodule.recurse=false",
]
"""No other way of transport, no redirect to an address that was not checked, no program that a repository brings."""
_OPENED = ("refs/heads/*", "refs/tags/*")


def check_out(asked: Checkout, tree: str, places: Places) -> str:
    """Makes the working tree `tree` and answers its commit; raises `CheckoutFailed`."""
    if not places.checkouts:
        raise CheckoutFailed("This server keeps no repositories.")
    if shutil.which("git") is None:
        raise CheckoutFailed("git is not installed on this server.")
    url, pins = _source(asked.url, places)
    mirror = Path(places.checkouts) / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.git"
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{mirror}.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(lock.fileno())  # what is not used for long is removed
        if not mirror.exists():
            _make(mirror)
        commit = _kept(mirror, asked.commit) or _fetched(mirror, url, pins, asked)
        _git(["clone", "--quiet", "--shared", "--no-checkout", "--template=", "--", str(mirror), tree])
    _git(["-C", tree, "checkout", "--quiet", "--detach", commit])
    os.write(1, f"runyard: checked out {asked.url} at {commit}\n".encode())
    return commit


def _source(url: str, places: Places) -> tuple[str, list[str]]:
    """The address for git, and the settings that pin it to the host's checked address."""
    if url.startswith(("http://", "https://")):
        try:
            parts = addresses.split(url)
            address = addresses.resolve(parts, allow_private=places.private_urls)
        except (addresses.Refused, OSError) as error:
            raise CheckoutFailed(str(error)) from None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        shown = f"[{address}]" if ":" in address else address
        return url, [f"http.curloptResolve={parts.hostname}:{port}:{shown}"]
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    if not path.startswith("/"):
        raise CheckoutFailed(f"The repository {url!r} is neither an http(s) URL nor a path on this server.")
    real = os.path.realpath(path)
    folders = [os.path.realpath(one) for one in (*places.allowed, places.files) if one]
    if not any(real == one or real.startswith(one + "/") for one in folders):
        raise CheckoutFailed(f"The repository {path} is not below a folder of the setting allowed_paths.")
    return f"file://{real}", []


def _make(mirror: Path) -> None:
    draft = mirror.with_name(f"{mirror.name}.{secrets.token_hex(4)}")
    _git(["init", "--quiet", "--bare", "--template=", str(draft)])
    draft.rename(mirror)


def _kept(mirror: Path, commit: str | None) -> str | None:
    """A full commit that the mirror has already: it cannot have changed."""
    return _commit(mirror, commit) if commit is not None and len(commit) >= 40 else None


def _fetched(mirror: Path, url: str, pins: list[str], asked: Checkout) -> str:
    fetch = ["-C", str(mirror), "fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-recurse-submodules", url]
    _git([*fetch, *(f"+{one}:{one}" for one in _OPENED), "+HEAD:refs/runyard/HEAD"], pins)
    name, ref = "the default branch", "refs/runyard/HEAD"
    if asked.branch is not None:
        name, ref = f"the branch {asked.branch!r}", f"refs/heads/{asked.branch}"
    elif asked.tag is not None:
        name, ref = f"the tag {asked.tag!r}", f"refs/tags/{asked.tag}"
    elif asked.commit is not None:
        name, ref = f"the commit {asked.commit!r} on a branch or tag", asked.commit
    found = _commit(mirror, ref)
    if found is None:
        raise CheckoutFailed(f"The repository {asked.url} does not have {name}.")
    return found


def _commit(mirror: Path, ref: str) -> str | None:
    words = ["-C", str(mirror), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    ended = _started(words, [], capture=True)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _git(words: list[str], pins: list[str] | None = None) -> None:
    ended = _started(words, pins or [], capture=False)
    if ended.returncode:
        verb = next(word for word in words if word in ("init", "fetch", "clone", "checkout"))
        raise CheckoutFailed(f"git {verb} ended with exit code {ended.returncode}; the log says why.")


def _started(words: list[str], pins: list[str], *, capture: bool) -> subprocess.CompletedProcess[str]:
    settings = [part for one in (*_SAFE, *pins) for part in ("-c", one)]
    own = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "HOME": os.devnull}
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE", "LD_LIBRARY_PATH") if name in os.environ
    }
    return subprocess.run(
        ["git", *settings, *words], env=kept | own, stdin=subprocess.DEVNULL, text=True, check=False,
        stdout=subprocess.PIPE if capture else 1, stderr=None if capture else 1,
    )  # fmt: skip
