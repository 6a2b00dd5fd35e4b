"""Makes small wheels, as a build tool would."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

ENTRY_POINTS = "[console_scripts]\ngreet = greeter.main:greet\n[jobs]\nnightly = greeter.main:nightly\n"
MAIN = """
import sys
def greet():
    print("greet", sys.argv, __name__)
def nightly():
    print("nightly", sys.argv[1:])
    return 3
"""


def wheel(folder: Path, version: str = "1.0", extra: str = "", needs: str = "") -> Path:
    """`greeter`, with a console script, another entry point, and the function `greeter.plain`."""
    info = f"greeter-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: greeter\nVersion: {version}\n"
    files = {
        "greeter/__init__.py": f"def plain():\n    print('plain {version}')\n{extra}\n",
        "greeter/main.py": MAIN,
        f"{info}/METADATA": metadata + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    path = folder / f"greeter-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(_line(name, text) for name, text in files.items()))
    return path


def _line(name: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(text)}\n"
