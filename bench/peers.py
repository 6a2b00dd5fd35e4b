"""The peers, each in a process of its own; a peer that is not installed is left out, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import postgres

ENQUEUERS = {
    "huey-full": "huey, SQLite, synchronous FULL",
    "huey-default": "huey, SQLite, its default",
    "huey-off": "huey, SQLite, synchronous OFF (not durable)",
    "dbos": "DBOS, SQLite",
    "procrastinate": "Procrastinate, PostgreSQL",
}


@contextmanager
def database(name: str, place: Path) -> Iterator[dict[str, str]]:
    """What the peer must be given besides: the URL of a PostgreSQL below `place`, set up like ours; or nothing."""
    if name != "procrastinate":
        yield {}
        return
    with postgres.cluster(place) as one:
        yield {"url": one.create("peer")}


def ask(name: str, what: str, place: Path, **given: object) -> dict[str, float]:
    """What the peer measured: `rate` (a second), or `p50` and `p95` (seconds)."""
    module = f"bench.peer_{name.partition('-')[0]}"
    with tempfile.TemporaryDirectory(prefix="peer-bench-", dir=place, ignore_cleanup_errors=True) as folder:
        work = json.dumps({"variant": name, "what": what, "folder": folder, **given})
        done = subprocess.run([sys.executable, "-m", module, work], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-2000:]}")
    return {key: float(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
