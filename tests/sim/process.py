"""`python -m sim` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simulate(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    """Runs it; the answer holds what it said."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "sim", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)
